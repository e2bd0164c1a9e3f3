//! Definitions under way: what a client declares and binds, one behind the other without waiting for the answers, goes to the
//! disk together. Each is answered when it is there, in order; whatever else the client asks for waits until all of them are.

use bytes::BytesMut;
use gantry_broker::Pending;

use crate::codec::Method;
use crate::error::Failure;
use crate::session::Client;

/// Definitions that wait for the disk at most.
const DEFINITIONS_MAX: usize = 1_000;

/// One of them.
#[derive(Debug)]
struct Definition {
    channel: u16,
    /// Class and method of what asked for it.
    method: (u16, u16),
    pending: Pending,
    answer: Option<BytesMut>,
}

/// Definitions of a client that wait for the disk, in the order in which it asked for them.
#[derive(Debug, Default)]
pub(crate) struct Definitions(Vec<Definition>);

impl Definitions {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Client {
    /// Whether a method may follow definitions that wait for the disk.
    pub(crate) fn may_follow_definitions(&self, method: &Method<'_>) -> bool {
        let defines = match method {
            Method::ExchangeDeclare(declare) => !declare.passive,
            Method::QueueDeclare(declare) => !declare.passive,
            Method::ExchangeBind(_) | Method::ExchangeUnbind(_) | Method::QueueBind(_) | Method::QueueUnbind(_) => true,
            _ => false,
        };
        defines && self.definitions.0.len() < DEFINITIONS_MAX
    }

    /// Answers a definition when it is on stable storage, and not before those that came earlier.
    pub(super) fn answer_when_durable<'m>(
        &mut self,
        channel: u16,
        method: (u16, u16),
        pending: Pending,
        answer: Option<impl Into<Method<'m>>>,
    ) {
        if pending.is_nothing() && self.definitions.is_empty() {
            if let Some(answer) = answer {
                self.send(channel, answer);
            }
            return;
        }
        let answer = answer.map(|answer| {
            let mut bytes = BytesMut::new();
            answer.into().encode_frame(channel, &mut bytes);
            bytes
        });
        self.definitions.0.push(Definition { channel, method, pending, answer });
    }

    /// Waits until all definitions under way are on stable storage, and answers them. One that fails ends its channel, and is
    /// the last one of it that is answered.
    pub(crate) async fn settle_definitions(&mut self) {
        for definition in std::mem::take(&mut self.definitions.0) {
            let Definition { channel, method, pending, answer } = definition;
            let result = pending.wait().await;
            if self.channels.get(&channel).is_none_or(|open| open.closing) {
                continue;
            }
            match result {
                Ok(()) => self.out.tail().extend_from_slice(&answer.unwrap_or_default()),
                Err(error) => {
                    let failure = Failure::from(error).of_ids(method);
                    self.fail_channel(channel, &failure);
                }
            }
        }
    }
}
