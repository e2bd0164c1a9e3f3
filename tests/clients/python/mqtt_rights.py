"""paho-mqtt and the rights of users: topic permissions with variables, and tokens made by PyJWT in place of a password.

MANAGEMENT_URL of the environment is the broker's API; JWT_SECRET is the secret that its tokens are signed with.
"""

import contextlib
import os
import time

import jwt
from management import call
from mqtt_tools import EVERY_VERSION, V5, V311, Device, fence
from suite import case, equal, main, unique

NOT_AUTHORIZED = 0x87
NOTHING_TO_RELEASE = 0x92


@contextlib.contextmanager
def user(**topics):
    """A user, with this permission for topics, for as long as the block lasts."""
    name = unique("u")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    wanted = [
        (f"/api/users/{name}", {"password": "pw", "tags": ""}),
        (f"/api/permissions/%2F/{name}", everything),
        *([(f"/api/topic-permissions/%2F/{name}", {"exchange": "amq.topic", **topics})] if topics else []),
    ]
    for path, body in wanted:
        equal(call("PUT", path, body)[0], 201, path)
    try:
        yield name
    finally:
        call("DELETE", f"/api/users/{name}")


def token(claims, secret=None):
    """A signed token."""
    return jwt.encode(claims, secret or os.environ["JWT_SECRET"], algorithm="HS256")


def device(url, name, password="pw", **more):
    """A device of this user."""
    return Device(url, login=(name, password), **more)


@case
def a_device_has_topics_of_its_own(url):
    own = {"write": r"^fleet\.{username}\.{client_id}\.|^fence\.", "read": r"^fleet\.{username}\.{client_id}\.|^fence\."}
    with user(**own) as name, device(url, name) as one:
        mine, other = f"fleet/{name}/{one.id}/state", f"fleet/{name}/somebody/state"
        one.subscribe(mine)
        one.subscribe(other, expect=[NOT_AUTHORIZED])
        one.subscribe("fleet/#", expect=[NOT_AUTHORIZED])
        one.publish(mine, b"allowed")
        one.publish(other, b"refused", expect=NOT_AUTHORIZED)
        # paho goes on with PUBREL after a PUBREC that refuses, and is told that there is nothing to release.
        one.publish(other, b"refused", qos=2, expect=NOTHING_TO_RELEASE)
        fence(one, one)
        equal(one.payloads(1), [b"allowed"], "what comes")
        one.nothing_more()


@case
def a_pattern_takes_what_a_client_calls_itself_literally(url):
    with user(write=r"^fleet\.{client_id}\.", read="^$") as name, device(url, name, client_id=".*") as sly:
        sly.publish("fleet/somebody/state", b"x", expect=NOT_AUTHORIZED)
        sly.publish("fleet/a/state", b"x", expect=NOT_AUTHORIZED)


@case
def mqtt_3_has_a_code_for_a_filter_and_none_for_a_message(url):
    with user(write=r"^own\.", read=r"^own\.") as name:
        with device(url, name, version=V311) as one:
            one.subscribe("own/a", "other/a", expect=[1, 0x80])
        with device(url, name, version=V311) as one:
            one.send("other/a", b"x", qos=1)
            one.wait_end()


@case
def a_will_needs_the_right_too(url):
    with user(write=r"^own\.", read=".*") as name:
        for topic, code in (("own/gone", 0), ("other/gone", NOT_AUTHORIZED)):
            one = device(url, name, will={"topic": topic, "payload": b"gone"}).connect(expect=code)
            if code == 0:
                one.disconnect()


@case
def a_token_in_place_of_a_password(url):
    with user() as name:
        for version in EVERY_VERSION:
            with device(url, name, token({"sub": name, "exp": time.time() + 60}), version=version) as one:
                topic = unique("t")
                one.subscribe(topic).publish(topic, b"by token")
                equal(one.payloads(1), [b"by token"], "what comes")


@case
def tokens_that_let_nobody_in(url):
    hour = time.time() + 3600
    with user() as name, user() as other:
        for wrong in (
            token({"sub": name, "exp": time.time() - 60}),
            token({"sub": name}),
            token({"sub": other, "exp": hour}),
            token({"sub": name, "exp": hour}, "another secret, as long as the right one is"),
            jwt.encode({"sub": name, "exp": hour}, None, algorithm="none"),
            token({"sub": name, "exp": hour})[:-2],
        ):
            code = 0x86
            refused = device(url, name, wrong)
            try:
                refused.connect(expect=code)
            finally:
                refused.client.loop_stop()


@case
def the_end_of_a_token_is_the_end_of_its_connection(url):
    with user() as name:
        one = device(url, name, token({"sub": name, "exp": time.time() + 1.5})).connect()
        one.wait_end(NOT_AUTHORIZED)


if __name__ == "__main__":
    main()
