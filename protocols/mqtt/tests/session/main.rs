//! The session as a client sees it, over a pipe, with a disk that waits, is full, or is not asked. Statements of MQTT 5.0 that a
//! test shows are named beside it.

mod authenticating;
mod client;
mod connecting;
mod delivering;
mod publishing;
mod retaining;
mod sharing;
mod subscribing;
mod taking_over;
