//! What every log has to do, whatever it keeps its bytes in; and what the embedded one does with its files.

#![allow(missing_docs, reason = "a test")]

mod engine;
mod files;
mod model;
mod suite;
