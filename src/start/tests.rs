use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config;
use crate::echo::{Echo, parts};

/// All listeners at free ports of loopback, where there is a protocol.
fn free_ports(more: &str) -> Config {
    let mut config = config::config(more);
    for listener in &mut config.listeners {
        if let Some(address) = &mut listener.address {
            *address = SocketAddr::from(([127, 0, 0, 1], 0));
        }
    }
    config
}

fn opened(config: &Config) -> Opened {
    let source = || metrics::Snapshot { queues: 7, published_total: 11, ..metrics::Snapshot::default() };
    Opened {
        parts: parts(config.limits),
        sources: metrics::Sources {
            totals: Box::new(source),
            queues: Box::new(Vec::new),
            deliveries: Box::new(Vec::new),
        },
        start_closing: Box::new(|| ()),
        close: Box::new(|| Ok(())),
    }
}

fn address(running: &Running, name: &str) -> SocketAddr {
    running.addresses().iter().find(|(listener, _)| *listener == name).unwrap().1
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const ECHO: &[Entry] = &[("amqp", Echo::make)];

#[tokio::test]
async fn what_has_a_protocol_is_bound_and_nothing_else() {
    let running = start_with(free_ports(""), ECHO, |config| Ok(opened(config))).await.unwrap();
    let names: Vec<_> = running.addresses().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["management", "metrics", "amqp"]);
    let mut stream = TcpStream::connect(address(&running, "amqp")).await.unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello\n");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_protocol_that_is_there_rides_on_websocket() {
    let running = start_with(free_ports("[listeners]\nws = '127.0.0.1:0'"), ECHO, |config| Ok(opened(config)));
    let running = running.await.unwrap();
    let ws = address(&running, "ws");
    assert!(get(ws, "/ws").await.starts_with("HTTP/1.1 426 "));
    let mut stream = TcpStream::connect(ws).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: amqp\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    // A message that is masked with zeros.
    stream.write_all(b"\x82\x86\0\0\0\0hello\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x82\x06hello\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let scraped = get(address(&running, "metrics"), "/metrics").await;
    for line in ["gantry_websocket_upgrades_total 1", "gantry_websocket_upgrades_refused_total 1"] {
        assert!(scraped.lines().any(|found| found == line), "{line} in {scraped}");
    }
    let stopping = tokio::spawn(running.stop());
    let mut last = [0; 10];
    stream.read_exact(&mut last).await.unwrap();
    assert_eq!(&last, b"\x82\x04bye\n\x88\x02\x03\xe9");
    stream.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_is_ready_once_the_broker_has_recovered_and_alive_before() {
    let (recovered, wait) = mpsc::channel();
    // Port 0 will not do: the port must be known before the start is over. Nobody else takes ports of this address.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let probe = std::net::TcpListener::bind((std::net::Ipv4Addr::new(127, 91, high, low), 0)).unwrap();
    let management = probe.local_addr().unwrap();
    drop(probe);
    let mut config = free_ports("");
    for listener in &mut config.listeners {
        if listener.name == "management" {
            listener.address = Some(management);
        }
    }
    let (opening, is_open) = tokio::sync::oneshot::channel();
    let starting = tokio::spawn(start_with(config, ECHO, move |config| {
        let _ = opening.send(());
        wait.recv().map_err(|error| error.to_string())?;
        Ok(opened(config))
    }));
    is_open.await.unwrap();
    assert!(get(management, "/health/live").await.starts_with("HTTP/1.1 200"));
    let early = get(management, "/health/ready").await;
    assert!(early.starts_with("HTTP/1.1 503") && early.ends_with(r#"{"status":"starting"}"#), "{early}");
    recovered.send(()).unwrap();
    let running = starting.await.unwrap().unwrap();
    assert!(get(management, "/health/ready").await.starts_with("HTTP/1.1 200"));
    let lost = get(management, "/nowhere").await;
    assert!(lost.starts_with("HTTP/1.1 404") && lost.contains("content-type: application/json"), "{lost}");
    assert!(lost.ends_with(r#"{"error":"Object Not Found","reason":"Not Found"}"#), "{lost}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_scrape_tells_of_connections_the_broker_and_the_process() {
    let running = start_with(free_ports(""), ECHO, |config| Ok(opened(config))).await.unwrap();
    let mut stream = TcpStream::connect(address(&running, "amqp")).await.unwrap();
    stream.write_all(b"x\n").await.unwrap();
    stream.read_exact(&mut [0; 2]).await.unwrap();
    let scraped = get(address(&running, "metrics"), "/metrics").await;
    assert!(scraped.contains("content-type: application/openmetrics-text"), "{scraped}");
    for line in [
        "rabbitmq_connections 1",
        "rabbitmq_connections_opened_total 1",
        "rabbitmq_connections_closed_total 0",
        "rabbitmq_queues 7",
        "rabbitmq_global_messages_received_total 11",
        "gantry_journal_full 0",
        "# EOF",
    ] {
        assert!(scraped.lines().any(|found| found == line), "{line} in {scraped}");
    }
    for name in ["rabbitmq_process_resident_memory_bytes ", "gantry_uptime_seconds ", "rabbitmq_process_open_fds "] {
        let value = scraped.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert!(value.parse::<f64>().unwrap() > 0.0, "{name}{value}");
    }
    assert!(get(address(&running, "metrics"), "/").await.starts_with("HTTP/1.1 404"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_tells_clients_cuts_those_that_stay_and_closes_the_broker_last() {
    let closed = Arc::new(AtomicBool::new(false));
    let closed_there = closed.clone();
    let config = free_ports("[limits]\nshutdown_timeout_s = 1");
    let running = start_with(config, ECHO, move |config| {
        let close = move || {
            closed_there.store(true, Ordering::SeqCst);
            Err(String::from("the last sync failed"))
        };
        Ok(Opened { close: Box::new(close), ..opened(config) })
    });
    let running = running.await.unwrap();
    let amqp = address(&running, "amqp");
    let mut polite = TcpStream::connect(amqp).await.unwrap();
    let mut stays = TcpStream::connect(amqp).await.unwrap();
    polite.write_all(b"x\n").await.unwrap();
    polite.read_exact(&mut [0; 2]).await.unwrap();
    stays.write_all(b"stay\n").await.unwrap();
    stays.read_exact(&mut [0; 5]).await.unwrap();

    let stopping = tokio::spawn(running.stop());
    let mut last = String::new();
    polite.read_to_string(&mut last).await.unwrap();
    assert_eq!(last, "bye\n");
    assert!(!closed.load(Ordering::SeqCst));
    let _ = stays.read_to_string(&mut last).await;
    assert_eq!(stopping.await.unwrap(), Err(String::from("the last sync failed")));
    assert!(closed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_data_folder_is_locked_while_it_is_in_use_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: folder.path().join("data"), ..free_ports("") };
    let running = start_with(config.clone(), ECHO, open).await.unwrap();
    let mut stream = TcpStream::connect(address(&running, "amqp")).await.unwrap();
    stream.write_all(b"vhosts\n").await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"1\n");
    let refused = start_with(config.clone(), ECHO, open).await.err().unwrap().to_string();
    assert!(refused.contains("is in use by another process"), "{refused}");
    running.stop().await.unwrap();
    start_with(config, ECHO, open).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_before_anything_is_opened() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = free_ports("");
    for listener in config.listeners.iter_mut().filter(|listener| listener.name == "amqp") {
        listener.address = Some(taken.local_addr().unwrap());
    }
    let started = start_with(config, ECHO, |_| Err(String::from("opened"))).await;
    let error = started.err().unwrap().to_string();
    assert!(error.starts_with(&format!("cannot listen for amqp at {}: ", taken.local_addr().unwrap())), "{error}");
}

#[tokio::test]
async fn a_broker_that_cannot_be_opened_ends_the_start() {
    let started = start_with(free_ports(""), ECHO, |_| Err(String::from("data is locked"))).await;
    assert_eq!(started.err().unwrap().to_string(), "data is locked");
}
