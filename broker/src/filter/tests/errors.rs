//! What is refused, and in which words. Those with a column were seen of AWS.

use super::*;
use crate::filter::{FilterError, POLICY_BYTES_MAX};

fn error(policy: &str, scope: Scope) -> String {
    match Filter::parse(policy, scope) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{policy} is a policy"),
    }
}

#[test]
fn the_texts_are_those_of_aws() {
    let cases: &[(&str, &str, usize)] = &[
        (r#"{"key":[["value"]]}"#, "Match value must be String, number, true, false, or null", 10),
        (r#"{"key":[{"wrong-operator":true}]}"#, "Unrecognized match type wrong-operator", 31),
        (r#"{"key":[{"suffix":"value","prefix":"value2"}]}"#, "Only one key allowed in match expression", 37),
        (r#"{"key":[{"suffix":100}]}"#, "suffix match pattern must be a string", 22),
        (r#"{"key":[{"suffix":null}]}"#, "suffix match pattern must be a string", 23),
        (r#"{"key":{"suffix":"value"}}"#, r#""suffix" must be an object or an array"#, 19),
        (r#"{"key":[{"suffix":[]}]}"#, "suffix match pattern must be a string", 20),
        (r#"{"key":{"suffix":"value","prefix":"value"}}"#, r#""suffix" must be an object or an array"#, 19),
        (r#"{"key":{"not-an-operator":"value"}}"#, r#""not-an-operator" must be an object or an array"#, 28),
        (r#"{"key_a":"value_one"}"#, r#""key_a" must be an object or an array"#, 11),
        (r#"{"key":[{"numeric":[]}]}"#, "Invalid member in numeric match: ]", 22),
        (r#"{"key":[{"numeric":["operator"]}]}"#, "Unrecognized numeric range operator: operator", 32),
        (r#"{"key":[{"numeric":[1,"<="]}]}"#, "Invalid member in numeric match: 1", 22),
        (r#"{"key":[{"numeric":["=","000"]}]}"#, "Value of equals must be numeric", 26),
        (r#"{"key":[{"numeric":[">="]}]}"#, "Value of >= must be numeric", 26),
        (r#"{"key":[{"numeric":["<",100,">",10]}]}"#, "Too many elements in numeric expression", 30),
        (r#"{"key":[{"numeric":[">=",1,">",2]}]}"#, "Bad numeric range operator: >", 31),
        (r#"{"key":[{"numeric":[">",3,"<",1]}]}"#, "Bottom must be less than top", 33),
        (r#"{"key":[{"numeric":[">",20,"<="]}]}"#, "Value of <= must be numeric", 33),
        (r#"{"key":[{"numeric":[">",20,30]}]}"#, "Bad value in numeric range: 30", 30),
        (r#"{"key":[{"numeric":[">",20,"test"]}]}"#, "Bad numeric range operator: test", 34),
        (r#"{"key":[{"numeric":[">","20","<","30"]}]}"#, "Value of > must be numeric", 26),
        (r#"{"key":[{"numeric":[">",20,"<","30"]}]}"#, "Value of < must be numeric", 33),
        (r#"{"key":[{"numeric":[">",20,"<",30,"<",50]}]}"#, "Too many terms in numeric range expression", 36),
        (r#"{"key":[{"exists":null}]}"#, "exists match pattern must be either true or false.", 23),
        (r#"{"key":[{"exists":"no"}]}"#, "exists match pattern must be either true or false.", 20),
        (
            r#"{"key":[{"anything-but":{"wrong-operator":null}}]}"#,
            "Unsupported anything-but pattern: wrong-operator",
            47,
        ),
        (r#"{"key":[{"anything-but":{"exists":false}}]}"#, "Unsupported anything-but pattern: exists", 40),
        (r#"{"key":[{"anything-but":{"prefix":false}}]}"#, "prefix match pattern must be a string", 40),
    ];
    for (policy, what, column) in cases {
        let expected = format!("FilterPolicy: {what}\n at [Source: (String)\"{policy}\"; line: 1, column: {column}]");
        assert_eq!(error(policy, Scope::MessageAttributes), expected);
        assert_eq!(error(policy, Scope::MessageBody), expected);
    }
}

#[test]
fn other_mistakes_are_told_too() {
    let cases: &[(&str, &str)] = &[
        ("[]", "Filter is not an object"),
        (r#"{"a":{}}"#, "Empty objects are not allowed"),
        (r#"{"a":[]}"#, "Empty arrays are not allowed"),
        (r#"{"a":[{}]}"#, "Match expression name not found"),
        (r#"{"a":[{"cidr":5}]}"#, "prefix match pattern must be a string"),
        (r#"{"a":[{"cidr":"10.0.0.0"}]}"#, "Malformed CIDR, one '/' required"),
        (r#"{"a":[{"cidr":"10.0.0.0/8/8"}]}"#, "Malformed CIDR, one '/' required"),
        (r#"{"a":[{"cidr":"10.0.0.0/x"}]}"#, "Malformed CIDR, mask bits must be an integer"),
        (r#"{"a":[{"cidr":"10.0.0.0/-1"}]}"#, "Malformed CIDR, mask bits must not be negative"),
        (r#"{"a":[{"cidr":"10.0.0.256/8"}]}"#, "Nonstandard IP address: 10.0.0.256"),
        (r#"{"a":[{"cidr":"10.0.0.0/33"}]}"#, "IPv4 mask bits must be < 33"),
        (r#"{"a":[{"cidr":"::/129"}]}"#, "IPv6 mask bits must be < 129"),
        (r#"{"a":[{"wildcard":"a**b"}]}"#, "Consecutive wildcard characters at pos 2"),
        (r#"{"a":[{"wildcard":"a\\b"}]}"#, "Invalid escape character at pos 2"),
        (r#"{"a":[{"wildcard":1}]}"#, "wildcard match pattern must be a string"),
        (r#"{"a":[{"numeric":5}]}"#, "Value of numeric must be an array."),
        (r#"{"a":[{"numeric":["<",1e10]}]}"#, "Value must be between -1.0E9 and 1.0E9, inclusive"),
        (r#"{"a":[{"anything-but":null}]}"#, "Value of anything-but must be an array or single string/number value."),
        (
            r#"{"a":[{"anything-but":[1,"a"]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        (
            r#"{"a":[{"anything-but":[]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
        (r#"{"a":[{"anything-but":[null]}]}"#, "Inside anything but list, start|null|boolean is not supported."),
        (r#"{"a":[{"anything-but":{}}]}"#, "Anything-But expression name not found"),
        (r#"{"a":[{"anything-but":{"prefix":""}}]}"#, "Null prefix/suffix not allowed"),
        ("", "failed to parse JSON. No content to map due to end-of-input"),
        ("{", "failed to parse JSON. Unexpected end-of-input"),
        (
            r#"{"a":["b"}"#,
            "failed to parse JSON. Unexpected character ('}' (code 125)): was expecting comma to separate Array entries",
        ),
        (
            r#"{'a': 1}"#,
            "failed to parse JSON. Unexpected character (''' (code 39)): was expecting double-quote to start field name",
        ),
        (
            r#"{"a" 1}"#,
            "failed to parse JSON. Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value",
        ),
        (r#"{"a":[1,]}"#, "failed to parse JSON. Unexpected character (']' (code 93)): expected a valid value"),
        (r#"{"a":[yes]}"#, "failed to parse JSON. Unrecognized token 'yes': was expecting ('true', 'false' or 'null')"),
        (r#"{"a":[01]}"#, "failed to parse JSON. Invalid numeric value: Leading zeroes not allowed"),
        (
            r#"{"a":[1.]}"#,
            "failed to parse JSON. Unexpected character (']' (code 93)): in numeric value: expected a digit",
        ),
        (
            r#"{"a":["\x"]}"#,
            "failed to parse JSON. Unexpected character ('x' (code 120)): unrecognized character escape",
        ),
        (
            "{\"a\":[\"\n\"]}",
            "failed to parse JSON. Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value",
        ),
        (
            r#"{"a":["b"]} {"#,
            "failed to parse JSON. Unexpected character ('{' (code 123)): was expecting the end of the document",
        ),
    ];
    for (policy, what) in cases {
        let text = error(policy, Scope::MessageBody);
        assert_eq!(text.lines().next(), Some(&*format!("FilterPolicy: {what}")), "{policy}");
        assert!(text.contains("\n at [Source: (String)\""), "{text}");
    }
}

#[test]
fn limits_are_those_of_aws() {
    let too_complex = "FilterPolicy: Filter policy is too complex";
    let values = |count: usize| format!("[{}]", vec!["\"v\""; count].join(","));
    let of_body =
        |policy: &str| Filter::parse(policy, Scope::MessageBody).map(|_| ()).map_err(|error| error.to_string());
    let refused = Err(too_complex.to_owned());

    assert_eq!(of_body(&format!(r#"{{"a":{}}}"#, values(150))), Ok(()));
    assert_eq!(of_body(&format!(r#"{{"a":{}}}"#, values(151))), refused);
    assert_eq!(of_body(&format!(r#"{{"a":{},"b":{}}}"#, values(15), values(10))), Ok(()));
    assert_eq!(of_body(&format!(r#"{{"a":{},"b":{}}}"#, values(14), values(11))), refused);
    // Each level counts: 4 values on level 3 times 3 on level 2 are 72.
    let nested = |a: usize, b: usize| format!(r#"{{"a":{{"b":{{"c":{}}}}},"d":{{"e":{}}}}}"#, values(a), values(b));
    assert_eq!(of_body(&nested(4, 3)), Ok(()));
    assert_eq!(of_body(&nested(5, 5)), Ok(()));
    assert_eq!(of_body(&nested(6, 5)), refused);
    // The ways of $or are added.
    let or =
        |a: usize, b: usize| format!(r#"{{"x":{},"$or":[{{"a":{}}},{{"b":{}}}]}}"#, values(2), values(a), values(b));
    assert_eq!(of_body(&or(40, 35)), Ok(()));
    assert_eq!(of_body(&or(40, 36)), refused);

    let five = r#"{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":{"f":["1"],"g":["1"]}}"#;
    assert_eq!(of_body(five), Ok(()));
    let six = r#"{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}"#;
    assert_eq!(of_body(six), Err("FilterPolicy: Filter policy can not have more than 5 keys".to_owned()));
    assert_eq!(
        error(five, Scope::MessageAttributes),
        "Filter policy scope MessageAttributes does not support nested filter policy"
    );

    assert_eq!(of_body(r#"{"a":[{"wildcard":"*a*b*"}]}"#), Ok(()));
    assert_eq!(of_body(r#"{"a":[{"wildcard":"*a*b*c*"}]}"#), refused);
    let wildcards = |count: usize| format!(r#"{{"a":[{}]}}"#, vec![r#"{"wildcard":"*a"}"#; count].join(","));
    assert_eq!(of_body(&wildcards(10)), Ok(()));
    assert_eq!(of_body(&wildcards(11)), refused);

    let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(POLICY_BYTES_MAX));
    assert_eq!(of_body(&long), refused);
    let deep = |depth: usize| format!("{}[1]{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(of_body(&deep(150)), Ok(()));
    assert_eq!(of_body(&deep(151)), refused);
    assert!(of_body(&deep(20_000)).unwrap_err().contains("nesting depth"));
    // Many ways, and ways in ways.
    let one = r#"{"a":["1"],"b":["2"]}"#;
    let ways = |count: usize| format!(r#"{{"$or":[{}]}}"#, vec![one; count].join(","));
    assert_eq!(of_body(&ways(150)), Ok(()));
    assert_eq!(of_body(&ways(151)), refused);
    let twice = r#"{"$or":[{"a":["1"]},{"b":["1"]}],"c":{"$or":[{"a":["1"]},{"b":["1"]}]}}"#;
    let exponential = format!(r#"{{"a":{{{}}}}}"#, vec![&twice[1..twice.len() - 1]; 40].join(","));
    assert_eq!(of_body(&exponential), refused);
    let fields: Vec<String> = (0..65).map(|field| format!(r#""f{field}":["1"]"#)).collect();
    assert_eq!(of_body(&format!(r#"{{"$or":[{{{}}},{{"x":["1"]}}]}}"#, fields.join(","))), refused);
}

#[test]
fn an_error_repeats_no_more_than_the_beginning_of_the_document() {
    let policy = format!(r#"{{"a":["{}"],"b":1}}"#, "ä".repeat(1000));
    let text = error(&policy, Scope::MessageBody);
    assert!(text.contains("[truncated 516 chars]; line: 1, column: 1016]"), "{text}");
    let lines = error("{\n \"ä\": 1\n}", Scope::MessageBody);
    assert!(lines.ends_with("line: 2, column: 8]"), "{lines}");
}

#[test]
fn a_scope_has_one_of_two_names() {
    assert_eq!("MessageBody".parse(), Ok(Scope::MessageBody));
    assert_eq!("MessageAttributes".parse(), Ok(Scope::MessageAttributes));
    let error: FilterError = "RandomValue".parse::<Scope>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "FilterPolicyScope: Invalid value [RandomValue]. Please use either MessageBody or MessageAttributes"
    );
}
