use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use gantry_broker::rights::{Permission, User};
use serde_json::{Value, json};

use super::client::{Received, Server, json};
use super::wait_for;
use crate::{Auth, Settings};

const ELSEWHERE: ([u8; 4], u16) = ([10, 1, 2, 3], 40_000);

/// A request that is signed as AWS's own library does.
fn signed(action: &str, input: &Value, key: (&str, &str), when: SystemTime) -> String {
    signed_with(action, input, key, when, |_| ())
}

fn signed_with(
    action: &str,
    input: &Value,
    (id, secret): (&str, &str),
    when: SystemTime,
    change: impl FnOnce(&mut SigningSettings),
) -> String {
    let mut settings = SigningSettings::default();
    change(&mut settings);
    let identity = Credentials::new(id, secret, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("sqs")
        .time(when)
        .settings(settings)
        .build()
        .unwrap();
    let (body, target) = (input.to_string(), format!("AmazonSQS.{action}"));
    let headers = [("host", "localhost:4566"), ("x-amz-target", target.as_str())];
    let body = SignableBody::Bytes(body.as_bytes());
    let request = SignableRequest::new("POST", "http://localhost:4566/", headers.into_iter(), body).unwrap();
    let instructions = sign(request, &params.into()).unwrap().into_parts().0;
    let added: Vec<_> = instructions.headers().collect();
    json(action, &added, input)
}

async fn ask_from(server: &Server, peer: impl Into<SocketAddr>, request: &str) -> Received {
    let mut client = server.client_from(peer.into());
    client.write(request).await;
    client.next().await
}

/// A server with a user whose key is known.
async fn server_with_key(auth: Auth) -> Server {
    let server = Server::with(Settings { auth, ..Settings::default() });
    let user = User::with_password("alice", b"password", &[]).unwrap();
    server.broker.set_user(user).await.unwrap();
    server.broker.set_permission("alice", "/", Permission::new(".*", ".*", ".*").unwrap()).await.unwrap();
    server.broker.put_access_key("alice", "AKALICE", "secret").await.unwrap();
    server
}

#[tokio::test]
async fn anybody_on_this_machine_is_the_default_user_by_whatever_key() {
    let server = Server::new();
    let input = json!({"text": ""});
    let wrong = signed("Echo", &input, ("test", "test"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    let bearer = json("Echo", &[("Authorization", "Bearer token")], &input);
    for (request, region) in [(json("Echo", &[], &input), "us-east-1"), (wrong, "eu-west-1"), (bearer, "us-east-1")] {
        let received = ask_from(&server, ([127, 0, 0, 1], 50_000), &request).await;
        assert_eq!(received.json(), json!({"text": "", "user": "guest", "region": region}), "{request}");
    }
}

#[tokio::test]
async fn from_elsewhere_only_the_holder_of_a_key_is_somebody() {
    let server = server_with_key(Auth::LoopbackOpen).await;
    let input = json!({"text": ""});
    let now = SystemTime::now();
    let right = signed("Echo", &input, ("AKALICE", "secret"), now);
    for peer in [ELSEWHERE.into(), SocketAddr::from(([127, 0, 0, 1], 50_000))] {
        let received = ask_from(&server, peer, &right).await;
        assert_eq!(received.json(), json!({"text": "", "user": "alice", "region": "eu-west-1"}));
    }
    let wrong_secret = signed("Echo", &input, ("AKALICE", "guess"), now);
    let unknown = signed("Echo", &input, ("AKBOB", "secret"), now);
    let old = signed("Echo", &input, ("AKALICE", "secret"), now - Duration::from_secs(16 * 60));
    let early = signed("Echo", &input, ("AKALICE", "secret"), now + Duration::from_secs(17 * 60));
    let other_body = right.replace(r#""text":"""#, r#""tixt":"""#);
    let other_action = right.replace("AmazonSQS.Echo", "AmazonSQS.Wait");
    let incomplete = json("Echo", &[("Authorization", "AWS4-HMAC-SHA256 Credential=x")], &input);
    for (request, status, code, query_code) in [
        (&wrong_secret, 403, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (&unknown, 403, "UnrecognizedClientException", "InvalidClientTokenId"),
        (&old, 403, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (&early, 403, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (&other_body, 403, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (&other_action, 403, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (&incomplete, 400, "IncompleteSignatureException", "IncompleteSignature"),
    ] {
        let received = ask_from(&server, ELSEWHERE, request).await;
        let codes = (status, format!("com.amazon.coral.service#{code}"), format!("{query_code};Sender"));
        let (status, code, query_error) = received.failure();
        assert_eq!((status, code, query_error.to_owned()), codes, "{request}");
    }
    // A key that is known is checked wherever it is used.
    let received = ask_from(&server, ([127, 0, 0, 1], 50_000), &wrong_secret).await;
    assert_eq!(received.status, 403);
    // Who has not signed is nobody, and may do nothing by itself.
    let unsigned = ask_from(&server, ELSEWHERE, &json("Echo", &[], &input)).await;
    assert_eq!(unsigned.json()["user"], Value::Null);
    let unsigned = ask_from(&server, ELSEWHERE, &json("ListQueues", &[], &json!({}))).await;
    assert_eq!(unsigned.failure().0, 403);
}

#[tokio::test]
async fn signatures_can_be_asked_of_everybody() {
    let server = server_with_key(Auth::Required).await;
    let input = json!({"text": ""});
    let local = ([127, 0, 0, 1], 50_000);
    let right = signed("Echo", &input, ("AKALICE", "secret"), SystemTime::now());
    assert_eq!(ask_from(&server, local, &right).await.json()["user"], "alice");
    let unknown = signed("Echo", &input, ("test", "test"), SystemTime::now());
    assert_eq!(ask_from(&server, local, &unknown).await.failure().2, "InvalidClientTokenId;Sender");
    assert_eq!(ask_from(&server, local, &json("Echo", &[], &input)).await.json()["user"], Value::Null);
}

#[tokio::test]
async fn a_key_counts_as_long_as_it_is_there_also_on_an_open_connection() {
    let server = server_with_key(Auth::Required).await;
    let ask = |secret: &'static str| signed("Echo", &json!({"text": ""}), ("AKALICE", secret), SystemTime::now());
    let mut client = server.client_from(ELSEWHERE.into());
    client.write(ask("secret")).await;
    assert_eq!(client.next().await.status, 200);
    server.broker.put_access_key("alice", "AKALICE", "changed").await.unwrap();
    for (secret, status) in [("secret", 403), ("changed", 200)] {
        client.write(ask(secret)).await;
        assert_eq!(client.next().await.status, status, "{secret}");
    }
    server.broker.delete_user("alice").await.unwrap();
    client.write(ask("changed")).await;
    assert_eq!(client.next().await.failure().2, "InvalidClientTokenId;Sender");
}

#[tokio::test(start_paused = true)]
async fn who_is_deleted_while_it_waits_is_given_nothing() {
    let server = server_with_key(Auth::Required).await;
    let mut client = server.client_from(ELSEWHERE.into());
    let said = wait_for("deleted");
    client.write(signed("Wait", &json!({"key": "deleted"}), ("AKALICE", "secret"), SystemTime::now())).await;
    // It goes on when the request has come to rest.
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.broker.delete_user("alice").await.unwrap();
    said.send("not for Alice").unwrap();
    assert_eq!(client.next().await.failure().2, "InvalidClientTokenId;Sender");
}

#[tokio::test]
async fn a_web_page_is_not_somebody_on_this_machine() {
    let server = Server::new();
    let input = json!({"text": ""});
    let local = ([127, 0, 0, 1], 50_000);
    for headers in [[("Origin", "http://localhost:3000")], [("Origin", "null")], [("Sec-Fetch-Site", "cross-site")]] {
        let received = ask_from(&server, local, &json("Echo", &headers, &input)).await;
        assert_eq!(received.json()["user"], Value::Null, "{headers:?}");
    }
    let rebound = json("Echo", &[], &input).replace("Host: localhost:4566", "Host: evil.example:4566");
    assert_eq!(ask_from(&server, local, &rebound).await.json()["user"], Value::Null);
}

#[tokio::test]
async fn what_was_passed_on_does_not_come_from_this_machine() {
    let server = Server::new();
    let input = json!({"text": ""});
    let local = ([127, 0, 0, 1], 50_000);
    for header in [
        ("Forwarded", "for=10.0.0.1"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "gantry.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "10.0.0.1"),
        ("Via", "1.1 proxy"),
    ] {
        let received = ask_from(&server, local, &json("Echo", &[header], &input)).await;
        assert_eq!(received.json()["user"], Value::Null, "{header:?}");
    }
}

#[tokio::test]
async fn a_browser_that_follows_a_link_is_not_somebody_on_this_machine() {
    let server = Server::new();
    let local = ([127, 0, 0, 1], 50_000);
    for (header, status) in [
        ("User-Agent: Mozilla/5.0 (X11)", 403),
        ("Referer: http://page.example/", 403),
        ("User-Agent: aws-cli/1.0", 200),
        ("User-Agent: Mozilla/5.0 (compatible; pycurl)", 200),
    ] {
        let request = format!("GET /?Action=ListQueues HTTP/1.1\r\nHost: gantry:4566\r\n{header}\r\n\r\n");
        assert_eq!(ask_from(&server, local, &request).await.status, status, "{header}");
    }
}

#[tokio::test]
async fn the_region_of_a_signature_does_not_change_what_a_policy_is_about() {
    let server = server_with_key(Auth::LoopbackOpen).await;
    let mut owner = server.client();
    owner.ask("CreateQueue", &json!({"QueueName": "orders"})).await;
    let url = "http://localhost:4566/000000000000/orders";
    // Alice signs for eu-west-1.
    for region in ["us-east-1", "eu-west-1", "*"] {
        let statement = json!({
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:SendMessage",
            "Resource": format!("arn:aws:sqs:{region}:000000000000:orders"),
        });
        let policy = json!({"Statement": statement}).to_string();
        let set = owner.ask("SetQueueAttributes", &json!({"QueueUrl": url, "Attributes": {"Policy": policy}})).await;
        assert_eq!(set.status, 200, "{set:?}");
        let input = json!({"QueueUrl": url, "MessageBody": "hello"});
        let by_alice = signed("SendMessage", &input, ("AKALICE", "secret"), SystemTime::now());
        assert_eq!(ask_from(&server, ELSEWHERE, &by_alice).await.status, 403, "{region}");
    }
}

#[tokio::test]
async fn a_policy_lets_in_who_has_no_permission_or_no_account() {
    let server = server_with_key(Auth::Required).await;
    for (user, key) in [("bob", "AKBOB"), ("none", "AKNONE")] {
        server.broker.set_user(User::with_password(user, b"password", &[]).unwrap()).await.unwrap();
        server.broker.put_access_key(user, key, "secret").await.unwrap();
    }
    // Bob may look at what is his; the other one belongs nowhere.
    server.broker.set_permission("bob", "/", Permission::new("^bob$", "^bob$", "^bob$").unwrap()).await.unwrap();
    let now = SystemTime::now();
    let ask = async |key: &str, action: &str, input: &Value| {
        ask_from(&server, ELSEWHERE, &signed(action, input, (key, "secret"), now)).await
    };
    ask("AKALICE", "CreateQueue", &json!({"QueueName": "orders"})).await;
    let url = "http://localhost:4566/000000000000/orders";
    let arn = "arn:aws:sqs:us-east-1:000000000000:orders";
    let allow = |principal: Value| json!({"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn});
    let deny = json!({
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"StringEquals": {"aws:userid": "bob"}},
    });
    let bob = json!({"AWS": "arn:aws:iam::000000000000:user/bob"});
    for (statements, may_bob, may_none) in [
        (json!([allow(bob.clone())]), true, false),
        (json!([allow(json!({"AWS": "000000000000"}))]), true, false),
        (json!([allow(json!({"AWS": "arn:aws:iam::000000000000:user/carol"}))]), false, false),
        (json!([allow(json!("*"))]), true, true),
        (json!([allow(json!("*")), deny.clone()]), false, true),
        (json!([allow(bob), deny]), false, false),
    ] {
        let policy = json!({"Statement": statements}).to_string();
        let set = json!({"QueueUrl": url, "Attributes": {"Policy": policy}});
        assert_eq!(ask("AKALICE", "SetQueueAttributes", &set).await.status, 200);
        for (key, may) in [("AKBOB", may_bob), ("AKNONE", may_none)] {
            let sent = ask(key, "SendMessage", &json!({"QueueUrl": url, "MessageBody": "hello"})).await;
            assert_eq!(sent.status, if may { 200 } else { 403 }, "{key} {policy} {sent:?}");
            // What is not allowed is not, whoever else may.
            assert_eq!(ask(key, "ReceiveMessage", &json!({"QueueUrl": url})).await.status, 403, "{key} {policy}");
        }
    }
    let told = ask("AKNONE", "ListQueues", &json!({})).await;
    assert!(told.status == 403 && told.body.contains("User: none has no account here."), "{told:?}");
}

#[tokio::test]
async fn who_may_be_anybody_sends_little() {
    let server = server_with_key(Auth::LoopbackOpen).await;
    let large = json!({"text": "x".repeat(65 * 1024)});
    let head_only = |request: &str| request.split_once("\r\n\r\n").map(|(head, _)| format!("{head}\r\n\r\n")).unwrap();
    let unsigned = head_only(&json("Echo", &[], &large));
    assert_eq!(ask_from(&server, ELSEWHERE, &unsigned).await.failure().0, 413);
    let unknown = head_only(&signed("Echo", &large, ("AKBOB", "secret"), SystemTime::now()));
    assert_eq!(ask_from(&server, ELSEWHERE, &unknown).await.failure().2, "InvalidClientTokenId;Sender");
    assert_eq!(
        ask_from(&server, ELSEWHERE, &json("Echo", &[], &json!({"text": "x".repeat(60 * 1024)}))).await.status,
        200
    );
}

/// A request whose head says what the digest of its body is.
fn with_digest(action: &str, input: &Value, key: (&str, &str)) -> String {
    let settings = |settings: &mut SigningSettings| {
        settings.payload_checksum_kind = aws_sigv4::http_request::PayloadChecksumKind::XAmzSha256;
    };
    let request = signed_with(action, input, key, SystemTime::now(), settings);
    assert!(request.contains("x-amz-content-sha256: "), "{request:.400}");
    request
}

#[tokio::test]
async fn a_signature_that_can_be_checked_before_the_body_comes_is() {
    let server = server_with_key(Auth::Required).await;
    let input = json!({"text": "x".repeat(100 * 1024)});
    let wrong = with_digest("Echo", &input, ("AKALICE", "guess"));
    let (head, _) = wrong.split_once("\r\n\r\n").unwrap();
    assert_eq!(ask_from(&server, ELSEWHERE, &format!("{head}\r\n\r\n")).await.failure().0, 403);
    // Once it is known who it is, it does not count among those of whom it is not.
    let _all = server.unverified().try_acquire_many(64 << 20).unwrap();
    let right = with_digest("Echo", &input, ("AKALICE", "secret"));
    assert_eq!(ask_from(&server, ELSEWHERE, &right).await.json()["user"], "alice");
    let other_body = right.replace("xx\"}", "xy\"}");
    assert_eq!(ask_from(&server, ELSEWHERE, &other_body).await.failure().2, "SignatureDoesNotMatch;Sender");
}

#[tokio::test]
async fn what_comes_before_it_is_known_whose_it_is_has_bounds() {
    let server = server_with_key(Auth::Required).await;
    let ask = |bytes: usize| {
        let input = json!({"text": "x".repeat(bytes)});
        signed("Echo", &input, ("AKALICE", "secret"), SystemTime::now())
    };
    let most = server.unverified().try_acquire_many((64 << 20) - 30 * 1024).unwrap();
    assert_eq!(ask_from(&server, ELSEWHERE, &ask(60 * 1024)).await.status, 200);
    assert_eq!(ask_from(&server, ELSEWHERE, &ask(90 * 1024)).await.status, 200);
    // It was given back.
    assert_eq!(ask_from(&server, ELSEWHERE, &ask(90 * 1024)).await.status, 200);
    assert_eq!(ask_from(&server, ELSEWHERE, &ask(100 * 1024)).await.failure().2, "RequestThrottled;Sender");
    drop(most);
    assert_eq!(ask_from(&server, ELSEWHERE, &ask(100 * 1024)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn who_may_be_anybody_has_a_minute() {
    let server = server_with_key(Auth::Required).await;
    let request = signed("Echo", &json!({"text": "x".repeat(1 << 20)}), ("AKALICE", "secret"), SystemTime::now());
    let mut client = server.client_from(ELSEWHERE.into());
    let begun = tokio::time::Instant::now();
    let writes = async {
        // As slow as somebody may be of whom it is known who it is.
        for piece in request.as_bytes().chunks(64 * 1024) {
            client.write(piece).await;
            tokio::time::sleep(Duration::from_secs(9)).await;
            if begun.elapsed().as_secs() > 60 {
                break;
            }
        }
        client.next().await
    };
    assert_eq!(writes.await.failure().0, 408);
    assert!((60..=70).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn permissions_decide_at_home_and_policies_elsewhere() {
    let server = server_with_key(Auth::LoopbackOpen).await;
    let mut owner = server.client();
    owner.ask("CreateQueue", &json!({"QueueName": "orders"})).await;
    let policy = |effect: &str, principal: Value, condition: Value| {
        let statement = json!({
            "Effect": effect, "Principal": principal, "Action": "SQS:SendMessage", "Resource": "*", "Condition": condition,
        });
        json!({"Statement": [statement]}).to_string()
    };
    let alice = json!({"AWS": "arn:aws:iam::000000000000:user/alice"});
    for (policy, may_alice, may_nobody) in [
        (String::new(), true, false),
        (policy("Allow", json!("*"), json!({})), true, true),
        (policy("Deny", json!("*"), json!({})), false, false),
        (policy("Deny", json!("*"), json!({"Bool": {"aws:SecureTransport": "false"}})), false, false),
        (policy("Allow", json!("*"), json!({"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}})), true, true),
        (policy("Allow", json!("*"), json!({"NotIpAddress": {"aws:SourceIp": "10.1.0.0/16"}})), true, false),
        (policy("Deny", json!("*"), json!({"StringLike": {"aws:UserAgent": "curl/*"}})), true, false),
        (policy("Deny", alice.clone(), json!({})), false, false),
        (policy("Allow", alice, json!({})), true, false),
    ] {
        let url = "http://localhost:4566/000000000000/orders";
        let set = owner.ask("SetQueueAttributes", &json!({"QueueUrl": url, "Attributes": {"Policy": policy}})).await;
        assert_eq!(set.status, 200, "{set:?}");
        let input = json!({"QueueUrl": url, "MessageBody": "hello"});
        let by_alice = signed("SendMessage", &input, ("AKALICE", "secret"), SystemTime::now());
        for (request, may) in [(by_alice, may_alice), (json("SendMessage", &[], &input), may_nobody)] {
            let received = ask_from(&server, ELSEWHERE, &request).await;
            if may {
                assert_eq!(received.status, 200, "{policy} {received:?}");
            } else {
                let code = "com.amazon.coral.service#AccessDeniedException".to_owned();
                assert_eq!(received.failure(), (403, code, "AccessDenied;Sender"), "{policy}");
            }
        }
    }
}
