//! Inputs and outputs of SNS as the service model has them. Items of a list are `member` in Query, entries of a map `entry`.

use super::{Member, Operation, Shape, integer, member, string};

const STRINGS: Shape = Shape::Within("member", &Shape::List(&Shape::String));
const ATTRIBUTES: Shape = Shape::Within("entry", &Shape::Map { key: "key", value: "value", shape: &Shape::String });
const MESSAGE_ATTRIBUTES: Shape =
    Shape::Within("entry", &Shape::Map { key: "Name", value: "Value", shape: &ATTRIBUTE_VALUE });

const ATTRIBUTE_VALUE: Shape =
    Shape::Structure(&[string("DataType"), string("StringValue"), member("BinaryValue", Shape::Blob)]);

const TAGS: Member =
    member("Tags", Shape::Within("member", &Shape::List(&Shape::Structure(&[string("Key"), string("Value")]))));

const SUBSCRIPTIONS: Member = member(
    "Subscriptions",
    Shape::Within(
        "member",
        &Shape::List(&Shape::Structure(&[
            string("SubscriptionArn"),
            string("Owner"),
            string("Protocol"),
            string("Endpoint"),
            string("TopicArn"),
        ])),
    ),
);

/// All actions, in the order of the alphabet.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "AddPermission",
        input: Shape::Structure(&[
            string("TopicArn"),
            string("Label"),
            member("AWSAccountId", STRINGS),
            member("ActionName", STRINGS),
        ]),
        output: None,
    },
    Operation {
        name: "CheckIfPhoneNumberIsOptedOut",
        input: Shape::Structure(&[string("phoneNumber")]),
        output: Some(Shape::Structure(&[member("isOptedOut", Shape::Boolean)])),
    },
    Operation {
        name: "ConfirmSubscription",
        input: Shape::Structure(&[string("TopicArn"), string("Token"), string("AuthenticateOnUnsubscribe")]),
        output: Some(Shape::Structure(&[string("SubscriptionArn")])),
    },
    Operation {
        name: "CreatePlatformApplication",
        input: Shape::Structure(&[string("Name"), string("Platform"), member("Attributes", ATTRIBUTES)]),
        output: Some(Shape::Structure(&[string("PlatformApplicationArn")])),
    },
    Operation {
        name: "CreatePlatformEndpoint",
        input: Shape::Structure(&[
            string("PlatformApplicationArn"),
            string("Token"),
            string("CustomUserData"),
            member("Attributes", ATTRIBUTES),
        ]),
        output: Some(Shape::Structure(&[string("EndpointArn")])),
    },
    Operation {
        name: "CreateSMSSandboxPhoneNumber",
        input: Shape::Structure(&[string("PhoneNumber"), string("LanguageCode")]),
        output: Some(Shape::Structure(&[])),
    },
    Operation {
        name: "CreateTopic",
        input: Shape::Structure(&[
            string("Name"),
            member("Attributes", ATTRIBUTES),
            TAGS,
            string("DataProtectionPolicy"),
        ]),
        output: Some(Shape::Structure(&[string("TopicArn")])),
    },
    Operation { name: "DeleteEndpoint", input: Shape::Structure(&[string("EndpointArn")]), output: None },
    Operation {
        name: "DeletePlatformApplication",
        input: Shape::Structure(&[string("PlatformApplicationArn")]),
        output: None,
    },
    Operation {
        name: "DeleteSMSSandboxPhoneNumber",
        input: Shape::Structure(&[string("PhoneNumber")]),
        output: Some(Shape::Structure(&[])),
    },
    Operation { name: "DeleteTopic", input: Shape::Structure(&[string("TopicArn")]), output: None },
    Operation {
        name: "GetDataProtectionPolicy",
        input: Shape::Structure(&[string("ResourceArn")]),
        output: Some(Shape::Structure(&[string("DataProtectionPolicy")])),
    },
    Operation {
        name: "GetEndpointAttributes",
        input: Shape::Structure(&[string("EndpointArn")]),
        output: Some(Shape::Structure(&[member("Attributes", ATTRIBUTES)])),
    },
    Operation {
        name: "GetPlatformApplicationAttributes",
        input: Shape::Structure(&[string("PlatformApplicationArn")]),
        output: Some(Shape::Structure(&[member("Attributes", ATTRIBUTES)])),
    },
    Operation {
        name: "GetSMSAttributes",
        input: Shape::Structure(&[member("attributes", STRINGS)]),
        output: Some(Shape::Structure(&[member("attributes", ATTRIBUTES)])),
    },
    Operation {
        name: "GetSMSSandboxAccountStatus",
        input: Shape::Structure(&[]),
        output: Some(Shape::Structure(&[member("IsInSandbox", Shape::Boolean)])),
    },
    Operation {
        name: "GetSubscriptionAttributes",
        input: Shape::Structure(&[string("SubscriptionArn")]),
        output: Some(Shape::Structure(&[member("Attributes", ATTRIBUTES)])),
    },
    Operation {
        name: "GetTopicAttributes",
        input: Shape::Structure(&[string("TopicArn")]),
        output: Some(Shape::Structure(&[member("Attributes", ATTRIBUTES)])),
    },
    Operation {
        name: "ListEndpointsByPlatformApplication",
        input: Shape::Structure(&[string("PlatformApplicationArn"), string("NextToken")]),
        output: Some(Shape::Structure(&[
            member(
                "Endpoints",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[string("EndpointArn"), member("Attributes", ATTRIBUTES)])),
                ),
            ),
            string("NextToken"),
        ])),
    },
    Operation {
        name: "ListOriginationNumbers",
        input: Shape::Structure(&[string("NextToken"), integer("MaxResults")]),
        output: Some(Shape::Structure(&[
            string("NextToken"),
            member(
                "PhoneNumbers",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[
                        member("CreatedAt", Shape::Timestamp),
                        string("PhoneNumber"),
                        string("Status"),
                        string("Iso2CountryCode"),
                        string("RouteType"),
                        member("NumberCapabilities", STRINGS),
                    ])),
                ),
            ),
        ])),
    },
    Operation {
        name: "ListPhoneNumbersOptedOut",
        input: Shape::Structure(&[string("nextToken")]),
        output: Some(Shape::Structure(&[member("phoneNumbers", STRINGS), string("nextToken")])),
    },
    Operation {
        name: "ListPlatformApplications",
        input: Shape::Structure(&[string("NextToken")]),
        output: Some(Shape::Structure(&[
            member(
                "PlatformApplications",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[
                        string("PlatformApplicationArn"),
                        member("Attributes", ATTRIBUTES),
                    ])),
                ),
            ),
            string("NextToken"),
        ])),
    },
    Operation {
        name: "ListSMSSandboxPhoneNumbers",
        input: Shape::Structure(&[string("NextToken"), integer("MaxResults")]),
        output: Some(Shape::Structure(&[
            member(
                "PhoneNumbers",
                Shape::Within("member", &Shape::List(&Shape::Structure(&[string("PhoneNumber"), string("Status")]))),
            ),
            string("NextToken"),
        ])),
    },
    Operation {
        name: "ListSubscriptions",
        input: Shape::Structure(&[string("NextToken")]),
        output: Some(Shape::Structure(&[SUBSCRIPTIONS, string("NextToken")])),
    },
    Operation {
        name: "ListSubscriptionsByTopic",
        input: Shape::Structure(&[string("TopicArn"), string("NextToken")]),
        output: Some(Shape::Structure(&[SUBSCRIPTIONS, string("NextToken")])),
    },
    Operation {
        name: "ListTagsForResource",
        input: Shape::Structure(&[string("ResourceArn")]),
        output: Some(Shape::Structure(&[TAGS])),
    },
    Operation {
        name: "ListTopics",
        input: Shape::Structure(&[string("NextToken")]),
        output: Some(Shape::Structure(&[
            member("Topics", Shape::Within("member", &Shape::List(&Shape::Structure(&[string("TopicArn")])))),
            string("NextToken"),
        ])),
    },
    Operation {
        name: "OptInPhoneNumber",
        input: Shape::Structure(&[string("phoneNumber")]),
        output: Some(Shape::Structure(&[])),
    },
    Operation {
        name: "Publish",
        input: Shape::Structure(&[
            string("TopicArn"),
            string("TargetArn"),
            string("PhoneNumber"),
            string("Message"),
            string("Subject"),
            string("MessageStructure"),
            member("MessageAttributes", MESSAGE_ATTRIBUTES),
            string("MessageDeduplicationId"),
            string("MessageGroupId"),
        ]),
        output: Some(Shape::Structure(&[string("MessageId"), string("SequenceNumber")])),
    },
    Operation {
        name: "PublishBatch",
        input: Shape::Structure(&[
            string("TopicArn"),
            member(
                "PublishBatchRequestEntries",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[
                        string("Id"),
                        string("Message"),
                        string("Subject"),
                        string("MessageStructure"),
                        member("MessageAttributes", MESSAGE_ATTRIBUTES),
                        string("MessageDeduplicationId"),
                        string("MessageGroupId"),
                    ])),
                ),
            ),
        ]),
        output: Some(Shape::Structure(&[
            member(
                "Successful",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[string("Id"), string("MessageId"), string("SequenceNumber")])),
                ),
            ),
            member(
                "Failed",
                Shape::Within(
                    "member",
                    &Shape::List(&Shape::Structure(&[
                        string("Id"),
                        string("Code"),
                        string("Message"),
                        member("SenderFault", Shape::Boolean),
                    ])),
                ),
            ),
        ])),
    },
    Operation {
        name: "PutDataProtectionPolicy",
        input: Shape::Structure(&[string("ResourceArn"), string("DataProtectionPolicy")]),
        output: None,
    },
    Operation {
        name: "RemovePermission",
        input: Shape::Structure(&[string("TopicArn"), string("Label")]),
        output: None,
    },
    Operation {
        name: "SetEndpointAttributes",
        input: Shape::Structure(&[string("EndpointArn"), member("Attributes", ATTRIBUTES)]),
        output: None,
    },
    Operation {
        name: "SetPlatformApplicationAttributes",
        input: Shape::Structure(&[string("PlatformApplicationArn"), member("Attributes", ATTRIBUTES)]),
        output: None,
    },
    Operation {
        name: "SetSMSAttributes",
        input: Shape::Structure(&[member("attributes", ATTRIBUTES)]),
        output: Some(Shape::Structure(&[])),
    },
    Operation {
        name: "SetSubscriptionAttributes",
        input: Shape::Structure(&[string("SubscriptionArn"), string("AttributeName"), string("AttributeValue")]),
        output: None,
    },
    Operation {
        name: "SetTopicAttributes",
        input: Shape::Structure(&[string("TopicArn"), string("AttributeName"), string("AttributeValue")]),
        output: None,
    },
    Operation {
        name: "Subscribe",
        input: Shape::Structure(&[
            string("TopicArn"),
            string("Protocol"),
            string("Endpoint"),
            member("Attributes", ATTRIBUTES),
            member("ReturnSubscriptionArn", Shape::Boolean),
        ]),
        output: Some(Shape::Structure(&[string("SubscriptionArn")])),
    },
    Operation {
        name: "TagResource",
        input: Shape::Structure(&[string("ResourceArn"), TAGS]),
        output: Some(Shape::Structure(&[])),
    },
    Operation { name: "Unsubscribe", input: Shape::Structure(&[string("SubscriptionArn")]), output: None },
    Operation {
        name: "UntagResource",
        input: Shape::Structure(&[string("ResourceArn"), member("TagKeys", STRINGS)]),
        output: Some(Shape::Structure(&[])),
    },
    Operation {
        name: "VerifySMSSandboxPhoneNumber",
        input: Shape::Structure(&[string("PhoneNumber"), string("OneTimePassword")]),
        output: Some(Shape::Structure(&[])),
    },
];
