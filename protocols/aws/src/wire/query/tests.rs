use serde_json::json;

use super::*;
use crate::service::Service;

fn read_form(action: &str, form: &str) -> Result<Value, Error> {
    read_form_of(Service::Sqs, action, form)
}

fn read_form_of(service: Service, action: &str, form: &str) -> Result<Value, Error> {
    let mut parsed = Form::default();
    parsed.read(form.as_bytes()).unwrap();
    value(&parsed, &service.operation(action).unwrap().input)
}

#[test]
fn parameters_become_what_json_would_have() {
    let form = "Action=SendMessage&QueueUrl=u&MessageBody=b&DelaySeconds=5&MessageAttribute.1.Name=n&\
                MessageAttribute.1.Value.StringValue=7&MessageAttribute.1.Value.DataType=Number&\
                MessageAttribute.2.Name=b&MessageAttribute.2.Value.BinaryValue=AAE%3D&MessageAttribute.2.Value.DataType=Binary&\
                MessageSystemAttribute.1.Name=AWSTraceHeader&MessageSystemAttribute.1.Value.StringValue=t&\
                MessageSystemAttribute.1.Value.DataType=String&Unknown.1.Thing=x";
    let expected = json!({
        "QueueUrl": "u",
        "MessageBody": "b",
        "DelaySeconds": 5,
        "MessageAttributes": {
            "n": {"StringValue": "7", "DataType": "Number"},
            "b": {"BinaryValue": "AAE=", "DataType": "Binary"},
        },
        "MessageSystemAttributes": {"AWSTraceHeader": {"StringValue": "t", "DataType": "String"}},
    });
    assert_eq!(read_form("SendMessage", form), Ok(expected));
}

#[test]
fn lists_are_in_the_order_of_their_numbers() {
    let form = "DeleteMessageBatchRequestEntry.10.Id=c&DeleteMessageBatchRequestEntry.2.Id=b&\
                DeleteMessageBatchRequestEntry.1.Id=a&DeleteMessageBatchRequestEntry.1.ReceiptHandle=r";
    let expected = json!({"Entries": [{"Id": "a", "ReceiptHandle": "r"}, {"Id": "b"}, {"Id": "c"}]});
    assert_eq!(read_form("DeleteMessageBatch", form), Ok(expected));
}

#[test]
fn one_of_a_kind_needs_no_number() {
    let expected = json!({"Attributes": {"VisibilityTimeout": "35"}});
    assert_eq!(read_form("SetQueueAttributes", "Attribute.Name=VisibilityTimeout&Attribute.Value=35"), Ok(expected));
    assert_eq!(read_form("GetQueueAttributes", "AttributeName=All"), Ok(json!({"AttributeNames": ["All"]})));
    assert_eq!(read_form("GetQueueAttributes", "AttributeName="), Ok(json!({"AttributeNames": []})));
    let expected = json!({"QueueName": "q", "tags": {"k": "v"}, "Attributes": {}});
    assert_eq!(read_form("CreateQueue", "QueueName=q&Tag.1.Key=k&Tag.1.Value=v&Attribute="), Ok(expected));
}

#[test]
fn values_that_are_not_what_they_should_be_are_refused() {
    for form in [
        "DelaySeconds=soon",
        "DelaySeconds=",
        "DelaySeconds=99999999999999999999",
        "MessageAttribute.1.Value.DataType=String",
    ] {
        let error = read_form("SendMessage", form).unwrap_err();
        assert_eq!(error.query_code(), "MalformedInput", "{form}");
    }
}

#[test]
fn parts_of_lists_and_maps_of_sns_have_a_name() {
    let form = "TopicArn=t&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.Message=m&\
                PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=n&\
                PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.DataType=String&\
                PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.StringValue=v&\
                PublishBatchRequestEntries.member.2.Id=b";
    let attributes = json!({"n": {"DataType": "String", "StringValue": "v"}});
    let expected = json!({
        "TopicArn": "t",
        "PublishBatchRequestEntries": [{"Id": "a", "Message": "m", "MessageAttributes": attributes}, {"Id": "b"}],
    });
    assert_eq!(read_form_of(Service::Sns, "PublishBatch", form), Ok(expected));
    let form = "Name=n&Attributes.entry.1.key=FifoTopic&Attributes.entry.1.value=true&Tags.member.1.Key=k&Tags.member.1.Value=";
    let expected = json!({"Name": "n", "Attributes": {"FifoTopic": "true"}, "Tags": [{"Key": "k", "Value": ""}]});
    assert_eq!(read_form_of(Service::Sns, "CreateTopic", form), Ok(expected));
    let expected = json!({"Attributes": {}, "Tags": []});
    assert_eq!(read_form_of(Service::Sns, "CreateTopic", "Attributes=&Tags="), Ok(expected));
}
