//! The common internal broker. It knows no protocol: no frame, no packet id, no status code.
//!
//! The way in: [`VirtualHost::route`] finds the queues for an exchange and a key (from the publisher's own [`RouteCache`]),
//! [`VirtualHost::publish`] stores the message once and puts it into each of them, and answers with a ticket that a confirm
//! has to wait for. The way out: a queue grants messages to its consumers, by turns and by credit, into the [`Inbox`] of
//! their connection; what is said of a delivery is an [`Outcome`].
//!
//! | module | |
//! | --- | --- |
//! | [`message`] | the container that every protocol puts in and takes out |
//! | [`value`] | typed values of headers and arguments |
//! | [`exchange`] | matchers: from key and headers to destinations |
//! | [`queue`] | the queue as a state machine, and the lock around it |
//! | [`stream`] | queues that are read and never emptied |
//! | [`vhost`] | the names: declaring, binding, routing, publishing, consuming |
//! | `window` | what ordered queues were sent lately |
//! | [`policy`] | rules for all queues and exchanges whose names match |
//! | [`inbox`] | what a connection has been granted and not yet sent |
//! | `replay` | what a stream has kept, into a queue once more |
//! | [`replies`] | replies that go from one connection to another without a queue |
//! | `moves` | all of a queue into another, as a task |
//! | [`rights`] | users, passwords, permissions |
//! | [`selector`] | conditions that a consumer sets on messages |
//! | [`filter`] | conditions that a subscription sets on messages, and many of them at once |
//! | [`session`] | a client that has logged in |
//! | [`broker`] | all of it, opened on its storage |
//! | [`protocol`] | the seam to the program that accepts connections |
//! | [`events`] | what is told of it as messages |
//! | [`error`] | what happened, and to what |

mod access_keys;
pub mod broker;
mod counts;
mod delays;
pub mod error;
pub mod events;
pub mod exchange;
pub mod filter;
mod group;
pub mod inbox;
mod load;
mod marks;
pub mod message;
mod moves;
mod native;
mod outbox;
pub mod policy;
pub mod protocol;
pub mod queue;
mod replay;
pub mod replies;
mod retained;
pub mod rights;
mod rights_store;
mod schedule;
pub mod selector;
pub mod session;
mod shared;
pub mod stream;
#[cfg(test)]
mod tests;
mod timer;
mod users;
pub mod value;
pub mod vhost;
mod window;

pub use gantry_storage::{LogFilter, Ticket};

pub use self::broker::{Alarms, Broker, BrokerOptions, Found, OpenRefused, Totals};
pub use self::counts::QueueCount;
pub use self::error::{Error, Kind, Resource};
pub use self::filter::{Filter, FilterError, Scope};
pub use self::group::Group;
pub use self::inbox::{Content, Delivery, Inbox, Item, Outlet, Reply, SharedCredit, Wakes};
pub use self::marks::Marks;
pub use self::message::{Address, Essentials, Message, Properties, Source, Sources};
pub use self::moves::{MoveFailure, MoveStatus, MoveTask, NotMoved};
pub use self::policy::{Applied, ApplyTo, Policy, PolicyKind};
pub use self::queue::{
    Accepts, ConsumerOptions, Credit, Lease, Ordered, Outcome, Queue, QueueOptions, QueueSettings, QueueStatus,
    QueueType, Receipt, Receipted, Receive, Received, Redrive, Selection, Turn,
};
pub use self::replay::{Reached, Replay, Replayed};
pub use self::replies::ReplyConsumer;
pub use self::retained::{Retained, RetainedCursor};
pub use self::schedule::{Schedule, ScheduleError};
pub use self::selector::{Selector, SelectorError};
pub use self::session::{Session, UserDeletion};
pub use self::stream::{InvalidOffset, ReaderOptions, Retention, StreamOffset};
pub use self::vhost::{
    Bound, Deduplication, DeleteQueue, ExchangeOptions, ExchangeSettings, Original, Pending, Published, PublishedOnce,
    QueueName, Route, RouteCache, Sent, Subscription, TracedBy, Transaction, VirtualHost,
};
