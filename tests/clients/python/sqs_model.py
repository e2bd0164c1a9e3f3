"""Whether the cases of sqs_boto3.py have said and been told everything that Amazon's service model knows: every action, every member of
requests and answers, every attribute, every error. The model is botocore's own, so that a new one brings its news with it."""

import botocore.session

from aws_tools import members_of
from sqs_tools import answered, refusals, sent, speaks_query
from suite import equal

# Members that Amazon calls reserved, or that a client never has to send.
NEVER_SENT = {"StringListValues", "BinaryListValues"}

# Errors that this broker has no reason for.
NEVER_REFUSED = {
    "InvalidIdFormat": "Amazon says ReceiptHandleIsInvalid instead",
    "InvalidSecurity": "the listener says who may come without TLS",
    "KmsAccessDenied": "keys are kept, and not used",
    "KmsDisabled": "keys are kept, and not used",
    "KmsInvalidKeyUsage": "keys are kept, and not used",
    "KmsInvalidState": "keys are kept, and not used",
    "KmsNotFound": "keys are kept, and not used",
    "KmsOptInRequired": "keys are kept, and not used",
    "KmsThrottled": "keys are kept, and not used",
    "QueueDeletedRecently": "a name is free as soon as its queue is deleted, unless configured otherwise",
    "RequestThrottled": "only where memory, the disk or the broker's own limit of a queue leave no room",
    "UnsupportedOperation": "of streams only, which SQS has not: see sqs_amqp.py",
}

# Errors that every action which lists them must have been refused with.
EVERYWHERE = {
    "BatchEntryIdsNotDistinct",
    "EmptyBatchRequest",
    "InvalidBatchEntryId",
    "QueueDoesNotExist",
    "ResourceNotFoundException",
    "TooManyEntriesInBatchRequest",
}

# Attributes of queues that are told and cannot be set.
TOLD_ONLY = {
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
}


def everything_of_the_model_was_met(_url):
    """The last case: what the others did, compared with the model."""
    model = botocore.session.get_session().get_service_model("sqs")
    actions = [model.operation_model(name) for name in model.operation_names]
    missing = []

    def never_sent(path):
        return path.rpartition(".")[2] in NEVER_SENT

    for action in actions:
        if action.name not in answered:
            missing.append(f"{action.name} was never answered")
        for path in members_of(action.name, action.input_shape):
            if path not in sent and not never_sent(path):
                missing.append(f"{path} was never sent")
        for path in members_of(action.name, action.output_shape) if action.output_shape else ():
            if path not in answered and not never_sent(path):
                missing.append(f"{path} was never told")
        if not speaks_query():
            for error in action.error_shapes:
                if error.name in EVERYWHERE and (action.name, error.name) not in refusals:
                    missing.append(f"{action.name} was never refused with {error.name}")

    if not speaks_query():
        met = {name for _, name in refusals}
        errors = {error.name for action in actions for error in action.error_shapes}
        missing += [f"nothing was refused with {name}" for name in sorted(errors - met - set(NEVER_REFUSED))]
        equal(sorted(met & set(NEVER_REFUSED)), [], "errors that are said to be never met")
        equal(sorted(set(NEVER_REFUSED) - errors), [], "errors that the model does not know")

    attributes = set(model.shape_for("QueueAttributeName").enum) - {"All"}
    for name in sorted(attributes):
        if f"GetQueueAttributes.Attributes[{name}]" not in answered:
            missing.append(f"attribute {name} was never told")
        if name not in TOLD_ONLY and not {f"{action}.Attributes[{name}]" for action in ("CreateQueue", "SetQueueAttributes")} & sent:
            missing.append(f"attribute {name} was never set")
    for name in sorted(set(model.shape_for("MessageSystemAttributeName").enum) - {"All"}):
        if f"ReceiveMessage.Messages.Attributes[{name}]" not in answered:
            missing.append(f"system attribute {name} was never told")
    equal(missing, [], "what was never met")
