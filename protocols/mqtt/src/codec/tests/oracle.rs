//! Two other codecs read the same bytes. Where they differ from this one, the case is named here.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use rmqtt_codec::version::{ProtocolVersion, VersionCodec};
use rmqtt_codec::{v3, v5};
use tokio_util::codec::{Decoder, Encoder};

use super::illegal::{self, Reader};
use super::samples::{VERSIONS, all_connects, packets};
use super::{MAX, from_client, from_server};
use crate::codec::packet::*;
use crate::codec::*;

/// What another codec makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused,
    Incomplete,
}

/// What it read, written again by itself.
type Again = Option<BytesMut>;

fn verdict<T, E>(read: Result<Option<T>, E>) -> (Verdict, Option<T>) {
    match read {
        Ok(Some(packet)) => (Verdict::Taken, Some(packet)),
        Ok(None) => (Verdict::Incomplete, None),
        Err(_) => (Verdict::Refused, None),
    }
}

fn rmqtt(bytes: &[u8], version: Option<Version>) -> (Verdict, Again) {
    let mut input = BytesMut::from(bytes);
    let is_v5 = match version {
        Some(version) => version == Version::V5,
        None => match VersionCodec.decode(&mut input) {
            Ok(Some(found)) => found == ProtocolVersion::MQTT5,
            Ok(None) => return (Verdict::Incomplete, None),
            Err(_) => return (Verdict::Refused, None),
        },
    };
    let mut out = BytesMut::new();
    if is_v5 {
        let (verdict, packet) = verdict(v5::Codec::new(MAX, 0).decode(&mut input));
        let again = packet.and_then(|(packet, _)| v5::Codec::new(0, 0).encode(packet, &mut out).ok());
        return (verdict, again.map(|()| out));
    }
    let (verdict, packet) = verdict(v3::Codec::new(MAX).decode(&mut input));
    let again = packet.and_then(|(packet, _)| v3::Codec::new(0).encode(packet, &mut out).ok());
    (verdict, again.map(|()| out))
}

fn mqttbytes_v4(input: &mut BytesMut) -> (Verdict, Again) {
    use mqttbytes::v4::{Packet, read};
    let mut out = BytesMut::new();
    let packet = match read(input, MAX as usize) {
        Ok(packet) => packet,
        Err(mqttbytes::Error::InsufficientBytes(_)) => return (Verdict::Incomplete, None),
        Err(_) => return (Verdict::Refused, None),
    };
    let written = match &packet {
        Packet::Connect(packet) => packet.write(&mut out),
        Packet::ConnAck(packet) => packet.write(&mut out),
        Packet::Publish(packet) => packet.write(&mut out),
        Packet::PubAck(packet) => packet.write(&mut out),
        Packet::PubRec(packet) => packet.write(&mut out),
        Packet::PubRel(packet) => packet.write(&mut out),
        Packet::PubComp(packet) => packet.write(&mut out),
        Packet::Subscribe(packet) => packet.write(&mut out),
        Packet::SubAck(packet) => packet.write(&mut out),
        Packet::Unsubscribe(packet) => packet.write(&mut out),
        Packet::UnsubAck(packet) => packet.write(&mut out),
        Packet::PingReq => mqttbytes::v4::PingReq.write(&mut out),
        Packet::PingResp => mqttbytes::v4::PingResp.write(&mut out),
        Packet::Disconnect => mqttbytes::v4::Disconnect.write(&mut out),
    };
    (Verdict::Taken, written.ok().map(|_| out))
}

fn mqttbytes_v5(input: &mut BytesMut) -> (Verdict, Again) {
    use mqttbytes::v5::{Packet, read};
    let mut out = BytesMut::new();
    let packet = match read(input, MAX as usize) {
        Ok(packet) => packet,
        Err(mqttbytes::Error::InsufficientBytes(_)) => return (Verdict::Incomplete, None),
        Err(_) => return (Verdict::Refused, None),
    };
    let written = match &packet {
        Packet::Connect(packet) => packet.write(&mut out),
        Packet::ConnAck(packet) => packet.write(&mut out),
        Packet::Publish(packet) => packet.write(&mut out),
        Packet::PubAck(packet) => packet.write(&mut out),
        Packet::PubRec(packet) => packet.write(&mut out),
        Packet::PubRel(packet) => packet.write(&mut out),
        Packet::PubComp(packet) => packet.write(&mut out),
        Packet::Subscribe(packet) => packet.write(&mut out),
        Packet::SubAck(packet) => packet.write(&mut out),
        Packet::Unsubscribe(packet) => packet.write(&mut out),
        Packet::UnsubAck(packet) => packet.write(&mut out),
        Packet::PingReq => mqttbytes::v5::PingReq.write(&mut out),
        Packet::PingResp => mqttbytes::v5::PingResp.write(&mut out),
        Packet::Disconnect(packet) => packet.write(&mut out),
    };
    (Verdict::Taken, written.ok().map(|_| out))
}

fn mqttbytes(bytes: &[u8], version: Option<Version>) -> (Verdict, Again) {
    let mut input = BytesMut::from(bytes);
    // It has no way to tell the version of a CONNECT: the level is where it is in packets of less than 128 bytes.
    let is_v5 = version == Some(Version::V5) || (version.is_none() && bytes.get(8) == Some(&5));
    // A panic is a refusal here: what matters is what it takes.
    let read = || if is_v5 { mqttbytes_v5(&mut input) } else { mqttbytes_v4(&mut input) };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or((Verdict::Refused, None))
}

/// Which of the others takes what must be refused: `r` for rmqtt-codec, `m` for mqttbytes, then the name of the case.
const TAKEN_BY_OTHERS: &str = include_str!("taken_by_others.txt");

#[test]
fn illegal_packets_that_others_take_are_known() {
    let mut found = String::new();
    for case in illegal::cases() {
        let version = match case.reader {
            Reader::First => None,
            Reader::Server(version) | Reader::Client(version) => Some(version),
        };
        let by_rmqtt = if rmqtt(&case.bytes, version).0 == Verdict::Taken { "r" } else { "" };
        let by_mqttbytes = if mqttbytes(&case.bytes, version).0 == Verdict::Taken { "m" } else { "" };
        if !by_rmqtt.is_empty() || !by_mqttbytes.is_empty() {
            found += &format!("{by_rmqtt}{by_mqttbytes} {}\n", case.name);
        }
    }
    assert!(found == TAKEN_BY_OTHERS, "the file should be:\n{found}");
}

/// Properties that a message keeps, in the order of their identifiers: others write them in an order of their own.
fn in_order(application: &[u8]) -> Vec<u8> {
    let mut list: Vec<Vec<u8>> = Vec::new();
    for property in properties::application(application) {
        let mut out = Vec::new();
        properties::put(&property, &mut out);
        list.push(out);
    }
    list.sort_by_key(|property| property[0]);
    list.concat()
}

/// What a packet says, apart from how its properties are ordered.
fn meaning(packet: &Packet<'_>) -> String {
    let mut packet = packet.clone();
    match &mut packet {
        Packet::Publish(publish) => publish.application = in_order(&publish.application).into(),
        Packet::Connect(connect) => {
            if let Some(will) = &mut connect.will {
                will.application = in_order(&will.application).into();
            }
        }
        _ => {}
    }
    format!("{packet:?}")
}

/// What is left of a packet when the other codec has read it and written it again.
fn after(verdict: Verdict, again: Again, packet: &Packet<'_>, version: Version, by_client: bool) -> &'static str {
    if verdict != Verdict::Taken {
        return "refused";
    }
    let Some(again) = again else { return "not written" };
    let read = match packet {
        Packet::Connect(_) => decode_connect(&again, MAX)
            .map(|whole| whole.map(|(connect, _)| meaning(&Packet::Connect(Box::new(connect))))),
        _ if by_client => from_client(&again, version).map(|whole| whole.map(|(packet, _)| meaning(&packet))),
        _ => from_server(&again, version).map(|whole| whole.map(|(packet, _)| meaning(&packet))),
    };
    match read {
        Ok(Some(read)) if read == meaning(packet) => "same",
        Ok(_) => "changed",
        Err(_) => "written wrongly",
    }
}

/// What others make of legal packets where it is not the same packet. rmqtt-codec: writes `MQTT` for 3.1, refuses message expiry
/// 0, leaves out properties that have their default value. mqttbytes: knows neither 3.1 nor AUTH nor the short forms of
/// DISCONNECT, leaves the properties out of CONNACK, has no passwords that are not UTF-8. One line for each
/// kind of packet and outcome.
const LEGAL_PACKETS: &str = include_str!("legal_packets_of_others.txt");

#[test]
fn legal_packets_mean_the_same_to_others() {
    let mut found = BTreeMap::new();
    let mut same = [0, 0];
    for version in VERSIONS {
        let (client, server) = packets(version);
        let first = all_connects(version);
        for (packet, by_client) in
            first.iter().chain(&client).map(|packet| (packet, true)).chain(server.iter().map(|packet| (packet, false)))
        {
            let mut bytes = BytesMut::new();
            encode(packet, version, &mut bytes);
            let version_of_others = (!matches!(packet, Packet::Connect(_))).then_some(version);
            let others = [rmqtt(&bytes, version_of_others), mqttbytes(&bytes, version_of_others)];
            for (index, (verdict, again)) in others.into_iter().enumerate() {
                let outcome = after(verdict, again, packet, version, by_client);
                if outcome == "same" {
                    same[index] += 1;
                    continue;
                }
                let name = ["rmqtt-codec", "mqttbytes"][index];
                let kind = format!("{packet:?}");
                let kind = kind.split(['(', ' ']).next().unwrap_or_default();
                *found.entry(format!("{name} {version:?} {kind} {outcome}")).or_insert(0) += 1;
            }
        }
    }
    let found: String = found.into_iter().map(|(line, times)| format!("{line} {times}\n")).collect();
    assert!(found == LEGAL_PACKETS, "the file should be:\n{found}{same:?}");
    assert!(same[0] > 150 && same[1] > 100, "{same:?}");
}

/// Whether rmqtt-codec refuses the packet although 5.0 allows it.
fn is_wrongly_refused(packet: &Packet<'_>) -> bool {
    match packet {
        // 3.3.2.3.3 has no smallest value.
        Packet::Publish(publish) => publish.message_expiry_s == Some(0),
        // 3.1.3-6 lets any client leave out its identifier; that it needs a clean session is 3.1.1's.
        Packet::Connect(connect) => connect.client_id.is_empty() && !connect.clean_start,
        _ => false,
    }
}

/// Legal packets with one byte changed: what is taken here, rmqtt-codec takes, too. Of mqttbytes this cannot be said, it refuses
/// much that is legal. 3.1 is left out: rmqtt-codec reads it by the rules of 3.1.1.
#[test]
fn changed_packets_are_not_taken_where_another_codec_refuses() {
    let mut mutants = 0;
    for version in [Version::V311, Version::V5] {
        let (client, server) = packets(version);
        let first = all_connects(version);
        for (packet, by_client) in
            first.iter().chain(&client).map(|packet| (packet, true)).chain(server.iter().map(|packet| (packet, false)))
        {
            let is_first = matches!(packet, Packet::Connect(_));
            let mut bytes = BytesMut::new();
            encode(packet, version, &mut bytes);
            for at in 0..bytes.len() {
                let original = bytes[at];
                let changes = (0..8).map(|bit| original ^ 1 << bit).chain([0, 0x80, 0xFF, original.wrapping_add(1)]);
                for change in changes {
                    bytes[at] = change;
                    mutants += 1;
                    let taken = if is_first {
                        let whole = decode_connect(&bytes, MAX).ok().flatten();
                        whole.map(|(connect, _)| Packet::Connect(Box::new(connect)))
                    } else if by_client {
                        from_client(&bytes, version).ok().flatten().map(|(packet, _)| packet)
                    } else {
                        from_server(&bytes, version).ok().flatten().map(|(packet, _)| packet)
                    };
                    let Some(taken) = taken else { continue };
                    let theirs = rmqtt(&bytes, (!is_first).then_some(version)).0;
                    assert!(theirs == Verdict::Taken || is_wrongly_refused(&taken), "{bytes:02x?}: {taken:?}");
                }
                bytes[at] = original;
            }
        }
    }
    assert!(mutants > 50_000, "{mutants}");
}
