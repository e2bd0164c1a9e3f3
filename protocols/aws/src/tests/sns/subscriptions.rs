//! Subscriptions of queues, from the first to the last message.

use std::sync::Arc;

use gantry_broker::value::Value as GantryValue;
use gantry_broker::vhost::Bound;
use gantry_broker::{QueueOptions, QueueSettings};

use super::*;
use crate::sns::Subscription;
use crate::sns::SubscriptionState as State;

#[tokio::test]
async fn a_queue_gets_what_is_published_while_it_is_subscribed() {
    let mut talk = Talk::new();
    assert_eq!(talk.create_topic("t").await, TOPIC);
    let url = talk.create_queue("q", json!({})).await;
    talk.publish(TOPIC, "early").await;
    let arn = talk.subscribe(TOPIC, "q", json!({})).await;
    assert!(arn.starts_with(&format!("{TOPIC}:")), "{arn}");
    assert_eq!(talk.subscribe(TOPIC, "q", json!({})).await, arn, "it is the same one");
    talk.publish(TOPIC, "one").await;
    assert_eq!(talk.bodies(&url).await, ["json:one"]);
    talk.sns("Unsubscribe", json!({"SubscriptionArn": arn})).await;
    talk.sns("Unsubscribe", json!({"SubscriptionArn": arn})).await;
    talk.publish(TOPIC, "late").await;
    assert!(talk.bodies(&url).await.is_empty());
    let listed = talk.sns("ListSubscriptions", json!({})).await;
    assert_eq!(listed["Subscriptions"], json!([]));
}

#[tokio::test]
async fn what_waits_leaves_in_the_form_in_which_it_came() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    let arn = talk.subscribe(TOPIC, "q", json!({"RawMessageDelivery": "true"})).await;
    talk.publish(TOPIC, "1").await;
    let raw =
        |value: &str| json!({"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery", "AttributeValue": value});
    talk.sns("SetSubscriptionAttributes", raw("False")).await;
    talk.publish(TOPIC, "2").await;
    talk.sns("SetSubscriptionAttributes", raw("true")).await;
    talk.publish(TOPIC, "3").await;
    talk.sns("Unsubscribe", json!({"SubscriptionArn": arn})).await;
    talk.subscribe(TOPIC, "q", json!({})).await;
    talk.publish(TOPIC, "4").await;
    assert_eq!(talk.bodies(&url).await, ["1", "json:2", "3", "json:4"]);
}

#[tokio::test]
async fn a_queue_that_comes_back_is_subscribed_again_before_its_maker_hears_of_it() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    talk.subscribe(TOPIC, "q", json!({})).await;
    let url = talk.create_queue("q", json!({})).await;
    talk.publish(TOPIC, "1").await;
    assert_eq!(talk.bodies(&url).await, ["json:1"]);
    talk.sqs("DeleteQueue", json!({"QueueUrl": url})).await;
    talk.publish(TOPIC, "lost").await;
    talk.create_queue("q", json!({})).await;
    talk.publish(TOPIC, "2").await;
    assert_eq!(talk.bodies(&url).await, ["json:2"]);
}

#[tokio::test]
async fn dead_letters_get_what_the_queue_does_not_take() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let deny = json!({"Statement": [
        {"Effect": "Deny", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"},
    ]});
    let url = talk.create_queue("q", json!({"Policy": deny.to_string()})).await;
    let letters = talk.create_queue("letters", json!({})).await;
    let redrive = json!({"deadLetterTargetArn": queue_arn("letters")}).to_string();
    talk.subscribe(TOPIC, "q", json!({"RedrivePolicy": redrive})).await;
    talk.publish(TOPIC, "1").await;
    let set = |policy: &str| json!({"QueueUrl": url, "Attributes": {"Policy": policy}});
    let open = set("");
    talk.sqs("SetQueueAttributes", open).await;
    talk.publish(TOPIC, "2").await;
    let source = json!({"Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
    }]});
    let closed = set(&source.to_string());
    talk.sqs("SetQueueAttributes", closed).await;
    talk.publish(TOPIC, "3").await;
    let open = set("");
    talk.sqs("SetQueueAttributes", open).await;
    assert_eq!(talk.bodies(&url).await, ["json:2"]);
    assert_eq!(talk.bodies(&letters).await, ["json:1", "json:3"]);
}

#[tokio::test]
async fn what_cannot_be_delivered_goes_past_a_queue_that_denies_it() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let deny = json!({"Statement": [{
        "Effect": "Deny", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*",
    }]});
    let url = talk.create_queue("letters", json!({"Policy": deny.to_string()})).await;
    let redrive = json!({"deadLetterTargetArn": queue_arn("letters")}).to_string();
    let function = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let input = json!({
        "TopicArn": TOPIC, "Protocol": "lambda", "Endpoint": function, "Attributes": {"RedrivePolicy": redrive},
    });
    let arn = text(&talk.sns("Subscribe", input).await["SubscriptionArn"]);
    let name = format!("sns-subscription-{}", arn.rsplit(':').next().unwrap());
    let vhost = talk.server.broker.vhost("/").unwrap();
    let queue = vhost.queue_of_anyone(&name).unwrap();
    assert_eq!(queue.settings().redrive, None);
    talk.sqs("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"Policy": ""}})).await;
    assert_eq!(queue.settings().redrive.as_ref().map(|redrive| &*redrive.queue), Some("letters"));
}

#[tokio::test]
async fn where_policies_are_strict_a_queue_has_to_say_that_it_takes_messages() {
    let mut talk = Talk::with(Settings { strict_policies: true, ..Settings::default() });
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    talk.subscribe(TOPIC, "q", json!({})).await;
    talk.publish(TOPIC, "1").await;
    let allow = json!({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue_arn("q"), "Condition": {"StringEquals": {"aws:SourceAccount": "000000000000"}},
    }]});
    let input = json!({"QueueUrl": url, "Attributes": {"Policy": allow.to_string()}});
    talk.sqs("SetQueueAttributes", input).await;
    talk.publish(TOPIC, "2").await;
    assert_eq!(talk.bodies(&url).await, ["json:2"]);
}

#[tokio::test]
async fn only_what_a_filter_lets_through_comes() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    let attributes =
        json!({"FilterPolicy": "{\"kind\":[\"a\"]}", "FilterPolicyScope": "MessageBody", "RawMessageDelivery": "true"});
    let arn = talk.subscribe(TOPIC, "q", attributes).await;
    for body in ["{\"kind\":\"a\"}", "{\"kind\":\"b\"}", "no JSON"] {
        talk.publish(TOPIC, body).await;
    }
    assert_eq!(talk.bodies(&url).await, ["{\"kind\":\"a\"}"]);
    let policy =
        |value: &str| json!({"SubscriptionArn": arn, "AttributeName": "FilterPolicy", "AttributeValue": value});
    let another = policy("{\"kind\":[\"b\"]}");
    talk.sns("SetSubscriptionAttributes", another).await;
    for body in ["{\"kind\":\"a\"}", "{\"kind\":\"b\"}"] {
        talk.publish(TOPIC, body).await;
    }
    assert_eq!(talk.bodies(&url).await, ["{\"kind\":\"b\"}"]);
    let told = talk.sns("GetSubscriptionAttributes", json!({"SubscriptionArn": arn})).await;
    assert_eq!(told["Attributes"]["FilterPolicyScope"], "MessageBody");
    let none = policy("");
    talk.sns("SetSubscriptionAttributes", none).await;
    talk.publish(TOPIC, "anything").await;
    assert_eq!(talk.bodies(&url).await, ["anything"]);
    let told = talk.sns("GetSubscriptionAttributes", json!({"SubscriptionArn": arn})).await;
    assert_eq!(told["Attributes"]["FilterPolicy"], Value::Null);
}

#[tokio::test]
async fn a_webhook_has_to_confirm_and_anybody_with_the_token_may() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let input = json!({"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://127.0.0.1:9/x"});
    assert_eq!(talk.sns("Subscribe", input).await["SubscriptionArn"], "pending confirmation");
    let listed = talk.sns("ListSubscriptionsByTopic", json!({"TopicArn": TOPIC})).await;
    assert_eq!(listed["Subscriptions"][0]["SubscriptionArn"], "PendingConfirmation");
    let pending = talk.server.subscriptions().remove(0);
    let token = pending.token.clone().expect("it waits").text;
    let another = format!("{}{}", if token.starts_with('a') { 'b' } else { 'a' }, &token[1..]);
    let input = json!({"TopicArn": format!("{TOPIC}2"), "Token": &*token});
    assert_eq!(talk.refused("ConfirmSubscription", input).await.1, "Invalid parameter: Token", "of another topic");
    for wrong in ["", "x", &another, &token[2..]] {
        let input = json!({"TopicArn": TOPIC, "Token": wrong});
        let refused = talk.refused("ConfirmSubscription", input).await;
        assert_eq!(refused, ("InvalidParameter".into(), "Invalid parameter: Token".into()), "{wrong}");
    }
    for _ in 0..2 {
        let input = json!({"TopicArn": TOPIC, "Token": &*token, "AuthenticateOnUnsubscribe": "true"});
        assert_eq!(talk.sns("ConfirmSubscription", input).await["SubscriptionArn"], &*pending.arn);
    }
    let told = talk.sns("GetSubscriptionAttributes", json!({"SubscriptionArn": &*pending.arn})).await;
    assert_eq!(told["Attributes"]["PendingConfirmation"], "false");
    assert_eq!(told["Attributes"]["ConfirmationWasAuthenticated"], "false", "nobody has signed it");
}

#[tokio::test]
async fn what_cannot_be_subscribed_is_refused_in_awss_words() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let arn = queue_arn("q");
    let input = |protocol: &str, endpoint: &str, attributes: Value| json!({"TopicArn": TOPIC, "Protocol": protocol, "Endpoint": endpoint, "Attributes": attributes});
    for (input, code, words) in [
        (
            input("smoke", &arn, json!({})),
            "InvalidParameter",
            "Invalid parameter: Amazon SNS does not support this protocol string: smoke",
        ),
        (input("sqs", "", json!({})), "NotFound", "Endpoint not specified in subscription"),
        (
            input("sqs", &arn, json!({"Colour": "red"})),
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: AttributeName",
        ),
        (
            input("sqs", &arn, json!({"RawMessageDelivery": "yes"})),
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [yes]. Must be true or false.",
        ),
        (
            input("email", "a@b.c", json!({"RawMessageDelivery": "true"})),
            "InvalidParameter",
            "Invalid parameter: Delivery protocol [email] does not support raw message delivery.",
        ),
        (
            input("sqs", &arn, json!({"RedrivePolicy": "{\"deadLetterTargetArn\":\"x\"}"})),
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: RedrivePolicy: deadLetterTargetArn is an invalid arn",
        ),
        (
            input("sqs", &arn, json!({"FilterPolicy": "{"})),
            "InvalidParameter",
            "Invalid parameter: Attributes Reason: FilterPolicy: failed to parse JSON. Unexpected end-of-input\n at [Source: (String)\"{\"; line: 1, column: 2]",
        ),
    ] {
        let refused = talk.refused("Subscribe", input).await;
        assert_eq!(refused, (code.to_owned(), words.to_owned()));
    }
    let elsewhere = json!({"TopicArn": "arn:aws:sns:us-east-1:000000000000:u", "Protocol": "sqs", "Endpoint": arn});
    assert_eq!(talk.refused("Subscribe", elsewhere).await, ("NotFound".into(), "Topic does not exist".into()));
    talk.create_queue("q", json!({})).await;
    talk.subscribe(TOPIC, "q", json!({})).await;
    let other = talk.refused("Subscribe", input("sqs", &arn, json!({"RawMessageDelivery": "true"}))).await;
    assert_eq!(other.1, "Invalid parameter: Attributes Reason: Subscription already exists with different attributes");
    let short = talk.refused("Unsubscribe", json!({"SubscriptionArn": "a:b"})).await;
    assert_eq!(short.1, "Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 2");
    let topic = talk.refused("Unsubscribe", json!({"SubscriptionArn": TOPIC})).await;
    assert_eq!(topic.1, "Invalid parameter: SubscriptionId");
}

/// What subscribes a webhook at a port where nobody is.
fn webhook() -> Value {
    json!({"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://127.0.0.1:9/x"})
}

async fn confirmed_webhook(talk: &mut Talk) -> Arc<Subscription> {
    talk.sns("Subscribe", webhook()).await;
    let pending = talk.server.subscriptions().remove(0);
    let token = pending.token.clone().expect("it waits").text;
    talk.sns("ConfirmSubscription", json!({"TopicArn": TOPIC, "Token": &*token})).await;
    pending
}

#[tokio::test]
async fn whoever_subscribes_again_and_again_has_the_endpoint_asked_once() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    talk.sns("Subscribe", webhook()).await;
    let first = talk.server.subscriptions().remove(0);
    let vhost = talk.server.broker.vhost("/").expect("it is there");
    let queue = vhost.queue_of_anyone(&first.queue_name()).expect("it has a queue");
    let asked = queue.next_number();
    for _ in 0..20 {
        talk.sns("Subscribe", webhook()).await;
    }
    assert_eq!(queue.next_number(), asked, "nothing more was put into it");
    assert_eq!(talk.server.subscriptions().remove(0).token, first.token, "the link that it has is still good");
}

#[tokio::test]
async fn links_of_the_leave_taken_lead_to_where_the_subscriber_is() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let subscription = confirmed_webhook(&mut talk).await;
    let url = format!("/?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={}", subscription.arn);
    let head = format!("GET {url} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    talk.client.write(head.as_bytes()).await;
    assert_eq!(talk.client.next().await.status, 200);
    let gone = talk.server.edge().sns.subscription(&subscription.id).expect("it may come back");
    assert_eq!(gone.state, State::Gone);
    let vhost = talk.server.broker.vhost("/").expect("it is there");
    let queue = vhost.queue_of_anyone(&gone.queue_name()).expect("it has a queue");
    let status = queue.status();
    assert!(status.ready + status.unacked > 0, "it is told");
    assert!(!gone.base_url.contains("evil"), "{}", gone.base_url);
}

#[tokio::test]
async fn nothing_comes_after_the_end_while_queues_come_and_go() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    let mut other = talk.server.client();
    let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
    let busy = tokio::spawn(async move {
        let mut rounds = 0;
        while ended.try_recv().is_err() {
            let made = other.ask("CreateQueue", &json!({"QueueName": "busy"})).await;
            let url = text(&made.json()["QueueUrl"]);
            other.ask("DeleteQueue", &json!({"QueueUrl": url})).await;
            rounds += 1;
        }
        rounds
    });
    for round in 0..20 {
        let arn = talk.subscribe(TOPIC, "q", json!({})).await;
        talk.publish(TOPIC, "in").await;
        talk.sns("Unsubscribe", json!({"SubscriptionArn": arn})).await;
        talk.publish(TOPIC, "late").await;
        assert_eq!(talk.bodies(&url).await, ["json:in"], "round {round}");
    }
    assert!(end.send(()).is_ok());
    assert!(busy.await.expect("it ends") > 0);
}

#[tokio::test]
async fn two_subscriptions_whose_dead_letters_share_a_queue_do_not_push_out_what_was_before() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let letters = talk.create_queue("letters", json!({})).await;
    let redrive = json!({"deadLetterTargetArn": queue_arn("letters")}).to_string();
    let first = talk.subscribe(TOPIC, "a", json!({"RedrivePolicy": redrive, "RawMessageDelivery": "true"})).await;
    talk.publish(TOPIC, "1").await;
    talk.subscribe(TOPIC, "b", json!({"RedrivePolicy": redrive})).await;
    for _ in 0..20 {
        // Both are looked at each time.
        let url = talk.create_queue("a", json!({})).await;
        talk.sqs("DeleteQueue", json!({"QueueUrl": url})).await;
    }
    let bodies = talk.bodies(&letters).await;
    assert_eq!(bodies, ["1"], "raw, as it came by {first}");
}

#[tokio::test]
async fn what_no_subscription_has_is_taken_away_at_the_start() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    talk.subscribe(TOPIC, "q", json!({"RawMessageDelivery": "true"})).await;
    let vhost = talk.server.broker.vhost("/").expect("it is there");
    let id = "01234567-89ab-4def-8123-456789abcdef";
    let settings =
        QueueSettings { annotations: [("internal".to_owned(), "sns".to_owned())].into(), ..QueueSettings::default() };
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    let own = format!("sns-subscription-{id}");
    let declared = vhost.declare_with(&own, options.clone(), settings, 0).expect("declared");
    declared.2.wait().await.expect("written");
    // Somebody else's is not touched, whatever its name is.
    let users = format!("sns-subscription-{}", id.replace('0', "1"));
    let declared = vhost.declare_with(&users, options, QueueSettings::default(), 0).expect("declared");
    declared.2.wait().await.expect("written");
    let stray = [("subscription", GantryValue::from(id))].into_iter().collect();
    for queue in [own.as_str(), users.as_str()] {
        let _written = vhost.rebind("t", None, Some(Bound { queue, arguments: &stray })).expect("bound");
    }
    let _written = crate::sns::reconcile::start(talk.server.edge());
    assert!(vhost.queue_of_anyone(&own).is_err(), "nobody has it");
    assert!(vhost.queue_of_anyone(&users).is_ok(), "a user has it");
    assert!(!vhost.is_bound("t", &users, &[], &stray));
    talk.publish(TOPIC, "1").await;
    assert_eq!(talk.bodies(&url).await, ["1"]);
}

#[tokio::test]
async fn a_webhook_that_was_ended_counts_until_it_cannot_come_back() {
    let settings =
        Settings { sns: crate::sns::Settings { subscriptions_max: 2, ..Default::default() }, ..Settings::default() };
    let mut talk = Talk::with(settings);
    talk.create_topic("t").await;
    for _ in 0..2 {
        talk.sns("Subscribe", webhook()).await;
        let all = talk.server.subscriptions();
        let token = all[0].token.clone().expect("it waits").text;
        talk.sns("ConfirmSubscription", json!({"TopicArn": TOPIC, "Token": &*token})).await;
        talk.sns("Unsubscribe", json!({"SubscriptionArn": &*all[0].arn})).await;
    }
    let refused = talk.refused("Subscribe", webhook()).await;
    assert_eq!(refused.1, "Subscription limit exceeded");
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    assert_eq!(told["Attributes"]["SubscriptionsConfirmed"], "0");
}

#[tokio::test]
async fn whoever_comes_through_a_proxy_is_not_on_this_machine() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    talk.sns("Subscribe", webhook()).await;
    assert!(talk.server.subscriptions()[0].is_from_loopback);
    // What is near is asked of the head alone; that it is signed changes nothing.
    for (name, value) in [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4"), ("host", "mq.example.com")] {
        let head = hyper::Request::post("/").header(name, value).body(()).expect("well formed").into_parts().0;
        assert!(!crate::auth::is_near(&talk.server.http_client(), &head), "{name}");
    }
    let head = hyper::Request::post("/").header("host", "127.0.0.1:4566").body(()).expect("well formed").into_parts().0;
    assert!(crate::auth::is_near(&talk.server.http_client(), &head));
}
