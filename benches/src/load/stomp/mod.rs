//! Workloads of STOMP.

pub(super) mod persistent;
pub(super) mod transient;
