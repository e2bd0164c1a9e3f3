use gantry_broker::rights::TokenAlgorithm;

use super::*;

fn config(key_file: Option<&str>, secret_file: Option<&Path>, algorithms: &[TokenAlgorithm]) -> JwtConfig {
    JwtConfig {
        key_file: key_file.map(Into::into),
        secret_file: secret_file.map(Into::into),
        algorithms: algorithms.to_vec(),
        user_claim: "sub".to_owned(),
        ..JwtConfig::default()
    }
}

const PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tokens/testdata/public.pem");

#[test]
fn keys_of_every_kind_are_read_from_one_file() {
    use TokenAlgorithm::{EdDsa, Es256, Es384, Ps512, Rs256};
    let algorithms = [Rs256, Ps512, Es256, Es384, EdDsa];
    let tokens = load(&config(Some(PUBLIC), None, &algorithms)).unwrap().unwrap();
    let [rsa, p256, p384, ed25519] = &tokens.keys[..] else { panic!("{}", tokens.keys.len()) };
    assert!(rsa.fits(Rs256) && rsa.fits(Ps512) && p256.fits(Es256) && p384.fits(Es384) && ed25519.fits(EdDsa));
    assert_eq!((tokens.issuer, tokens.audience, tokens.algorithms), (None, None, algorithms.to_vec()));
}

#[test]
fn files_that_hold_no_key_and_algorithms_without_one_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let by_secret = || load(&config(None, Some(&file), &[TokenAlgorithm::Hs256]));
    assert!(by_secret().unwrap_err().contains("secret: "));
    std::fs::write(&file, "short\n").unwrap();
    assert!(by_secret().unwrap_err().ends_with("a secret for tokens has at least 32 bytes"));
    std::fs::write(&file, format!("{}\r\n", "x".repeat(32))).unwrap();
    assert_eq!(by_secret().unwrap().unwrap().keys, [TokenKey::Secret(vec![b'x'; 32])]);
    let as_key = load(&config(file.to_str(), None, &[TokenAlgorithm::Rs256])).unwrap_err();
    assert!(as_key.ends_with("holds no public key in PEM form"), "{as_key}");
    let no_secret = load(&config(Some(PUBLIC), None, &[TokenAlgorithm::Hs256])).unwrap_err();
    assert_eq!(no_secret, "jwt.algorithms: no key is one for Hs256");
    assert_eq!(load(&config(None, None, &[])), Ok(None));
}
