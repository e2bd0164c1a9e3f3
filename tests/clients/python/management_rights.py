"""The management API for users and their rights as scripts use it, and what clients may do afterwards."""

import base64
import contextlib
import hashlib

import management
import pika
from management import call, quoted
from pika import exceptions
from pika_tools import connected, refused
from suite import beyond, case, equal, main, unique

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}
NOT_ADMINISTRATOR = {"error": "not_authorised", "reason": "Not administrator user"}
NEITHER = {"error": "bad_request", "reason": "vhost_or_user_not_found"}
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


def put(path, body, status=None):
    """Makes or changes something."""
    told = call("PUT", path, body)
    equal((told[0] if status else told[0] in (201, 204), told[2]), (status or True, None), f"PUT {path}")


@contextlib.contextmanager
def user(password="pw", tags="", permission=EVERYTHING, **more):
    """A user for as long as the block lasts."""
    name = unique("u")
    put(f"/api/users/{name}", {**({} if password is None else {"password": password}), "tags": tags, **more}, 201)
    if permission is not None:
        put(f"/api/permissions/%2F/{name}", permission, 201)
    try:
        yield name
    finally:
        status = call("DELETE", f"/api/users/{name}")[0]
        equal(status in (204, 404), True, "deleted")


def logged_in(url, name, password="pw"):
    """A connection of this user."""
    return connected(url, credentials=pika.PlainCredentials(name, password))


def may_log_in(url, name, password):
    """Whether the broker lets somebody in."""
    try:
        with logged_in(url, name, password):
            return True
    except (exceptions.ProbableAuthenticationError, exceptions.ProbableAccessDeniedError, exceptions.AuthenticationError):
        return False


def reason(path, body):
    """Why a change is not made."""
    status, _, answer = call("PUT", path, body)
    equal((status, answer["error"]), (400, "bad_request"), f"PUT {path} {body}")
    return answer["reason"]


@case
def users_are_made_changed_listed_and_deleted(url):
    name = unique("u/\u00e4")
    path = f"/api/users/{quoted(name)}"
    equal(call("GET", path)[::2], (404, NOT_FOUND), "before")
    equal(call("DELETE", path)[::2], (404, NOT_FOUND), "deleted before")
    put(path, {"password": "pw", "tags": "management,other"}, 201)
    row = management.get(path)
    equal(list(row), ["name", "password_hash", "hashing_algorithm", "tags", "limits"], "fields")
    equal((row["name"], row["hashing_algorithm"]), (name, "rabbit_password_hashing_sha256"), "told")
    equal((row["tags"], row["limits"]), (["management", "other"], {}), "told")
    digest = base64.b64decode(row["password_hash"])
    equal(digest[4:], hashlib.sha256(digest[:4] + b"pw").digest(), "hash")
    equal(row in management.get("/api/users"), True, "listed")
    equal(management.call("GET", "/api/whoami", credentials=f"{name}:pw")[2], {"name": name, "tags": row["tags"]}, "whoami")
    put(path, {"password": "other", "tags": ["monitoring"]}, 204)
    equal(management.get(path)["tags"], ["monitoring"], "tags")
    equal(call("GET", "/api/whoami", credentials=f"{name}:pw")[0], 401, "the password before")
    put(path, {"password": "other", "tags": " administrator , b"}, 204)
    equal(management.get(path)["tags"], ["administrator", "b"], "tags with blanks")
    equal(call("DELETE", path)[::2], (204, None), "deleted")
    equal(call("GET", path)[::2], (404, NOT_FOUND), "after")


@case
def a_hash_is_taken_in_place_of_a_password(url):
    salt = b"\1\2\3\4"
    for algorithm in ("sha256", "sha512", "md5"):
        digest = hashlib.new(algorithm, salt + "gehe\u00efm".encode()).digest()
        encoded = base64.b64encode(salt + digest).decode()
        named = f"rabbit_password_hashing_{algorithm}"
        with user(None, password_hash=encoded, hashing_algorithm=named) as name:
            row = management.get(f"/api/users/{name}")
            equal((row["password_hash"], row["hashing_algorithm"]), (encoded, named), "told")
            equal(may_log_in(url, name, "gehe\u00efm"), True, algorithm)
            equal(may_log_in(url, name, "geheim"), False, algorithm)


@case
def without_a_password_nobody_logs_in(url):
    for more in ({}, {"password_hash": ""}):
        with user(None, **more) as name:
            equal(may_log_in(url, name, ""), False, more)
    with user("") as name:
        equal(may_log_in(url, name, ""), False, "an empty password")
    with user("pw") as name:
        equal(may_log_in(url, name, "pw"), True, "a password")
        put(f"/api/users/{name}", {"tags": ""}, 204)
        equal(may_log_in(url, name, "pw"), False, "the password is gone")
        row = management.get(f"/api/users/{name}")
        equal((row["password_hash"], row["hashing_algorithm"]), ("", "rabbit_password_hashing_sha256"), "told")


@case
def mistakes_about_users_are_told_in_the_same_words(_):
    path = f"/api/users/{unique('u')}"
    equal(reason(path, {"password": "pw"}), "tags_not_present", "tags")
    equal(reason(path, {}), "tags_not_present", "nothing")
    both = {"password": "pw", "password_hash": "AAAA", "tags": ""}
    equal(reason(path, both), "both_password_and_password_hash_are_provided", "both")
    equal(reason(path, {"password_hash": "!!", "tags": ""}), ["not_base64", "!!"], "base64")
    equal(reason(path, {"password_hash": 7, "tags": ""}), ["not_base64", 7], "a number")
    equal(call("PUT", path, raw=b"xx")[::2], (400, {"error": "bad_request", "reason": "not_json"}), "JSON")
    equal(call("GET", path)[0], 404, "nobody was made")


@case
def permissions_are_set_told_and_cleared(_):
    with user(permission=None) as name:
        path = f"/api/permissions/%2F/{name}"
        equal(call("GET", path)[::2], (404, NOT_FOUND), "before")
        equal(management.get(f"/api/users/{name}/permissions"), [], "before")
        permission = {"configure": "", "write": "^w", "read": ".*"}
        put(path, permission, 201)
        put(path, permission, 204)
        row = {"user": name, "vhost": "/", **permission}
        equal((management.get(path), list(management.get(path))), (row, list(row)), "told")
        for listed in ("/api/permissions", f"/api/users/{name}/permissions", "/api/vhosts/%2F/permissions"):
            equal(row in management.get(listed), True, listed)
        equal(reason(path, {"write": "x"}), "[{key_missing,configure},{key_missing,read}]", "missing")
        equal(reason(path, {**permission, "write": "("})[0], "invalid_regexp", "an expression")
        equal(call("DELETE", path)[::2], (204, None), "cleared")
        equal(call("DELETE", path)[::2], (404, NOT_FOUND), "cleared again")
    for path in (f"/api/permissions/%2F/{name}", "/api/permissions/nope/guest"):
        equal(call("PUT", path, EVERYTHING)[::2], (400, NEITHER), path)
        equal(call("GET", path)[::2], (404, NOT_FOUND), path)
    for path in (f"/api/users/{name}/permissions", "/api/vhosts/nope/permissions"):
        equal(call("GET", path)[::2], (404, NOT_FOUND), path)


@case
def topic_permissions_are_set_told_and_cleared(_):
    with user() as name:
        path = f"/api/topic-permissions/%2F/{name}"
        equal(call("GET", path)[::2], (404, NOT_FOUND), "before")
        one = {"exchange": "amq.topic", "write": "^{username}", "read": ""}
        put(path, one, 201)
        put(path, one, 204)
        put(path, {**one, "exchange": "another"}, 204)
        rows = [{"user": name, "vhost": "/", **one, "exchange": exchange} for exchange in ("amq.topic", "another")]
        by_exchange = sorted(management.get(path), key=lambda row: row["exchange"])
        equal((by_exchange, list(by_exchange[0])), (rows, list(rows[0])), "told")
        for listed in ("/api/topic-permissions", f"/api/users/{name}/topic-permissions", "/api/vhosts/%2F/topic-permissions"):
            equal([row for row in rows if row in management.get(listed)], rows, listed)
        equal(reason(path, {"write": "x"}), "[{key_missing,exchange},{key_missing,read}]", "missing")
        equal(reason(path, {**one, "read": "("})[0], "invalid_regexp", "an expression")
        equal(call("DELETE", f"{path}/another")[::2], (204, None), "one of them")
        equal(management.get(path), rows[:1], "the other one")
        equal(call("DELETE", path)[::2], (204, None), "all of them")
        equal(call("DELETE", path)[::2], (404, NOT_FOUND), "all of them again")
    for path in (f"/api/topic-permissions/%2F/{name}", "/api/topic-permissions/nope/guest"):
        equal(call("PUT", path, one)[::2], (400, NEITHER), path)
        equal(call("GET", path)[::2], (404, NOT_FOUND), path)


@case
def only_administrators_see_and_change_users(_):
    for tag in ("management", "monitoring", "policymaker", ""):
        with user(tags=tag) as name:
            said = NOT_ADMINISTRATOR if tag else {"error": "not_authorised", "reason": "Not management user"}
            for method, path, body in [
                ("GET", "/api/users", None),
                ("GET", f"/api/users/{name}", None),
                ("PUT", f"/api/users/{name}", {"password": "pw", "tags": "administrator"}),
                ("DELETE", f"/api/users/{name}", None),
                ("GET", f"/api/users/{name}/permissions", None),
                ("GET", "/api/permissions", None),
                ("GET", f"/api/permissions/%2F/{name}", None),
                ("PUT", f"/api/permissions/%2F/{name}", EVERYTHING),
                ("DELETE", f"/api/permissions/%2F/{name}", None),
                ("GET", "/api/topic-permissions", None),
                ("PUT", f"/api/topic-permissions/%2F/{name}", {"exchange": "x", "write": "", "read": ""}),
                ("DELETE", f"/api/topic-permissions/%2F/{name}", None),
                ("GET", "/api/vhosts/%2F/permissions", None),
            ]:
                answer = call(method, path, body, credentials=f"{name}:pw")
                equal(answer[::2], (401, said), f"{method} {path} by {tag!r}")
            equal(management.get(f"/api/users/{name}")["tags"], [tag] if tag else [], "unchanged")


def topic_refused(name, key):
    """The block must be refused this routing key."""
    return refused(403, f"ACCESS_REFUSED - access to topic '{key}' in exchange 'amq.topic' in vhost '/' refused for user '{name}'")


@contextlib.contextmanager
def limited(url):
    """A connection of a user who may write `w.…` and bind `r.…` and its own name on amq.topic, and a queue."""
    with user() as name:
        permission = {"exchange": "amq.topic", "write": "^w\\.", "read": "^(r|{username})\\."}
        put(f"/api/topic-permissions/%2F/{name}", permission, 201)
        with logged_in(url, name) as connection:
            yield name, connection, connection.channel().queue_declare("", exclusive=True).method.queue


def publish(channel, exchange, key, **properties):
    """Publishes, and waits for the confirm."""
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x", pika.BasicProperties(**properties))


@case
def topic_permissions_limit_publishing_and_binding_on_topic_exchanges(url):
    with limited(url) as (name, connection, queue):
        publish(connection.channel(), "amq.topic", "w.1")
        publish(connection.channel(), "amq.direct", "x.1")
        for key in ("x.1", "", "wx"):
            with topic_refused(name, key):
                publish(connection.channel(), "amq.topic", key)
        for key in ("r.1", f"{name}.1"):
            connection.channel().queue_bind(queue, "amq.topic", key)
            connection.channel().queue_unbind(queue, "amq.topic", key)
            connection.channel().exchange_bind("amq.fanout", "amq.topic", key)
            connection.channel().exchange_unbind("amq.fanout", "amq.topic", key)
        for act in (
            lambda: connection.channel().queue_bind(queue, "amq.topic", "w.1"),
            lambda: connection.channel().queue_unbind(queue, "amq.topic", "w.1"),
            lambda: connection.channel().exchange_bind("amq.fanout", "amq.topic", "w.1"),
            lambda: connection.channel().exchange_unbind("amq.fanout", "amq.topic", "w.1"),
        ):
            with topic_refused(name, "w.1"):
                act()
        connection.channel().queue_bind(queue, "amq.direct", "w.1")


@case
@beyond("RabbitMQ 4")
def topic_permissions_count_for_keys_in_headers_too(url):
    with limited(url) as (name, connection, _):
        for header in ("CC", "BCC"):
            publish(connection.channel(), "amq.topic", "w.1", headers={header: ["w.2"]})
            publish(connection.channel(), "amq.direct", "w.1", headers={header: ["x.2"]})
            with topic_refused(name, "x.2"):
                publish(connection.channel(), "amq.topic", "w.1", headers={header: ["x.2"]})


@case
def rights_that_are_taken_are_gone_for_connections_that_are_open(url):
    with user() as name, logged_in(url, name) as connection:
        queue = connection.channel().queue_declare("", exclusive=True).method.queue
        put(f"/api/permissions/%2F/{name}", {"configure": ".*", "write": "", "read": ".*"}, 204)
        text = f"ACCESS_REFUSED - access to exchange 'amq.fanout' in vhost '/' refused for user '{name}'"
        with refused(403, text):
            publish(connection.channel(), "amq.fanout", "")
        equal(call("DELETE", f"/api/permissions/%2F/{name}")[0], 204, "cleared")
        text = f"ACCESS_REFUSED - access to queue '{queue}' in vhost '/' refused for user '{name}'"
        with refused(403, text):
            connection.channel().basic_get(queue)


@case
def the_connections_of_a_deleted_user_are_closed(url):
    with user() as name, logged_in(url, name) as connection:
        channel = connection.channel()
        equal(call("DELETE", f"/api/users/{name}")[0], 204, "deleted")
        said = None
        try:
            channel.basic_qos(prefetch_count=1)
            connection.process_data_events(time_limit=10)
        except exceptions.ConnectionClosedByBroker as closed:
            said = closed.reply_code, closed.reply_text
        equal(said, (320, f"CONNECTION_FORCED - user '{name}' is deleted"), "what the client is told")


if __name__ == "__main__":
    main()
