//! Names of headers and attributes by which one protocol sees what another has said. They are documented for users.

/// The group of a message.
pub(crate) const GROUP: &str = "JMSXGroupID";
/// The id by which duplicates are known.
pub(crate) const DEDUPLICATION: &str = "x-deduplication-header";
/// The trace that a message belongs to.
pub(crate) const TRACE: &str = "AWSTraceHeader";
/// Types of attributes that a header's own type does not tell: `name=Number.int`, one behind the other, with commas.
pub(crate) const TYPES: &str = "x-sqs-attribute-types";
/// Says `base64` of a body that SQS could not carry as it is.
pub(crate) const TRANSFER_ENCODING: &str = "content-transfer-encoding";

pub(crate) const CONTENT_TYPE: &str = "content-type";
pub(crate) const CONTENT_ENCODING: &str = "content-encoding";
pub(crate) const CORRELATION_ID: &str = "correlation-id";
pub(crate) const REPLY_TO: &str = "reply-to";
pub(crate) const MESSAGE_ID: &str = "message-id";
pub(crate) const TYPE: &str = "type";
pub(crate) const USER_ID: &str = "user-id";
pub(crate) const APP_ID: &str = "app-id";
pub(crate) const TIMESTAMP: &str = "timestamp";
pub(crate) const PRIORITY: &str = "priority";

/// The queue that a message came from when it was last given up.
pub(crate) const LAST_DEATH_QUEUE: &str = "x-last-death-queue";
/// How often a message had been received in the queues that it was in before.
pub(crate) const RECEIVE_COUNT: &str = "x-receive-count";
