//! HTTP requests that begin here: to webhooks, and to the services behind other kinds of subscriptions.
//!
//! | file | about |
//! | --- | --- |
//! | `ask` | a request, its answer, and why there is none; pure |
//! | `guard` | which hosts and addresses may be reached; pure |
//! | `address` | what a URL says of where to go; pure |
//! | `names` | the addresses of hosts, remembered for a moment |
//! | `dial` | names resolved once, the addresses that were checked dialled, TLS |
//! | `line` | one connection: a request on it, the bounded answer |
//! | `pool` | connections that wait for their next request |
//! | `client` | all of it together |
//!
//! No redirect is followed: where a request goes is what was checked.

mod address;
mod ask;
mod client;
mod dial;
mod guard;
mod line;
mod names;
mod pool;
#[cfg(test)]
mod tests;

pub use self::ask::{ANSWER_BYTES_MAX, Answer, Ask, Refusal, Speech};
pub use self::client::{Client, Settings};
pub use self::guard::{Guard, InvalidRule, Reach, Rule};

/// Scheme, host and port of a URL as one text, the same for all URLs to there; none where it is no URL that can be asked.
pub(crate) fn place_of(url: &str) -> Option<String> {
    let address::Target { address, .. } = address::Target::of(url).ok()?;
    let scheme = if address.is_tls { "https" } else { "http" };
    Some(format!("{scheme}://{}:{}", address.host, address.port))
}
