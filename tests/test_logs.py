"""What is logged: one line for each record whatever it holds, and one for each connection that has gone."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
import urllib.request
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import message
from fastsse.departure import name
from fastsse.errors import CloseReason
from fastsse.logs import JsonLines, TextLines
from serving import started
from stage import Stage, call
from wire import World

HOSTILE = st.sampled_from(["a\nb", "\r\n", "\x1b[2J", "\u2028", "\x85", "\x00", "\ud800", '"', "\\n"]) | st.text()


def record(text: str, *arguments: Any, failed: BaseException | None = None, **extra: Any) -> logging.LogRecord:
    info = None if failed is None else (type(failed), failed, failed.__traceback__)
    return logging.getLogger("fastsse.test").makeRecord(
        "fastsse.test", logging.WARNING, "file", 1, text, arguments, info, extra=extra
    )


def told(one: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(one)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    found: dict[str, Any] = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    return found


# --- lines


@pytest.mark.requirement("D-logs")
def test_a_record_is_an_object_with_all_its_fields() -> None:
    one = record("%s of %d", "two", 3, peer="127.0.0.1:1", seconds=1.5, nested={"a": [1, None]})
    one.created = 1760178600.25
    assert told(one) == {
        "time": "2025-10-11T10:30:00.250+00:00",
        "level": "warning",
        "logger": "fastsse.test",
        "message": "two of 3",
        "peer": "127.0.0.1:1",
        "seconds": 1.5,
        "nested": {"a": [1, None]},
    }


def test_a_traceback_is_part_of_its_record() -> None:
    try:
        raise RuntimeError("it\nbroke")
    except RuntimeError as error:
        found = told(record("failed", failed=error))
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("RuntimeError: it\nbroke")


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no")


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ({1: 2}, {"1": 2}),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (b"bytes", "b'bytes'"),
        (CIRCLE, "[[...]]"),
        (Unspeakable(), "(Unspeakable, which raised ValueError)"),
        (CloseReason.IDLE, "CloseReason.IDLE"),
    ],
)
def test_what_json_has_no_word_for_is_text(value: Any, shown: Any) -> None:
    assert told(record("x", value=value))["value"] == shown


def test_fields_that_are_called_like_ours_are_kept_beside_them() -> None:
    found = told(record("x", level="high", time="now"))
    assert (found["level"], found["level_"], found["time_"]) == ("warning", "high", "now")


def test_arguments_that_do_not_fit_are_worth_a_line() -> None:
    assert told(record("%d of %d", "two"))["message"] == "%d of %d ('two',)"
    assert "Unspeakable" in told(record("%s", Unspeakable()))["message"]


@pytest.mark.requirement("D-logs")
@given(HOSTILE, HOSTILE)
def test_nothing_begins_a_line_of_its_own(text: str, value: str) -> None:
    assert told(record("%s", text, value=value))["message"] == text
    line = TextLines().format(record("%s", text))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    try:
        raise ValueError(text)
    except ValueError as error:
        lines = TextLines().format(record("%s", "x", failed=error)).split("\n")
    assert all(line.startswith("  ") for line in lines[1:])
    assert "\x1b" not in "".join(lines)


# --- connections that have gone


def departures(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Fields of the lines about closed connections, and their level."""
    return [
        {"level": one.levelname, **{key: vars(one)[key] for key in FIELDS if key in vars(one)}}
        for one in caplog.records
        if one.name == "fastsse.connection"
    ]


FIELDS = ("peer", "client", "reason", "seconds", "requests", "stream", "events")


@pytest.mark.requirement("D-logs-connection")
@pytest.mark.parametrize(("chosen", "level"), [(True, "INFO"), (False, "DEBUG")])
def test_one_line_for_each_closed_connection(chosen: bool, level: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fastsse.connection")
    with World(Stage().app, log_connections=chosen) as world:
        client = world.connect(peer=("::1", 7, 0, 0))
        for _ in range(3):
            client.post(call("echo", text="x"))
        world.loop.advance(2.5)
        assert departures(caplog) == [], "not before it has gone"
        client.reset()
        last = {"level": level, "peer": "[::1]:7", "reason": "client closed", "seconds": 2.5, "requests": 3}
        assert departures(caplog) == [last]
        assert caplog.records[-1].getMessage() == "[::1]:7 closed after 2.500 s: client closed (requests 3)"

        caplog.clear()
        stream = world.connect()
        path = stream.get("/sse").events[0]["data"]
        world.connect().post(message("ping"), path)
        stream.reset()
        (found,) = departures(caplog)
        assert (found["stream"], found["events"], found["reason"]) == ("httpsse", 3, "client closed")

        caplog.clear()
        world.connect().send(b"GET / HTTP/1.1\r\n\r\n", "GET")
        world.connect().get("/ready", connection="close")
        world.connect().get("/ready")
        world.loop.advance(80.0)
        last_two = ["keep-alive ran out"] * 2  # this one, and the one that posted before
        assert [one["reason"] for one in departures(caplog)] == ["answered", "request refused", *last_two]


def test_lines_that_nobody_reads_are_not_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fastsse.connection")
    with World(Stage().app) as world:
        client = world.connect()
        client.get("/ready", connection="close")
        assert client.protocol.departure is None
        client.reset()
    assert departures(caplog) == []


def test_a_line_names_the_client_that_the_proxy_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fastsse.connection")
    with World(Stage().app, trusted_proxies=["127.0.0.1"]) as world:
        client = world.connect()
        client.get("/sse", x_forwarded_for="203.0.113.9")
        client.reset()
        (found,) = departures(caplog)
        assert (found["peer"], found["client"]) == ("127.0.0.1:50000", "203.0.113.9")
        assert caplog.records[-1].getMessage().startswith("203.0.113.9 closed after")


def test_peers_as_people_write_them() -> None:
    assert name(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert name(("::1", 80, 0, 0)) == "[::1]:80"
    assert name("") == name(None) == "unix"


# --- a process


@pytest.mark.requirement("D-logs")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_line_of_a_process_is_an_object(loop: str) -> None:
    flags = ("--port", "0", "--host", "127.0.0.1", "--log-format", "json", "--log-connections", "--loop", loop)
    with started(sys.executable, "-m", "fastsse", *flags, ready="accepts_origins") as server:
        # Not by its place: in asyncio's debug mode a slow start is told before it.
        [greeting] = [one for one in map(json.loads, server.printed().splitlines()) if "listens_on" in one]
        assert greeting["listens_on"].startswith("http://127.0.0.1:")
        url = greeting["doors"].split("/mcp")[0]
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            body = len(answer.read())
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 10) as line:
            line.sendall(b"nonsense\r\n\r\n")
            assert line.recv(65536).startswith(b"HTTP/1.1 400")
        assert server.stop(signal.SIGTERM) == 0
        lines = [json.loads(one) for one in server.printed().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    gone = [one for one in lines if one["logger"] == "fastsse.connection"]
    assert [one["requests"] for one in gone] == [1, 0]
    if sys.platform == "linux":
        assert gone[0]["bytes_sent"] > body
        assert gone[0]["bytes_received"] > len("GET /health HTTP/1.1")
