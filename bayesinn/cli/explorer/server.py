"""Serve the explorer's page and its answers on the loopback address, to this machine alone."""

import contextlib
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from bayesinn.cli.explorer.answers import Answers
from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.files import reraise_as

ADDRESS = "127.0.0.1"
_PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
#: Of a request's body: an observation of a million numbers, or a file of 15 MB in base64.
MOST_BYTES = 20_000_000
#: Browsers open six connections to a server.
MOST_CONNECTIONS = 16
#: Seconds that a client has to send a request, and to take its answer.
PATIENCE = 10.0
_LONGEST_ERROR = 2_000
# Nothing but the page's own files: neither scripts in texts nor requests to elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _RefusedError(Exception):
    """A request that is not answered: the status, and why in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """A server on the loopback address; port 0 takes any that is free.

    Connections are bounded, and end where the client keeps the server waiting.
    """

    daemon_threads = True
    # Where more wait to be accepted, the system drops them for a second.
    request_queue_size = 128

    def __init__(self, answers: Answers, port: int = 0) -> None:
        self.answers = answers
        # One at a time: all cores work on one answer.
        self.one_answer = threading.Lock()
        # Connections whose client is waited for, the oldest first: since when, and which
        # directions are shut down when patience ends.
        self._waiting: dict[socket.socket, tuple[float, int]] = {}
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise InputError(
                f"Port {port}",
                expected="a free port",
                got=f"{error}",
                do="give another: --port NUMBER, or leave it out",
            ) from error

    def wait_for(self, connection: socket.socket, directions: int = socket.SHUT_RDWR) -> None:
        """Begin to wait for a client, for no longer than ``PATIENCE``."""
        self.waited_for(connection)
        self._waiting[connection] = (time.monotonic(), directions)

    def waited_for(self, connection: socket.socket) -> bool:
        """Return whether the client came in time; its time no longer counts."""
        return self._waiting.pop(connection, None) is not None

    def _end(self, connection: socket.socket) -> None:
        waited = self._waiting.pop(connection, None)
        if waited is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(waited[1])

    def service_actions(self) -> None:
        """End connections whose client is late; called twice a second."""
        late = time.monotonic() - PATIENCE
        for connection, (since, _) in self._waiting.copy().items():
            if since < late:
                self._end(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a new connection, in place of the longest idle one if need be."""
        if not self._free.acquire(blocking=False):
            for oldest in list(self._waiting.copy())[:1]:
                self._end(oldest)
            if not self._free.acquire(timeout=1.0):
                with contextlib.suppress(OSError):
                    request.sendall(
                        b"HTTP/1.1 503 Too many connections\r\nContent-Length: 0\r\n\r\n"
                    )
                self.shutdown_request(request)
                return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about clients that left."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Files of the page by GET, answers by POST /api/NAME with JSON."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Or the body waits 40 ms for word of the head.
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        """Read a request and answer it, for as long as the client sends and takes."""
        self.server.wait_for(self.connection, socket.SHUT_RD)
        super().handle_one_request()

    def finish(self) -> None:
        """End the connection; a client that still sends would lose its answer by a reset."""
        self.server.wait_for(self.connection)
        with contextlib.suppress(OSError):
            super().finish()
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(65_536):
                pass
        self.server.waited_for(self.connection)

    def do_GET(self) -> None:
        """Send a file of the page."""
        self._reply(self._file)

    def do_POST(self) -> None:
        """Send an answer, or what is wrong with the request."""
        self._reply(self._answer)

    def _reply(self, answer: Callable[[], tuple[int, bytes, str]]) -> None:
        try:
            self._admit()
            status, content, kind = answer()
        except _RefusedError as refused:
            self.send_error(refused.status, str(refused))
            return
        self._send(status, content, kind)

    def _admit(self) -> None:
        """Refuse requests that are late, name another machine, or come from others' pages."""
        if not self.server.waited_for(self.connection):
            raise _RefusedError(408, "the request was not complete in time")
        host = self.headers.get("Host", "")
        if host.partition(":")[0] not in (ADDRESS, "localhost"):
            raise _RefusedError(403, f"this is http://{ADDRESS}, and no other host")
        # Programs such as curl send no origin.
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            raise _RefusedError(403, "only the explorer's own page may ask")

    def _file(self) -> tuple[int, bytes, str]:
        if (page := _PAGES.get(self.path.partition("?")[0])) is None:
            raise _RefusedError(404, "no such page")
        file, kind = page
        content = files("bayesinn.cli.explorer").joinpath(file).read_bytes()
        return 200, content, f"{kind}; charset=utf-8"

    def _answer(self) -> tuple[int, bytes, str]:
        # A page of somebody else can't send JSON here without asking first, which is not answered.
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            raise _RefusedError(415, "send JSON, with Content-Type: application/json")
        body = self._body()
        status, answer = self._result(self.path.removeprefix("/api/"), body)
        return status, answer.encode(), "application/json"

    def _body(self) -> bytes:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not lengths:
            raise _RefusedError(411, "send the body in one piece, with its Content-Length")
        # More digits than these are no number of bytes, and take long to read.
        if len(lengths) > 1 or not re.fullmatch("[0-9]{1,18}", lengths[0]):
            raise _RefusedError(400, "Content-Length is no number of bytes")
        length = int(lengths[0])
        if length > MOST_BYTES:
            raise _RefusedError(413, f"the body has more than {MOST_BYTES:,} bytes")
        self.server.wait_for(self.connection, socket.SHUT_RD)
        body = self.rfile.read(length)
        if not self.server.waited_for(self.connection):
            raise _RefusedError(408, f"{len(body):,} of {length:,} bytes came in time")
        if len(body) < length:
            raise _RefusedError(400, f"the body ended after {len(body):,} of {length:,} bytes")
        return body

    def _result(self, name: str, body: bytes) -> tuple[int, str]:
        if name not in self.server.answers.actions:
            raise _RefusedError(404, "no such action")
        try:
            with self.server.one_answer:
                answer = self.server.answers.answer(name, _read_json(body))
            return 200, json.dumps(answer, allow_nan=False)
        except BayesinnError as error:
            status = 400
            why = str(error)
        # Simulators raise errors of many kinds: the page shows them, and goes on.
        except Exception as error:
            status = 500
            why = f"{type(error).__name__}: {error}"
        return status, json.dumps({"error": why[:_LONGEST_ERROR]})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request in one line, and end the connection."""
        answer = {"error": message or self.responses[code][0]}
        self.close_connection = True
        self._send(code, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.server.wait_for(self.connection)
        # Answers to HTTP/0.9 have no status.
        self.request_version = "HTTP/1.1"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    log_message: Callable[..., None] = lambda self, *_: None


def _read_json(body: bytes) -> Any:
    # Integers of many digits raise a ValueError, thousands of brackets a RecursionError.
    kinds = (ValueError, RecursionError)
    with reraise_as("Request", "JSON", "send JSON", kinds, InputError):
        return json.loads(body)


def serve(answers: Answers, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; ``ready`` gets the address when the first answer is prepared."""
    server = Server(answers, port)
    # The first answers trace graphs, which takes seconds.
    answers.model({})
    answers.recover({"seed": 1})
    ready(f"http://{ADDRESS}:{server.server_address[1]}/")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
