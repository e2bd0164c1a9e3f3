"""Platform applications, their endpoints, and phone numbers of SNS: what is kept, listed and refused. What is delivered to them has a test of its own
beside the broker's code, with the protocols of those who take it.

SMS_GATEWAY is a port of 127.0.0.1 to which the broker hands short messages, where it does."""

import json
import os
import re

from sns_tools import ACCOUNT, REGION, invalid, number_of, publish, refused, sns, subscribe, text_of, topic
from suite import beyond, case, equal, is_common, unique, wait_until
from webhook import webhook

CREDENTIAL = {"PlatformPrincipal": "p", "PlatformCredential": "c"}


def application(url, platform="GCM", **attributes):
    """CreatePlatformApplication: its ARN."""
    values = {**CREDENTIAL, **attributes}
    return sns(url).create_platform_application(Name=unique("app"), Platform=platform, Attributes=values)[
        "PlatformApplicationArn"
    ]


def endpoint(url, app, token=None, **values):
    """CreatePlatformEndpoint: its ARN."""
    return sns(url).create_platform_endpoint(PlatformApplicationArn=app, Token=token or unique("token"), **values)["EndpointArn"]


@case
def applications_are_made_listed_and_deleted(url):
    made = {platform: application(url, platform) for platform in ("GCM", "ADM", "Baidu")}
    for platform, app in made.items():
        assert app.startswith(f"arn:aws:sns:{REGION}:{ACCOUNT}:app/{platform}/"), app
    client = sns(url)
    every = [one for page in client.get_paginator("list_platform_applications").paginate() for one in page["PlatformApplications"]]
    listed = {one["PlatformApplicationArn"]: one["Attributes"] for one in every}
    for app in made.values():
        equal(listed[app]["Enabled"], "true")
        equal([name for name in listed[app] if name in CREDENTIAL], [], "secrets are not told")
    app = made["GCM"]
    client.set_platform_application_attributes(
        PlatformApplicationArn=app,
        Attributes={"Enabled": "false", "EventDeliveryFailure": f"arn:aws:sns:{REGION}:{ACCOUNT}:failures"},
    )
    told = client.get_platform_application_attributes(PlatformApplicationArn=app)["Attributes"]
    equal((told["Enabled"], told["EventDeliveryFailure"].rpartition(":")[2]), ("false", "failures"))
    for app in made.values():
        client.delete_platform_application(PlatformApplicationArn=app)
        client.delete_platform_application(PlatformApplicationArn=app)  # again is no error
        refused(
            lambda app=app: client.get_platform_application_attributes(PlatformApplicationArn=app),
            "NotFound",
            "PlatformApplication does not exist",
            status=404,
        )
        refused(
            lambda app=app: client.set_platform_application_attributes(PlatformApplicationArn=app, Attributes={"Enabled": "true"}),
            "NotFound",
            "PlatformApplication does not exist",
            status=404,
        )


@case
def applications_are_checked(url):
    def create(name="app", platform="GCM", attributes=None):
        attributes = CREDENTIAL if attributes is None else attributes
        return lambda: sns(url).create_platform_application(Name=name, Platform=platform, Attributes=attributes)

    invalid(create(platform="Pigeon"), "Platform Reason: Pigeon is not supported")
    told = invalid(create(name="x" * 257))
    assert told["Message"].endswith(" Reason: must be at most 256 characters long"), told
    characters = "must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'"
    invalid(create(name="a b"), f"a b Reason: {characters}")
    if not is_common():
        invalid(create(attributes={"PlatformPrincipal": "p"}), "Attributes Reason: ", starts=True)
        invalid(create(attributes={**CREDENTIAL, "Foo": "x"}), "Attributes Reason: ", starts=True)
    few = "PlatformApplicationArn Reason: An ARN must have at least 6 elements, not 1"
    invalid(lambda: sns(url).get_platform_application_attributes(PlatformApplicationArn="x"), few)


@case
def endpoints_are_made_listed_and_deleted(url):
    client = sns(url)
    app = application(url)
    token = unique("token")
    made = endpoint(url, app, token, CustomUserData="mine")
    assert made.startswith(app.replace(":app/", ":endpoint/") + "/"), made
    equal(endpoint(url, app, token, CustomUserData="mine"), made, "again")
    told = client.get_endpoint_attributes(EndpointArn=made)["Attributes"]
    equal(told, {"CustomUserData": "mine", "Enabled": "true", "Token": token})
    invalid(
        lambda: endpoint(url, app, token, CustomUserData="other"),
        f"Token Reason: Endpoint {made} already exists with the same Token, but different attributes.",
    )
    client.set_endpoint_attributes(EndpointArn=made, Attributes={"Enabled": "false", "CustomUserData": "x"})
    told = client.get_endpoint_attributes(EndpointArn=made)["Attributes"]
    equal((told["Enabled"], told["CustomUserData"]), ("false", "x"))
    invalid(
        lambda: client.set_endpoint_attributes(EndpointArn=made, Attributes={"Foo": "x"}),
        "Attributes Reason: Invalid attribute name: Foo",
    )
    invalid(
        lambda: client.set_endpoint_attributes(EndpointArn=made, Attributes={"CustomUserData": "x" * 2049}),
        "Attributes Reason: Invalid value for attribute: CustomUserData: must be at most 2048 bytes long in UTF-8 encoding",
    )
    second = endpoint(url, app, Attributes={"CustomUserData": "yours", "Enabled": "false"})
    told = client.get_endpoint_attributes(EndpointArn=second)["Attributes"]
    equal((told["CustomUserData"], told["Enabled"]), ("yours", "false"))
    pages = client.get_paginator("list_endpoints_by_platform_application").paginate(PlatformApplicationArn=app)
    equal(sorted(one["EndpointArn"] for page in pages for one in page["Endpoints"]), sorted([made, second]))
    refused(
        lambda: client.publish(TargetArn=made, Message="x"), "EndpointDisabled", "Endpoint is disabled"
    )
    client.delete_endpoint(EndpointArn=made)
    client.delete_endpoint(EndpointArn=made)  # again is no error
    for call in (
        lambda: client.get_endpoint_attributes(EndpointArn=made),
        lambda: client.set_endpoint_attributes(EndpointArn=made, Attributes={"Enabled": "true"}),
    ):
        refused(call, "NotFound", "Endpoint does not exist", status=404)
    invalid(
        lambda: client.publish(TargetArn=made, Message="x"),
        "TargetArn Reason: No endpoint found for the target arn specified",
    )
    client.delete_platform_application(PlatformApplicationArn=app)
    refused(lambda: endpoint(url, app), "NotFound", "PlatformApplication does not exist", status=404)
    refused(
        lambda: client.list_endpoints_by_platform_application(PlatformApplicationArn=app),
        "NotFound",
        "PlatformApplication does not exist",
        status=404,
    )


@case
@beyond("LocalStack keeps endpoints of disabled applications enabled")
def a_disabled_application_is_published_to_in_vain(url):
    client = sns(url)
    app = application(url)
    made = endpoint(url, app)
    client.set_platform_application_attributes(PlatformApplicationArn=app, Attributes={"Enabled": "false"})
    refused(lambda: client.publish(TargetArn=made, Message="x"), "PlatformApplicationDisabled")
    client.delete_platform_application(PlatformApplicationArn=app)


@case
def endpoints_and_phones_are_published_to(url):
    """Nobody is configured who would carry it on: it is taken, as by Amazon, and is lost on the way."""
    client = sns(url)
    app = application(url)
    made = endpoint(url, app)
    message = json.dumps({"default": "for all", "GCM": json.dumps({"notification": {"title": "x"}})})
    values = {"AWS.SNS.MOBILE.APNS.PUSH_TYPE": text_of("alert"), "n": number_of(1)}
    assert client.publish(TargetArn=made, Message=message, MessageStructure="json", MessageAttributes=values)["MessageId"]
    with topic(url) as whole:
        subscription = subscribe(url, whole, made, "application")
        equal(client.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["PendingConfirmation"], "false")
        subscribe(url, whole, "+15555550100", "sms")
        assert publish(url, whole, "to both")["MessageId"]
    assert client.publish(PhoneNumber="+15555550100", Message="hello")["MessageId"]
    number = "12-34-abc"
    invalid(
        lambda: client.publish(PhoneNumber=number, Message="x"), f"PhoneNumber Reason: {number} is not valid to publish to"
    )
    client.delete_platform_application(PlatformApplicationArn=app)


@case
def attributes_of_messages_to_phones(url):
    client = sns(url)
    client.set_sms_attributes(attributes={"DefaultSMSType": "Transactional", "DefaultSenderID": "Gantry"})
    told = client.get_sms_attributes()["attributes"]
    equal((told["DefaultSMSType"], told["DefaultSenderID"], told["MonthlySpendLimit"]), ("Transactional", "Gantry", "1"))
    equal(client.get_sms_attributes(attributes=["DefaultSMSType"])["attributes"], {"DefaultSMSType": "Transactional"})
    refused(lambda: client.set_sms_attributes(attributes={"Foo": "x"}), "InvalidParameter")
    refused(lambda: client.set_sms_attributes(attributes={"DefaultSMSType": "Foo"}), "InvalidParameter")


@case
def phones_that_want_nothing(url):
    client = sns(url)
    equal(client.check_if_phone_number_is_opted_out(phoneNumber="+15555550111")["isOptedOut"], False)
    equal(client.list_phone_numbers_opted_out().get("phoneNumbers", []), [])
    client.opt_in_phone_number(phoneNumber="+15555550111")
    invalid(lambda: client.opt_in_phone_number(phoneNumber="x"), "PhoneNumber Reason: input incorrectly formatted")


@case
@beyond("LocalStack has no sandbox")
def the_sandbox(url):
    client = sns(url)
    assert client.get_sms_sandbox_account_status()["IsInSandbox"] in (True, False)
    number = "+1555555" + unique("")[-4:].translate({ord(c): str(i % 10) for i, c in enumerate("abcdef")})
    client.create_sms_sandbox_phone_number(PhoneNumber=number, LanguageCode="en-US")
    listed = [one for page in client.get_paginator("list_sms_sandbox_phone_numbers").paginate() for one in page["PhoneNumbers"]]
    equal([one["Status"] for one in listed if one["PhoneNumber"] == number], ["Pending"])
    refused(lambda: client.verify_sms_sandbox_phone_number(PhoneNumber=number, OneTimePassword="00000"), "VerificationException")
    client.delete_sms_sandbox_phone_number(PhoneNumber=number)
    refused(lambda: client.delete_sms_sandbox_phone_number(PhoneNumber=number), "ResourceNotFound", status=404)
    for call, most in ((client.list_origination_numbers, 30), (client.list_sms_sandbox_phone_numbers, 100)):
        refused(lambda call=call, most=most: call(MaxResults=most + 1), "InvalidParameter")
        equal(call(MaxResults=most).get("NextToken"), None)
    equal(client.list_origination_numbers(MaxResults=30).get("PhoneNumbers", []), [])


@case
@beyond("LocalStack has no sandbox")
def a_password_comes_by_the_gateway(url):
    port = os.environ.get("SMS_GATEWAY")
    if port is None:
        return  # nobody takes messages
    client, number = sns(url), "+15555550177"
    with webhook(port=int(port)) as gateway:

        def sent():
            return [one.document()["text"] for one in list(gateway.requests) if one.document()["to"] == number]

        client.create_sms_sandbox_phone_number(PhoneNumber=number)
        wait_until(sent, "the password", 60)
        password = re.fullmatch(r"Your verification code is (\d+)\.", sent()[0])[1]
        client.verify_sms_sandbox_phone_number(PhoneNumber=number, OneTimePassword=password)
        listed = client.list_sms_sandbox_phone_numbers(MaxResults=100)["PhoneNumbers"]
        equal([one["Status"] for one in listed if one["PhoneNumber"] == number], ["Verified"])
        client.delete_sms_sandbox_phone_number(PhoneNumber=number)
