//! What a client sends: frames, one behind the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_stomp_fuzz::check_frames(bytes));
