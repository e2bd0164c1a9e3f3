//! Inputs and outputs of SQS as the service model has them. A list has the name of its items in Query, a map the name of its
//! entries: all of them are flattened.

use super::{Member, Operation, Shape, integer, member, named, string};

const STRINGS: Shape = Shape::List(&Shape::String);
const BLOBS: Shape = Shape::List(&Shape::Blob);

const ATTRIBUTES: Shape = Shape::Map { key: "Name", value: "Value", shape: &Shape::String };
const TAGS: Shape = Shape::Map { key: "Key", value: "Value", shape: &Shape::String };
const MESSAGE_ATTRIBUTES: Shape = Shape::Map { key: "Name", value: "Value", shape: &ATTRIBUTE_VALUE };

const ATTRIBUTE_VALUE: Shape = Shape::Structure(&[
    string("StringValue"),
    member("BinaryValue", Shape::Blob),
    named("StringListValues", "StringListValue", STRINGS),
    named("BinaryListValues", "BinaryListValue", BLOBS),
    string("DataType"),
]);

const QUEUE_URL: Member = string("QueueUrl");
const NEXT_TOKEN: Member = string("NextToken");
const MAX_RESULTS: Member = integer("MaxResults");
const ATTRIBUTE_NAMES: Member = named("AttributeNames", "AttributeName", STRINGS);

const FAILED: Member = named(
    "Failed",
    "BatchResultErrorEntry",
    Shape::List(&Shape::Structure(&[
        string("Id"),
        member("SenderFault", Shape::Boolean),
        string("Code"),
        string("Message"),
    ])),
);

const RECEIVED: Shape = Shape::Structure(&[
    string("MessageId"),
    string("ReceiptHandle"),
    string("MD5OfBody"),
    string("Body"),
    named("Attributes", "Attribute", ATTRIBUTES),
    string("MD5OfMessageAttributes"),
    named("MessageAttributes", "MessageAttribute", MESSAGE_ATTRIBUTES),
]);

const MOVE_TASK: Shape = Shape::Structure(&[
    string("TaskHandle"),
    string("Status"),
    string("SourceArn"),
    string("DestinationArn"),
    integer("MaxNumberOfMessagesPerSecond"),
    integer("ApproximateNumberOfMessagesMoved"),
    integer("ApproximateNumberOfMessagesToMove"),
    string("FailureReason"),
    integer("StartedTimestamp"),
]);

/// All actions, in the order of the alphabet.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "AddPermission",
        input: Shape::Structure(&[
            QUEUE_URL,
            string("Label"),
            named("AWSAccountIds", "AWSAccountId", STRINGS),
            named("Actions", "ActionName", STRINGS),
        ]),
        output: None,
    },
    Operation {
        name: "CancelMessageMoveTask",
        input: Shape::Structure(&[string("TaskHandle")]),
        output: Some(Shape::Structure(&[integer("ApproximateNumberOfMessagesMoved")])),
    },
    Operation {
        name: "ChangeMessageVisibility",
        input: Shape::Structure(&[QUEUE_URL, string("ReceiptHandle"), integer("VisibilityTimeout")]),
        output: None,
    },
    Operation {
        name: "ChangeMessageVisibilityBatch",
        input: Shape::Structure(&[
            QUEUE_URL,
            named(
                "Entries",
                "ChangeMessageVisibilityBatchRequestEntry",
                Shape::List(&Shape::Structure(&[string("Id"), string("ReceiptHandle"), integer("VisibilityTimeout")])),
            ),
        ]),
        output: Some(Shape::Structure(&[
            named(
                "Successful",
                "ChangeMessageVisibilityBatchResultEntry",
                Shape::List(&Shape::Structure(&[string("Id")])),
            ),
            FAILED,
        ])),
    },
    Operation {
        name: "CreateQueue",
        input: Shape::Structure(&[
            string("QueueName"),
            named("Attributes", "Attribute", ATTRIBUTES),
            named("tags", "Tag", TAGS),
        ]),
        output: Some(Shape::Structure(&[QUEUE_URL])),
    },
    Operation { name: "DeleteMessage", input: Shape::Structure(&[QUEUE_URL, string("ReceiptHandle")]), output: None },
    Operation {
        name: "DeleteMessageBatch",
        input: Shape::Structure(&[
            QUEUE_URL,
            named(
                "Entries",
                "DeleteMessageBatchRequestEntry",
                Shape::List(&Shape::Structure(&[string("Id"), string("ReceiptHandle")])),
            ),
        ]),
        output: Some(Shape::Structure(&[
            named("Successful", "DeleteMessageBatchResultEntry", Shape::List(&Shape::Structure(&[string("Id")]))),
            FAILED,
        ])),
    },
    Operation { name: "DeleteQueue", input: Shape::Structure(&[QUEUE_URL]), output: None },
    Operation {
        name: "GetQueueAttributes",
        input: Shape::Structure(&[QUEUE_URL, ATTRIBUTE_NAMES]),
        output: Some(Shape::Structure(&[named("Attributes", "Attribute", ATTRIBUTES)])),
    },
    Operation {
        name: "GetQueueUrl",
        input: Shape::Structure(&[string("QueueName"), string("QueueOwnerAWSAccountId")]),
        output: Some(Shape::Structure(&[QUEUE_URL])),
    },
    Operation {
        name: "ListDeadLetterSourceQueues",
        input: Shape::Structure(&[QUEUE_URL, NEXT_TOKEN, MAX_RESULTS]),
        output: Some(Shape::Structure(&[named("queueUrls", "QueueUrl", STRINGS), NEXT_TOKEN])),
    },
    Operation {
        name: "ListMessageMoveTasks",
        input: Shape::Structure(&[string("SourceArn"), MAX_RESULTS]),
        output: Some(Shape::Structure(&[named("Results", "ListMessageMoveTasksResultEntry", Shape::List(&MOVE_TASK))])),
    },
    Operation {
        name: "ListQueueTags",
        input: Shape::Structure(&[QUEUE_URL]),
        output: Some(Shape::Structure(&[named("Tags", "Tag", TAGS)])),
    },
    Operation {
        name: "ListQueues",
        input: Shape::Structure(&[string("QueueNamePrefix"), NEXT_TOKEN, MAX_RESULTS]),
        output: Some(Shape::Structure(&[named("QueueUrls", "QueueUrl", STRINGS), NEXT_TOKEN])),
    },
    Operation { name: "PurgeQueue", input: Shape::Structure(&[QUEUE_URL]), output: None },
    Operation {
        name: "ReceiveMessage",
        input: Shape::Structure(&[
            QUEUE_URL,
            ATTRIBUTE_NAMES,
            named("MessageSystemAttributeNames", "MessageSystemAttributeName", STRINGS),
            // The model of Query is older than this member, and clients have given it two names.
            named("MessageSystemAttributeNames", "MessageSystemAttributeNames", STRINGS),
            named("MessageAttributeNames", "MessageAttributeName", STRINGS),
            integer("MaxNumberOfMessages"),
            integer("VisibilityTimeout"),
            integer("WaitTimeSeconds"),
            string("ReceiveRequestAttemptId"),
        ]),
        output: Some(Shape::Structure(&[named("Messages", "Message", Shape::List(&RECEIVED))])),
    },
    Operation { name: "RemovePermission", input: Shape::Structure(&[QUEUE_URL, string("Label")]), output: None },
    Operation {
        name: "SendMessage",
        input: Shape::Structure(&[
            QUEUE_URL,
            string("MessageBody"),
            integer("DelaySeconds"),
            named("MessageAttributes", "MessageAttribute", MESSAGE_ATTRIBUTES),
            named("MessageSystemAttributes", "MessageSystemAttribute", MESSAGE_ATTRIBUTES),
            string("MessageDeduplicationId"),
            string("MessageGroupId"),
        ]),
        output: Some(Shape::Structure(&[
            string("MD5OfMessageBody"),
            string("MD5OfMessageAttributes"),
            string("MD5OfMessageSystemAttributes"),
            string("MessageId"),
            string("SequenceNumber"),
        ])),
    },
    Operation {
        name: "SendMessageBatch",
        input: Shape::Structure(&[
            QUEUE_URL,
            named(
                "Entries",
                "SendMessageBatchRequestEntry",
                Shape::List(&Shape::Structure(&[
                    string("Id"),
                    string("MessageBody"),
                    integer("DelaySeconds"),
                    named("MessageAttributes", "MessageAttribute", MESSAGE_ATTRIBUTES),
                    named("MessageSystemAttributes", "MessageSystemAttribute", MESSAGE_ATTRIBUTES),
                    string("MessageDeduplicationId"),
                    string("MessageGroupId"),
                ])),
            ),
        ]),
        output: Some(Shape::Structure(&[
            named(
                "Successful",
                "SendMessageBatchResultEntry",
                Shape::List(&Shape::Structure(&[
                    string("Id"),
                    string("MessageId"),
                    string("MD5OfMessageBody"),
                    string("MD5OfMessageAttributes"),
                    string("MD5OfMessageSystemAttributes"),
                    string("SequenceNumber"),
                ])),
            ),
            FAILED,
        ])),
    },
    Operation {
        name: "SetQueueAttributes",
        input: Shape::Structure(&[QUEUE_URL, named("Attributes", "Attribute", ATTRIBUTES)]),
        output: None,
    },
    Operation {
        name: "StartMessageMoveTask",
        input: Shape::Structure(&[
            string("SourceArn"),
            string("DestinationArn"),
            integer("MaxNumberOfMessagesPerSecond"),
        ]),
        output: Some(Shape::Structure(&[string("TaskHandle")])),
    },
    Operation { name: "TagQueue", input: Shape::Structure(&[QUEUE_URL, named("Tags", "Tag", TAGS)]), output: None },
    Operation {
        name: "UntagQueue",
        input: Shape::Structure(&[QUEUE_URL, named("TagKeys", "TagKey", STRINGS)]),
        output: None,
    },
];
