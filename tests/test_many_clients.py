"""A thousand clients of /sse at once, a quarter of them cut anywhere: nobody gets what is not theirs, nothing is left.

Client and server share one loop and one process, so that everything that was taken can be counted afterwards. The
clocks of sessions run by hand. The seed is printed; FASTSSE_SEED repeats a run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop

from fakes import Clock, message
from fastsse.config import Config
from fastsse.connection import Connection
from fastsse.server import Server
from fastsse.session import Session
from fastsse.stream import EventStream
from stage import Stage, call
from wire import Reader, http

CLIENTS = 1000
CALLS = 6
CUT = 0.25
WAIT = 60.0
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


class Wire(asyncio.Protocol):
    """A connection that may be cut after so many bytes, in whichever direction they go."""

    def __init__(self, cut: int | None, got: Callable[[bytes], None]) -> None:
        self.left = cut
        self.got = got
        self.transport: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.got(self._within(data))
        if self.left == 0:
            self.transport.abort()

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._within(data))
            if self.left == 0:
                self.transport.close()

    def _within(self, data: bytes) -> bytes:
        """As much of it as comes before the cut."""
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        return data

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


class Client:
    """One client of the pair: a stream to read, a connection to post on, and what it was promised."""

    def __init__(self, number: int, rng: random.Random, host: str, port: int, cut: bool) -> None:
        self.number = number
        self.rng = rng
        self.where = (host, port)
        self.cut = cut
        self.cut_stream = cut and rng.random() < 0.5
        self.stream: Wire
        self.poster: Wire | None = None
        self.reader = Reader()
        self.posts = Reader()
        self.uri = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()
        self.sent: dict[Any, str] = {}
        self.got: list[tuple[Any, str]] = []
        self.taken = 0

    def heard(self, data: bytes) -> None:
        self.reader.feed(data)
        answer = self.reader.answers[0] if self.reader.answers else None
        if answer is None or b"\n\n" not in answer.body:
            return
        found = answer.events
        for event in found[self.taken :]:
            if event["event"] == "endpoint":
                assert not self.uri.done()
                self.uri.set_result(event["data"])
            else:
                said = json.loads(event["data"])
                if "id" in said:
                    self.got.append((said["id"], said["result"]["content"][0]["text"]))
        self.taken = len(found)
        if len(self.got) >= len(self.sent) == CALLS:
            self.done.set()

    async def open(self) -> None:
        """Opens the stream."""
        cut = self.rng.randrange(1, 1200) if self.cut_stream else None
        _, self.stream = await asyncio.get_running_loop().create_connection(lambda: Wire(cut, self.heard), *self.where)
        self.reader.asked.append("GET")
        self.stream.send(http("GET", "/sse", accept="text/event-stream"))
        await asyncio.wait([self.uri, self.stream.lost], return_when=asyncio.FIRST_COMPLETED)

    async def talk(self) -> None:
        """Posts all calls in pieces of any size, and waits for the answers, if they can come."""
        if not self.uri.done():
            return
        loop, rng = asyncio.get_running_loop(), self.rng
        requests = b""
        for n in range(CALLS):
            id = rng.choice([n, f"{self.number}/{n}", -n - 1, 10**6 * self.number + n])
            text = f"{self.number}.{n}:" + rng.randbytes(rng.randrange(200)).hex()
            self.sent[id] = text
            tool = rng.choice(["echo", "at_once", "after", "threaded"])
            requests += http("POST", self.uri.result(), call(tool, id, text=text))
        self.posts.asked.extend(["POST"] * CALLS)
        cut = rng.randrange(1, len(requests)) if self.cut and not self.cut_stream else None
        _, self.poster = await loop.create_connection(lambda: Wire(cut, self.posts.feed), *self.where)
        at = 0
        while at < len(requests):
            size = rng.randrange(1, len(requests))
            self.poster.send(requests[at : at + size])
            at += size
            await asyncio.sleep(0)
        ends: list[asyncio.Future[Any]] = [self.stream.lost, *([self.poster.lost] if self.cut else [])]
        waiting = loop.create_task(self.done.wait())
        await asyncio.wait([waiting, *ends], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def leave(self) -> None:
        for wire in (self.stream, self.poster):
            if wire is not None:
                wire.transport.abort() if self.rng.random() < 0.5 else wire.transport.close()
                await wire.lost

    def check(self) -> None:
        if not self.cut:
            assert sorted(map(repr, self.got)) == sorted(map(repr, self.sent.items())), self.number
            assert [answer.status for answer in self.posts.answers] == [202] * CALLS
        assert len({repr(id) for id, _ in self.got}) == len(self.got), f"{self.number}: doubled"
        for id, text in self.got:
            assert self.sent[id] == text


def everything(server: Server, loop: asyncio.AbstractEventLoop) -> dict[str, int]:
    """All that a client could have left behind."""
    gc.collect()
    living = gc.get_objects()
    timers = getattr(loop, "_scheduled", None)  # uvloop does not show its own
    shards = server.table.shards
    spare = sum(kind.spare is not None for kind in server.dispatch._kinds.values())  # used up by a call that waits
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "connections": server.stats.connections_open,
        "members": sum(len(shard.members) for shard in shards),
        "audience": sum(len(shard.audience) for shard in shards),
        "sessions": server.table.count,
        "free places": len(server.table.free),
        "waiting sessions": len(server.table.detached) + len(server.table.fresh),
        "bytes": server.budget.used,
        "streams": sum(server.stats.streams_open.values()),
        "calls": len(server.dispatch.running),
        "timers": 0 if timers is None else sum(not handle.cancelled() for handle in timers),
        "tasks": len(asyncio.all_tasks()) - spare,
        "Connection": sum(type(item) is Connection for item in living),
        "EventStream": sum(type(item) is EventStream for item in living),
        "Session": sum(type(item) is Session for item in living),
        "spreading": len(server._spreading),
    }


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110  the other side knows nothing of us
            await asyncio.sleep(0.01)


async def nothing_is_left(server: Server, before: dict[str, int]) -> None:
    limit = time.monotonic() + WAIT
    loop = asyncio.get_running_loop()
    while left := {
        name: (number, before[name]) for name, number in everything(server, loop).items() if number != before[name]
    }:
        assert time.monotonic() < limit, left
        await asyncio.sleep(0.05)


def stage() -> Stage:
    made = Stage()

    @made.app.tool
    async def after(text: str) -> str:
        await asyncio.sleep(0.01)
        return text

    @made.app.tool
    def threaded(text: str) -> str:
        return text

    return made


def run(loop: str, main: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_every_answer_reaches_its_own_stream_and_in_the_end_nothing_is_left(loop: str) -> None:
    seed = int(os.environ.get("FASTSSE_SEED", time.time_ns() % 10**9))
    print(f"FASTSSE_SEED={seed}")
    rng = random.Random(seed)

    async def main() -> None:
        config = Config(host="127.0.0.1", port=0, max_sessions=2 * CLIENTS, drain_timeout=0.0)
        async with Server(stage().app, config) as server:
            clock = Clock(time.monotonic())
            server.clock = clock
            running = asyncio.get_running_loop()
            host, _, port = server.url.removeprefix("http://").partition(":")

            def client(number: int, cut: bool) -> Client:
                return Client(number, random.Random(rng.random()), host, int(port), cut)

            warm = [client(number, False) for number in range(-40, 0)]  # the pool has all its threads
            for step in (Client.open, Client.talk, Client.leave):
                await asyncio.gather(*(step(one) for one in warm))
            clock.now += 4000.0
            await until(lambda: server.table.count == 0 and server.stats.connections_open == 0)
            del warm
            before = everything(server, running)

            cut = set(rng.sample(range(CLIENTS), int(CLIENTS * CUT)))
            clients = [client(number, number in cut) for number in range(CLIENTS)]
            async with asyncio.timeout(WAIT):
                await asyncio.gather(*(one.open() for one in clients))
                assert server.stats.streams_open["httpsse"] >= sum(not one.cut_stream for one in clients)
                await asyncio.gather(*(one.talk() for one in clients))
                await asyncio.gather(*(one.leave() for one in clients))
            for one in clients:
                one.check()
            assert sum(len(one.got) for one in clients) >= CALLS * CLIENTS * (1 - CUT)
            del clients, one

            await until(lambda: server.stats.connections_open == 0 and not server.dispatch.running)
            assert server.table.count > 0
            clock.now += 29.0
            await until(lambda: server._due > clock.now)
            assert server.table.count > 0
            clock.now += 4000.0
            await until(lambda: server.table.count == 0)
            await nothing_is_left(server, before)

    run(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
def test_whenever_a_client_disappears_nothing_is_left_of_it(loop: str) -> None:
    """Half a head, half a body, before initialize, in a running call: with a farewell, without one, and half open."""
    made = stage()

    async def main() -> None:
        config = Config(host="127.0.0.1", port=0, drain_timeout=0.0)
        async with Server(made.app, config) as server:
            clock = Clock(time.monotonic())
            server.clock = clock
            running = asyncio.get_running_loop()
            host, _, port = server.url.removeprefix("http://").partition(":")
            hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            both = "application/json, text/event-stream"
            points = {
                "nothing": b"",
                "half a head": http("POST", "/mcp")[:30],
                "half a body": http("POST", "/mcp", call("echo", text="x"))[:-5],
                "half a chunk": http("POST", "/mcp", content_length=None, transfer_encoding="chunked") + b"ff\r\n{",
                "before initialize": http("GET", "/sse"),
                "after initialize": http("POST", "/mcp", message("initialize", hello)),
                "a running call": http("POST", "/mcp", call("wait")),
                "a call that streams": http("POST", "/mcp", call("talk", token=1), accept=both),
                "a call in a thread": http("POST", "/mcp", call("threaded", text="x")),
                "behind a call": http("POST", "/mcp", call("wait")) + http("POST", "/mcp", call("wait"))[:-5],
                "the plain stream": http("GET", "/mcp"),
                "refused": http("POST", "/mcp", content_length=10**8),
            }
            made.gate.set()
            _, warm = await running.create_connection(lambda: Wire(None, lambda data: None), host, int(port))
            warm.send(points["a call in a thread"])
            await until(lambda: server.stats.methods["tools/call"].results == 1)
            warm.transport.close()
            await until(lambda: server.stats.connections_open == 0)
            made.gate.clear()
            before = everything(server, running)
            for data in points.values():
                for farewell in ("close", "abort", "write_eof"):
                    for wait in (False, True):
                        opened = server.stats.connections_opened
                        _, wire = await running.create_connection(
                            lambda: Wire(None, lambda data: None), host, int(port)
                        )
                        await until(lambda opened=opened: server.stats.connections_opened > opened)  # type: ignore[misc]
                        if data:
                            wire.send(data)
                        if wait:
                            await asyncio.sleep(0.005)
                        if not wire.transport.is_closing():
                            getattr(wire.transport, farewell)()
                        if farewell == "write_eof":
                            clock.now += 20.0
                            await asyncio.sleep(0.02)
                            wire.transport.abort()
                        await asyncio.wait_for(wire.lost, WAIT)
            made.gate.set()
            for _ in range(100):
                made.steps.release()
            await until(lambda: server.stats.connections_open == 0 and not server.dispatch.running)
            clock.now += 4000.0
            await until(lambda: server.table.count == 0)
            made.contexts.clear()
            await nothing_is_left(server, before)

    run(loop, main)
