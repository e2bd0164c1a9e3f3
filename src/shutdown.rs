//! Signals that end the program.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, from the moment this is made.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which of them came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// SIGTERM.
    Terminate,
    /// SIGINT, Ctrl-C.
    Interrupt,
}

impl Ended {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ended::Terminate => "SIGTERM",
            Ended::Interrupt => "SIGINT",
        }
    }

    /// What a shell says of a program that the signal ended: 128 and its number.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Ended::Terminate => 143,
            Ended::Interrupt => 130,
        }
    }
}

impl Signals {
    /// Takes them over from the system, which would end the program at once.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.terminate.recv() => Ended::Terminate,
            _ = self.interrupt.recv() => Ended::Interrupt,
        }
    }
}
