//! What stands in a body that policies look at.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_broker_fuzz::check_body(bytes));
