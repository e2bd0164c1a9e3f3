//! Attributes of messages that are published, checked as AWS checks them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::limits::ATTRIBUTE_NAME_CHARACTERS_MAX;
use super::{fault, faults};
use crate::error::Error;
use crate::message::{AttributeValue, Checked, Owned, is_number, is_text};
use crate::sqs::pairs::Pairs;

fn refused<T>(words: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, Error> {
    Err(Error::new(&faults::INVALID_PARAMETER_VALUE, words))
}

/// Checks the attributes of a message, which is number `position` of a batch where it is part of one.
///
/// # Errors
/// A name, a type or a value is not as it has to be.
pub(crate) fn check<'a>(
    attributes: &'a Pairs<'_, AttributeValue<'_>>,
    position: Option<usize>,
) -> Result<Checked<'a>, Error> {
    let mut checked = Vec::with_capacity(attributes.len());
    for (name, value) in attributes.iter() {
        check_name(name)?;
        checked.push(check_value(name, value, position)?);
    }
    Ok(Checked(checked))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.chars().count() > ATTRIBUTE_NAME_CHARACTERS_MAX {
        return refused("Length of message attribute name must be less than 256 bytes.");
    }
    if name.is_empty() {
        return refused("The request must contain non-empty message attribute names.");
    }
    if name.starts_with('.') {
        return refused("Invalid message attribute name starting with character '.' was found.");
    }
    if name.ends_with('.') {
        return refused("Invalid message attribute name ending with character '.' was found.");
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    if let Some(other) = name.chars().find(|character| !is_plain(*character)) {
        return refused(format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message attribute name. Can only include \
             alphanumeric characters, hyphens, underscores, or dots.",
            u32::from(other)
        ));
    }
    if name.contains("..") {
        return refused("Message attribute name can not have successive '.' character.");
    }
    Ok(())
}

/// `String`, `Number` or `Binary`, where a type is that or begins with it and a point.
fn base_of(data_type: &str) -> Option<&'static str> {
    let (base, suffix) = data_type.split_once('.').unwrap_or((data_type, "-"));
    ["String", "Number", "Binary"].into_iter().find(|known| *known == base && !suffix.is_empty() && is_text(suffix))
}

fn check_value<'a>(
    name: &'a str,
    value: &'a AttributeValue<'_>,
    position: Option<usize>,
) -> Result<(&'a str, &'a str, Owned<'a>), Error> {
    let Some(data_type) = value.data_type.as_deref() else {
        let entry = position.map(|position| format!("publishBatchRequestEntries.{position}.member."));
        let entry = entry.unwrap_or_default();
        return Err(fault::missing(&format!("{entry}messageAttributes.{name}.member.dataType")));
    };
    let Some(base) = base_of(data_type) else {
        return refused(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is \
             Binary, Number, and String."
        ));
    };
    let empty = || {
        refused(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute type \
             '{}'.",
            fault::shown(data_type)
        ))
    };
    let (own, other, field) = match base {
        "Binary" => (&value.binary_value, &value.string_value, "Binary"),
        _ => (&value.string_value, &value.binary_value, "String"),
    };
    let Some(text) = own.as_deref() else {
        if other.is_none() {
            return empty();
        }
        let data_type = fault::shown(data_type);
        return refused(format!("The message attribute '{name}' with type '{data_type}' must use field '{field}'."));
    };
    if text.is_empty() {
        return empty();
    }
    if base == "Binary" {
        return match STANDARD.decode(text) {
            Ok(bytes) if bytes.is_empty() => empty(),
            Ok(bytes) => Ok((name, data_type, Owned::Binary(bytes))),
            Err(_) => refused(format!("The value of message attribute '{name}' is not valid base64.")),
        };
    }
    if base == "Number" && !is_number(text) {
        return refused(format!("Could not cast message attribute '{name}' value to number."));
    }
    if !is_text(text) {
        return refused(format!("Invalid characters were found in the value of message attribute '{name}'."));
    }
    Ok((name, data_type, Owned::Text(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str, position: Option<usize>) -> String {
        let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(json).unwrap();
        let error = check(&pairs, position).unwrap_err();
        let code = error.query_code();
        assert!(code == "ParameterValueInvalid" || (code == "ValidationError" && json.contains("{}")), "{code}");
        error.message.into_owned()
    }

    #[test]
    fn what_aws_refuses_is_refused_in_its_words() {
        let named = |name: &str| format!(r#"{{"{name}":{{"DataType":"String","StringValue":"x"}}}}"#);
        let long = "a".repeat(257);
        let of_type = |rest: &str| format!(r#"{{"attr1":{{"DataType":{rest}}}}}"#);
        let empty = |data_type: &str| {
            format!(
                "The message attribute 'attr1' must contain non-empty message attribute value for message attribute type \
                 '{data_type}'."
            )
        };
        let wrong_type = "The message attribute 'attr1' has an invalid message attribute type, the set of supported type \
                          prefixes is Binary, Number, and String.";
        let wrong_field = |data_type: &str, field: &str| {
            format!("The message attribute 'attr1' with type '{data_type}' must use field '{field}'.")
        };
        for (json, expected) in [
            (named(&long), "Length of message attribute name must be less than 256 bytes.".to_owned()),
            (named(".a"), "Invalid message attribute name starting with character '.' was found.".to_owned()),
            (named("a."), "Invalid message attribute name ending with character '.' was found.".to_owned()),
            (named("a..b"), "Message attribute name can not have successive '.' character.".to_owned()),
            (
                named("a^*?"),
                "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. Can only include \
                 alphanumeric characters, hyphens, underscores, or dots."
                    .to_owned(),
            ),
            (of_type(r#""String","StringValue":"""#), empty("String")),
            (of_type(r#""String""#), empty("String")),
            (of_type(r#""Binary","BinaryValue":"""#), empty("Binary")),
            (of_type(r#""String","BinaryValue":"AA==""#), wrong_field("String", "String")),
            (of_type(r#""Number","BinaryValue":"AA==""#), wrong_field("Number", "String")),
            (of_type(r#""Binary","StringValue":"x""#), wrong_field("Binary", "Binary")),
            (of_type(r#""InvalidType","StringValue":"x""#), wrong_type.to_owned()),
            (of_type(r#""String.","StringValue":"x""#), wrong_type.to_owned()),
            (of_type(r#""Stringprefixed","StringValue":"x""#), wrong_type.to_owned()),
            (
                of_type(r#""Number","StringValue":"five""#),
                "Could not cast message attribute 'attr1' value to number.".to_owned(),
            ),
        ] {
            assert_eq!(words(&json, None), expected, "{json}");
        }
        let missing = "1 validation error detected: Value null at";
        let constraint = "failed to satisfy constraint: Member must not be null";
        assert_eq!(words(r#"{"a":{}}"#, None), format!("{missing} 'messageAttributes.a.member.dataType' {constraint}"));
        assert_eq!(
            words(r#"{"a":{}}"#, Some(2)),
            format!("{missing} 'publishBatchRequestEntries.2.member.messageAttributes.a.member.dataType' {constraint}")
        );
    }

    #[test]
    fn lists_own_types_and_mobile_attributes_are_taken() {
        let json = r#"{"a":{"DataType":"String.Array","StringValue":"[\"x\",1]"},"b":{"DataType":"Number.int","StringValue":"5"},
            "AWS.SNS.MOBILE.APNS.TTL":{"DataType":"Binary.png","BinaryValue":"AAEC"}}"#;
        let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(json).unwrap();
        let checked = check(&pairs, None).unwrap();
        let types: Vec<_> = checked.iter().map(|attribute| attribute.data_type).collect();
        assert_eq!(types, ["String.Array", "Number.int", "Binary.png"]);
    }
}
