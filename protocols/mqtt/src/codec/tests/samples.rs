//! A packet of every kind, in every version that has it, with few and with all fields.

use std::borrow::Cow;
use std::num::NonZeroU16;

use smallvec::{SmallVec, smallvec};

use crate::codec::packet::*;
use crate::codec::properties::{Property, put};
use crate::codec::reason::{ConnectReturn, Reason};

pub(crate) const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// Encoded properties.
pub(crate) fn encoded(properties: &[Property<'_>]) -> Cow<'static, [u8]> {
    let mut out = Vec::new();
    for property in properties {
        put(property, &mut out);
    }
    Cow::Owned(out)
}

pub(crate) fn user() -> Cow<'static, [u8]> {
    encoded(&[Property::User("name", "value"), Property::User("", ""), Property::User("name", "ünïcode")])
}

/// Every property that a message keeps.
pub(crate) fn application() -> Cow<'static, [u8]> {
    encoded(&[
        Property::PayloadFormat(true),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers/to/me"),
        Property::CorrelationData(b"\0\xff"),
        Property::User("a", "1"),
        Property::User("b", "2"),
    ])
}

fn will(version: Version) -> Will<'static> {
    let (qos, topic, payload) = (QoS::ExactlyOnce, "last/words", &b"gone"[..]);
    let will =
        Will { qos, retain: true, topic, payload, delay_s: 0, message_expiry_s: None, application: NO_PROPERTIES };
    if version == Version::V5 {
        Will { delay_s: 7, message_expiry_s: Some(u32::MAX), application: application(), ..will }
    } else {
        will
    }
}

fn connects(version: Version) -> Vec<Connect<'static>> {
    let plain = Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "me",
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    let resumed = Connect { clean_start: false, keep_alive_s: 0, ..plain.clone() };
    let named = Connect { user_name: Some("vhost:user"), ..plain.clone() };
    let nameless = Connect { client_id: "", user_name: Some(""), password: Some(b""), ..plain.clone() };
    let mut full = Connect {
        client_id: "a client identifier that is longer than 23 characters",
        will: Some(will(version)),
        user_name: Some("user"),
        password: Some(b"\0\xff"),
        ..plain.clone()
    };
    if version == Version::V5 {
        full.properties = ConnectProperties {
            session_expiry_s: Some(u32::MAX),
            receive_max: NonZeroU16::new(1),
            packet_bytes_max: Some(1),
            topic_alias_max: Some(0),
            request_response_information: Some(true),
            request_problem_information: Some(false),
            authentication_method: Some("SCRAM-SHA-256"),
            authentication_data: Some(b"n,,n=user"),
            user_properties: user(),
        };
    }
    vec![plain, resumed, named, nameless, full]
}

fn connacks(version: Version) -> Vec<ConnAck<'static>> {
    let (reason, return_code) = (Reason::SUCCESS, ConnectReturn::Accepted);
    let plain = ConnAck { session_present: false, reason, return_code, properties: ConnAckProperties::default() };
    let mut full = ConnAck { session_present: version != Version::V31, ..plain.clone() };
    if version == Version::V5 {
        full.properties = ConnAckProperties {
            session_expiry_s: Some(0),
            receive_max: NonZeroU16::new(65_535),
            qos_max: Some(QoS::AtLeastOnce),
            retain_available: Some(true),
            packet_bytes_max: Some(1 << 24),
            assigned_client_id: Some("auto-1"),
            topic_alias_max: Some(65_535),
            reason_string: Some("fine"),
            user_properties: user(),
            wildcard_available: Some(true),
            subscription_ids_available: Some(false),
            shared_available: Some(true),
            server_keep_alive_s: Some(30),
            response_information: Some("answers/"),
            server_reference: Some("other:1883"),
            authentication_method: Some("SCRAM-SHA-256"),
            authentication_data: Some(b""),
        };
    }
    let refused = |reason: Reason| ConnAck { reason, return_code: ConnectReturn::from_reason(reason), ..plain.clone() };
    let mut all = vec![plain.clone(), full];
    let before_5 = [
        Reason::UNSUPPORTED_PROTOCOL_VERSION,
        Reason::CLIENT_IDENTIFIER_NOT_VALID,
        Reason::SERVER_UNAVAILABLE,
        Reason::BAD_USER_NAME_OR_PASSWORD,
        Reason::NOT_AUTHORIZED,
    ];
    all.extend(before_5.map(refused));
    if version == Version::V5 {
        all.extend([Reason::SERVER_MOVED, Reason::CONNECTION_RATE_EXCEEDED, Reason::QUOTA_EXCEEDED].map(refused));
    }
    all
}

fn publishes(version: Version) -> Vec<Publish<'static>> {
    let mut all = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for (dup, retain) in [(false, false), (false, true), (true, false), (true, true)] {
            if dup && qos == QoS::AtMostOnce {
                continue;
            }
            let packet_id = if qos == QoS::AtMostOnce { 0 } else { 65_535 };
            all.push(Publish { dup, qos, retain, packet_id, ..Publish::new("a/b", b"payload") });
        }
    }
    all.push(Publish::new("/", b""));
    if version == Version::V5 {
        let alias = NonZeroU16::new(65_535);
        all.push(Publish { topic_alias: alias, ..Publish::new("", b"x") });
        all.push(Publish { topic_alias: alias, ..Publish::new("$topic/ü", b"x") });
        all.push(Publish { message_expiry_s: Some(0), ..Publish::new("a", b"x") });
        let message_expiry_s = Some(u32::MAX);
        let qos = QoS::ExactlyOnce;
        let application = application();
        all.push(Publish { qos, packet_id: 1, message_expiry_s, application, ..Publish::new("a", b"x") });
    }
    all
}

fn acks(version: Version, errors: &[Reason]) -> Vec<Ack<'static>> {
    let mut all = vec![Ack::new(1, Reason::SUCCESS), Ack::new(65_535, Reason::SUCCESS)];
    if version == Version::V5 {
        for &reason in errors {
            all.push(Ack::new(2, reason));
            all.push(Ack { reason_string: Some("because"), user_properties: user(), ..Ack::new(3, reason) });
        }
        all.push(Ack { user_properties: user(), ..Ack::new(4, Reason::SUCCESS) });
        all.push(Ack { reason_string: Some(""), ..Ack::new(5, Reason::SUCCESS) });
    }
    all
}

pub(crate) fn filters() -> SmallVec<[Filter<'static>; 1]> {
    ["a", "/", "+/+/#", "#", "$SYS/#", "$share/group/a/+", "$share", "ü/b c"].into_iter().map(Filter::new).collect()
}

fn subscribes(version: Version) -> Vec<Subscribe<'static>> {
    let options = |qos| SubscribeOptions { qos, ..SubscribeOptions::default() };
    let plain = Subscribe {
        packet_id: 1,
        subscription_id: None,
        user_properties: NO_PROPERTIES,
        filters: smallvec![(Filter::new("a/b"), options(QoS::AtLeastOnce))],
    };
    let several =
        Subscribe { filters: filters().into_iter().map(|f| (f, options(QoS::ExactlyOnce))).collect(), ..plain.clone() };
    let mut all = vec![plain.clone(), several];
    if version == Version::V5 {
        let mut filters = SmallVec::new();
        for retain_handling in [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend] {
            for (no_local, retain_as_published) in [(false, false), (true, false), (false, true), (true, true)] {
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    let options = SubscribeOptions { qos, no_local, retain_as_published, retain_handling };
                    filters.push((Filter::new("a"), options));
                }
            }
        }
        all.push(Subscribe { filters, user_properties: user(), ..plain.clone() });
        for id in [1, 127, 128, 268_435_455] {
            all.push(Subscribe { subscription_id: Some(id), user_properties: user(), ..plain.clone() });
        }
    }
    all
}

fn disconnects(version: Version) -> Vec<Disconnect<'static>> {
    let mut all = vec![Disconnect::new(Reason::NORMAL_DISCONNECTION)];
    if version == Version::V5 {
        all.push(Disconnect::new(Reason::MALFORMED_PACKET));
        all.push(Disconnect { user_properties: user(), ..Disconnect::new(Reason::NORMAL_DISCONNECTION) });
    }
    all
}

fn auths(reasons: &[Reason]) -> Vec<Auth<'static>> {
    let mut all = Vec::new();
    for &reason in reasons {
        let (reason_string, user_properties) = (None, NO_PROPERTIES);
        let plain = Auth { reason, method: Some("SCRAM-SHA-256"), data: None, reason_string, user_properties };
        let full = Auth { data: Some(b"\0"), reason_string: Some("go on"), user_properties: user(), ..plain.clone() };
        all.extend([plain, full]);
    }
    all
}

const PUBLISH_REASONS: [u8; 8] = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99, 0x00];

/// What a client may send after CONNECT, then what a server may; packets that both send are in both.
pub(crate) fn packets(version: Version) -> (Vec<Packet<'static>>, Vec<Packet<'static>>) {
    let both = || {
        let mut both = Vec::new();
        both.extend(publishes(version).into_iter().map(Packet::Publish));
        both.extend(acks(version, &PUBLISH_REASONS.map(Reason)).into_iter().map(Packet::PubAck));
        both.extend(acks(version, &PUBLISH_REASONS.map(Reason)).into_iter().map(Packet::PubRec));
        both.extend(acks(version, &[Reason::PACKET_IDENTIFIER_NOT_FOUND]).into_iter().map(Packet::PubRel));
        both.extend(acks(version, &[Reason::PACKET_IDENTIFIER_NOT_FOUND]).into_iter().map(Packet::PubComp));
        both
    };
    let mut client = both();
    client.extend(subscribes(version).into_iter().map(Packet::Subscribe));
    let unsubscribe = Unsubscribe { packet_id: 9, user_properties: NO_PROPERTIES, filters: filters() };
    if version == Version::V5 {
        client.push(Packet::Unsubscribe(Unsubscribe { user_properties: user(), ..unsubscribe.clone() }));
    }
    client.push(Packet::Unsubscribe(unsubscribe));
    client.push(Packet::PingReq);
    client.extend(disconnects(version).into_iter().map(Packet::Disconnect));

    let mut server = both();
    server.extend(connacks(version).into_iter().map(|connack| Packet::ConnAck(Box::new(connack))));
    let granted = [0, 1, 2, 0x80].map(Reason);
    server.push(Packet::SubAck(SubAck::new(1, granted.into_iter().collect())));
    server.push(Packet::PingResp);
    if version != Version::V5 {
        server.push(Packet::UnsubAck(SubAck::new(1, SmallVec::new())));
        return (client, server);
    }

    let disconnect = Disconnect::new(Reason::DISCONNECT_WITH_WILL);
    client.push(Packet::Disconnect(Disconnect {
        session_expiry_s: Some(0),
        reason_string: Some("bye"),
        user_properties: user(),
        ..disconnect
    }));
    client.extend(auths(&[Reason::CONTINUE_AUTHENTICATION, Reason::REAUTHENTICATE]).into_iter().map(Packet::Auth));

    let suback_reasons = [0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2].map(Reason);
    let unsuback_reasons = [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91].map(Reason);
    let (reason_string, user_properties) = (Some("so"), user());
    let suback = SubAck { reason_string, user_properties, ..SubAck::new(1, suback_reasons.into_iter().collect()) };
    server.push(Packet::UnsubAck(SubAck { reasons: unsuback_reasons.into_iter().collect(), ..suback.clone() }));
    server.push(Packet::SubAck(suback));
    let acked = Ack::new(1, Reason::NO_MATCHING_SUBSCRIBERS);
    server.extend([Packet::PubAck(acked.clone()), Packet::PubRec(acked)]);
    for ids in [smallvec![1], smallvec![268_435_455, 1, 128, 16_384, 2_097_152]] {
        let application = application();
        let publish = Publish { subscription_ids: ids, application, ..Publish::new("a", b"x") };
        server.push(Packet::Publish(publish));
    }
    server.push(Packet::Disconnect(Disconnect {
        reason_string: Some("moved"),
        user_properties: user(),
        server_reference: Some("other:1883"),
        ..Disconnect::new(Reason::SERVER_MOVED)
    }));
    server.extend(auths(&[Reason::SUCCESS, Reason::CONTINUE_AUTHENTICATION]).into_iter().map(Packet::Auth));
    let (reason_string, user_properties) = (None, NO_PROPERTIES);
    let reason = Reason::SUCCESS;
    server.push(Packet::Auth(Auth { reason, method: None, data: None, reason_string, user_properties }));
    (client, server)
}

/// Every CONNECT of a version.
pub(crate) fn all_connects(version: Version) -> Vec<Packet<'static>> {
    connects(version).into_iter().map(|connect| Packet::Connect(Box::new(connect))).collect()
}
