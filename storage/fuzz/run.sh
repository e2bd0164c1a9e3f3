#!/bin/sh
# Fuzzes recovery of the journal and of a log, each for so many seconds (60 if none are given). Needs a stable Rust and a C++ compiler, nothing else.
set -eu
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
command -v "${CXX:-c++}" >/dev/null || { echo "run.sh: libFuzzer needs a C++ compiler (g++ or clang++)" >&2; exit 1; }

# What cargo-fuzz passes, less the sanitizers: they need a nightly compiler, and there is no unsafe code here for them.
passes="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
passes="$passes -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$passes --cfg fuzzing" cargo build --release --quiet --target "$target"

for name in recovery log; do
    mkdir -p "corpus/$name" "artifacts/$name"
    binary="${CARGO_TARGET_DIR:-target}/$target/release/$name"
    "$binary" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=3072 -print_final_stats=1 \
        -artifact_prefix="artifacts/$name/" "corpus/$name" "seeds/$name"
done
