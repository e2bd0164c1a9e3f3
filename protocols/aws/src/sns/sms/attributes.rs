//! What an account has set for its short messages.

use std::collections::BTreeMap;

use crate::arn::Arn;
use crate::error::Error;
use crate::sns::fault;

/// What may be spent in a month where nothing is set, in US dollars. Kept and told; what a message costs only the gateway knows.
const SPEND_LIMIT: &str = "1";
const MONTHLY_SPEND_LIMIT: &str = "MonthlySpendLimit";
/// Longest value, in bytes.
const VALUE_BYTES_MAX: usize = 2_048;

/// Checks what somebody wants to set.
pub(crate) fn check(given: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in given {
        let is_good = match name.as_str() {
            MONTHLY_SPEND_LIMIT => {
                !value.is_empty() && value.len() <= 9 && value.bytes().all(|byte| byte.is_ascii_digit())
            }
            "DeliveryStatusIAMRole" => value.is_empty() || Arn::parse(value).is_some(),
            "DeliveryStatusSuccessSamplingRate" => {
                value.is_empty() || value.parse::<u8>().is_ok_and(|percent| percent <= 100)
            }
            "DefaultSenderID" => value.is_empty() || is_sender(value),
            "DefaultSMSType" => value.is_empty() || is_type(value),
            "UsageReportS3Bucket" => true,
            _ => return Err(fault::invalid(format!("{} is not a valid attribute", fault::shown(name)))),
        };
        if !is_good || value.len() > VALUE_BYTES_MAX {
            return Err(fault::invalid(format!("{name} is invalid")));
        }
    }
    Ok(())
}

/// Whether it is what a message says of who sent it: letters and digits, at most eleven, and a letter among them.
pub(crate) fn is_sender(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether it is how urgent a message is.
pub(crate) fn is_type(text: &str) -> bool {
    matches!(text, "Promotional" | "Transactional")
}

/// What is told of those that are set: all of them, or those with these names.
pub(crate) fn told(set: &BTreeMap<String, String>, names: &[&str]) -> BTreeMap<String, String> {
    let mut all = set.clone();
    all.entry(MONTHLY_SPEND_LIMIT.to_owned()).or_insert_with(|| SPEND_LIMIT.to_owned());
    all.retain(|name, _| names.is_empty() || names.contains(&name.as_str()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attributes_are_checked() {
        let all = [
            ("MonthlySpendLimit", "10"),
            ("DeliveryStatusIAMRole", "arn:aws:iam::000000000000:role/x"),
            ("DeliveryStatusSuccessSamplingRate", "100"),
            ("DefaultSenderID", "Shop1"),
            ("DefaultSMSType", "Transactional"),
            ("UsageReportS3Bucket", "bucket"),
        ];
        assert!(check(&given(&all)).is_ok());
        for (name, value, said) in [
            ("Colour", "red", "Colour is not a valid attribute"),
            ("DefaultSMSType", "Urgent", "DefaultSMSType is invalid"),
            ("DefaultSenderID", "123", "DefaultSenderID is invalid"),
            ("DefaultSenderID", "much too long", "DefaultSenderID is invalid"),
            ("DeliveryStatusSuccessSamplingRate", "101", "DeliveryStatusSuccessSamplingRate is invalid"),
            ("MonthlySpendLimit", "-1", "MonthlySpendLimit is invalid"),
            ("DeliveryStatusIAMRole", "role", "DeliveryStatusIAMRole is invalid"),
        ] {
            assert_eq!(check(&given(&[(name, value)])).unwrap_err().message, said);
        }
    }

    #[test]
    fn those_that_are_asked_for_are_told() {
        let set = given(&[("DefaultSMSType", "Promotional")]);
        assert_eq!(told(&set, &[]), given(&[("DefaultSMSType", "Promotional"), ("MonthlySpendLimit", "1")]));
        assert_eq!(told(&set, &["DefaultSMSType", "x"]), set);
    }
}
