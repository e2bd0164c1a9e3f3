//! Whatever is written is read back, and whatever is read is written back.

use super::samples::{Dialect, Pool, Source, any_pool, any_table};
use crate::codec::delivery::*;
use crate::codec::table::encode_table;
use crate::codec::*;
use bytes::BytesMut;
use proptest::prelude::*;

pub(super) fn sample_properties<'a>(source: &Source<'a>) -> Properties<'a> {
    Properties {
        content_type: source.field("content_type"),
        content_encoding: source.field("content_encoding"),
        headers: source.field("headers"),
        delivery_mode: source.field("delivery_mode"),
        priority: source.field("priority"),
        correlation_id: source.field("correlation_id"),
        reply_to: source.field("reply_to"),
        expiration: source.field("expiration"),
        message_id: source.field("message_id"),
        timestamp: source.field("timestamp"),
        kind: source.field("kind"),
        user_id: source.field("user_id"),
        app_id: source.field("app_id"),
        cluster_id: source.field("cluster_id"),
    }
}

fn all_methods(pool: &Pool) -> impl Iterator<Item = Method<'_>> {
    let source = Source::new(pool);
    Method::ALL.iter().map(move |(_, _, name)| Method::sample(name, &source).unwrap())
}

proptest! {
    #[test]
    fn methods(pool in any_pool(Dialect::Any), channel: u16) {
        for (method, (class_id, method_id, name)) in all_methods(&pool).zip(Method::ALL) {
            prop_assert_eq!((method.class_id(), method.method_id(), method.name()), (*class_id, *method_id, *name));
            let mut out = BytesMut::new();
            method.encode_frame(channel, &mut out);
            let (frame, consumed) = next_frame(&out, u32::MAX).unwrap().unwrap();
            prop_assert_eq!(consumed, out.len());
            prop_assert_eq!((frame.kind, frame.channel), (FrameKind::Method, channel));
            prop_assert_eq!(Method::decode(frame.payload), Ok(method));
        }
    }

    #[test]
    fn hot_encoders_write_what_the_table_writes(pool in any_pool(Dialect::Any), channel: u16) {
        let source = Source::new(&pool);
        for name in ["basic.deliver", "basic.get-ok", "basic.return", "basic.ack", "basic.nack"] {
            let method = Method::sample(name, &source).unwrap();
            let (mut by_table, mut by_hand) = (BytesMut::new(), BytesMut::new());
            match method {
                Method::BasicDeliver(m) => encode_deliver(
                    &mut by_hand, channel, m.consumer_tag.into(), m.delivery_tag, m.redelivered, m.exchange, m.routing_key,
                ),
                Method::BasicGetOk(m) => encode_get_ok(
                    &mut by_hand, channel, m.delivery_tag, m.redelivered, m.exchange, m.routing_key, m.message_count,
                ),
                Method::BasicReturn(m) => {
                    encode_return(&mut by_hand, channel, m.reply_code, m.reply_text, m.exchange, m.routing_key);
                }
                Method::BasicAck(m) => encode_ack(&mut by_hand, channel, m.delivery_tag, m.multiple),
                Method::BasicNack(m) => {
                    encode_nack(&mut by_hand, channel, m.delivery_tag, m.multiple);
                    let method = methods::BasicNack { requeue: false, ..m };
                    Method::from(method).encode_frame(channel, &mut by_table);
                    prop_assert_eq!(&by_hand, &by_table);
                    continue;
                }
                other => panic!("{} has no encoder of its own", other.name()),
            }
            method.encode_frame(channel, &mut by_table);
            prop_assert_eq!(by_hand, by_table);
        }
    }

    #[test]
    fn tables(table in any_table(Dialect::Any)) {
        let mut out = BytesMut::new();
        encode_table(&table, &mut out).unwrap();
        let raw = RawTable::new(&out);
        prop_assert_eq!(raw.validate(), Ok(()));
        let decoded = raw.decode().unwrap();
        prop_assert_eq!(&decoded, &table);
        let mut again = BytesMut::new();
        encode_table(&decoded, &mut again).unwrap();
        prop_assert_eq!(again, out);
    }

    #[test]
    fn content_headers(pool in any_pool(Dialect::Any), channel in 1u16.., body_bytes: u64) {
        let properties = sample_properties(&Source::new(&pool));
        let mut list = BytesMut::new();
        properties.encode(&mut list);
        let raw = RawProperties::new(&list);
        let mut out = BytesMut::new();
        encode_content_header(&mut out, channel, properties::CLASS_BASIC, body_bytes, raw);
        let (frame, consumed) = next_frame(&out, u32::MAX).unwrap().unwrap();
        prop_assert_eq!(consumed, out.len());
        prop_assert_eq!((frame.kind, frame.channel), (FrameKind::Header, channel));
        let header = ContentHeader::decode(frame.payload).unwrap();
        prop_assert_eq!(header, ContentHeader { class_id: 60, weight: 0, body_bytes, properties: raw });
        prop_assert_eq!(header.properties.validate(), Ok(properties));
        for length in 0..list.len() {
            prop_assert!(RawProperties::new(&list[..length]).parse().is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_what_they_mean_is_stable(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Some((frame, consumed))) = next_frame(&bytes, 4096) {
            prop_assert_eq!(consumed, frame.payload.len() + frame::FRAME_OVERHEAD_BYTES);
        }
        for (class_id, method_id, _) in Method::ALL {
            let payload = [&class_id.to_be_bytes()[..], &method_id.to_be_bytes(), &bytes].concat();
            if let Ok(method) = Method::decode(&payload) {
                let mut out = BytesMut::new();
                method.encode_frame(1, &mut out);
                prop_assert_eq!(Method::decode(&out[7..out.len() - 1]), Ok(method));
            }
        }
        if let Ok(properties) = RawProperties::new(&bytes).validate() {
            let mut out = BytesMut::new();
            properties.encode(&mut out);
            prop_assert_eq!(RawProperties::new(&out).validate(), Ok(properties));
        }
        let table = RawTable::new(&bytes);
        prop_assert_eq!(table.validate().err(), table.decode().err());
    }
}

proptest! {
    // Every length of every method is tried, so that few cases are many.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_part_of_a_method_frame_passes_for_the_whole(pool in any_pool(Dialect::Any)) {
        for method in all_methods(&pool) {
            let mut out = BytesMut::new();
            method.encode_frame(5, &mut out);
            for length in 0..out.len() {
                prop_assert_eq!(next_frame(&out[..length], u32::MAX), Ok(None));
            }
            let payload = &out[frame::FRAME_HEAD_BYTES..out.len() - 1];
            for length in 0..payload.len() {
                prop_assert!(Method::decode(&payload[..length]).is_err(), "{} cut to {length}", method.name());
            }
            let longer = [payload, &[0]].concat();
            prop_assert!(Method::decode(&longer).is_err(), "{} with a byte more", method.name());
        }
    }
}
