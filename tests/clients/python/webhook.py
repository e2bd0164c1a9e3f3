"""An HTTP server of the case's own, to which somebody else posts: what came, and what it answers."""

import contextlib
import http.server
import json
import ssl
import threading
import time
import urllib.request

from suite import wait_until


class Request:
    """What came: names of headers in lower case; the body as text."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body, self.at = path, headers, body, time.monotonic()

    def document(self):
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def kind(self):
        """`Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`."""
        return self.headers.get("x-amz-sns-message-type")


class Webhook:
    """What has come is in `requests`. `answer` is called with each request and says a status, or a status and headers."""

    def __init__(self, port, scheme):
        self.requests, self.port, self.scheme = [], port, scheme
        self.changed = threading.Condition()
        self.answer = lambda _request: 200

    def url(self, path="/"):
        """Where it is."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def of(self, kind="Notification"):
        """What has come of this kind."""
        return [request for request in list(self.requests) if request.kind == kind]

    def wait(self, count=1, kind="Notification", seconds=15):
        """Waits for so many of a kind: these."""
        wait_until(lambda: len(self.of(kind)) >= count, f"{count} of {kind}, has {len(self.of(kind))}", seconds)
        return self.of(kind)

    def confirm(self, seconds=15):
        """Visits the link of the next SubscriptionConfirmation, as a subscriber does: what came."""
        request = self.wait(1, "SubscriptionConfirmation", seconds)[-1]
        with urllib.request.urlopen(request.document()["SubscribeURL"], timeout=20) as response:
            assert response.status == 200 and b"<SubscriptionArn>" in response.read()
        return request


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Who goes away in the middle is no news here."""


@contextlib.contextmanager
def webhook(certificate=None, key=None, port=0):
    """A server, on a free port where none is given, with TLS where a certificate is."""
    hook = Webhook(0, "https" if certificate else "http")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            hook.requests.append(request)
            told = hook.answer(request)
            status, headers = told if isinstance(told, tuple) else (told, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            """Nothing."""

    server = _Server(("127.0.0.1", port), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
