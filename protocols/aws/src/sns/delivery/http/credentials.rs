//! A user and a password in the URL of a webhook, told by Basic or Digest (RFC 7617, RFC 7616) to who asks for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use md5::Md5;
use sha2::Sha256;

/// Most bytes of a challenge that is looked at.
const CHALLENGE_BYTES_MAX: usize = 4 * 1024;

/// Who a webhook is told this is.
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
    /// The path and the query.
    target: String,
}

/// A scheme and what it asks for.
struct Challenge<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

impl Credentials {
    /// Those of a URL; none where there are none.
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let (user, _) = uri.authority()?.as_str().rsplit_once('@')?;
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let target = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Some(Self { user: decoded(user), password: decoded(password), target })
    }

    /// The answer to what was asked for; none where nothing was that is known here. The stronger one is taken.
    pub(super) fn answer(&self, challenges: &[&HeaderValue]) -> Option<HeaderValue> {
        let texts: Vec<&str> = challenges.iter().filter_map(|value| value.to_str().ok()).collect();
        let read: Vec<Challenge<'_>> = texts.into_iter().flat_map(parse).collect();
        let digests = read.iter().filter(|challenge| challenge.scheme.eq_ignore_ascii_case("digest"));
        let mut answers: Vec<(bool, String)> = digests.filter_map(|challenge| self.digest(challenge)).collect();
        answers.sort_by_key(|(is_strong, _)| !is_strong);
        let basic = || read.iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"));
        let text = match answers.into_iter().next() {
            Some((_, text)) => text,
            None if basic() => self.basic(),
            None => return None,
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn basic(&self) -> String {
        let mut plain = self.user.clone();
        plain.push(b':');
        plain.extend_from_slice(&self.password);
        format!("Basic {}", STANDARD.encode(plain))
    }

    /// The answer, and whether its sum is SHA-256.
    fn digest(&self, challenge: &Challenge<'_>) -> Option<(bool, String)> {
        let nonce = challenge.get("nonce")?;
        let realm = challenge.get("realm").unwrap_or_default();
        let algorithm = challenge.get("algorithm").unwrap_or("MD5");
        let sum: fn(&[&[u8]]) -> String = match algorithm.to_ascii_lowercase().as_str() {
            "md5" => sum_of::<Md5>,
            "sha-256" => sum_of::<Sha256>,
            _ => return None,
        };
        let asked = challenge.get("qop").map(|qop| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
        let secret = sum(&[&self.user, b":", realm.as_bytes(), b":", &self.password]);
        let what = sum(&[b"POST:", self.target.as_bytes()]);
        let mut said = match asked {
            Some(false) => return None,
            Some(true) => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).ok()?;
                let client: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                let response = sum(&[
                    secret.as_bytes(),
                    b":",
                    nonce.as_bytes(),
                    b":00000001:",
                    client.as_bytes(),
                    b":auth:",
                    what.as_bytes(),
                ]);
                format!("response=\"{response}\", qop=auth, nc=00000001, cnonce=\"{client}\"")
            }
            None => {
                let response = sum(&[secret.as_bytes(), b":", nonce.as_bytes(), b":", what.as_bytes()]);
                format!("response=\"{response}\"")
            }
        };
        if let Some(opaque) = challenge.get("opaque") {
            said = format!("{said}, opaque=\"{}\"", quoted(opaque));
        }
        let user = String::from_utf8_lossy(&self.user);
        let (user, realm, nonce, target) = (quoted(&user), quoted(realm), quoted(nonce), quoted(&self.target));
        let text = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", algorithm={algorithm}, {said}"
        );
        Some((algorithm.eq_ignore_ascii_case("sha-256"), text))
    }
}

impl Challenge<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

fn sum_of<D: md5::Digest>(parts: &[&[u8]]) -> String {
    let mut sum = D::new();
    for part in parts {
        sum.update(part);
    }
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The text of a part of a URL.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// Reads a header `www-authenticate`: schemes with parameters, all with commas between.
fn parse(text: &str) -> Vec<Challenge<'_>> {
    let mut challenges: Vec<Challenge<'_>> = Vec::new();
    let mut rest = if text.len() > CHALLENGE_BYTES_MAX { "" } else { text.trim_start() };
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',', '\t']).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        let more = more.trim_start();
        match more.strip_prefix('=') {
            Some(value) => {
                let (value, more) = value_of(value.trim_start());
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((word, value));
                }
                rest = more;
            }
            None if word.is_empty() => rest = more.strip_prefix(',').unwrap_or_default().trim_start(),
            None => {
                challenges.push(Challenge { scheme: word, parameters: Vec::new() });
                rest = more;
            }
        }
    }
    challenges
}

/// A value, without its quotes, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), text[end..].trim_start());
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if is_escaped => {
                value.push(character);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, quoted[at + 1..].trim_start()),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(url: &str, challenges: &[&str]) -> Option<String> {
        let values: Vec<HeaderValue> = challenges.iter().map(|text| HeaderValue::from_str(text).unwrap()).collect();
        let said = Credentials::of(url)?.answer(&values.iter().collect::<Vec<_>>())?;
        assert!(said.is_sensitive());
        Some(said.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_a_url_with_a_user_has_credentials() {
        assert!(Credentials::of("https://example.org/@x").is_none());
        assert_eq!(answer("https://ann:p%40ss@example.org/", &["Basic realm=\"x\""]).unwrap(), "Basic YW5uOnBAc3M=");
        assert_eq!(answer("https://ann@example.org/", &["basic"]).unwrap(), "Basic YW5uOg==");
        assert_eq!(answer("https://ann@example.org/", &["Bearer", "Negotiate abc=="]), None);
        assert_eq!(answer("https://ann@example.org/", &[]), None);
    }

    #[test]
    fn digest_is_answered_as_the_rfc_does() {
        // RFC 2069's kind, without qop, has no part of the client's own: it can be compared.
        let said = answer(
            "https://Mufasa:CircleOfLife@www.nowhere.org/dir/index.html",
            &[
                "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            ],
        );
        let said = said.unwrap();
        let secret = sum_of::<Md5>(&[b"Mufasa:testrealm@host.com:CircleOfLife"]);
        let what = sum_of::<Md5>(&[b"POST:/dir/index.html"]);
        let response = sum_of::<Md5>(&[format!("{secret}:dcd98b7102dd2f0e8b11d0f600bfb0c093:{what}").as_bytes()]);
        assert!(said.contains(&format!("response=\"{response}\"")), "{said}");
        assert!(said.starts_with("Digest username=\"Mufasa\", realm=\"testrealm@host.com\""), "{said}");
        assert!(said.ends_with("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""), "{said}");
    }

    #[test]
    fn the_strongest_of_what_is_asked_for_is_answered() {
        let both = [
            "Basic realm=\"a, b\", Digest realm=r, nonce=n, qop=\"auth,auth-int\", algorithm=MD5, Digest realm=r, nonce=n, qop=auth, algorithm=SHA-256",
        ];
        let said = answer("https://a:b@example.org/x?y", &both).unwrap();
        assert!(
            said.contains("algorithm=SHA-256") && said.contains("uri=\"/x?y\"") && said.contains("nc=00000001"),
            "{said}"
        );
        assert!(answer("https://a:b@example.org/", &["Digest realm=r, nonce=n, qop=auth-int"]).is_none());
        assert!(answer("https://a:b@example.org/", &["Digest realm=r, nonce=n, algorithm=X"]).is_none());
        for text in ["Digest realm=\"unended", "=", ",,,", "Digest =x", "Digest nonce", "a b c=\"\\"] {
            answer("https://a:b@example.org/", &[text]);
        }
    }
}
