//! Writes the seed corpus into `corpus/frames` and `corpus/destinations`: every command in every version, and the shapes that
//! have broken brokers. Run by `run.sh seeds`; the result is checked in.

use std::error::Error;
use std::fs;

use gantry_stomp::codec::Command;

const FRAMES: &[(&str, &[u8])] = &[
    ("session", b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0\nSUBSCRIBE\nid:1\n\
       destination:/queue/a\nack:client\n\n\0SEND\ndestination:/queue/a\ncontent-length:3\n\na\0b\0\nACK\nid:T_1@@x@@1\n\n\0\n\
       DISCONNECT\nreceipt:r\n\n\0\n"),
    ("escapes", b"SEND\na\\cb:c\\n\\r\\\\d\ne:\n\nbody\0"),
    ("carriage-returns", b"SEND\r\na:b\r\n\r\nbody\r\n\0\r\n"),
    ("repeated-headers", b"SEND\na:1\na:2\ncontent-length:1\ncontent-length:5\n\nx\0"),
    ("negative-length", b"SEND\ncontent-length:-1\n\nx\0"),
    ("length-of-20-digits", b"SEND\ncontent-length:99999999999999999999\n\nx\0"),
    ("length-too-short", b"SEND\ncontent-length:1\n\nxyz\0"),
    ("nul-in-a-header", b"SEND\na:b\0c\n\n\0"),
    ("no-colon", b"SEND\nabc\n\n\0"),
    ("undefined-escape", b"SEND\na:b\\t\n\n\0"),
    ("headers-that-do-not-end", b"SEND\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\na:b\n"),
    ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("ends-of-lines", b"\n\r\n\0\n\n"),
];

const DESTINATIONS: &[&str] = &[
    "/queue/a%2Fb",
    "/topic/a.*.#",
    "/exchange/x/k",
    "/amq/queue/q",
    "/temp-queue/t",
    "/reply-queue/a/b",
    "queue://a,topic://b.>,c?x=1",
    "temp-topic://t",
    "/remote-temp-queue/ID:1",
    "Consumer.C.VirtualTopic.T",
];

fn main() -> Result<(), Box<dyn Error>> {
    fs::create_dir_all("corpus/frames")?;
    fs::create_dir_all("corpus/destinations")?;
    for version in 0..3_u8 {
        for (name, bytes) in FRAMES {
            fs::write(format!("corpus/frames/{version}-{name}"), [&[version], *bytes].concat())?;
        }
    }
    for command in Command::ALL {
        let command = command.as_str();
        fs::write(format!("corpus/frames/0-command-{command}"), format!("\0{command}\nid:1\nreceipt:r\n\nx\0"))?;
    }
    for (number, text) in DESTINATIONS.iter().enumerate() {
        fs::write(format!("corpus/destinations/{number:02}"), text)?;
    }
    Ok(())
}
