#!/bin/sh
# Builds the program and runs its tests, installing what they need:
#
#   sh tests/run.sh                                 all
#   sh tests/run.sh unit
#   sh tests/run.sh simulation                      relays in any weather, in memory
#   sh tests/run.sh fuzz [SECONDS]                  each fuzz target for so long, 2 unless said
#   sh tests/run.sh integration [pytest argument…]  for example: -k poison -x
#   sh tests/run.sh fault [pytest argument…]        a chosen subset of the fault scenarios
#   sh tests/run.sh all-faults [pytest argument…]   all of them; writes tests/fault/RESULTS.md
#   sh tests/run.sh soak [--minutes N] [--seed N]   random faults; writes the same
#
# Unit tests run four times: as released, with the address and undefined-behaviour sanitizers, with
# the thread sanitizer, and under valgrind. The last two take only the suites where they see what
# the others do not, unless ALL=1, as in CI. The integration tests drive the program that is built
# with the address and undefined-behaviour sanitizers (RELAY=build/outbox-relay: the release
# build), several at a time. What failed is said again at the end, for whoever has only that of a
# long log. The last line counts everything.
set -u
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
complete=
scratch=$(mktemp -d "${TMPDIR:-/tmp}/outbox-relay-test.XXXXXX") || exit 1
chmod a+rx "$scratch" # for the servers' users

# Also the way out for a signal or a broken step: whatever was not run has failed.
finish() {
    trap '' HUP INT TERM
    [ ! -d "$scratch/servers" ] || sh deploy/servers.sh stop "$scratch/servers"
    if [ -s "$scratch/failures" ]; then
        title "what failed"
        cat "$scratch/failures"
        echo
    fi
    rm -rf "$scratch"
    if [ -z "$complete" ]; then
        echo "The run did not get to its end."
        failed=$((failed + 1))
    fi
    echo "$passed passed, $failed failed"
    [ $failed = 0 ] && exit 0
    exit 1
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

title() {
    printf '\n== %s\n' "$*"
}

# say_again NAME: what failed, with the end of what it said (standard input)
say_again() {
    {
        echo "$1"
        tail -n 60 | cut -c 1-1000 | sed 's/^/    /'
    } >>"$scratch/failures"
}

# build SANITIZERS TARGET…: "" for the release build
build() {
    sanitizers=$1
    shift
    make -s -j2 DEVELOPER=1 SANITIZE="$sanitizers" "$@" || exit 1
}

# Suites of code that has threads, or signal handlers.
threaded="test_log test_rabbitmq_driver test_resolve test_status test_stop test_tls"
# Suites of code that hands bytes from outside to libraries, or takes them: valgrind sees the use
# of what nobody wrote, also inside of those, but makes each test some 20 times as slow.
byte_eaters="test_buffer test_pg_params test_rabbitmq_encode test_rabbitmq_table test_yaml"

# suites NAME…: all there are with ALL=1
suites() {
    [ -z "${ALL-}" ] || set -- $(ls tests/unit | sed -n 's/^\(test_.*\)\.c$/\1/p')
    echo "$@"
}

# unit_suite FOLDER "NAME…" [PREFIX…]: these test binaries of that build, as many at a time as
# there are processors.
unit_suite() {
    folder=$1
    names=$2
    shift 2
    # shellcheck disable=SC2016,SC2086
    printf '%s\n' $names | xargs -P "$(nproc)" -I NAME sh -c \
        '"$@" >"$0.output" 2>&1 </dev/null; echo $? >"$0.status"' "$scratch/NAME" \
        env CK_DEFAULT_TIMEOUT=60 TMPDIR="$scratch" timeout --foreground 900 "$@" "$folder/tests/unit/NAME"
    for name in $names; do
        count_unit "$name" "$folder${1:+ $1}"
    done
}

# count_unit NAME WHERE: believes Check's own line: "100%: Checks: 7, Failures: 0, Errors: 0"
count_unit() {
    where=$2
    # shellcheck disable=SC2046
    set -- "$1" $(sed -n '
        s/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' \
        "$scratch/$1.output")
    bad=$((${3:-0} + ${4:-0}))
    good=$((${2:-0} - bad))
    # It crashed, a leak was found after the last test, or there was no test.
    if [ $bad = 0 ] && { [ "$(cat "$scratch/$1.status")" != 0 ] || [ $good = 0 ]; }; then
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    printf '%-30s %4d passed%s\n' "$1" $good "$([ $bad = 0 ] || echo ", $bad FAILED")"
    if [ $bad != 0 ]; then
        sed 's/^/    /' "$scratch/$1.output"
        say_again "$1 of $where" <"$scratch/$1.output"
    fi
    rm -f "$scratch/$1.output" "$scratch/$1.status"
}

unit() {
    every=$(ALL=1 suites)
    title "unit tests"
    build "" unit-tests
    unit_suite build "$every"
    title "unit tests with SANITIZE=address,undefined"
    build address,undefined unit-tests
    unit_suite build-address-undefined "$every"
    # Where nothing is found in a few rounds of a random test, more rounds take long.
    export UNIT_QUICK=1
    # shellcheck disable=SC2086
    names=$(suites $threaded)
    title "unit tests with SANITIZE=thread"
    # shellcheck disable=SC2046
    build thread $(printf 'build-thread/tests/unit/%s ' $names)
    unit_suite build-thread "$names"
    # shellcheck disable=SC2086
    names=$(suites $byte_eaters)
    title "unit tests under valgrind"
    unit_suite build "$names" valgrind -q --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite --show-leak-kinds=definite
}

# The same seeds each time, and one that nobody has seen.
simulation() {
    title "simulation"
    build "" simulation
    random=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    for seeds in '20 1' "1 $random"; do
        # shellcheck disable=SC2086
        if timeout --foreground 300 build/tests/simulation/simulation $seeds 50000 \
            >"$scratch/simulation.output" 2>&1; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            say_again "simulation $seeds 50000" <"$scratch/simulation.output"
        fi
        cat "$scratch/simulation.output"
    done
}

# All seeds, and a moment of searching.
fuzz() {
    title "fuzz targets"
    sh deploy/packages.sh build fuzz || exit 1
    mkdir -p build-fuzz
    sh tests/fuzz/run.sh "${1:-2}" | tee "$scratch/fuzz.output"
    good=$(grep -c ': nothing found$' "$scratch/fuzz.output")
    total=$(ls tests/fuzz/fuzz_*.c | wc -l)
    passed=$((passed + good))
    failed=$((failed + total - good))
    [ "$good" = "$total" ] || say_again "fuzz targets" <"$scratch/fuzz.output"
}

# One pair for the whole run.
servers() {
    title "starting a private PostgreSQL and RabbitMQ"
    build "" all bench-programs
    [ -n "${RELAY-}" ] || build address,undefined all
    build "" FAILPOINTS=1 all
    build "" preloads
    mkdir "$scratch/servers"
    # See tests/harness/secrets.py.
    SERVERS_PASSWORD=mine/c4nary sh deploy/servers.sh start "$scratch/servers" || exit 1
}

# against_servers SECONDS PYTEST-ARGUMENT…
against_servers() {
    [ -d "$scratch/servers" ] || servers
    seconds=$1
    shift
    # shellcheck disable=SC2086
    SERVERS="$scratch/servers" RELAY="${RELAY:-build-address-undefined/outbox-relay}" \
        PYTHONDONTWRITEBYTECODE=1 timeout --foreground -s INT "$seconds" \
        /usr/bin/python3 -m pytest -v -p no:cacheprovider --basetemp="$scratch/pytest" \
        --junitxml="$scratch/junit.xml" -o faulthandler_timeout=600 \
        ${workers:+-n $workers --dist loadgroup} "$@" </dev/null
    count_pytest $?
}

# These wait more than they work.
workers=3

integration() {
    title "integration tests"
    against_servers 1200 tests/integration "$@"
}

# Without arguments the quick ones: the others take minutes each.
fault() {
    title "fault scenarios"
    [ $# -gt 0 ] || set -- -m quick
    against_servers 1200 tests/fault "$@"
}

# One at a time: they measure.
all_faults() {
    title "all fault scenarios"
    workers=
    [ $# -gt 0 ] || set -- --anew
    against_servers 7200 --results -m "scenario or quick or harness" tests/fault tests/integration "$@"
}

soak() {
    title "soak"
    build "" all
    if TMPDIR=$scratch PYTHONDONTWRITEBYTECODE=1 \
        /usr/bin/python3 tests/fault/soak.py "$@" </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

count_pytest() {
    # shellcheck disable=SC2046
    set -- "$1" $(/usr/bin/python3 - "$scratch/junit.xml" "$scratch/failures" <<'END'
import sys, xml.etree.ElementTree as xml
suite = xml.parse(sys.argv[1]).getroot().find("testsuite")
total, *bad = (int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped"))
print(total - sum(bad), sum(bad[:2]))
with open(sys.argv[2], "a") as again:
    for case in suite.iter("testcase"):
        for why in (*case.findall("failure"), *case.findall("error")):
            lines = (why.text or why.get("message", "")).splitlines()[-60:]
            print(case.get("classname"), case.get("name"), file=again)
            print(*("    " + line[:1000] for line in lines), sep="\n", file=again)
END
    )
    good=${2:-0}
    bad=${3:-0}
    if [ "$bad" = 0 ] && [ "$1" != 0 ]; then
        bad=1
        echo "pytest ended with $1" >>"$scratch/failures"
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

what=${1-}
[ $# = 0 ] || shift
case $what in
"" | unit | simulation | fuzz | integration | fault | all-faults | soak) ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
    exit 64 ;;
esac
sh deploy/packages.sh build servers tests || exit 1
case $what in
"")
    unit
    simulation
    fuzz
    integration
    fault ;;
all-faults)
    all_faults "$@" ;;
*)
    "$what" "$@" ;;
esac
complete=yes
echo
