use proptest::prelude::*;
use tungstenite::protocol::frame::coding::CloseCode;

use super::*;

const LIMITS: IncomingLimits = IncomingLimits { message_bytes_max: 1000, takes_text: true, takes_packed: false };

/// A frame as a client sends it, with the shortest length.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(long as u16).to_be_bytes());
        }
        longer => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(longer as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A head that claims a length.
fn claim(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

/// What comes out of this, received in pieces of so many bytes, and how it ended.
fn received_in(limits: IncomingLimits, bytes: &[u8], piece_bytes: usize) -> (Vec<u8>, Option<End>) {
    let mut incoming = Incoming::new(limits);
    let mut out = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        let mut piece = piece.to_vec();
        let payload_bytes = incoming.receive(&mut piece);
        out.extend_from_slice(&piece[..payload_bytes]);
    }
    (out, incoming.end())
}

/// The same, which must not depend on the pieces.
fn received(bytes: &[u8]) -> (Vec<u8>, Option<End>) {
    let whole = received_in(LIMITS, bytes, bytes.len().max(1));
    for piece_bytes in [1, 2, 3, 7, 64] {
        let (out, end) = received_in(LIMITS, bytes, piece_bytes);
        assert_eq!(end, whole.1, "in pieces of {piece_bytes}");
        if !matches!(end, Some(End::Failed(Violation::Utf8))) {
            assert_eq!(out, whole.0, "in pieces of {piece_bytes}");
        }
    }
    whole
}

fn violation(bytes: &[u8]) -> Violation {
    match received(bytes).1 {
        Some(End::Failed(violation)) => violation,
        other => panic!("{other:?} after {bytes:02x?}"),
    }
}

#[test]
fn frames_cut_anywhere_are_one_stream_of_bytes() {
    let bytes = [
        frame(0x82, b"one "),
        frame(0x82, b""),
        frame(0x02, b"t"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"wo "),
        frame(0x81, "drei \u{20ac} ".as_bytes()),
        frame(0x82, &[b'x'; 300]),
    ]
    .concat();
    let (out, end) = received(&bytes);
    assert_eq!(end, None);
    assert_eq!(out, ["one two drei \u{20ac} ".as_bytes(), &[b'x'; 300]].concat());
}

#[test]
fn what_is_no_frame_of_a_client_is_refused() {
    let mut unmasked = frame(0x82, b"x");
    unmasked[1] &= 0x7f;
    assert_eq!(violation(&unmasked), Violation::Unmasked);
    for first in [0xc2, 0xa2, 0x92, 0xf2] {
        assert_eq!(violation(&frame(first, b"x")), Violation::ReservedBits);
    }
    for first in [0x83, 0x87, 0x8b, 0x8f] {
        assert_eq!(violation(&frame(first, b"x")), Violation::Opcode);
    }
    for opcode in [0x8, 0x9, 0xa] {
        assert_eq!(violation(&frame(0x80 | opcode, &[0; 126])), Violation::Control);
        assert_eq!(violation(&frame(opcode, b"x")), Violation::Control);
        assert_eq!(violation(&claim(0x80 | opcode, 1 << 40)), Violation::Control);
    }
    assert_eq!(violation(&frame(0x80, b"x")), Violation::Fragment);
    assert_eq!(violation(&[frame(0x02, b"x"), frame(0x82, b"y")].concat()), Violation::Fragment);
    assert_eq!(violation(&[frame(0x02, b"x"), frame(0x80, b"y"), frame(0x80, b"z")].concat()), Violation::Fragment);
    // Lengths: not in the shortest form, and with the highest bit.
    assert_eq!(violation(&claim(0x82, 65_535)), Violation::Length);
    assert_eq!(violation(&[0x82, 0xfe, 0, 125, 0, 0, 0, 0]), Violation::Length);
    assert_eq!(violation(&claim(0x82, 1 << 63)), Violation::Length);
    assert_eq!(violation(&claim(0x82, u64::MAX)), Violation::Length);
}

#[test]
fn a_message_that_is_too_long_is_refused_before_it_is_there() {
    assert_eq!(received(&frame(0x82, &[1; 1000])), (vec![1; 1000], None));
    assert_eq!(violation(&claim(0x82, 1 << 62)), Violation::TooLong);
    let fragments = [frame(0x02, &[1; 500]), frame(0x00, &[1; 500])].concat();
    assert_eq!(received(&fragments), (vec![1; 1000], None));
    let (out, end) = received(&[fragments, frame(0x00, b"x")].concat());
    assert_eq!(out.len(), 1000);
    assert_eq!(end, Some(End::Failed(Violation::TooLong)));
}

#[test]
fn text_has_to_be_utf_8_and_wanted() {
    assert_eq!(violation(&frame(0x81, b"\xff")), Violation::Utf8);
    assert_eq!(violation(&frame(0x81, b"\xe2\x82")), Violation::Utf8);
    assert_eq!(violation(&frame(0x81, b"\xed\xa0\x80")), Violation::Utf8);
    // A character may be cut by fragments, and not by messages.
    let cut = [frame(0x01, b"\xf0\x9f"), frame(0x00, b"\x98"), frame(0x80, b"\x80")].concat();
    assert_eq!(received(&cut), (b"\xf0\x9f\x98\x80".to_vec(), None));
    assert_eq!(violation(&[frame(0x01, b"\xf0\x9f"), frame(0x80, b"\x98")].concat()), Violation::Utf8);
    assert_eq!(received(&frame(0x82, b"\xff")), (b"\xff".to_vec(), None));
    let binary_only = IncomingLimits { takes_text: false, ..LIMITS };
    assert_eq!(received_in(binary_only, &frame(0x81, b"x"), 1), (vec![], Some(End::Failed(Violation::Text))));
    assert_eq!(received_in(binary_only, &frame(0x82, b"x"), 1), (b"x".to_vec(), None));
}

#[test]
fn a_close_frame_ends_it_and_what_follows_is_not_heard() {
    assert_eq!(received(&frame(0x88, b"")).1, Some(End::Closed(None)));
    assert_eq!(received(&frame(0x88, b"\x03\xe8bye")).1, Some(End::Closed(Some(1000))));
    assert_eq!(received(&frame(0x88, b"\x0f\xa0")).1, Some(End::Closed(Some(4000))));
    let more = [frame(0x82, b"x"), frame(0x88, b""), frame(0x82, b"y")].concat();
    assert_eq!(received(&more), (b"x".to_vec(), Some(End::Closed(None))));
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 65_535] {
        assert_eq!(violation(&frame(0x88, &code.to_be_bytes())), Violation::CloseFrame, "{code}");
    }
    assert_eq!(violation(&frame(0x88, b"\x03")), Violation::CloseFrame);
    assert_eq!(violation(&frame(0x88, b"\x03\xe8\xff")), Violation::Utf8);
}

#[test]
fn the_last_ping_is_answered() {
    let mut incoming = Incoming::new(LIMITS);
    let mut bytes = [frame(0x89, b"first"), frame(0x89, b"second"), frame(0x8a, b"unasked")].concat();
    assert_eq!(incoming.receive(&mut bytes), 0);
    assert_eq!(incoming.take_ping(<[u8]>::to_vec), Some(b"second".to_vec()));
    assert_eq!(incoming.take_ping(<[u8]>::to_vec), None);
    assert_eq!(ControlFrame::pong(b"second").left(), b"\x8a\x06second");
}

#[test]
fn codes_are_those_of_the_specification() {
    for (violation, code) in [
        (Violation::Unmasked, 1002),
        (Violation::Opcode, 1002),
        (Violation::Length, 1002),
        (Violation::Text, 1003),
        (Violation::Utf8, 1007),
        (Violation::TooLong, 1009),
    ] {
        assert_eq!(u16::from(violation.code()), code);
    }
    assert_eq!(ControlFrame::close(Some(CloseCode::Away.into())).left(), b"\x88\x02\x03\xe9");
    assert_eq!(ControlFrame::close(None).left(), b"\x88\x00");
}

#[test]
fn heads_of_ours_have_the_shortest_length() {
    assert_eq!(DataHead::new(false, 125).left(), [0x82, 125]);
    assert_eq!(DataHead::new(true, 126).left(), [0x81, 126, 0, 126]);
    assert_eq!(DataHead::new(false, 65_535).left(), [0x82, 126, 0xff, 0xff]);
    let mut head = DataHead::new(false, 126);
    assert!(head.is_untouched());
    assert_eq!(head.advance(3), 0);
    assert!(!head.is_untouched());
    assert_eq!(head.left(), [126]);
    assert_eq!(head.advance(11), 10);
}

/// Frames of one byte are dear for the client, not for us: what is kept does not grow with them.
#[test]
fn ten_thousand_fragments_of_a_byte_are_bytes() {
    let limits = IncomingLimits { message_bytes_max: 20_000, takes_text: false, takes_packed: false };
    let mut bytes = frame(0x02, b"x");
    for _ in 0..9_998 {
        bytes.extend_from_slice(&frame(0x00, b"x"));
    }
    bytes.extend_from_slice(&frame(0x80, b"x"));
    assert_eq!(received_in(limits, &bytes, bytes.len()), (vec![b'x'; 10_000], None));
    // All of what a connection keeps between two reads.
    assert!(size_of::<Incoming>() <= 400, "{}", size_of::<Incoming>());
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_come_to_the_same_end(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..40_usize) {
        let whole = received_in(LIMITS, &bytes, bytes.len().max(1));
        prop_assert_eq!(received_in(LIMITS, &bytes, piece).1, whole.1);
    }

    #[test]
    fn a_mask_is_undone_wherever_it_is_cut(payload in proptest::collection::vec(any::<u8>(), 0..400), piece in 1..70_usize) {
        let sent = frame(0x82, &payload);
        prop_assert_eq!(received_in(LIMITS, &sent, piece), (payload, None));
    }

    #[test]
    fn text_in_pieces_is_judged_as_text_in_one(bytes in proptest::collection::vec(prop_oneof![Just(b'a'), Just(0xf0), Just(0x9f), Just(0x98), Just(0x80), Just(0xe2), Just(0xc3), any::<u8>()], 0..12), piece in 1..5_usize) {
        let mut utf8 = Utf8::default();
        let valid = bytes.chunks(piece).all(|piece| utf8.push(piece)) && utf8.begun_bytes() == 0;
        prop_assert_eq!(valid, std::str::from_utf8(&bytes).is_ok());
    }
}
