use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_S: i64 = 1_714_564_800;

/// A request as it would arrive.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &'static str, path: &str, query: &str, body: &[u8]) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:4566"));
        Self { method, path: path.to_owned(), query: query.to_owned(), headers, body: body.to_vec() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    fn uri(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("http://127.0.0.1:4566{}{mark}{}", self.path, self.query)
    }

    /// Signs as AWS's own library does.
    fn signed(self, settings: SigningSettings) -> Self {
        self.signed_at(settings, NOW_S)
    }

    fn signed_at(mut self, settings: SigningSettings, now_s: i64) -> Self {
        let identity = Credentials::new("AKIDEXAMPLE", SECRET, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("sqs")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now_s as u64))
            .settings(settings)
            .build()
            .unwrap();
        let uri = self.uri();
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let request = SignableRequest::new(self.method, &uri, headers, SignableBody::Bytes(&self.body)).unwrap();
        let instructions: SigningInstructions = sign(request, &params.into()).unwrap().into_parts().0;
        let (headers, query) = instructions.into_parts();
        for header in headers {
            let name = HeaderName::from_bytes(header.name().as_bytes()).unwrap();
            self.headers.insert(name, HeaderValue::from_str(header.value()).unwrap());
        }
        for (name, value) in query {
            let escape = |byte: u8| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            };
            if !self.query.is_empty() {
                self.query.push('&');
            }
            let value: String = value.bytes().map(escape).collect();
            self.query.push_str(&format!("{name}={value}"));
        }
        self
    }

    fn as_signed(&self) -> Signed<'_> {
        Signed { method: self.method, path: &self.path, query: &self.query, headers: &self.headers }
    }

    fn check(&self, secret: &str, now_s: i64) -> Result<(), Refused> {
        let request = self.as_signed();
        let claim = Claim::read(request).expect("it is well formed").expect("it is signed");
        assert_eq!(claim.key_id, "AKIDEXAMPLE");
        if let Some(header) = request.headers.get("authorization") {
            let key_and_scope = Claim::key_and_scope(header.to_str().expect("it is text"));
            assert_eq!(key_and_scope, Some((&*claim.key_id, &*claim.region, &*claim.service)));
        }
        claim.check(request, "sqs", now_s)?;
        if let Some(text) = canonical::request(&claim, request, &[0; 64]) {
            // What is escaped is three times as long.
            let headers: usize =
                request.headers.iter().map(|(name, value)| 2 * name.as_str().len() + value.len() + 2).sum();
            let bytes_max = 3 * (request.path.len() + 1) + 4 * request.query.len() + 2 * headers + 128;
            assert!(text.len() <= bytes_max, "{} of {bytes_max}", text.len());
        }
        claim.verify(request, &self.body, secret, &SigningKeys::default())
    }
}

fn presigned() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(600));
    settings
}

fn a_request() -> Sent {
    Sent::new("POST", "/", "", br#"{"QueueUrl":"http://127.0.0.1:4566/000000000000/q"}"#)
        .with("content-type", "application/x-amz-json-1.0")
        .with("x-amz-target", "AmazonSQS.ReceiveMessage")
}

#[test]
fn a_known_signature_is_calculated() {
    // "get-vanilla" of AWS's test suite for signatures, but for its service.
    let mut sent = Sent::new("GET", "/", "", b"").with("x-amz-date", "20150830T123600Z").with(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    );
    sent.headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
    let request = sent.as_signed();
    let claim = Claim::read(request).unwrap().unwrap();
    assert_eq!(claim.check(request, "service", 1_440_938_160), Ok(()));
    assert_eq!(claim.verify(request, b"", SECRET, &SigningKeys::default()), Ok(()));
    assert_eq!(claim.verify(request, b"x", SECRET, &SigningKeys::default()), Err(Refused::Different));
    assert_eq!(claim.check(request, "sqs", 1_440_938_160), Err(Refused::Service("sqs")));
}

#[test]
fn requests_and_urls_that_the_library_signs_are_believed() {
    for settings in [SigningSettings::default(), presigned()] {
        assert_eq!(a_request().signed(settings.clone()).check(SECRET, NOW_S), Ok(()));
        let query = "Action=SendMessage&MessageBody=a%20b%2Bc%26%C3%A9&Version=2012-11-05&empty=";
        let sent = Sent::new("GET", "/000000000000/orders", query, b"").signed(settings);
        assert_eq!(sent.check(SECRET, NOW_S), Ok(()));
        assert_eq!(sent.check("another", NOW_S), Err(Refused::Different));
    }
}

#[test]
fn a_clock_may_be_a_quarter_of_an_hour_off() {
    let sent = a_request().signed(SigningSettings::default());
    for off_s in [-SKEW_S, 0, SKEW_S] {
        assert_eq!(sent.check(SECRET, NOW_S + off_s), Ok(()), "{off_s}");
    }
    let early = sent.check(SECRET, NOW_S - SKEW_S - 1).unwrap_err();
    assert_eq!(
        early.to_string(),
        "Signature not yet current: 20240501T120000Z is still later than 20240501T115959Z (20240501T114459Z + 15 min.)"
    );
    let late = sent.check(SECRET, NOW_S + SKEW_S + 1).unwrap_err();
    assert_eq!(
        late.to_string(),
        "Signature expired: 20240501T120000Z is now earlier than 20240501T120001Z (20240501T121501Z - 15 min.)"
    );
    let url = Sent::new("GET", "/", "Action=ListQueues", b"").signed(presigned());
    assert_eq!(url.check(SECRET, NOW_S + 600), Ok(()));
    assert!(matches!(url.check(SECRET, NOW_S + 601), Err(Refused::Expired { .. })));
    assert!(matches!(url.check(SECRET, NOW_S - SKEW_S - 1), Err(Refused::TooEarly { .. })));
}

#[test]
fn what_is_not_signed_cannot_be_added() {
    let sent = a_request().signed(SigningSettings::default());
    let added = sent.clone().with("x-amz-security-token", "token");
    assert_eq!(added.check(SECRET, NOW_S), Err(Refused::Unsigned("x-amz-security-token".to_owned())));
    let twice = sent.clone().with("x-amz-target", "AmazonSQS.PurgeQueue");
    assert_eq!(twice.check(SECRET, NOW_S), Err(Refused::Different));
    // Of no consequence, and proxies do it.
    assert_eq!(sent.with("x-forwarded-for", "10.0.0.1").check(SECRET, NOW_S), Ok(()));
    let mut unsigned_host = a_request().signed(SigningSettings::default());
    let text = unsigned_host.headers["authorization"].to_str().unwrap().replace("host;", "");
    unsigned_host.headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
    assert_eq!(unsigned_host.check(SECRET, NOW_S), Err(Refused::Unsigned("host".to_owned())));
}

#[test]
fn a_header_is_signed_once_and_in_its_place() {
    let sent = a_request().with("x", "value").signed(SigningSettings::default());
    assert_eq!(sent.check(SECRET, NOW_S), Ok(()));
    let signed = sent.headers["authorization"].to_str().unwrap();
    let (head, names) = signed.split_once("SignedHeaders=").unwrap();
    let (names, tail) = names.split_once(',').unwrap();
    let absent: String = (0..100).map(|number| format!(";y{number:02}")).collect();
    for names in [
        names.replace(";x;", ";x;x;"),
        names.replace(";x;", ";X;x;"),
        names.replace(";x;", &";x".repeat(10_000)),
        names.replace("content-type;host", "host;content-type"),
        format!("{names};"),
        // More than there are: some cannot be there.
        format!("{names}{absent}"),
    ] {
        let mut other = sent.clone();
        let text = format!("{head}SignedHeaders={names},{tail}");
        other.headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
        let request = other.as_signed();
        let claim = Claim::read(request).unwrap().unwrap();
        // Before its text is made.
        assert!(claim.check(request, "sqs", NOW_S).is_err(), "{:.200}", text);
    }
}

#[test]
fn a_digest_that_is_sent_has_to_be_the_body_s() {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
    let sent = a_request().signed(settings);
    assert_eq!(sent.check(SECRET, NOW_S), Ok(()));
    let other = Sent { body: b"other".to_vec(), ..sent.clone() };
    assert_eq!(other.check(SECRET, NOW_S), Err(Refused::Different));
    let mut unsigned = sent;
    unsigned.headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    assert_eq!(unsigned.check(SECRET, NOW_S), Err(Refused::Different));
}

#[test]
fn claims_that_lack_something_say_what() {
    let read = |text: &str, date: Option<&str>| {
        let mut sent = Sent::new("GET", "/", "", b"").with("authorization", text);
        if let Some(date) = date {
            sent = sent.with("x-amz-date", date);
        }
        Claim::read(sent.as_signed()).map(|claim| claim.is_some()).map_err(|error| error.to_string())
    };
    let signature = "0".repeat(64);
    let whole = |credential: &str, signature: &str| {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={signature}")
    };
    let date = Some("20240501T120000Z");
    let scope = "AKID/20240501/us-east-1/sqs/aws4_request";
    assert_eq!(read(&whole(scope, &signature), date), Ok(true));
    assert_eq!(read(&whole(&format!("a/b/{scope}"), &signature), date), Ok(true));
    for (text, date, problem) in [
        ("AWS4-HMAC-SHA256".to_owned(), date, "requires 'Credential'"),
        ("AWS AKID:xyz".to_owned(), date, "Unsupported AWS 'algorithm'"),
        ("Basic Z3Vlc3Q6Z3Vlc3Q=".to_owned(), date, "Unsupported AWS 'algorithm'"),
        (whole("AKID/20240501/us-east-1/sqs", &signature), date, "5 slash-delimited"),
        (whole("AKID/20240501/us-east-1/sqs/aws5", &signature), date, "valid terminator"),
        (whole("AKID/20240501/US east/sqs/aws4_request", &signature), date, "valid region"),
        (whole(scope, "abc"), date, "64 hexadecimal digits"),
        (whole(scope, &signature), None, "'X-Amz-Date'"),
        (whole(scope, &signature), Some("yesterday"), "ISO-8601"),
        (format!("{}, Signature={signature}", whole(scope, &signature)), date, "twice"),
    ] {
        let told = read(&text, date).unwrap_err();
        assert!(told.contains(problem), "{text}: {told}");
    }
    let unsigned = Sent::new("GET", "/", "Action=ListQueues", b"");
    assert_eq!(Claim::read(unsigned.as_signed()), Ok(None));
}

#[test]
fn urls_that_lack_something_say_what() {
    let whole = Sent::new("GET", "/", "Action=ListQueues", b"").signed(presigned()).query;
    for name in ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires"] {
        let kept: Vec<_> = whole.split('&').filter(|pair| !pair.starts_with(name)).collect();
        let error = Claim::read(Sent::new("GET", "/", &kept.join("&"), b"").as_signed()).unwrap_err();
        assert_eq!(error.to_string(), format!("AWS query-string parameters must include '{name}'."));
    }
    let long = whole.replace("X-Amz-Expires=600", "X-Amz-Expires=604801");
    assert!(Claim::read(Sent::new("GET", "/", &long, b"").as_signed()).is_err());
    let twice = format!("{whole}&X-Amz-Expires=1");
    assert!(Claim::read(Sent::new("GET", "/", &twice, b"").as_signed()).is_err());
}

#[test]
fn a_secret_that_was_changed_counts_at_once() {
    let keys = SigningKeys::default();
    let sent = a_request().signed(SigningSettings::default());
    let request = sent.as_signed();
    let claim = Claim::read(request).unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(claim.verify(request, &sent.body, SECRET, &keys), Ok(()));
        assert_eq!(claim.verify(request, &sent.body, "changed", &keys), Err(Refused::Different));
    }
}

/// A part of a path or a query as clients escape it.
fn escaped() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        "[A-Za-z0-9._~-]".prop_map(|text| text), // Whole characters: the library replaces other bytes before it signs them.
        any::<char>().prop_map(|letter| letter.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()),
    ];
    proptest::collection::vec(one, 1..8).prop_map(|parts| parts.concat())
}

fn any_request() -> impl Strategy<Value = Sent> {
    let path = proptest::collection::vec(escaped(), 0..4).prop_map(|parts| format!("/{}", parts.join("/")));
    let query = proptest::collection::vec((escaped(), escaped()), 0..5)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"));
    let value = "[!-~]([ -~]{0,20}[!-~])?";
    (path, query, proptest::option::of(value), proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()).prop_map(
        |(path, query, header, body, is_post)| {
            let sent = Sent::new(if is_post { "POST" } else { "GET" }, &path, &query, &body);
            match header {
                Some(value) => sent.with("x-amz-meta", &value),
                None => sent,
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_the_library_signs_is_believed(sent in any_request(), in_query in any::<bool>()) {
        let settings = if in_query { presigned() } else { SigningSettings::default() };
        let sent = sent.signed(settings);
        prop_assert_eq!(sent.check(SECRET, NOW_S), Ok(()), "{:?}", sent);
    }

    #[test]
    fn nothing_can_be_tampered_with(sent in any_request(), in_query in any::<bool>(), part in 0..6, at in any::<prop::sample::Index>(), bit in 0..7_u32) {
        let settings = if in_query { presigned() } else { SigningSettings::default() };
        let sent = sent.signed(settings);
        let mut other = sent.clone();
        match part {
            0 => {
                other.body.push(0);
            }
            1 if !sent.body.is_empty() => {
                let at = at.index(sent.body.len());
                other.body[at] ^= 1 << bit;
            }
            2 => other.path.push_str("/x"),
            3 => other.query = format!("tampered={bit}&{}", sent.query),
            4 => other.method = if sent.method == "GET" { "POST" } else { "GET" },
            _ => {
                let host = HeaderValue::from_static("127.0.0.2:4566");
                other.headers.insert("host", host);
            }
        }
        prop_assert_eq!(other.check(SECRET, NOW_S), Err(Refused::Different), "{:?}", other);
    }

    #[test]
    fn no_signature_but_the_right_one_is_believed(sent in any_request(), digit in 0_usize..64) {
        let mut sent = sent.signed(SigningSettings::default());
        let text = sent.headers["authorization"].to_str().unwrap().to_owned();
        let at = text.find("Signature=").unwrap() + "Signature=".len() + digit;
        let mut text = text.into_bytes();
        text[at] = if text[at] == b'0' { b'1' } else { b'0' };
        sent.headers.insert("authorization", HeaderValue::from_bytes(&text).unwrap());
        prop_assert_eq!(sent.check(SECRET, NOW_S), Err(Refused::Different));
    }

    #[test]
    fn no_header_is_too_strange(text in "[ -~]{0,120}", query in "[!-~]{0,120}") {
        let sent = Sent::new("GET", "/", &query, b"").with("authorization", &format!("AWS4-HMAC-SHA256 {text}"));
        let _ = Claim::read(sent.as_signed());
        let sent = Sent::new("GET", "/", &format!("X-Amz-Signature={query}"), b"");
        let _ = Claim::read(sent.as_signed());
    }
}
