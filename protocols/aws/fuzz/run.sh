#!/usr/bin/env bash
# Fuzzes each target for the given number of seconds: protocols/aws/fuzz/run.sh SECONDS [TARGET...]
# Writes the seed corpus anew: protocols/aws/fuzz/run.sh seeds
#
# Needs stable Rust and g++ only: coverage is asked of LLVM directly, without cargo-fuzz and its nightly compiler.
# New inputs go to a folder beside the build and not into the checked-in corpus. A crash leaves its input in
# fuzz/artifacts/TARGET/ and ends the script with an error.
set -euo pipefail
cd "$(dirname "$0")"

if [[ "${1:-}" == seeds ]]; then
    exec cargo run --quiet --bin seeds
fi
seconds=${1:?usage: run.sh SECONDS [TARGET...] | run.sh seeds}
shift
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(requests form signature policy)

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
    "$build/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=512 -timeout=5 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 "$found" "corpus/$target" 2>&1 |
        tail -n 25
done
