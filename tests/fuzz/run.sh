#!/bin/sh
# Fuzzes each target from its seeds, and first runs all of its seeds once:
#
#   sh tests/fuzz/run.sh SECONDS [NAME…]     for example: 600 config frames
#
# Clang comes with `sh deploy/packages.sh build fuzz`. What was found lies in build-fuzz/found/,
# to become a seed in tests/fuzz/corpus/NAME/ together with the mend; what was learnt stays in
# build-fuzz/corpus/NAME/ for the next run. An input may take five seconds and 256 MiB.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:?seconds}
shift
[ $# -gt 0 ] || set -- $(ls tests/fuzz | sed -n 's/^fuzz_\(.*\)\.c$/\1/p')

make -s -j2 DEVELOPER=1 fuzzers || exit 1
mkdir -p build-fuzz/found
failed=0
for name in "$@"; do
    seeds=tests/fuzz/corpus/$name
    learnt=build-fuzz/corpus/$name
    log=build-fuzz/$name.log
    mkdir -p "$learnt"
    if ASAN_OPTIONS=detect_stack_use_after_return=1 "build-fuzz/tests/fuzz/fuzz_$name" \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 -malloc_limit_mb=256 \
        -max_len=16384 -print_final_stats=1 -artifact_prefix="build-fuzz/found/$name-" \
        "$learnt" "$seeds" >"$log" 2>&1 </dev/null; then
        sed -n 's/^stat::number_of_executed_units: *//p' "$log" |
            xargs printf 'fuzz %-10s %3d seeds, %s runs: nothing found\n' "$name" \
                "$(ls "$seeds" | wc -l)"
    else
        failed=1
        tail -n 40 "$log"
        echo "fuzz $name: FAILED, see build-fuzz/found and $log"
    fi
done
exit $failed
