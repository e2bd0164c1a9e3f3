//! Bytes of methods and of publishes.

/// Bytes around a frame's payload: type, channel, size, and the end mark.
pub(crate) const OVERHEAD_BYTES: usize = 8;
/// The last byte of each frame.
pub(crate) const END: u8 = 0xCE;
/// Publishes are repeated until this many bytes lie ready to be written at once.
const RUN_BYTES: usize = 256 * 1024;

/// Class and method numbers.
pub(crate) mod method {
    pub(crate) const CONNECTION_START: (u16, u16) = (10, 10);
    pub(crate) const CONNECTION_START_OK: (u16, u16) = (10, 11);
    pub(crate) const CONNECTION_TUNE: (u16, u16) = (10, 30);
    pub(crate) const CONNECTION_TUNE_OK: (u16, u16) = (10, 31);
    pub(crate) const CONNECTION_OPEN: (u16, u16) = (10, 40);
    pub(crate) const CONNECTION_OPEN_OK: (u16, u16) = (10, 41);
    pub(crate) const CONNECTION_CLOSE: (u16, u16) = (10, 50);
    pub(crate) const CONNECTION_CLOSE_OK: (u16, u16) = (10, 51);
    pub(crate) const CHANNEL_OPEN: (u16, u16) = (20, 10);
    pub(crate) const CHANNEL_OPEN_OK: (u16, u16) = (20, 11);
    pub(crate) const CHANNEL_CLOSE: (u16, u16) = (20, 40);
    pub(crate) const EXCHANGE_DECLARE: (u16, u16) = (40, 10);
    pub(crate) const EXCHANGE_DECLARE_OK: (u16, u16) = (40, 11);
    pub(crate) const QUEUE_DECLARE: (u16, u16) = (50, 10);
    pub(crate) const QUEUE_DECLARE_OK: (u16, u16) = (50, 11);
    pub(crate) const QUEUE_BIND: (u16, u16) = (50, 20);
    pub(crate) const QUEUE_BIND_OK: (u16, u16) = (50, 21);
    pub(crate) const BASIC_QOS: (u16, u16) = (60, 10);
    pub(crate) const BASIC_QOS_OK: (u16, u16) = (60, 11);
    pub(crate) const BASIC_CONSUME: (u16, u16) = (60, 20);
    pub(crate) const BASIC_CONSUME_OK: (u16, u16) = (60, 21);
    pub(crate) const BASIC_PUBLISH: (u16, u16) = (60, 40);
    pub(crate) const BASIC_DELIVER: (u16, u16) = (60, 60);
    pub(crate) const BASIC_ACK: (u16, u16) = (60, 80);
    pub(crate) const CONFIRM_SELECT: (u16, u16) = (85, 10);
    pub(crate) const CONFIRM_SELECT_OK: (u16, u16) = (85, 11);
}

/// Arguments of a method, in the order in which they are given.
#[derive(Default)]
pub(crate) struct Arguments(Vec<u8>);

impl Arguments {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A short string; the names of this program are all below 256 bytes.
    pub(crate) fn short(mut self, text: &str) -> Self {
        assert!(text.len() <= 255, "a short string of {} bytes", text.len());
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self
    }

    pub(crate) fn long(self, bytes: &[u8]) -> Self {
        let mut longer = self.u32(bytes.len() as u32);
        longer.0.extend(bytes);
        longer
    }

    /// A field table, encoded before.
    pub(crate) fn table(self, bytes: &[u8]) -> Self {
        self.long(bytes)
    }

    /// The whole frame.
    pub(crate) fn frame(self, channel: u16, (class, number): (u16, u16)) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.0.len() + 4);
        payload.extend(class.to_be_bytes());
        payload.extend(number.to_be_bytes());
        payload.extend(self.0);
        whole(super::scan::METHOD, channel, &payload)
    }
}

fn whole(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + OVERHEAD_BYTES);
    frame.push(kind);
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(END);
    frame
}

/// Arguments of queue.declare with the flags passive (1), durable (2), exclusive (4), auto-delete (8).
pub(crate) fn queue_declare(queue: &str, flags: u8) -> Arguments {
    queue_declare_with(queue, flags, &[])
}

/// The same with arguments of the queue, as [`fields`] makes them.
pub(crate) fn queue_declare_with(queue: &str, flags: u8, arguments: &[u8]) -> Arguments {
    Arguments::new().u16(0).short(queue).u8(flags).table(arguments)
}

/// Arguments of queue.bind.
pub(crate) fn queue_bind(queue: &str, exchange: &str, key: &str) -> Arguments {
    Arguments::new().u16(0).short(queue).short(exchange).short(key).u8(0).table(&[])
}

/// A value in a field table.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Number(i64),
    Text(&'a str),
}

/// A field table without its length.
pub(crate) fn fields(entries: &[(&str, Field<'_>)]) -> Vec<u8> {
    let mut table = Arguments::new();
    for (name, value) in entries {
        table = match *value {
            Field::Number(number) => table.short(name).u8(b'l').u64(number as u64),
            Field::Text(text) => table.short(name).u8(b'S').long(text.as_bytes()),
        };
    }
    table.0
}

/// Messages, encoded once, and a run of copies of them that can be written at once.
pub(crate) struct Publish {
    run: Vec<u8>,
    message_bytes: usize,
    body_at: usize,
    run_messages: usize,
}

/// What a message has beside its body.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner<'a> {
    /// To be kept on disk.
    pub(crate) persistent: bool,
    /// Its priority.
    pub(crate) priority: Option<u8>,
    /// Its headers, as [`fields`] makes them.
    pub(crate) headers: Option<&'a [u8]>,
}

impl Publish {
    /// A message of `body_bytes` on channel 1. The body must fit in one frame.
    pub(crate) fn new(exchange: &str, key: &str, body_bytes: usize, persistent: bool) -> Self {
        Self::of(
            [message(exchange, key, body_bytes, Manner { persistent, ..Manner::default() })].as_slice(),
            body_bytes,
        )
    }

    /// Messages by turns, all of one length; each ends with a body of `body_bytes`.
    pub(crate) fn of(messages: &[Vec<u8>], body_bytes: usize) -> Self {
        let message_bytes = messages.first().map_or(0, Vec::len);
        assert!(messages.iter().all(|message| message.len() == message_bytes), "messages of one length");
        let rounds = (RUN_BYTES / (message_bytes * messages.len())).max(1);
        let run = messages.concat().repeat(rounds);
        let body_at = message_bytes - 1 - body_bytes;
        Self { message_bytes, body_at, run, run_messages: rounds * messages.len() }
    }

    /// Messages in the longest run.
    pub(crate) fn run_messages(&self) -> u64 {
        self.run_messages as u64
    }

    /// The bytes of the first `messages` copies; at most [`Publish::run_messages`].
    pub(crate) fn run(&self, messages: u64) -> &[u8] {
        &self.run[..messages as usize * self.message_bytes]
    }

    /// Writes a number into the first eight bytes of the first `messages` bodies.
    pub(crate) fn stamp(&mut self, messages: u64, value: u64) {
        for message in self.run.chunks_exact_mut(self.message_bytes).take(messages as usize) {
            message[self.body_at..self.body_at + 8].copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// One message on channel 1. The body must fit in one frame.
pub(crate) fn message(exchange: &str, key: &str, body_bytes: usize, manner: Manner<'_>) -> Vec<u8> {
    let arguments = Arguments::new().u16(0).short(exchange).short(key).u8(0);
    let mut one = arguments.frame(super::CHANNEL, method::BASIC_PUBLISH);
    let (class, _) = method::BASIC_PUBLISH;
    let (headers_given, delivery_mode_given, priority_given) = (1_u16 << 13, 1 << 12, 1 << 11);
    let mut flags = delivery_mode_given;
    flags |= if manner.headers.is_some() { headers_given } else { 0 };
    flags |= if manner.priority.is_some() { priority_given } else { 0 };
    let mut properties = Arguments::new().u16(class).u16(0).u64(body_bytes as u64).u16(flags);
    if let Some(headers) = manner.headers {
        properties = properties.table(headers);
    }
    properties = properties.u8(if manner.persistent { 2 } else { 1 });
    if let Some(priority) = manner.priority {
        properties = properties.u8(priority);
    }
    one.extend(whole(super::scan::HEADER, super::CHANNEL, &properties.0));
    let body: Vec<u8> = (0..body_bytes).map(|n| (n % 251) as u8).collect();
    one.extend(whole(super::scan::BODY, super::CHANNEL, &body));
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_three_frames_and_repeats() {
        let mut publish = Publish::new("x", "key", 16, true);
        publish.stamp(1, 0x0102_0304_0506_0708);
        let one = publish.run(1).to_vec();
        let mut expected = vec![1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 40, 0, 0, 1, b'x', 3, b'k', b'e', b'y', 0, END];
        expected.extend([2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0x10, 0, 2, END]);
        expected.extend([3, 0, 1, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, END]);
        assert_eq!(one, expected);
        assert_eq!(publish.run(3).len(), 3 * one.len());
    }
}
