#!/bin/sh
# The folders of relay/ are floors of a house: a file includes headers of its own folder and of
# floors below. Neighbours on one floor do not see each other, each foreign library has one home,
# and x_private.h is for x.c and x_*.c alone. Prints what breaks that, and fails then.
set -eu
cd "$(dirname "$0")/.."

grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' relay | awk '
BEGIN {
	floor["base"] = 0
	floor["config"] = 1
	floor["store"] = floor["broker"] = 2
	floor["engine"] = 3
	floor["monitor"] = 4
	floor["cli"] = 5
	floor["main.c"] = 6

	home["amqp"] = "broker"
	home["openssl/"] = "base/(tls|hmac)"
	home["libpq-fe.h"] = "store/pg"
	home["yaml.h"] = "config/yaml"
	home["microhttpd.h"] = "monitor/http"
	home["curl/"] = "monitor/libcurl"
}

function complain(why) {
	print $0 ": " why
	bad = 1
}

{
	split($0, at, ":")
	split(at[1], path, "/")
	own = path[2]
	file = path[2] "/" path[3]
	name = $0
	gsub(/^[^<"]*[<"]|[>"].*$/, "", name)
	if (!(own in floor))
		complain("a folder without a floor, see tests/layers.sh")
}

/include *</ {
	for (library in home)
		if (index(name, library) == 1 && file !~ "^" home[library])
			complain("only " home[library] "* may include it")
	next
}

sub(/_private\.h$/, "", name) {
	sub(/.*\//, "", name)
	if (path[3] != name ".c" && index(path[3], name "_") != 1)
		complain("private to " name "*.c")
	next
}

{
	split(name, part, "/")
	if (part[1] == own || name !~ /\// || name == "config/option.h" && floor[own] > 0)
		next
	if (!(part[1] in floor) || floor[part[1]] >= floor[own])
		complain("not a floor below")
	else if (floor[own] == 2 && part[1] != "base")
		complain("store/ and broker/ take their settings as arguments")
}

END { exit bad }'
