#!/bin/sh
# Runs the fuzz targets, one after the other, each for so many seconds.
#
#   sh scripts/fuzz.sh SECONDS [TARGET...]
#
# Needs a nightly toolchain and cargo-fuzz (cargo install --locked cargo-fuzz). Prints of each target
# how long it ran, how many inputs, how many a second, and how many findings its directory of
# artifacts holds; ends with 1 if there are any, or if a target did not build or run.
set -eu
cd "$(dirname "$0")/.."

case ${1:-} in
'' | *[!0-9]*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
seconds=$1
shift

packages='ledger replica audit'

# RocksDB is built by the system's C++ compiler, whose AddressSanitizer does not go with rustc's.
sanitizer() { if [ "$1" = ledger ]; then echo address; else echo none; fi; }

# The targets that have a file, as package/target.
targets() {
    for package in $packages; do
        for file in "$package"/fuzz/targets/*.rs; do
            name=${file##*/}
            echo "$package/${name%.rs}"
        done
    done
}

if [ ! -d ledger/fuzz/corpus ]; then
    (cd ledger/fuzz && cargo +nightly run --locked --release --example seeds)
fi

for name in "$@"; do
    case " $(targets | sed 's/.*\///' | tr '\n' ' ') " in
    *" $name "*) ;;
    *) echo "no fuzz target is named $name; CONTRIBUTING.md lists them" >&2 && exit 2 ;;
    esac
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
printf '%-10s %8s %12s %8s %8s\n' target seconds runs runs/s findings
for target in $(targets); do
    package=${target%/*} name=${target#*/}
    case " $* " in '  ' | *" $name "*) ;; *) continue ;; esac
    cargo +nightly fuzz run --fuzz-dir "$package/fuzz" --release -s "$(sanitizer "$package")" "$name" -- \
        -max_total_time="$seconds" -timeout=120 -rss_limit_mb=4096 -print_final_stats=1 \
        >"$log" 2>&1 || { failed=1 && tail -n 40 "$log" >&2; }
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    ran=$(sed -n 's/^Done .* runs in \([0-9]*\) second.*/\1/p' "$log")
    findings=$(find "$package/fuzz/artifacts/$name" -type f 2>/dev/null | wc -l)
    [ "$findings" -eq 0 ] || failed=1
    printf '%-10s %8s %12s %8s %8d\n' "$name" "${ran:--}" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$findings"
done
[ "$failed" -eq 0 ]
