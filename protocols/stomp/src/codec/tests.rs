use std::time::Instant;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { header_bytes_max: 1024, headers_max: 16, body_bytes_max: 4096 };

const VERSIONS: [Version; 3] = [Version::V1_0, Version::V1_1, Version::V1_2];

/// A frame with what it says, apart from the bytes that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    command: Command,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Read {
    fn of(frame: &Frame<'_>) -> Self {
        let headers = frame.headers.iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { command: frame.command, headers, body: frame.body.to_vec() }
    }

    fn new(command: Command, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { command, headers, body: body.to_vec() }
    }
}

/// Reads all frames of what comes in pieces, each as soon as it is whole, as a connection does. Gives those before an error, the
/// error, and the bytes that were left.
fn read_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    version: Version,
    limits: &Limits,
) -> (Vec<Read>, Option<CodecError>, usize) {
    let (mut buffer, mut progress, mut frames) = (Vec::new(), Progress::default(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let taken = match decode(&buffer, &mut progress, version, limits) {
                Ok(Decoded::Frame(frame, taken)) => {
                    frames.push(Read::of(&frame));
                    taken
                }
                Ok(Decoded::Skipped(taken)) => taken,
                Ok(Decoded::Incomplete) => break,
                Err(error) => return (frames, Some(error), buffer.len()),
            };
            assert!((1..=buffer.len()).contains(&taken));
            assert_eq!(progress, Progress::default());
            buffer.drain(..taken);
        }
    }
    (frames, None, buffer.len())
}

fn read_all(bytes: &[u8], version: Version) -> Result<Vec<Read>, CodecError> {
    match read_pieces([bytes], version, &LIMITS) {
        (_, Some(error), _) => Err(error),
        (frames, None, left) => {
            assert_eq!(left, 0, "a part of {:?} is left", bytes.escape_ascii().to_string());
            Ok(frames)
        }
    }
}

fn read_one(bytes: &[u8], version: Version) -> Result<Read, CodecError> {
    let mut frames = read_all(bytes, version)?;
    assert_eq!(frames.len(), 1, "{:?}", bytes.escape_ascii().to_string());
    Ok(frames.remove(0))
}

#[test]
fn frames_that_every_version_takes() {
    use Command::*;
    for (bytes, command, headers, body) in [
        (&b"SEND\ndestination:/queue/a\n\nhello\0"[..], Send, &[("destination", "/queue/a")][..], &b"hello"[..]),
        (b"SEND\r\na:b\r\n\r\nx\r\n\0", Send, &[("a", "b")], b"x\r\n"),
        (b"SEND\na:b\r\n\nx\0", Send, &[("a", "b")], b"x"),
        (b"SEND\na:\n\n\0", Send, &[("a", "")], b""),
        (b"SEND\n:v\n\n\0", Send, &[("", "v")], b""),
        (b"SEND\na:b:c::\n\n\0", Send, &[("a", "b:c::")], b""),
        (b"SEND\na:1\nb:2\na:3\n\n\0", Send, &[("a", "1"), ("b", "2")], b""),
        (b"SEND\n\n\0", Send, &[], b""),
        (b"SEND\ncontent-length:0\n\n\0", Send, &[("content-length", "0")], b""),
        (b"SEND\ncontent-length:5\n\na\0b\0\n\0", Send, &[("content-length", "5")], b"a\0b\0\n"),
        (b"SEND\ncontent-length:0003\n\nabc\0", Send, &[("content-length", "0003")], b"abc"),
        (b"SEND\ncontent-length:3 \n\nabc\0", Send, &[("content-length", "3 ")], b"abc"),
        // The first counts, whatever the second says.
        (b"SEND\ncontent-length:1\ncontent-length:99\n\na\0", Send, &[("content-length", "1")], b"a"),
        (b"ACK\nid:1\n\n\0", Ack, &[("id", "1")], b""),
        (b"NACK\nid:1\n\n\0", Nack, &[("id", "1")], b""),
        (b"SUBSCRIBE\nid:1\n\n\0", Subscribe, &[("id", "1")], b""),
        (b"UNSUBSCRIBE\nid:1\n\n\0", Unsubscribe, &[("id", "1")], b""),
        (b"BEGIN\ntransaction:t\n\n\0", Begin, &[("transaction", "t")], b""),
        (b"COMMIT\ntransaction:t\n\n\0", Commit, &[("transaction", "t")], b""),
        (b"ABORT\ntransaction:t\n\n\0", Abort, &[("transaction", "t")], b""),
        (b"DISCONNECT\nreceipt:1\n\n\0", Disconnect, &[("receipt", "1")], b""),
        // Nobody is sent away for a body where there is none to be.
        (b"DISCONNECT\n\nbye\0", Disconnect, &[], b"bye"),
        (b"CONNECT\nlogin:a\\\n\n\0", Connect, &[("login", "a\\")], b""),
        (b"STOMP\npasscode:a\\tb\\c\n\n\0", Stomp, &[("passcode", "a\\tb\\c")], b""),
    ] {
        for version in VERSIONS {
            assert_eq!(read_one(bytes, version), Ok(Read::new(command, headers, body)), "{version:?}");
        }
    }
}

#[test]
fn what_each_version_makes_of_escapes_and_spaces() {
    let line = b"SEND\na\\cb:c\\cd\\\\\\n\\r\n\n\0";
    assert_eq!(read_one(line, Version::V1_0).unwrap().headers, [("a\\cb".into(), "c\\cd\\\\\\n\\r".into())]);
    for version in [Version::V1_1, Version::V1_2] {
        assert_eq!(read_one(line, version).unwrap().headers, [("a:b".into(), "c:d\\\n\r".into())]);
    }
    let spaces = b"SEND\na:  b \n\n\0";
    for (version, value) in [(Version::V1_0, "b "), (Version::V1_1, "  b "), (Version::V1_2, "  b ")] {
        assert_eq!(read_one(spaces, version).unwrap().headers, [("a".into(), value.into())]);
    }
    for bytes in [&b"SEND\na:b\\tc\n\n\0"[..], b"SEND\na:b\\\n\n\0", b"SEND\na\\ :b\n\n\0", b"SEND\na:\\C\n\n\0"] {
        assert!(read_one(bytes, Version::V1_0).is_ok());
        for version in [Version::V1_1, Version::V1_2] {
            assert_eq!(read_one(bytes, version), Err(CodecError::Escape));
        }
    }
    // Which version a CONNECT is of stands in the CONNECT.
    let bytes = b"CONNECT\nlogin: guest\n\n\0";
    let Ok(Decoded::Frame(frame, _)) = decode(bytes, &mut Progress::default(), Version::V1_2, &LIMITS) else {
        panic!("no frame");
    };
    for (version, value) in [(Version::V1_0, "guest"), (Version::V1_1, " guest"), (Version::V1_2, " guest")] {
        assert_eq!(frame.headers.of_version(version).get("login").as_deref(), Some(value));
    }
}

#[test]
fn frames_that_no_version_takes() {
    let unknown = |text: &str| CodecError::UnknownCommand(text.to_owned());
    let many = format!("SEND\n{}\n\0", "a:b\n".repeat(17));
    let large = format!("SEND\n\n{}\0", "x".repeat(4097));
    let long = format!("SEND\na:{}\n\n\0", "x".repeat(1024));
    for (bytes, error) in [
        (&b"FOO\n\n\0"[..], unknown("FOO")),
        (b"send\n\n\0", unknown("send")),
        (b" SEND\n\n\0", unknown(" SEND")),
        (b"SEND \n\n\0", unknown("SEND ")),
        (b"MESSAGE\n\n\0", unknown("MESSAGE")),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", unknown("GET / HTTP/1.1")),
        (b"\x16\x03\x01\x02\x00\x01", CodecError::NulInHead),
        (b"AMQP\0\0\x09\x01", CodecError::NulInHead),
        (b"SEND\nnocolon\n\n\0", CodecError::HeaderWithoutColon),
        (b"SEND\na:b\nnocolon\n\n\0", CodecError::HeaderWithoutColon),
        (b"SEND\n\r\r\n\n\0", CodecError::HeaderWithoutColon),
        (b"SEND\na:b\0c\n\n\0", CodecError::NulInHead),
        (b"SEND\0", CodecError::NulInHead),
        (b"SEND\na:b\rc\n\n\0", CodecError::CarriageReturn),
        (b"SEND\na\r:b\n\n\0", CodecError::CarriageReturn),
        (b"SEND\na:b\r\r\n\n\0", CodecError::CarriageReturn),
        (b"SEND\ncontent-length:-1\n\nabc\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:+1\n\na\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:abc\n\nabc\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:\n\nabc\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:1 1\n\nabc\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:0x1\n\na\0", CodecError::ContentLength),
        (b"SEND\ncontent-length:2\n\nabc\0", CodecError::BodyNotEnded),
        (b"SEND\ncontent-length:4097\n\n", CodecError::BodyTooLarge(4096)),
        (b"SEND\ncontent-length:99999999999999999999\n\n", CodecError::BodyTooLarge(4096)),
        (b"SEND\ncontent-length:18446744073709551616\n\n", CodecError::BodyTooLarge(4096)),
        (many.as_bytes(), CodecError::TooManyHeaders(16)),
        (large.as_bytes(), CodecError::BodyTooLarge(4096)),
        (long.as_bytes(), CodecError::HeadTooLarge(1024)),
    ] {
        for version in VERSIONS {
            assert_eq!(read_all(bytes, version), Err(error.clone()), "{:?}", bytes.escape_ascii().to_string());
        }
    }
}

#[test]
fn what_is_too_much_is_refused_before_it_has_come() {
    let never_ends = |bytes: &[u8]| read_pieces([bytes], Version::V1_2, &LIMITS).1;
    assert_eq!(never_ends(&b"x".repeat(13)), Some(CodecError::UnknownCommand("x".repeat(13))));
    assert_eq!(never_ends(&[b"SEND\na:", &b"x".repeat(1016)[..]].concat()), None);
    assert_eq!(never_ends(&[b"SEND\na:", &b"x".repeat(1017)[..]].concat()), Some(CodecError::HeadTooLarge(1024)));
    assert_eq!(never_ends(&[b"SEND\n", &b"a:b\n".repeat(17)[..]].concat()), Some(CodecError::TooManyHeaders(16)));
    assert_eq!(never_ends(&[b"SEND\n\n", &b"x".repeat(4096)[..]].concat()), None);
    assert_eq!(never_ends(&[b"SEND\n\n", &b"x".repeat(4097)[..]].concat()), Some(CodecError::BodyTooLarge(4096)));
    // Exactly as much as allowed.
    let most = [b"SEND\n\n", &b"x".repeat(4096)[..], b"\0"].concat();
    assert_eq!(read_one(&most, Version::V1_2).unwrap().body.len(), 4096);
    let most = [b"SEND\ncontent-length:4096\n\n", &b"\0".repeat(4096)[..], b"\0"].concat();
    assert_eq!(read_one(&most, Version::V1_2).unwrap().body.len(), 4096);
    let most = [b"SEND\na:", &b"x".repeat(1024 - 9)[..], b"\n\n\0"].concat();
    assert_eq!(read_one(&most, Version::V1_2).unwrap().headers.len(), 1);
}

#[test]
fn a_command_that_is_none_is_shown_cut_and_without_control_characters() {
    let error = read_all(&[b"\x1b[31m", &b"x".repeat(1000)[..], b"\n\n\0"].concat(), Version::V1_2).unwrap_err();
    let CodecError::UnknownCommand(shown) = error else { panic!("{error}") };
    assert!(shown.starts_with("\\x1b[31mxxx") && shown.len() < 64, "{shown}");
}

#[test]
fn bytes_between_frames_mean_nothing() {
    let frames = read_all(b"\n\r\n\0\nSEND\n\n\0\n\n\0\nACK\nid:1\n\n\0\r\n", Version::V1_2).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.command).collect::<Vec<_>>(), [Command::Send, Command::Ack]);
    assert!(matches!(decode(b"\n\n", &mut Progress::default(), Version::V1_0, &LIMITS), Ok(Decoded::Skipped(2))));
    assert!(matches!(decode(b"", &mut Progress::default(), Version::V1_0, &LIMITS), Ok(Decoded::Incomplete)));
}

const SAMPLES: &[&[u8]] = &[
    b"CONNECT\r\naccept-version:1.2\r\nhost:/\r\n\r\n\0\n",
    b"SEND\ndestination:/queue/a\ncontent-length:7\n\na\0b\n\nc\0\0\n\nSEND\na\\cb:c\n\nbody\nof\n\nlines\0",
    b"SEND\na:\\n\n\n\0ACK\nid:x\n\n\0\r\n\r\nDISCONNECT\nreceipt:77\n\n\0",
    b"SEND\ndestination:x\nbad\\escape:1\n\n\0",
    b"SEND\ncontent-length:3\n\nabcd\0",
    b"SEND\nno colon\n\n\0",
    b"SEND\nx:y\0z\n\n\0",
];

#[test]
fn it_does_not_matter_where_frames_are_split() {
    for sample in SAMPLES {
        for version in VERSIONS {
            let (frames, error, left) = read_pieces([*sample], version, &LIMITS);
            for first in 0..=sample.len() {
                for second in first..=sample.len() {
                    let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                    let again = read_pieces(pieces, version, &LIMITS);
                    assert_eq!((&again.0, &again.1), (&frames, &error), "split at {first} and {second}");
                    assert!(error.is_some() || again.2 == left);
                }
            }
            let again = read_pieces(sample.chunks(1), version, &LIMITS);
            assert_eq!((again.0, again.1), (frames, error));
        }
    }
}

#[test]
fn a_slow_frame_is_not_searched_again() {
    const BYTES: usize = 2 << 20;
    let limits = Limits { header_bytes_max: BYTES + 64, headers_max: 256, body_bytes_max: BYTES };
    // Byte by byte: whoever began anew with each would look at a million million of them.
    for head in ["SEND\na:", "SEND\n\n"] {
        let bytes = [head.as_bytes(), &b"x".repeat(BYTES)[..]].concat();
        let (began, mut progress) = (Instant::now(), Progress::default());
        for end in 1..=bytes.len() {
            assert!(matches!(decode(&bytes[..end], &mut progress, Version::V1_2, &limits), Ok(Decoded::Incomplete)));
        }
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}

fn write(version: Version, with: impl FnOnce(FrameWriter<'_, Vec<u8>>)) -> String {
    let mut out = Vec::new();
    with(FrameWriter::new(&mut out, version, Answer::Message));
    String::from_utf8(out).unwrap()
}

#[test]
fn each_version_is_written_with_its_own_escapes() {
    for (version, expected) in [
        (Version::V1_0, "MESSAGE\na\\cb:c:d\\e\\n\\r\u{FFFD}\nn:18446744073709551615\np:x:y\n\n\0\n"),
        (Version::V1_1, "MESSAGE\na\\cb:c\\cd\\\\e\\n\\r\u{FFFD}\nn:18446744073709551615\np:x\\cy\n\n\0\n"),
        (Version::V1_2, "MESSAGE\na\\cb:c\\cd\\\\e\\n\\r\u{FFFD}\nn:18446744073709551615\np:x\\cy\n\n\0\n"),
    ] {
        let written = write(version, |mut frame| {
            frame.header("a:b", "c:d\\e\n\r\0").number("n", u64::MAX).parts("p", &[b"x:", b"y"]);
            frame.body(b"");
        });
        assert_eq!(written, expected);
    }
    let mut out = Vec::new();
    let mut frame = FrameWriter::new(&mut out, Version::V1_2, Answer::Connected);
    frame.header("session", "a:b\nc");
    frame.body(b"");
    assert_eq!(out, b"CONNECTED\nsession:a:b\\nc\n\n\0\n");
    assert_eq!(write(Version::V1_2, |frame| frame.body(b"a\0b")), "MESSAGE\ncontent-length:3\n\na\0b\0\n");
    assert_eq!(decimal(0, &mut [0; 20]), b"0");
}

#[test]
fn lines_with_escapes_are_written_for_every_version() {
    let lines = b"a\\cb:c\\cd\\\\\\n\nplain:x\n";
    for (version, expected) in [
        (Version::V1_0, "MESSAGE\na\\cb:c:d\\\\n\nplain:x\n\n\0\n"),
        (Version::V1_1, "MESSAGE\na\\cb:c\\cd\\\\\\n\nplain:x\n\n\0\n"),
        (Version::V1_2, "MESSAGE\na\\cb:c\\cd\\\\\\n\nplain:x\n\n\0\n"),
    ] {
        let written = write(version, |mut frame| {
            frame.lines(lines);
            frame.body(b"");
        });
        assert_eq!(written, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_again(
        headers in proptest::collection::vec(("[^\0]{0,12}", "[^\0]{0,24}"), 0..12),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        cuts in proptest::collection::vec(0_usize..600, 0..4),
    ) {
        let mut out = Vec::new();
        let mut frame = FrameWriter::new(&mut out, Version::V1_2, Answer::Message);
        for (name, value) in &headers {
            frame.header(name, value);
        }
        frame.body(&body);
        // A client's command in place of the server's.
        let bytes = [b"SEND", &out[b"MESSAGE".len()..]].concat();
        let mut expected: Vec<(String, String)> = Vec::new();
        for (name, value) in &headers {
            if expected.iter().all(|(known, _)| known != name) {
                expected.push((name.clone(), value.clone()));
            }
        }
        if !body.is_empty() {
            expected.push(("content-length".to_owned(), body.len().to_string()));
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        let (frames, error, _) = read_pieces(pieces, Version::V1_2, &LIMITS);
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames, [Read { command: Command::Send, headers: expected, body }]);
    }

    #[test]
    fn escaped_text_is_one_line_and_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut out = Vec::new();
        escape(&bytes, &mut out);
        prop_assert!(!out.iter().any(|byte| matches!(byte, b'\n' | b'\r' | b':' | 0)));
        if !bytes.contains(&0) {
            prop_assert_eq!(&*unescape(&out), &bytes[..]);
        }
    }

    #[test]
    fn no_bytes_are_a_reason_to_fail(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(0), Just(b':'), Just(b'\\'), Just(b'c'), any::<u8>()], 0..300),
        head in prop_oneof![Just(""), Just("SEND\n"), Just("SEND\na:b\n\n"), Just("CONNECT\n"), Just("SEND\ncontent-length:9\n")],
        version in proptest::sample::select(&VERSIONS[..]),
    ) {
        let bytes = [head.as_bytes(), &bytes].concat();
        let whole = read_pieces([&bytes[..]], version, &LIMITS);
        let pieces = read_pieces(bytes.chunks(3), version, &LIMITS);
        // Which of several mistakes is named depends on how much has come.
        prop_assert_eq!((&whole.0, whole.1.is_some()), (&pieces.0, pieces.1.is_some()));
        // What was read can be written for any version, in lines of their own.
        for frame in &whole.0 {
            for version in VERSIONS {
                let mut out = Vec::new();
                let mut writer = FrameWriter::new(&mut out, version, Answer::Message);
                for (name, value) in &frame.headers {
                    writer.header(name, value);
                }
                writer.body(b"");
                prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), frame.headers.len() + 3);
                prop_assert_eq!(out.iter().filter(|byte| **byte == 0).count(), 1);
            }
        }
    }
}
