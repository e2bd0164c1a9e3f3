//! Direct replies: a requester gives an address that only it has, and what is published to that address goes straight into
//! its connection's inbox. There is no queue and nothing is stored: a reply to a requester that is gone is unroutable.
//!
//! An address is the name that RabbitMQ's clients expect, `amq.rabbitmq.reply-to.`, and 192 random bits: 64 to find the
//! requester by and 128 to prove that the address was given and not guessed. It says nothing about whose it is, is valid in
//! the requester's virtual host only, and is gone with the [`ReplyConsumer`].

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::RwLock;
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::inbox::{Item, Outlet, Reply, Wakes};
use crate::message::Message;
use crate::vhost::VirtualHost;

/// What a requester consumes from, and writes where its address is to stand.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What addresses begin with.
const PREFIX: &[u8] = b"amq.rabbitmq.reply-to.";

const LOCATOR_BYTES: usize = 8;
const KEY_BYTES: usize = 16;
const TOKEN_BYTES: usize = LOCATOR_BYTES + KEY_BYTES;
/// Characters of a token in base64.
const TOKEN_CHARS: usize = TOKEN_BYTES / 3 * 4;

/// Parts that are locked by themselves. A power of two.
const SHARDS: usize = 16;

/// Whether this may be the address of a requester.
pub(crate) fn is_address(routing_key: &[u8]) -> bool {
    routing_key.starts_with(PREFIX)
}

/// Random bits of an address.
#[derive(Clone, Copy)]
struct Token {
    locator: u64,
    key: [u8; KEY_BYTES],
}

impl Token {
    fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self::of(bytes))
    }

    fn of(bytes: [u8; TOKEN_BYTES]) -> Self {
        let (mut locator, mut key) = ([0; LOCATOR_BYTES], [0; KEY_BYTES]);
        locator.copy_from_slice(&bytes[..LOCATOR_BYTES]);
        key.copy_from_slice(&bytes[LOCATOR_BYTES..]);
        Self { locator: u64::from_be_bytes(locator), key }
    }

    /// The token in an address.
    fn parse(address: &[u8]) -> Option<Self> {
        let text = address.strip_prefix(PREFIX).filter(|text| text.len() == TOKEN_CHARS)?;
        let mut bytes = [0; TOKEN_BYTES];
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (decoded == TOKEN_BYTES).then(|| Self::of(bytes))
    }

    fn address(&self) -> Bytes {
        let mut bytes = [0; TOKEN_BYTES];
        bytes[..LOCATOR_BYTES].copy_from_slice(&self.locator.to_be_bytes());
        bytes[LOCATOR_BYTES..].copy_from_slice(&self.key);
        let mut address = PREFIX.to_vec();
        address.extend_from_slice(URL_SAFE_NO_PAD.encode(bytes).as_bytes());
        Bytes::from(address)
    }
}

/// A requester.
struct Requester {
    key: [u8; KEY_BYTES],
    vhost: Arc<str>,
    outlet: Outlet,
}

type Shard = RwLock<HashMap<u64, Requester>>;

/// Everybody who waits for replies.
pub(crate) struct Replies {
    shards: [Shard; SHARDS],
}

impl Default for Replies {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()) }
    }
}

impl Replies {
    fn shard(&self, locator: u64) -> &Shard {
        &self.shards[locator as usize % SHARDS]
    }

    fn add(&self, vhost: &Arc<str>, outlet: Outlet) -> Result<Token, getrandom::Error> {
        loop {
            let token = Token::random()?;
            let mut shard = self.shard(token.locator).write();
            if !shard.contains_key(&token.locator) {
                let requester = Requester { key: token.key, vhost: Arc::clone(vhost), outlet };
                shard.insert(token.locator, requester);
                return Ok(token);
            }
        }
    }

    /// Calls `with` with the outlet of the requester, if it is still there. It cannot go meanwhile.
    fn with<R>(&self, vhost: &Arc<str>, address: &[u8], with: impl FnOnce(&Outlet) -> R) -> Option<R> {
        let token = Token::parse(address)?;
        let shard = self.shard(token.locator).read();
        let requester = shard.get(&token.locator)?;
        // How long it takes to find an address wrong does not say where it is.
        let right = bool::from(requester.key.ct_eq(&token.key)) && requester.vhost == *vhost;
        right.then(|| with(&requester.outlet))
    }

    /// Puts a message into the requester's inbox. False where the requester is gone or has been given more than it takes:
    /// nobody is held up for a requester that does not read.
    pub(crate) fn deliver(&self, vhost: &Arc<str>, address: &[u8], message: &Arc<Message>, wakes: &mut Wakes) -> bool {
        let delivered = self.with(vhost, address, |outlet| {
            if !outlet.inbox.has_reply_room() {
                return false;
            }
            wakes.push(&outlet.inbox, Item::Reply(Reply { token: outlet.token, message: Arc::clone(message) }));
            true
        });
        delivered.unwrap_or(false)
    }

    fn remove(&self, token: &Token) {
        self.shard(token.locator).write().remove(&token.locator);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}

/// A requester's side: it gets replies for as long as this is there. Once it is dropped, nothing more comes to the inbox.
pub struct ReplyConsumer {
    token: Token,
    address: Bytes,
    vhost: Arc<VirtualHost>,
}

impl ReplyConsumer {
    /// Where replies are to be sent: through the default exchange, by this routing key. Whoever knows it can reply.
    pub fn address(&self) -> &Bytes {
        &self.address
    }
}

impl Drop for ReplyConsumer {
    fn drop(&mut self) {
        self.vhost.shared().replies.remove(&self.token);
    }
}

impl fmt::Debug for ReplyConsumer {
    // The address is a secret of those who talk to one another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyConsumer").finish_non_exhaustive()
    }
}

impl VirtualHost {
    /// Starts to take replies. They come to the outlet's inbox as [`Item::Reply`]; its shared credit is not asked.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn take_replies(self: &Arc<Self>, outlet: Outlet) -> Result<ReplyConsumer, Error> {
        let random = |error: getrandom::Error| Error::Storage(error.to_string());
        let token = self.shared().replies.add(self.name(), outlet).map_err(random)?;
        Ok(ReplyConsumer { address: token.address(), token, vhost: Arc::clone(self) })
    }

    /// Whether this is the address of a requester that is still there.
    pub fn takes_replies(&self, address: &[u8]) -> bool {
        self.shared().replies.with(self.name(), address, |_| ()).is_some()
    }
}
