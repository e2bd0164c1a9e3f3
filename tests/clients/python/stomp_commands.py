"""stomp.py's own command-line tool, fed with commands as its users type them."""

import base64
import subprocess
import sys
import urllib.parse

from stomp_tools import V10, V11, Client, queue, told
from suite import case, equal, main

# In 1.2 it always names the machine as `host`, which here is a virtual host that is not there.
VERSIONS = [V10, V11]


def words(url, version, *more, password=None):
    place = urllib.parse.urlsplit(url)
    return [
        sys.executable, "-u", "-m", "stomp", "-H", place.hostname, "-P", str(place.port), "-S", version,
        "-U", place.username, "-W", password or place.password, "-V", *more,
    ]  # fmt: skip


def tool(url, version, *lines, password=None):
    """Runs these commands and returns what the tool printed."""
    text = "".join(f"{line}\n" for line in [*lines, "quit"])
    command = words(url, version, "-F", "/dev/stdin", password=password)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@case
def sends_with_and_without_receipt(url):
    for version in VERSIONS:
        name = queue("tool")
        with Client(url) as client:
            client.subscribe(name)
            out = tool(url, version, f"send {name} hello there", f"sendrec {name} with receipt")
            equal(client.bodies(2), [b"hello there", b"with receipt"], out)


@case
def sends_a_file(url):
    name = queue("tool")
    with Client(url) as client:
        client.subscribe(name)
        out = tool(url, V11, f"sendfile {name} {__file__}")
        message = client.take()[0]
        equal(told(message, "filename"), (__file__,), out)
        with open(__file__, "rb") as file:
            equal(base64.b64decode(message.body), file.read())


@case
def prints_what_it_is_subscribed_to(url):
    for version in VERSIONS:
        name = queue("tool")
        with Client(url) as client:
            command = words(url, version, "-L", name)
            listening = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            client.send(name, b"to be printed", {"foo": "bar"})
            out = b""
            while b"to be printed" not in out:
                line = listening.stdout.readline()
                equal(line != b"", True, out)
                out += line
            equal(b"foo: bar" in out, True, out)
            listening.terminate()
            listening.communicate()


@case
def transactions(url):
    name = queue("tool")
    with Client(url) as client:
        client.subscribe(name)
        tool(url, V11, "begin", f"send {name} gone", "abort", "begin", f"send {name} kept", "commit", f"sendrec {name} last")
        equal(client.bodies(2), [b"kept", b"last"])


@case
def a_wrong_password(url):
    out = tool(url, V11, "version", password="wrong")
    # It tells the one or the other, by which of its threads is the first.
    # It may end before it has printed the rest of the frame.
    equal("\nERROR" in out or "ConnectFailedException" in out, True, out)


if __name__ == "__main__":
    main()
