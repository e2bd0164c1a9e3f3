//! The parameters of a request, as Query writes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_aws_fuzz::check_form(bytes));
