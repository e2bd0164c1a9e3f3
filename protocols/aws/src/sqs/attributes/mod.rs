//! Attributes of queues: what a client may set, what it reads, and how a queue's settings hold them.
//!
//! | file | about |
//! | --- | --- |
//! | `given` | attributes of a request, checked and put into settings |
//! | `profile` | settings as SQS reads them; worked out once for each change |
//! | `told` | what a client is told |
//! | `redrive` | `RedrivePolicy` and `RedriveAllowPolicy` |

mod given;
mod profile;
mod redrive;
#[cfg(test)]
mod tests;
mod told;

pub(crate) use given::{Given, apply, check_same, is_fifo, set_policy, set_redrive, usual};
pub(crate) use profile::{Profile, now_s, policy_of, set_created, set_modified};
pub(crate) use redrive::{RedriveAllowPolicy, RedrivePolicy};
pub(crate) use told::{Counts, is_name, told};

/// Names of attributes.
pub(crate) mod names {
    pub(crate) const ALL: &str = "All";
    pub(crate) const POLICY: &str = "Policy";
    pub(crate) const VISIBILITY_TIMEOUT: &str = "VisibilityTimeout";
    pub(crate) const MAXIMUM_MESSAGE_SIZE: &str = "MaximumMessageSize";
    pub(crate) const MESSAGE_RETENTION_PERIOD: &str = "MessageRetentionPeriod";
    pub(crate) const MESSAGES: &str = "ApproximateNumberOfMessages";
    pub(crate) const MESSAGES_NOT_VISIBLE: &str = "ApproximateNumberOfMessagesNotVisible";
    pub(crate) const MESSAGES_DELAYED: &str = "ApproximateNumberOfMessagesDelayed";
    pub(crate) const CREATED_TIMESTAMP: &str = "CreatedTimestamp";
    pub(crate) const LAST_MODIFIED_TIMESTAMP: &str = "LastModifiedTimestamp";
    pub(crate) const QUEUE_ARN: &str = "QueueArn";
    pub(crate) const DELAY_SECONDS: &str = "DelaySeconds";
    pub(crate) const RECEIVE_MESSAGE_WAIT_TIME_SECONDS: &str = "ReceiveMessageWaitTimeSeconds";
    pub(crate) const REDRIVE_POLICY: &str = "RedrivePolicy";
    pub(crate) const REDRIVE_ALLOW_POLICY: &str = "RedriveAllowPolicy";
    pub(crate) const FIFO_QUEUE: &str = "FifoQueue";
    pub(crate) const CONTENT_BASED_DEDUPLICATION: &str = "ContentBasedDeduplication";
    pub(crate) const KMS_MASTER_KEY_ID: &str = "KmsMasterKeyId";
    pub(crate) const KMS_DATA_KEY_REUSE_PERIOD_SECONDS: &str = "KmsDataKeyReusePeriodSeconds";
    pub(crate) const DEDUPLICATION_SCOPE: &str = "DeduplicationScope";
    pub(crate) const FIFO_THROUGHPUT_LIMIT: &str = "FifoThroughputLimit";
    pub(crate) const SQS_MANAGED_SSE_ENABLED: &str = "SqsManagedSseEnabled";
}

/// What the names of annotations begin with that are SQS's.
const PREFIX: &str = "sqs.";

/// The name of the annotation that holds an attribute.
fn annotation(attribute: &str) -> String {
    format!("{PREFIX}{attribute}")
}
