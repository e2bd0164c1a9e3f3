//! A producer that keeps a window of publishes under way.

use std::time::{Duration, Instant};

use crate::amqp::Connection;
use crate::amqp::frame::Publish;
use crate::amqp::scan::Confirms;
use crate::error::{Fallible, fail};

/// How long a producer waits for the next confirm before the run counts as failed.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(60);
/// New publishes are written once this part of the window is free: fewer, larger writes.
const REFILL_DIVISOR: u64 = 8;

/// A connection that publishes one message over and over, with confirms.
pub(crate) struct Producer {
    connection: Connection,
    publish: Publish,
    confirms: Confirms,
    window: u64,
    sent: u64,
}

impl Producer {
    /// Takes a fresh connection.
    pub(crate) fn new(mut connection: Connection, publish: Publish, window: u64) -> Fallible<Self> {
        connection.confirm_select()?;
        Ok(Self { connection, publish, confirms: Confirms::new(window), window, sent: 0 })
    }

    /// Publishes that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Publishes that are confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirms.confirmed()
    }

    /// Fills the window, but sends no more than `messages`, and waits until there is room again. Sending 0 only waits.
    pub(crate) fn advance(&mut self, messages: u64) -> Fallible<()> {
        let mut room = messages.min(self.window - (self.sent - self.confirmed()));
        while room > 0 {
            let run = room.min(self.publish.run_messages());
            self.connection.send(self.publish.run(run))?;
            self.sent += run;
            room -= run;
        }
        let enough = self.window - (self.window / REFILL_DIVISOR).max(1);
        let deadline = Instant::now() + CONFIRM_PATIENCE;
        let goal = if messages == 0 { self.sent } else { self.sent.saturating_sub(enough) };
        while self.confirmed() < goal {
            if self.connection.fill()? {
                while let Some(frame) = self.connection.next()? {
                    self.confirms.take(&frame, |_| {})?;
                }
            } else if Instant::now() > deadline {
                let waiting = self.sent - self.confirmed();
                return fail(format!("{waiting} publishes are not confirmed after {} s", CONFIRM_PATIENCE.as_secs()));
            }
        }
        Ok(())
    }

    /// Sends `messages`, or as many as go until `deadline`, and waits for all confirms. Gives how many are confirmed.
    pub(crate) fn run(&mut self, messages: u64, deadline: Instant) -> Fallible<u64> {
        while self.sent < messages && Instant::now() < deadline {
            self.advance(messages - self.sent)?;
        }
        self.advance(0)?;
        Ok(self.confirmed())
    }

    /// Says goodbye.
    pub(crate) fn close(self) -> Fallible<()> {
        self.connection.close()
    }
}
