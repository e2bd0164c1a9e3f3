use gantry_broker::{BrokerOptions, Found};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use ring::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::pem::parse_x509_pem;

use super::*;

fn broker() -> Arc<Broker> {
    let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
    Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap()
}

fn decoded(signature: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(signature).unwrap()
}

#[tokio::test]
async fn what_is_signed_can_be_checked_with_the_certificate_and_so_after_a_restart() {
    let broker = broker();
    let signing = Signing::open(&broker).unwrap();
    assert_eq!(signing.certificate_at("/SimpleNotificationService-0.pem"), None, "there is none yet");
    let (one, two) = tokio::join!(signing.signature(1, "Hello".into()), signing.signature(2, "Hello".into()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(signing.cache.len(), 2);
    assert_eq!(signing.signature(1, "Hello".into()).await.unwrap(), one);
    assert_ne!(signing.signature(1, "hello".into()).await.unwrap(), one);
    assert_eq!(signing.signature(3, "Hello".into()).await, Err(Unsigned::Version(3)));

    let again = Signing::open(&broker).unwrap();
    let path = again.cert_path().await.unwrap();
    assert!(Signing::is_path(&path) && path.len() == "/SimpleNotificationService-.pem".len() + 32, "{path}");
    assert_eq!(path, signing.cert_path().await.unwrap());
    let pem = again.certificate_at(&path).unwrap();
    assert_eq!(again.certificate_at("/SimpleNotificationService-0.pem"), None);
    let (_, pem) = parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    assert!(certificate.validity().is_valid());
    assert_eq!(certificate.subject().iter_common_name().next().unwrap().as_str(), Ok("sns.amazonaws.com"));
    let key = &certificate.public_key().subject_public_key.data;
    let version_1 = UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, key);
    let version_2 = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    version_1.verify(b"Hello", &decoded(&one)).unwrap();
    version_2.verify(b"Hello", &decoded(&two)).unwrap();
    assert!(version_1.verify(b"Hullo", &decoded(&one)).is_err());
    let after = again.signature(2, "after".into()).await.unwrap();
    version_2.verify(b"after", &decoded(&after)).unwrap();
}

#[tokio::test]
async fn a_damaged_key_is_not_replaced() {
    let broker = broker();
    broker.keep_row(SPACE, KEY.to_vec(), Some(b"{}".to_vec())).wait().await.unwrap();
    let error = Signing::open(&broker).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn signatures_that_nobody_asks_for_any_more_are_forgotten() {
    let cache = Cache::default();
    let first = cache.place(1, b"first");
    for n in 0..20_000_u32 {
        cache.place(2, &n.to_be_bytes());
        // Asked for again and again, it stays.
        assert!(Arc::ptr_eq(&cache.place(1, b"first"), &first));
    }
    assert!(cache.len() <= 8192, "{}", cache.len());
}
