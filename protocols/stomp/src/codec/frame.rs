//! Commands, versions and header lines, borrowed from the bytes that came.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::escape::unescape;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0: header lines have no escapes, and spaces before a value are not part of it.
    #[default]
    V1_0,
    /// 1.1.
    V1_1,
    /// 1.2.
    V1_2,
}

impl Version {
    /// As it stands in headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

macro_rules! commands {
    ($($(#[$about:meta])* $name:ident $text:literal),* $(,)?) => {
        /// A command of a client.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command {
            $($(#[$about])* $name,)*
        }

        impl Command {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it stands in a frame.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub(super) fn read(line: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|command| command.as_str().as_bytes() == line)
            }
        }
    };
}

commands! {
    /// Publishes.
    Send "SEND",
    /// Says that a message is done with.
    Ack "ACK",
    /// Says that a message was not consumed (1.1).
    Nack "NACK",
    /// Begins a subscription.
    Subscribe "SUBSCRIBE",
    /// Ends a subscription.
    Unsubscribe "UNSUBSCRIBE",
    /// Begins a transaction.
    Begin "BEGIN",
    /// Ends a transaction: all of it happens.
    Commit "COMMIT",
    /// Ends a transaction: nothing of it happens.
    Abort "ABORT",
    /// Begins a session.
    Connect "CONNECT",
    /// Begins a session (1.1).
    Stomp "STOMP",
    /// Ends a session.
    Disconnect "DISCONNECT",
}

/// A frame of a client.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What it asks for.
    pub command: Command,
    /// Its header lines.
    pub headers: Headers<'a>,
    /// Its body. Commands other than SEND have none; what they bring is passed over.
    pub body: &'a [u8],
}

/// Header lines: each a name, a colon, a value and an end of line.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    lines: &'a [u8],
    is_escaped: bool,
    is_trimmed: bool,
}

/// A header as it stands in its line, with the end of line cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// In front of the first colon.
    pub name: &'a [u8],
    /// Behind it.
    pub value: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Lines of a frame of a client of `version`; those of CONNECT and STOMP are not escaped in any version.
    pub(super) fn of_client(lines: &'a [u8], command: Command, version: Version) -> Self {
        let is_connect = matches!(command, Command::Connect | Command::Stomp);
        Self { lines, is_escaped: version > Version::V1_0 && !is_connect, is_trimmed: version == Version::V1_0 }
    }

    /// Lines that were written with escapes, each with a line feed behind it.
    pub const fn escaped(lines: &'a [u8]) -> Self {
        Self { lines, is_escaped: true, is_trimmed: false }
    }

    /// The same lines of a CONNECT or STOMP as a client of `version` means them: which one that is, stands in the lines.
    #[must_use]
    pub fn of_version(self, version: Version) -> Self {
        Self { is_trimmed: version == Version::V1_0, ..self }
    }

    /// The lines as they came.
    pub const fn raw(self) -> &'a [u8] {
        self.lines
    }

    /// Whether names and values have escapes.
    pub const fn is_escaped(self) -> bool {
        self.is_escaped
    }

    /// All lines in order, repeated names included, with names and values as they stand there.
    pub fn lines(self) -> impl Iterator<Item = Header<'a>> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let end = memchr::memchr(b'\n', rest);
                let line = &rest[..end.unwrap_or(rest.len())];
                rest = end.map_or(&[][..], |end| &rest[end + 1..]);
                // A line without a colon is none; decoding has refused those.
                let Some(colon) = memchr::memchr(b':', line) else { continue };
                let (name, value) = (&line[..colon], &line[colon + 1..]);
                let value = value.strip_suffix(b"\r").unwrap_or(value);
                return Some(Header { name, value: if self.is_trimmed { value.trim_ascii_start() } else { value } });
            }
        })
    }

    /// The first line of each name, in order, with names and values as they stand there: repeated ones do not count (1.2,
    /// "Repeated Header Entries").
    pub fn first_lines(self) -> impl Iterator<Item = Header<'a>> {
        // As many as there are lines, which is what a limit is for.
        let mut seen: SmallVec<[&[u8]; 16]> = SmallVec::new();
        self.lines().filter(move |header| {
            let is_first = !seen.contains(&header.name);
            if is_first {
                seen.push(header.name);
            }
            is_first
        })
    }

    /// What a name or value of these lines stands for.
    pub fn meaning(self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_escaped { unescape(bytes) } else { Cow::Borrowed(bytes) }
    }

    /// The first value of that name, as bytes.
    pub fn get_bytes(self, name: &str) -> Option<Cow<'a, [u8]>> {
        let found = self.lines().find(|header| *self.meaning(header.name) == *name.as_bytes())?;
        Some(self.meaning(found.value))
    }

    /// The first value of that name. What is not UTF-8 in it is U+FFFD.
    pub fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.get_bytes(name).map(text)
    }

    /// Names and values in order, the first of each name. What is not UTF-8 in them is U+FFFD.
    pub fn iter(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.first_lines().map(move |header| (text(self.meaning(header.name)), text(self.meaning(header.value))))
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ),
    }
}
