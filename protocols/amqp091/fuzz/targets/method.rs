//! The payload of a frame, taken for a method, a content header and a field table.
#![no_main]

use gantry_amqp091::codec::RawTable;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gantry_amqp091_fuzz::check_method(bytes);
    gantry_amqp091_fuzz::check_header(bytes);
    gantry_amqp091_fuzz::check_table(RawTable::new(bytes));
});
