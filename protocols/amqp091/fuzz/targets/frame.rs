//! A stream of frames, as a connection receives it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_amqp091_fuzz::check_frames(bytes));
