//! Writes the seed corpus into `corpus/client` and `corpus/server`: every packet in every version with as much in it as it can
//! have, and the shapes that have broken brokers. Run by `run.sh seeds`; the result is checked in.

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::num::NonZeroU16;
use std::path::Path;

use bytes::BytesMut;
use gantry_mqtt::codec::encode;
use gantry_mqtt::codec::packet::*;
use gantry_mqtt::codec::properties::{Property, put};
use gantry_mqtt::codec::reason::{ConnectReturn, Reason};

fn encoded(properties: &[Property<'_>]) -> Cow<'static, [u8]> {
    let mut out = Vec::new();
    for property in properties {
        put(property, &mut out);
    }
    out.into()
}

fn user() -> Cow<'static, [u8]> {
    encoded(&[Property::User("name", "value"), Property::User("", "")])
}

fn application() -> Cow<'static, [u8]> {
    encoded(&[
        Property::PayloadFormat(true),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers/me"),
        Property::CorrelationData(b"\0\xff"),
        Property::User("a", "1"),
    ])
}

fn connect(version: Version) -> Packet<'static> {
    let will = Will {
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "last/words",
        payload: b"gone",
        delay_s: 7,
        message_expiry_s: Some(60),
        application: application(),
    };
    let properties = ConnectProperties {
        session_expiry_s: Some(u32::MAX),
        receive_max: NonZeroU16::new(10),
        packet_bytes_max: Some(1 << 20),
        topic_alias_max: Some(5),
        request_response_information: Some(true),
        request_problem_information: Some(false),
        authentication_method: Some("SCRAM-SHA-256"),
        authentication_data: Some(b"n,,n=user"),
        user_properties: user(),
    };
    Packet::Connect(Box::new(Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "client",
        will: Some(will),
        user_name: Some("user"),
        password: Some(b"secret"),
        properties,
    }))
}

fn connack() -> Packet<'static> {
    let properties = ConnAckProperties {
        session_expiry_s: Some(1),
        receive_max: NonZeroU16::new(10),
        qos_max: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        packet_bytes_max: Some(1 << 20),
        assigned_client_id: Some("auto-1"),
        topic_alias_max: Some(5),
        reason_string: Some("fine"),
        user_properties: user(),
        wildcard_available: Some(true),
        subscription_ids_available: Some(true),
        shared_available: Some(true),
        server_keep_alive_s: Some(30),
        response_information: Some("answers/"),
        server_reference: Some("other:1883"),
        authentication_method: Some("SCRAM-SHA-256"),
        authentication_data: Some(b"r="),
    };
    let (reason, return_code) = (Reason::SUCCESS, ConnectReturn::Accepted);
    Packet::ConnAck(Box::new(ConnAck { session_present: true, reason, return_code, properties }))
}

fn publishes() -> Vec<Packet<'static>> {
    let qos = QoS::ExactlyOnce;
    let full = Publish { dup: true, qos, retain: true, packet_id: 1, ..Publish::new("a/b", b"payload") };
    let (topic_alias, message_expiry_s) = (NonZeroU16::new(1), Some(60));
    let all = Publish { topic_alias, message_expiry_s, application: application(), ..full.clone() };
    vec![Packet::Publish(Publish::new("a", b"x")), Packet::Publish(full), Packet::Publish(all)]
}

fn acks() -> Vec<Packet<'static>> {
    let plain = Ack::new(1, Reason::SUCCESS);
    let full = Ack { reason_string: Some("no"), user_properties: user(), ..Ack::new(2, Reason::QUOTA_EXCEEDED) };
    let unknown = Ack::new(3, Reason::PACKET_IDENTIFIER_NOT_FOUND);
    vec![
        Packet::PubAck(plain.clone()),
        Packet::PubAck(full.clone()),
        Packet::PubRec(plain.clone()),
        Packet::PubRec(full),
        Packet::PubRel(plain.clone()),
        Packet::PubRel(unknown.clone()),
        Packet::PubComp(plain),
        Packet::PubComp(unknown),
    ]
}

fn of_client(version: Version) -> Vec<Packet<'static>> {
    let qos = QoS::ExactlyOnce;
    let options = SubscribeOptions {
        qos,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let shared = SubscribeOptions { no_local: false, ..options };
    let filters = [(Filter::new("a/+/#"), options), (Filter::new("$share/group/#"), shared)];
    let (packet_id, user_properties) = (9, user());
    let names = filters.map(|(filter, _)| filter);
    let mut all = publishes();
    all.extend(acks());
    all.push(Packet::Subscribe(Subscribe {
        packet_id,
        subscription_id: Some(268_435_455),
        user_properties: user_properties.clone(),
        filters: filters.into_iter().collect(),
    }));
    all.push(Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters: names.into_iter().collect() }));
    all.push(Packet::PingReq);
    if version == Version::V5 {
        all.push(auth(Reason::CONTINUE_AUTHENTICATION));
        all.push(auth(Reason::REAUTHENTICATE));
    }
    all.push(Packet::Disconnect(Disconnect {
        session_expiry_s: Some(0),
        reason_string: Some("bye"),
        ..Disconnect::new(Reason::DISCONNECT_WITH_WILL)
    }));
    all
}

fn auth(reason: Reason) -> Packet<'static> {
    let (method, data, reason_string) = (Some("SCRAM-SHA-256"), Some(&b"p="[..]), Some("go on"));
    Packet::Auth(Auth { reason, method, data, reason_string, user_properties: user() })
}

fn of_server(version: Version) -> Vec<Packet<'static>> {
    let mut all = vec![connack()];
    all.extend(publishes());
    let subscription_ids = [1, 128, 268_435_455].into_iter().collect();
    all.push(Packet::Publish(Publish { subscription_ids, application: application(), ..Publish::new("a", b"x") }));
    all.extend(acks());
    let granted = [0, 1, 2, 0x80].map(Reason).into_iter().collect();
    let (reason_string, user_properties) = (Some("so"), user());
    all.push(Packet::SubAck(SubAck { reason_string, user_properties, ..SubAck::new(9, granted) }));
    all.push(Packet::UnsubAck(SubAck::new(9, [0, 0x11].map(Reason).into_iter().collect())));
    all.push(Packet::PingResp);
    if version == Version::V5 {
        all.push(auth(Reason::CONTINUE_AUTHENTICATION));
        let server_reference = Some("other:1883");
        let disconnect = Disconnect { server_reference, ..Disconnect::new(Reason::SERVER_MOVED) };
        all.push(Packet::Disconnect(disconnect));
    }
    all
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["client", "server"] {
        fs::create_dir_all(root.join(target))?;
    }
    let write = |target: &str, name: &str, bytes: &[u8]| fs::write(root.join(target).join(name), bytes);
    for (version, name, byte) in [(Version::V5, "5", 0u8), (Version::V311, "3.1.1", 1), (Version::V31, "3.1", 2)] {
        let mut session = BytesMut::new();
        encode(&connect(version), version, &mut session);
        write("client", &format!("{name}-connect"), &session)?;
        for (index, packet) in of_client(version).iter().enumerate() {
            let mut out = BytesMut::from(&[byte][..]);
            encode(packet, version, &mut out);
            write("client", &format!("{name}-{index:02}-{}", kind(packet)), &out)?;
            encode(packet, version, &mut session);
        }
        write("client", &format!("{name}-session"), &session)?;
        let mut session = BytesMut::from(&[byte][..]);
        for (index, packet) in of_server(version).iter().enumerate() {
            let mut out = BytesMut::from(&[byte][..]);
            encode(packet, version, &mut out);
            write("server", &format!("{name}-{index:02}-{}", kind(packet)), &out)?;
            encode(packet, version, &mut session);
        }
        write("server", &format!("{name}-session"), &session)?;
    }
    for (name, bytes) in [
        ("length-of-five-bytes", &b"\0\x30\xff\xff\xff\xff\x7f"[..]),
        ("length-256-mib", b"\0\x30\xff\xff\xff\x7f"),
        ("length-not-minimal", b"\x01\x30\x84\x80\x80\0\0\x01tx"),
        ("empty-topic", b"\0\x30\x04\0\0\0x"),
        ("properties-longer-than-the-packet", b"\0\x30\x05\0\x01t\x7f\x01"),
        ("interleaved-properties", b"\0\x30\x15\0\x01t\x10\x26\0\x01a\0\x011\x23\0\x01\x26\0\0\0\0x"),
        ("surrogate", b"\0\x30\x07\0\x03\xed\xa0\x80\0x"),
        ("malformed-share", b"\0\x82\x0e\0\x01\0\0\x08$share/g\x00"),
        ("connect-of-a-bridge", b"\x10\x0c\0\x04MQTT\x84\x02\0\x3c\0\0"),
        ("connect-without-credentials", b"\x10\x0f\0\x06MQIsdp\x03\xc2\0\x3c\0\x01c"),
    ] {
        write("client", name, bytes)?;
    }
    Ok(())
}

fn kind(packet: &Packet<'_>) -> String {
    let name = format!("{packet:?}").to_lowercase();
    name.split(['(', ' ']).next().unwrap_or_default().to_owned()
}
