#!/bin/sh
# Turns the console's files into C: embed.sh FILE… > console.c; see relay/monitor/console_assets.h.
# index.html is the page at /console/ itself.
set -eu

literal() {
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/\t"/' -e 's/$/\\n"/' "$1"
}

type() {
    case $1 in
    *.html) echo 'text/html; charset=utf-8' ;;
    *.css) echo 'text/css; charset=utf-8' ;;
    *.js) echo 'text/javascript; charset=utf-8' ;;
    *.svg) echo 'image/svg+xml' ;;
    *)
        echo "embed.sh: of what type is $1?" >&2
        exit 1
        ;;
    esac
}

echo '#include "monitor/console_assets.h"'
echo
echo 'const struct console_asset console_assets[] = {'
for file in "$@"; do
    name=$(basename "$file")
    media=$(type "$name")
    [ "$name" != index.html ] || name=
    printf '{"/console/%s", "%s",\n' "$name" "$media"
    literal "$file"
    echo '},'
done
echo '{0, 0, 0}};'
