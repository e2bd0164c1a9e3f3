//! The session as a client sees it, over a pipe, with a disk that waits, is full, or is not asked.

mod client;
mod closing;
mod consuming;
mod declaring;
mod publishing;
mod replies;
mod rights;
mod rules;
mod streams;
