"""The management API for policies as scripts use it: codes, bodies, words of errors, and who may do what."""

import management
from management import call, quoted
from suite import case, equal, main, unique

NOT_FOUND = {"error": "Object Not Found", "reason": "Not Found"}


def reason(path, body, **how):
    """Why a policy is not taken."""
    status, _, answer = call("PUT", path, body, **how)
    equal((status, answer["error"]), (400, "bad_request"), f"PUT {path} {body}")
    return answer["reason"]


@case
def policies_are_made_changed_listed_and_deleted(_):
    for root in ("/api/policies", "/api/operator-policies"):
        name = unique("p")
        path = f"{root}/%2F/{name}"
        body = {"pattern": "^nothing$", "definition": {"max-length": 5}, "apply-to": "queues", "priority": 3}
        equal(call("GET", path)[::2], (404, NOT_FOUND), "before")
        equal(call("PUT", path, body)[::2], (201, None), "made")
        equal(call("PUT", path, body)[::2], (204, None), "made again")
        row = {"vhost": "/", "name": name, **body}
        status, headers, told = call("GET", path)
        equal((status, told, list(told)), (200, row, ["vhost", "name", "pattern", "apply-to", "definition", "priority"]), "told")
        equal((headers["content-type"], headers["cache-control"]), ("application/json", "no-cache"), "headers")
        for listed in (root, f"{root}/%2F", f"{root}/%2f/"):
            equal([row] if row in management.get(listed) else management.get(listed), [row], listed)
        equal(call("HEAD", path)[0], 200, "HEAD")
        equal(call("DELETE", path)[::2], (204, None), "deleted")
        equal(call("DELETE", path)[::2], (404, NOT_FOUND), "deleted again")


@case
def what_is_left_out_has_a_default_and_names_may_have_any_character(_):
    name = unique("p/% \u00e4")
    path = f"/api/policies/%2F/{quoted(name)}"
    equal(call("PUT", path, {"pattern": "^nothing$", "definition": {"expires": 9, "max-length": 0}, "other": 1})[0], 201, "made")
    row = management.get(path)
    equal((row["name"], row["apply-to"], row["priority"]), (name, "all", 0), "defaults")
    equal(call("DELETE", path)[0], 204, "deleted")


@case
def a_list_is_in_the_order_of_priorities(_):
    prefix = unique("p")
    for priority in (2, -1, 7):
        body = {"pattern": "^nothing$", "definition": {"max-length": 1}, "priority": priority}
        call("PUT", f"/api/policies/%2F/{prefix}{priority}", body)
    told = [row["priority"] for row in management.get("/api/policies/%2F") if row["name"].startswith(prefix)]
    equal(told, [-1, 2, 7], "priorities")
    for priority in told:
        equal(call("DELETE", f"/api/policies/%2F/{prefix}{priority}")[0], 204, "deleted")


@case
def what_does_not_exist_is_not_found(_):
    body = {"pattern": "a", "definition": {"max-length": 1}}
    for path in ("/api/policies/nope", "/api/policies/nope/nope", "/api/queues/%2F/nope", "/api/queues/nope/nope", "/api/no"):
        equal(call("GET", path)[::2], (404, NOT_FOUND), path)
    equal(call("PUT", "/api/policies/nope/p", body)[::2], (404, {"error": "not_found", "reason": "vhost_not_found"}), "PUT")
    equal(call("DELETE", "/api/policies/nope/p")[::2], (404, NOT_FOUND), "DELETE")


@case
def mistakes_are_told_in_the_same_words(_):
    path = f"/api/policies/%2F/{unique('p')}"
    limit = {"max-length": 5}
    cases = [
        ({}, "[{key_missing,pattern},{key_missing,definition}]"),
        ({"pattern": "a"}, "[{key_missing,definition}]"),
        ({"pattern": "a", "definition": {}}, "Validation failed\n\nno policy provided\n"),
        ({"pattern": 5, "definition": limit}, "Validation failed\n\npattern should be a binary but was 5\n"),
        (
            {"pattern": "a", "definition": limit, "priority": "7"},
            'Validation failed\n\npriority should be a number, actually was &lt;&lt;"7"&gt;&gt;\n',
        ),
        (
            {"pattern": "a", "definition": {"foo": "x", "bar": [1, 2], "max-length": 4}},
            'Validation failed\n\n[{&lt;&lt;"bar"&gt;&gt;,[1,2]},{&lt;&lt;"foo"&gt;&gt;,&lt;&lt;"x"&gt;&gt;}] are not recognised policy settings\n',
        ),
    ]
    for name, value, words in [
        ("alternate-exchange", 1, "1 is not a valid alternate exchange name"),
        ("dead-letter-exchange", None, "null is not a valid dead letter exchange name"),
        ("dead-letter-routing-key", True, "true is not a valid dead letter routing key"),
        ("dead-letter-strategy", "x", '&lt;&lt;"x"&gt;&gt; is not a valid dead letter strategy'),
        ("message-ttl", -1, "-1 is not a valid message TTL"),
        ("expires", 0, "0 is not a valid queue expiry"),
        ("max-length", 1.5, "1.5 is not a valid maximum length"),
        ("max-length-bytes", "x", '&lt;&lt;"x"&gt;&gt; is not a valid maximum length in bytes'),
        ("overflow", [1], "[1] is not a valid overflow value"),
        ("queue-mode", "slow", '&lt;&lt;"slow"&gt;&gt; is not a valid queue-mode value'),
        ("queue-version", 3, "3 is not a valid queue-version value"),
        ("delivery-limit", "x", '&lt;&lt;"x"&gt;&gt; is not a valid delivery limit'),
        ("max-age", "12x", '&lt;&lt;"12x"&gt;&gt; is not a valid max age'),
        ("stream-max-segment-size-bytes", 3000000001, "3000000001 is not a valid segment size"),
        ("queue-leader-locator", "x", '&lt;&lt;"x"&gt;&gt; is not a valid queue leader locator value'),
        ("queue-master-locator", "x", '&lt;&lt;"x"&gt;&gt; invalid queue-master-locator value'),
        ("ha-mode", "x", '&lt;&lt;"x"&gt;&gt; is not a valid ha-mode value'),
        ("ha-sync-mode", "manual", "ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown"),
    ]:
        cases.append(({"pattern": "a", "definition": {name: value}}, f"Validation failed\n\n{words}\n"))
    for body, words in cases:
        equal(reason(path, body), words, body)
    for raw, words in [(b"{", "not_json"), (b"[]", "not_json"), (b"", "[{key_missing,pattern},{key_missing,definition}]")]:
        equal(reason(path, None, raw=raw), words, raw)
    operator = f"/api/operator-policies/%2F/{unique('p')}"
    for name, value in [("overflow", '<<"drop-head">>'), ("dead-letter-exchange", '<<"x">>'), ("ha-mode", '<<"all">>')]:
        words = f'Validation failed\n\n[{{<<"{name}">>,{value}}}] are not recognised policy settings\n'
        equal(reason(operator, {"pattern": "a", "definition": {name: value[3:-3]}}), words, name)
    equal(call("GET", path)[0], 404, "nothing was made")


@case
def meaningless_settings_are_taken(_):
    path = f"/api/policies/%2F/{unique('p')}"
    for definition in [
        {"ha-mode": "all"},
        {"ha-mode": "exactly", "ha-params": 2, "ha-sync-mode": "automatic", "ha-promote-on-shutdown": "always"},
        {"ha-mode": "nodes", "ha-params": ["a", "b"], "ha-sync-batch-size": 1},
        {"queue-mode": "lazy", "queue-version": 2, "queue-master-locator": "min-masters"},
        {"queue-leader-locator": "balanced", "initial-cluster-size": 3, "max-in-memory-length": 1},
    ]:
        equal(call("PUT", path, {"pattern": "^nothing$", "definition": definition})[0] in (201, 204), True, definition)
    equal(call("DELETE", path)[0], 204, "deleted")


@case
def nobody_gets_in_without_a_password(_):
    status, headers, body = call("GET", "/api/policies", credentials=None)
    equal((status, headers["www-authenticate"], body), (401, 'Basic realm="RabbitMQ Management"', None), "anonymous")
    for credentials in ("guest:wrong", "guest:", "nobody:guest"):
        status, headers, body = call("GET", "/api/policies", credentials=credentials)
        equal((status, body), (401, {"error": "not_authorized", "reason": "Login failed"}), credentials)
        equal(headers["www-authenticate"], 'Basic realm="RabbitMQ Management"', "header")


@case
def methods_and_kinds_of_bodies_that_a_resource_does_not_have(_):
    for path, allow in [("/api/policies", "HEAD, GET, OPTIONS"), ("/api/policies/%2F/p", "HEAD, GET, PUT, DELETE, OPTIONS")]:
        status, headers, _ = call("POST", path, {})
        equal((status, headers["allow"]), (405, allow), path)
        status, headers, _ = call("OPTIONS", path, credentials=None)
        equal((status, headers["allow"]), (200, allow), path)
    body = {"pattern": "^nothing$", "definition": {"max-length": 1}}
    equal(call("PUT", "/api/operator-policies/%2F/p", body, content_type="text/plain")[0], 415, "operator policies")
    path = f"/api/policies/%2F/{unique('p')}"
    equal(call("PUT", path, body, content_type="text/plain")[0], 201, "policies")
    equal(call("DELETE", path)[0], 204, "deleted")


@case
def tracing_is_switched_on_and_off(_):
    path = "/api/vhosts/%2F"
    for body, tracing in [({"tracing": True}, True), ({}, True), ({"tracing": "false"}, False)]:
        equal(call("PUT", path, body)[::2], (204, None), body)
        row = management.get(path)
        equal((row["name"], row["tracing"]), ("/", tracing), body)
    for value in (5, None, "x"):
        answer = {"error": "bad_request", "reason": ["not_boolean", value]}
        equal(call("PUT", path, {"tracing": value})[::2], (400, answer), value)
    equal(call("GET", "/api/vhosts/nope")[::2], (404, NOT_FOUND), "another one")


if __name__ == "__main__":
    main()
