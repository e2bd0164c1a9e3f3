//! What a client sends: requests, one behind the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_aws_fuzz::check_requests(bytes));
