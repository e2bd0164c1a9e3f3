use std::time::Instant as StdInstant;

use gantry_broker::protocol::ShutdownTrigger;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;

use super::*;
use crate::config;
use crate::echo::{Echo, parts};

struct Started {
    address: SocketAddr,
    connections: Connections,
    stop: ShutdownTrigger,
    cut: ShutdownTrigger,
    accepting: JoinHandle<()>,
}

/// A listener of echoes at a free port.
fn started(connections_max: u64, at: &str) -> Started {
    started_with(connections_max, at, None)
}

fn started_with(connections_max: u64, at: &str, proxy_timeout: Option<Duration>) -> Started {
    let (stop, shutdown) = ShutdownTrigger::new();
    let (cut, cut_handle) = ShutdownTrigger::new();
    let connections = Connections::new(connections_max);
    let protocol = Echo::make(&parts(config::config("").limits));
    let address = at.parse().unwrap();
    let config =
        ListenerConfig { name: "echo", plain_name: "echo", tls: false, proxy_protocol: false, address: Some(address) };
    let listener = Bound::new(&config, address).unwrap().listen().unwrap();
    let address = listener.address();
    let (tls, cut_shutdown) = (None, cut_handle);
    let service =
        Service { protocol, tls, proxy_timeout, connections: connections.clone(), shutdown, cut: cut_shutdown };
    Started { address, connections, stop, cut, accepting: tokio::spawn(listener.serve(service)) }
}

async fn say(stream: &mut TcpStream, line: &str) -> String {
    stream.write_all(line.as_bytes()).await.unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await.unwrap();
    answer
}

/// What comes until the other side closes; a reset counts as that.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    String::from_utf8(rest).unwrap()
}

#[tokio::test]
async fn a_connection_is_served_and_counted() {
    let started = started(10, "127.0.0.1:0");
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(say(&mut stream, "hello\n").await, "hello\n");
    assert_eq!(started.connections.open(), 1);
    drop(stream);
    started.connections.none_left().await;
    assert_eq!(started.connections.opened(), 1);
}

#[tokio::test]
async fn over_the_limit_connections_are_closed_and_those_that_are_there_go_on() {
    let started = started(2, "127.0.0.1:0");
    let mut first = TcpStream::connect(started.address).await.unwrap();
    let mut second = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(say(&mut first, "1\n").await, "1\n");
    assert_eq!(say(&mut second, "2\n").await, "2\n");
    let third = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(rest(third).await, "");
    assert_eq!(started.connections.refused(), 1);
    assert_eq!(say(&mut first, "1\n").await, "1\n");
}

#[tokio::test]
async fn a_protocol_that_panics_costs_its_own_connection() {
    let started = started(2, "127.0.0.1:0");
    let mut other = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(say(&mut other, "1\n").await, "1\n");
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    stream.write_all(b"panic\n").await.unwrap();
    assert_eq!(rest(stream).await, "");
    assert_eq!(say(&mut other, "2\n").await, "2\n");
    drop(other);
    started.connections.none_left().await;
}

#[tokio::test]
async fn a_shutdown_stops_accepting_and_lets_clients_be_told() {
    let started = started(10, "127.0.0.1:0");
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(say(&mut stream, "hello\n").await, "hello\n");
    started.stop.request();
    assert_eq!(rest(stream).await, "bye\n");
    started.accepting.await.unwrap();
    assert!(TcpStream::connect(started.address).await.is_err());
    started.connections.none_left().await;
}

#[tokio::test]
async fn a_connection_that_does_not_go_is_cut() {
    let started = started(10, "127.0.0.1:0");
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    assert_eq!(say(&mut stream, "stay\n").await, "stay\n");
    started.stop.request();
    assert_eq!(say(&mut stream, "still\n").await, "still\n");
    started.cut.request();
    assert_eq!(rest(stream).await, "");
    started.connections.none_left().await;
}

#[tokio::test]
async fn a_peer_of_ipv4_is_one_also_at_a_listener_of_ipv6() {
    let started = started(10, "[::]:0");
    let address = SocketAddr::from(([127, 0, 0, 1], started.address.port()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let expected = format!("{}\n", stream.local_addr().unwrap());
    assert_eq!(say(&mut stream, "from\n").await, expected);
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_one_that_is_bound_does_not_accept_yet() {
    let started = started(10, "127.0.0.1:0");
    let config = ListenerConfig {
        name: "echo",
        plain_name: "echo",
        tls: false,
        proxy_protocol: false,
        address: Some(started.address),
    };
    let clash = Bound::new(&config, started.address).err().unwrap();
    assert_eq!(clash.kind(), io::ErrorKind::AddrInUse);

    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = Bound::new(&config, any).unwrap();
    let address = bound.socket.local_addr().unwrap();
    let refused = TcpStream::connect(address).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let _listener = bound.listen().unwrap();
    TcpStream::connect(address).await.unwrap();
}

#[test]
fn complaints_are_counted_and_told_once_in_a_while() {
    let mut complaints = Complaints::default();
    let mut told = Vec::new();
    let start = StdInstant::now();
    for _ in 0..1000 {
        complaints.tell(|n| told.push(n));
    }
    if start.elapsed() < COMPLAINT_INTERVAL {
        assert_eq!(told, [1]);
        assert_eq!(complaints.since_last, 999);
    }
}

#[tokio::test]
async fn behind_a_proxy_the_peer_is_whom_the_proxy_says() {
    let started = started_with(10, "127.0.0.1:0", Some(Duration::from_secs(10)));
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\n").await.unwrap();
    assert_eq!(say(&mut stream, "from\n").await, "192.0.2.1:56324\n");
    // Of version 2, in pieces, with an address of IPv4 as one of IPv6.
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x27".to_vec();
    for last in [1, 2] {
        header.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last]);
    }
    header.extend_from_slice(&[0, 80, 7, 91, 4, 0, 0]);
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    for piece in header.chunks(7) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(say(&mut stream, "from\n").await, "192.0.2.1:80\n");
    let mut stream = TcpStream::connect(started.address).await.unwrap();
    stream.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    let expected = format!("{}\n", stream.local_addr().unwrap());
    assert_eq!(say(&mut stream, "from\n").await, expected);
}

#[tokio::test]
async fn behind_a_proxy_only_a_client_that_it_says_is_here_is_here() {
    let started = started_with(10, "0.0.0.0:0", Some(Duration::from_secs(10)));
    let at = SocketAddr::from(([127, 0, 0, 1], started.address.port()));
    for (header, here) in [
        ("PROXY TCP4 127.0.0.9 127.0.0.1 5 6\r\n", true),
        ("PROXY TCP6 ::ffff:127.0.0.9 ::1 5 6\r\n", true),
        ("PROXY TCP4 192.0.2.1 127.0.0.1 5 6\r\n", false),
        ("PROXY UNKNOWN\r\n", false),
    ] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(header.as_bytes()).await.unwrap();
        assert_eq!(say(&mut stream, "here\n").await, format!("{here}\n"), "{header}");
    }
    // A proxy elsewhere says that its client is here: any listener's own address that is not loopback will do.
    let elsewhere = Ends { peer: "192.0.2.7:1".parse().unwrap(), local: at, relayed: false };
    let (_stop, shutdown) = ShutdownTrigger::new();
    let (protocol, connections) = (Echo::make(&parts(config::config("").limits)), Connections::new(1));
    let cut = shutdown.clone();
    let service =
        Service { protocol, tls: None, proxy_timeout: Some(Duration::from_secs(10)), connections, shutdown, cut };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    proxy.write_all(b"PROXY TCP4 127.0.0.1 127.0.0.1 5 6\r\n").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let told = service.hear_proxy(&mut stream, elsewhere).await.unwrap();
    assert!(told.peer.ip().is_loopback() && told.relayed);
}

#[tokio::test]
async fn behind_a_proxy_nothing_is_said_without_a_header() {
    let started = started_with(10, "127.0.0.1:0", Some(Duration::from_millis(300)));
    for wrong in ["hello, this is no header\n", "PROXY TCP4 a b 1 2\r\nhello\n"] {
        let mut stream = TcpStream::connect(started.address).await.unwrap();
        stream.write_all(wrong.as_bytes()).await.unwrap();
        assert_eq!(rest(stream).await, "", "{wrong}");
    }
    // Neither at all, nor all of it.
    for begun in ["", "PROXY TCP4 192.0.2.1"] {
        let mut stream = TcpStream::connect(started.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert_eq!(rest(stream).await, "", "{begun}");
    }
    started.connections.none_left().await;
}
