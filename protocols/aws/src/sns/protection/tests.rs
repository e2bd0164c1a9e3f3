use super::*;

fn policy(direction: &str, identifiers: &str, operation: &str) -> String {
    format!(
        r##"{{"Name":"p","Version":"2021-06-01","Configuration":{{"CustomDataIdentifier":[{{"Name":"EmployeeId","Regex":"EID-\\d{{9}}-US"}}]}},
        "Statement":[{{"Sid":"s","DataDirection":"{direction}","Principal":["*"],"DataIdentifier":[{identifiers}],
        "Operation":{operation}}}]}}"##
    )
}

fn managed_arn(name: &str) -> String {
    format!(r#""arn:aws:dataprotection::aws:data-identifier/{name}""#)
}

fn masked(name: &str, text: &str) -> String {
    let operation = r##"{"Deidentify":{"MaskConfig":{"MaskWithCharacter":"#"}}}"##;
    let protection = Protection::parse(&policy("Inbound", &managed_arn(name), operation)).unwrap();
    let left = protection.apply(Direction::Inbound, "", text).unwrap();
    left.unwrap_or_else(|| text.to_owned())
}

#[test]
fn each_identifier_finds_its_data_and_not_what_only_looks_like_it() {
    let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let of_key = format!("aws_secret_access_key = <{key}>");
    for (name, text) in [
        ("EmailAddress", "to <jane.doe+x@mail.example.com>, now"),
        ("EmailAddress", "a @ b, me@host"),
        ("CreditCardNumber", "card <4111 1111 1111 1111>."),
        ("CreditCardNumber", "card 4111111111111112, 0000000000000000"),
        ("CreditCardNumber", "pay <4111111111111111> 10 EUR, 12 <4111111111111111>, <4111111111111111>-12"),
        ("CreditCardNumber", "exp 12/27 <4111111111111111> 10.1.2.3, <4111 1111 1111 1111> 123"),
        ("CreditCardNumber", "<3782 822463 10005>"),
        ("IpAddress", "from <10.0.0.255> to <2001:db8::1>!"),
        ("IpAddress", "v1.2.3 999.1.1.1 12:30:45 a::b::c :: x"),
        ("Ssn-US", "ssn <078-05-1120>"),
        ("Ssn-US", "000-12-3456 666-12-3456 900-12-3456 123-00-4567"),
        ("PhoneNumber-US", "call <(425) 555-0100> or <+1 425 555 0101>"),
        ("PhoneNumber-DE", "<+49 30 901820>"),
        ("BankAccountNumber-DE", "<DE89 3704 0044 0532 0130 00>"),
        ("BankAccountNumber-DE", "DE88 3704 0044 0532 0130 00"),
        ("AwsSecretKey", &of_key),
        ("AwsSecretKey", key),
        ("VehicleIdentificationNumber", "<1M8GDM9AXKP042788>"),
        ("VehicleIdentificationNumber", "1M8GDM9AXKP042789"),
        ("NhsNumber-GB", "<943 476 5919> 943 476 5918"),
        ("NifNumber-ES", "<12345678Z> 12345678A"),
        ("NieNumber-ES", "<X1234567L>"),
        ("SocialInsuranceNumber-CA", "<046-454-286>"),
        ("NationalInsuranceNumber-GB", "<AB 12 34 56 C>"),
    ] {
        // What is between < and > is the data.
        let (mut plain, mut expected, mut is_data) = (String::new(), String::new(), false);
        for character in text.chars() {
            match character {
                '<' | '>' => is_data = character == '<',
                other => {
                    plain.push(other);
                    expected.push(if is_data { '#' } else { other });
                }
            }
        }
        assert_eq!(masked(name, &plain), expected, "{name}");
    }
    let pem = "x -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- y";
    assert!(masked("PkcsPrivateKey", pem).starts_with("x ####") && masked("PkcsPrivateKey", pem).ends_with("# y"));
}

#[test]
fn all_identifiers_are_there() {
    for name in managed::names() {
        assert!(managed::is_known(name), "{name}");
    }
}

#[test]
fn a_statement_denies_masks_or_takes_out() {
    let both = format!(r#"{},"EmployeeId""#, managed_arn("EmailAddress"));
    let text = "EID-123456789-US wrote ä a@b.example";
    let apply = |direction, operation: &str| {
        let protection = Protection::parse(&policy("Outbound", &both, operation)).unwrap();
        protection.apply(direction, "arn:aws:iam::000000000000:user/ann", text)
    };
    assert_eq!(apply(Direction::Outbound, r#"{"Deny":{}}"#), Err(Denied));
    assert_eq!(apply(Direction::Inbound, r#"{"Deny":{}}"#), Ok(None));
    let redacted = apply(Direction::Outbound, r#"{"Deidentify":{"RedactConfig":{}}}"#).unwrap();
    assert_eq!(redacted.as_deref(), Some(" wrote ä "));
    let masked = apply(Direction::Outbound, r#"{"Deidentify":{"MaskConfig":{"MaskWithCharacter":"*"}}}"#).unwrap();
    assert_eq!(masked.as_deref(), Some("**************** wrote ä ***********"));
}

#[test]
fn a_statement_is_for_the_principals_that_it_names() {
    let text = policy("Inbound", &managed_arn("EmailAddress"), r#"{"Deny":{}}"#);
    let one = text.replace(r#"["*"]"#, r#""arn:aws:iam::000000000000:user/ann""#);
    let account = text.replace(r#"["*"]"#, r#"["arn:aws:iam::000000000000:root"]"#);
    let apply = |policy: &str, principal: &str| {
        Protection::parse(policy).unwrap().apply(Direction::Inbound, principal, "a@b.example").is_err()
    };
    let (ann, bob) = ("arn:aws:iam::000000000000:user/ann", "arn:aws:iam::000000000000:user/bob");
    let other = "arn:aws:iam::111122223333:user/ann";
    assert_eq!([apply(&one, ann), apply(&one, bob), apply(&one, other), apply(&one, "")], [true, false, false, false]);
    assert_eq!([apply(&account, bob), apply(&account, other), apply(&account, "")], [true, false, false]);
}

#[test]
fn what_is_no_policy_is_refused() {
    let good = policy("Inbound", &managed_arn("EmailAddress"), r#"{"Deny":{}}"#);
    assert_eq!(check(&good), Ok(()));
    let audit =
        r#"{"Audit":{"SampleRate":"99","FindingsDestination":{"CloudWatchLogs":{"LogGroup":"/aws/vendedlogs/x"}}}}"#;
    assert_eq!(check(&policy("Inbound", &managed_arn("Name"), audit)), Ok(()));
    let long = " ".repeat(POLICY_BYTES_MAX);
    let many = vec![managed_arn("EmailAddress"); 65].join(",");
    for (bad, part) in [
        (String::new(), "cannot be read"),
        (format!("{good}{long}"), "longer"),
        (good.replace("2021-06-01", "2012-10-17"), "Version"),
        (good.replace(r#""Name":"p","#, ""), "Name"),
        (good.replace(r#""Inbound""#, r#""Sideways""#), "DataDirection"),
        (good.replace(r#"["*"]"#, "[]"), "Principal"),
        (policy("Inbound", "", r#"{"Deny":{}}"#), "DataIdentifier"),
        (policy("Inbound", &many, r#"{"Deny":{}}"#), "more than 64"),
        (policy("Inbound", &managed_arn("Name"), r#"{"Deny":{}}"#), "data-identifier/Name is not known here"),
        (policy("Inbound", "\"Other\"", r#"{"Deny":{}}"#), "Other is not known here"),
        (policy("Inbound", &managed_arn("EmailAddress"), "{}"), "Operation"),
        (policy("Inbound", &managed_arn("EmailAddress"), r#"{"Deidentify":{}}"#), "MaskConfig"),
        (
            policy(
                "Inbound",
                &managed_arn("EmailAddress"),
                r#"{"Deidentify":{"MaskConfig":{"MaskWithCharacter":"ab"}}}"#,
            ),
            "MaskWithCharacter",
        ),
        (policy("Outbound", &managed_arn("EmailAddress"), audit), "Inbound"),
        (policy("Inbound", &managed_arn("EmailAddress"), &audit.replace("99", "100")), "SampleRate"),
        (good.replace("EID-", "(EID-"), "Regex of EmployeeId"),
        (good.replace("EID-", &"x".repeat(200)), "Regex of EmployeeId"),
        (good.replace("EID-", "\\\\w{1000}{1000}"), "Regex of EmployeeId"),
        (good.replace("EmployeeId", "Ssn-US"), "managed"),
        (good.replace("EmployeeId", "a b"), "CustomDataIdentifier"),
        (good.replace(r#""Sid""#, r#""Resource""#), "cannot be read"),
    ] {
        let error = check(&bad).unwrap_err();
        assert_eq!(error.query_code(), "InvalidParameter");
        assert!(error.message.starts_with("Invalid parameter: DataProtectionPolicy Reason: "), "{error}");
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

fn good_custom(pattern: &str) -> Protection {
    let redact = policy("Inbound", "\"EmployeeId\"", r#"{"Deidentify":{"RedactConfig":{}}}"#);
    let (old, new) = (r"EID-\\d{9}-US", pattern.replace('\\', r"\\"));
    assert!(redact.contains(old));
    Protection::parse(&redact.replace(old, &new)).unwrap()
}

#[test]
fn texts_that_keep_patterns_hoping_are_left_as_they_are() {
    for part in ["a@", "a.", "1 ", "a:", "secret key ", "+1 ", "DE89"] {
        let text = part.repeat(64);
        for name in managed::names() {
            assert_eq!(masked(name, &text), text, "{name}");
        }
    }
    let custom = good_custom("[A-Z]{0,200}[^A-Z]|[A-Z]");
    assert_eq!(custom.apply(Direction::Inbound, "", &"A".repeat(1_000)), Ok(Some(String::new())));
}

#[test]
fn a_pattern_of_somebody_has_a_longest_text() {
    for (pattern, is_good) in [
        (r"[A-Za-z0-9_]{1,64}@shop", true),
        (r"(?:a|b{2,5}){0,9}", true),
        (r"\w+", false),
        (r".*[^A-Z]|[A-Z]", false),
        (r"x{2,}", false),
        (r"(?:[0-9]{40}){30}", false),
    ] {
        let made = identifier::Identifier::custom("x", pattern);
        assert_eq!(made.is_ok(), is_good, "{pattern}");
        assert!(is_good || made.unwrap_err().contains("upper bound"), "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_are_looked_at_beside_other_tasks() {
    let text = format!("{}a@b.example", " ".repeat(LONG_BYTES));
    let protection = Protection::parse(&policy("Inbound", &managed_arn("EmailAddress"), r#"{"Deny":{}}"#)).unwrap();
    let looked = tokio::spawn(async move { protection.apply(Direction::Inbound, "", &text) });
    assert_eq!(looked.await.unwrap(), Err(Denied));
}
