# Background processes of deploy/servers.sh and deploy/demo.sh, kept by name in the folder $dir:
# NAME.pid while they run, NAME.status (the exit status) from then on. To be sourced.
# shellcheck shell=sh disable=SC2154

# spawn NAME COMMAND...: in a session of its own, so that Ctrl-C in a terminal reaches our
# caller only, who then ends all in good order. A shell stays as the parent: a killed PostgreSQL
# that nobody has waited for would still count as running when it starts again.
spawn() {
    name=$1
    shift
    rm -f "$dir/$name.pid" "$dir/$name.status"
    # shellcheck disable=SC2016
    setsid sh -c '"$@" & echo $! >"$0.pid"; wait $!; echo $? >"$0.status"' "$dir/$name" "$@" \
        </dev/null &
    until [ -s "$dir/$name.pid" ]; do sleep 0.02; done
}

is_running() {
    [ -s "$dir/$1.pid" ] && [ -d "/proc/$(cat "$dir/$1.pid")" ]
}

# end NAME [SIGNAL]: asks, waits at most 25 seconds, then insists.
end() {
    signal=${2:-TERM}
    tries=250
    while is_running "$1"; do
        case $tries in
        250) kill -s "$signal" "$(cat "$dir/$1.pid")" || true ;;
        0) kill -s KILL "$(cat "$dir/$1.pid")" || true ;;
        -50) echo "$1 cannot be stopped" >&2; return 1 ;;
        esac 2>/dev/null
        tries=$((tries - 1))
        sleep 0.1
    done
    rm -f "$dir/$1.pid"
}
