//! Tests of the codec: what one frame or value does. Round trips, the oracle and hostile input are below.

use super::*;

#[test]
fn ids_and_names_of_methods_are_unique() {
    for (index, one) in Method::ALL.iter().enumerate() {
        assert!(Method::ALL[index + 1..].iter().all(|other| (one.0, one.1) != (other.0, other.1) && one.2 != other.2));
    }
    assert_eq!(Method::ALL.len(), 66);
}

#[test]
fn a_method_is_written_as_rabbitmq_writes_it() {
    let mut out = bytes::BytesMut::new();
    let method = methods::QueueDeclare {
        queue: ShortText::new("q").unwrap(),
        durable: true,
        no_wait: true,
        ..Default::default()
    };
    Method::from(method).encode_frame(7, &mut out);
    assert_eq!(&out[..], b"\x01\0\x07\0\0\0\x0d\0\x32\0\x0a\0\0\x01q\x12\0\0\0\0\xCE");
    let (frame, consumed) = next_frame(&out, 4096).unwrap().unwrap();
    assert_eq!(consumed, out.len());
    assert_eq!(Method::decode(frame.payload), Ok(Method::QueueDeclare(method)));
}
