#!/bin/sh
# Checks the models of the protocol with spin, each to the end of its states, and that the models
# with a mistake in them are found out:
#
#   sh tests/model/check.sh            all
#   sh tests/model/check.sh claim      those whose line holds this word
#
# KEEP=FOLDER keeps what spin found there, for `spin -t -p -g -l`. The last line counts.
set -u
cd "$(dirname "$0")" || exit 1
here=$(pwd)

# outcome, property, model, and what is defined. safety: assertions, and that nobody is left
# behind when all have come to rest. liveness: every row ends, if each process gets its turn.
models() {
    cat <<'END'
holds safety   doorbell
holds liveness doorbell
holds safety   doorbell CRASH WRITERS=1 COMMITS=2
holds liveness doorbell CRASH WRITERS=1
holds safety   doorbell SCHEDULED WRITERS=1 COMMITS=2
holds liveness doorbell SCHEDULED WRITERS=1
holds safety   doorbell EXACT RELAYS=1 COMMITS=3
holds liveness doorbell EXACT
fails safety   doorbell EXACT RELAYS=1 DEAF_CLAIM
fails safety   doorbell NO_SECOND_LOOK
fails safety   doorbell PEEK_FIRST
fails safety   doorbell NO_SHARED_LOCK
fails safety   doorbell DEAF
fails safety   doorbell CRASH NO_SHARED_TIMER
holds safety   claim CRASHES=1
holds safety   claim LOSSES=1
holds safety   claim EXPIRIES=1 BREAKS=1
holds safety   claim ROWS=2
holds liveness claim CRASHES=1 MAX_ATTEMPTS=1
holds liveness claim EXPIRIES=1 BREAKS=1 MAX_ATTEMPTS=1
holds safety   claim CRASHES=1 POOLED
fails safety   claim EARLY_SENT
fails safety   claim EXPIRIES=1 NO_CLAIM_CHECK
fails safety   claim NO_CLAIM_LOCK
fails safety   claim CRASHES=1 UNNAMED_BLAME
fails liveness claim CRASHES=1 NO_ADOPTION
holds safety   claim LOSSES=1 STRICT
holds safety   claim CRASHES=1 STRICT
fails safety   claim LOSSES=2 STRICT EAGER
holds safety   claim OUTAGES=1 STRICT
holds liveness claim OUTAGES=1 MAX_ATTEMPTS=1
fails safety   claim OUTAGES=1 STRICT UNWATCHED
END
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/outbox-relay-model.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0
failed=0
check() {
    expected=$1 property=$2 model=$3
    shift 3
    title="$model $*"
    flags=
    for name in "$@"; do
        flags="$flags -D$name"
    done
    folder=$scratch/$((passed + failed))
    mkdir "$folder" && cd "$folder" || exit 1
    # shellcheck disable=SC2086
    spin -a $flags "$here/$model.pml" >spin.out 2>&1 &&
        gcc -O2 -w -DCOLLAPSE -DNFAIR=4 -DMEMLIM=2000 -o pan pan.c || { cat spin.out; exit 1; }
    began=$(date +%s)
    case $property in
    safety) ./pan -noclaim -m1000000 >pan.out 2>&1 ;;
    liveness) ./pan -a -f -m1000000 >pan.out 2>&1 ;;
    esac
    took=$(($(date +%s) - began))
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out)
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.out)
    why=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' pan.out)
    # An exhausted limit is no proof.
    grep -q 'max search depth too small\|out of memory\|memory limit\|truncated' pan.out && errors=
    case $expected${errors:-?} in
    holds0 | fails1) passed=$((passed + 1)) verdict=ok ;;
    *) failed=$((failed + 1)) verdict='NOT AS EXPECTED' ;;
    esac
    printf '%-5s %-8s %-42s %9s states %3d s  %s\n' "$expected" "$property" "$title" "${states:-?}" $took \
        "$verdict${why:+: $why}"
    if [ -n "${KEEP-}" ]; then
        mkdir -p "$KEEP" && cp ./*.trail "$KEEP/" 2>/dev/null
    fi
    cd "$here" && rm -rf "$folder"
}

models | grep -e "${1-}" >"$scratch/list"
while read -r line; do
    # shellcheck disable=SC2086
    check $line
done <"$scratch/list"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed != 0 ]
