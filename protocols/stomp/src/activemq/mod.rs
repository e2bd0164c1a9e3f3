//! What a session does in ActiveMQ's manner. How destinations are written is in [`crate::destinations`].
//!
//! | file | about |
//! | --- | --- |
//! | `advisories` | messages about connections and consumers |
//! | `asked` | headers of SUBSCRIBE and SEND that ActiveMQ has |
//! | `client_ids` | what clients call themselves |
//! | `composite` | SEND to several destinations: all or none |
//! | `dead_letters` | where refused messages go |
//! | `durable` | subscriptions to topics that outlive their connection, by `client-id` and a name |
//! | `temporary` | queues and topics of one connection |
//! | `virtual_topics` | topics whose every consumer may be many |

mod advisories;
mod asked;
mod client_ids;
mod composite;
mod dead_letters;
mod durable;
mod temporary;
pub(crate) mod virtual_topics;

pub(crate) use self::asked::{Asked, refuse_transformation};
pub(crate) use self::client_ids::{ClientId, ClientIds};
pub(crate) use self::temporary::{Temporary, TemporaryKind};
