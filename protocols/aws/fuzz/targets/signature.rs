//! What a request says of its signature: a header, a date, or a query.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_aws_fuzz::check_signature(bytes));
