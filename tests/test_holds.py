"""It holds whatever readers do: one that stops while 99 others are served, many that never read, and what that costs.

Real sockets. The server's clock is moved by hand, so that a deadline is reached when the test says so; everything that
is waited for is an event with a limit.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import Clock
from fastsse.app import App
from fastsse.config import KIB, MIB
from fastsse.errors import CloseReason
from fastsse.server import Server
from fastsse.session import Session
from real import port, served
from serving import ROOT, started
from stage import call
from wire import Answer, Reader, http

WAIT = 30.0
PENDING = re.compile(rb"^fastsse_pending_bytes (\d+)", re.MULTILINE)
NUMBER = re.compile(rb'"number":(\d+)')


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTSSE_LOOP", request.param)


@pytest.fixture
def app() -> App:
    made = App("holds", version="1")

    @made.tool(inline=True)
    def echo(text: str) -> str:
        return text

    return made


def by_hand(server: Server) -> Clock:
    server.clock = clock = Clock(time.monotonic())
    return clock


def turn(server: Server) -> None:
    """Lets the server's loop turn until it has seen the time that its clock shows."""
    limit = time.monotonic() + WAIT
    while True:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.002), server.dispatch.loop).result(WAIT)
        if server._due > server.clock():
            return
        assert time.monotonic() < limit


def ask(server: Server, question: Callable[[], Any]) -> Any:
    """What the server's own thread says."""

    async def answer() -> Any:
        return question()

    return asyncio.run_coroutine_threadsafe(answer(), server.dispatch.loop).result(WAIT)


def shout(app: App, number: int, size: int) -> None:
    """One event for everybody, which no later one replaces."""
    app.notify("notifications/message", {"number": number, "level": "info", "data": "x" * size})


def send(to: int, method: str, target: str, body: bytes = b"") -> Answer:
    with socket.create_connection(("127.0.0.1", to), WAIT) as sock:
        reader = Reader()
        reader.asked.append(method)
        sock.sendall(http(method, target, body))
        while not (reader.answers and reader.answers[0].ended):
            data = sock.recv(64 * KIB)
            assert data
            reader.feed(data)
    return reader.answers[0]


class Listener:
    """A client of /sse that reads when it is told to. With `stops`, what it does not read soon waits in the server."""

    def __init__(self, server: Server, last: bytes = b"", stops: bool = False) -> None:
        self.server = server
        self.sock = socket.socket()
        if stops:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        self.sock.settimeout(WAIT)
        self.sock.connect(("127.0.0.1", port(server)))
        self.sock.sendall(http("GET", "/sse", last_event_id=last.decode() or None))
        self.reader = Reader()
        self.reader.asked.append("GET")
        while not self.events:
            self.read()
        self.id = re.search(rb"sessionId=([0-9a-f-]+)", self.body)
        assert self.id is not None

    @property
    def body(self) -> bytes:
        return self.reader.answers[0].body if self.reader.answers else b""

    @property
    def events(self) -> list[bytes]:
        """Whole events, to the letter."""
        return self.body.split(b"\n\n")[:-1]

    def read(self) -> bool:
        """Takes what is there; False at the end."""
        try:
            data = self.sock.recv(256 * KIB)
        except ConnectionResetError:
            return False
        self.reader.feed(data)
        return bool(data)

    @property
    def session(self) -> Session:
        assert self.id is not None
        found = self.server.table.find(self.id[1], None)
        assert found is not None
        return found

    def fill(self, size: int) -> None:
        """Has so much sent to it that the kernel takes no more (it takes some MiB)."""
        for number in range(100):
            body = call("echo", number, text="x" * size)
            target = f"/message?sessionId={self.session.id.decode()}"
            assert send(port(self.server), "POST", target, body).status == 202
            if ask(self.server, lambda: self.session.stream.buffer.paused):  # type: ignore[union-attr]
                return
        raise AssertionError("the kernel takes anything")


class Crowd:
    """Clients that read everything, each on one loop with the others; `counts`: events that each of them has."""

    def __init__(self, port: int, number: int) -> None:
        self.port = port
        self.counts = [0] * number
        self.wrong: list[tuple[int, int]] = []

    async def one(self, index: int, wanted: int, ready: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(http("GET", "/sse"))
        rest = b""
        while self.counts[index] < wanted:
            data = await reader.read(256 * KIB)
            assert data, "the server has closed the stream of one that reads"
            if b"initialized" in data:
                ready.release()
            rest += data
            *whole, rest = rest.split(b"\n\n")
            for event in whole:
                for number in NUMBER.findall(event):
                    if int(number) != self.counts[index]:
                        self.wrong.append((index, int(number)))
                    self.counts[index] += 1
        writer.close()

    async def read(self, wanted: int, then: Callable[[], Any]) -> None:
        """All read so many events; `then` is called in a thread when all are there."""
        async with asyncio.timeout(2 * WAIT):
            ready = asyncio.Semaphore(0)
            tasks = [asyncio.create_task(self.one(index, wanted, ready)) for index in range(len(self.counts))]
            for _ in tasks:
                await ready.acquire()
            await asyncio.gather(asyncio.to_thread(then), *tasks)


def memory(pid: int | str) -> int:
    """How much anonymous memory a process has."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * KIB


@pytest.fixture
def anonymous() -> Callable[[], int]:
    """How much anonymous memory this process has beyond what it had at the beginning."""
    gc.collect()
    before = memory("self")
    return lambda: memory("self") - before


@pytest.mark.requirement("D-slow-consumer", "D-unread-replies", "D-exactly-once", "Q-14")
def test_one_that_stops_reading_is_pending_while_99_are_served_and_comes_back_to_the_tail_of_its_ring(
    app: App,
) -> None:
    events, size = 400, KIB
    with served(app, ring_bytes=64 * MIB, ring_events=10_000) as server:
        clock = by_hand(server)
        stopped = Listener(server, stops=True)
        session = stopped.session
        stopped.fill(512 * KIB)
        crowd = Crowd(port(server), 99)
        written = 0

        def talk() -> None:
            nonlocal written
            written = server.stats.events
            for number in range(events):
                shout(app, number, size)

        asyncio.run(crowd.read(events, talk))

        assert crowd.counts == [events] * 99
        assert not crowd.wrong
        assert server.stats.events - written == 99 * events, "the server counts all for the 99, and none for the one"
        stream = session.stream
        assert stream is not None
        assert ask(server, server.pending) > events * size, "what the one does not take waits"
        assert not stream.read
        assert server.stats.closed[CloseReason.STALLED] == server.stats.closed[CloseReason.SLOW_CONSUMER] == 0
        assert not server.stats.dropped

        clock.now += 9.0
        turn(server)
        assert server.stats.closed[CloseReason.STALLED] == 0
        for _ in range(3):
            clock.now += 2.0
            turn(server)
        assert server.stats.closed[CloseReason.STALLED] == 1
        assert ask(server, server.pending) == 0

        while stopped.read():
            pass
        ids = re.findall(rb"^id: (\S+)$", b"\n\n".join(stopped.events), re.MULTILINE)
        last = ids[-1] if ids else b"%b:0" % session.id
        seen = int(last.rpartition(b":")[2])
        kept = ask(server, lambda: [frame for frame, _ in stream.kept()])
        tail = kept[len(kept) - (stream.seq - seen) :]
        assert len(tail) == stream.seq - seen
        again = Listener(server, last)
        assert again.id is not None
        assert again.id[1] == session.id
        while len(again.events) < 1 + len(tail):
            assert again.read()
        assert b"".join(event + b"\n\n" for event in again.events[1:]) == b"".join(tail)
        assert [int(number) for number in NUMBER.findall(again.body)] == list(range(events))
        for client in (stopped, again):
            client.sock.close()


SHOUTS = """
import asyncio
import fastsse

app = fastsse.App("shouts", version="1")

@app.tool
async def shout(first: int, count: int, size: int) -> str:
    for number in range(first, first + count):
        app.notify("notifications/message", {"number": number, "level": "info", "data": "x" * size})
        await asyncio.sleep(0)
    return "said"
"""


@pytest.mark.requirement("D-slow-consumer", "D-process-bytes")
def test_a_process_of_its_own_grows_by_no_more_than_the_limit_while_one_of_100_stops_reading(tmp_path: Path) -> None:
    events, at_once, size, limit = 400, 10, 16 * KIB, 24 * MIB
    (tmp_path / "shouts.py").write_text(SHOUTS)
    command = [sys.executable, "-m", "fastsse", "shouts.py", "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "FASTSSE_MAX_BYTES": str(limit),
        "FASTSSE_BUFFER_MAX": str(8 * MIB),
    }
    with started(*command, cwd=tmp_path, env=environment) as server, socket.socket() as stopped:
        to = int(server.line("listens on").rpartition(":")[2])
        stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        stopped.connect(("127.0.0.1", to))
        stopped.sendall(http("GET", "/sse"))
        crowd = Crowd(to, 99)
        before = peak = pending = 0

        def talk() -> None:
            nonlocal before, peak, pending
            before = memory(server.process.pid)
            for first in range(0, events, at_once):
                said = send(to, "POST", "/mcp", call("shout", first=first, count=at_once, size=size))
                assert b"said" in said.body
                peak = max(peak, memory(server.process.pid))
                until = time.monotonic() + WAIT
                while min(crowd.counts) < first + at_once:
                    assert time.monotonic() < until
                    time.sleep(0.001)
            waiting = PENDING.search(send(to, "GET", "/metrics").body)
            assert waiting is not None
            pending = int(waiting[1])

        asyncio.run(crowd.read(events, talk))
        print(f"{pending / MIB:.1f} MiB were pending at the end, {(peak - before) / MIB:.1f} MiB were used")
        assert crowd.counts == [events] * 99
        assert not crowd.wrong
        assert peak - before <= limit
        assert pending > MIB, "what the one does not take waits to the end"


@pytest.mark.requirement("D-process-bytes")
def test_many_that_never_read_cost_no_more_than_the_byte_limit(app: App, anonymous: Callable[[], int]) -> None:
    limit = 24 * MIB
    with served(app, max_bytes=limit, ring_bytes=MIB, buffer_max=4 * MIB) as server:
        by_hand(server)
        stopped = [Listener(server, stops=True) for _ in range(60)]
        crowd = Crowd(port(server), 5)
        before, most, peak = anonymous(), 0, 0

        def talk() -> None:
            nonlocal most, peak
            for number in range(600):
                shout(app, number, 16 * KIB)
                most = max(most, ask(server, server.held))
                peak = max(peak, anonymous())

        asyncio.run(crowd.read(600, talk))
        print(f"{most / MIB:.1f} MiB were counted at most, {(peak - before) / MIB:.1f} MiB were used")
        assert crowd.counts == [600] * 5
        assert not crowd.wrong
        assert most > limit // 2, "they did hold back what was sent"
        assert most <= limit + 2 * MIB, "one turn of the loop at most beyond the limit"
        assert peak - before < limit + 12 * MIB, "the rest is what the readers in this process hold"
        closed = server.stats.closed
        assert closed[CloseReason.OVERLOAD] + closed[CloseReason.SLOW_CONSUMER] > 0
        for client in stopped:
            client.sock.close()
