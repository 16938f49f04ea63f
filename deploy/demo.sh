#!/bin/sh
# The main job, before your eyes: a shop commits orders with their messages to PostgreSQL, the
# relay carries the messages to RabbitMQ, a consumer receives them.
#
#   sh deploy/demo.sh             all by itself, and leaves nothing behind
#   KEEP=1 sh deploy/demo.sh      leaves servers and relay running, and says how to look at them
#   sh deploy/demo.sh stop DIR    ends what KEEP=1 has left
#
# Installs what it lacks, builds, and runs private servers on free ports of the loopback
# interface. Fails when one of its own claims does not hold.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. deploy/process.sh

bold='' plain=''
if [ -t 1 ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
step() {
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

stop_all() {
    end consumer
    end relay
    sh deploy/servers.sh stop "$dir"
    rm -rf "$dir"
}

if [ "${1-}" = stop ]; then
    dir=$2
    [ -s "$dir/relay.pid" ] || { echo "$dir is no folder of this demo" >&2; exit 64; }
    stop_all
    exit
fi

sh deploy/packages.sh build servers demo
step "Building"
make -s -j2 all
echo "  $(build/outbox-relay --version | head -n 1)"

dir=$(mktemp -d "${TMPDIR:-/tmp}/outbox-relay-demo.XXXXXX")
finish() {
    status=$?
    trap '' HUP INT TERM
    if [ $status -gt 1 ] && [ -s "$dir/relay.log" ]; then
        echo "The relay's last words:"
        tail -n 5 "$dir/relay.log"
    fi
    if [ -n "${KEEP-}" ] && [ $status -le 1 ]; then
        end consumer
        keep
    else
        stop_all
    fi
    exit $status
}
keep() {
    step "Left running (KEEP=1); in $root:"
    cat <<END
  the rows        psql $DATABASE_URL -c 'SELECT id, routing_key, status, try_count, last_error FROM message_log ORDER BY id DESC LIMIT 5'
  the log         tail -f $dir/relay.log
  more orders     /usr/bin/python3 deploy/demo/shop.py $DATABASE_URL
  a consumer      /usr/bin/python3 deploy/demo/consumer.py $AMQP_URL /dev/null
  the broker      sh deploy/servers.sh rabbitmqctl $dir list_queues
  end it all      sh deploy/demo.sh stop $dir
END
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

step "Starting a private PostgreSQL and a private RabbitMQ (some ten seconds)"
sh deploy/servers.sh start "$dir"
. "$dir/env"
export DATABASE_URL AMQP_URL PYTHONDONTWRITEBYTECODE=1
echo "  $DATABASE_URL"
echo "  $AMQP_URL"

step "Creating message_log: outbox-relay migrate"
build/outbox-relay migrate -c deploy/demo/outbox-relay.yaml 2>&1 | sed 's/^/  /'

step "Running: the relay, a consumer, and a shop that takes orders"
spawn consumer /usr/bin/python3 deploy/demo/consumer.py "$AMQP_URL" "$dir/received"
spawn relay build/outbox-relay run -c deploy/demo/outbox-relay.yaml >"$dir/relay.log" 2>&1
wait_for_line() {
    tries=100
    until grep -qs "$2" "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "not ready within 10 s: $1" >&2; exit 70; }
        sleep 0.1
    done
}
wait_for_line "$dir/received" ready
wait_for_line "$dir/relay.log" 'event=connected side=broker'
/usr/bin/python3 deploy/demo/shop.py "$DATABASE_URL"

step "Waiting until nothing is left to send (the message nobody listens to gets three attempts)"
status=0
/usr/bin/python3 deploy/demo/report.py "$DATABASE_URL" "$dir/received" || status=1
if [ -z "${KEEP-}" ]; then
    end relay
    [ "$(cat "$dir/relay.status")" = 0 ] || {
        echo "  the relay did not end in good order at SIGTERM"
        status=1
    }
fi
echo
exit $status
