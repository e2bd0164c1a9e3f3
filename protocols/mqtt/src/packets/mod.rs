//! What each packet of the client does: one file a packet, or a conversation.
//!
//! Reason strings and user properties are said in CONNACK and DISCONNECT only, where every client takes them (3.1.2-29).

mod acks;
mod auth;
mod disconnect;
mod publish;
mod subscribe;
