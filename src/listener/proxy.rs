//! The PROXY protocol, versions 1 and 2: a proxy in front of the listener says whose connection it passes on.
//!
//! A listener that expects it takes nothing without it: whoever reaches such a listener could say anything, and only proxies
//! should reach it. What is said of the sender's TLS and the like (TLVs) is passed over.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// How version 2 begins. No text begins like this.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Longest header of version 1, end of line included.
const V1_BYTES_MAX: usize = 107;

/// Longest header of version 2 behind its first 16 bytes: addresses, and what TLVs a proxy may have to say.
const V2_BYTES_MAX: usize = 4096;

/// Addresses of a TCP connection: where it comes from, where it went to.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// Reads a header, and not a byte more. None where the proxy speaks for itself, or does not know.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    // The shortest header of version 1 is longer.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_v2(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(malformed("it does not begin with one"));
    }
    let mut line = start.to_vec();
    // Byte by byte: what follows the line is the client's.
    while !line.ends_with(b"\r\n") {
        if line.len() >= V1_BYTES_MAX {
            return Err(malformed("the line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    parse_v1(&line[..line.len() - 2])
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no valid header of the PROXY protocol: {what}"))
}

/// `PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883`, without the end of the line.
fn parse_v1(line: &[u8]) -> io::Result<Option<Ends>> {
    let line = std::str::from_utf8(line).map_err(|_| malformed("the line is not text"))?;
    let mut words = line.split(' ').skip(1);
    let is_v4 = match words.next() {
        Some("TCP4") => true,
        Some("TCP6") => false,
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => return Ok(None),
        _ => return Err(malformed("unknown family")),
    };
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        if is_v4 {
            word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        } else {
            word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
    };
    let (source, destination) = (address(), address());
    let mut port = || words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?.parse::<u16>().ok();
    let (source_port, destination_port) = (port(), port());
    match (source.zip(source_port), destination.zip(destination_port), words.next()) {
        (Some(source), Some(destination), None) => Ok(Some((source.into(), destination.into()))),
        _ => Err(malformed("addresses expected")),
    }
}

/// Behind the signature.
async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Ends>> {
    let command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let mut missing_bytes = usize::from(stream.read_u16().await?);
    if missing_bytes > V2_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    let (says_ends, addresses_bytes) = match (command, family) {
        // Of the proxy itself: a check of its own.
        (0x20, _) => (false, 0),
        // TCP over IPv4, and over IPv6.
        (0x21, 0x11) => (true, 12),
        (0x21, 0x21) => (true, 36),
        // Unknown, and sockets of Unix.
        (0x21, 0x00 | 0x31 | 0x32) => (false, 0),
        _ => return Err(malformed("unknown command or family")),
    };
    let mut addresses = [0; 36];
    let addresses = &mut addresses[..addresses_bytes];
    missing_bytes = missing_bytes.checked_sub(addresses_bytes).ok_or_else(|| malformed("it is too short"))?;
    stream.read_exact(addresses).await?;
    let mut rest = [0; 256];
    while missing_bytes > 0 {
        let part = missing_bytes.min(rest.len());
        stream.read_exact(&mut rest[..part]).await?;
        missing_bytes -= part;
    }
    Ok(says_ends.then(|| ends(addresses)))
}

/// Both addresses, then both ports.
fn ends(addresses: &[u8]) -> Ends {
    let ip_bytes = (addresses.len() - 4) / 2;
    let ip = |at: usize| {
        let bytes = &addresses[at..at + ip_bytes];
        match <[u8; 4]>::try_from(bytes) {
            Ok(v4) => IpAddr::from(v4),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default()),
        }
    };
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    ((ip(0), port(2 * ip_bytes)).into(), (ip(ip_bytes), port(2 * ip_bytes + 2)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// What a header says, and what is left behind it.
    async fn told(header: &[u8]) -> io::Result<Option<(String, String)>> {
        let bytes = [header, b"client"].concat();
        let mut stream = &bytes[..];
        let ends = read(&mut stream).await?;
        assert_eq!(stream, b"client");
        Ok(ends.map(|(source, destination)| (source.to_string(), destination.to_string())))
    }

    fn both(source: &str, destination: &str) -> Option<(String, String)> {
        Some((source.to_owned(), destination.to_owned()))
    }

    #[tokio::test]
    async fn addresses_are_read_and_not_a_byte_of_the_client() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x07, 0x5b];
        let expected = both("192.0.2.1:56324", "198.51.100.2:1883");
        assert_eq!(told(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\n").await.unwrap(), expected);
        assert_eq!(told(&v2(0x21, 0x11, &v4)).await.unwrap(), expected);
        // With TLVs behind them, of any length.
        for tlv_bytes in [3, 255, 257, V2_BYTES_MAX - 12] {
            assert_eq!(told(&v2(0x21, 0x11, &[&v4[..], &vec![7; tlv_bytes]].concat())).await.unwrap(), expected);
        }
        let ip = |last: u8| [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let v6 = [&ip(1)[..], &ip(2), &[0x00, 0x01, 0xff, 0xff]].concat();
        let expected = both("[2001:db8::1]:1", "[2001:db8::2]:65535");
        assert_eq!(told(&v2(0x21, 0x21, &v6)).await.unwrap(), expected);
        assert_eq!(told(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n").await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself_or_not_know() {
        for header in [v2(0x20, 0x00, b""), v2(0x20, 0x11, &[1; 12]), v2(0x21, 0x00, b"tlv"), v2(0x21, 0x31, &[0; 216])]
        {
            assert_eq!(told(&header).await.unwrap(), None);
        }
        for header in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"] {
            assert_eq!(told(header.as_bytes()).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(100));
        for line in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +5 1\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            &long,
        ] {
            assert_eq!(told(line.as_bytes()).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{line}");
        }
        for header in [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[0; V2_BYTES_MAX + 1]),
        ] {
            assert_eq!(told(&header).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let cut = &mut &v2(0x21, 0x11, &[0; 12])[..20];
        assert_eq!(read(cut).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
