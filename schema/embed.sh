#!/bin/sh
# Turns the migrations into C: schema/embed.sh FILE… > schema.c. A numbered file becomes an
# element of schema_migrations, roles.sql becomes schema_roles; see relay/store/migrate.h.
set -eu

literal() {
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/\t"/' -e 's/$/\\n"/' "$1"
}

echo '#include "store/migrate.h"'
echo
echo 'const struct migration schema_migrations[] = {'
for file in "$@"; do
    name=$(basename "$file" .sql)
    case $name in
    [0-9]*)
        version=$(echo "${name%%_*}" | sed 's/^0*//')
        printf '{%s, "%s",\n' "$version" "${name#*_}"
        literal "$file"
        echo '},'
        ;;
    esac
done
echo '{0, 0, 0}};'
for file in "$@"; do
    case $(basename "$file") in
    roles.sql)
        echo
        echo 'const char schema_roles[] ='
        literal "$file"
        echo ';'
        ;;
    esac
done
