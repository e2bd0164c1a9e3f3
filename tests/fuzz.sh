#!/usr/bin/env bash
# What the fuzz/run.sh of each protocol does, called in its folder:
#   fuzz.sh LENGTH_MAX "TARGET..." SECONDS [TARGET...]    fuzzes the targets named, or else all, for so many seconds each
#   fuzz.sh LENGTH_MAX "TARGET..." seeds                  writes the seed corpus anew
#
# Needs stable Rust and g++ only: coverage is asked of LLVM directly, without cargo-fuzz and its nightly compiler.
# New inputs go to a folder beside the build and not into the checked-in corpus. A crash leaves its input in
# artifacts/TARGET/ and ends the script with an error.
set -euo pipefail

length_max=$1
read -r -a targets <<<"$2"
shift 2
if [[ "${1:-}" == seeds ]]; then
    exec cargo run --quiet --bin seeds
fi
seconds=${1:?usage: run.sh SECONDS [TARGET...] | run.sh seeds}
shift
[[ $# -eq 0 ]] || targets=("$@")

# Names the target so that the flags stay off build scripts, which libFuzzer's main would break.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
build=${CARGO_TARGET_DIR:-target}

for target in "${targets[@]}"; do
    cargo build --quiet --release --target "$host" --target-dir "$build" --bin "$target"
    found="$build/found/$target"
    mkdir -p "$found" "artifacts/$target"
    echo "== $target: $seconds s"
    "$build/$host/release/$target" -max_total_time="$seconds" -max_len="$length_max" -rss_limit_mb=512 -timeout=5 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 "$found" "corpus/$target" 2>&1 |
        tail -n 25
done
