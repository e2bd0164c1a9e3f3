//! What each packet of the client does: one file a packet, or a conversation.

mod acks;
mod auth;
mod disconnect;
mod publish;
mod subscribe;
