#compdef outbox-relay
# Zsh completion for outbox-relay: commands and options with what the program's own help says of
# them, so that they are those of the version that is installed.

_outbox_relay_told() { # PATTERN TEXT…: what it matches in each line, with the words behind
    local pattern=$1 line
    local -a names told
    shift
    for line in "$@"; do
        [[ $line =~ $pattern ]] || continue
        names+=("$match[1]")
        told+=("$match[1]  -- $match[-1]")
    done
    compadd -l -d told -a names
}

_outbox_relay() {
    local program=$words[1]
    if ((CURRENT == 2)); then
        _outbox_relay_told '^  ([a-z]+)  +(.*)$' "${(@f)$($program --help 2>/dev/null)}"
        compadd -- --help --version
        return
    fi
    case $words[CURRENT-1] in
    -c | --config) _files ;;
    --status) compadd -- sending sent failed ;;
    --older | --newer) compadd -- 5m 1h 1d 7d 4w ;;
    *)
        _outbox_relay_told '^ .*(--[a-z-]+)( [A-Z]+)?  +(.*)$' \
            "${(@f)$($program $words[2] --help 2>/dev/null)}"
        ;;
    esac
}

_outbox_relay "$@"
