//! SQS.
#![allow(dead_code)]
mod fault;
mod limits;
mod md5;
mod message_attributes;
mod message_id;
mod names;
mod pairs;
mod receipt;
