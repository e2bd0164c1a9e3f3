//! Publishing, and what is received of it.

use super::*;

const ATTRIBUTES: &str = r#"{"a":{"DataType":"String","StringValue":"x\"y"},"b":{"DataType":"Binary","BinaryValue":"AgM="},
    "l":{"DataType":"String.Array","StringValue":"[\"a\"]"},"n":{"DataType":"Number","StringValue":"5.5"}}"#;

fn attributes() -> Value {
    serde_json::from_str(ATTRIBUTES).unwrap()
}

impl Talk {
    /// A topic with two queues: `q` gets documents, `r` messages as they are. The URLs of both.
    async fn subscribed(&mut self) -> (String, String) {
        self.create_topic("t").await;
        let q = self.create_queue("q", json!({})).await;
        let r = self.create_queue("r", json!({})).await;
        self.subscribe(TOPIC, "q", json!({})).await;
        self.subscribe(TOPIC, "r", json!({"RawMessageDelivery": "true"})).await;
        (q, r)
    }

    async fn one(&mut self, url: &str) -> Value {
        let mut messages = self.receive(url).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }
}

#[tokio::test]
async fn a_message_comes_with_a_document_around_it_or_as_it_is() {
    let mut talk = Talk::new();
    let (q, r) = talk.subscribed().await;
    let input = json!({"TopicArn": TOPIC, "Message": "hello ö", "Subject": "s", "MessageAttributes": attributes()});
    let published = talk.sns("Publish", input).await;
    let message = talk.one(&q).await;
    assert_eq!(message["MessageAttributes"], Value::Null);
    assert_ne!(message["MessageId"], published["MessageId"]);
    let body = text(&message["Body"]);
    assert!(body.starts_with("{\n  \"Type\" : \"Notification\",\n  \"MessageId\" : \""), "{body}");
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(document["MessageId"], published["MessageId"]);
    assert_eq!((&document["Subject"], &document["Message"]), (&json!("s"), &json!("hello ö")));
    assert_eq!(document["MessageAttributes"]["b"], json!({"Type": "Binary", "Value": "AgM="}));
    assert_eq!(document["MessageAttributes"]["l"], json!({"Type": "String.Array", "Value": "[\"a\"]"}));
    assert_eq!(document["SignatureVersion"], "1");
    let raw = talk.one(&r).await;
    assert_eq!(raw["Body"], "hello ö");
    assert_eq!(raw["MessageAttributes"], attributes());
}

#[tokio::test]
async fn each_protocol_is_told_what_is_meant_for_it() {
    let mut talk = Talk::new();
    let (q, r) = talk.subscribed().await;
    for (said, expected) in [(json!({"default": "d", "sqs": "s", "http": "h"}), "s"), (json!({"default": "d"}), "d")] {
        let input = json!({"TargetArn": TOPIC, "Message": said.to_string(), "MessageStructure": "json"});
        talk.sns("Publish", input).await;
        assert_eq!(talk.bodies(&q).await, [format!("json:{expected}")]);
        assert_eq!(talk.bodies(&r).await, [expected]);
    }
}

#[tokio::test]
async fn a_message_that_is_given_up_keeps_its_form() {
    let mut talk = Talk::new();
    let (q, r) = talk.subscribed().await;
    let letters = talk.create_queue("letters", json!({})).await;
    let redrive = json!({"deadLetterTargetArn": queue_arn("letters"), "maxReceiveCount": 1}).to_string();
    let attributes = json!({"RedrivePolicy": redrive, "VisibilityTimeout": "0"});
    talk.publish(TOPIC, "1").await;
    for (url, expected) in [(&q, "json:1"), (&r, "1")] {
        talk.sqs("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": attributes})).await;
        for _ in 0..2 {
            talk.sqs("ReceiveMessage", json!({"QueueUrl": url})).await;
        }
        let received = talk.sqs("ReceiveMessage", json!({"QueueUrl": letters, "WaitTimeSeconds": 20})).await;
        assert_eq!(shown(&text(&received["Messages"][0]["Body"])), expected);
    }
}

#[tokio::test]
async fn a_batch_is_told_what_became_of_each_message() {
    let mut talk = Talk::new();
    let (_, r) = talk.subscribed().await;
    let entries: Vec<_> = (0..10).map(|n| json!({"Id": n.to_string(), "Message": format!("m{n}")})).collect();
    let told = talk.sns("PublishBatch", json!({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries})).await;
    assert_eq!((told["Successful"].as_array().map(Vec::len), &told["Failed"]), (Some(10), &json!([])));
    assert_eq!(talk.bodies(&r).await, (0..10).map(|n| format!("m{n}")).collect::<Vec<_>>());
    let half = "x".repeat(131_073);
    let long = json!([{"Id": "a", "Message": half}, {"Id": "b", "Message": half}]);
    let empty = json!([{"Id": "a", "Message": "x"}, {"Id": "b", "Message": ""}]);
    let eleven: Vec<_> = (0..11).map(|n| json!({"Id": n.to_string(), "Message": "x"})).collect();
    for (entries, code, words) in [
        (long, "BatchRequestTooLong", "The length of all the messages put together is more than the limit."),
        (empty, "InvalidParameter", "Invalid parameter: Empty message"),
        (json!(eleven), "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible."),
        (json!([]), "EmptyBatchRequest", "The batch request doesn't contain any entries."),
    ] {
        let input = json!({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries});
        assert_eq!(talk.refused("PublishBatch", input).await, (code.to_owned(), words.to_owned()));
    }
    assert!(talk.bodies(&r).await.is_empty(), "of what is refused nothing is published");
}

#[tokio::test]
async fn what_aws_refuses_is_refused_in_its_words() {
    let mut talk = Talk::new();
    talk.create_topic("t").await;
    let to = |more: Value| {
        let mut input = json!({"TopicArn": TOPIC, "Message": "x"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let invalid = |words: &str| ("InvalidParameter".to_owned(), format!("Invalid parameter: {words}"));
    for (input, words) in [
        (json!({"Message": "x"}), "TopicArn or TargetArn Reason: no value for required parameter"),
        (to(json!({"TopicArn": "t"})), "TopicArn Reason: An ARN must have at least 6 elements, not 1"),
        (to(json!({"Message": ""})), "Empty message"),
        (to(json!({"Subject": ""})), "Subject"),
        (to(json!({"Subject": "a\nb"})), "Subject"),
        (to(json!({"Subject": "s".repeat(101)})), "Subject"),
        (to(json!({"Message": "x".repeat(262_145)})), "Message too long"),
        (
            to(json!({"MessageDeduplicationId": "d"})),
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this \
             topic type",
        ),
        (to(json!({"MessageStructure": "json"})), "Message Structure - JSON message body failed to parse"),
        (
            to(json!({"MessageStructure": "json", "Message": "{}"})),
            "Message Structure - No default entry in JSON message body",
        ),
    ] {
        assert_eq!(talk.refused("Publish", input).await, invalid(words));
    }
    let (code, words) = talk.refused("Publish", to(json!({"TopicArn": format!("{TOPIC}2")}))).await;
    assert_eq!((&*code, &*words), ("NotFound", "Topic does not exist"));
    talk.sns("Publish", to(json!({"Subject": "s".repeat(100), "MessageStructure": "string"}))).await;
}

#[tokio::test]
async fn a_data_protection_policy_is_applied_on_both_ways() {
    let mut talk = Talk::new();
    let (q, r) = talk.subscribed().await;
    let policy = |direction: &str, operation: Value| {
        let identifier = "arn:aws:dataprotection::aws:data-identifier/EmailAddress";
        let statement = json!({"DataDirection": direction, "Principal": ["*"], "DataIdentifier": [identifier], "Operation": operation});
        json!({"Name": "p", "Version": "2021-06-01", "Statement": [statement]}).to_string()
    };
    let put = |policy: &str| json!({"ResourceArn": TOPIC, "DataProtectionPolicy": policy});
    let mail = json!({"TopicArn": TOPIC, "Message": "to a@b.example"});

    talk.sns("PutDataProtectionPolicy", put(&policy("Inbound", json!({"Deny": {}})))).await;
    assert_eq!(talk.refused("Publish", mail.clone()).await.0, "AuthorizationError");
    let entries = json!([{"Id": "x", "Message": "a@b.example"}, {"Id": "y", "Message": "fine"}]);
    let told = talk.sns("PublishBatch", json!({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries})).await;
    assert_eq!((&told["Failed"][0]["Id"], &told["Successful"][0]["Id"]), (&json!("x"), &json!("y")));
    assert_eq!((talk.bodies(&q).await, talk.bodies(&r).await), (vec!["json:fine".to_owned()], vec!["fine".to_owned()]));

    let mask = json!({"Deidentify": {"MaskConfig": {"MaskWithCharacter": "#"}}});
    for direction in ["Inbound", "Outbound"] {
        talk.sns("PutDataProtectionPolicy", put(&policy(direction, mask.clone()))).await;
        talk.sns("Publish", mail.clone()).await;
        assert_eq!(talk.bodies(&q).await, ["json:to ###########"]);
        assert_eq!(talk.bodies(&r).await, ["to ###########"]);
    }

    let deny = policy("Outbound", json!({"Deny": {}}));
    talk.sns("PutDataProtectionPolicy", put(&deny)).await;
    let got = talk.sns("GetDataProtectionPolicy", json!({"ResourceArn": TOPIC})).await;
    assert_eq!(got["DataProtectionPolicy"], deny);
    talk.sns("Publish", mail.clone()).await;
    talk.publish(TOPIC, "after").await;
    assert_eq!(
        (talk.bodies(&q).await, talk.bodies(&r).await),
        (vec!["json:after".to_owned()], vec!["after".to_owned()])
    );

    talk.sns("PutDataProtectionPolicy", put("")).await;
    talk.sns("Publish", mail).await;
    assert_eq!(
        talk.bodies(&r).await,
        ["to a@b.example"],
        "what is denied is gone, and what comes without a policy stays"
    );
}

#[tokio::test]
async fn a_data_protection_policy_that_cannot_be_read_lets_nothing_through() {
    let mut talk = Talk::new();
    let (q, _) = talk.subscribed().await;
    talk.publish(TOPIC, "before").await;
    let vhost = talk.server.broker.vhost("/").unwrap();
    let exchange = vhost.exchange("t").unwrap();
    let mut settings = (*exchange.settings()).clone();
    // As another version of the program may have left it.
    settings.annotations.insert("sns.DataProtectionPolicy".to_owned(), "{}".to_owned());
    vhost.set_exchange_settings(&exchange, settings).unwrap().wait().await.unwrap();
    let mail = json!({"TopicArn": TOPIC, "Message": "fine"});
    assert_eq!(talk.refused("Publish", mail).await.0, "AuthorizationError");
    assert_eq!(talk.bodies(&q).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_topic_with_order_takes_nothing_twice() {
    let mut talk = Talk::new();
    let attributes = json!({"FifoTopic": "true", "ContentBasedDeduplication": "true"});
    let topic = talk.sns("CreateTopic", json!({"Name": "t.fifo", "Attributes": attributes})).await;
    let topic = text(&topic["TopicArn"]);
    let ordered = talk.create_queue("q.fifo", json!({"FifoQueue": "true"})).await;
    let plain = talk.create_queue("q", json!({})).await;
    talk.subscribe(&topic, "q.fifo", json!({})).await;
    talk.subscribe(&topic, "q", json!({"RawMessageDelivery": "true"})).await;
    let refused = talk.refused("Publish", json!({"TopicArn": topic, "Message": "x"})).await;
    assert_eq!(refused.1, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics");
    let publish = |message: &str, id: Value| json!({"TopicArn": topic, "Message": message, "MessageGroupId": "g", "MessageDeduplicationId": id});
    let first = talk.sns("Publish", publish("1", Value::Null)).await;
    let again = talk.sns("Publish", publish("1", Value::Null)).await;
    assert_eq!(first, again);
    let second = talk.sns("Publish", publish("1", json!("other"))).await;
    assert!(text(&first["SequenceNumber"]) < text(&second["SequenceNumber"]));
    assert_eq!(text(&first["SequenceNumber"]).len(), 20);
    assert_eq!(talk.bodies(&plain).await, ["1", "1"]);
    let input = json!({"QueueUrl": ordered, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]});
    let received = talk.sqs("ReceiveMessage", input).await;
    let messages = received["Messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    let document: Value = serde_json::from_str(&text(&messages[0]["Body"])).unwrap();
    assert_eq!((&document["SequenceNumber"], &document["MessageId"]), (&first["SequenceNumber"], &first["MessageId"]));
    assert_eq!(document["Signature"], Value::Null);
    let told = &messages[0]["Attributes"];
    assert_eq!(told["MessageGroupId"], "g");
    // The SHA-256 of the body.
    assert_eq!(told["MessageDeduplicationId"], "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
    assert_eq!(messages[1]["Attributes"]["MessageDeduplicationId"], "other");
}
