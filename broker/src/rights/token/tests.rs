use std::time::{Duration, SystemTime};

use super::*;

// What the Python package PyJWT makes: keys, and a token of each algorithm that is valid until the year 2100.

const RSA: &str = "MIIBCgKCAQEAwY2Gwj4FNgt9OhM7SnTgHAZ8VI+eWEFiE76Tw+J4j3V+nyDbhj+NTdhHO2p/rK2i7oUrekJCU/urGpMqdJRUU72iSfQaiIXzUnpzVLTtg6WJjwde4DgZbaUoDpX7Kp/K4YZUC0pw+YNrchNZrO2wIxI3OzwzjMjoLa3NA4f6vvW2vobbRBJocPGYJz80oJZJbDU1lEh2bn874lI1uxxla/PaWDh8rfJPqMtsNTg5145NNk31F2ENru8c5i4/UneCDVyqQuQgVCt5pi/CbG22h0FxweuShEr0x0LccpXJMM0GzAFgFdO/sqwA0XignMhy9Rghk+cIk0eHFta6rovrUwIDAQAB";
const P256: &str = "BGw+pBOQDj0McSvUax5bTzVQ1O9M9U2GR+6PNA7HslTovVVXJ26Wsc780e6YPiTWaQp7rwgKXly13o+Er3F8jYE=";
const P384: &str = "BOocWphXozYAopk9LFeq1w3JM+f1Qljr1aNlESttesRepv6ktWLFgCbIXnXq4E1mcZ5zXhM43rObbH+rr0/BvJwmAUd2FiaTw7adZUDmMWzY8vhs763kgEQ0NfdBqCKTwA==";
const ED25519: &str = "u3ityX/LnPLKz1xVxAidloFTXlnqY9SzG0JZWrtkQog=";

const TOKENS: [(&str, &str); 12] = [
    (
        "HS256",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.9kz_7HCi1gC51JG2VWm7x2-M0KfaCp8CDpxADY4ABPE",
    ),
    (
        "HS384",
        "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.XKBJrxevoRqeU3cPPpjwJ4r1CwhE54BcNb6cJy_cwHSWtgI98gkGxxCM2feLn_IM",
    ),
    (
        "HS512",
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.nBWv5cU1UN0j8oUbYM01GcFh9b4w6WTFgk_UZOfblFfNNf8OVNXcb6qW4OwOsI-zJP2ouo8WF3-Cgv4pDCycRQ",
    ),
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.BdG8OVuyPqFEPMSxDaxiFiDCz2YWf5mexPabdmXs8C-KIHWPhUIQtgM7KwXfTvzkqUvHgDV_2xjf6xCpxFqAcGUf7NTsaZ7AoPViezN3LIfIJ5DvSZGztPUSxIBKo3bu9tw7pDS7K_qP_-27WKoEmzyxc6VA4wlwmPvc-SAwgmeCzOunuqWh1iW9DeUDpqzuM8LBasEeBvhWeuGFPw7BdyWxMex1t0dEbz5DLVu4QrgCWr14BqSHSDYyRop-Vjpv3aNvdI81f41CRPVpBMBoAPH4GqEah9hQBcRfmw8UeQHROfc3Fb120qjJXImwgllTqmdvOAUW4qfDr7xSMlNeGw",
    ),
    (
        "RS384",
        "eyJhbGciOiJSUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.BKtNeFWSbclmGnBO7g6U23wgjSlC1fNAZCZ-qFJdUPjz2Hk5GUs6ow4SWldoG-DmCuzYFHHRMHxjPW5jz_znpPHWbRW3kpketwPwdqxEeZqC6R5Xn5t52GvKq8d3UwAF5hyM4JVohG5nrZYbpuri_-wcaAdHrkc45--m0ZMm9NGzFQBp73gWT4-Sv20BvwisKls-9queVCum_9NpU49fXY9MAHEVB-Bc5J0tkMCk82aiCUxJMqSCz5ylPA9ZO-sY1dQ_F6K7G2mvMFQUzFm6IEDPmUe4sRsYmLveaXfHHiATmMaS1hPSc_YJXUXv1EsrTs80ynLl_XOAGKdQL4YB5Q",
    ),
    (
        "RS512",
        "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.IpL-t07I_hYpz8DmrWTo0uhwxMHXaXVZhHw61VFiueF_XlpxwfXyWRpNcosp0kTQuv3bte5IzFQGo7MorhnGx_4cNZDu5GT5yRlUmgt1PFcNOj6kdZlyi6QpwDDluJt7EpHCV0YJpaB377YNGHepYJ-jHT-y_sZtj3_dHsUaeUWkaAe_uMbukhUibUdSAzxrwbQafEm1V9AJlSF3OMxoUKyCReBI2N5LLKiHWCZHMBQwJNA0O4sI1DhNNOhCJG7Fz7lhDWjLVg9IbMRHJTNAjMfKehroGSKw8z-sXbA1j74okNE5VSTLg2jadRqygYAAejWNU3fmkf6cScCv9LxXyw",
    ),
    (
        "PS256",
        "eyJhbGciOiJQUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.vDDrhKyDIsMou4TbxMGYXlNcNMcePjRoOakdL5pSXXKKAxoLUOYJb3iveO2sDt-XSKCy_cu6Undv3ej8v9UsN9KGwLXcWZEC2W72FEs1h6wENdi3ghocsYuVxjXOdfvYn3C1phJ7-RLxmoYAKogYoGQEqyNiES00I67PPf-9cgBPFhLsvKTU0DXZLzeFp1LwPlqPDWGVc9Jyz_7fRYUeYWrWPyywl1GrVq11PnUZClnw--YaB1xj6Aek9rLkRGj7U0vebYRLCbtGOJi6G3jJkubrjrgLwaNFucJ4YXh3uMcVz57KSIt7fnn87xnv0nD8fEttkUhiUIk9W4j9_jsL7A",
    ),
    (
        "PS384",
        "eyJhbGciOiJQUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.oWUhNaIO21sOJHenRB6JdBvE6dPad9bn7xIpo5FAHxG2x5jtOszoH_EN2tlIAUCaZSp_AiOuriyjNgO9TqFOYXh7OJqccCdpNnE-9eKlidylzN9czulP7GW6Av3_zKvxcTYOmeTH3oYT6MNJbFqDWsoZIo0KgzLt1L420OYVHGhkPslmf2N-JrGihGMq_IvKTF1XmJELMwwF1n_JJbbokVvbAWkTbLsZF3M5yUHYI65W3c9hDYhwwvmXQPhriyqYmGwJ3qBAKBj2ZBUNnktmR2c8qPK9jMDFLRVMNZEd0fFTP0n5PirI56ynmPNBizVUfFRh2A7G5TTyrC4fh_mAfA",
    ),
    (
        "PS512",
        "eyJhbGciOiJQUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.JAgYOcprobZI36RwaMXPJmjOudHy09n-DkMhLdM1_eejds7z_0euFiLgloWQlhWIzy3fPoM409Mjd_qV_a8yCTP0YjfBQA7Vyk4Zo6JEm-mhtfOiETBlnXcgHU3gKJPfH1k2KIXj4W2jE_BRRU0CsLlemprYzhZ5jRGjYirx6dH5HhMXYxCYLfP3MFJw5Y2-AhABg07OLKFQgzsBArwsGQnMfiNGSQjStOtSwK9NoGbn64HpjORjfQCqXOC2PjIN7Da3crhPbT8fsVIEWQiFu6mQH2MnRfh9e5X_V3Em6sGbAo_7Jwe0i6ReEhfccuFfYNauVnFpdm9wZbtOGrmwag",
    ),
    (
        "ES256",
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.qW1Mabv6hoTk7okPYYpOcTFF1P5JtGxYFA566eeP6Grf0t1X9XxC8TFu0HDqiJGy2RcXdvQ7KpbQhLEbWgKN0g",
    ),
    (
        "ES384",
        "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.NsEgxIgBKjtw6ZKRMoglPJjrbqkytWc410xh4qKX8e6mPg4FWyBN-mtD0gcgIZG6gYI6JjRYNodektiNm4eeFvtrYO2qn2_6EWCC44kCHT2JNFPWPf8K_zuoFv7a5BwS",
    ),
    (
        "EdDSA",
        "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJhdWQiOiJicm9rZXIifQ.sjxg9FZDGYh9Hqbfz1WMQrIc99DFjTbgGrvTBDFNedW8J7CGTLRVhloVnqG9pyVVETKaqNjJaKa4pcb8vP1ODg",
    ),
];

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_700_000_000_000;
const END_MS: u64 = 4_102_444_800_000;

fn base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn public_keys() -> Vec<TokenKey> {
    let [rsa, p256, p384, ed25519] = [RSA, P256, P384, ED25519].map(base64);
    vec![TokenKey::Rsa(rsa), TokenKey::P256(p256), TokenKey::P384(p384), TokenKey::Ed25519(ed25519)]
}

fn all_algorithms() -> Vec<TokenAlgorithm> {
    NAMES.iter().map(|(_, algorithm)| *algorithm).collect()
}

fn tokens() -> Tokens {
    let mut keys = public_keys();
    keys.push(TokenKey::Secret(SECRET.to_vec()));
    let (issuer, audience) = (Some("https://issuer.example".to_owned()), Some("broker".to_owned()));
    Tokens { keys, algorithms: all_algorithms(), issuer, audience, user_claim: "sub".to_owned() }
}

/// A token with this header and these claims, signed with the secret.
fn token(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// What a token with these claims says to a broker that asks for neither issuer nor audience.
fn said(claims: &str) -> Result<Claimed, TokenError> {
    let tokens = Tokens { issuer: None, audience: None, ..tokens() };
    tokens.check(token(r#"{"alg":"HS256"}"#, claims).as_bytes(), NOW_MS)
}

#[test]
fn tokens_of_every_algorithm_are_believed_where_it_is_allowed_and_its_key_is_there() {
    let claimed = Ok(Claimed { user: "ann".to_owned(), expires_ms: END_MS });
    for (name, token) in TOKENS {
        let algorithm: TokenAlgorithm = name.parse().unwrap();
        assert!(Tokens::look_like(token.as_bytes()));
        assert_eq!(tokens().check(token.as_bytes(), NOW_MS), claimed, "{name}");
        let others = all_algorithms().into_iter().filter(|other| *other != algorithm).collect();
        let not_allowed = Tokens { algorithms: others, ..tokens() };
        assert_eq!(not_allowed.check(token.as_bytes(), NOW_MS), Err(TokenError::Algorithm), "{name}");
        let mut without = tokens();
        without.keys.retain(|key| !key.fits(algorithm));
        assert_eq!(without.check(token.as_bytes(), NOW_MS), Err(TokenError::Signature), "{name}");
        let (message, signed) = token.rsplit_once('.').unwrap();
        let mut wrong = URL_SAFE_NO_PAD.decode(signed).unwrap();
        for broken in [0, wrong.len() / 2, wrong.len() - 1] {
            wrong[broken] ^= 1;
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&wrong));
            assert_eq!(tokens().check(forged.as_bytes(), NOW_MS), Err(TokenError::Signature), "{name}");
        }
        assert_eq!(tokens().check(format!("{message}.").as_bytes(), NOW_MS), Err(TokenError::Signature), "{name}");
    }
}

#[test]
fn a_public_key_is_no_secret_and_no_signature_is_none() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"ann","exp":4102444800}"#);
    for key in public_keys() {
        let bytes = key.bytes().to_vec();
        let tokens = Tokens { keys: vec![key], issuer: None, audience: None, ..tokens() };
        let message = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), message.as_bytes());
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(tokens.check(forged.as_bytes(), NOW_MS), Err(TokenError::Signature));
    }
    for none in ["none", "None", "NONE", "", "hs256", "HS256 "] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{none}"}}"#));
        let forged = format!("{header}.{claims}.");
        assert_eq!(tokens().check(forged.as_bytes(), NOW_MS), Err(TokenError::Algorithm), "{none}");
    }
    assert_eq!(format!("{:?}", TokenKey::Secret(SECRET.to_vec())), "TokenKey(..)");
}

#[test]
fn a_token_says_when_it_ends_as_an_integer_or_a_fraction() {
    let ends = |exp: &str| said(&format!(r#"{{"sub":"ann","exp":{exp}}}"#)).map(|claimed| claimed.expires_ms);
    assert_eq!(ends("4102444800"), Ok(END_MS));
    assert_eq!(ends("4102444800.5"), Ok(END_MS + 500));
    assert_eq!(ends("4.1024448e9"), Ok(END_MS));
    assert_eq!(ends("1700000000.001"), Ok(NOW_MS + 1));
    for past in ["1700000000", "1700000000.0001", "1699999999.9", "0", "1"] {
        assert_eq!(ends(past), Err(TokenError::Expired), "{past}");
    }
    for none in ["\"4102444800\"", "null", "true", "[4102444800]", "-1", "1e300", "99999999999999999999", "-0.5"] {
        assert_eq!(ends(none), Err(TokenError::NoExpiry), "{none}");
    }
    assert_eq!(said(r#"{"sub":"ann"}"#), Err(TokenError::NoExpiry));
}

#[test]
fn other_claims_are_checked_where_they_matter() {
    let check = |claims: &str| {
        let claims = format!(r#"{{"exp":4102444800,{claims}}}"#);
        tokens().check(token(r#"{"alg":"HS256"}"#, &claims).as_bytes(), NOW_MS).map(|claimed| claimed.user)
    };
    let ours = r#""iss":"https://issuer.example","aud":"broker""#;
    assert_eq!(check(&format!(r#"{ours},"sub":"ann""#)).as_deref(), Ok("ann"));
    for user in [r#""sub":"""#, r#""sub":7"#, r#""name":"ann""#] {
        assert_eq!(check(&format!("{ours},{user}")), Err(TokenError::User), "{user}");
    }
    for (claims, wrong) in [
        (r#""sub":"ann","aud":"broker""#, TokenError::Issuer),
        (r#""sub":"ann","aud":"broker","iss":"https://issuer.example.org""#, TokenError::Issuer),
        (r#""sub":"ann","aud":"broker","iss":["https://issuer.example"]"#, TokenError::Issuer),
        (r#""sub":"ann","iss":"https://issuer.example""#, TokenError::Audience),
        (r#""sub":"ann","iss":"https://issuer.example","aud":"brokers""#, TokenError::Audience),
        (r#""sub":"ann","iss":"https://issuer.example","aud":["x",7]"#, TokenError::Audience),
    ] {
        assert_eq!(check(claims), Err(wrong), "{claims}");
    }
    assert!(check(r#""sub":"ann","iss":"https://issuer.example","aud":["x","broker"]"#).is_ok());
    // Not for us, where nobody has said who we are.
    assert_eq!(said(r#"{"sub":"ann","exp":4102444800,"aud":"x"}"#), Err(TokenError::Audience));
    let since = |nbf: &str| said(&format!(r#"{{"sub":"ann","exp":4102444800,"nbf":{nbf}}}"#)).map(|_| ());
    assert_eq!((since("1700000000"), since("1700000059.5")), (Ok(()), Ok(())));
    assert_eq!(since("1700000061"), Err(TokenError::NotYetValid));
    assert_eq!(since("\"1\""), Err(TokenError::Malformed));
    let named = Tokens { user_claim: "name".to_owned(), issuer: None, audience: None, ..tokens() };
    let by_name = token(r#"{"alg":"HS256"}"#, r#"{"sub":"ann","name":"bob","exp":4102444800}"#);
    assert_eq!(named.check(by_name.as_bytes(), NOW_MS).unwrap().user, "bob");
}

#[test]
fn what_is_no_token_is_refused() {
    let claims = r#"{"sub":"ann","exp":4102444800}"#;
    let check = |token: &str| tokens().check(token.as_bytes(), NOW_MS).unwrap_err();
    for header in
        ["", "{}", "[]", r#"{"alg":7}"#, r#"{"alg":"HS256","crit":["b64"]}"#, r#"{"alg":"HS256","alg":"HS256"}"#]
    {
        assert_eq!(check(&token(header, claims)), TokenError::Malformed, "{header}");
    }
    for claims in ["", "[]", "7", "{"] {
        assert_eq!(check(&token(r#"{"alg":"HS256"}"#, claims)), TokenError::Malformed, "{claims}");
    }
    let good = TOKENS[0].1;
    for wrong in
        ["", ".", "..", "a.b.c", &good.replace('.', ""), &format!("{good}."), &format!("{good}="), &good.repeat(100)]
    {
        assert!(matches!(check(wrong), TokenError::Malformed), "{wrong}");
    }
    assert!(!Tokens::look_like(b"a.b.c") && !Tokens::look_like(b"eyJ") && !Tokens::look_like(b""));
}

#[test]
fn the_time_of_the_tests_is_in_the_past() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(now > Duration::from_millis(NOW_MS) && now < Duration::from_millis(END_MS));
}
