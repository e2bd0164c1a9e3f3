"""What the programs that use boto3 share, whatever the service: clients, and what they have said and were told."""

import threading

import boto3
import botocore.config

REGION = "us-east-1"
ACCOUNT = "000000000000"

_clients = {}
_making = threading.Lock()


class Met:
    """What the clients of this process have said to a service and were told by it: see sqs_model.py and sns_model.py.

    Members are told by their paths, `Publish.MessageAttributes[name].DataType` for instance; refusals are pairs of action and code."""

    def __init__(self):
        self.sent, self.answered, self.refusals = set(), set(), set()

    def note_sent(self, params, model, **_):
        self.sent.update(_members(model.name, model.input_shape, params))

    def note_answered(self, parsed, model, **_):
        if "Error" in parsed:
            self.refusals.add((model.name, parsed["Error"].get("QueryErrorCode") or parsed["Error"].get("Code")))
        else:
            self.answered.add(model.name)
            self.answered.update(_members(model.name, model.output_shape, parsed))


met = {"sqs": Met(), "sns": Met()}


def client(service, url, key="test", secret="test", region=REGION, **options):
    """A client that tries everything once, so that a case sees the error. The same one for all who ask for the same."""
    wanted = (service, url, key, secret, region, *sorted(options.items()))
    with _making:
        if wanted not in _clients:
            made = boto3.session.Session().client(
                service,
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                config=botocore.config.Config(
                    retries={"total_max_attempts": 1}, max_pool_connections=128, read_timeout=40, **options
                ),
            )
            made.meta.events.register(f"before-parameter-build.{service}", met[service].note_sent)
            made.meta.events.register(f"after-call.{service}", met[service].note_answered)
            _clients[wanted] = made
        return _clients[wanted]


def _members(prefix, shape, value):
    """The members in a structure of parameters or results, by their paths; `path[name]` is an entry of a map."""
    if shape is None:
        return
    if shape.type_name == "structure":
        for name in shape.members.keys() & value.keys():
            yield f"{prefix}.{name}"
            yield from _members(f"{prefix}.{name}", shape.members[name], value[name])
    elif shape.type_name == "list":
        for inner in value:
            yield from _members(prefix, shape.member, inner)
    elif shape.type_name == "map":
        for name, inner in value.items():
            yield f"{prefix}[{name}]"
            yield from _members(prefix, shape.value, inner)


def members_of(prefix, shape):
    """All members below a structure of the service's model, by their paths."""
    if shape.type_name == "structure":
        for name, inner in shape.members.items():
            yield f"{prefix}.{name}"
            yield from members_of(f"{prefix}.{name}", inner)
    elif shape.type_name == "list":
        yield from members_of(prefix, shape.member)
    elif shape.type_name == "map":
        yield from members_of(prefix, shape.value)
