"""Webhooks of SNS: the handshake, headers, signatures, retries, dead letters, and what one of them does to the others."""

import json
import threading
import urllib.parse

import sqs_tools
from sns_tools import (
    fetch,
    invalid,
    number_of,
    publish,
    set_subscription,
    set_topic,
    sns,
    subscribe,
    subscribed,
    subscription_attributes,
    take_one,
    topic,
    verify,
)
from sqs_tools import answers, arn_of
from suite import beyond, case, equal, is_common, restart_broker, restart_case, wait_until
from webhook import webhook

AGENT = "Amazon Simple Notification Service Agent"


def retries(count, seconds=1, **values):
    """A delivery policy that tries so often again, so many seconds apart."""
    return {"healthyRetryPolicy": {"numRetries": count, "minDelayTarget": seconds, "maxDelayTarget": seconds, **values}}


def confirmed(url, made, hook, path="/", **attributes):
    """Subscribes the webhook and confirms it: the ARN of the subscription."""
    subscription = subscribe(url, made, hook.url(path), hook.scheme, **attributes)
    hook.confirm()
    hook.requests.clear()
    return subscription


@case
def handshake_and_notification(url):
    with topic(url) as made, webhook() as hook:
        told = sns(url).subscribe(TopicArn=made, Protocol="http", Endpoint=hook.url("/hook?x=1"))
        equal(told["SubscriptionArn"], "pending confirmation")
        request = hook.wait(1, "SubscriptionConfirmation")[0]
        equal(request.path, "/hook?x=1")
        document = request.document()
        wanted = ["Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp", "SignatureVersion"]
        wanted += ["Signature", "SigningCertURL"]
        equal(sorted(document), sorted(wanted))
        if not is_common():
            equal(list(document), wanted, "members in their order")
        equal((document["Type"], document["TopicArn"]), ("SubscriptionConfirmation", made))
        equal(
            document["Message"],
            f"You have chosen to subscribe to the topic {made}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message.",
        )
        place = urllib.parse.urlsplit(document["SubscribeURL"])
        wanted = f"Action=ConfirmSubscription&TopicArn={made}&Token={document['Token']}"
        equal((place.path, place.query), ("/", wanted))
        verify(document)
        wanted = {
            "content-type": "text/plain; charset=UTF-8",
            "user-agent": AGENT,
            "x-amz-sns-message-type": "SubscriptionConfirmation",
            "x-amz-sns-message-id": document["MessageId"],
            "x-amz-sns-topic-arn": made,
        }
        equal({name: request.headers.get(name) for name in wanted}, wanted)
        equal(request.headers.get("x-amz-sns-subscription-arn"), None)
        # Nothing comes to who has not confirmed.
        publish(url, made, "too early")
        hook.confirm()
        (listed,) = sns(url).list_subscriptions_by_topic(TopicArn=made)["Subscriptions"]
        subscription = listed["SubscriptionArn"]
        told = subscription_attributes(url, subscription)
        equal((told["PendingConfirmation"], listed["Endpoint"]), ("false", hook.url("/hook?x=1")))
        if not is_common():
            equal(told["ConfirmationWasAuthenticated"], "false")
        told = publish(url, made, "grüße", Subject="s", MessageAttributes={"n": number_of(1)})
        request = hook.wait()[0]
        document = request.document()
        wanted = ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature"]
        wanted += ["SigningCertURL", "UnsubscribeURL", "MessageAttributes"]
        equal(sorted(document) if is_common() else list(document), sorted(wanted) if is_common() else wanted)
        equal((document["Message"], document["MessageId"]), ("grüße", told["MessageId"]))
        verify(document)
        wanted = {
            "content-type": "text/plain; charset=UTF-8",
            "user-agent": AGENT,
            "x-amz-sns-message-type": "Notification",
            "x-amz-sns-message-id": told["MessageId"],
            "x-amz-sns-topic-arn": made,
            "x-amz-sns-subscription-arn": subscription,
        }
        equal({name: request.headers.get(name) for name in wanted}, wanted)
        equal(request.headers.get("x-amz-sns-rawdelivery"), None)
        equal([one.document()["Message"] for one in hook.of()], ["grüße"])


@case
def confirming_by_the_action(url):
    with topic(url) as made, webhook() as hook:
        subscription = subscribe(url, made, hook.url(), "http")
        token = hook.wait(1, "SubscriptionConfirmation")[0].document()["Token"]
        told = sns(url).confirm_subscription(TopicArn=made, Token=token, AuthenticateOnUnsubscribe="true")
        equal(told["SubscriptionArn"], subscription)
        equal(sns(url).confirm_subscription(TopicArn=made, Token=token)["SubscriptionArn"], subscription, "again")
        invalid(lambda: sns(url).confirm_subscription(TopicArn="arn:aws:sns", Token=token), "Topic")
        changed = token[:-1] + ("0" if token[-1] != "0" else "1")
        invalid(lambda: sns(url).confirm_subscription(TopicArn=made, Token=changed))
        told = subscription_attributes(url, subscription)
        equal((told["PendingConfirmation"], told["ConfirmationWasAuthenticated"]), ("false", "true"))
        if not is_common():
            # Whoever has the link only may not.
            publish(url, made, "x")
            status, _ = fetch(hook.wait()[0].document()["UnsubscribeURL"])
            assert 400 <= status < 500, status
            equal(len(sns(url).list_subscriptions_by_topic(TopicArn=made)["Subscriptions"]), 1)


@case
def raw_delivery(url):
    with topic(url) as made, webhook() as hook:
        confirmed(url, made, hook, RawMessageDelivery="true")
        told = publish(url, made, '{"body": "as it is"}', Subject="s", MessageAttributes={"n": number_of(1)})
        request = hook.wait()[0]
        equal(request.body, '{"body": "as it is"}')
        wanted = {"x-amz-sns-rawdelivery": "true", "x-amz-sns-message-id": told["MessageId"]}
        equal({name: request.headers.get(name) for name in wanted}, wanted)


@case
def a_structure_has_a_message_for_webhooks(url):
    with topic(url) as made, webhook() as hook:
        confirmed(url, made, hook, RawMessageDelivery="true")
        publish(url, made, json.dumps({"default": "for all", "http": "for hooks"}), MessageStructure="json")
        equal(hook.wait()[0].body, "for hooks")


@case
def content_types(url):
    with topic(url) as made, webhook() as hook:
        policy = {"requestPolicy": {"headerContentType": "application/json"}}
        subscription = confirmed(url, made, hook, DeliveryPolicy=policy)
        publish(url, made, "x")
        equal(hook.wait()[0].headers["content-type"], "application/json")
        if not is_common():
            told = json.loads(subscription_attributes(url, subscription)["EffectiveDeliveryPolicy"])
            equal(told["requestPolicy"], {"headerContentType": "application/json"})
            equal(told["healthyRetryPolicy"]["numRetries"], 3)
            set_topic(url, made, "DeliveryPolicy", {"http": {"disableSubscriptionOverrides": True}})
            publish(url, made, "y")
            equal(hook.wait(2)[1].headers["content-type"], "text/plain; charset=UTF-8", "where a topic allows no other")


@case
@beyond("LocalStack tries once")
def what_fails_is_tried_again(url):
    with topic(url) as made, webhook() as hook:
        confirmed(url, made, hook, DeliveryPolicy=retries(5, 4, numNoDelayRetries=1))
        statuses = [500, 429, 503, 200]
        hook.answer = lambda _request: statuses.pop(0) if statuses else 200
        told = publish(url, made, "again and again")
        got = hook.wait(4)
        equal({one.headers["x-amz-sns-message-id"] for one in got}, {told["MessageId"]})
        equal(len({one.body for one in got}), 1, "the same document each time")
        gaps = [later.at - earlier.at for earlier, later in zip(got, got[1:])]
        # The first one at once: whatever else the machine has to do, that is sooner than the others.
        assert gaps[0] < 3.5 and all(gap > 3.5 for gap in gaps[1:]), gaps
        publish(url, made, "next")
        equal(hook.wait(5)[4].document()["Message"], "next")


@case
@beyond("LocalStack knows no errors for good")
def what_is_refused_for_good_goes_to_the_dead_letters(url):
    with topic(url) as made, webhook() as hook, sqs_tools.queue(url) as dead:
        redrive = {"deadLetterTargetArn": arn_of(dead)}
        confirmed(url, made, hook, DeliveryPolicy=retries(5), RedrivePolicy=redrive)
        hook.answer = lambda _request: 404
        told = publish(url, made, "nobody wants it")
        document = json.loads(take_one(url, dead)["Body"])
        equal((document["MessageId"], document["Message"]), (told["MessageId"], "nobody wants it"))
        equal(len(hook.of()), 1)


@case
def exhausted_retries_go_to_the_dead_letters(url):
    with topic(url) as made, webhook() as hook, sqs_tools.queue(url) as dead:
        redrive = {"deadLetterTargetArn": arn_of(dead)}
        confirmed(url, made, hook, DeliveryPolicy=retries(1), RedrivePolicy=redrive, RawMessageDelivery="true")
        hook.answer = lambda _request: 500
        publish(url, made, "nobody can")
        equal(take_one(url, dead)["Body"], "nobody can")
        if not is_common():
            equal(len(hook.of()), 2)


@case
@beyond("LocalStack follows them")
def redirects_are_not_followed(url):
    with topic(url) as made, webhook() as hook, webhook() as other, sqs_tools.queue(url) as dead:
        redrive = {"deadLetterTargetArn": arn_of(dead)}
        confirmed(url, made, hook, DeliveryPolicy=retries(0), RedrivePolicy=redrive)
        hook.answer = lambda _request: (302, {"Location": other.url()})
        publish(url, made, "x")
        take_one(url, dead)
        equal(other.requests, [])


@case
@beyond("LocalStack waits for slow ones")
def a_slow_one_delays_nobody(url):
    """It answers when all others have everything."""
    with topic(url) as made, webhook() as slow, webhook() as quick, subscribed(url, made, RawMessageDelivery="true") as (queue, _):
        for hook in (slow, quick):
            confirmed(url, made, hook, RawMessageDelivery="true")
        others_have_it = threading.Event()
        slow.answer = lambda _request: 200 if others_have_it.wait(60) else 500
        wanted = sorted(f"m{n}" for n in range(20))
        for body in wanted:
            publish(url, made, body)
        slow.wait(1)
        equal(sorted(one.body for one in quick.wait(20)), wanted)
        equal(sorted(sqs_tools.take_all(url, queue, 20)), wanted)
        others_have_it.set()
        wait_until(lambda: {one.body for one in slow.of()} == set(wanted), "the slow one has everything, too", 60)


@case
@beyond("LocalStack throttles nobody")
def throttled(url):
    with topic(url) as made, webhook() as hook:
        confirmed(url, made, hook, RawMessageDelivery="true", DeliveryPolicy={"throttlePolicy": {"maxReceivesPerSecond": 5}})
        for n in range(12):
            publish(url, made, f"m{n}")
        got = hook.wait(12)
        seconds = got[-1].at - got[0].at
        assert seconds > 1.0, f"twelve in {seconds:.2f} s, five a second at most"


@case
def unsubscribing_by_the_link_is_told(url):
    with topic(url) as made, webhook() as hook:
        subscription = confirmed(url, made, hook)
        publish(url, made, "last")
        status, _ = fetch(hook.wait()[0].document()["UnsubscribeURL"])
        equal(status, 200)
        document = hook.wait(1, "UnsubscribeConfirmation")[0].document()
        equal(
            document["Message"],
            f"You have chosen to deactivate subscription {subscription}.\n"
            "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message.",
        )
        verify(document)
        equal(sns(url).list_subscriptions_by_topic(TopicArn=made).get("Subscriptions", []), [])
        publish(url, made, "to nobody")
        if not is_common():
            # Visiting the link restores it.
            status, _ = fetch(document["SubscribeURL"])
            equal(status, 200)
            publish(url, made, "restored")
            equal([one.document()["Message"] for one in hook.wait(2)], ["last", "restored"])


@case
@beyond("LocalStack posts wherever it is told")
def where_nothing_is_posted_to(url):
    with topic(url) as made, sqs_tools.queue(url) as dead:
        for endpoint in (
            "http://169.254.169.254/latest/meta-data/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
        ):
            try:
                subscribe(url, made, endpoint, "http", RedrivePolicy={"deadLetterTargetArn": arn_of(dead)})
            except sns(url).exceptions.InvalidParameterException:
                continue  # at once, or when it should be delivered
        status, _ = fetch(f"{url}/metrics")
        assert status != 200


@restart_case
def what_waits_for_a_webhook_survives(url):
    with topic(url) as made, webhook() as hook:
        confirmed(url, made, hook, RawMessageDelivery="true", DeliveryPolicy=retries(50))
        hook.answer = lambda _request: 503
        for n in range(10):
            publish(url, made, f"m{n}")
        hook.wait(1)
        restart_broker("kill")
        hook.answer = lambda _request: 200
        hook.requests.clear()
        wait_until(lambda: answers(url), "the broker is back")
        wait_until(lambda: {one.body for one in hook.of()} == {f"m{n}" for n in range(10)}, "all messages after the crash", 30)
        publish(url, made, "after")
        wait_until(lambda: "after" in {one.body for one in hook.of()}, "the next one")
        # One that was not confirmed before can be after.
        with webhook() as other:
            subscribe(url, made, other.url(), "http")
            token = other.wait(1, "SubscriptionConfirmation")[0].document()["Token"]
            restart_broker("stop")
            wait_until(lambda: answers(url), "the broker is back")
            told = sns(url).confirm_subscription(TopicArn=made, Token=token)
            assert told["SubscriptionArn"].startswith(made)
            set_subscription(url, told["SubscriptionArn"], "RawMessageDelivery", "true")
            publish(url, made, "to both")
            equal(other.wait()[0].body, "to both")
