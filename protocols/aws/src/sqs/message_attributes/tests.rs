use super::*;
use crate::message::is_wanted;

fn checked(json: &str) -> Result<Vec<(String, String, Vec<u8>)>, String> {
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(json).unwrap();
    let checked = check(&pairs).map_err(|error| error.message)?;
    Ok(checked
        .iter()
        .map(|attribute| {
            let value = match attribute.value {
                Value::Text(text) => text.as_bytes(),
                Value::Binary(bytes) => bytes,
            };
            (attribute.name.to_owned(), attribute.data_type.to_owned(), value.to_vec())
        })
        .collect())
}

#[test]
fn types_and_their_suffixes_are_kept() {
    let json = r#"{"b":{"DataType":"Binary.png","BinaryValue":"AAEC"},"a":{"DataType":"Number.int","StringValue":"5"},
        "c-_.9":{"DataType":"String","StringValue":"x","StringListValues":[],"BinaryListValues":null}}"#;
    let entry = |name: &str, data_type: &str, value: &[u8]| (name.to_owned(), data_type.to_owned(), value.to_vec());
    let expected =
        [entry("b", "Binary.png", &[0, 1, 2]), entry("a", "Number.int", b"5"), entry("c-_.9", "String", b"x")];
    assert_eq!(checked(json).unwrap(), expected);
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(json).unwrap();
    assert_eq!(check(&pairs).unwrap().bytes(), 1 + 10 + 3 + 1 + 10 + 1 + 5 + 6 + 1);
}

#[test]
fn what_aws_refuses_is_refused_in_its_words() {
    let long = "a".repeat(257);
    let long_name = format!(r#"{{"{long}":{{"DataType":"String","StringValue":"x"}}}}"#);
    let long_type = format!(r#"{{"a":{{"DataType":"String.{long}","StringValue":"x"}}}}"#);
    let eleven: Vec<_> = (0..11).map(|n| format!(r#""a{n}":{{"DataType":"String","StringValue":"x"}}"#)).collect();
    let eleven = format!("{{{}}}", eleven.join(","));
    let named = |name: &str| format!(r#"{{"{name}":{{"DataType":"String","StringValue":"x"}}}}"#);
    let reserved = "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved \
                    for internal use.";
    for (json, words) in [
        (&*named(""), "The request must contain non-empty message (user) attribute names."),
        (&*named("AWS.x"), reserved),
        (&*named("amazon.x"), reserved),
        (&*named(".x"), "Message (user) attribute name must not begin with character '.'."),
        (&*named("x."), "Message (user) attribute name must not end with character '.'."),
        (&*named("a..b"), "Message (user) attribute name must not have successive '.' characters."),
        (&*long_name, "Message (user) attribute name must be shorter than 256 bytes."),
        (&*long_type, "Message (user) attribute type must be shorter than 256 bytes."),
        (&*eleven, "Number of message attributes [11] exceeds the allowed maximum [10]."),
        (r#"{"a":{}}"#, "The message (user) attribute 'a' must contain a non-empty message attribute value."),
        (
            r#"{"a":{"StringValue":"x"}}"#,
            "The message (user) attribute 'a' must contain a non-empty message attribute type.",
        ),
        (
            r#"{"a":{"DataType":"Strings","StringValue":"x"}}"#,
            "The type of message (user) attribute 'a' is invalid. You must use only the following supported type \
             prefixes: Binary, Number, String.",
        ),
        (
            r#"{"a":{"DataType":"String","StringValue":""}}"#,
            "Message (user) attribute 'a' must contain a non-empty value of type 'String'.",
        ),
        (
            r#"{"a":{"DataType":"Binary.x","BinaryValue":""}}"#,
            "Message (user) attribute 'a' must contain a non-empty value of type 'Binary.x'.",
        ),
        (
            r#"{"a":{"DataType":"String","BinaryValue":"AAEC"}}"#,
            "Message (user) attribute 'a' with type 'String' must use field 'String'.",
        ),
        (
            r#"{"a":{"DataType":"Binary","StringValue":"x"}}"#,
            "Message (user) attribute 'a' with type 'Binary' must use field 'Binary'.",
        ),
        (
            r#"{"a":{"DataType":"String","StringValue":"x","BinaryValue":"AAEC"}}"#,
            "Message (user) attribute 'a' must have a single value.",
        ),
        (
            r#"{"a":{"DataType":"Number","StringValue":"five"}}"#,
            "Can't cast the value of message (user) attribute 'a' to a number.",
        ),
        (
            r#"{"a":{"DataType":"StringList","StringListValues":["x"]}}"#,
            "Message attribute list values in SendMessage operation are not supported.",
        ),
        (r#"{"a":{"DataType":"String","StringValue":"\u0001"}}"#, fault::INVALID_CHARACTERS),
        (
            r#"{"a":{"DataType":"Binary","BinaryValue":"A"}}"#,
            "The value of message (user) attribute 'a' is not valid base64.",
        ),
    ] {
        assert_eq!(checked(json).unwrap_err(), words, "{json}");
    }
    assert!(checked(&named("a b")).unwrap_err().starts_with("The message (user) attribute name 'a b' is invalid."));
}

#[test]
fn numbers_are_decimal() {
    for text in [
        "0",
        "-1",
        "+1.5",
        ".5",
        "5.",
        "1e10",
        "1E-5",
        " 7 ",
        "12345678901234567890123456789012345678",
        "1e126",
        "1e-128",
        "0e999",
        "0.00",
        "1000000000000000000000000000000000000000",
    ] {
        assert!(is_number(text), "{text}");
    }
    for text in [
        "",
        " ",
        "-",
        ".",
        "1e",
        "0x10",
        "NaN",
        "inf",
        "1,5",
        "1 2",
        "e5",
        "1e99999",
        "--1",
        "1e127",
        "1e-129",
        "123456789012345678901234567890123456789",
        "1e99999999999999999999",
    ] {
        assert!(!is_number(text), "{text}");
    }
}

#[test]
fn the_system_has_one_attribute() {
    let system = |json: &str| {
        let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(json).unwrap();
        check_system(&pairs).map(|checked| checked.iter().count()).map_err(|error| error.message)
    };
    assert_eq!(system(r#"{"AWSTraceHeader":{"DataType":"String","StringValue":"Root=1"}}"#), Ok(1));
    assert_eq!(
        system(r#"{"Hello":{"DataType":"String","StringValue":"x"}}"#).unwrap_err(),
        "Message system attribute name 'Hello' is invalid."
    );
    assert!(system(r#"{"AWSTraceHeader":{"DataType":"Number","StringValue":"1"}}"#).is_err());
}

#[test]
fn receivers_name_what_they_want() {
    let wanted = |wanted: &[&'static str], name: &str| is_wanted(wanted.iter().copied(), name);
    for all in ["All", ".*", "*"] {
        assert!(wanted(&["x", all], "Hello"));
    }
    assert!(wanted(&["Hel.*"], "Hello") && wanted(&["Hel.*"], "Help.Me") && !wanted(&["Hel.*"], "General"));
    assert!(wanted(&["Foo", "Hello"], "Hello") && !wanted(&["Hello"], "hello") && !wanted(&[], "Hello"));
}
