//! A protocol for tests of what is around protocols.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_aws::Aws;
use gantry_broker::protocol::{Connection, Protocol};
use gantry_broker::{Broker, BrokerOptions, Found};
use gantry_mqtt::Mqtt;
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::config::Limits;
use crate::protocols::Parts;

/// Answers each line with itself, `who` with what TLS found out, `from` with the peer's address, `here` with whether that is this machine, `vhosts` with the number of
/// virtual hosts, and says `bye` at a shutdown, unless it was told to `stay`. A line longer than messages may be ends the
/// connection.
pub(crate) struct Echo {
    broker: Arc<Broker>,
    line_bytes_max: u64,
}

impl Echo {
    pub(crate) fn make(parts: &Parts) -> Arc<dyn Protocol> {
        Arc::new(Self { broker: parts.broker.clone(), line_bytes_max: parts.limits.message_bytes_max })
    }
}

/// What a protocol needs, with a broker that forgets everything.
pub(crate) fn parts(limits: Limits) -> Parts {
    let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
    let broker = Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap();
    let mqtt = Mqtt::new(Arc::clone(&broker), gantry_mqtt::Settings::default(), Arc::default()).unwrap();
    let (aws, _) = Aws::new(Arc::clone(&broker), gantry_aws::Settings::default(), Arc::default()).unwrap();
    Parts {
        limits,
        broker,
        amqp091_stats: Arc::default(),
        mqtt: Arc::new(mqtt),
        stomp: gantry_stomp::Settings::default(),
        stomp_stats: Arc::default(),
        aws: Arc::new(aws),
    }
}

#[async_trait]
impl Protocol for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn serve(&self, connection: Connection) {
        let is_from_this_machine = connection.is_from_this_machine();
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
                (_, "here\n") => format!("{is_from_this_machine}\n"),
                (_, "vhosts\n") => format!("{}\n", self.broker.totals().vhosts),
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
