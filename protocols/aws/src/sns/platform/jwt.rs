//! Tokens that say who sends: JSON Web Tokens with ES256 for Apple, with RS256 for Google (RFC 7515, RFC 7518).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;

/// A private key.
pub(crate) enum Key {
    /// Of the curve P-256.
    Elliptic(EcdsaKeyPair),
    /// RSA.
    Rsa(RsaKeyPair),
}

/// It is no private key of the kind that is needed, or it cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used")]
pub(crate) struct Unusable;

impl Key {
    /// Reads a key of the curve P-256, in PKCS #8.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn elliptic(pem: &str) -> Result<Self, Unusable> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(pem)?, &SystemRandom::new());
        pair.map(Self::Elliptic).map_err(|_| Unusable)
    }

    /// Reads a key of RSA, in PKCS #8.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn rsa(pem: &str) -> Result<Self, Unusable> {
        RsaKeyPair::from_pkcs8(&der(pem)?).map(Self::Rsa).map_err(|_| Unusable)
    }

    /// A token with these claims. `id` is how who reads it knows the key. With RSA it takes a millisecond or two.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub(crate) fn token(&self, id: Option<&str>, claims: &impl Serialize) -> Result<String, Unusable> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
            typ: &'static str,
        }
        let alg = match self {
            Self::Elliptic(_) => "ES256",
            Self::Rsa(_) => "RS256",
        };
        let header = serde_json::to_vec(&Header { alg, kid: id, typ: "JWT" }).map_err(|_| Unusable)?;
        let claims = serde_json::to_vec(claims).map_err(|_| Unusable)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let random = SystemRandom::new();
        let signature = match self {
            Self::Elliptic(pair) => pair.sign(&random, token.as_bytes()).map_err(|_| Unusable)?.as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature).map_err(|_| Unusable)?;
                signature
            }
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

/// The bytes of a key between `-----BEGIN PRIVATE KEY-----` and its end; who leaves these lines away is understood, too.
fn der(pem: &str) -> Result<Vec<u8>, Unusable> {
    let lines = pem.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----"));
    let text: String = lines.collect();
    STANDARD.decode(text.replace("\\n", "")).map_err(|_| Unusable)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::super::testing::{APPLE_KEY, GOOGLE_KEY};
    use super::*;

    fn parts(token: &str) -> (Value, Value, &str, Vec<u8>) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        (read(header), read(claims), signed, URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    #[test]
    fn tokens_are_signed_as_their_header_says() {
        let key = Key::elliptic(APPLE_KEY).unwrap();
        let token = key.token(Some("ABC1234DEF"), &json!({ "iss": "TEAM123456", "iat": 5 })).unwrap();
        let (header, claims, signed, signature) = parts(&token);
        assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("ABC1234DEF")));
        assert_eq!(claims, json!({ "iss": "TEAM123456", "iat": 5 }));
        let Key::Elliptic(pair) = &key else { panic!("it is elliptic") };
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();

        let key = Key::rsa(GOOGLE_KEY).unwrap();
        let token = key.token(None, &json!({ "iss": "me" })).unwrap();
        let (header, _, signed, signature) = parts(&token);
        assert_eq!((&header["alg"], header.get("kid")), (&json!("RS256"), None));
        let Key::Rsa(pair) = &key else { panic!("it is RSA") };
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn keys_may_lack_their_first_and_last_line() {
        let bare: String = APPLE_KEY.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(Key::elliptic(&bare).is_ok());
        for bad in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", GOOGLE_KEY] {
            assert!(Key::elliptic(bad).is_err(), "{bad}");
        }
        assert!(Key::rsa(APPLE_KEY).is_err());
    }
}
