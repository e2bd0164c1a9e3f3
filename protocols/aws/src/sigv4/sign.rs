//! Signatures of requests that go out, by the same text that those that come in are checked with.

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{ALGORITHM, Claim, DIGEST, Signed, SigningKeys, TERMINATOR, hex};
use crate::date;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Who signs, and for what.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The id of the access key.
    pub key_id: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// What goes with a key that is good for a while only.
    pub session_token: Option<&'a str>,
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// Such as `lambda`.
    pub service: &'a str,
}

impl Signer<'_> {
    /// Adds what makes a signed request of this one: the date, the digest of the body, and the signature of all headers that are there. Its path and query
    /// are as they go out, escapes included.
    ///
    /// False where it cannot be signed: it has no header `host`, or a part of the key cannot stand in a header.
    #[must_use]
    pub fn sign(&self, request: Outgoing<'_>, headers: &mut HeaderMap, keys: &SigningKeys, now_s: i64) -> bool {
        let timestamp = date::basic(now_s);
        let digest = hex(&Sha256::digest(request.body));
        let (Ok(date), Ok(digest_header)) = (HeaderValue::from_str(&timestamp), HeaderValue::from_bytes(&digest))
        else {
            return false;
        };
        headers.remove(AUTHORIZATION);
        headers.insert(DATE, date);
        headers.insert(HeaderName::from_static(DIGEST), digest_header);
        if let Some(token) = self.session_token {
            let Ok(token) = HeaderValue::from_str(token) else { return false };
            headers.insert(TOKEN, token);
        }
        if !headers.contains_key(HOST) {
            return false;
        }
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let signed_headers = names.join(";");
        let day = &timestamp[..8];
        let claim = Claim {
            key_id: Cow::Borrowed(self.key_id),
            day: Cow::Borrowed(day),
            region: Cow::Borrowed(self.region),
            service: Cow::Borrowed(self.service),
            signed_headers: Cow::Borrowed(&signed_headers),
            signature: [0; 32],
            timestamp: Cow::Borrowed(&timestamp),
            made_s: now_s,
            expires_s: None,
        };
        let Outgoing { method, path, query, .. } = request;
        let Some(signature) = claim.calculated(Signed { method, path, query, headers }, &digest, self.secret, keys)
        else {
            return false;
        };
        let Self { key_id, region, service, .. } = self;
        let signature: String = hex(&signature).iter().map(|digit| char::from(*digit)).collect();
        let header = format!(
            "{ALGORITHM} Credential={key_id}/{day}/{region}/{service}/{TERMINATOR}, SignedHeaders={signed_headers}, Signature={signature}"
        );
        let Ok(mut header) = HeaderValue::from_str(&header) else { return false };
        header.set_sensitive(true);
        headers.insert(AUTHORIZATION, header);
        true
    }
}

/// What is signed beside the headers.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path, escapes included.
    pub path: &'a str,
    /// What stands behind the `?`, if anything.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    use super::*;

    const NOW_S: i64 = 1_714_564_800;

    /// What AWS's own library signs with the same key, at the same time.
    fn by_aws(request: Outgoing<'_>, headers: &HeaderMap, signer: &Signer<'_>) -> String {
        let token = signer.session_token.map(str::to_owned);
        let identity = Credentials::new(signer.key_id, signer.secret, token, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(signer.region)
            .name(signer.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S as u64))
            .settings(settings)
            .build()
            .unwrap();
        let mark = if request.query.is_empty() { "" } else { "?" };
        let uri = format!("https://lambda.us-east-1.amazonaws.com{}{mark}{}", request.path, request.query);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let signable = SignableRequest::new(request.method, &uri, headers, SignableBody::Bytes(request.body)).unwrap();
        let (headers, _) = sign(signable, &params.into()).unwrap().into_parts().0.into_parts();
        headers.iter().find(|header| header.name() == "authorization").unwrap().value().to_owned()
    }

    #[test]
    fn a_request_is_signed_as_by_the_library_of_aws() {
        for (path, query, session_token) in [
            ("/2015-03-31/functions/hello/invocations", "", None),
            (
                "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahello/invocations",
                "Qualifier=live",
                None,
            ),
            ("/", "b=2&a=1", Some("a/token+of=some")),
        ] {
            let body = br#"{"Records":[]}"#;
            let request = Outgoing { method: "POST", path, query, body };
            let signer = Signer {
                key_id: "AKIDEXAMPLE",
                secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                session_token,
                region: "us-east-1",
                service: "lambda",
            };
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("lambda.us-east-1.amazonaws.com"));
            headers.insert("x-amz-invocation-type", HeaderValue::from_static("Event"));
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            let expected = by_aws(request, &headers, &signer);
            let keys = SigningKeys::default();
            assert!(signer.sign(request, &mut headers, &keys, NOW_S));
            assert_eq!(headers[AUTHORIZATION].to_str().unwrap(), expected);
            // What is signed is believed here, too.
            let signed = Signed { method: "POST", path, query, headers: &headers };
            let claim = Claim::read(signed).unwrap().unwrap();
            claim.check(signed, "lambda", NOW_S + 1).unwrap();
            claim.verify(signed, body, signer.secret, &keys).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_signed_is_said() {
        let request = Outgoing { method: "POST", path: "/", query: "", body: b"" };
        let signer = Signer { key_id: "AK", secret: "s", session_token: None, region: "r", service: "lambda" };
        assert!(!signer.sign(request, &mut HeaderMap::new(), &SigningKeys::default(), NOW_S), "no host");
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("h"));
        let broken = Signer { key_id: "A\nK", ..signer };
        assert!(!broken.sign(request, &mut headers, &SigningKeys::default(), NOW_S), "a key over two lines");
    }
}
