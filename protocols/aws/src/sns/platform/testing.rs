//! What tests of several files need: keys that nobody uses, and credentials with them.

/// A key of the curve P-256.
pub(crate) const APPLE_KEY: &str = include_str!("testdata/apple.pem");
/// A key of RSA with 2048 bits.
pub(crate) const GOOGLE_KEY: &str = include_str!("testdata/google.pem");

/// The file that Google gives to who may send.
pub(crate) fn service_account() -> String {
    serde_json::json!({
        "type": "service_account",
        "project_id": "shop-12345",
        "private_key_id": "1f2e",
        "private_key": GOOGLE_KEY,
        "client_email": "push@shop-12345.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}
