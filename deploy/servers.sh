#!/bin/sh
# A private PostgreSQL and a private RabbitMQ for the demo and the tests: below one folder, on
# free ports of the loopback interface, as unprivileged users, independent of any server that
# the machine runs already.
#
#   servers.sh start DIR [postgres] [rabbitmq]   both unless named; what runs is left running
#   servers.sh stop DIR [postgres] [rabbitmq]    data and ports stay, for a next start
#   servers.sh standby DIR OF                    a streaming copy of OF's PostgreSQL, to start
#   servers.sh psql DIR [argument...]            as superuser
#   servers.sh rabbitmqctl DIR [argument...]
#
# The passwords of the role `outbox` and the user `guest` are the same words, or both
# $SERVERS_PASSWORD (letters, digits and slashes) at the first start.
#
# start writes DIR/env (for `.` in a shell, or to read line by line): DATABASE_URL of the role
# and database `outbox`, PGHOST, PGPORT, PGUSER of the superuser, AMQP_URL. Process ids are in
# DIR/NAME.pid, logs in DIR/NAME.log. DIR exists; the caller deletes it.
set -eu
. "$(dirname "$0")/process.sh"

rabbitmq_bin=/usr/lib/rabbitmq/bin

die() {
    echo "servers.sh: $*" >&2
    exit 1
}

# --- processes --------------------------------------------------------------------------------

# A server must not run as root. setpriv replaces itself by the command, so that the id of the
# background process is the server's.
as_user() {
    [ "$(id -u)" != 0 ] || echo "setpriv --reuid=$1 --regid=$1 --init-groups"
}

# serve NAME USER COMMAND...
serve() {
    name=$1
    user=$2
    shift 2
    # shellcheck disable=SC2046
    spawn "$name" $(as_user "$user") "$@" >"$dir/$name.log" 2>&1
}

# await NAME TEXT: until TEXT stands in the log, at most a minute.
await() {
    tries=600
    until grep -q "$2" "$dir/$1.log"; do
        tries=$((tries - 1))
        if [ $tries = 0 ] || ! is_running "$1"; then
            tail -n 20 "$dir/$1.log" >&2
            die "$1 did not start"
        fi
        sleep 0.1
    done
}

# Ports below the range from which the kernel takes those of outgoing connections: nobody gets
# one of ours between this look and the server's start by chance.
free_ports() {
    /usr/bin/python3 - "$1" <<'END'
import random, socket, sys

held = []
while len(held) < int(sys.argv[1]):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(15000, 32000)))
        held.append(s)
    except OSError:
        s.close()
print(*(s.getsockname()[1] for s in held))
END
}

# --- PostgreSQL -------------------------------------------------------------------------------

postgres_bin() {
    ls -d /usr/lib/postgresql/*/bin | sort -t / -k 5 -n | tail -n 1
}

init_postgres() {
    mkdir "$dir/postgres"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/postgres"
    # shellcheck disable=SC2046
    $(as_user postgres) "$(postgres_bin)/initdb" -D "$dir/postgres/data" -U postgres \
        --no-locale -E UTF8 --no-sync >"$dir/initdb.log" 2>&1 ||
        { cat "$dir/initdb.log" >&2; die "initdb failed"; }
    # Shared memory that even a killed server leaves nowhere but in its own folder (mmap).
    cat >>"$dir/postgres/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $PGPORT
unix_socket_directories = '$dir/postgres'
unix_socket_permissions = 0700
max_connections = 200
max_prepared_transactions = 10
password_encryption = scram-sha-256
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %q%a '
END
    cat >"$dir/postgres/data/pg_hba.conf" <<END
local all postgres trust
local replication postgres trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
END
}

start_postgres() {
    [ -d "$dir/postgres" ] || init_postgres
    is_running postgres ||
        serve postgres postgres "$(postgres_bin)/postgres" -D "$dir/postgres/data"
}

await_postgres() {
    await postgres 'database system is ready to accept .*connections'
    [ ! -e "$dir/initdb.log" ] || {
        psql -q -v ON_ERROR_STOP=1 \
            -c "CREATE ROLE outbox LOGIN CREATEDB PASSWORD '$PASSWORD'" \
            -c "CREATE DATABASE outbox OWNER outbox"
        rm "$dir/initdb.log"
    }
}

standby() {
    of=$(cd "$1" && pwd)
    mkdir "$dir/postgres"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/postgres"
    # shellcheck disable=SC2046
    $(as_user postgres) "$(postgres_bin)/pg_basebackup" -h "$of/postgres" -U postgres \
        -p "$(sed -n 's/^PGPORT=//p' "$of/env")" -D "$dir/postgres/data" -R -c fast --no-sync
    cat >>"$dir/postgres/data/postgresql.conf" <<END
port = $PGPORT
unix_socket_directories = '$dir/postgres'
END
}

psql() {
    PGHOST=$PGHOST PGPORT=$PGPORT PGUSER=$PGUSER PGDATABASE=${PGDATABASE:-postgres} \
        "$(postgres_bin)/psql" -X "$@"
}

# --- RabbitMQ ---------------------------------------------------------------------------------

init_rabbitmq() {
    mkdir -p "$dir/rabbitmq/conf.d"
    cat >"$dir/rabbitmq/rabbitmq.conf" <<END
listeners.tcp.default = 127.0.0.1:$AMQP_PORT
disk_free_limit.absolute = 50MB
default_pass = $AMQP_PASSWORD
END
    echo '[rabbitmq_auth_mechanism_ssl].' >"$dir/rabbitmq/plugins"
    echo '[].' >"$dir/rabbitmq/advanced.config"
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$dir/rabbitmq/.erlang.cookie"
    chmod 400 "$dir/rabbitmq/.erlang.cookie"
    [ "$(id -u)" != 0 ] || chown -R rabbitmq:rabbitmq "$dir/rabbitmq"
}

# A clean environment, so that nothing of the machine's own broker is read or written. Erlang
# nodes find each other through epmd, which runs on as a daemon when Erlang starts it; we start
# one of our own, in the foreground. ERL_FLAGS reaches every Erlang there is, rabbitmqctl too.
rabbitmq_env() {
    conf=$dir/rabbitmq
    echo "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=$conf
        ERL_EPMD_PORT=$EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP_SECONDS=0
        RABBITMQ_NODENAME=$NODE RABBITMQ_DIST_PORT=$DIST_PORT
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$conf/rabbitmq.conf
        RABBITMQ_CONFIG_FILES=$conf/conf.d RABBITMQ_ADVANCED_CONFIG_FILE=$conf/advanced.config
        RABBITMQ_ENABLED_PLUGINS_FILE=$conf/plugins RABBITMQ_MNESIA_BASE=$conf/data
        RABBITMQ_SCHEMA_DIR=$conf/schema RABBITMQ_LOG_BASE=$conf RABBITMQ_LOGS=-
        RUNNING_UNDER_SYSTEMD=true" # that is: one process, no shell that waits for it
}

erl_flags() {
    echo "ERL_FLAGS=+S 2:2 -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
}

start_rabbitmq() {
    [ -d "$dir/rabbitmq" ] || init_rabbitmq
    # shellcheck disable=SC2046
    is_running epmd || serve epmd rabbitmq epmd -address 127.0.0.1 -port "$EPMD_PORT"
    # shellcheck disable=SC2046
    is_running rabbitmq ||
        serve rabbitmq rabbitmq $(rabbitmq_env) "$(erl_flags)" "$rabbitmq_bin/rabbitmq-server"
}

await_rabbitmq() {
    await rabbitmq 'Server startup complete'
}

rabbitmqctl() {
    # shellcheck disable=SC2046
    $(as_user rabbitmq) $(rabbitmq_env) "$(erl_flags)" "$rabbitmq_bin/rabbitmqctl" "$@"
}

# --- commands ---------------------------------------------------------------------------------

allot() {
    # shellcheck disable=SC2046
    set -- $(free_ports 4)
    password=$(echo "${SERVERS_PASSWORD:-outbox}" | sed 's,/,%2F,g')
    amqp_password=$(echo "${SERVERS_PASSWORD:-guest}" | sed 's,/,%2F,g')
    cat >"$dir/env" <<END
DATABASE_URL=postgresql://outbox:$password@127.0.0.1:$1/outbox
PASSWORD=${SERVERS_PASSWORD:-outbox}
PGHOST=$dir/postgres
PGPORT=$1
PGUSER=postgres
AMQP_URL=amqp://guest:$amqp_password@127.0.0.1:$2/%2f
AMQP_PASSWORD=${SERVERS_PASSWORD:-guest}
AMQP_PORT=$2
DIST_PORT=$3
EPMD_PORT=$4
NODE=relay$4@localhost
END
}

start() {
    chmod a+rx "$dir" # for the servers' users
    [ -e "$dir/env" ] || allot
    . "$dir/env"
    for server in "$@"; do "start_$server"; done # at the same time
    for server in "$@"; do "await_$server"; done
}

stop() {
    for server in "$@"; do
        case $server in
        postgres) end postgres INT ;; # "fast": does not wait for clients
        rabbitmq)
            end rabbitmq
            end epmd ;;
        esac
    done
}

[ $# -ge 2 ] && [ -d "$2" ] || {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
    exit 64
}
command=$1
dir=$(cd "$2" && pwd)
shift 2
cd "$dir"
case $command in
start | stop)
    [ $# -gt 0 ] || set -- rabbitmq postgres
    "$command" "$@" ;;
standby)
    [ -e "$dir/env" ] || allot
    . "$dir/env"
    chmod a+rx "$dir"
    standby "$@" ;;
psql | rabbitmqctl)
    . "$dir/env"
    "$command" "$@" ;;
*)
    die "unknown command $command" ;;
esac
