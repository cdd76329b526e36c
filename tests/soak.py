"""A soak: clients of every era, well-behaved and not, for as long as one likes, and what is left of them.

The load comes in rounds. After each all clients leave, the server's (short) clocks run out, and it is counted: bytes,
blocks that Python has allocated, open files, connections, streams, sessions, bytes that are held. What is more after
each round is a leak. The first round is for warming up: pools, caches and the allocator take what they need once.

Called by scripts/soak and `test_soak`. The server is a process of its own, and serves `app` of this module.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import os
import random
import re
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import test_many_clients
from fakes import MODERN, enveloped, message
from serving import ROOT, served
from stage import BOTH, call, modern, said
from wire import Answer, Reader, http

WAIT = 30.0
WORKERS = 40
BLOCKS, MEMORY = 10.0, 16_384.0
"""Per 1,000 requests: see `Report.growth`."""
CLOCKS = {
    "SESSION_INIT": "2", "SESSION_LOST": "1", "STREAM_LOST": "1", "SESSION_IDLE": "3", "STALL_TIMEOUT": "2",
    "RING_AGE": "2", "OPEN_RATE": "0", "SHED_LAG": "0",
}  # fmt: skip

stage = test_many_clients.stage()
app = stage.app


@app.tool(inline=True)
def census() -> dict[str, int]:
    """What this process holds when everything that can go has gone."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return {"blocks": sys.getallocatedblocks()}


class Figures(NamedTuple):
    """Of the server, when nobody is there."""

    seconds: float
    requests: int
    memory: int
    blocks: int
    files: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s {self.requests:9,} requests {self.memory / 1024:9,.0f} KB {self.blocks:9,} blocks "
            f"{self.files:4} files"
        )


class Line:
    """A connection of a client."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader = Reader()
        self.input: asyncio.StreamReader
        self.output: asyncio.StreamWriter

    async def __aenter__(self) -> Line:
        self.input, self.output = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.output.transport.abort()

    def send(self, data: bytes, asked: str) -> None:
        self.reader.asked.extend(asked.split())
        self.output.write(data)

    async def read(self) -> None:
        async with asyncio.timeout(WAIT):
            data = await self.input.read(65536)
        assert data, "the server has closed"
        self.reader.feed(data)

    async def answer(self, whole: Callable[[Answer], Any] = lambda answer: answer.ended) -> Answer:
        """The answer to what was asked last."""
        count = len(self.reader.answers) + len(self.reader.asked)
        while not (len(self.reader.answers) == count and whole(self.reader.answers[-1])):
            await self.read()
        return self.reader.answers[-1]

    async def ask(self, method: str, target: str, body: bytes = b"", **fields: Any) -> Answer:
        self.send(http(method, target, body, **fields), method)
        return await self.answer()

    async def post(self, body: bytes, **fields: Any) -> Answer:
        return await self.ask("POST", "/mcp", body, **fields)

    async def stream(self, target: str = "/mcp", **fields: Any) -> Answer:
        """Opens an event stream, and reads what it begins with."""
        self.send(http("GET", target, accept="text/event-stream", **fields), "GET")
        return await self.answer(lambda answer: answer.chunks)


class Load:
    """Clients that come and go. `counts`: how often each kind came."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.port = port
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.number = 0

    async def run(self, seconds: float) -> None:
        """All kinds of clients at once, until the time is over and the last has gone."""
        end = time.monotonic() + seconds
        kinds = [self.calls, self.session, self.pair, self.stateless, self.listens, self.breaks_off, self.reads_slowly]
        weights = [4, 4, 3, 4, 1, 3, 1]

        async def work() -> None:
            while time.monotonic() < end:
                kind: Callable[[], Awaitable[None]] = self.rng.choices(kinds, weights)[0]
                await kind()
                self.counts[kind.__name__] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())

    async def calls(self) -> None:
        """Plain calls on one connection, and what goes wrong in between."""
        async with Line(self.port) as line:
            for number in range(20):
                tool = self.rng.choice(["echo", "at_once", "threaded", "after"])
                text = f"{number}:" + "x" * self.rng.choice([10, 10, 10, 5000])
                assert said(await line.post(call(tool, number, text=text))) == text
            assert (await line.post(b"{")).status == 400
            assert (await line.post(call("no such tool"))).json["error"]["code"] == -32602
            assert (await line.post(call("fail", how="tool"))).json["result"]["isError"]
            assert (await line.ask("GET", "/nowhere")).status == 404
            batch = b"[" + call("at_once", 1, text="a") + b"," + call("threaded", 2, text="b") + b"]"
            assert len((await line.post(batch, mcp_protocol_version="2025-03-26")).json) == 2

    async def session(self) -> None:
        """A session with answers of both kinds, a standing stream that is lost and resumed, and perhaps an end."""
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
        async with Line(self.port) as line:
            answer = await line.post(message("initialize", hello), accept=BOTH)
            fields = {"mcp_session_id": answer.fields["mcp-session-id"], "accept": BOTH}
            assert (await line.post(message("notifications/initialized", None, None), **fields)).status == 202
            assert (await line.post(message("logging/setLevel", {"level": "info"}, "level"), **fields)).status == 200
            async with Line(self.port) as other:
                await other.stream(mcp_session_id=fields["mcp_session_id"])
                for number in range(3):
                    assert said(await line.post(call("speak", number, text="heard"), **fields)) == "heard"
                    answer = await line.post(call("thread_speaks", number, token=number), **fields)
                    assert [one["method"] for one in answer.messages[:-1]].count("notifications/progress") >= 1
                    assert said(await line.post(call("at_once", number, text="x"), **fields)) == "x"
            async with Line(self.port) as other:
                await other.stream(mcp_session_id=fields["mcp_session_id"], last_event_id="0-0")
                assert said(await line.post(call("echo", "again", text="x"), **fields)) == "x"
            if self.rng.random() < 0.7:
                answer = await line.ask("DELETE", "/mcp", mcp_session_id=fields["mcp_session_id"])
                assert answer.status == 200
                assert (await line.post(message("ping"), **fields)).status == 404

    async def pair(self) -> None:
        """A stream and POSTs; a quarter is cut anywhere."""
        self.number += 1
        rng = random.Random(self.rng.random())
        client = test_many_clients.Client(self.number, rng, "127.0.0.1", self.port, rng.random() < 0.25)
        async with asyncio.timeout(WAIT):
            await client.open()
            await client.talk()
            await client.leave()
        client.check()

    async def stateless(self) -> None:
        """Calls that say all about themselves, with and without events, and a listener that goes."""
        async with Line(self.port) as line:
            fields = {"mcp_protocol_version": MODERN, "mcp_method": "server/discover", "accept": BOTH}
            assert (await line.post(message("server/discover", enveloped()), **fields)).status == 200
            for number in range(10):
                body, fields = modern(self.rng.choice(["echo", "at_once", "threaded"]), number, text="x")
                assert said(await line.post(body, **fields)) == "x"
            body, fields = modern("thread_speaks", 11, token="t")
            assert len((await line.post(body, **fields)).messages) >= 2
            wanted = enveloped({"notifications": {"toolsListChanged": True}})
            body = message("subscriptions/listen", wanted, "listening")
            fields = {"mcp_protocol_version": MODERN, "mcp_method": "subscriptions/listen", "accept": BOTH}
            line.send(http("POST", "/mcp", body, **fields), "POST")
            await line.answer(lambda answer: answer.chunks)

    async def listens(self) -> None:
        """Guide C's stream and pages."""
        async with Line(self.port) as line:
            for page in ("/health", "/ready", "/docs", "/sessions", "/metrics"):
                assert (await line.ask("GET", page)).status == 200
            assert (await line.stream()).events[0]["event"] == "welcome"

    async def breaks_off(self) -> None:
        """A request that ends too early, or nobody to hear the answer; with a farewell or without one."""
        request = http(
            "POST", "/mcp", call(self.rng.choice(["echo", "after", "threaded"]), text="x" * 100), accept=BOTH
        )
        request = self.rng.choice(
            [request, http("GET", "/sse"), http("POST", "/mcp", call("fill", count=50, size=1000))]
        )
        async with Line(self.port) as line:
            line.output.write(request[: self.rng.randrange(1, 2 * len(request))])
            if self.rng.random() < 0.5:
                await asyncio.sleep(self.rng.random() / 100)
            if self.rng.random() < 0.5:
                line.output.write_eof()
                async with asyncio.timeout(WAIT):
                    await line.input.read(1000)

    async def reads_slowly(self) -> None:
        """A stream that takes next to nothing of a lot, until the client or the server has enough of it."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.port))
            await loop.sock_sendall(sock, http("GET", "/sse"))
            got = b""
            async with asyncio.timeout(WAIT):
                while b"sessionId=" not in got:
                    got += await loop.sock_recv(sock, 4096)
            found = re.search(rb"/message\?sessionId=[0-9a-f-]{36}", got)
            assert found is not None
            async with Line(self.port) as line:
                for number in range(3):
                    body = call("fill", number, count=200, size=4000)
                    answer = await line.ask("POST", found[0].decode(), body)
                    assert answer.status in (202, 404, 503)
                await asyncio.sleep(self.rng.choice([0.1, 0.5, 3.0]))


class Soak:
    """The server's process, as seen from outside."""

    def __init__(self, base: str, pid: int) -> None:
        self.port = int(base.rpartition(":")[2])
        self.pid = pid
        self.begun = time.monotonic()

    def memory(self) -> int:
        """Bytes of its own that are in memory."""
        found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    async def metrics(self) -> dict[str, float]:
        async with Line(self.port) as line:
            text = (await line.ask("GET", "/metrics")).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("fastsse_"))
        return {name: float(value) for name, _, value in lines}

    async def quiet(self) -> Figures:
        """When nothing of any client is left, what the server holds. AssertionError when something stays."""
        limit = time.monotonic() + WAIT
        while True:
            found = await self.metrics()
            open = [
                name
                for name in found
                if re.match(r"fastsse_(connections_open|streams_open|sessions_open|\w+_bytes)", name)
            ]
            left = {name: found[name] for name in open if found[name] != (name == "fastsse_connections_open")}
            if not left:
                break
            assert time.monotonic() < limit, left
            await asyncio.sleep(0.2)
        async with Line(self.port) as line:
            for _ in range(2):  # what the first has to allocate for it stays
                blocks = (await line.post(call("census"))).json["result"]["content"][0]["text"]
            requests = found["fastsse_http_requests_total"]
            files = len(os.listdir(f"/proc/{self.pid}/fd"))
            counted = re.search(r"\d+", blocks)
            assert counted is not None
            return Figures(time.monotonic() - self.begun, int(requests), self.memory(), int(counted[0]), files)


class Report(NamedTuple):
    """The figures after each round but the first, and what they say."""

    figures: list[Figures]
    counts: Counter[str]

    def slope(self, what: str, per: str) -> float:
        """How much of one thing there is more with each of another, by least squares."""
        x, y = ([float(getattr(figure, name)) for figure in self.figures] for name in (per, what))
        return statistics.linear_regression(x, y).slope

    def growth(self) -> list[str]:
        """What grows with the work that was done. One object that each session left would be ten times as much as these
        bounds, one kilobyte of each as much; a server that leaks nothing stays within a fifth to a half."""
        found = []
        if (blocks := 1000 * self.slope("blocks", "requests")) > BLOCKS:
            found.append(f"{blocks:.1f} blocks per 1,000 requests")
        if (memory := 1000 * self.slope("memory", "requests")) > MEMORY:
            found.append(f"{memory:,.0f} bytes per 1,000 requests")
        if self.figures[-1].files > self.figures[0].files:
            found.append(f"{self.figures[-1].files - self.figures[0].files} files")
        return found

    def __str__(self) -> str:
        memory, requests = self.slope("memory", "seconds") * 60 / 1024, 1000 * self.slope("memory", "requests")
        blocks = 1000 * self.slope("blocks", "requests")
        clients = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.counts.items()))
        return (
            f"{memory:+,.1f} KB a minute, {requests:+,.0f} bytes and {blocks:+,.1f} blocks per 1,000 requests\n"
            f"clients: {clients}"
        )


async def soak(base: str, pid: int, minutes: float, rounds: int, seed: int) -> Report:
    """So many rounds of load in so many minutes; the first is for warming up."""
    watched = Soak(base, pid)
    load = Load(watched.port, random.Random(seed))
    figures = []
    for number in range(rounds):
        running = asyncio.create_task(load.run(60 * minutes / rounds))
        while not running.done():
            await asyncio.wait([running], timeout=5.0)
            print(
                f"  {time.monotonic() - watched.begun:6.0f} s under load: {watched.memory() / 1024:9,.0f} KB",
                flush=True,
            )
        await running
        figures.append(await watched.quiet())
        print(f"{figures[-1]}{' (warming up)' if not number else ''}", flush=True)
    return Report(figures[1:], load.counts)


def run(minutes: float, rounds: int, seed: int) -> Report:
    """Starts a server, and loads it. AssertionError when a client was served wrongly, or something of one is left."""
    environment = {f"FASTSSE_{name}": value for name, value in CLOCKS.items()}
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with served("tests/soak.py:app", PYTHONPATH=path, MALLOC_ARENA_MAX="2", **environment) as server:
        return asyncio.run(soak(server.line("listens on"), server.process.pid, minutes, rounds, seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of load, all rounds together (10)")
    parser.add_argument("--rounds", type=int, default=10, help="the first is for warming up (10)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of what clients do")
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error("two rounds after the first are the least from which a slope can be told")
    print(f"seed {options.seed}", flush=True)
    report = run(options.minutes, options.rounds, options.seed)
    print(report)
    sys.exit(f"GROWS: {', '.join(report.growth())}" if report.growth() else 0)
