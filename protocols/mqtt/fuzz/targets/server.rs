//! What a server sends, as a client reads it: the first byte picks the version.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_mqtt_fuzz::check_server(bytes));
