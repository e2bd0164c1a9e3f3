//! What webhooks are sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;

use super::*;

/// Checks the signature of a document as who gets it does: by the text that AWS documents, and the certificate.
fn verify(site: &Site, document: &Value) {
    let names: &[&str] = match document["Type"].as_str().unwrap() {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let lines = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", document[*name].as_str()?)));
    let text: String = lines.collect();
    let url = document["SigningCertURL"].as_str().unwrap();
    let path = url.strip_prefix("http://localhost:4566").unwrap();
    let pem = site.edge().sns.signing.certificate_at(path).unwrap();
    let (_, pem) = parse_x509_pem(&pem).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let key = certificate.public_key().subject_public_key.data.to_vec();
    let signature = STANDARD.decode(document["Signature"].as_str().unwrap()).unwrap();
    let algorithm: &dyn ring::signature::VerificationAlgorithm = match document["SignatureVersion"].as_str().unwrap() {
        "1" => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    UnparsedPublicKey::new(algorithm, key).verify(text.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn a_notification_is_signed_and_has_the_headers_of_aws() {
    for version in [1, 2] {
        let (site, hook) = (Site::new(), Hook::start(&[200]).await);
        let queue = site.queue("a").await;
        site.publish(&queue, "hello");
        site.start(Errand { is_raw: false, signature_version: version, ..errand(&queue, &hook, at_once(0)) });
        let posted = hook.next().await;
        let arn = format!("{TOPIC_ARN}:a");
        for (name, value) in [
            ("x-amz-sns-message-type", "Notification"),
            ("x-amz-sns-topic-arn", TOPIC_ARN),
            ("x-amz-sns-subscription-arn", &*arn),
            ("content-type", "text/plain; charset=UTF-8"),
            ("user-agent", "Amazon Simple Notification Service Agent"),
        ] {
            assert_eq!(posted.header(name), Some(value), "{name}");
        }
        assert_eq!(posted.header("x-amz-sns-rawdelivery"), None);
        let document: Value = serde_json::from_str(&posted.body).unwrap();
        assert_eq!(posted.header("x-amz-sns-message-id"), document["MessageId"].as_str());
        assert_eq!((document["Type"].as_str(), document["Message"].as_str()), (Some("Notification"), Some("hello")));
        let leave = format!("http://localhost:4566/?Action=Unsubscribe&SubscriptionArn={arn}");
        assert_eq!(document["UnsubscribeURL"].as_str(), Some(&*leave));
        assert_eq!(document["SignatureVersion"].as_str(), Some(&*version.to_string()));
        verify(&site, &document);
    }
}

#[tokio::test]
async fn a_raw_message_is_the_message_alone() {
    let (site, hook) = (Site::new(), Hook::start(&[200]).await);
    let queue = site.queue("a").await;
    site.publish(&queue, "{\"a\":1}");
    let mut raw = errand(&queue, &hook, at_once(0));
    raw.policy.content_type = Some("application/json".into());
    site.start(raw);
    let posted = hook.next().await;
    assert_eq!((&*posted.path, &*posted.body), ("/hook", "{\"a\":1}"));
    assert_eq!(posted.header("x-amz-sns-rawdelivery"), Some("true"));
    assert_eq!(posted.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn confirmations_wait_in_the_queue_and_are_for_the_endpoint_alone() {
    let (site, hook) = (Site::new(), Hook::start(&[500, 200, 404]).await);
    let letters = site.queue("letters").await;
    let redrive = Some(Redrive { queue: "letters".into(), receives_max: u32::MAX });
    let queue = site.queue_with("a", QueueSettings { redrive, ..QueueSettings::default() }).await;
    let send = |sort| {
        let made_ms = 1_790_000_000_123;
        let (id, token, base_url) = ("id".into(), "2336412f".into(), "http://localhost:4566".into());
        let notice = notice::Notice { sort, id, token, base_url, made_ms };
        let message = notice::message(&notice, "a", "You have chosen ...");
        site.vhost.send(&queue, &message, None, now_ms(), &mut Wakes::new()).unwrap();
    };
    send(Sort::SubscriptionConfirmation);
    let dead_letters = Some("letters".into());
    site.start(Errand { dead_letters, ..errand(&queue, &hook, at_once(3)) });
    hook.next().await;
    let posted = hook.next().await;
    assert_eq!(posted.header("x-amz-sns-message-type"), Some("SubscriptionConfirmation"));
    assert_eq!(posted.header("x-amz-sns-message-id"), Some("id"));
    assert_eq!((posted.header("x-amz-sns-subscription-arn"), posted.header("x-amz-sns-rawdelivery")), (None, None));
    let document: Value = serde_json::from_str(&posted.body).unwrap();
    let confirm = format!("http://localhost:4566/?Action=ConfirmSubscription&TopicArn={TOPIC_ARN}&Token=2336412f");
    assert_eq!(document["SubscribeURL"].as_str(), Some(&*confirm));
    assert_eq!(
        (document["Token"].as_str(), document["Message"].as_str()),
        (Some("2336412f"), Some("You have chosen ..."))
    );
    verify(&site, &document);
    send(Sort::UnsubscribeConfirmation);
    let posted = hook.next().await;
    assert_eq!(posted.header("x-amz-sns-message-type"), Some("UnsubscribeConfirmation"));
    assert_eq!(posted.header("x-amz-sns-subscription-arn"), Some(&*format!("{TOPIC_ARN}:a")));
    verify(&site, &serde_json::from_str(&posted.body).unwrap());
    until(|| queue.status().unacked + queue.status().ready == 0).await;
    until(|| site.count("a").dropped == 1).await;
    assert_eq!(letters.status().ready, 0);
}

#[tokio::test]
async fn a_user_in_the_url_is_told_to_who_asks() {
    let (site, queue_name) = (Site::new(), "a");
    let hook = Hook::with(vec![(401, Some("Basic realm=\"x\"")), (200, None)]).await;
    let queue = site.queue(queue_name).await;
    site.publish(&queue, "hello");
    let endpoint = hook.url_of("ann:secret", "/hook").into();
    site.start(Errand { endpoint, ..errand(&queue, &hook, at_once(0)) });
    assert_eq!(hook.next().await.header("authorization"), None);
    assert_eq!(hook.next().await.header("authorization"), Some("Basic YW5uOnNlY3JldA=="));
    until(|| site.count("a").delivered == 1).await;
    // Who has none, and who is not let in, is refused for good.
    for (user, posts) in [(None, 1), (Some("ann:wrong"), 2)] {
        let hook = Hook::with(vec![(401, Some("Basic realm=\"x\"")); 2]).await;
        let name = format!("refused {posts}");
        let queue = site.queue(&name).await;
        site.publish(&queue, "hello");
        let endpoint = user.map_or_else(|| hook.url("/"), |user| hook.url_of(user, "/")).into();
        site.start(Errand { endpoint, ..errand(&queue, &hook, at_once(5)) });
        for _ in 0..posts {
            hook.next().await;
        }
        until(|| site.count(&name).dropped == 1).await;
        hook.is_quiet().await;
    }
}

#[tokio::test]
async fn a_webhook_on_this_machine_is_only_for_who_is_on_it() {
    let (site, hook) = (Site::new(), Hook::start(&[200]).await);
    let queue = site.queue("a").await;
    site.publish(&queue, "hello");
    site.start(Errand { reach: Reach::Public, ..errand(&queue, &hook, at_once(5)) });
    until(|| site.count("a").dropped == 1).await;
    hook.is_quiet().await;
}
