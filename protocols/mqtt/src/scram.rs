//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: two messages in, two messages out, no
//! stream and no clock.
//!
//! A user who does not exist is asked for a proof like any other: the verifier that the broker has for the name decides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_broker::rights::ScramVerifier;

/// The name of the mechanism (`Authentication Method` of MQTT 5.0).
pub(crate) const METHOD: &str = "SCRAM-SHA-256";

/// Longest message of a client, in bytes. Names and nonces are much shorter.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Random bytes in the broker's part of the nonce.
const NONCE_BYTES: usize = 18;

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramError {
    /// The message is none of the mechanism, or not one that fits here.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The client insists on binding to the channel.
    #[error("channel binding is not supported")]
    ChannelBinding,
    /// The client wants to act for another user.
    #[error("acting for another user is not supported")]
    OtherIdentity,
    /// The proof is wrong, or there is no such user.
    #[error("invalid proof")]
    Proof,
    /// The system has no random numbers to give.
    #[error("no random numbers")]
    Random,
}

/// A conversation of which the first half is over: the client has been asked for its proof.
#[derive(Debug)]
pub(crate) struct Scram {
    user: String,
    verifier: ScramVerifier,
    nonce: String,
    /// What the client has to repeat in its second message, `c=`.
    gs2_header: Vec<u8>,
    /// `client-first-message-bare` and `server-first-message`, as they go into the proof.
    messages: String,
}

impl Scram {
    /// Takes the client's first message; the answer to it is the other value. `verifier` is asked for the user's.
    ///
    /// # Errors
    /// What is wrong with the message.
    pub(crate) fn start(
        client_first: &[u8],
        verifier: impl FnOnce(&str) -> ScramVerifier,
    ) -> Result<(Self, Vec<u8>), ScramError> {
        let mut random = [0; NONCE_BYTES];
        getrandom::fill(&mut random).map_err(|_| ScramError::Random)?;
        Self::start_with(client_first, &STANDARD.encode(random), verifier)
    }

    fn start_with(
        client_first: &[u8],
        server_nonce: &str,
        verifier: impl FnOnce(&str) -> ScramVerifier,
    ) -> Result<(Self, Vec<u8>), ScramError> {
        let message = text(client_first)?;
        let (gs2_header, bare) = split_gs2(message)?;
        let mut attributes = bare.split(',');
        let user = match attributes.next().and_then(attribute) {
            Some(('n', name)) => unescaped(name)?,
            // Extensions that the server must understand.
            Some(('m', _)) => return Err(ScramError::Malformed("extensions are not supported")),
            _ => return Err(ScramError::Malformed("the user name is missing")),
        };
        let Some(('r', client_nonce)) = attributes.next().and_then(attribute) else {
            return Err(ScramError::Malformed("the nonce is missing"));
        };
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed("the nonce is not printable"));
        }
        if !attributes.all(|extension| attribute(extension).is_some()) {
            return Err(ScramError::Malformed("an extension is no attribute"));
        }
        if let Some(identity) = gs2_header.identity
            && unescaped(identity)? != user
        {
            return Err(ScramError::OtherIdentity);
        }
        let verifier = verifier(&user);
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt()), verifier.iterations());
        let messages = format!("{bare},{server_first}");
        let gs2_header = gs2_header.whole.as_bytes().to_vec();
        Ok((Self { user, verifier, nonce, gs2_header, messages }, server_first.into_bytes()))
    }

    /// Takes the client's second message: who it is, and the answer by which it knows the broker. Whether the user may come
    /// in is asked of the broker next.
    ///
    /// # Errors
    /// What is wrong with the message, or the proof is.
    pub(crate) fn finish(mut self, client_final: &[u8]) -> Result<(String, Vec<u8>), ScramError> {
        let message = text(client_final)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed("the proof is missing"))?;
        let mut attributes = without_proof.split(',');
        let Some(('c', binding)) = attributes.next().and_then(attribute) else {
            return Err(ScramError::Malformed("the channel binding is missing"));
        };
        if STANDARD.decode(binding).ok().as_ref() != Some(&self.gs2_header) {
            return Err(ScramError::Malformed("the channel binding is another one than at first"));
        }
        if attributes.next().and_then(attribute) != Some(('r', &self.nonce)) {
            return Err(ScramError::Malformed("the nonce is another one"));
        }
        if !attributes.all(|extension| attribute(extension).is_some()) {
            return Err(ScramError::Malformed("an extension is no attribute"));
        }
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed("the proof is not base64"))?;
        self.messages.push(',');
        self.messages.push_str(without_proof);
        let signature = self.verifier.check(self.messages.as_bytes(), &proof).ok_or(ScramError::Proof)?;
        Ok((self.user, format!("v={}", STANDARD.encode(signature)).into_bytes()))
    }

    #[cfg(test)]
    /// Whom the client says it is; not proven yet.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

/// The part of the first message that says how it is meant.
struct Gs2Header<'a> {
    whole: &'a str,
    /// Whom the client wants to act for.
    identity: Option<&'a str>,
}

/// Cuts the header off the client's first message.
fn split_gs2(message: &str) -> Result<(Gs2Header<'_>, &str), ScramError> {
    let malformed = ScramError::Malformed("the message does not begin with a GS2 header");
    let (flag, rest) = message.split_once(',').ok_or(malformed)?;
    match flag {
        // It can bind, and was told that this server cannot.
        "n" | "y" => {}
        _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
        _ => return Err(malformed),
    }
    let (identity, bare) = rest.split_once(',').ok_or(malformed)?;
    let identity = match identity {
        "" => None,
        _ => Some(identity.strip_prefix("a=").ok_or(malformed)?),
    };
    let whole = &message[..message.len() - bare.len()];
    Ok((Gs2Header { whole, identity }, bare))
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::Malformed("the message is too long"));
    }
    std::str::from_utf8(message)
        .ok()
        .filter(|message| !message.contains('\0'))
        .ok_or(ScramError::Malformed("the message is not text"))
}

/// A letter, `=`, and a value that is not empty.
fn attribute(part: &str) -> Option<(char, &str)> {
    let (name, value) = part.split_once('=')?;
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() && !value.is_empty() => Some((letter, value)),
        _ => None,
    }
}

/// A name as it was before commas and equals signs in it were written as `=2C` and `=3D`.
fn unescaped(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed("the user name is not escaped")),
        };
        plain.push(character);
        plain.push_str(rest);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
