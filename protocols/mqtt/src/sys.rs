//! What the broker says of itself, as topics below `$SYS/broker/`.
