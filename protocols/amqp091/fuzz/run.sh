#!/usr/bin/env bash
# Fuzzes each target for the given number of seconds: protocols/amqp091/fuzz/run.sh SECONDS [TARGET...]
# Writes the seed corpus anew: protocols/amqp091/fuzz/run.sh seeds
# How: tests/fuzz.sh.
cd "$(dirname "$0")" && exec ../../../tests/fuzz.sh 8192 "frame method" "$@"
