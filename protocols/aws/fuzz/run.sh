#!/usr/bin/env bash
# Fuzzes each target for the given number of seconds: protocols/aws/fuzz/run.sh SECONDS [TARGET...]
# Writes the seed corpus anew: protocols/aws/fuzz/run.sh seeds
# How: tests/fuzz.sh.
cd "$(dirname "$0")" && exec ../../../tests/fuzz.sh 4096 "requests form signature policy" "$@"
