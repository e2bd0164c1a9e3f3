//! The common internal broker: messages, exchanges, queues, sessions, rights. It knows no protocol.

pub mod value;
