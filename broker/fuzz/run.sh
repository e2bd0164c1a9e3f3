#!/usr/bin/env bash
# Fuzzes each target for the given number of seconds: broker/fuzz/run.sh SECONDS [TARGET...]
# Writes the seed corpus anew: broker/fuzz/run.sh seeds
# How: tests/fuzz.sh.
cd "$(dirname "$0")" && exec ../../tests/fuzz.sh 4096 "filters bodies" "$@"
