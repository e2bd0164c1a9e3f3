"""Topics of SNS: names, attributes, tags, permissions, lists."""

import concurrent.futures
import json

from sns_tools import (
    ACCOUNT,
    arn,
    fifo_topic,
    invalid,
    no_topic,
    publish,
    refused,
    set_topic,
    sns,
    subscribed,
    topic,
    topic_attributes,
)
from suite import beyond, case, equal, is_common, unique

EFFECTIVE = {
    "http": {
        "defaultHealthyRetryPolicy": {
            "minDelayTarget": 20,
            "maxDelayTarget": 20,
            "numRetries": 3,
            "numMaxDelayRetries": 0,
            "numNoDelayRetries": 0,
            "numMinDelayRetries": 0,
            "backoffFunction": "linear",
        },
        "disableSubscriptionOverrides": False,
        "defaultRequestPolicy": {"headerContentType": "text/plain; charset=UTF-8"},
    }
}


def default_policy(made):
    """The policy of a topic that has been given none."""
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "SNS:GetTopicAttributes",
                    "SNS:SetTopicAttributes",
                    "SNS:AddPermission",
                    "SNS:RemovePermission",
                    "SNS:DeleteTopic",
                    "SNS:Subscribe",
                    "SNS:ListSubscriptionsByTopic",
                    "SNS:Publish",
                ],
                "Resource": made,
                "Condition": {"StringEquals": {"AWS:SourceOwner": ACCOUNT}},
            }
        ],
    }


@case
def arn_is_made_of_region_account_and_name(url):
    name = unique("boto")
    made = sns(url).create_topic(Name=name)["TopicArn"]
    equal(made, arn(name))
    equal(sns(url).create_topic(Name=name)["TopicArn"], made, "again")
    assert {"TopicArn": made} in [one for page in pages(url, "list_topics") for one in page["Topics"]]
    sns(url).delete_topic(TopicArn=made)
    sns(url).delete_topic(TopicArn=made)  # again is no error
    no_topic(lambda: topic_attributes(url, made))


def pages(url, action, **values):
    """All pages of a list."""
    return list(sns(url).get_paginator(action).paginate(**values))


@case
def standard_topic_has_amazons_defaults(url):
    with topic(url) as made:
        told = topic_attributes(url, made)
        equal(json.loads(told.pop("Policy")), default_policy(made))
        equal(json.loads(told.pop("EffectiveDeliveryPolicy")), EFFECTIVE)
        wanted = {
            "DisplayName": "",
            "Owner": ACCOUNT,
            "SubscriptionsConfirmed": "0",
            "SubscriptionsDeleted": "0",
            "SubscriptionsPending": "0",
            "TopicArn": made,
        }
        equal(told, wanted)


@case
def fifo_topic_has_amazons_defaults(url):
    with topic(url, {"FifoTopic": "true"}) as made:
        told = topic_attributes(url, made)
        wanted = {"ContentBasedDeduplication": "false", "FifoTopic": "true", "DisplayName": "", "TopicArn": made}
        equal({name: told.get(name) for name in wanted}, wanted)


@case
def attributes_are_given_back(url):
    wanted = {
        "DisplayName": "Orders",
        "KmsMasterKeyId": "alias/mine",
        "SignatureVersion": "2",
        "TracingConfig": "Active",
        "HTTPSuccessFeedbackSampleRate": "50",
        "HTTPSuccessFeedbackRoleArn": f"arn:aws:iam::{ACCOUNT}:role/SNSSuccessFeedback",
        "SQSFailureFeedbackRoleArn": f"arn:aws:iam::{ACCOUNT}:role/SNSFailureFeedback",
        "LambdaSuccessFeedbackSampleRate": "100",
    }
    with topic(url, {"DisplayName": "Orders", "SignatureVersion": "2"}) as made:
        for name, value in wanted.items():
            set_topic(url, made, name, value)
        told = topic_attributes(url, made)
        equal({name: told.get(name) for name in wanted}, wanted)
        set_topic(url, made, "DisplayName", "")
        set_topic(url, made, "SignatureVersion", "1")
        told = topic_attributes(url, made)
        equal((told["DisplayName"], told["SignatureVersion"]), ("", "1"))


@case
@beyond("LocalStack takes any attribute and any value")
def values_of_attributes_are_checked(url):
    bad = {
        "Foo": ["x"],
        "TopicArn": ["x"],
        "Owner": ["x"],
        "FifoTopic": ["true"],
        "ContentBasedDeduplication": ["true"],
        "SignatureVersion": ["3", ""],
        "TracingConfig": ["Sometimes"],
        "DisplayName": ["x" * 101],
        "SQSSuccessFeedbackSampleRate": ["101", "x"],
        "Policy": ["{", "[]", "{}", json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]})],
        "DeliveryPolicy": ["{", '{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}'],
    }
    with topic(url) as made:
        before = topic_attributes(url, made)
        for name, values in bad.items():
            for value in values:
                invalid(lambda name=name, value=value: set_topic(url, made, name, value))
        invalid(lambda: sns(url).create_topic(Name=unique("boto"), Attributes={"Foo": "bar"}))
        equal(topic_attributes(url, made), before, "attributes after refused changes")


@case
@beyond("LocalStack does not merge delivery policies")
def delivery_policy_of_a_topic(url):
    with topic(url) as made:

        def told():
            got = topic_attributes(url, made)
            return json.loads(got.get("DeliveryPolicy", "null")), json.loads(got["EffectiveDeliveryPolicy"])["http"]

        set_topic(url, made, "DeliveryPolicy", {"http": {"defaultRequestPolicy": {"headerContentType": "application/json"}}})
        kept, effective = told()
        equal(kept["http"]["defaultRequestPolicy"], {"headerContentType": "application/json"})
        equal(effective["defaultRequestPolicy"], {"headerContentType": "application/json"})
        equal(effective["defaultHealthyRetryPolicy"], EFFECTIVE["http"]["defaultHealthyRetryPolicy"])
        retries = {"minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1}
        set_topic(url, made, "DeliveryPolicy", {"http": {"defaultHealthyRetryPolicy": retries}})
        kept, effective = told()
        equal({name: kept["http"]["defaultHealthyRetryPolicy"].get(name) for name in retries}, retries)
        equal(
            effective["defaultHealthyRetryPolicy"],
            {**EFFECTIVE["http"]["defaultHealthyRetryPolicy"], **retries},
        )
        equal(effective["defaultRequestPolicy"], EFFECTIVE["http"]["defaultRequestPolicy"])
        set_topic(url, made, "DeliveryPolicy", "")
        equal(told(), (None, EFFECTIVE["http"]), "taken away")


@case
def names_are_checked(url):
    def create(name, **values):
        return lambda: sns(url).create_topic(Name=name, Attributes=values)

    for name in ("a b", "x" * 257, "a/b", "ü", "a.b", unique("a") + ".fifo"):
        invalid(create(name), "Topic Name")
    for name in ("plain", "a b.fifo", ".fifo") + (() if is_common() else ("x" * 252 + ".fifo",)):
        invalid(create(name, FifoTopic="true"), "Topic Name")
    longest = unique("x").ljust(251, "x")
    for name, values in ((longest + "y" * 5, {}), (longest + ".fifo", {"FifoTopic": "true"})):
        equal(len(name), 256)
        sns(url).delete_topic(TopicArn=create(name, **values)()["TopicArn"])


@case
def creating_again_is_the_same_topic_if_it_says_the_same(url):
    with topic(url, {"DisplayName": "a"}, Tags=[{"Key": "k", "Value": "v"}]) as made:
        name = made.rpartition(":")[2]

        def again(**values):
            return lambda: sns(url).create_topic(Name=name, **values)

        for values in ({}, {"Attributes": {"DisplayName": "a"}}, {"Tags": [{"Key": "k", "Value": "v"}]}):
            equal(again(**values)()["TopicArn"], made)
        invalid(
            again(Attributes={"DisplayName": "b"}), "Attributes Reason: Topic already exists with different attributes"
        )
        for tags in ([{"Key": "k", "Value": "w"}], [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "v"}]):
            invalid(again(Tags=tags), "Tags Reason: Topic already exists with different tags")


@case
def tags_come_and_go(url):
    def tags(made):
        return {tag["Key"]: tag["Value"] for tag in sns(url).list_tags_for_resource(ResourceArn=made)["Tags"]}

    with topic(url, Tags=[{"Key": "team", "Value": "red"}, {"Key": "empty", "Value": ""}]) as made:
        equal(tags(made), {"team": "red", "empty": ""})
        sns(url).tag_resource(ResourceArn=made, Tags=[{"Key": "team", "Value": "blue"}, {"Key": "ünï/code@", "Value": "välue+-=._:/@"}])
        equal(tags(made), {"team": "blue", "empty": "", "ünï/code@": "välue+-=._:/@"})
        sns(url).untag_resource(ResourceArn=made, TagKeys=["team", "empty", "never"])
        equal(tags(made), {"ünï/code@": "välue+-=._:/@"})
        twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
        invalid(lambda: sns(url).tag_resource(ResourceArn=made, Tags=twice), "Duplicated keys are not allowed.")
    with topic(url) as made:
        equal(tags(made), {})


@case
@beyond("LocalStack has no limit of tags, and tags what is not there")
def tags_are_bounded(url):
    with topic(url, Tags=[{"Key": f"tag{n}", "Value": "x"} for n in range(50)]) as made:
        refused(lambda: sns(url).tag_resource(ResourceArn=made, Tags=[{"Key": "more", "Value": "x"}]), "TagLimitExceeded")
        sns(url).tag_resource(ResourceArn=made, Tags=[{"Key": "tag0", "Value": "another"}])
        equal(len(sns(url).list_tags_for_resource(ResourceArn=made)["Tags"]), 50)
    gone = "ResourceNotFound"
    refused(lambda: sns(url).list_tags_for_resource(ResourceArn=made), gone, status=404)
    refused(lambda: sns(url).tag_resource(ResourceArn=made, Tags=[{"Key": "a", "Value": "b"}]), gone, status=404)
    refused(lambda: sns(url).untag_resource(ResourceArn=made, TagKeys=["a"]), gone, status=404)


@case
def lists_are_paged_by_a_hundred(url):
    prefix = unique("page")
    names = [f"{prefix}-{number}" for number in range(103)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda name: sns(url).create_topic(Name=name)["TopicArn"], names))
    first = sns(url).list_topics()
    equal((len(first["Topics"]), bool(first.get("NextToken"))), (100, True), "the first page")
    found = [one["TopicArn"] for page in pages(url, "list_topics") for one in page["Topics"]]
    equal(sorted(one for one in found if one in made), sorted(made))
    equal(len(found), len(set(found)), "topics that came once")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: sns(url).delete_topic(TopicArn=one), made))
    if not is_common():
        invalid(lambda: sns(url).list_topics(NextToken="nothing"))


@case
def a_deleted_topic_is_not_there(url):
    with topic(url) as made:
        pass
    queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:nothing"
    for call in (
        lambda: topic_attributes(url, made),
        lambda: set_topic(url, made, "DisplayName", "x"),
        lambda: publish(url, made),
        lambda: sns(url).publish_batch(TopicArn=made, PublishBatchRequestEntries=[{"Id": "a", "Message": "x"}]),
        lambda: sns(url).subscribe(TopicArn=made, Protocol="sqs", Endpoint=queue),
        lambda: sns(url).list_subscriptions_by_topic(TopicArn=made),
        lambda: sns(url).add_permission(TopicArn=made, Label="l", AWSAccountId=[ACCOUNT], ActionName=["Publish"]),
        lambda: sns(url).remove_permission(TopicArn=made, Label="l"),
        lambda: sns(url).get_data_protection_policy(ResourceArn=made),
        lambda: sns(url).put_data_protection_policy(ResourceArn=made, DataProtectionPolicy="{}"),
    ):
        no_topic(call)


@case
def arns_are_checked(url):
    few = "TopicArn Reason: An ARN must have at least 6 elements, not {}"
    for call in (
        lambda name: topic_attributes(url, name),
        lambda name: publish(url, name),
        lambda name: sns(url).delete_topic(TopicArn=name),
        lambda name: sns(url).list_subscriptions_by_topic(TopicArn=name),
    ):
        invalid(lambda call=call: call("x"), few.format(1))
        invalid(lambda call=call: call("arn:aws"), few.format(2))
    elsewhere = sns(url, region="eu-central-1")
    with topic(url) as made:
        # A region is a part of a name here, and no place.
        if is_common():
            invalid(lambda: elsewhere.publish(TopicArn=made, Message="x"), "TopicArn")
        else:
            assert elsewhere.publish(TopicArn=made, Message="x")["MessageId"]


@case
def permissions_are_statements_of_the_policy(url):
    with topic(url) as made:

        def statements():
            policy = json.loads(topic_attributes(url, made)["Policy"])
            return {one["Sid"]: one for one in policy["Statement"]}

        values = {"AWSAccountId": ["111111111111", "222222222222"], "ActionName": ["Publish", "Subscribe"]}
        sns(url).add_permission(TopicArn=made, Label="friends", **values)
        added = statements()["friends"]
        wanted = {
            "Sid": "friends",
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam::{one}:root" for one in values["AWSAccountId"]]},
            "Action": ["SNS:Publish", "SNS:Subscribe"],
            "Resource": made,
        }
        equal(added, wanted)
        sns(url).add_permission(TopicArn=made, Label="one", AWSAccountId=["111111111111"], ActionName=["Publish"])
        equal(statements()["one"]["Principal"], {"AWS": "arn:aws:iam::111111111111:root"})
        equal(statements()["one"]["Action"], "SNS:Publish")
        invalid(lambda: sns(url).add_permission(TopicArn=made, Label="one", **values), "Statement already exists")
        values["ActionName"] = ["CreateTopic"]
        invalid(
            lambda: sns(url).add_permission(TopicArn=made, Label="two", **values),
            "Policy statement action out of service scope!",
        )
        sns(url).remove_permission(TopicArn=made, Label="friends")
        sns(url).remove_permission(TopicArn=made, Label="one")
        equal(sorted(statements()), ["__default_statement_ID"])


@case
def a_policy_is_set_and_read(url):
    with topic(url) as made:
        statement = {"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": made}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        set_topic(url, made, "Policy", policy)
        equal(json.loads(topic_attributes(url, made)["Policy"]), policy)


@case
def subscriptions_are_counted(url):
    with topic(url) as made, subscribed(url, made), subscribed(url, made) as (_, second):
        # LocalStack counts none.
        wanted = ("2", "0", "0") if not is_common() else ("0", "0", "0")

        def counts():
            told = topic_attributes(url, made)
            return tuple(told[f"Subscriptions{kind}"] for kind in ("Confirmed", "Pending", "Deleted"))

        equal(counts(), wanted)
        if not is_common():
            sns(url).subscribe(TopicArn=made, Protocol="email", Endpoint="someone@example.com")
            sns(url).unsubscribe(SubscriptionArn=second)
            equal(counts(), ("1", "1", "1"))


@case
def data_protection_policy_is_kept(url):
    policy = {
        "Name": "secrets",
        "Description": "no mail addresses",
        "Version": "2021-06-01",
        "Statement": [
            {
                "Sid": "deny",
                "DataDirection": "Inbound",
                "Principal": ["*"],
                "DataIdentifier": ["arn:aws:dataprotection::aws:data-identifier/EmailAddress"],
                "Operation": {"Deny": {}},
            }
        ],
    }
    text = json.dumps(policy)
    with topic(url) as made:
        told = sns(url).get_data_protection_policy(ResourceArn=made)
        equal(told.get("DataProtectionPolicy") or "", "")
        sns(url).put_data_protection_policy(ResourceArn=made, DataProtectionPolicy=text)
        equal(json.loads(sns(url).get_data_protection_policy(ResourceArn=made)["DataProtectionPolicy"]), policy)
    with topic(url, DataProtectionPolicy=text) as made:
        equal(json.loads(sns(url).get_data_protection_policy(ResourceArn=made)["DataProtectionPolicy"]), policy)
        if not is_common():
            invalid(lambda: sns(url).put_data_protection_policy(ResourceArn=made, DataProtectionPolicy="{"))


@case
def attributes_of_order_are_for_fifo_topics(url):
    with fifo_topic(url) as made:
        set_topic(url, made, "ContentBasedDeduplication", "false")
        equal(topic_attributes(url, made)["ContentBasedDeduplication"], "false")
        invalid(lambda: set_topic(url, made, "FifoTopic", "false"), "AttributeName")
        if not is_common():
            for scope in ("MessageGroup", "Topic"):
                set_topic(url, made, "FifoThroughputScope", scope)
                equal(topic_attributes(url, made)["FifoThroughputScope"], scope)
            invalid(lambda: set_topic(url, made, "FifoThroughputScope", "Somewhere"))
