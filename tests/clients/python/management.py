"""A client of RabbitMQ's management API that needs nothing but Python."""

import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request

from suite import equal


def address():
    """Where the API is: whoever starts the program says so."""
    return os.environ["MANAGEMENT_URL"]


def quoted(name):
    """A name as part of a path."""
    return urllib.parse.quote(name, safe="")


def call(method, path, body=None, credentials="guest:guest", content_type="application/json", raw=None):
    """Sends a request: (status, headers, body), the body as JSON where there is one."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address() + path, method=method, data=data)
    if credentials is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    if data is not None:
        request.add_header("Content-Type", content_type)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, headers, answer = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, headers, answer = error.code, error.headers, error.read()
    return status, headers, json.loads(answer) if answer else None


def get(path):
    """What is there; fails where nothing is."""
    status, _, body = call("GET", path)
    equal(status, 200, f"GET {path}")
    return body


class Policy:
    """A policy of `/` for as long as the block lasts."""

    root = "policies"

    def __init__(self, name, pattern, definition, **more):
        self.path = f"/api/{self.root}/%2F/{quoted(name)}"
        self.body = {"pattern": pattern, "definition": definition, **more}
        self.there = False

    def set(self):
        """Sets it, again or for the first time."""
        status, _, body = call("PUT", self.path, self.body)
        equal((status in (201, 204), body), (True, None), f"PUT {self.path}: {status}")
        self.there = True
        return self

    def delete(self):
        """Deletes it."""
        equal(call("DELETE", self.path)[0], 204, f"DELETE {self.path}")
        self.there = False

    def __enter__(self):
        return self.set()

    def __exit__(self, *_):
        if self.there:
            self.delete()


class OperatorPolicy(Policy):
    """An operator policy."""

    root = "operator-policies"
