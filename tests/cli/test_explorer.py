"""The explorer's answers: JSON in, JSON out; what others may not ask, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import bayesinn as bi
from bayesinn.cli.explorer import server as explorer
from bayesinn.cli.explorer.answers import Answers
from bayesinn.cli.explorer.server import ADDRESS, MOST_BYTES, MOST_CONNECTIONS, Server
from bayesinn.core.errors import InputError
from tests.helpers.models import small_flow

tfd = tfp.distributions
STATE = {"parameters": {"rate": 1.5}, "context": {"days": 2.0}, "seed": 3}


@pytest.fixture(scope="module")
def answers(trained: Path) -> Answers:
    return Answers(bi.load(trained / "posterior", trust_source=True), draws=200)


@pytest.fixture(scope="module")
def server(answers: Answers) -> Iterator[Server]:
    server = Server(answers)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return int(server.server_address[1])


@pytest.fixture(autouse=True)
def terminal(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever is asked, nothing is printed."""
    yield
    out, err = capsys.readouterr()
    assert out + err == ""


def post(
    port: int, action: str, request: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=120)
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    sent = {"Content-Type": "application/json"} | (headers or {})
    connection.request("POST", f"/api/{action}", body, sent)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    try:
        return response.status, json.loads(content)
    except json.JSONDecodeError:
        return response.status, content.decode()


def test_the_model_is_described(port: int) -> None:
    status, model = post(port, "model", {})
    assert status == 200
    (parameter,) = model["parameters"]
    assert (parameter["name"], parameter["unit"], parameter["whole"]) == ("rate", "1/day", False)
    # Quantiles of LogNormal(0, 0.5).
    assert parameter["low"] == pytest.approx(np.exp(-0.5 * 2.576), rel=0.2)
    assert parameter["high"] == pytest.approx(np.exp(0.5 * 2.576), rel=0.2)
    assert [one["name"] for one in model["observables"]] == ["cases"]
    assert model["observables"][0]["shape"] == [3]
    assert list(model["context"]) == ["days"]
    assert model["follows"]


def test_a_state_decides_everything(port: int, answers: Answers) -> None:
    first, again = (post(port, "simulate", STATE)[1] for _ in range(2))
    for answer in (first, again):
        assert answer.pop("milliseconds") > 0
    assert first == again
    other = post(port, "simulate", {**STATE, "seed": 4})[1]
    assert other["data"] != first["data"]
    # What is typed in leads to the same posterior as the simulation that it is a copy of.
    typed = {"data": first["data"], "context": STATE["context"], "seed": 3}
    assert post(port, "infer", typed)[1]["draws"] == first["draws"]
    draws = np.array(first["draws"]["rate"])
    assert draws.shape == (200,)
    direct = answers.posterior.sample(
        {"cases": np.array(first["data"]["cases"]), "days": 2.0}, draws=200, seed=3
    )
    np.testing.assert_array_equal(draws, direct["rate"])
    assert first["p_value"] == direct.p_value


def test_parameters_move_the_data_and_the_band(port: int) -> None:
    low, high = (
        post(port, "simulate", {**STATE, "parameters": {"rate": rate}})[1] for rate in (0.5, 2.5)
    )
    assert np.mean(high["data"]["cases"]) - np.mean(low["data"]["cases"]) == pytest.approx(
        4.0, abs=0.1
    )
    bands = np.array(low["predictive"]["cases"])
    assert bands.shape == (5, 3)
    assert (np.diff(bands, axis=0) >= 0.0).all()
    assert "predictive" not in post(port, "simulate", {**STATE, "predictive": False})[1]


def test_simulate_and_recover(port: int) -> None:
    found = [post(port, "recover", {"seed": seed})[1] for seed in (1, 2)]
    assert found[0]["parameters"] != found[1]["parameters"]
    for answer in found:
        low, high = np.quantile(answer["draws"]["rate"], [0.05, 0.95])
        assert answer["inside"]["rate"] == (low <= answer["parameters"]["rate"] <= high)
        assert 1.0 <= answer["context"]["days"] <= 5.0


def test_odd_data_are_flagged(port: int) -> None:
    data = {"data": {"cases": [500.0, -500.0, 500.0]}, "context": {"days": 2.0}, "seed": 1}
    answer = post(port, "infer", data)[1]
    assert answer["flagged"]
    assert answer["p_value"] < 0.01
    assert answer["unusual"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", b"cases,days\n1,2\n2,2\n3,2\n"),
        ("mine.json", b'{"cases": [1, 2, 3], "days": 2}'),
    ],
)
def test_a_file_is_read(port: int, name: str, content: bytes) -> None:
    request = {"name": name, "content": base64.b64encode(content).decode()}
    status, answer = post(port, "file", request)
    assert status == 200, answer
    assert answer["data"] == {"cases": [1.0, 2.0, 3.0]}
    assert answer["context"] == {"days": 2.0}


def test_a_file_without_context_takes_that_of_the_page(port: int) -> None:
    content = base64.b64encode(b"cases\n1\n2\n3\n").decode()
    request = {"name": "mine.csv", "content": content, "context": {"days": 4.0}}
    assert post(port, "file", request)[1]["context"] == {"days": 4.0}


@pytest.fixture(scope="module")
def of_series() -> Answers:
    """Series of 3 to 8 days; of the observation that ships with them, the days are counted."""

    @bi.simulator(
        prior={"rate": tfd.LogNormal(0.0, 0.5), "visits": tfd.Poisson(4.0)},
        context={"days": tfd.FiniteDiscrete(tf.range(3, 9), logits=tf.zeros(6))},
        lengths={"cases": "days"},
        missing="mask",
        observed={"cases": [1.0] * 7},
    )
    def series(parameters, context, seed):
        mean = (parameters["rate"] * parameters["visits"])[:, None]
        cases = mean + 0.1 * tf.random.stateless_normal((tf.shape(mean)[0], 8), seed)
        return {"cases": tf.where(mean < 100.0, cases, np.inf)}

    posterior = bi.AmortizedPosterior(series, flow=small_flow(blocks=1, hidden=(8,)))
    return Answers(posterior.fit(steps=5, batch_size=32, seed=1, progress=False), draws=50)


def test_counts_move_by_whole_numbers(of_series: Answers) -> None:
    whole = {one["name"]: one["whole"] for one in of_series.model({})["parameters"]}
    assert whole == {"rate": False, "visits": True}


def test_the_prior_of_a_python_simulator_needs_no_simulations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @bi.simulator(prior={"mean": tfd.Normal(0.0, 1.0)}, engine="python", workers=1)
    def slow(parameters, generator):
        return {"y": parameters["mean"] + generator.normal()}

    def refuse(*arguments: Any) -> None:
        pytest.fail("something was simulated")

    monkeypatch.setattr(type(slow), "draw", refuse)
    posterior: Any = SimpleNamespace(simulator=slow)
    (parameter,) = Answers(posterior).model({})["parameters"]
    assert len(parameter["prior"]) == 500
    # Quantiles of Normal(0, 1).
    assert parameter["low"] == pytest.approx(-2.576, rel=0.2)
    assert parameter["high"] == pytest.approx(2.576, rel=0.2)


def test_steps_of_the_observation_are_counted(of_series: Answers) -> None:
    model = of_series.model({})
    assert model["context"] == {"days": 7}
    assert model["observed"]["cases"][:7] == [1.0] * 7


@pytest.mark.parametrize("days", [3, 8])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("cases\n" + "\n".join("1234567"), 7),
        ("cases,days\n" + "\n".join(f"{day},6" for day in range(7)), 6),
        ("variable,value\n" + "".join(f"cases,{day}\n" for day in range(7)) + "days,6\n", 6),
    ],
    ids=["counted", "told", "told in a long table"],
)
def test_steps_of_a_file_are_its_own(
    of_series: Answers, content: str, expected: int, days: int
) -> None:
    """The page holds the days of the data before."""
    coded = base64.b64encode(content.encode()).decode()
    answer = of_series.file({"name": "mine.csv", "content": coded, "context": {"days": days}})
    assert answer["context"] == {"days": expected}


def test_a_simulation_that_failed_is_no_missing_data(of_series: Answers) -> None:
    request = {"parameters": {"rate": 50.0, "visits": 4.0}, "context": {"days": 7}}
    with pytest.raises(InputError, match="failed or overflowed"):
        of_series.simulate(request)


DIGITS = int("9" * 400)


@pytest.mark.parametrize(
    ("action", "request_", "message"),
    [
        ("infer", {"data": {"cases": [1.0, 2.0]}}, "shape"),
        ("infer", {"data": {"cases": [1.0, 2.0, None]}}, "finite"),
        ("infer", {"data": {"cases": [1, 2, 3]}, "context": {"days": 99.0}}, "support"),
        ("infer", {"data": {"cases": [[1, 2, 3]]}, "context": {"days": [2.0]}}, "one observation"),
        ("infer", {"data": {"cases": [1, 2, 3]}, "seed": -1}, "Seed"),
        ("infer", {"data": {"cases": [1, 2, 3]}, "seed": "1"}, "an integer under 'seed'"),
        ("infer", {"data": {"cases": [1, 2, 3]}, "seed": DIGITS}, "Seed"),
        ("infer", {"data": []}, "an object under 'data'"),
        ("infer", {"data": {"cases": [1, 2, DIGITS]}}, "numbers"),
        ("infer", {"data": {"cases": [1, 2, 1e39]}}, "up to 3e38"),
        ("infer", {"data": {"cases": [1, [2], 3]}}, "numbers"),
        ("infer", {"data": {"cases": {"1": 2}}}, "numbers"),
        ("infer", {}, "nothing"),
        ("simulate", {"parameters": {}}, "rate"),
        ("simulate", {"parameters": {"rate": DIGITS}}, "numbers"),
        ("simulate", {"parameters": {"rate": [1.0]}}, "a number for each"),
        ("simulate", {"parameters": {"rate": None}}, "support"),
        ("simulate", {"parameters": {"rate": -1.0}}, "support"),
        ("simulate", {"parameters": {"rate": 1.0}, "context": {"days": 9.0}}, "support"),
        ("recover", [], "a JSON object"),
        ("recover", None, "a JSON object"),
        ("file", {"name": "x.xls", "content": ""}, "csv"),
        ("file", {"name": "x.csv", "content": "Zm9vCjEK"}, "cases"),
        ("file", {"name": "x.csv", "content": "no base 64"}, "CSV"),
        ("file", {"name": "x.npz", "content": "AAAA"}, "NPZ"),
        ("file", {"name": "x." + "y" * 5_000, "content": ""}, "csv"),
        ("file", {"name": "x.c\0sv", "content": ""}, "csv"),
        ("infer", b"no json", "JSON"),
        ("infer", b"", "JSON"),
        ("infer", b"[" * 100_000, "JSON"),
        ("infer", b"\xff\xfe", "JSON"),
        ("infer", b"9" * 5_000, "JSON"),
    ],
    ids=range(32),
)
def test_what_is_wrong_is_said(port: int, action: str, request_: Any, message: str) -> None:
    status, answer = post(port, action, request_)
    assert status == 400
    assert message in answer["error"]
    assert len(answer["error"]) <= 2_000


def test_an_error_of_the_simulator_is_shown(
    port: int, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError("no licence\nfor it")

    monkeypatch.setattr(type(answers.simulator), "simulate", fail)
    status, answer = post(port, "simulate", STATE)
    assert (status, answer) == (500, {"error": "OSError: no licence\nfor it"})


def test_parameters_beyond_the_prior_are_named(port: int) -> None:
    notes = {
        rate: post(port, "simulate", {**STATE, "parameters": {"rate": rate}})[1]["notes"]
        for rate in (1.5, 50.0)
    }
    assert notes[1.5] == []
    (note,) = notes[50.0]
    assert note.startswith("rate = 50 lies beyond all of 2,000 draws from the prior")


def send(port: int, text: str, patience: float = 20.0) -> tuple[int, dict[str, str], str]:
    """Send bytes and nothing more; return the status, the head and the body of the answer."""
    with socket.create_connection((ADDRESS, port), timeout=patience) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    head, _, body = received.partition("\r\n\r\n")
    first, *lines = head.splitlines()
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


HOST = "Host: 127.0.0.1\r\n"
JSON = HOST + "Content-Type: application/json\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: 2\r\n\r\n{{}}", 200),
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: abc\r\n\r\n{{}}", 400),
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: -1\r\n\r\n{{}}", 400),
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: {'9' * 5_000}\r\n\r\n{{}}", 400),
        (f"POST /api/model HTTP/1.1\r\n{JSON}" + 2 * "Content-Length: 2\r\n" + "\r\n{}", 400),
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: 3\r\n\r\n{{}}", 400),
        (f"POST /api/model HTTP/1.1\r\n{JSON}\r\n{{}}", 411),
        (f"POST /api/model HTTP/1.1\r\n{JSON}{CHUNKED}", 411),
        (f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: {MOST_BYTES + 1}\r\n\r\n", 413),
        (f"POST /api/model HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}", 415),
        (f"POST /api/nothing HTTP/1.1\r\n{JSON}Content-Length: 2\r\n\r\n{{}}", 404),
        (f"POST /page.js HTTP/1.1\r\n{JSON}Content-Length: 2\r\n\r\n{{}}", 404),
        (f"GET /{'x' * 5_000} HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"GET /{'x' * 70_000} HTTP/1.1\r\n{HOST}\r\n", 414),
        (f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 70_000}\r\n\r\n", 431),
        (f"DELETE / HTTP/1.1\r\n{HOST}\r\n", 501),
        ("GET / HTTP/1.1\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (f"GET / HTTP/1.1\r\n{HOST}Origin: http://evil.example\r\n\r\n", 403),
        (f"GET / HTTP/1.1\r\n{HOST}Origin: http://127.0.0.1:9\r\n\r\n", 403),
        (f"GET / HTTP/1.1\r\n{HOST}Origin: null\r\n\r\n", 403),
        (f"GET / HTTP/1.1\r\n{HOST}Origin: http://127.0.0.1\r\n\r\n", 200),
        (f"GET / HTTP/1.1\r\n{HOST}\r\n", 200),
        ("GET /\r\n", 403),
        (f"POST / HTTP/0.9\r\n{HOST}\r\n", 415),
        ("\x16\x03\x01\x02 no HTTP", 400),
    ],
    ids=range(26),
)
def test_every_request_gets_a_status(port: int, text: str, status: int) -> None:
    found, head, body = send(port, text)
    assert found == status
    assert "frame-ancestors 'none'" in head["Content-Security-Policy"]
    if status != 200:
        assert list(json.loads(body)) == ["error"]
        assert body.count("\n") == 0


def test_a_refused_body_is_taken_before_the_connection_ends(port: int) -> None:
    """Else its sender sees a broken connection, and not the answer."""
    assert post(port, "model", b" " * (MOST_BYTES + 1))[0] == 413


def threads(server: Server) -> int:
    return sum("process_request_thread" in one.name for one in threading.enumerate())


def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("never")


def test_clients_that_keep_the_server_waiting_are_ended(
    server: Server, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "PATIENCE", 0.3)
    half = f"POST /api/model HTTP/1.1\r\n{JSON}Content-Length: 9\r\n\r\n{{"
    connections = [socket.create_connection((ADDRESS, port), timeout=20) for _ in range(4)]
    idle, head, body, dripping = connections
    head.sendall(half[:30].encode())
    body.sendall(half.encode())
    with contextlib.suppress(OSError):
        for letter in half * 20:
            dripping.sendall(letter.encode())
            time.sleep(0.01)
    with contextlib.suppress(ConnectionResetError):
        dripping.recv(1_000)
    assert idle.recv(1_000) == b""
    assert b" 408 " in head.recv(1_000)
    assert b" 408 " in body.recv(1_000)
    for connection in connections:
        connection.close()
    until(lambda: threads(server) == 0)


def test_idle_connections_hold_few_threads_and_lock_nobody_out(server: Server, port: int) -> None:
    connections = [socket.create_connection((ADDRESS, port), timeout=20) for _ in range(60)]
    until(lambda: threads(server) <= MOST_CONNECTIONS)
    assert post(port, "model", {})[0] == 200
    for connection in connections:
        connection.close()
    until(lambda: threads(server) == 0)


def test_clients_may_leave(server: Server, port: int) -> None:
    for asked in ("GET /page.js", "POST /api/recover"):
        with socket.create_connection((ADDRESS, port), timeout=20) as connection:
            # A reset, in place of an orderly end.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request = f"{asked} HTTP/1.1\r\n{JSON}Content-Length: 2\r\n\r\n{{}}"
            connection.sendall(request.encode())
    until(lambda: threads(server) == 0)


def test_browsers_leave_out_port_80(port: int) -> None:
    assert post(port, "model", {}, {"Host": ADDRESS})[0] == 200


def test_the_page_may_load_nothing_from_elsewhere(port: int) -> None:
    connection = http.client.HTTPConnection(ADDRESS, port)
    for path, kind in [
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/page.css", "text/css"),
    ]:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200
        assert response.headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "a name")
        assert "https://" not in text
    connection.request("GET", "/../answers.py")
    assert connection.getresponse().status == 404
    connection.close()


def test_the_address_is_this_machine_alone(answers: Answers) -> None:
    server = Server(answers)
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(InputError, match=r"(?s)Port.*--port"):
        Server(answers, server.server_address[1])
    server.server_close()


def test_the_command_says_where_the_page_is(
    bayesinn: Any, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def serve(server: ThreadingHTTPServer) -> None:
        asked.append(f"http://{ADDRESS}:{server.server_address[1]}/")
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", serve)
    answer = bayesinn("explore", trained, "--trust", "--draws", 100)
    assert answer.status == 0
    assert f"open {asked[0]}" in answer.out


def test_too_few_draws_are_refused(answers: Answers) -> None:
    with pytest.raises(InputError, match="--draws"):
        Answers(answers.posterior, draws=10)
