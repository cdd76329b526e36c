"""HTTP as clients meet it: keep-alive, pipelining, refusals, slow and vanishing peers. No socket, no waiting.

What may arrive in pieces is tested whole and one byte at a time.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import message
from fastsse.config import KIB, MIB
from fastsse.errors import CloseReason
from stage import BOTH, Stage, call, modern, said
from wire import World, http

both_ways = pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytes"])
PING = message("ping")


def echo(text: str, id: Any = 1) -> bytes:
    return call("echo", id, text=text)


def refusal(answer: Any) -> tuple[int, str]:
    """(HTTP status, reason) of a refusal."""
    assert answer.json["jsonrpc"] == "2.0"
    return answer.status, answer.json["error"]["data"]["reason"]


# --- one request after the other


@both_ways
def test_a_connection_serves_one_request_after_the_other(piece: int) -> None:
    with World(Stage().app) as world:
        client = world.connect(piece)
        for number in range(5):
            answer = client.post(echo(f"n{number}", number))
            assert (answer.status, answer.json["id"], said(answer)) == (200, number, f"n{number}")
        assert not client.closed
        assert len(client.transport.writes) == 5
        assert world.server.stats.requests == 5


@both_ways
@pytest.mark.parametrize("tool", ["echo", "at_once"])
def test_pipelined_requests_are_answered_in_their_order(piece: int, tool: str) -> None:
    with World(Stage().app) as world:
        client = world.connect(piece)
        requests = [http("POST", "/mcp", call(tool, number, text=f"n{number}")) for number in range(9)]
        client.send(b"".join(requests), "POST " * 9)
        assert [said(answer) for answer in client.answers] == [f"n{number}" for number in range(9)]


def test_answers_that_are_ready_together_leave_in_one_write() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.send(b"".join(http("POST", "/mcp", echo("x", n)) for n in range(7)), "POST " * 7)
        assert len(client.answers) == 7
        assert len(client.transport.writes) == 1


def test_an_async_tool_that_does_not_suspend_costs_no_turn_of_the_loop() -> None:
    with World(Stage().app) as world:
        client = world.connect(asked="POST POST POST")
        for number in range(3):
            written = len(client.transport.writes)
            with world.loop.running():
                client.protocol.data_received(http("POST", "/mcp", call("at_once", text=f"x{number}")))
            if number:  # the first may have to make its task
                assert len(client.transport.writes) > written
                assert not world.loop.turn(), "the call is over, and nothing is left to do"
            client.run()
            assert said(client.answers[number]) == f"x{number}"


@both_ways
def test_what_is_pipelined_behind_a_running_call_waits(piece: int) -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect(piece)
        behind = http("GET", "/ready") + http("POST", "/mcp", echo("after", 2))
        client.send(http("POST", "/mcp", call("wait", 1)) + behind, "POST GET POST")
        assert len(client.answers) == 0
        stage.gate.set()
        client.run()
        assert [answer.status for answer in client.answers] == [200, 200, 200]
        assert (said(client.answers[0]), said(client.answers[2])) == ("done", "after")


def test_behind_a_running_call_only_so_much_is_read() -> None:
    stage = Stage()
    with World(stage.app, max_pipelined=2 * KIB) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("wait")), "POST")
        many = http("POST", "/mcp", echo("x" * 100))
        sent = 0
        while client.reads():
            client.send(many, "POST")
            sent += 1
            assert sent * len(many) < 4 * KIB
        client.send(many, "POST")
        assert client.unread
        stage.gate.set()
        client.run()
        assert client.reads()
        assert [answer.status for answer in client.answers] == [200] * (sent + 2)


def test_a_peer_that_pipelines_and_never_reads_costs_no_more_than_the_limits() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.transport.takes = False
        pages = http("GET", "/docs") * 1000
        read = 0
        while client.reads() and read < 10 * MIB:
            client.send(pages, "GET " * 1000)
            read += len(pages)
        assert read < MIB
        assert len(client.transport.held) < MIB
        client.transport.takes = True
        while client.transport.held:
            client.transport.take()
            client.run()
        assert client.reads()
        assert len(client.answers) == read // len(http("GET", "/docs"))
        assert all(answer.status == 200 and answer.ended for answer in client.answers)


@both_ways
def test_http_1_0(piece: int) -> None:
    with World(Stage().app) as world:
        client = world.connect(piece)
        answer = client.post(echo("x"), version="1.0", connection="keep-alive")
        assert (answer.status, answer.fields["connection"]) == (200, "keep-alive")
        answer = client.post(echo("y"), version="1.0")
        assert (said(answer), answer.fields["connection"]) == ("y", "close")
        assert client.closed


def test_a_client_may_ask_for_the_end_of_the_connection() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        assert client.get("/ready", connection="close").fields["connection"] == "close"
        assert client.closed
        assert world.server.stats.closed[CloseReason.ANSWERED] == 1


def test_nothing_is_served_behind_the_last_request() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.send(http("GET", "/ready", connection="close") + http("GET", "/ready"), "GET")
        assert len(client.answers) == 1
        # A reset because of what else is on its way could take the answer away before it is read: RFC 9112 §9.6.
        assert (client.transport.ended, client.closed) == (True, False)
        client.send(http("GET", "/ready"))
        world.loop.advance(4.0)
        assert (client.closed, len(client.answers)) == (True, 1)


@pytest.mark.parametrize(("method", "kept"), [("PUT", True), ("TRACE", True), ("XGET", False), ("get", False)])
def test_a_method_that_nobody_knows_is_the_last(method: str, kept: bool) -> None:
    """It may be the end of a body that somebody in between took to be shorter, with the next request behind it."""
    with World(Stage().app) as world:
        client = world.connect()
        answer = client.ask(method, "/ready")
        assert answer.status == 405
        assert (answer.fields.get("connection") == "close") is not kept
        assert client.closed is not kept


@pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/metrics", "/sessions", "/mcp", "/sse"])
def test_head_says_what_get_says_without_a_body(path: str) -> None:
    with World(Stage().app) as world:
        client = world.connect()
        answer = client.ask("HEAD", path)
        assert (answer.status, answer.body) == (200, b"")
        if path in ("/ready", "/sessions", "/docs"):
            assert answer.fields["content-length"] == client.get(path).fields["content-length"]
        assert client.get("/ready").status == 200


# --- Expect


@both_ways
def test_a_client_that_waits_for_leave_to_send_its_body_gets_it(piece: int) -> None:
    with World(Stage().app) as world:
        client = world.connect(piece)
        body = echo("patient")
        request = http("POST", "/mcp", body, expect="100-continue")
        client.send(request[: -len(body)], "POST")
        assert len(client.answers) == 0
        assert client.reader.interim == [100]
        client.send(body)
        assert said(client.answers[0]) == "patient"
        assert client.reader.interim == [100]


def test_a_body_that_came_with_its_head_needs_no_leave() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        assert said(client.post(echo("x"), expect="100-continue")) == "x"
        assert client.reader.interim == []


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (413, {"content_length": 5 * MIB}),
        (403, {"origin": "https://evil.example"}),
        (415, {"content_type": "text/plain"}),
        (417, {"expect": "200-ok"}),
    ],
)
def test_a_refused_client_is_not_told_to_send_its_body(status: int, fields: dict[str, Any]) -> None:
    with World(Stage().app) as world:
        client = world.connect()
        answer = client.post(b"", **{"expect": "100-continue", "content_length": 100, **fields})
        assert answer.status == status
        assert client.reader.interim == []


# --- refusals


@both_ways
def test_a_body_that_is_too_large_is_refused_before_it_is_read(piece: int) -> None:
    with World(Stage().app, max_body=KIB) as world:
        client = world.connect(piece)
        answer = client.post(b"", content_length=KIB + 1)
        assert refusal(answer) == (413, "body_too_large")
        assert answer.fields["connection"] == "close"
        assert answer.json["error"]["data"]["setting"] == "max_body"


@both_ways
def test_a_chunked_body_that_grows_too_large_is_refused_on_its_way(piece: int) -> None:
    with World(Stage().app, max_body=KIB) as world:
        client = world.connect(piece)
        client.send(http("POST", "/mcp", content_length=None, transfer_encoding="chunked"), "POST")
        for _ in range(4):
            assert len(client.answers) == 0
            client.send(b"100\r\n" + b" " * 256 + b"\r\n")
        client.send(b"1\r\n \r\n0\r\n\r\n")
        assert refusal(client.answers[0]) == (413, "body_too_large")


@both_ways
def test_a_chunked_body_is_read(piece: int) -> None:
    with World(Stage().app) as world:
        client = world.connect(piece)
        body = echo("in pieces")
        client.send(http("POST", "/mcp", content_length=None, transfer_encoding="chunked"), "POST")
        for part in (body[:10], body[10:]):
            client.send(b"%x\r\n%b\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n" + http("GET", "/ready"), "GET")
        assert said(client.answers[0]) == "in pieces"
        assert client.answers[1].status == 200


@pytest.mark.parametrize(
    ("status", "request_head"),
    [
        (431, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 2 * KIB),
        (414, b"GET /" + b"x" * 2 * KIB),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and what else TLS says\r\n\r\n"),
        (400, b"GET /health HTTP/1.1\r\n\r\n"),
        (505, b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    ],
)
@both_ways
def test_a_head_that_cannot_be_served(status: int, request_head: bytes, piece: int) -> None:
    with World(Stage().app, max_head=KIB) as world:
        client = world.connect(piece)
        client.send(request_head, "GET")
        assert client.answers[0].status == status
        assert client.answers[0].fields["connection"] == "close"
        assert len(client.answers) == 1
        assert client.transport.ended or client.closed


def test_after_a_refusal_the_peer_has_a_moment_to_read_it() -> None:
    """A connection that is closed with unread bytes is reset, and the reset takes the answer away (RFC 9112 §9.6)."""
    with World(Stage().app, max_body=KIB) as world:
        client = world.connect()
        client.post(b"x" * 100, content_length=MIB)
        for _ in range(10):
            client.send(b"x" * 10 * KIB)
        assert client.transport.ended
        assert not client.closed
        assert len(client.answers) == 1
        world.loop.advance(4.0)
        assert client.closed


def test_a_refused_peer_that_hangs_up_is_let_go_at_once() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.post(b"", content_length=100 * MIB)
        assert not client.closed
        assert client.eof().closed


def test_a_refused_peer_that_was_gone_before_is_no_exception() -> None:
    """asyncio's own transports raise when a socket that is gone is to be closed by half; uvloop's do not."""
    with World(Stage().app) as world:
        client = world.connect()
        client.transport.gone = True
        client.post(b"", content_length=100 * MIB)
        assert client.closed


@pytest.mark.parametrize("path", ["/nowhere", "/mcp"])
def test_a_refusal_of_a_request_that_was_read_does_not_end_the_connection(path: str) -> None:
    with World(Stage().app) as world:
        client = world.connect()
        assert client.ask("PUT", path, b"x" * 100, content_length=100).status in (404, 405)
        assert client.post(PING).status == 200


def test_a_connection_too_many() -> None:
    with World(Stage().app) as world:
        world.server._max_connections = 2
        first, _, third = world.connect(), world.connect(), world.connect(asked="GET")
        (answer,) = third.answers
        assert refusal(answer) == (503, "too_many_connections")
        assert answer.fields["retry-after"] == "1"
        third.send(http("POST", "/mcp", PING))
        assert len(third.answers) == 1
        world.loop.advance(4.0)
        assert third.closed
        assert first.post(PING).status == 200
        first.reset()
        assert world.connect().post(PING).status == 200


def test_what_nobody_foresaw_is_an_internal_error_and_says_no_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise KeyError("the secret of the house")

    stage = Stage()
    with World(stage.app) as world:
        monkeypatch.setattr(stage.app, "tools_summary", broken)
        client = world.connect()
        answer = client.get("/health")
        assert (answer.status, answer.json["error"]["code"]) == (500, -32603)
        assert b"secret" not in answer.body
        assert "the secret of the house" in caplog.text
        assert client.closed
        assert world.connect().post(PING).status == 200


# --- slow peers


@pytest.mark.parametrize("interval", [0.5, 1.0, 5.0])
def test_a_head_that_dribbles_is_given_up(interval: float) -> None:
    with World(Stage().app, head_timeout=10.0) as world:
        client = world.connect(asked="GET")
        begun = world.clock.now
        for byte in http("GET", "/health", x_long="x" * 500):
            world.loop.advance(interval)
            if client.answers:
                break
            client.send(bytes([byte]))
        assert refusal(client.answers[0]) == (408, "slow_head")
        assert 10.0 <= world.clock.now - begun <= 10.0 + interval + 1.0 + interval
        world.loop.advance(4.0)
        assert client.closed


@pytest.mark.parametrize("interval", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_dribbles_is_given_up(interval: float, chunked: bool) -> None:
    with World(Stage().app, body_timeout=15.0) as world:
        client = world.connect()
        if chunked:
            client.send(http("POST", "/mcp", content_length=None, transfer_encoding="chunked") + b"ff\r\n", "POST")
        else:
            client.send(http("POST", "/mcp", content_length=200), "POST")
        begun = world.clock.now
        while len(client.answers) == 0:
            client.send(b" ")
            world.loop.advance(interval)
        assert refusal(client.answers[0]) == (408, "slow_body")
        assert 15.0 <= world.clock.now - begun <= 15.0 + interval + 1.0
        world.loop.advance(4.0)
        assert client.closed


ENDS = {
    CloseReason.SLOW_HEAD: b"GET /rea",
    CloseReason.SLOW_BODY: http("POST", "/mcp", b"{", content_length=2),
    CloseReason.REFUSED: b"GET /ready HTTP/1.1\r\nHost : localhost\r\n\r\n",
}


@pytest.mark.parametrize("leaves", [False, True], ids=["lingers", "leaves"])
@pytest.mark.parametrize("reason", ENDS, ids=lambda reason: reason.value)
def test_a_connection_that_a_refusal_ends_is_counted_by_its_reason(reason: CloseReason, leaves: bool) -> None:
    with World(Stage().app) as world:
        client = world.connect().send(ENDS[reason], "POST")
        while not client.answers:
            world.loop.advance(1.0)
        if leaves:
            client.reset()
        else:
            world.loop.advance(30.0)
        assert client.closed
        assert {why: number for why, number in world.server.stats.closed.items() if number} == {reason: 1}


def test_somebody_who_says_nothing_is_sent_away_without_a_word() -> None:
    with World(Stage().app, head_timeout=10.0) as world:
        client = world.connect()
        world.loop.advance(9.0)
        assert world.server.stats.connections_open == 1
        world.loop.advance(2.0)
        assert client.closed
        assert not client.transport.writes


def test_a_kept_connection_is_closed_when_nothing_comes() -> None:
    with World(Stage().app, keep_alive=75.0) as world:
        client = world.connect()
        client.get("/ready")
        world.loop.advance(74.0)
        assert client.get("/ready").status == 200
        world.loop.advance(74.0)
        assert world.server.stats.connections_open == 1
        world.loop.advance(2.0)
        assert client.closed
        assert world.server.stats.closed[CloseReason.IDLE] == 1


def test_a_connection_is_idle_from_its_answer_on_however_long_that_took() -> None:
    stage = Stage()
    with World(stage.app, keep_alive=75.0) as world:

        def long() -> str:
            world.clock.now += 100.0
            return "done"

        stage.app.add_tool(long, inline=True)
        client = world.connect()
        client.send(http("POST", "/mcp", call("long")), "POST")
        assert client.answers[0].status == 200
        world.loop.advance(70.0)
        assert not client.closed
        world.loop.advance(6.0)
        assert client.closed


def test_the_next_head_on_a_kept_connection_has_its_own_clock() -> None:
    with World(Stage().app, keep_alive=75.0, head_timeout=10.0) as world:
        client = world.connect()
        client.get("/ready")
        world.loop.advance(70.0)
        client.send(b"GET /re", "GET")
        world.loop.advance(9.0)
        assert len(client.answers) == 1
        world.loop.advance(2.0)
        assert client.answers[1].status == 408


def test_slow_is_not_too_slow() -> None:
    with World(Stage().app, head_timeout=10.0, body_timeout=15.0) as world:
        client = world.connect()
        request = http("POST", "/mcp", echo("x"))
        at = request.index(b"\r\n\r\n")
        client.send(request[:at], "POST")
        world.loop.advance(8.0)
        client.send(request[at:-1])
        world.loop.advance(13.0)
        client.send(request[-1:])
        assert said(client.answers[0]) == "x"


def test_a_peer_that_takes_no_answer_is_cut() -> None:
    with World(Stage().app, stall_timeout=10.0) as world:
        client = world.connect()
        client.transport.takes = False
        client.send(http("GET", "/docs") * 20, "GET " * 20)
        assert client.transport.full
        world.loop.advance(40.0)
        assert client.closed
        assert client.transport.aborted


def test_a_peer_that_never_takes_the_last_bytes_is_cut() -> None:
    """Few bytes: the transport never says that it is full."""
    with World(Stage().app, stall_timeout=10.0) as world:
        client = world.connect()
        client.transport.takes = False
        client.send(http("GET", "/ready", connection="close"), "GET")
        assert client.transport.closing
        world.loop.advance(9.0)
        assert not client.closed
        world.loop.advance(3.0)
        assert client.transport.aborted
        assert client.closed


def test_a_slow_reader_that_makes_progress_is_not_cut() -> None:
    with World(Stage().app, stall_timeout=10.0) as world:
        client = world.connect()
        client.transport.takes = False
        client.send(http("GET", "/docs") * 12, "GET " * 12)
        while client.transport.held:
            client.transport.take(KIB)
            client.run()
            world.loop.advance(6.0)
        assert [answer.status for answer in client.answers if answer.ended] == [200] * 12
        assert not client.transport.aborted


# --- peers that go away


def test_half_a_connection_still_gets_the_answer_to_its_call() -> None:
    """`printf … | nc`: the end of what is sent is not the end of what is read."""
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("wait")), "POST").eof()
        assert not client.closed
        stage.gate.set()
        client.run()
        assert said(client.answers[0]) == "done"
        assert client.answers[0].fields["connection"] == "close"
        assert client.closed


@pytest.mark.parametrize("body", [b"", b"x" * 10], ids=["half a head", "half a body"])
def test_half_a_request_and_no_more_is_refused(body: bytes) -> None:
    with World(Stage().app) as world:
        client = world.connect()
        request = http("POST", "/mcp", body, content_length=100)
        client.send(request if body else request[:20], "POST").eof()
        assert refusal(client.answers[0]) == (400, "incomplete")
        assert client.closed


def test_a_client_that_goes_away_between_requests_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.get("/ready")
        assert client.eof().closed
        assert world.connect().reset().closed
        assert world.server.stats.closed[CloseReason.CLIENT_CLOSED] == 2
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def conversation() -> list[tuple[bytes, str]]:
    batch = b"[%b,%b]" % (call("wait", 1), call("wait", 2))
    body, fields = modern("wait")
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return [
        (http("GET", "/sse"), "2024-11-05 stream"),
        (http("POST", "/mcp", message("initialize", hello), accept=BOTH), "initialize"),
        (http("POST", "/mcp", call("wait"), accept=BOTH), "call"),
        (http("POST", "/mcp", call("talk", token="t"), accept=BOTH), "call that streams"),
        (http("POST", "/mcp", body, **fields), "modern call"),
        (http("GET", "/mcp"), "plain stream"),
        (http("POST", "/mcp", batch, mcp_protocol_version="2025-03-26"), "batch"),
        (http("POST", "/mcp", call("thread_speaks", token=1), accept=BOTH), "call in a thread"),
    ]


@pytest.mark.parametrize("way", ["reset", "eof"])
@pytest.mark.parametrize("request_bytes", [pytest.param(data, id=name) for data, name in conversation()])
def test_whenever_a_client_disappears_nothing_is_left_of_it(request_bytes: bytes, way: str) -> None:
    """Cut at every byte, with and without a farewell, before and after the call has begun to run."""
    stage = Stage()
    with World(stage.app, max_sessions=2000) as world:
        for cut in range(1, len(request_bytes) + 1):
            for begun in (False, True):
                client = world.connect(asked="POST")
                with world.loop.running():
                    client.protocol.data_received(request_bytes[:cut])
                if begun:
                    world.loop.run()
                getattr(client, way)()
                client.reset()
                stage.gate.set()
                for _ in range(9):
                    stage.steps.release()
                world.loop.run()
                stage.gate.clear()
                assert not world.server.dispatch.running, (cut, begun)
        assert world.server.stats.connections_open == 0


# --- any bytes, in any pieces


requests = st.lists(
    st.sampled_from(
        [
            http("GET", "/ready"),
            http("GET", "/nowhere"),
            http("HEAD", "/docs"),
            http("POST", "/mcp", echo("hello")),
            http("POST", "/mcp", call("at_once", 2, text="async")),
            http("POST", "/mcp", call("thread", 3)),
            http("POST", "/mcp", message("notifications/initialized", id=None)),
            http("POST", "/mcp", b"no json"),
            http("POST", "/mcp", content_length=None, transfer_encoding="chunked") + b"3\r\n{ }\r\n0\r\n\r\n",
            http("OPTIONS", "/mcp", origin="http://localhost:8000"),
            http("DELETE", "/mcp"),
        ]
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(requests, st.lists(st.integers(1, 120), max_size=12))
def test_how_bytes_are_cut_into_pieces_changes_nothing(parts: list[bytes], cuts: list[int]) -> None:
    methods = " ".join(part.split(b" ", 1)[0].decode() for part in parts)
    data = b"".join(parts)
    with World(Stage().app) as world:
        seen = []
        for pieces in ([], cuts):
            client = world.connect(asked=methods)
            at = 0
            for size in (*pieces, len(data)):
                client.send(data[at : at + size])
                at += size
            assert all(answer.ended for answer in client.answers)
            seen.append([(answer.status, answer.body) for answer in client.answers])
        assert len(seen[0]) == len(parts)
        assert seen[0] == seen[1]


WORDS = (
    b"GET / HTTP/1.1\r\n", b"POST /mcp HTTP/1.1\r\n", b"Host: localhost\r\n", b"Content-Length: 2\r\n", b"[" * 50,
    b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"\n", b"\x00", b"{}", b"0\r\n\r\n",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from(WORDS)).map(b"".join))
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    with World(Stage().app) as world:
        client = world.connect(asked="GET " * 300)
        client.send(data).eof()
        assert client.closed
        assert all(answer.ended and 200 <= answer.status < 506 for answer in client.answers)
        for answer in client.answers:
            if answer.status >= 400 and answer.body:
                assert json.loads(answer.body)["error"]
