//! What stands in a `destination` header.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_stomp_fuzz::check_destination(bytes));
