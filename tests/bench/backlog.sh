#!/bin/sh
# How fast a backlog drains, against the ceiling: a bare librabbitmq publisher with confirms,
# same queue, same bodies, no database. On private servers, in one run, alternating.
#
#   sh tests/bench/backlog.sh [ROWS [BODY_BYTES [ROUNDS]]]       200000 256 3
#
# Prints messages a second of each and their ratio, round by round; the median ratio last.
# With NAME=value in the environment: QUEUE_TYPE=classic|quorum, ON_SENT=mark|delete.
set -eu
cd "$(dirname "$0")/../.."

rows=${1:-200000}
bytes=${2:-256}
rounds=${3:-3}
queue_type=${QUEUE_TYPE:-quorum}
on_sent=${ON_SENT:-mark}

sh deploy/packages.sh build servers
make -s build/outbox-relay build/tests/bench/bare
scratch=$(mktemp -d "${TMPDIR:-/tmp}/outbox-relay-bench.XXXXXX")
chmod a+rx "$scratch"
trap 'sh deploy/servers.sh stop "$scratch"; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
sh deploy/servers.sh start "$scratch" >/dev/null
. "$scratch/env"

sql() {
    psql -qAt -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$1"
}

# The queue is made anew each time: a long one is slower.
configure() {
    cat >"$scratch/relay.yaml" <<END
database: {url: "$DATABASE_URL"}
broker:
  urls: ["$AMQP_URL"]
  topology: {queues: [{name: $1, type: $queue_type}]}
relay: {on_sent: $on_sent, name: bench}
http: {listen: "off"}
log: {level: warn}
END
}

now() {
    date +%s%N
}

# Rates are whole messages a second.
relay_rate() {
    configure "relay$1"
    sql "TRUNCATE message_log" # before: a run before left rows behind
    sql "INSERT INTO message_log (exchange, routing_key, payload)
         SELECT '', 'relay$1', convert_to(repeat('x', $bytes), 'UTF8')
         FROM generate_series(1, $rows)"
    sql "CHECKPOINT" 2>/dev/null || true # needs a superuser in PostgreSQL 15
    began=$(now)
    build/outbox-relay run --until-empty -c "$scratch/relay.yaml"
    ended=$(now)
    left=$(sql "SELECT count(*) FROM message_log WHERE status <> 'sent'")
    [ "$left" = 0 ] || { echo "$left rows were not sent" >&2; exit 1; }
    echo $((rows * 1000000000 / (ended - began)))
}

bare_rate() {
    configure "bare$1"
    sql "TRUNCATE message_log"
    build/outbox-relay run --until-empty -c "$scratch/relay.yaml" # declares the queue
    build/tests/bench/bare "$AMQP_URL" "bare$1" "$rows" "$bytes"
}

configure none
build/outbox-relay migrate -c "$scratch/relay.yaml" >/dev/null
echo "$rows rows of $bytes bytes, $queue_type queue, on_sent: $on_sent, $(nproc) cores"
printf '%-7s %10s %10s %7s\n' round bare relay ratio
round=1
while [ "$round" -le "$rounds" ]; do
    bare=$(bare_rate "$round")
    relay=$(relay_rate "$round")
    echo "$round $bare $relay" |
        awk '{printf "%-7d %8d/s %8d/s %7.2f\n", $1, $2, $3, $3 / $2}' | tee -a "$scratch/ratios"
    round=$((round + 1))
done
sort -k4 -n "$scratch/ratios" | awk '{r[NR] = $4} END {printf "median ratio %.2f\n", r[int((NR + 1) / 2)]}'
