"""Whether the cases of sns_boto3.py have said and been told everything that Amazon's service model knows: every action, every member of
requests and answers, every error. The model is botocore's own, so that a new one brings its news with it."""

import re

import botocore.session

from aws_tools import members_of
from sns_tools import answered, refusals, sent
from suite import equal

# Members that never come here, and why.
NEVER_TOLD = {
    "ListOriginationNumbers.NextToken": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.CreatedAt": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.PhoneNumber": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.Status": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.Iso2CountryCode": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.RouteType": "no number is anybody's",
    "ListOriginationNumbers.PhoneNumbers.NumberCapabilities": "no number is anybody's",
    "ListPhoneNumbersOptedOut.nextToken": "more than a hundred would be needed",
    "ListSMSSandboxPhoneNumbers.NextToken": "more than a hundred would be needed",
    "ListPlatformApplications.NextToken": "more than a hundred would be needed",
    "ListEndpointsByPlatformApplication.NextToken": "more than a hundred would be needed",
    "PublishBatch.Failed.Id": "an entry fails alone only where there is no room",
    "PublishBatch.Failed.Code": "an entry fails alone only where there is no room",
    "PublishBatch.Failed.Message": "an entry fails alone only where there is no room",
    "PublishBatch.Failed.SenderFault": "an entry fails alone only where there is no room",
}

# The tokens of pages that are never told cannot be sent.
NEVER_SENT = {
    "ListOriginationNumbers.NextToken",
    "ListPhoneNumbersOptedOut.nextToken",
    "ListSMSSandboxPhoneNumbers.NextToken",
    "ListPlatformApplications.NextToken",
    "ListEndpointsByPlatformApplication.NextToken",
}

# Errors that this broker has no reason for, or that these cases cannot provoke.
NEVER_REFUSED = {
    "ConcurrentAccess": "one after the other",
    "FilterPolicyLimitExceeded": "there is no limit of policies that a suite would come to",
    "InternalError": "is a mistake",
    "InvalidSecurity": "the listener says who may come without TLS",
    "KMSAccessDenied": "keys are kept, and not used",
    "KMSDisabled": "keys are kept, and not used",
    "KMSInvalidState": "keys are kept, and not used",
    "KMSNotFound": "keys are kept, and not used",
    "KMSOptInRequired": "keys are kept, and not used",
    "KMSThrottling": "keys are kept, and not used",
    "OptedOut": "whoever opted out did so by the gateway",
    "ReplayLimitExceeded": "there is no limit of replays that a suite would come to",
    "StaleTag": "one after the other",
    "SubscriptionLimitExceeded": "there is no limit of subscriptions that a suite would come to",
    "TagPolicy": "there are no organisations",
    "Throttled": "only where memory or the disk leave no room",
    "TopicLimitExceeded": "there is no limit of topics that a suite would come to",
    "UserError": "whoever asks is told InvalidParameter",
    "ValidationException": "whoever asks is told InvalidParameter, or ValidationError as other actions do",
}

# Errors that every action which lists them must have been refused with.
EVERYWHERE = {"NotFound", "ResourceNotFound"}

# Actions that list NotFound and are no error here: see what Amazon does.
NEVER_MISSING = {
    ("DeleteTopic", "NotFound"),
    ("Unsubscribe", "NotFound"),
    ("ConfirmSubscription", "NotFound"),
    ("ListSMSSandboxPhoneNumbers", "ResourceNotFound"),
    ("VerifySMSSandboxPhoneNumber", "ResourceNotFound"),
}

# Names of attributes stand in the texts of the model only; those of the topics and subscriptions that clients set.
TOPIC_ATTRIBUTES = {
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "FifoTopic",
    "KmsMasterKeyId",
    "Policy",
    "SignatureVersion",
    "TracingConfig",
}
TOPIC_TOLD_ONLY = {
    "BeginningArchiveTime",
    "EffectiveDeliveryPolicy",
    "Owner",
    "SubscriptionsConfirmed",
    "SubscriptionsDeleted",
    "SubscriptionsPending",
    "TopicArn",
}
SUBSCRIPTION_ATTRIBUTES = {
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
}
SUBSCRIPTION_TOLD_ONLY = {
    "ConfirmationWasAuthenticated",
    "EffectiveDeliveryPolicy",
    "Endpoint",
    "Owner",
    "PendingConfirmation",
    "Protocol",
    "ReplayStatus",
    "SubscriptionArn",
    "SubscriptionPrincipal",
    "TopicArn",
}


def code_of(error):
    """The code of an error as Query says it."""
    return error.metadata.get("error", {}).get("code") or error.name


def everything_of_the_model_was_met(_url):
    """The last case: what the others did, compared with the model."""
    model = botocore.session.get_session().get_service_model("sns")
    actions = [model.operation_model(name) for name in model.operation_names]
    missing = []
    for action in actions:
        if action.name not in answered:
            missing.append(f"{action.name} was never answered")
        for path in members_of(action.name, action.input_shape) if action.input_shape else ():
            if path not in sent and path not in NEVER_SENT:
                missing.append(f"{path} was never sent")
        for path in members_of(action.name, action.output_shape) if action.output_shape else ():
            if path not in answered and path not in NEVER_TOLD:
                missing.append(f"{path} was never told")
        for error in action.error_shapes:
            pair = (action.name, code_of(error))
            if pair[1] in EVERYWHERE and pair not in refusals and pair not in NEVER_MISSING:
                missing.append(f"{pair[0]} was never refused with {pair[1]}")
    met = {code for _, code in refusals}
    errors = {code_of(error) for action in actions for error in action.error_shapes}
    missing += [f"nothing was refused with {code}" for code in sorted(errors - met - set(NEVER_REFUSED))]
    equal(sorted(met & set(NEVER_REFUSED)), [], "errors that are said to be never met")
    equal(sorted(set(NEVER_REFUSED) - errors), [], "errors that the model does not know")
    missing += sorted(_attributes_that_were_not_met())
    equal(missing, [], "what was never met")


def _attributes_that_were_not_met():
    for kind, settable, told_only in (
        ("Topic", TOPIC_ATTRIBUTES, TOPIC_TOLD_ONLY),
        ("Subscription", SUBSCRIPTION_ATTRIBUTES, SUBSCRIPTION_TOLD_ONLY),
    ):
        told = {match[1] for path in answered if (match := re.fullmatch(rf"Get{kind}Attributes\.Attributes\[(.*)\]", path))}
        for name in settable | told_only:
            if name not in told:
                yield f"attribute {name} of a {kind.lower()} was never told"
        known = settable | told_only
        for name in told:
            if name not in known and not re.fullmatch(r"\w+Feedback(RoleArn|SampleRate)", name):
                yield f"attribute {name} of a {kind.lower()} is not known"
