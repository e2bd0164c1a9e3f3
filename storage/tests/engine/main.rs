//! What every journal has to do, whatever it keeps its bytes in.

#![allow(missing_docs, reason = "a test")]

mod engine;
mod model;
mod suite;
