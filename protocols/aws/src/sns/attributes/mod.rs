//! Attributes of topics and subscriptions: what a client may set, what it reads, and how both are kept.
//!
//! | file | about |
//! | --- | --- |
//! | `topic` | those of topics: checked and kept |
//! | `topic_told` | those of topics: told |
//! | `subscription` | those of subscriptions |

pub(super) mod subscription;
pub(super) mod topic;
pub(super) mod topic_told;
