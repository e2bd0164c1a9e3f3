"""Users with access keys, made by the management API: MANAGEMENT_URL says where that is."""

import contextlib

from management import call
from suite import equal, unique

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def put(path, body):
    """Makes or changes something by the management API."""
    status, _, told = call("PUT", path, body)
    equal((status in (201, 204), told), (True, None), f"PUT {path}: {status}")


@contextlib.contextmanager
def user(configure=".*", write=".*", read=".*"):
    """A user with an access key, for as long as the block lasts: (name, key id)."""
    name = unique("u")
    put(f"/api/users/{name}", {"password": "pw", "tags": ""})
    put(f"/api/permissions/%2F/{name}", {"configure": configure, "write": write, "read": read})
    put(f"/api/users/{name}/access-keys/K{name}", {"secret": SECRET})
    try:
        yield name, f"K{name}"
    finally:
        call("DELETE", f"/api/users/{name}")


def own_a_key():
    """Gives the default user the key `OWNER`, where it has none."""
    put("/api/users/guest/access-keys/OWNER", {"secret": SECRET})
