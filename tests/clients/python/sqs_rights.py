"""Who may do what by SQS: access keys and signatures, permissions of users, policies of queues.

The broker asks for signatures (`auth = "required"`); MANAGEMENT_URL says where users and keys are made.
"""

import contextlib
import datetime
import http.client
import json
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from aws_users import SECRET, own_a_key, put, user
from management import call
from sqs_tools import ACCOUNT, REGION, answers, arn_of, bodies, client, name_of, refused
from suite import case, equal, main, restart_broker, restart_case, unique, wait_until


def owner(url):
    """A client with a key of the default user, made where there is none."""
    own_a_key()
    return client(url, "OWNER", SECRET)


@contextlib.contextmanager
def queue(url, attributes=None):
    """A queue of the default user's."""
    made = owner(url).create_queue(QueueName=unique("rights"), Attributes=attributes or {})["QueueUrl"]
    try:
        yield made
    finally:
        owner(url).delete_queue(QueueUrl=made)


def denied(run, code="AccessDenied"):
    """The call is refused, as the caller may not."""
    refused(run, code, status=403)


# --- signatures


@case
def keys_are_made_and_shown_once(url):
    name = unique("u")
    put(f"/api/users/{name}", {"password": "pw", "tags": ""})
    put(f"/api/permissions/%2F/{name}", {"configure": ".*", "write": ".*", "read": ".*"})
    status, _, made = call("POST", f"/api/users/{name}/access-keys")
    equal((status, made["user"]), (201, name))
    equal(client(url, made["id"], made["secret"]).list_queues(QueueNamePrefix="x").get("QueueUrls", []), [])
    _, _, listed = call("GET", f"/api/users/{name}/access-keys")
    equal([(row["id"], "secret" in row) for row in listed], [(made["id"], False)])
    equal(call("DELETE", f"/api/users/{name}/access-keys/{made['id']}")[0], 204)
    unknown(client(url, made["id"], made["secret"]))
    call("DELETE", f"/api/users/{name}")


def unknown(who):
    """The client's key is not known (any more)."""
    refused(who.list_queues, "InvalidClientTokenId", status=403)


@case
def wrong_secrets_and_unknown_keys(url):
    owner(url)
    refused(lambda: client(url, "OWNER", SECRET + "x").list_queues(), "SignatureDoesNotMatch", status=403)
    for key in ("NOBODY", "owner"):
        unknown(client(url, key, SECRET))
    # The region is whatever the request is signed for.
    made = client(url, "OWNER", SECRET, region="eu-central-1")
    equal(made.list_queues(QueueNamePrefix="nothing-").get("QueueUrls", []), [])


def signed(url, body=b"{}", key="OWNER", secret=SECRET, service="sqs", skew_s=0, headers=None, path="/", method="POST", sign=True):
    """A request as botocore's own signer makes it, at another time if asked for."""
    place = urllib.parse.urlsplit(url)
    headers = {
        "Host": place.netloc,
        "X-Amz-Target": "AmazonSQS.ListQueues",
        "Content-Type": "application/x-amz-json-1.0",
        **(headers or {}),
    }
    request = botocore.awsrequest.AWSRequest(method=method, url=url + path, data=body, headers=headers)
    if sign:
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), service, REGION)
        with _at(skew_s):
            signer.add_auth(request)
    return {name: value for name, value in request.headers.items()}


@contextlib.contextmanager
def _at(skew_s):
    """Has botocore believe that it is so much later."""
    real = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *_, **__: real() + datetime.timedelta(seconds=skew_s)
    try:
        yield
    finally:
        botocore.auth.get_current_datetime = real


def ask(url, headers, body=b"{}", path="/", method="POST"):
    """Sends a request as it is: its status, and the code of an error."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if "Content-Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        told = response.read()
        code = (response.getheader("x-amzn-query-error") or "").split(";")[0]
        return response.status, code, told
    finally:
        connection.close()


@case
def signatures_are_for_this_request_and_this_time(url):
    owner(url)
    equal(ask(url, signed(url))[0], 200, "as it was signed")
    good = signed(url)

    def refuses(headers, code, body=b"{}", path="/", what=""):
        equal(ask(url, headers, body, path)[:2], (403, code), what)

    mismatch = "SignatureDoesNotMatch"
    refuses(good, mismatch, body=b'{"QueueNamePrefix":"a"}', what="another body")
    refuses(good, mismatch, path="/?Action=ListQueues", what="another query")
    refuses(good, mismatch, path="/000000000000/x", what="another path")
    refuses({**good, "X-Amz-Target": "AmazonSQS.CreateQueue"}, mismatch, what="another action")
    refuses({**good, "Host": "elsewhere:80"}, mismatch, what="another host")
    refuses({**good, "X-Amz-Date": signed(url, skew_s=60)["X-Amz-Date"]}, mismatch, what="another time")
    last = good["Authorization"][-1]
    changed = good["Authorization"][:-1] + ("0" if last != "0" else "1")
    refuses({**good, "Authorization": changed}, mismatch, what="one digit of the signature")
    refuses(signed(url, service="sns"), mismatch, what="another service")
    # Fifteen minutes, both ways.
    for skew in (-14 * 60, 14 * 60):
        equal(ask(url, signed(url, skew_s=skew))[0], 200, f"{skew} s off")
    for skew in (-16 * 60, 16 * 60, -86400 * 400):
        status, code, told = ask(url, signed(url, skew_s=skew))
        equal((status, code in (mismatch, "RequestExpired")), (403, True), f"{skew} s off: {code} {told}")
    # No signature, or half of one.
    status, code, _ = ask(url, signed(url, sign=False))
    equal((status, code in ("AccessDenied", "MissingAuthenticationToken")), (403, True), "no signature")
    parts = good["Authorization"].split(", ")
    for broken in (
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "Bearer x",
        ", ".join(parts[1:]),
        ", ".join(parts[:2]),
        ", ".join([parts[0], parts[2]]),
        good["Authorization"].replace("/aws4_request", ""),
        good["Authorization"].replace("Signature=", "Signature=00"),
        good["Authorization"] + ", Signature=00",
    ):
        status, code, told = ask(url, {**good, "Authorization": broken})
        equal(400 <= status < 404, True, f"{broken}: {status} {told}")
    without_host = good["Authorization"].replace("host;", "")
    status, code, _ = ask(url, {**good, "Authorization": without_host})
    equal(400 <= status < 404, True, "a signature that is not for the host")
    without_target = {name: value for name, value in signed(url, headers={"X-Amz-Target": ""}).items() if name != "X-Amz-Target"}
    status, code, _ = ask(url, {**without_target, "X-Amz-Target": "AmazonSQS.ListQueues"})
    equal(400 <= status < 404, True, "an action that is not signed")


@case
def urls_that_are_signed(url):
    with queue(url) as made:
        credentials = botocore.credentials.Credentials("OWNER", SECRET)
        query = urllib.parse.urlencode({"Action": "GetQueueAttributes", "AttributeName.1": "QueueArn", "Version": "2012-11-05"})
        place = urllib.parse.urlsplit(made)

        def signed_url(expires, skew_s=0):
            request = botocore.awsrequest.AWSRequest(method="GET", url=f"{made}?{query}")
            with _at(skew_s):
                botocore.auth.SigV4QueryAuth(credentials, "sqs", REGION, expires=expires).add_auth(request)
            return urllib.parse.urlsplit(request.url)

        def fetch(target):
            return ask(url, {"Host": place.netloc}, b"", f"{target.path}?{target.query}", "GET")

        status, _, told = fetch(signed_url(60))
        equal((status, arn_of(made).encode() in told), (200, True), "a signed URL")
        status, _, told = fetch(signed_url(60, skew_s=-3600))
        equal(status, 403, "an hour after its minute")
        late = signed_url(86400, skew_s=-3600)
        equal(fetch(late)[0], 200, "an hour later, good for a day")
        changed = late._replace(query=late.query.replace("GetQueueAttributes", "DeleteQueue"))
        equal(fetch(changed)[0], 403, "another action")
        equal(fetch(late._replace(query=late.query.replace("86400", "99999")))[0], 403, "good for longer")


# --- permissions of users


@case
def permissions_hold_for_sqs(url):
    name = unique("mine")
    pattern = f"^{name}"
    with user(pattern, pattern, pattern) as (_, key), queue(url) as other:
        mine = client(url, key, SECRET)
        made = mine.create_queue(QueueName=name)["QueueUrl"]
        mine.send_message(QueueUrl=made, MessageBody="x")
        equal(bodies(mine.receive_message(QueueUrl=made, WaitTimeSeconds=2)["Messages"]), ["x"])
        denied(lambda: mine.create_queue(QueueName=unique("other")))
        denied(lambda: mine.send_message(QueueUrl=other, MessageBody="x"))
        denied(lambda: mine.send_message_batch(QueueUrl=other, Entries=[{"Id": "a", "MessageBody": "x"}]))
        denied(lambda: mine.receive_message(QueueUrl=other))
        denied(lambda: mine.delete_message(QueueUrl=other, ReceiptHandle="x"))
        denied(lambda: mine.change_message_visibility(QueueUrl=other, ReceiptHandle="x", VisibilityTimeout=0))
        denied(lambda: mine.purge_queue(QueueUrl=other))
        denied(lambda: mine.delete_queue(QueueUrl=other))
        denied(lambda: mine.set_queue_attributes(QueueUrl=other, Attributes={"DelaySeconds": "1"}))
        denied(lambda: mine.tag_queue(QueueUrl=other, Tags={"a": "b"}))
        denied(lambda: mine.untag_queue(QueueUrl=other, TagKeys=["a"]))
        denied(lambda: mine.add_permission(QueueUrl=other, Label="l", AWSAccountIds=[ACCOUNT], Actions=["*"]))
        denied(lambda: mine.remove_permission(QueueUrl=other, Label="l"))
        mine.delete_queue(QueueUrl=made)


@case
def reading_is_not_writing(url):
    with queue(url) as made:
        name = name_of(made)
        with user("^$", f"^{name}$", "^$") as (_, key):
            writer = client(url, key, SECRET)
            writer.send_message(QueueUrl=made, MessageBody="x")
            denied(lambda: writer.receive_message(QueueUrl=made))
            denied(lambda: writer.delete_queue(QueueUrl=made))
        with user("^$", "^$", f"^{name}$") as (_, key):
            reader = client(url, key, SECRET)
            (message,) = reader.receive_message(QueueUrl=made, WaitTimeSeconds=2)["Messages"]
            denied(lambda: reader.send_message(QueueUrl=made, MessageBody="x"))
            reader.delete_message(QueueUrl=made, ReceiptHandle=message["ReceiptHandle"])
            denied(lambda: reader.set_queue_attributes(QueueUrl=made, Attributes={"DelaySeconds": "1"}))


@case
def dead_letters_need_rights_on_both(url):
    with queue(url) as dead:
        name = unique("mine")
        policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 1})}
        with user(f"^{name}", f"^{name}", f"^{name}") as (_, key):
            mine = client(url, key, SECRET)
            made = mine.create_queue(QueueName=name)["QueueUrl"]
            denied(lambda: mine.set_queue_attributes(QueueUrl=made, Attributes=policy))
            denied(lambda: mine.create_queue(QueueName=name + "2", Attributes=policy))
            denied(lambda: mine.start_message_move_task(SourceArn=arn_of(dead)))
            mine.delete_queue(QueueUrl=made)


@case
def a_deleted_user_and_a_taken_right_count_at_once(url):
    with queue(url) as made, user() as (name, key):
        mine = client(url, key, SECRET)
        mine.send_message(QueueUrl=made, MessageBody="x")
        put(f"/api/permissions/%2F/{name}", {"configure": "^$", "write": "^$", "read": ".*"})
        denied(lambda: mine.send_message(QueueUrl=made, MessageBody="x"))
        call("DELETE", f"/api/users/{name}")
        unknown(mine)


# --- policies of queues


def with_policy(url, made, *statements):
    """Sets the queue's policy; each statement is about this queue unless it says otherwise."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Resource": arn_of(made), "Principal": "*", "Action": "sqs:*", **one} for one in statements],
    }
    owner(url).set_queue_attributes(QueueUrl=made, Attributes={"Policy": json.dumps(policy)})


@case
def a_deny_holds_for_the_owner(url):
    with queue(url) as made:
        mine = owner(url)
        with_policy(url, made, {"Effect": "Deny", "Action": "sqs:SendMessage"})
        denied(lambda: mine.send_message(QueueUrl=made, MessageBody="x"))
        denied(lambda: mine.send_message_batch(QueueUrl=made, Entries=[{"Id": "a", "MessageBody": "x"}]))
        equal(mine.receive_message(QueueUrl=made).get("Messages", []), [])
        with_policy(url, made, {"Effect": "Deny", "Action": ["sqs:Receive*", "SQS:deletemessage"]})
        mine.send_message(QueueUrl=made, MessageBody="x")
        denied(lambda: mine.receive_message(QueueUrl=made))
        denied(lambda: mine.delete_message(QueueUrl=made, ReceiptHandle="x"))
        # Of another queue.
        with_policy(url, made, {"Effect": "Deny", "Resource": arn_of(made) + "-other"})
        mine.send_message(QueueUrl=made, MessageBody="x")


@case
def conditions(url):
    with queue(url) as made, user() as (name, key):
        mine, other = owner(url), client(url, key, SECRET)

        def is_denied(condition, who=mine, **more):
            with_policy(url, made, {"Effect": "Deny", "Action": "sqs:SendMessage", "Condition": condition, **more})
            try:
                who.send_message(QueueUrl=made, MessageBody="x")
            except who.exceptions.ClientError as error:
                equal(error.response["Error"]["Code"], "AccessDenied")
                return True
            return False

        for condition, wanted in (
            ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
            ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}, False),
            ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
            ({"Bool": {"aws:SecureTransport": "false"}}, True),
            ({"Bool": {"aws:SecureTransport": "true"}}, False),
            ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
            ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
            ({"StringLike": {"aws:UserAgent": "*otocore*"}}, True),
            ({"StringNotLike": {"aws:UserAgent": "*otocore*"}}, False),
            ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/gue*"}}, True),
            ({"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/other"}}, False),
            ({"Null": {"aws:SourceArn": "true"}}, True),
            ({"StringEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:1:x"}}, False),
            ({"StringEqualsIfExists": {"aws:SourceArn": "arn:aws:sns:us-east-1:1:x"}}, True),
            # All of them, and any value of each.
            ({"IpAddress": {"aws:SourceIp": "127.0.0.1"}, "Bool": {"aws:SecureTransport": "true"}}, False),
            ({"IpAddress": {"aws:SourceIp": ["10.0.0.1", "127.0.0.1"]}, "Bool": {"aws:SecureTransport": "false"}}, True),
        ):
            equal(is_denied(condition), wanted, str(condition))
        # Of whom.
        always = {"Bool": {"aws:SecureTransport": "false"}}
        mine_arn, other_arn = f"arn:aws:iam::{ACCOUNT}:user/guest", f"arn:aws:iam::{ACCOUNT}:user/{name}"
        for principal, (for_mine, for_other) in (
            ({"AWS": mine_arn}, (True, False)),
            ({"AWS": [mine_arn, other_arn]}, (True, True)),
            ({"AWS": ACCOUNT}, (True, True)),
            ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, (True, True)),
            ({"AWS": "111111111111"}, (False, False)),
            ({"AWS": "*"}, (True, True)),
        ):
            got = (is_denied(always, Principal=principal), is_denied(always, other, Principal=principal))
            equal(got, (for_mine, for_other), str(principal))
        with_policy(url, made)


@case
def nobody_in_particular_needs_an_allow(url):
    with queue(url) as made:
        path = urllib.parse.urlsplit(made).path
        form = urllib.parse.urlencode({"Action": "SendMessage", "MessageBody": "anybody", "Version": "2012-11-05"})
        headers = {"Host": urllib.parse.urlsplit(url).netloc, "Content-Type": "application/x-www-form-urlencoded"}

        def send():
            return ask(url, headers, form.encode(), path)

        equal(send()[0], 403, "without a policy")
        with_policy(url, made, {"Effect": "Allow", "Action": "sqs:SendMessage"})
        equal(send()[0], 200, "allowed for everybody")
        equal(bodies(owner(url).receive_message(QueueUrl=made, WaitTimeSeconds=2)["Messages"]), ["anybody"])
        with_policy(
            url,
            made,
            {"Effect": "Allow", "Action": "sqs:SendMessage"},
            {"Effect": "Deny", "Action": "sqs:SendMessage", "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}},
        )
        equal(send()[0], 403, "a deny is stronger")
        with_policy(url, made, {"Effect": "Allow", "Action": "sqs:ReceiveMessage"})
        equal(send()[0], 403, "allowed is another action")


@case
def policies_that_are_not_understood_are_refused(url):
    with queue(url) as made:
        good = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn_of(made)}
        for policy in (
            "x",
            {"Statement": "x"},
            {"Version": "1999-01-01", "Statement": [good]},
            {"Version": "2012-10-17", "Statement": [{**good, "Effect": "Maybe"}]},
            {"Version": "2012-10-17", "Statement": [{**good, "Condition": {"Sometimes": {"aws:SourceIp": "1.2.3.4"}}}]},
            {"Version": "2012-10-17", "Statement": [{**good, "Condition": {"IpAddress": {"aws:SourceIp": "x"}}}]},
            {"Version": "2012-10-17", "Statement": [{key: value for key, value in good.items() if key != "Principal"}]},
        ):
            refused(
                lambda policy=policy: owner(url).set_queue_attributes(
                    QueueUrl=made, Attributes={"Policy": policy if isinstance(policy, str) else json.dumps(policy)}
                ),
                "InvalidAttributeValue",
            )


@restart_case
def keys_and_policies_survive(url):
    with queue(url) as made, user() as (_, key):
        with_policy(url, made, {"Effect": "Deny", "Action": "sqs:SendMessage"})
        restart_broker("kill")
        wait_until(lambda: answers(url, "OWNER", SECRET), "the broker is back")
        denied(lambda: owner(url).send_message(QueueUrl=made, MessageBody="x"))
        denied(lambda: client(url, key, SECRET).send_message(QueueUrl=made, MessageBody="x"))
        equal(client(url, key, SECRET).receive_message(QueueUrl=made).get("Messages", []), [])
        started = time.monotonic()
        equal(ask(url, signed(url, secret="wrong"))[0], 403)
        assert time.monotonic() - started < 5


if __name__ == "__main__":
    main()
