# Bash completion for outbox-relay. The lists come from the program's own help, so that they are
# those of the version that is installed.

_outbox_relay_options() {
    "$1" "$2" --help 2>/dev/null | sed -n 's/^ .*--\([a-z-]*\).*/--\1/p'
}

_outbox_relay() {
    local program=$1 current=$2 previous=$3
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        # shellcheck disable=SC2207
        COMPREPLY=($(compgen -W "$("$program" --help 2>/dev/null |
            sed -n 's/^  \([a-z]*\)  .*/\1/p') --help --version" -- "$current"))
        return
    fi
    case $previous in
    -c | --config)
        # shellcheck disable=SC2207
        COMPREPLY=($(compgen -f -- "$current"))
        return ;;
    --status)
        # shellcheck disable=SC2207
        COMPREPLY=($(compgen -W "sending sent failed" -- "$current"))
        return ;;
    --older | --newer)
        # shellcheck disable=SC2207
        COMPREPLY=($(compgen -W "5m 1h 1d 7d 4w" -- "$current"))
        return ;;
    esac
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$(_outbox_relay_options "$program" "${COMP_WORDS[1]}")" -- "$current"))
}

complete -F _outbox_relay outbox-relay
