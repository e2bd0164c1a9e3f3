//! Sessions, as a client sees them.

mod acknowledging;
mod activemq;
mod client;
mod closing;
mod connecting;
mod sending;
mod subscribing;
mod transacting;
