//! Topics: making them, what is set on them, tags and permissions.

use super::*;

#[tokio::test]
async fn a_topic_is_made_once_and_is_as_it_was_asked_for() {
    let mut talk = Talk::new();
    let input = json!({"Name": "t", "Attributes": {"DisplayName": "News"}, "Tags": [{"Key": "a", "Value": "1"}]});
    for _ in 0..2 {
        assert_eq!(talk.sns("CreateTopic", input.clone()).await["TopicArn"], TOPIC);
    }
    talk.sns("CreateTopic", json!({"Name": "t"})).await;
    for (input, words) in [
        (
            json!({"Name": "t", "Attributes": {"DisplayName": "Other"}}),
            "Invalid parameter: Attributes Reason: Topic already exists with different attributes",
        ),
        (
            json!({"Name": "t", "Tags": [{"Key": "a", "Value": "2"}]}),
            "Invalid parameter: Tags Reason: Topic already exists with different tags",
        ),
        (json!({"Name": "t.fifo"}), "Invalid parameter: Topic Name"),
        (json!({"Name": "t", "Attributes": {"FifoTopic": "true"}}), "Invalid parameter: Topic Name"),
        (
            json!({"Name": "u", "Attributes": {"ContentBasedDeduplication": "true"}}),
            "Invalid parameter: Attributes Reason: ContentBasedDeduplication can only be set on FIFO topics",
        ),
        (json!({"Name": "u", "Attributes": {"Colour": "red"}}), "Invalid parameter: AttributeName"),
    ] {
        assert_eq!(talk.refused("CreateTopic", input).await, ("InvalidParameter".into(), words.into()));
    }
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    let told = &told["Attributes"];
    assert_eq!((&told["DisplayName"], &told["Owner"]), (&json!("News"), &json!("000000000000")));
    assert!(text(&told["Policy"]).contains("__default_statement_ID"));
    assert_eq!(told["FifoTopic"], Value::Null);
    talk.sns("DeleteTopic", json!({"TopicArn": TOPIC})).await;
    talk.sns("DeleteTopic", json!({"TopicArn": TOPIC})).await;
    let gone = talk.refused("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    assert_eq!(gone, ("NotFound".into(), "Topic does not exist".into()));
}

#[tokio::test]
async fn a_topic_with_order_says_so() {
    let mut talk = Talk::new();
    let attributes =
        json!({"FifoTopic": "true", "ContentBasedDeduplication": "true", "FifoThroughputScope": "MessageGroup"});
    let input = json!({"Name": "t.fifo", "Attributes": attributes});
    let arn = text(&talk.sns("CreateTopic", input.clone()).await["TopicArn"]);
    talk.sns("CreateTopic", input).await;
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": arn})).await;
    for (name, value) in
        [("FifoTopic", "true"), ("ContentBasedDeduplication", "true"), ("FifoThroughputScope", "MessageGroup")]
    {
        assert_eq!(told["Attributes"][name], value, "{name}");
    }
    let set = json!({"TopicArn": arn, "AttributeName": "FifoTopic", "AttributeValue": "false"});
    assert_eq!(talk.refused("SetTopicAttributes", set).await.1, "Invalid parameter: AttributeName");
}

#[tokio::test]
async fn what_is_set_on_a_topic_is_told_and_can_be_taken_off() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let set = |name: &str, value: &str| json!({"TopicArn": TOPIC, "AttributeName": name, "AttributeValue": value});
    let policy =
        json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": TOPIC}]});
    for (name, value) in [
        (
            "DeliveryPolicy",
            r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":2,"numRetries":5}}}"#,
        ),
        ("DisplayName", "News"),
        ("KmsMasterKeyId", "alias/aws/sns"),
        ("MaximumMessageSize", "2048"),
        ("Policy", &policy.to_string()),
        ("SignatureVersion", "2"),
        ("SQSSuccessFeedbackSampleRate", "50"),
        ("HTTPFailureFeedbackRoleArn", "arn:aws:iam::000000000000:role/r"),
        ("TracingConfig", "Active"),
    ] {
        talk.sns("SetTopicAttributes", set(name, value)).await;
        let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
        assert_eq!(told["Attributes"][name], value, "{name}");
    }
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    assert!(text(&told["Attributes"]["EffectiveDeliveryPolicy"]).contains("\"numRetries\":5"));
    talk.sns("SetTopicAttributes", set("DeliveryPolicy", "")).await;
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    assert_eq!(told["Attributes"]["DeliveryPolicy"], Value::Null);
    for (name, value) in [
        ("DeliveryPolicy", "{"),
        ("MaximumMessageSize", "1000"),
        ("SignatureVersion", "3"),
        ("TracingConfig", "on"),
        ("SQSSuccessFeedbackSampleRate", "101"),
        ("Policy", "{}"),
        ("DisplayName", &"x".repeat(101)),
        ("ArchivePolicy", r#"{"MessageRetentionPeriod":"30"}"#),
    ] {
        assert_eq!(talk.refused("SetTopicAttributes", set(name, value)).await.0, "InvalidParameter", "{name}");
    }
    let foreign = json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}]});
    let refused = talk.refused("SetTopicAttributes", set("Policy", &foreign.to_string())).await;
    assert_eq!(refused.1, "Invalid parameter: Policy statement action out of service scope!");
}

#[tokio::test]
async fn topics_are_listed_a_hundred_a_page() {
    let mut talk = Talk::new();
    for number in 0..101 {
        talk.create_topic(&format!("t{number:03}")).await;
    }
    let first = talk.sns("ListTopics", json!({})).await;
    assert_eq!(first["Topics"].as_array().map(Vec::len), Some(100));
    let second = talk.sns("ListTopics", json!({"NextToken": first["NextToken"]})).await;
    assert_eq!(second["Topics"], json!([{"TopicArn": "arn:aws:sns:us-east-1:000000000000:t100"}]));
    assert_eq!(second["NextToken"], Value::Null);
}

#[tokio::test]
async fn tags_are_put_on_topics_and_taken_off() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    talk.sns("TagResource", json!({"ResourceArn": TOPIC, "Tags": [tag("a", "1"), tag("b", "2")]})).await;
    talk.sns("TagResource", json!({"ResourceArn": TOPIC, "Tags": [tag("b", "3")]})).await;
    talk.sns("UntagResource", json!({"ResourceArn": TOPIC, "TagKeys": ["a", "none"]})).await;
    let told = talk.sns("ListTagsForResource", json!({"ResourceArn": TOPIC})).await;
    assert_eq!(told["Tags"], json!([tag("b", "3")]));
    let twice = json!({"ResourceArn": TOPIC, "Tags": [tag("a", "1"), tag("a", "2")]});
    assert_eq!(talk.refused("TagResource", twice).await.1, "Invalid parameter: Duplicated keys are not allowed.");
    let many: Vec<_> = (0..50).map(|number| tag(&number.to_string(), "")).collect();
    let refused = talk.refused("TagResource", json!({"ResourceArn": TOPIC, "Tags": many})).await;
    assert_eq!(refused.0, "TagLimitExceeded");
    let gone = talk.refused("ListTagsForResource", json!({"ResourceArn": format!("{TOPIC}2")})).await;
    assert_eq!(gone, ("ResourceNotFound".into(), "Resource does not exist".into()));
}

#[tokio::test]
async fn permissions_are_statements_of_the_policy() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let add = json!({"TopicArn": TOPIC, "Label": "one", "AWSAccountId": ["111111111111"], "ActionName": ["Publish"]});
    talk.sns("AddPermission", add.clone()).await;
    assert_eq!(talk.refused("AddPermission", add).await.1, "Invalid parameter: Statement already exists");
    let policy = |told: Value| serde_json::from_str::<Value>(&text(&told["Attributes"]["Policy"])).unwrap();
    let told = policy(talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await);
    assert_eq!(told["Statement"][1]["Action"], "SNS:Publish");
    for _ in 0..2 {
        talk.sns("RemovePermission", json!({"TopicArn": TOPIC, "Label": "one"})).await;
    }
    let told = policy(talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await);
    assert_eq!(told["Statement"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_topic_goes_with_its_subscriptions() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let url = talk.create_queue("q", json!({})).await;
    let arn = talk.subscribe(TOPIC, "q", json!({})).await;
    talk.sns("DeleteTopic", json!({"TopicArn": TOPIC})).await;
    let gone = talk.refused("GetSubscriptionAttributes", json!({"SubscriptionArn": arn})).await;
    assert_eq!(gone, ("NotFound".into(), "Subscription does not exist".into()));
    talk.create_topic("t").await;
    talk.publish(TOPIC, "for nobody").await;
    assert!(talk.bodies(&url).await.is_empty());
    let told = talk.sns("GetTopicAttributes", json!({"TopicArn": TOPIC})).await;
    assert_eq!(told["Attributes"]["SubscriptionsConfirmed"], "0");
}
