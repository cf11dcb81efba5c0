"""Serve the explorer's page and its answers on the loopback address, to this machine alone."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from bayesinn.cli.explorer.answers import Answers
from bayesinn.core.errors import BayesinnError, InputError

ADDRESS = "127.0.0.1"
_PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
_MOST_BYTES = 50_000_000
# Nothing but the page's own files: neither scripts in texts nor requests to elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
)


def make_server(answers: Answers, port: int = 0) -> ThreadingHTTPServer:
    """Return a server on the loopback address that listens; port 0 takes any that is free."""
    # One at a time: all cores work on one answer.
    lock = threading.Lock()

    class Handler(_Handler):
        def answer(self, name: str, request: Any) -> dict[str, Any]:
            with lock:
                return answers.actions[name](request)

    try:
        server = ThreadingHTTPServer((ADDRESS, port), Handler)
    except OSError as error:
        raise InputError(
            f"Port {port}",
            expected="a free port",
            got=f"{error}",
            do="give another: --port NUMBER, or leave it out",
        ) from error
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    """Files of the page by GET, answers by POST /api/NAME with JSON."""

    protocol_version = "HTTP/1.1"
    # Head and body leave together: apart, the second waits 40 ms for word of the first.
    wbufsize = -1
    disable_nagle_algorithm = True

    def answer(self, name: str, request: Any) -> dict[str, Any]:
        """Answer a request; see :class:`Answers`."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Send a file of the page."""
        file, kind = _PAGES.get(self.path.partition("?")[0], ("", ""))
        if not self._is_own() or not file:
            self._send(404, b"not found", "text/plain")
            return
        content = files("bayesinn.cli.explorer").joinpath(file).read_bytes()
        self._send(200, content, f"{kind}; charset=utf-8")

    def do_POST(self) -> None:
        """Send an answer, or what is wrong with the request."""
        name = self.path.removeprefix("/api/")
        length = int(self.headers.get("Content-Length") or 0)
        # A page of somebody else can't send JSON here without asking first, which is not answered.
        json_only = self.headers.get("Content-Type", "").startswith("application/json")
        if not self._is_own() or not json_only or length > _MOST_BYTES:
            self.close_connection = True
            self._send(403, b"only the explorer's own page may ask", "text/plain")
            return
        self._send_json(*self._result(name, self.rfile.read(length)))

    def _result(self, name: str, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            return 200, self.answer(name, json.loads(body or b"{}"))
        except BayesinnError as error:
            return 400, {"error": str(error)}
        except (KeyError, ValueError, TypeError) as error:
            return 400, {"error": f"no such request: {type(error).__name__}: {error}"}

    def _send_json(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer, allow_nan=False).encode()
        self._send(status, content, "application/json")

    def _is_own(self) -> bool:
        """Whether the request names this machine, and no other name that leads here."""
        # Browsers leave out port 80.
        host = self.headers.get("Host", "").partition(":")[0]
        return host in (ADDRESS, "localhost")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    log_message: Callable[..., None] = lambda self, *_: None


def serve(answers: Answers, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; ``ready`` gets the address when the first answer is prepared."""
    server = make_server(answers, port)
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
