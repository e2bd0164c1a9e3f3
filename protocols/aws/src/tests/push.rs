//! Platform applications, endpoints and short messages, as a client sees them.

mod deliveries;
mod fake;

use super::client::{Client, Received, Server};

/// A form, as SDKs send it.
fn form(action: &str, members: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let escaped = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(escaped).collect()
    };
    let members: String = members.iter().map(|(name, value)| format!("&{name}={}", escape(value))).collect();
    let body = format!("Action={action}&Version=2010-03-31{members}");
    format!(
        "POST / HTTP/1.1\r\nHost: localhost:4566\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn asked(client: &mut Client, action: &str, members: &[(&str, &str)]) -> Received {
    client.write(form(action, members)).await;
    client.next().await
}

/// The texts of the elements of an answer that have this name.
fn texts<'a>(received: &'a Received, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    received.body.split(&*begin).skip(1).map(|rest| rest.split(&*end).next().expect("it ends")).collect()
}

fn text<'a>(received: &'a Received, name: &str) -> &'a str {
    assert_eq!(received.status, 200, "{received:?}");
    texts(received, name).first().unwrap_or_else(|| panic!("no {name}: {received:?}"))
}

/// The status, the code and the words of a refusal.
fn refusal(received: &Received) -> (u16, &str, &str) {
    let first = |name| texts(received, name).first().copied().unwrap_or_default();
    (received.status, first("Code"), first("Message"))
}

async fn a_shop(client: &mut Client) -> String {
    let members = [
        ("Name", "shop"),
        ("Platform", "GCM"),
        ("Attributes.entry.1.key", "PlatformCredential"),
        ("Attributes.entry.1.value", "an API key"),
    ];
    let created = asked(client, "CreatePlatformApplication", &members).await;
    text(&created, "PlatformApplicationArn").to_owned()
}

#[tokio::test]
async fn applications_are_made_changed_listed_and_forgotten() {
    let server = Server::new();
    let mut client = server.client();
    let arn = a_shop(&mut client).await;
    assert_eq!(arn, "arn:aws:sns:us-east-1:000000000000:app/GCM/shop");
    assert_eq!(a_shop(&mut client).await, arn, "it is the same");
    let members = [
        ("PlatformApplicationArn", &*arn),
        ("Attributes.entry.1.key", "SuccessFeedbackSampleRate"),
        ("Attributes.entry.1.value", "20"),
    ];
    assert_eq!(asked(&mut client, "SetPlatformApplicationAttributes", &members).await.status, 200);
    let named = [("PlatformApplicationArn", &*arn)];
    let told = asked(&mut client, "GetPlatformApplicationAttributes", &named).await;
    assert_eq!(texts(&told, "key"), ["AuthenticationMethod", "Enabled", "SuccessFeedbackSampleRate"]);
    assert_eq!(texts(&told, "value"), ["Key", "true", "20"]);
    let listed = asked(&mut client, "ListPlatformApplications", &[]).await;
    assert_eq!(texts(&listed, "PlatformApplicationArn"), [&*arn]);
    for _ in 0..2 {
        assert_eq!(asked(&mut client, "DeletePlatformApplication", &named).await.status, 200);
    }
    let gone = asked(&mut client, "GetPlatformApplicationAttributes", &named).await;
    assert_eq!(refusal(&gone), (404, "NotFound", "PlatformApplication does not exist"));
    let arn = [("PlatformApplicationArn", "shop")];
    let refused = asked(&mut client, "GetPlatformApplicationAttributes", &arn).await;
    let words = "Invalid parameter: PlatformApplicationArn Reason: An ARN must have at least 6 elements, not 1";
    assert_eq!(refusal(&refused), (400, "InvalidParameter", words));
    let other = [("PlatformApplicationArn", "arn:aws:sns:us-east-1:999999999999:app/GCM/shop")];
    let refused = asked(&mut client, "GetPlatformApplicationAttributes", &other).await;
    assert_eq!(refusal(&refused).1, "NotFound", "that of another account is not there");
}

#[tokio::test]
async fn endpoints_are_made_changed_listed_and_forgotten() {
    let server = Server::new();
    let mut client = server.client();
    let shop = a_shop(&mut client).await;
    let members = [("PlatformApplicationArn", &*shop), ("Token", "device"), ("CustomUserData", "42")];
    let endpoint = asked(&mut client, "CreatePlatformEndpoint", &members).await;
    let endpoint = text(&endpoint, "EndpointArn").to_owned();
    assert!(endpoint.starts_with("arn:aws:sns:us-east-1:000000000000:endpoint/GCM/shop/"), "{endpoint}");
    let again = asked(&mut client, "CreatePlatformEndpoint", &members).await;
    assert_eq!(text(&again, "EndpointArn"), endpoint);
    let refused = asked(&mut client, "CreatePlatformEndpoint", &members[..2]).await;
    let words = format!(
        "Invalid parameter: Token Reason: Endpoint {endpoint} already exists with the same Token, but different attributes."
    );
    assert_eq!(refusal(&refused), (400, "InvalidParameter", &*words));
    let members =
        [("EndpointArn", &*endpoint), ("Attributes.entry.1.key", "Enabled"), ("Attributes.entry.1.value", "False")];
    assert_eq!(asked(&mut client, "SetEndpointAttributes", &members).await.status, 200);
    let told = asked(&mut client, "GetEndpointAttributes", &[("EndpointArn", &endpoint)]).await;
    assert_eq!(texts(&told, "key"), ["CustomUserData", "Enabled", "Token"]);
    assert_eq!(texts(&told, "value"), ["42", "false", "device"]);
    for at in 0..100 {
        let token = format!("token-{at}");
        let members = [("PlatformApplicationArn", &*shop), ("Token", &*token)];
        assert_eq!(asked(&mut client, "CreatePlatformEndpoint", &members).await.status, 200);
    }
    let page = asked(&mut client, "ListEndpointsByPlatformApplication", &[("PlatformApplicationArn", &shop)]).await;
    assert_eq!(texts(&page, "EndpointArn").len(), 100);
    let next = [("PlatformApplicationArn", &*shop), ("NextToken", text(&page, "NextToken"))];
    let rest = asked(&mut client, "ListEndpointsByPlatformApplication", &next).await;
    assert_eq!((texts(&rest, "EndpointArn").len(), texts(&rest, "NextToken").len()), (1, 0));
    for _ in 0..2 {
        assert_eq!(asked(&mut client, "DeleteEndpoint", &[("EndpointArn", &endpoint)]).await.status, 200);
    }
    let gone = asked(&mut client, "GetEndpointAttributes", &[("EndpointArn", &endpoint)]).await;
    assert_eq!(refusal(&gone), (404, "NotFound", "Endpoint does not exist"));
}

#[tokio::test]
async fn what_is_set_for_short_messages_is_told() {
    let server = Server::new();
    let mut client = server.client();
    let set = [("attributes.entry.1.key", "DefaultSMSType"), ("attributes.entry.1.value", "Transactional")];
    assert_eq!(asked(&mut client, "SetSMSAttributes", &set).await.status, 200);
    let told = asked(&mut client, "GetSMSAttributes", &[]).await;
    assert_eq!(texts(&told, "key"), ["DefaultSMSType", "MonthlySpendLimit"]);
    let told = asked(&mut client, "GetSMSAttributes", &[("attributes.member.1", "MonthlySpendLimit")]).await;
    assert_eq!((texts(&told, "key"), texts(&told, "value")), (vec!["MonthlySpendLimit"], vec!["1"]));
    let wrong = [("attributes.entry.1.key", "Colour"), ("attributes.entry.1.value", "red")];
    let refused = asked(&mut client, "SetSMSAttributes", &wrong).await;
    assert_eq!(refusal(&refused), (400, "InvalidParameter", "Colour is not a valid attribute"));
    let status = asked(&mut client, "GetSMSSandboxAccountStatus", &[]).await;
    assert_eq!(text(&status, "IsInSandbox"), "false");
    let opted = asked(&mut client, "CheckIfPhoneNumberIsOptedOut", &[("phoneNumber", "+15550100")]).await;
    assert_eq!(text(&opted, "isOptedOut"), "false");
    let refused = asked(&mut client, "CheckIfPhoneNumberIsOptedOut", &[("phoneNumber", "phone")]).await;
    let words = "Invalid parameter: PhoneNumber Reason: input incorrectly formatted";
    assert_eq!(refusal(&refused), (400, "InvalidParameter", words));
    assert_eq!(asked(&mut client, "OptInPhoneNumber", &[("phoneNumber", "+15550100")]).await.status, 200);
    for action in ["ListPhoneNumbersOptedOut", "ListOriginationNumbers", "ListSMSSandboxPhoneNumbers"] {
        let listed = asked(&mut client, action, &[]).await;
        assert_eq!((listed.status, texts(&listed, "member").len()), (200, 0), "{action}");
    }
    let nobody = [("PhoneNumber", "+15550100"), ("OneTimePassword", "123456")];
    let refused = asked(&mut client, "VerifySMSSandboxPhoneNumber", &nobody).await;
    assert_eq!(refusal(&refused).1, "ResourceNotFound");
}
