//! The identifiers that AWS has names for, as far as they can be told by how they look.
//!
//! AWS asks of some that certain words stand near them. Here only what could be anything needs that; more is found, not less.

use hashbrown::HashMap;
use std::sync::LazyLock;

use super::identifier::{Check, Identifier, is_address, is_iban, is_luhn, is_nhs, is_nif, is_ssn, is_vin};

/// What the ARNs of all of them begin with, behind the partition.
const ARN: &str = ":dataprotection::aws:data-identifier/";

/// Names, patterns, and how data is told from what only looks like it.
const MANAGED: &[(&str, &str, Option<Check>)] = &[
    // Credentials.
    (
        "AwsSecretKey",
        r"(?i:aws_secret_access_key|credentials|secret ?access ?key|secretaccesskey|secret ?key|set-awscredential)(?s:.{0,30}?)\b([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|\z)",
        None,
    ),
    ("OpenSshPrivateKey", r"-----BEGIN OPENSSH PRIVATE KEY-----(?s:.*?)(?:-----END OPENSSH PRIVATE KEY-----|\z)", None),
    ("PgpPrivateKey", r"-----BEGIN PGP PRIVATE KEY BLOCK-----(?s:.*?)(?:-----END PGP PRIVATE KEY BLOCK-----|\z)", None),
    (
        "PkcsPrivateKey",
        r"-----BEGIN (?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY-----(?s:.*?)(?:-----END (?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY-----|\z)",
        None,
    ),
    ("PuttyPrivateKey", r"PuTTY-User-Key-File-\d:(?s:.*?)(?:Private-MAC: ?[0-9a-fA-F]+|\z)", None),
    // Devices.
    (
        "IpAddress",
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:[0-9A-Fa-f]{1,4}:|::)[0-9A-Fa-f:]*(?::|[0-9A-Fa-f])(?:(?:\.\d{1,3}){3})?",
        Some(is_address),
    ),
    // Money.
    ("CreditCardNumber", r"\b(?:\d{13,19}|\d{4}(?:[ -]\d{4}){3}|\d{4}[ -]\d{6}[ -]\d{5})\b", Some(is_luhn)),
    ("BankAccountNumber-DE", r"\bDE\d{2}(?: ?\d){18}\b", Some(is_iban)),
    ("BankAccountNumber-ES", r"\bES\d{2}(?: ?\d){20}\b", Some(is_iban)),
    ("BankAccountNumber-FR", r"\bFR\d{2}(?: ?[0-9A-Z]){23}\b", Some(is_iban)),
    ("BankAccountNumber-GB", r"\bGB\d{2} ?[A-Z]{4}(?: ?\d){14}\b", Some(is_iban)),
    ("BankAccountNumber-IT", r"\bIT\d{2} ?[A-Z](?: ?[0-9A-Z]){22}\b", Some(is_iban)),
    // Health.
    ("NationalInsuranceNumber-GB", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d{2}){3} ?[A-D]\b", None),
    ("NhsNumber-GB", r"\b\d{3}[ -]?\d{3}[ -]?\d{4}\b", Some(is_nhs)),
    // People.
    ("EmailAddress", r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", None),
    ("IndividualTaxIdentificationNumber-US", r"\b9\d{2}[ -][5-9]\d[ -]\d{4}\b", None),
    ("NieNumber-ES", r"\b[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]\b", Some(is_nif)),
    ("NifNumber-ES", r"\b\d{8}[ -]?[A-Za-z]\b", Some(is_nif)),
    ("PhoneNumber-BR", r"\+55[ .-]?(?:\(\d{2}\)|\d{2})[ .-]?9?\d{4}[ .-]?\d{4}\b", None),
    ("PhoneNumber-DE", r"(?:\+49|\b0049)(?:[ ./()-]{0,2}\d){7,12}\b", None),
    ("PhoneNumber-ES", r"(?:\+34|\b0034)(?:[ .-]?\d){9}\b", None),
    ("PhoneNumber-FR", r"(?:\+33[ .-]?|\b0033[ .-]?|\b0)[1-9](?:[ .-]?\d{2}){4}\b", None),
    ("PhoneNumber-GB", r"(?:\+44|\b0044|\b0)(?:[ .()-]{0,2}\d){9,10}\b", None),
    ("PhoneNumber-IT", r"(?:\+39|\b0039)(?:[ .-]?\d){8,11}\b", None),
    ("PhoneNumber-US", r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\b\d{3}[ .-]?)\d{3}[ .-]?\d{4}\b", None),
    ("SocialInsuranceNumber-CA", r"\b\d{3}[ -]\d{3}[ -]\d{3}\b", Some(is_luhn)),
    ("Ssn-US", r"\b\d{3}[ -]\d{2}[ -]\d{4}\b", Some(is_ssn)),
    ("VehicleIdentificationNumber", r"\b[A-HJ-NPR-Z0-9]{17}\b", Some(is_vin)),
];

static KNOWN: LazyLock<HashMap<&'static str, Identifier>> = LazyLock::new(|| {
    let made = MANAGED.iter().filter_map(|(name, pattern, check)| Some((*name, Identifier::managed(pattern, *check)?)));
    made.collect()
});

/// The name in the ARN of one of AWS's identifiers, whether it is known here or not.
pub(super) fn name_of(arn: &str) -> Option<&str> {
    let (partition, name) = arn.strip_prefix("arn:")?.split_once(ARN)?;
    (partition.starts_with("aws") && !name.is_empty()).then_some(name)
}

/// What one of AWS's identifiers looks like.
pub(super) fn find(name: &str) -> Option<Identifier> {
    KNOWN.get(name).cloned()
}

/// Whether a name is one of AWS's.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains_key(name)
}

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MANAGED.iter().map(|(name, ..)| *name)
}
