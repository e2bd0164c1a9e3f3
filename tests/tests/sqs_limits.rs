//! What `[aws]` in the configuration sets for SQS.

use gantry_tests::aws::{Aws, Refused};
use gantry_tests::broker::Broker;
use gantry_tests::unique;
use serde_json::{Value, json};

fn start(config: &str) -> (Broker, Aws) {
    let broker = Broker::settings().listener("aws").config(&format!("[aws]\n{config}\n")).start();
    let aws = Aws::open(broker.address_of("aws")).expect("connected");
    (broker, aws)
}

fn refused(aws: &mut Aws, action: &str, values: &Value) -> Refused {
    aws.try_call(action, values).expect("an answer").expect_err("a refusal")
}

/// One client at a time asks a broker of its own; there is none of somebody else's to compare.
fn is_external() -> bool {
    std::env::var_os("GANTRY_E2E_URL").is_some()
}

#[test]
fn messages_in_flight() {
    if is_external() {
        return;
    }
    let (mut broker, mut aws) = start("in_flight_max = 5\nin_flight_fifo_max = 3");
    let standard = aws.create_queue(&unique("standard"), &json!({})).expect("created");
    let fifo = aws.create_queue(&(unique("fifo") + ".fifo"), &json!({ "FifoQueue": "true" })).expect("created");
    for n in 0..9 {
        aws.call("SendMessage", &json!({ "QueueUrl": standard, "MessageBody": "x" })).expect("sent");
        let ask = json!({
            "QueueUrl": fifo, "MessageBody": "x", "MessageGroupId": n.to_string(), "MessageDeduplicationId": n.to_string(),
        });
        aws.call("SendMessage", &ask).expect("sent");
    }
    // A standard queue says so; a FIFO queue gives no more.
    let mut held = aws.receive(&standard, 60, 0).expect("received");
    while held.len() < 5 {
        held.extend(aws.receive(&standard, 60, 0).expect("received"));
    }
    assert_eq!(held.len(), 5);
    assert_eq!(refused(&mut aws, "ReceiveMessage", &json!({ "QueueUrl": standard })).error, "OverLimit");
    let held_fifo = aws.receive(&fifo, 60, 0).expect("received");
    assert_eq!(held_fifo.len(), 3);
    assert_eq!(aws.receive(&fifo, 60, 0).expect("received"), Vec::<Value>::new());
    // What is deleted, or given back, makes room.
    aws.delete(&standard, &held[..2]).expect("deleted");
    assert_eq!(aws.receive(&standard, 60, 0).expect("received").len(), 2);
    let back = json!({ "QueueUrl": fifo, "ReceiptHandle": held_fifo[0]["ReceiptHandle"], "VisibilityTimeout": 0 });
    aws.call("ChangeMessageVisibility", &back).expect("given back");
    assert_eq!(aws.receive(&fifo, 60, 0).expect("received").len(), 1);
    broker.assert_sound();
}

#[test]
fn names_that_were_deleted_and_queues_that_were_purged() {
    if is_external() {
        return;
    }
    let (mut broker, mut aws) = start("recreate_wait_s = 60\npurge_wait_s = 0");
    let name = unique("again");
    let queue = aws.create_queue(&name, &json!({})).expect("created");
    for _ in 0..3 {
        aws.call("PurgeQueue", &json!({ "QueueUrl": queue })).expect("purged");
    }
    aws.call("DeleteQueue", &json!({ "QueueUrl": queue })).expect("deleted");
    let told = refused(&mut aws, "CreateQueue", &json!({ "QueueName": name }));
    assert_eq!(told.error, "QueueDeletedRecently");
    assert_eq!(
        told.message,
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    );
    aws.create_queue(&unique("other"), &json!({})).expect("another name");
    broker.assert_sound();
}

#[test]
fn sizes_and_addresses() {
    if is_external() {
        return;
    }
    let (mut broker, mut aws) =
        start("message_bytes_max = \"2KiB\"\nqueue_url = \"https://sqs.example.com\"\nregion = \"eu-west-3\"");
    let name = unique("named");
    let queue = aws.create_queue(&name, &json!({})).expect("created");
    assert_eq!(queue, format!("https://sqs.example.com/000000000000/{name}"));
    aws.call("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "x".repeat(2048) })).expect("sent");
    let ask = json!({ "QueueUrl": queue, "MessageBody": "x".repeat(2049) });
    assert_eq!(refused(&mut aws, "SendMessage", &ask).error, "InvalidParameterValueException");
    let entries: Vec<Value> = (0..3).map(|n| json!({ "Id": n.to_string(), "MessageBody": "x".repeat(700) })).collect();
    let ask = json!({ "QueueUrl": queue, "Entries": entries });
    assert_eq!(refused(&mut aws, "SendMessageBatch", &ask).error, "BatchRequestTooLong");
    // Unsigned requests are for the configured region, others for the one that they are signed for.
    let told =
        aws.call("GetQueueAttributes", &json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] })).expect("told");
    assert_eq!(told["Attributes"]["QueueArn"], json!(format!("arn:aws:sqs:us-east-1:000000000000:{name}")));
    let body = json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] }).to_string();
    let unsigned = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.GetQueueAttributes\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    aws.write(unsigned.as_bytes()).expect("sent");
    let told = aws.answer().expect("an answer").json().expect("JSON");
    assert_eq!(told["Attributes"]["QueueArn"], json!(format!("arn:aws:sqs:eu-west-3:000000000000:{name}")));
    broker.assert_sound();
}

#[test]
fn accounts_are_virtual_hosts() {
    if is_external() {
        return;
    }
    let (mut broker, mut aws) = start("accounts = [\"111122223333=/\"]");
    let name = unique("mine");
    let queue = aws.create_queue(&name, &json!({})).expect("created");
    assert!(queue.ends_with(&format!("/111122223333/{name}")), "{queue}");
    let told =
        aws.call("GetQueueAttributes", &json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] })).expect("told");
    assert_eq!(told["Attributes"]["QueueArn"], json!(format!("arn:aws:sqs:us-east-1:111122223333:{name}")));
    let other = queue.replace("111122223333", "000000000000");
    let ask = json!({ "QueueUrl": other, "MessageBody": "x" });
    let told = refused(&mut aws, "SendMessage", &ask).error;
    assert!(told == "QueueDoesNotExist" || told == "AccessDeniedException", "{told}");
    broker.assert_sound();
}
