//! What SNS says when it does not do what it was asked: the errors of its model.

use crate::error::Fault;

const fn fault(json_type: &'static str, query_code: &'static str, status: u16, is_sender: bool) -> Fault {
    Fault { json_type, query_code, status, is_sender }
}

/// The caller may not do this.
pub static AUTHORIZATION_ERROR: Fault =
    fault("com.amazonaws.sns#AuthorizationErrorException", "AuthorizationError", 403, true);

/// Two entries of a batch have one id.
pub static BATCH_ENTRY_IDS_NOT_DISTINCT: Fault =
    fault("com.amazonaws.sns#BatchEntryIdsNotDistinctException", "BatchEntryIdsNotDistinct", 400, true);

/// The messages of a batch are too large together.
pub static BATCH_REQUEST_TOO_LONG: Fault =
    fault("com.amazonaws.sns#BatchRequestTooLongException", "BatchRequestTooLong", 400, true);

/// Tags of the resource are being changed by somebody else.
pub static CONCURRENT_ACCESS: Fault =
    fault("com.amazonaws.sns#ConcurrentAccessException", "ConcurrentAccess", 400, true);

/// A batch has no entries.
pub static EMPTY_BATCH_REQUEST: Fault =
    fault("com.amazonaws.sns#EmptyBatchRequestException", "EmptyBatchRequest", 400, true);

/// The endpoint of a mobile device is disabled.
pub static ENDPOINT_DISABLED: Fault =
    fault("com.amazonaws.sns#EndpointDisabledException", "EndpointDisabled", 400, true);

/// There are more filter policies than there may be.
pub static FILTER_POLICY_LIMIT_EXCEEDED: Fault =
    fault("com.amazonaws.sns#FilterPolicyLimitExceededException", "FilterPolicyLimitExceeded", 403, true);

/// Something broke here.
pub static INTERNAL_ERROR: Fault = fault("com.amazonaws.sns#InternalErrorException", "InternalError", 500, false);

/// The id of an entry of a batch is not written as one.
pub static INVALID_BATCH_ENTRY_ID: Fault =
    fault("com.amazonaws.sns#InvalidBatchEntryIdException", "InvalidBatchEntryId", 400, true);

/// A parameter cannot have this value.
pub static INVALID_PARAMETER: Fault =
    fault("com.amazonaws.sns#InvalidParameterException", "InvalidParameter", 400, true);

/// A part of a message cannot have this value.
pub static INVALID_PARAMETER_VALUE: Fault =
    fault("com.amazonaws.sns#InvalidParameterValueException", "ParameterValueInvalid", 400, true);

/// The request has to come over TLS, or to be signed otherwise.
pub static INVALID_SECURITY: Fault = fault("com.amazonaws.sns#InvalidSecurityException", "InvalidSecurity", 403, true);

/// It cannot be done to a resource that is in this state.
pub static INVALID_STATE: Fault = fault("com.amazonaws.sns#InvalidStateException", "InvalidState", 400, true);

/// The caller may not use the topic's key.
pub static KMS_ACCESS_DENIED: Fault = fault("com.amazonaws.sns#KMSAccessDeniedException", "KMSAccessDenied", 400, true);

/// The topic's key is switched off.
pub static KMS_DISABLED: Fault = fault("com.amazonaws.sns#KMSDisabledException", "KMSDisabled", 400, true);

/// The topic's key cannot be used now.
pub static KMS_INVALID_STATE: Fault = fault("com.amazonaws.sns#KMSInvalidStateException", "KMSInvalidState", 400, true);

/// The topic's key is not there.
pub static KMS_NOT_FOUND: Fault = fault("com.amazonaws.sns#KMSNotFoundException", "KMSNotFound", 400, true);

/// Keys have to be subscribed to.
pub static KMS_OPT_IN_REQUIRED: Fault = fault("com.amazonaws.sns#KMSOptInRequired", "KMSOptInRequired", 403, true);

/// Keys are asked for too often.
pub static KMS_THROTTLING: Fault = fault("com.amazonaws.sns#KMSThrottlingException", "KMSThrottling", 400, true);

/// The resource is not there.
pub static NOT_FOUND: Fault = fault("com.amazonaws.sns#NotFoundException", "NotFound", 404, true);

/// The phone number has opted out of messages.
pub static OPTED_OUT: Fault = fault("com.amazonaws.sns#OptedOutException", "OptedOut", 400, true);

/// The platform application is disabled.
pub static PLATFORM_APPLICATION_DISABLED: Fault =
    fault("com.amazonaws.sns#PlatformApplicationDisabledException", "PlatformApplicationDisabled", 400, true);

/// More subscriptions replay than may do so at once.
pub static REPLAY_LIMIT_EXCEEDED: Fault =
    fault("com.amazonaws.sns#ReplayLimitExceededException", "ReplayLimitExceeded", 403, true);

/// A resource that tags or phone numbers are about is not there.
pub static RESOURCE_NOT_FOUND: Fault =
    fault("com.amazonaws.sns#ResourceNotFoundException", "ResourceNotFound", 404, true);

/// Tags of the resource have been changed by somebody else.
pub static STALE_TAG: Fault = fault("com.amazonaws.sns#StaleTagException", "StaleTag", 400, true);

/// There are as many subscriptions as there may be.
pub static SUBSCRIPTION_LIMIT_EXCEEDED: Fault =
    fault("com.amazonaws.sns#SubscriptionLimitExceededException", "SubscriptionLimitExceeded", 403, true);

/// There are as many tags as there may be.
pub static TAG_LIMIT_EXCEEDED: Fault =
    fault("com.amazonaws.sns#TagLimitExceededException", "TagLimitExceeded", 400, true);

/// A policy of tags does not allow it.
pub static TAG_POLICY: Fault = fault("com.amazonaws.sns#TagPolicyException", "TagPolicy", 400, true);

/// The caller asks too often.
pub static THROTTLED: Fault = fault("com.amazonaws.sns#ThrottledException", "Throttled", 429, true);

/// A batch has more entries than it may have.
pub static TOO_MANY_ENTRIES_IN_BATCH_REQUEST: Fault =
    fault("com.amazonaws.sns#TooManyEntriesInBatchRequestException", "TooManyEntriesInBatchRequest", 400, true);

/// There are as many topics as there may be.
pub static TOPIC_LIMIT_EXCEEDED: Fault =
    fault("com.amazonaws.sns#TopicLimitExceededException", "TopicLimitExceeded", 403, true);

/// The phone number cannot be used for this.
pub static USER_ERROR: Fault = fault("com.amazonaws.sns#UserErrorException", "UserError", 400, true);

/// A parameter is not written as it has to be.
pub static VALIDATION: Fault = fault("com.amazonaws.sns#ValidationException", "ValidationException", 400, true);

/// The one-time password is another one.
pub static VERIFICATION: Fault = fault("com.amazonaws.sns#VerificationException", "VerificationException", 400, true);
