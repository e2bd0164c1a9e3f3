//! What stands in a filter policy, and a message beside it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_broker_fuzz::check_filter(bytes));
