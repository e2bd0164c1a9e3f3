//! The log: lines on standard output, written by a thread of their own.
//!
//! Whoever reads the log may stop reading. Then lines are dropped and counted; the broker does not wait for its log.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Lines that may wait for the one who reads them.
const LINES_WAITING_MAX: usize = 4096;

/// How long the end of the program waits for the last lines to be read.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts logging for the whole process. `directives`, where there are any, go before the filter of the configuration.
pub(crate) fn start(config: &LogConfig, directives: Option<&str>) -> Result<Log, String> {
    let filter = directives.unwrap_or(&config.filter);
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("the log's filter {filter:?}: {error}"))?;
    let (lines, log) = Log::to(io::stdout());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stdout().is_terminal())
        .with_writer(lines)
        // Where this fails there is nobody to tell.
        .log_internal_errors(false);
    let started = match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("panic: {panic}");
    }));
    Ok(log)
}

/// The log as the program holds it.
pub(crate) struct Log {
    lines: SyncSender<Line>,
    done: Receiver<()>,
}

impl Log {
    fn to(mut output: impl Write + Send + 'static) -> (Lines, Self) {
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        let (done_sender, done) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let dropped_here = dropped.clone();
        let write = move || {
            while let Ok(Line::Text(line)) = lines.recv() {
                // Where nobody can read, nothing can be told.
                let _ = output.write_all(&line);
                let dropped = dropped_here.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    let _ = writeln!(output, "{dropped} lines of the log were dropped: nobody read them in time");
                }
                let _ = output.flush();
            }
            let _ = done_sender.send(());
        };
        // Without the thread, lines are dropped: a broker without a log is better than none.
        let _ = thread::Builder::new().name("log".into()).spawn(write);
        (Lines { lines: sender.clone(), dropped }, Self { lines: sender, done })
    }

    /// Waits a moment until what was logged has been written.
    pub(crate) fn flush(self) {
        // A reader that has stopped must not hold the end of the program up: this neither waits for room nor for ever.
        if self.lines.try_send(Line::End).is_ok() {
            let _: Result<(), RecvTimeoutError> = self.done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

enum Line {
    Text(Vec<u8>),
    End,
}

/// Takes lines from any thread.
#[derive(Clone)]
struct Lines {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The formatter hands over a whole line at a time.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Line::Text(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::*;

    /// Writes once it is let.
    struct Output {
        gate: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            self.text.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody_up_and_tells_what_was_dropped() {
        let (open, gate) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let (mut lines, log) = Log::to(Output { gate, text: text.clone() });
        for n in 0..LINES_WAITING_MAX + 100 {
            lines.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        drop(open);
        // The end needs room, which is there for good once the thread has caught up.
        let last = format!("line {}\n", LINES_WAITING_MAX - 1).into_bytes();
        while !text.lock().windows(last.len()).rev().any(|written| written == last) {
            thread::yield_now();
        }
        log.flush();
        let text = String::from_utf8(text.lock().clone()).unwrap();
        assert!(text.starts_with("line 0\n"), "{text}");
        assert!(text.contains("lines of the log were dropped"), "{text}");
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        assert!((LINES_WAITING_MAX..LINES_WAITING_MAX + 100).contains(&written), "{written}");
    }
}
