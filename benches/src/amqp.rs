//! A load generator's AMQP 0-9-1 client: it does as little as it can for each message.
//!
//! * [`frame`] builds the bytes of methods; a publish is built once and sent over and over ([`frame::Publish`]).
//! * [`scan`] cuts what arrives into frames without copying, and counts confirms and deliveries.
//! * [`Connection`] is a blocking socket with both, for one thread.
//!
//! Nothing here is shared with the broker's own codec: a mistake in that one must not be hidden by the same mistake here.

pub(crate) mod frame;
pub(crate) mod scan;

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::error::{Fallible, fail};
use frame::{Arguments, Field, method};
use scan::{Frame, Scanner};

/// How long a broker may take to answer a request or to take bytes before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a thread that waits for bytes looks up to see whether it should stop.
pub(crate) const LOOK_UP: Duration = Duration::from_millis(100);
/// The only channel that is used on a connection.
pub(crate) const CHANNEL: u16 = 1;

/// One connection with channel 1 open, for one thread.
pub(crate) struct Connection {
    stream: TcpStream,
    scanner: Scanner,
    frame_bytes_max: usize,
}

impl Connection {
    /// Connects, logs in as guest to `/`, switches heartbeats off and opens channel 1.
    pub(crate) fn open(address: SocketAddr) -> Fallible<Self> {
        Self::open_with_buffer(address, 512 * 1024)
    }

    /// As [`Connection::open`], with a read buffer of `buffer_bytes`: thousands of idle connections need no large one.
    pub(crate) fn open_with_buffer(address: SocketAddr, buffer_bytes: usize) -> Fallible<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_UP))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, scanner: Scanner::new(buffer_bytes), frame_bytes_max: 0 };
        connection.handshake()?;
        Ok(connection)
    }

    fn handshake(&mut self) -> Fallible<()> {
        self.stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        self.expect(method::CONNECTION_START)?;
        let login = Arguments::new()
            .table(&[])
            .short("PLAIN")
            .long(format!("\0{user}\0{password}", user = "guest", password = "guest").as_bytes())
            .short("en_US");
        self.stream.write_all(&login.frame(0, method::CONNECTION_START_OK))?;
        let tune = self.expect(method::CONNECTION_TUNE)?;
        let [c0, c1, f0, f1, f2, f3, ..] = tune[..] else { return fail("connection.tune is too short") };
        let channel_max = u16::from_be_bytes([c0, c1]);
        let frame_bytes_max = match u32::from_be_bytes([f0, f1, f2, f3]) {
            0 => 131_072,
            told => told,
        };
        self.frame_bytes_max = frame_bytes_max as usize;
        let mut answer =
            Arguments::new().u16(channel_max).u32(frame_bytes_max).u16(0).frame(0, method::CONNECTION_TUNE_OK);
        answer.extend(Arguments::new().short("/").short("").u8(0).frame(0, method::CONNECTION_OPEN));
        self.stream.write_all(&answer)?;
        self.expect(method::CONNECTION_OPEN_OK)?;
        self.call(Arguments::new().short(""), method::CHANNEL_OPEN, method::CHANNEL_OPEN_OK)?;
        Ok(())
    }

    /// Largest body that fits in one frame, in bytes.
    pub(crate) fn body_bytes_max(&self) -> usize {
        self.frame_bytes_max - frame::OVERHEAD_BYTES
    }

    /// A second handle on the socket, for a thread that only writes.
    pub(crate) fn writer(&self) -> Fallible<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Sends bytes that were encoded before.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Fallible<()> {
        self.stream.write_all(bytes).map_err(|error| format!("writing to the broker: {error}").into())
    }

    /// Waits until something arrives, at most [`LOOK_UP`]. `false`: nothing came.
    pub(crate) fn fill(&mut self) -> Fallible<bool> {
        match self.scanner.fill(&mut self.stream) {
            Ok(0) => fail("the broker closed the connection"),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(format!("reading from the broker: {error}").into()),
        }
    }

    /// The next whole frame of what has arrived.
    pub(crate) fn next(&mut self) -> Fallible<Option<Frame<'_>>> {
        self.scanner.next()
    }

    /// Sends a method on channel 1 and waits for its answer; gives the answer's arguments.
    pub(crate) fn call(&mut self, arguments: Arguments, request: (u16, u16), answer: (u16, u16)) -> Fallible<Vec<u8>> {
        self.send(&arguments.frame(CHANNEL, request))?;
        self.expect(answer)
    }

    /// Waits for one method; any other is an error.
    pub(crate) fn expect(&mut self, wanted: (u16, u16)) -> Fallible<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.scanner.next()? {
                if frame.kind != scan::METHOD {
                    continue;
                }
                let (id, arguments) = frame.method()?;
                if id == wanted {
                    return Ok(arguments.to_vec());
                }
                return fail(scan::unexpected(id, arguments));
            }
            if !self.fill()? && Instant::now() > deadline {
                return fail(format!("no method {wanted:?} within {} s", PATIENCE.as_secs()));
            }
        }
    }

    /// Asks for publisher confirms.
    pub(crate) fn confirm_select(&mut self) -> Fallible<()> {
        self.call(Arguments::new().u8(0), method::CONFIRM_SELECT, method::CONFIRM_SELECT_OK)?;
        Ok(())
    }

    /// Declares a queue: durable, or transient.
    pub(crate) fn declare_queue(&mut self, queue: &str, durable: bool) -> Fallible<()> {
        let arguments = frame::queue_declare(queue, u8::from(durable) << 1);
        self.call(arguments, method::QUEUE_DECLARE, method::QUEUE_DECLARE_OK)?;
        Ok(())
    }

    /// Declares a durable queue with arguments.
    pub(crate) fn declare_queue_with(&mut self, queue: &str, arguments: &[(&str, Field<'_>)]) -> Fallible<()> {
        let durable = 2;
        let arguments = frame::queue_declare_with(queue, durable, &frame::fields(arguments));
        self.call(arguments, method::QUEUE_DECLARE, method::QUEUE_DECLARE_OK)?;
        Ok(())
    }

    /// Ready messages of a queue that exists.
    pub(crate) fn queue_length(&mut self, queue: &str) -> Fallible<u64> {
        let passive = 1;
        let answer =
            self.call(frame::queue_declare(queue, passive), method::QUEUE_DECLARE, method::QUEUE_DECLARE_OK)?;
        let counts = answer.get(1 + queue.len()..).unwrap_or_default();
        let [a, b, c, d, ..] = counts[..] else { return fail("queue.declare-ok is too short") };
        Ok(u64::from(u32::from_be_bytes([a, b, c, d])))
    }

    /// Declares a durable exchange.
    pub(crate) fn declare_exchange(&mut self, exchange: &str, kind: &str) -> Fallible<()> {
        self.declare_exchange_with(exchange, kind, &[])
    }

    /// The same with arguments.
    pub(crate) fn declare_exchange_with(
        &mut self,
        exchange: &str,
        kind: &str,
        arguments: &[(&str, Field<'_>)],
    ) -> Fallible<()> {
        let durable = 2;
        let table = frame::fields(arguments);
        let arguments = Arguments::new().u16(0).short(exchange).short(kind).u8(durable).table(&table);
        self.call(arguments, method::EXCHANGE_DECLARE, method::EXCHANGE_DECLARE_OK)?;
        Ok(())
    }

    /// Binds a queue to an exchange.
    pub(crate) fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Fallible<()> {
        self.call(frame::queue_bind(queue, exchange, key), method::QUEUE_BIND, method::QUEUE_BIND_OK)?;
        Ok(())
    }

    /// Starts a consumer. `prefetch` 0 is no limit.
    pub(crate) fn consume(&mut self, queue: &str, prefetch: u16, automatic_ack: bool) -> Fallible<()> {
        self.consume_with(queue, prefetch, automatic_ack, &[])
    }

    /// The same with arguments of the consumer.
    pub(crate) fn consume_with(
        &mut self,
        queue: &str,
        prefetch: u16,
        automatic_ack: bool,
        arguments: &[(&str, Field<'_>)],
    ) -> Fallible<()> {
        if prefetch > 0 {
            let arguments = Arguments::new().u32(0).u16(prefetch).u8(0);
            self.call(arguments, method::BASIC_QOS, method::BASIC_QOS_OK)?;
        }
        let flags = u8::from(automatic_ack) << 1;
        let arguments = Arguments::new().u16(0).short(queue).short("").u8(flags).table(&frame::fields(arguments));
        self.call(arguments, method::BASIC_CONSUME, method::BASIC_CONSUME_OK)?;
        Ok(())
    }

    /// Acknowledges everything up to a delivery tag.
    pub(crate) fn ack_up_to(&mut self, delivery_tag: u64) -> Fallible<()> {
        let multiple = 1;
        self.send(&Arguments::new().u64(delivery_tag).u8(multiple).frame(CHANNEL, method::BASIC_ACK))
    }

    /// Says goodbye. Deliveries that are still under way are dropped.
    pub(crate) fn close(mut self) -> Fallible<()> {
        let arguments = Arguments::new().u16(200).short("").u16(0).u16(0);
        self.send(&arguments.frame(0, method::CONNECTION_CLOSE))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(frame) = self.scanner.next()? {
                if frame.kind == scan::METHOD && frame.method()?.0 == method::CONNECTION_CLOSE_OK {
                    return Ok(());
                }
            }
            if !self.fill()? && Instant::now() > deadline {
                return fail("no connection.close-ok");
            }
        }
    }
}

/// Where a broker listens, by port: load stays on the loopback.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
