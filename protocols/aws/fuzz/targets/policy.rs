//! The policy of a queue.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_aws_fuzz::check_policy(bytes));
