//! The message container: what every protocol puts in and takes out.
//!
//! A message is immutable once it is made. The publisher's own header bytes (`head`) ride along with the body, in one
//! allocation: a message that leaves by the protocol it came by is sent with exactly these bytes, and nobody decodes them.
//! Whoever needs them as typed values (a headers exchange, another protocol) asks [`Message::properties`], which decodes them
//! once, through the [`Source`] that the message came by.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use crate::filter::Attribute;
use crate::group::Group;
use crate::native::NATIVE;
use crate::value::{Table, Value};

/// Bytes of heads and bodies of all messages that are in memory now, wherever they wait. One number for the process, as
/// memory is.
static RESIDENT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of heads and bodies of all messages in memory.
pub fn resident_bytes() -> usize {
    RESIDENT_BYTES.load(Ordering::Relaxed)
}

/// Milliseconds since the epoch of Unix. The clock of everything that outlives the process.
pub fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// Where a message was published. Shared by all messages of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name of the exchange; empty for the default one.
    pub exchange: Arc<str>,
    /// Routing key; protocols may put any bytes into it, at most 65,535.
    pub routing_key: Bytes,
}

/// The typed properties of a message, as far as its source has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<Bytes>,
    /// Encoding of the body, such as `gzip`.
    pub content_encoding: Option<Bytes>,
    /// Links an answer to its question.
    pub correlation_id: Option<Bytes>,
    /// Where answers go.
    pub reply_to: Option<Bytes>,
    /// The routing key on the topic exchange that answers go by, where what [`Properties::reply_to`] says is a topic: in a protocol
    /// of topics nobody could answer otherwise.
    pub reply_topic: Option<Bytes>,
    /// The publisher's own id of the message.
    pub message_id: Option<Bytes>,
    /// What kind of message this is.
    pub kind: Option<Bytes>,
    /// Who published it.
    pub user_id: Option<Bytes>,
    /// Which application published it.
    pub app_id: Option<Bytes>,
    /// When it was made, in seconds since the epoch of Unix.
    pub timestamp_s: Option<u64>,
    /// The application's headers, in order.
    pub headers: Option<Table>,
}

/// A protocol as a source of messages: knows how to read the heads that it made.
pub trait Source: Send + Sync {
    /// Number of this source in stored messages; never given to another source.
    fn id(&self) -> u8;

    /// Decodes a head. The bytes were valid when the message came in.
    fn properties(&self, head: &[u8]) -> Properties;

    /// One of the headers of a head, decoded alone where that is possible.
    fn header(&self, head: &[u8], name: &str) -> Option<Value> {
        self.properties(head).headers?.get(name).cloned()
    }

    /// Visits the attributes that filter policies compare, without decoding the others. False where this source leaves that to
    /// [`Source::properties`]; nothing is visited then.
    fn attributes<'h>(&self, _head: &'h [u8], _visit: &mut dyn FnMut(&str, Attribute<'h>)) -> bool {
        false
    }

    /// The connection that published it, by a number that no other connection has, where the head tells.
    fn publisher(&self, _head: &[u8]) -> Option<u64> {
        None
    }

    /// Appends a head that differs from this one by what `edit` says.
    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut);
}

/// What the broker itself changes in the head of a message: when it is dead-lettered or was delayed (the change is stored), or
/// when a queue has something to say about one delivery of it (then the message stays as it is).
#[derive(Clone, Copy, Debug, Default)]
pub struct Edit<'a> {
    /// Headers of the application to set, each in place of those of its name.
    pub set: &'a [(&'static str, Value)],
    /// Headers to remove.
    pub remove: &'a [&'static str],
    /// The message lives on without a time to live and a delay of its own.
    pub without_ttl: bool,
}

/// The sources that stored messages may name.
#[derive(Clone, Default)]
pub struct Sources(Vec<&'static dyn Source>);

impl Sources {
    /// Makes the list.
    pub fn new(sources: Vec<&'static dyn Source>) -> Self {
        Self(sources)
    }

    fn find(&self, id: u8) -> Option<&'static dyn Source> {
        // The broker's own messages may be stored whatever protocols there are.
        self.0.iter().copied().chain([&NATIVE as &dyn Source]).find(|source| source.id() == id)
    }
}

/// What the broker itself must know of a message; the protocol reads it out of the head on arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Essentials {
    /// Must survive a restart.
    pub durable: bool,
    /// 0 (lowest) to 255.
    pub priority: u8,
    /// Time to live from its arrival in a queue, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// The group that it belongs to.
    pub group: Option<Group>,
    /// How long it waits in a queue before anybody can have it, in milliseconds. None leaves that to the queue; 0 is at once,
    /// whatever the queue has.
    pub delay_ms: Option<u32>,
}

/// A message: immutable, shared by everyone who has it.
pub struct Message {
    address: Arc<Address>,
    source: &'static dyn Source,
    essentials: Essentials,
    head_bytes: u32,
    /// Head and body, one behind the other.
    data: Bytes,
    properties: OnceLock<Box<Properties>>,
}

impl Message {
    /// Makes a message of a head and a body that already lie behind one another in `data`.
    ///
    /// `data` should be an allocation of its own: a slice of a read buffer would keep the whole buffer in memory for as long
    /// as the message waits.
    pub fn new(
        source: &'static dyn Source,
        address: Arc<Address>,
        essentials: Essentials,
        head_bytes: u32,
        data: Bytes,
    ) -> Arc<Self> {
        debug_assert!(head_bytes as usize <= data.len());
        RESIDENT_BYTES.fetch_add(data.len(), Ordering::Relaxed);
        Arc::new(Self { address, source, essentials, head_bytes, data, properties: OnceLock::new() })
    }

    /// Where it was published.
    pub fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// What it came by.
    pub fn source(&self) -> &'static dyn Source {
        self.source
    }

    /// What the broker knows of it.
    pub fn essentials(&self) -> Essentials {
        self.essentials
    }

    /// The source's own header bytes.
    pub fn head(&self) -> &[u8] {
        &self.data[..self.head_bytes as usize]
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.data[self.head_bytes as usize..]
    }

    /// The body, shared: no copy.
    pub fn body_shared(&self) -> Bytes {
        self.data.slice(self.head_bytes as usize..)
    }

    /// Bytes of head and body.
    pub fn bytes(&self) -> u32 {
        self.data.len() as u32
    }

    /// The typed properties; decoded when somebody asks for the first time.
    pub fn properties(&self) -> &Properties {
        self.properties.get_or_init(|| Box::new(self.source.properties(self.head())))
    }

    /// As [`Message::properties`], where they have been decoded.
    pub(crate) fn known_properties(&self) -> Option<&Properties> {
        self.properties.get().map(|properties| &**properties)
    }

    /// The same body under another head and address. The body is copied: it lies behind its head.
    pub fn edited(&self, address: Arc<Address>, edit: &Edit<'_>) -> Arc<Self> {
        let body = self.body();
        let mut head = BytesMut::with_capacity(self.head_bytes as usize + EDIT_BYTES_USUAL);
        self.source.edited(self.head(), edit, &mut head);
        let head_bytes = head.len() as u32;
        // As long as it has to be: it may wait for long.
        let data = assemble(&head, body.len(), body);
        let mut essentials = self.essentials;
        if edit.without_ttl {
            essentials.ttl_ms = None;
            essentials.delay_ms = None;
        }
        Self::new(self.source, address, essentials, head_bytes, data.freeze())
    }

    /// What is written before head and body when the message is stored; see [`Message::restore`].
    pub(crate) fn stored_prefix(&self, meta: &Meta, out: &mut SmallVec<[u8; 128]>) {
        let exchange = self.address.exchange.as_bytes();
        let key = &self.address.routing_key;
        out.clear();
        out.extend_from_slice(&[STORED_VERSION, self.source.id()]);
        meta.essentials.encode(out);
        out.extend_from_slice(&(exchange.len() as u16).to_be_bytes());
        out.extend_from_slice(exchange);
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(&self.head_bytes.to_be_bytes());
    }

    /// Head and body, as stored behind the prefix.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Makes the message again from what was stored.
    pub(crate) fn restore(sources: &Sources, stored: Bytes) -> Result<Arc<Self>, Unreadable> {
        Self::restore_beside(sources, stored, None)
    }

    /// As [`Message::restore`], for one of many: it shares the address of its neighbour where that is the same.
    pub(crate) fn restore_beside(
        sources: &Sources,
        mut stored: Bytes,
        neighbour: Option<&Arc<Address>>,
    ) -> Result<Arc<Self>, Unreadable> {
        fn take(bytes: &mut Bytes, n: usize) -> Result<Bytes, Unreadable> {
            if bytes.len() < n { Err(Unreadable("it ends too early")) } else { Ok(bytes.split_to(n)) }
        }
        fn take_sized(bytes: &mut Bytes) -> Result<Bytes, Unreadable> {
            let size = take(bytes, 2)?;
            take(bytes, usize::from(u16::from_be_bytes([size[0], size[1]])))
        }
        let version = take(&mut stored, 2)?;
        if version[0] != STORED_VERSION {
            return Err(Unreadable("it was stored by another version"));
        }
        let source = sources.find(version[1]).ok_or(Unreadable("its source protocol is not known"))?;
        let mut rest = &stored[..];
        let essentials = Essentials::decode(&mut rest)?;
        let rest_bytes = rest.len();
        let _ = stored.split_to(stored.len() - rest_bytes);
        let exchange = take_sized(&mut stored)?;
        let exchange = std::str::from_utf8(&exchange).map_err(|_| Unreadable("its exchange is not UTF-8"))?;
        let key = take_sized(&mut stored)?;
        let is_same = |address: &&Arc<Address>| *address.exchange == *exchange && address.routing_key == key;
        let address = match neighbour.filter(is_same) {
            Some(address) => Arc::clone(address),
            // The key would otherwise keep what the body was read with in memory.
            None => Arc::new(Address { exchange: Arc::from(exchange), routing_key: Bytes::copy_from_slice(&key) }),
        };
        let size = take(&mut stored, 4)?;
        let head_bytes = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
        if stored.len() < head_bytes as usize {
            return Err(Unreadable("its head ends too early"));
        }
        Ok(Self::new(source, address, essentials, head_bytes, stored))
    }
}

const STORED_VERSION: u8 = 1;

/// What an edit adds to a head, usually: a guess that saves an allocation.
const EDIT_BYTES_USUAL: usize = 512;

impl Drop for Message {
    fn drop(&mut self) {
        RESIDENT_BYTES.fetch_sub(self.data.len(), Ordering::Relaxed);
    }
}

/// A message that stays for good. It does not count as resident: what waits for somebody makes room some day, and this does
/// not, so that publishers would wait for nothing.
#[derive(Debug)]
pub(crate) struct Lasting(Arc<Message>);

impl Lasting {
    /// At most one of them has the same message at a time.
    pub(crate) fn new(message: Arc<Message>) -> Self {
        RESIDENT_BYTES.fetch_sub(message.data.len(), Ordering::Relaxed);
        Self(message)
    }

    pub(crate) fn get(&self) -> &Arc<Message> {
        &self.0
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        RESIDENT_BYTES.fetch_add(self.0.data.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Message {
    // No payload in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("address", &self.address)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// A stored message that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored message cannot be read: {0}")]
pub struct Unreadable(&'static str);

impl Unreadable {
    pub(crate) const fn new(why: &'static str) -> Self {
        Self(why)
    }
}

/// What the journal keeps of a message beside its payload, so that recovery need not read the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// When it was published, in milliseconds since the epoch of Unix.
    pub(crate) published_ms: u64,
    /// What the broker knows of it.
    pub(crate) essentials: Essentials,
    /// When a delayed exchange routes it, in milliseconds since the epoch of Unix.
    pub(crate) due_ms: Option<u64>,
    /// Stands for its deduplication header, where some queue looks at that.
    pub(crate) duplicate_key: Option<u64>,
}

/// What may follow the essentials, each behind its tag.
const META_DUE: u8 = 1;
const META_DUPLICATE: u8 = 2;

const ESSENTIALS_DURABLE: u8 = 1;
const ESSENTIALS_TTL: u8 = 2;
const ESSENTIALS_PRIORITY: u8 = 4;
const ESSENTIALS_GROUP: u8 = 8;
const ESSENTIALS_DELAY: u8 = 16;

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], Unreadable> {
    let (first, rest) = bytes.split_at_checked(n).ok_or(Unreadable("its meta data ends too early"))?;
    *bytes = rest;
    Ok(first)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl Essentials {
    fn encode<A: smallvec::Array<Item = u8>>(&self, out: &mut SmallVec<A>) {
        let mut flags = 0;
        if self.durable {
            flags |= ESSENTIALS_DURABLE;
        }
        if self.ttl_ms.is_some() {
            flags |= ESSENTIALS_TTL;
        }
        if self.priority > 0 {
            flags |= ESSENTIALS_PRIORITY;
        }
        if self.group.is_some() {
            flags |= ESSENTIALS_GROUP;
        }
        if self.delay_ms.is_some() {
            flags |= ESSENTIALS_DELAY;
        }
        out.push(flags);
        if let Some(ttl_ms) = self.ttl_ms {
            out.extend_from_slice(&ttl_ms.to_be_bytes());
        }
        if self.priority > 0 {
            out.push(self.priority);
        }
        if let Some(group) = self.group {
            out.extend_from_slice(&group.bits().to_be_bytes());
        }
        if let Some(delay_ms) = self.delay_ms {
            out.extend_from_slice(&delay_ms.to_be_bytes());
        }
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, Unreadable> {
        let flags = take(bytes, 1)?[0];
        let ttl_ms = if flags & ESSENTIALS_TTL != 0 { Some(number(take(bytes, 8)?)) } else { None };
        let priority = if flags & ESSENTIALS_PRIORITY != 0 { take(bytes, 1)?[0] } else { 0 };
        let group = if flags & ESSENTIALS_GROUP != 0 { Some(Group::from_bits(number(take(bytes, 8)?))) } else { None };
        let delay_ms = if flags & ESSENTIALS_DELAY != 0 { Some(number(take(bytes, 4)?) as u32) } else { None };
        Ok(Self { durable: flags & ESSENTIALS_DURABLE != 0, priority, ttl_ms, group, delay_ms })
    }
}

impl Meta {
    /// Of a message that goes to queues, and asks for nothing special there.
    pub(crate) fn new(published_ms: u64, essentials: Essentials) -> Self {
        Self { published_ms, essentials, due_ms: None, duplicate_key: None }
    }

    /// `prefix_bytes` is what stands before head and body in the payload: recovery tells the one from the other by it.
    /// `head_bytes` is the length of the head; more than 65,535 are kept as so many.
    pub(crate) fn encode(&self, prefix_bytes: usize, head_bytes: usize) -> SmallVec<[u8; 24]> {
        let mut out = SmallVec::new();
        // 48 bits of milliseconds last for 8,900 years.
        out.extend_from_slice(&self.published_ms.to_be_bytes()[2..]);
        out.extend_from_slice(&(prefix_bytes as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&u16::try_from(head_bytes).unwrap_or(u16::MAX).to_be_bytes());
        self.essentials.encode(&mut out);
        if let Some(due_ms) = self.due_ms {
            out.push(META_DUE);
            out.extend_from_slice(&due_ms.to_be_bytes()[2..]);
        }
        if let Some(key) = self.duplicate_key {
            out.push(META_DUPLICATE);
            out.extend_from_slice(&key.to_be_bytes());
        }
        out
    }

    /// The meta data, and the lengths of what is in the payload.
    pub(crate) fn decode(mut meta: &[u8]) -> Result<(Self, Lengths), Unreadable> {
        let published_ms = number(take(&mut meta, 6)?);
        let prefix_bytes = number(take(&mut meta, 3)?) as u32;
        let head_bytes = number(take(&mut meta, 2)?) as u16;
        let mut decoded = Self::new(published_ms, Essentials::decode(&mut meta)?);
        while !meta.is_empty() {
            match take(&mut meta, 1)?[0] {
                META_DUE => decoded.due_ms = Some(number(take(&mut meta, 6)?)),
                META_DUPLICATE => decoded.duplicate_key = Some(number(take(&mut meta, 8)?)),
                _ => return Err(Unreadable("its meta data is of another version")),
            }
        }
        Ok((decoded, Lengths { prefix_bytes, head_bytes }))
    }
}

/// Lengths of what is stored of a message before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// What stands before the head.
    pub(crate) prefix_bytes: u32,
    /// The head; 65,535 where it is longer.
    pub(crate) head_bytes: u16,
}

/// Puts a head and the beginning of a body into one allocation; a protocol that gets a body in pieces appends the others.
pub fn assemble(head: &[u8], body_bytes_expected: usize, body: &[u8]) -> BytesMut {
    let mut data = BytesMut::with_capacity(head.len() + body_bytes_expected);
    data.extend_from_slice(head);
    data.extend_from_slice(body);
    data
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) struct Plain;

    impl Source for Plain {
        fn id(&self) -> u8 {
            255
        }

        fn properties(&self, head: &[u8]) -> Properties {
            Properties { content_type: Some(Bytes::copy_from_slice(head)), ..Properties::default() }
        }

        fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
            out.extend_from_slice(head);
            for (name, _) in edit.set {
                out.extend_from_slice(name.as_bytes());
            }
        }
    }

    pub(crate) fn plain(exchange: &str, key: &str, essentials: Essentials, body: &[u8]) -> Arc<Message> {
        let address = Address { exchange: exchange.into(), routing_key: Bytes::copy_from_slice(key.as_bytes()) };
        Message::new(&Plain, Arc::new(address), essentials, 4, assemble(b"text", body.len(), body).freeze())
    }

    #[test]
    fn a_stored_message_comes_back_equal_and_a_cut_one_is_refused() {
        let group = Some(Group::new(b"g", true));
        let essentials =
            Essentials { durable: true, priority: 3, ttl_ms: Some(70_000), group, delay_ms: Some(900_000) };
        let message = plain("logs", "a.b", essentials, b"body");
        let mut prefix = SmallVec::new();
        message.stored_prefix(&Meta::new(0, essentials), &mut prefix);
        let mut stored = prefix.to_vec();
        stored.extend_from_slice(message.data());
        let sources = Sources::new(vec![&Plain]);
        let again = Message::restore(&sources, Bytes::from(stored.clone())).unwrap();
        assert_eq!(again.address(), message.address());
        assert_eq!(again.essentials(), essentials);
        assert_eq!((again.head(), again.body()), (message.head(), message.body()));
        assert_eq!(again.properties().content_type.as_deref(), Some(&b"text"[..]));
        for cut in 0..stored.len() - message.body().len() {
            assert!(Message::restore(&sources, Bytes::copy_from_slice(&stored[..cut])).is_err());
        }
        assert!(Message::restore(&Sources::default(), Bytes::from(stored)).is_err());
    }

    #[test]
    fn what_knew_no_groups_is_read_as_it_was_written() {
        // As a process wrote it whose format was 2: durable, with a time to live and a priority, due, and with a key.
        let written = b"\x01\xa0\x00\x00\x00\x07\x00\x00\x46\x00\x04\x07\x00\x00\x00\x00\x00\x01\x11\x70\x03\
            \x01\x01\xa0\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00\x00\x00\x05";
        let essentials = Essentials { durable: true, priority: 3, ttl_ms: Some(70_000), group: None, delay_ms: None };
        let meta =
            Meta { published_ms: 0x01a0_0000_0007, essentials, due_ms: Some(0x01a0_0000_0009), duplicate_key: Some(5) };
        assert_eq!(Meta::decode(written), Ok((meta, Lengths { prefix_bytes: 70, head_bytes: 4 })));
        assert_eq!(meta.encode(70, 4)[..], written[..], "and without a group it is written the same");
    }

    #[test]
    fn meta_data_round_trips() {
        for ttl_ms in [None, Some(0), Some(u64::MAX)] {
            for priority in [0, 1, 255] {
                for (due_ms, duplicate_key) in
                    [(None, None), (Some(1_790_000_000_456), Some(u64::MAX)), (None, Some(0))]
                {
                    let group = due_ms.map(|due_ms: u64| Group::new(&due_ms.to_be_bytes(), false));
                    let delay_ms = group.map(|_| u32::MAX);
                    let essentials = Essentials { durable: true, priority, ttl_ms, group, delay_ms };
                    let meta = Meta { published_ms: 1_790_000_000_123, essentials, due_ms, duplicate_key };
                    let encoded = meta.encode(70, 1 << 20);
                    assert!(encoded.len() <= gantry_storage::journal::META_BYTES_MAX);
                    let lengths = Lengths { prefix_bytes: 70, head_bytes: u16::MAX };
                    assert_eq!(Meta::decode(&encoded).unwrap(), (meta, lengths));
                    assert!(Meta::decode(&encoded[..encoded.len() - 1]).is_err());
                }
            }
        }
    }
}
