//! What the services on the other side get, from a publish on, and what follows from what they say.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Version;
use serde_json::{Value, json};

use super::fake::{Asked, Fake, Post};
use super::{asked, refusal, text, texts};
use crate::Settings;
use crate::sigv4::{Claim, Signed, SigningKeys};
use crate::sns::{Gateway, Mail, Push, Services};
use crate::tests::client::{Client, Server};

/// A key of the curve P-256 that nobody uses.
const APPLE_KEY: &str = include_str!("../../sns/platform/testdata/apple.pem");

fn pushing(push: Push) -> Settings {
    let mut settings = Settings::default();
    settings.sns.push = push;
    settings
}

async fn an_application(client: &mut Client, platform: &str, attributes: &[(&str, &str)]) -> String {
    let names: Vec<(String, String)> = (1..=attributes.len())
        .map(|at| (format!("Attributes.entry.{at}.key"), format!("Attributes.entry.{at}.value")))
        .collect();
    let mut members = vec![("Name", "shop"), ("Platform", platform)];
    for ((name, value), (key_name, value_name)) in attributes.iter().zip(&names) {
        members.extend([(key_name.as_str(), *name), (value_name.as_str(), *value)]);
    }
    let created = asked(client, "CreatePlatformApplication", &members).await;
    text(&created, "PlatformApplicationArn").to_owned()
}

async fn an_endpoint(client: &mut Client, application: &str, token: &str) -> String {
    let members = [("PlatformApplicationArn", application), ("Token", token)];
    text(&asked(client, "CreatePlatformEndpoint", &members).await, "EndpointArn").to_owned()
}

async fn is_enabled(client: &mut Client, action: &str, member: &str, arn: &str) -> bool {
    let told = asked(client, action, &[(member, arn)]).await;
    let at = texts(&told, "key").iter().position(|key| *key == "Enabled").expect("it is said");
    texts(&told, "value")[at] == "true"
}

/// Waits until something is disabled.
async fn until_disabled(client: &mut Client, action: &str, member: &str, arn: &str) {
    while is_enabled(client, action, member, arn).await {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

async fn a_topic_with(client: &mut Client, protocol: &str, endpoint: &str) -> (String, String) {
    let topic = asked(client, "CreateTopic", &[("Name", "orders")]).await;
    let topic = text(&topic, "TopicArn").to_owned();
    let members = [
        ("TopicArn", &*topic),
        ("Protocol", protocol),
        ("Endpoint", endpoint),
        ("ReturnSubscriptionArn", "true"),
        ("Attributes.entry.1.key", "SubscriptionRoleArn"),
        ("Attributes.entry.1.value", "arn:aws:iam::000000000000:role/x"),
    ];
    let members = if protocol == "firehose" { &members[..] } else { &members[..4] };
    let subscribed = asked(client, "Subscribe", members).await;
    let subscription = text(&subscribed, "SubscriptionArn").to_owned();
    (topic, subscription)
}

const APPLE: [(&str, &str); 4] = [
    ("PlatformPrincipal", "ABC1234DEF"),
    ("PlatformCredential", APPLE_KEY),
    ("ApplePlatformTeamID", "TEAM123456"),
    ("ApplePlatformBundleID", "com.example.shop"),
];

#[tokio::test]
async fn apples_service_gets_messages_by_http_2_and_says_which_devices_are_gone() {
    let fake = Fake::start(true, |asked: &Asked| match asked.path.as_str() {
        "/3/device/dead" => (410, r#"{"reason":"Unregistered","timestamp":1}"#.to_owned()),
        _ => (200, String::new()),
    })
    .await;
    let server = Server::with(pushing(Push { apple_url: fake.url(), ..Push::default() }));
    let mut client = server.client();
    let application = an_application(&mut client, "APNS", &APPLE).await;
    let endpoint = an_endpoint(&mut client, &application, "00FF").await;
    let message = r#"{"APNS":"{\"aps\":{\"content-available\":1}}","default":"hello"}"#;
    let members = [
        ("TargetArn", &*endpoint),
        ("Message", message),
        ("MessageStructure", "json"),
        ("MessageAttributes.entry.1.Name", "AWS.SNS.MOBILE.APNS.COLLAPSE_ID"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        ("MessageAttributes.entry.1.Value.StringValue", "basket"),
        ("MessageAttributes.entry.2.Name", "AWS.SNS.MOBILE.APNS.TTL"),
        ("MessageAttributes.entry.2.Value.DataType", "String"),
        ("MessageAttributes.entry.2.Value.StringValue", "0"),
    ];
    let published = asked(&mut client, "Publish", &members).await;
    let got = fake.next().await;
    assert_eq!((got.version, got.path.as_str()), (Version::HTTP_2, "/3/device/00ff"));
    assert_eq!(got.body, r#"{"aps":{"content-available":1}}"#);
    for (name, value) in [
        ("apns-topic", "com.example.shop"),
        ("apns-push-type", "background"),
        ("apns-priority", "5"),
        ("apns-expiration", "0"),
        ("apns-collapse-id", "basket"),
        ("apns-id", text(&published, "MessageId")),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    let token = got.header("authorization").strip_prefix("Bearer ").expect("a token").to_owned();
    let part = |at: usize| -> Value {
        let part = token.split('.').nth(at).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
    };
    assert_eq!((&part(0)["kid"], &part(1)["iss"]), (&json!("ABC1234DEF"), &json!("TEAM123456")));

    let dead = an_endpoint(&mut client, &application, "dead").await;
    let members = [("TargetArn", &*dead), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let got = fake.next().await;
    assert_eq!(got.body, r#"{"aps":{"alert":"hello"}}"#);
    assert_eq!(got.header("authorization"), format!("Bearer {token}"), "a token is used again");
    until_disabled(&mut client, "GetEndpointAttributes", "EndpointArn", &dead).await;
    let refused = asked(&mut client, "Publish", &members).await;
    assert_eq!(refusal(&refused), (400, "EndpointDisabled", "Endpoint is disabled"));
    assert!(is_enabled(&mut client, "GetEndpointAttributes", "EndpointArn", &endpoint).await);
    let members = [("TargetArn", "arn:aws:sns:us-east-1:000000000000:endpoint/APNS/shop/none"), ("Message", "hello")];
    let refused = asked(&mut client, "Publish", &members).await;
    let words = "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified";
    assert_eq!(refusal(&refused), (400, "InvalidParameter", words));
}

#[tokio::test]
async fn an_application_whose_credentials_are_refused_is_disabled() {
    let fake = Fake::start(true, |_: &Asked| (403, r#"{"reason":"InvalidProviderToken"}"#.to_owned())).await;
    let server = Server::with(pushing(Push { apple_sandbox_url: fake.url(), ..Push::default() }));
    let mut client = server.client();
    let application = an_application(&mut client, "APNS_SANDBOX", &APPLE).await;
    let endpoint = an_endpoint(&mut client, &application, "00ff").await;
    let members = [("TargetArn", &*endpoint), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    fake.next().await;
    until_disabled(&mut client, "GetPlatformApplicationAttributes", "PlatformApplicationArn", &application).await;
    let refused = asked(&mut client, "Publish", &members).await;
    assert_eq!(refusal(&refused), (400, "PlatformApplicationDisabled", "Platform application is disabled"));
}

#[tokio::test]
async fn googles_service_gives_a_token_once_and_gets_messages_of_v1() {
    let fake = Fake::start(false, |asked: &Asked| {
        if asked.path == "/token" {
            return (200, r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#.to_owned());
        }
        if asked.json()["message"]["token"] == "gone" {
            let details = json!([{ "errorCode": "UNREGISTERED" }]);
            return (404, json!({ "error": { "status": "NOT_FOUND", "details": details } }).to_string());
        }
        (200, r#"{"name":"projects/shop-12345/messages/1"}"#.to_owned())
    })
    .await;
    let google_token_url = format!("{}/token", fake.url()).into();
    let server = Server::with(pushing(Push { google_url: fake.url(), google_token_url, ..Push::default() }));
    let mut client = server.client();
    let account = crate::sns::platform_testing::service_account();
    let application = an_application(&mut client, "GCM", &[("PlatformCredential", &account)]).await;
    let endpoint = an_endpoint(&mut client, &application, "device").await;
    // By a topic, as most do it.
    let (topic, _) = a_topic_with(&mut client, "application", &endpoint).await;
    let members = [("TopicArn", &*topic), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let token = fake.next().await;
    assert_eq!(token.path, "/token");
    assert!(token.body.starts_with(b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="));
    let got = fake.next().await;
    assert_eq!(got.path, "/v1/projects/shop-12345/messages:send");
    assert_eq!(got.header("authorization"), "Bearer ya29.x");
    assert_eq!(got.json(), json!({ "message": { "token": "device", "data": { "default": "hello" } } }));
    let gone = an_endpoint(&mut client, &application, "gone").await;
    let message = r#"{"GCM":"{\"notification\":{\"title\":\"t\"},\"time_to_live\":60}"}"#;
    let members = [("TargetArn", &*gone), ("Message", message), ("MessageStructure", "json")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let expected =
        json!({ "message": { "token": "gone", "notification": { "title": "t" }, "android": { "ttl": "60s" } } });
    assert_eq!(fake.next().await.json(), expected, "and no token is asked for");
    until_disabled(&mut client, "GetEndpointAttributes", "EndpointArn", &gone).await;
}

#[tokio::test]
async fn a_gateway_gets_short_messages_and_says_who_wants_none() {
    let fake =
        Fake::start(
            false,
            |asked: &Asked| {
                if asked.json()["to"] == "+15550109" { (410, String::new()) } else { (202, String::new()) }
            },
        )
        .await;
    let mut settings = Settings::default();
    let gateway = Gateway { url: fake.url(), authorization: "Basic c2VjcmV0".into(), ..Gateway::default() };
    settings.sns.sms.gateway = gateway;
    settings.sns.sms.is_in_sandbox = true;
    let server = Server::with(settings);
    let mut client = server.client();
    // Nobody is verified yet, so that only what verifies goes out.
    let members = [("PhoneNumber", "+15550100"), ("Message", "too early")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let created = asked(&mut client, "CreateSMSSandboxPhoneNumber", &members[..1]).await;
    assert_eq!(created.status, 200, "{created:?}");
    let got = fake.next().await;
    assert_eq!(got.header("authorization"), "Basic c2VjcmV0");
    let text_of = got.json()["text"].as_str().expect("text").to_owned();
    let password: String = text_of.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(password.len(), 6, "{text_of}");
    let wrong = if password == "000000" { "000001" } else { "000000" };
    let refused = asked(&mut client, "VerifySMSSandboxPhoneNumber", &[members[0], ("OneTimePassword", wrong)]).await;
    assert_eq!(refusal(&refused).1, "VerificationException");
    let right = [members[0], ("OneTimePassword", &*password)];
    assert_eq!(asked(&mut client, "VerifySMSSandboxPhoneNumber", &right).await.status, 200);
    let listed = asked(&mut client, "ListSMSSandboxPhoneNumbers", &[]).await;
    assert_eq!(text(&listed, "Status"), "Verified");
    let members = [
        ("PhoneNumber", "+15550100"),
        ("Message", "hello"),
        ("MessageAttributes.entry.1.Name", "AWS.SNS.SMS.SenderID"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        ("MessageAttributes.entry.1.Value.StringValue", "Shop"),
    ];
    let published = asked(&mut client, "Publish", &members).await;
    let id = text(&published, "MessageId").to_owned();
    let expected = json!({ "to": "+15550100", "text": "hello", "from": "Shop", "type": "Promotional", "id": id });
    assert_eq!(fake.next().await.json(), expected);
    let refused = asked(&mut client, "Publish", &[("PhoneNumber", "phone"), ("Message", "hello")]).await;
    let words = "Invalid parameter: PhoneNumber Reason: phone is not valid to publish to";
    assert_eq!(refusal(&refused), (400, "InvalidParameter", words));

    let mut settings = Settings::default();
    settings.sns.sms.gateway = Gateway { url: fake.url(), ..Gateway::default() };
    let server = Server::with(settings);
    let mut client = server.client();
    // By a topic, and to somebody who wants none.
    let (topic, _) = a_topic_with(&mut client, "sms", "+15550109").await;
    let members = [("TopicArn", &*topic), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    assert_eq!(fake.next().await.json()["to"], "+15550109");
    loop {
        let opted = asked(&mut client, "CheckIfPhoneNumberIsOptedOut", &[("phoneNumber", "+15550109")]).await;
        if text(&opted, "isOptedOut") == "true" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let listed = asked(&mut client, "ListPhoneNumbersOptedOut", &[]).await;
    assert_eq!(texts(&listed, "member"), ["+15550109"]);
    assert!(fake.is_quiet().await);
    assert_eq!(asked(&mut client, "OptInPhoneNumber", &[("phoneNumber", "+15550109")]).await.status, 200);
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    assert_eq!(fake.next().await.json()["to"], "+15550109");
}

fn services(fake: &Fake) -> Settings {
    let mut settings = Settings::default();
    settings.sns.services = Services {
        lambda_url: fake.url(),
        firehose_url: format!("{}/base", fake.url()).into(),
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "secret".into(),
        session_token: "".into(),
    };
    settings
}

/// A request has to be signed for this service with the key that is configured.
fn is_signed(asked: &Asked, service: &'static str) {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let signed = Signed { method: "POST", path, query, headers: &asked.headers };
    let claim = Claim::read(signed).expect("it is well formed").expect("it is signed");
    assert_eq!(claim.key_id, "AKIDEXAMPLE");
    claim.check(signed, service, crate::date::now_s()).expect("it is for this service");
    claim.verify(signed, &asked.body, "secret", &SigningKeys::default()).expect("it is good");
}

#[tokio::test]
async fn a_function_is_invoked_with_an_event() {
    let fake = Fake::start(false, |_: &Asked| (202, String::new())).await;
    let server = Server::with(services(&fake));
    let mut client = server.client();
    let function = "arn:aws:lambda:eu-west-1:000000000000:function:ship:live";
    let (topic, subscription) = a_topic_with(&mut client, "lambda", function).await;
    let members = [
        ("TopicArn", &*topic),
        ("Message", "hello"),
        ("MessageAttributes.entry.1.Name", "bytes"),
        ("MessageAttributes.entry.1.Value.DataType", "Binary"),
        ("MessageAttributes.entry.1.Value.BinaryValue", "AAEC"),
    ];
    let published = asked(&mut client, "Publish", &members).await;
    let got = fake.next().await;
    assert_eq!(got.path, "/2015-03-31/functions/ship/invocations?Qualifier=live");
    assert_eq!(got.header("x-amz-invocation-type"), "Event");
    is_signed(&got, "lambda");
    let record = &got.json()["Records"][0];
    assert_eq!(record["EventSource"], "aws:sns");
    assert_eq!(record["EventVersion"], "1.0");
    assert_eq!(record["EventSubscriptionArn"], subscription);
    let sns = &record["Sns"];
    assert_eq!((&sns["Type"], &sns["Subject"]), (&json!("Notification"), &Value::Null));
    assert_eq!((&sns["Message"], &sns["TopicArn"]), (&json!("hello"), &json!(topic)));
    assert_eq!(sns["MessageId"], text(&published, "MessageId"));
    assert_eq!(sns["MessageAttributes"], json!({ "bytes": { "Type": "Binary", "Value": "AAEC" } }));
    assert!(sns["SigningCertUrl"].as_str().expect("text").ends_with(".pem"));
    assert!(sns["UnsubscribeUrl"].as_str().expect("text").ends_with(&subscription));
    assert!(!sns["Signature"].as_str().expect("text").is_empty());
}

#[tokio::test]
async fn a_delivery_stream_gets_a_line_a_message() {
    let fake = Fake::start(false, |_: &Asked| (200, r#"{"RecordId":"1"}"#.to_owned())).await;
    let server = Server::with(services(&fake));
    let mut client = server.client();
    let stream = "arn:aws:firehose:eu-west-1:000000000000:deliverystream/archive";
    let (topic, subscription) = a_topic_with(&mut client, "firehose", stream).await;
    let members = [("TopicArn", &*topic), ("Message", "hello"), ("Subject", "s")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let got = fake.next().await;
    assert_eq!((got.path.as_str(), got.header("x-amz-target")), ("/base/", "Firehose_20150804.PutRecord"));
    is_signed(&got, "firehose");
    let put = got.json();
    assert_eq!(put["DeliveryStreamName"], "archive");
    let data = STANDARD.decode(put["Record"]["Data"].as_str().expect("text")).expect("base64");
    let (line, rest) = data.split_at(data.len() - 1);
    assert_eq!(rest, b"\n");
    assert!(!line.contains(&b'\n'), "it is one line");
    let document: Value = serde_json::from_slice(line).expect("JSON");
    assert_eq!((&document["Message"], &document["Subject"]), (&json!("hello"), &json!("s")));
    assert!(document.get("Signature").is_none());
    let members =
        [("SubscriptionArn", &*subscription), ("AttributeName", "RawMessageDelivery"), ("AttributeValue", "true")];
    assert_eq!(asked(&mut client, "SetSubscriptionAttributes", &members).await.status, 200);
    let members = [("TopicArn", &*topic), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    assert_eq!(fake.next().await.json()["Record"]["Data"], STANDARD.encode("hello"));
}

/// The value of a parameter of the first link in a text that has it.
fn parameter<'a>(mail: &'a str, name: &str) -> &'a str {
    let rest = mail.split(&*format!("{name}=")).nth(1).expect("it is there");
    rest.split(['&', '\n', '"']).next().expect("it ends")
}

#[tokio::test]
async fn mailboxes_are_asked_first_and_then_get_what_is_published() {
    let post = Post::start().await;
    let mut settings = Settings::default();
    settings.sns.mail = Mail { url: post.url(), from: "Shop <shop@example.org>".into() };
    let server = Server::with(settings);
    let mut client = server.client();
    for (protocol, mailbox) in [("email", "ann@example.org"), ("email-json", "robot@example.org")] {
        let (topic, _) = a_topic_with(&mut client, protocol, mailbox).await;
        let question = post.next().await.replace("=\n", "").replace("=3D", "=");
        assert!(question.contains("Subject: AWS Notification - Subscription Confirmation"), "{question}");
        assert!(question.contains(&format!("RCPT TO:<{mailbox}>")), "{question}");
        assert!(question.contains("From: Shop <shop@example.org>"), "{question}");
        let token = parameter(&question, "Token").to_owned();
        let confirmed = asked(&mut client, "ConfirmSubscription", &[("TopicArn", &topic), ("Token", &token)]).await;
        let subscription = text(&confirmed, "SubscriptionArn").to_owned();
        let members = [("TopicArn", &*topic), ("Message", "grüße\n.\nend"), ("Subject", "It is here")];
        assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
        let mail = post.next().await;
        assert!(mail.contains("Subject: It is here"), "{mail}");
        assert!(mail.contains(&format!("RCPT TO:<{mailbox}>")), "{mail}");
        let unfolded = mail.replace("=\n", "");
        if protocol == "email" {
            assert!(unfolded.contains("gr=C3=BC=C3=9Fe"), "{mail}");
        } else {
            assert!(unfolded.contains("\"Type\" : \"Notification\""), "{mail}");
            assert!(unfolded.contains("\"Signature\" : "), "{mail}");
        }
        let ended = asked(&mut client, "Unsubscribe", &[("SubscriptionArn", &subscription)]).await;
        assert_eq!(ended.status, 200);
        let farewell = post.next().await;
        assert!(farewell.contains("Subject: AWS Notification - Unsubscribe Confirmation"), "{farewell}");
        assert!(farewell.contains(&format!("RCPT TO:<{mailbox}>")), "{farewell}");
    }
}

#[tokio::test]
async fn a_mailbox_that_is_refused_is_not_tried_again_and_what_is_not_configured_says_so() {
    let post = Post::start().await;
    let mut settings = Settings::default();
    settings.sns.mail = Mail { url: post.url(), ..Mail::default() };
    let server = Server::with(settings);
    let mut client = server.client();
    a_topic_with(&mut client, "email", "nobody@example.org").await;
    let (_, subscription) =
        a_topic_with(&mut client, "lambda", "arn:aws:lambda:eu-west-1:000000000000:function:f").await;
    let topic = subscription.rsplit_once(':').expect("it has an id").0.to_owned();
    let members = [("TopicArn", &*topic), ("Message", "hello")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let deliveries = || server.edge().sns.delivery_counts();
    let begun = tokio::time::Instant::now();
    while deliveries().iter().map(|count| count.dropped).sum::<u64>() < 2 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{:?}", deliveries());
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert!(deliveries().iter().all(|count| count.retried == 0), "{:?}", deliveries());
}

#[tokio::test]
async fn what_a_topic_masks_is_masked_whatever_it_is_delivered_by() {
    let post = Post::start().await;
    let fake = Fake::start(false, |asked: &Asked| {
        let token = r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#;
        (if asked.path.contains("functions") { 202 } else { 200 }, token.to_owned())
    })
    .await;
    let mut settings = services(&fake);
    let google_token_url = format!("{}/token", fake.url()).into();
    settings.sns.push = Push { google_url: fake.url(), google_token_url, ..Push::default() };
    settings.sns.sms.gateway = Gateway { url: format!("{}/sms", fake.url()).into(), ..Gateway::default() };
    settings.sns.mail = Mail { url: post.url(), from: "Shop <shop@example.org>".into() };
    let server = Server::with(settings);
    let mut client = server.client();
    let created = asked(&mut client, "CreateTopic", &[("Name", "orders")]).await;
    let topic = text(&created, "TopicArn").to_owned();
    let policy = json!({
        "Name": "cards",
        "Version": "2021-06-01",
        "Statement": [{
            "DataDirection": "Outbound",
            "Principal": ["*"],
            "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/CreditCardNumber"],
            "Operation": { "Deidentify": { "MaskConfig": { "MaskWithCharacter": "#" } } },
        }],
    });
    let policy = policy.to_string();
    let members = [("ResourceArn", &*topic), ("DataProtectionPolicy", &*policy)];
    let put = asked(&mut client, "PutDataProtectionPolicy", &members).await;
    assert_eq!(put.status, 200, "{put:?}");
    let account = crate::sns::platform_testing::service_account();
    let application = an_application(&mut client, "GCM", &[("PlatformCredential", &account)]).await;
    let device = an_endpoint(&mut client, &application, "device").await;
    for (protocol, endpoint) in [
        ("lambda", "arn:aws:lambda:eu-west-1:000000000000:function:ship"),
        ("firehose", "arn:aws:firehose:eu-west-1:000000000000:deliverystream/archive"),
        ("sms", "+15550100"),
        ("application", &*device),
        ("email", "ann@example.org"),
        ("email-json", "robot@example.org"),
    ] {
        a_topic_with(&mut client, protocol, endpoint).await;
        if protocol.starts_with("email") {
            let question = post.next().await.replace("=\n", "").replace("=3D", "=");
            let token = parameter(&question, "Token").to_owned();
            let confirmed = asked(&mut client, "ConfirmSubscription", &[("TopicArn", &topic), ("Token", &token)]).await;
            assert_eq!(confirmed.status, 200, "{confirmed:?}");
        }
    }
    let card = "paid by 4111 1111 1111 1111";
    let message = json!({ "default": card, "GCM": json!({ "data": { "text": card } }).to_string(), "sms": card });
    let message = message.to_string();
    let members =
        [("TopicArn", &*topic), ("Message", &*message), ("MessageStructure", "json"), ("Subject", "4111111111111111")];
    assert_eq!(asked(&mut client, "Publish", &members).await.status, 200);
    let mut seen = 0;
    while seen < 4 {
        let got = fake.next().await;
        if got.path == "/token" {
            continue;
        }
        seen += 1;
        let mut said = String::from_utf8_lossy(&got.body).into_owned();
        if got.header("x-amz-target").starts_with("Firehose") {
            let data = STANDARD.decode(got.json()["Record"]["Data"].as_str().expect("text")).expect("base64");
            said = String::from_utf8(data).expect("text");
        }
        assert!(said.contains("paid by ###"), "{}: {said}", got.path);
        assert!(!said.contains("1111"), "{}: {said}", got.path);
    }
    for _ in 0..2 {
        let mail = post.next().await.replace("=\n", "");
        let (_, mail) = mail.split_once("Subject: ").expect("it has one");
        assert!(mail.starts_with("####") && mail.contains("paid by ###"), "{mail}");
        assert!(!mail.contains("1111 1111") && !mail.contains("11111111"), "{mail}");
    }
}
