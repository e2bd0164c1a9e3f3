//! Conversations with a WebSocket connection, by the bytes of frames and by a stock client.

mod closing;
mod compression;
mod hostile;
mod messages;
mod peer;
mod requests;
mod unnamed;
