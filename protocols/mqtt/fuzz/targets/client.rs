//! What a client sends, as a server reads it: CONNECT, then packets of its version.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_mqtt_fuzz::check_client(bytes));
