"""Floods: more sessions, connections, half-open peers, slow peers and bombs than anybody should have to serve.

Each time what is too much is refused with a reason, somebody who does nothing wrong is served all the while, and in
the end nothing is left. Real sockets; the server's clock is moved by hand, the flood comes from another process where
it needs file descriptors of its own.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import re
import socket
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import Clock, message
from fastsse.config import KIB, MIB
from fastsse.errors import CloseReason
from fastsse.server import Server
from real import port, served
from stage import Stage, call, said
from wire import Answer, Reader, http

WAIT = 60.0
HELLO = http(
    "POST",
    "/mcp",
    message(
        "initialize",
        {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "flood", "version": "1"}},
    ),
)


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSSE_LOOP", request.param)


def by_hand(server: Server) -> Clock:
    server.clock = clock = Clock(time.monotonic())
    return clock


def advance(server: Server, seconds: float) -> None:
    """Lets time pass, and the server's loop turn until it has seen that."""
    assert isinstance(server.clock, Clock)
    server.clock.now += seconds
    until(server, lambda: server._due > server.clock())


def until(server: Server, condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT
    while not condition():
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.002), server.dispatch.loop).result(WAIT)
        assert time.monotonic() < limit


class Peer:
    """A connection that asks one thing after the other."""

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port(server)), WAIT)
        self.reader = Reader()

    def send(self, data: bytes, count: int = 1) -> None:
        self.reader.asked.extend(["POST"] * count)
        self.sock.sendall(data)

    def answers(self, count: int = 1) -> list[Answer]:
        """So many answers, the next ones."""
        answers = self.reader.answers
        while len(answers) < count or not answers[count - 1].ended:
            data = self.sock.recv(256 * KIB)
            assert data, "closed"
            self.reader.feed(data)
        found = answers[:count]
        del answers[:count]
        return found

    def ask(self, body: bytes, **fields: Any) -> Answer:
        self.send(http("POST", "/mcp", body, **fields))
        return self.answers()[0]

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def other() -> Callable[[Server], None]:
    """Somebody who does nothing wrong, in a session; each time it asks something, and is served."""
    sessions: dict[int, str] = {}

    def is_served(server: Server) -> None:
        peer = Peer(server)
        if id(server) not in sessions:
            peer.send(HELLO)
            sessions[id(server)] = peer.answers()[0].fields["mcp-session-id"]
        assert said(peer.ask(call("echo", text="still here"), mcp_session_id=sessions[id(server)])) == "still here"
        gone = server.stats.closed[CloseReason.CLIENT_CLOSED]
        peer.close()
        until(server, lambda: server.stats.closed[CloseReason.CLIENT_CLOSED] > gone)

    return is_served


def anonymous() -> int:
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * KIB


# --- sessions


@pytest.mark.requirement("D-full-table", "D-too-many-streams")
def test_100_000_sessions_are_asked_for(other: Callable[[Server], None]) -> None:
    """The table is fixed: what is too much is refused, or takes the place of what was never used; whoever is there
    stays."""
    capacity, asked, at_once = 10_000, 100_000, 100
    with served(Stage().app) as server:
        clock = by_hand(server)
        other(server)
        peer = Peer(server)
        statuses: Counter[int] = Counter()
        full = 0
        gc.collect()
        before = anonymous()
        for start in range(0, asked, at_once):
            peer.send(HELLO * at_once, at_once)
            for answer in peer.answers(at_once):
                statuses[answer.status] += 1
                if answer.status == 503:
                    assert answer.fields["retry-after"] == "1"
                    assert answer.json["error"]["data"]["setting"] == "max_sessions"
            assert server.table.count <= capacity
            if start % 10_000 == 0:
                other(server)
                clock.now += 1.0
                if start == asked // 2:
                    full = anonymous()
        assert full - before < 32 * MIB, "3 KiB for each session"
        assert anonymous() - full < 4 * MIB, "a full table does not grow"
        assert statuses[200] > capacity
        assert statuses[200] + statuses[503] == asked
        assert statuses[503] == server.stats.refused["too_many_sessions"] > 0
        assert server.table.ended[CloseReason.REPLACED] == statuses[200] - capacity + 1
        other(server)
        peer.close()
        advance(server, 100.0)
        until(server, lambda: server.table.count == 1)
        other(server)


@pytest.mark.requirement("D-rates")
def test_a_session_that_asks_more_than_it_may_is_told_when_it_may_again() -> None:
    with served(Stage().app, session_rate=5.0) as server:
        clock = by_hand(server)
        peer = Peer(server)
        peer.send(HELLO)
        session = peer.answers()[0].fields["mcp-session-id"]
        one = http("POST", "/mcp", call("echo", text="x"), mcp_session_id=session)
        peer.send(one * 60, 60)
        statuses = [answer.status for answer in peer.answers(60)]
        assert statuses == [200] * 50 + [429] * 10
        refused = peer.ask(call("echo", text="x"), mcp_session_id=session)
        assert (refused.status, refused.fields["retry-after"]) == (429, "1")
        clock.now += 1.0
        peer.send(one * 6, 6)
        assert [answer.status for answer in peer.answers(6)] == [200] * 5 + [429]
        assert server.stats.refused["rate_limited"] == 12
        peer.close()


# --- connections

FLOOD = """
import resource, selectors, socket, sys

port, number, data = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode().decode("unicode_escape").encode()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
selector = selectors.DefaultSelector()
peers, statuses = [], {}
for _ in range(number):
    peer = socket.create_connection(("127.0.0.1", port), 60)
    if data:
        peer.sendall(data)
    peer.setblocking(False)
    selector.register(peer, selectors.EVENT_READ)
print("open", flush=True)
left = number
while left:
    ready = selector.select(60)
    if not ready:
        sys.exit(f"{left} are still open")
    for key, _ in ready:
        peer = key.fileobj
        try:
            said = peer.recv(65536)
        except ConnectionResetError:
            said = b""
        if said.startswith(b"HTTP/1.1 "):
            status = said[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
        elif not said:
            selector.unregister(peer)
            peer.close()
            left -= 1
import json
print(json.dumps(statuses), flush=True)
"""


class Flood:
    """So many connections from another process, each of which sends `data` and then only waits for its end."""

    def __init__(self, server: Server, number: int, data: bytes) -> None:
        text = data.decode().encode("unicode_escape").decode()
        command = [sys.executable, "-c", FLOOD, str(port(server)), str(number), text]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> dict[str, int]:
        """Statuses of the answers that came before the end of each."""
        found: dict[str, int] = json.loads(self.line())
        assert self.process.wait(WAIT) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()
        return found


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"", {}),
        (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", {"408": 9000}),
        (http("POST", "/mcp", b"{", content_length=1000), {"408": 9000}),
    ],
    ids=["silent", "half a head", "half a body"],
)
@pytest.mark.requirement("D-floods")
def test_10_000_half_open_peers(
    data: bytes, statuses: dict[str, int], other: Callable[[Server], None], request: pytest.FixtureRequest
) -> None:
    """As many as there are files for; the others are told so. All are given up in time, and meanwhile others served."""
    number = 10_000 if "uvloop" in request.node.name else 2000
    gc.collect()
    before = anonymous()
    with served(Stage().app) as server:
        clock = by_hand(server)
        other(server)
        flood = Flood(server, number, data)
        assert flood.line() == "open"
        held = len(data) * number if b"X-Slow" in data else number if data else 0
        until(server, lambda: server.stats.connections_opened == number + 1 and server.budget.used == held)
        other(server)
        assert server.stats.connections_open == number
        each = (anonymous() - before) / number
        print(f"{each / KIB:.1f} KiB for each that is half open")
        assert each < 8 * KIB
        clock.now += 9.0
        other(server)
        clock.now += 7.0
        until(server, lambda: server.stats.connections_open <= number // 2)
        clock.now += 3.0
        other(server)
        assert flood.end() == dict.fromkeys(statuses, number)
        until(server, lambda: server.stats.connections_open == 0)
        assert server.budget.used == 0
        other(server)


@pytest.mark.requirement("D-too-many-streams")
def test_a_flood_of_connections_beyond_the_limit() -> None:
    """Those that are there are served; the others read that there are too many, or, far beyond the limit, nothing."""
    limit, number = 500, 3000
    with served(Stage().app) as server:
        by_hand(server)
        server._max_connections = limit
        there = Peer(server)
        assert said(there.ask(call("echo", text="before"))) == "before"
        flood = Flood(server, number, b"")
        assert flood.line() == "open"
        until(server, lambda: server.stats.connections_opened == number + 1)
        assert said(there.ask(call("echo", text="meanwhile"))) == "meanwhile"
        advance(server, 5.0)
        assert server.stats.connections_open <= limit
        advance(server, 20.0)
        statuses = flood.end()
        assert set(statuses) == {"503"}
        assert 0 < statuses["503"] <= server.stats.refused["too_many_connections"]
        assert said(there.ask(call("echo", text="after"))) == "after"
        there.close()
        until(server, lambda: server.stats.connections_open == 0)
        again = Peer(server)
        assert said(again.ask(call("echo", text="again"))) == "again"
        again.close()


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.requirement("D-floods")
def test_500_peers_that_send_a_byte_now_and_then(part: str, other: Callable[[Server], None]) -> None:
    """A dribble is no progress: the time is for the whole head, and for the whole body."""
    with served(Stage().app) as server:
        by_hand(server)
        other(server)
        begin = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: "
        if part == "body":
            begin = http("POST", "/mcp", b"[", content_length=1000)
        peers = [Peer(server) for _ in range(500)]
        for peer in peers:
            peer.send(begin)
        until(server, lambda: server.budget.used == 500 * (len(begin) if part == "head" else 1))
        for _ in range(4):
            advance(server, 2.0 if part == "head" else 3.0)
            for peer in peers:
                peer.sock.sendall(b"1")
            other(server)
        assert server.stats.connections_open == 500
        advance(server, 4.0)
        advance(server, 1.0)
        for peer in peers:
            assert peer.answers()[0].status == 408
            peer.close()
        assert server.stats.refused[f"slow_{part}"] == 500
        until(server, lambda: server.stats.connections_open == 0)
        other(server)


# --- bombs


def bomb(kind: str) -> bytes:
    arguments = {
        "wide array": b"[" + b"1," * 1_000_000 + b"1]",
        "many arrays": b"[" + b"[]," * 1_000_000 + b"[]]",
        "many keys": b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}",
        "the same key": b"{" + b'"a":0,' * 500_000 + b'"a":0}',
        "digits": b"9" * (3 * MIB),
        "a long fraction": b"0." + b"1" * (3 * MIB),
        "an exponent": b"1e" + b"9" * (3 * MIB),
        "escapes": b'"' + b"\\ud83d\\ude00" * 250_000 + b'"',
        "deep": b"[" * 1_000_000 + b"]" * 1_000_000,
        "unclosed": b'{"a":' * 500_000,
    }[kind]
    params = b'{"name":"echo","arguments":{"text":%b}}' % arguments
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % params


BOMBS = [
    "wide array", "many arrays", "many keys", "the same key", "digits", "a long fraction", "an exponent", "escapes",
    "deep", "unclosed",
]  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
@pytest.mark.requirement("D-depth")
def test_json_bombs(kind: str, other: Callable[[Server], None]) -> None:
    with served(Stage().app) as server:
        other(server)
        peer = Peer(server)
        sent = bomb(kind)
        for _ in range(3):
            answer = peer.ask(sent)
            if kind in ("deep", "unclosed"):
                assert (answer.status, answer.json["error"]["data"]["setting"]) == (400, "max_depth")
            elif kind == "escapes":
                assert said(answer) == "😀" * 250_000
            elif answer.status == 200:
                assert answer.json["result"]["isError"]
                assert len(answer.body) < KIB
            else:
                assert (answer.status, answer.json["error"]["code"]) == (400, -32700)
            other(server)
        peer.close()
        until(server, lambda: server.stats.connections_open == 0)
        assert server.budget.used == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x-gzip", "zstd"])
def test_compressed_bodies_are_not_unpacked(coding: str, other: Callable[[Server], None]) -> None:
    """They are refused as what they are; a bomb of a few KiB stays that small."""
    with served(Stage().app) as server:
        other(server)
        peer = Peer(server)
        plain = call("echo", text="x" * 50 * MIB)
        packed = gzip.compress(plain) if "gzip" in coding else zlib.compress(plain)
        before = anonymous()
        for _ in range(5):
            answer = peer.ask(packed, content_encoding=coding)
            assert (answer.status, answer.json["error"]["data"]["reason"]) == (415, "content_encoding")
            other(server)
        assert anonymous() - before < 10 * MIB
        peer.close()
