"""It holds whatever readers do: one that stops while 99 others are served, many that never read, and what that costs.

Real sockets. The server's clock is moved by hand, so that a deadline is reached when the test says so; everything that
is waited for is an event with a limit.
"""

from __future__ import annotations

import asyncio
import gc
import re
import socket
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
from stage import call
from wire import Answer, Reader, http

WAIT = 30.0
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


def post(server: Server, target: str, body: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
        reader = Reader()
        reader.asked.append("POST")
        sock.sendall(http("POST", target, body))
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
            assert post(self.server, f"/message?sessionId={self.session.id.decode()}", body).status == 202
            if ask(self.server, lambda: self.session.stream.buffer.paused):  # type: ignore[union-attr]
                return
        raise AssertionError("the kernel takes anything")


class Crowd:
    """Clients that read everything, each on one loop with the others; `counts`: events that each of them has."""

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.counts = [0] * number
        self.wrong: list[tuple[int, int]] = []

    async def one(self, index: int, wanted: int, ready: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(self.server))
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


@pytest.fixture
def anonymous() -> Callable[[], int]:
    """How much anonymous memory this process has beyond what it had at the beginning."""

    def now() -> int:
        found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * KIB

    gc.collect()
    before = now()
    return lambda: now() - before


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
        crowd = Crowd(server, 99)

        def talk() -> None:
            for number in range(events):
                shout(app, number, size)

        asyncio.run(crowd.read(events, talk))

        assert crowd.counts == [events] * 99
        assert not crowd.wrong
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
        tail = ask(server, lambda: [frame for seq, frame, _ in stream.ring or () if seq > seen])
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


@pytest.mark.requirement("D-process-bytes")
def test_many_that_never_read_cost_no_more_than_the_byte_limit(app: App, anonymous: Callable[[], int]) -> None:
    limit = 24 * MIB
    with served(app, max_bytes=limit, ring_bytes=MIB, buffer_max=4 * MIB) as server:
        by_hand(server)
        stopped = [Listener(server, stops=True) for _ in range(60)]
        crowd = Crowd(server, 5)
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
