//! A protocol for tests of what is around protocols.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_broker::protocol::{Connection, Protocol};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::protocols::Parts;

/// Answers each line with itself, `who` with what TLS found out and `from` with the peer's address, and says `bye` at a
/// shutdown, unless it was told to `stay`. A line longer than messages may be ends the connection.
pub(crate) struct Echo {
    line_bytes_max: u64,
}

impl Echo {
    pub(crate) fn make(parts: &Parts) -> Arc<dyn Protocol> {
        Arc::new(Self { line_bytes_max: parts.limits.message_bytes_max })
    }
}

#[async_trait]
impl Protocol for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn serve(&self, connection: Connection) {
        let Connection { stream, peer, tls, mut shutdown, .. } = connection;
        let mut stream = BufReader::new(stream);
        let mut stay = false;
        let mut line = String::new();
        loop {
            line.clear();
            let read = tokio::select! {
                read = stream.read_line(&mut line) => read,
                () = shutdown.requested(), if !stay => {
                    let _ = stream.write_all(b"bye\n").await;
                    let _ = stream.shutdown().await;
                    return;
                }
            };
            let answer = match (read, line.as_str()) {
                (Err(_) | Ok(0), _) => return,
                (Ok(bytes), _) if bytes as u64 > self.line_bytes_max => return,
                (_, "who\n") => format!("{tls:?}\n"),
                (_, "from\n") => format!("{peer}\n"),
                (_, "panic\n") => panic!("as asked"),
                (_, said) => {
                    stay |= said == "stay\n";
                    said.to_owned()
                }
            };
            if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
}
