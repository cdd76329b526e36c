"""Real processes that are told to stop: under load, in a terminal, and with functions that do not want to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from fakes import message
from serving import ROOT, Started, started
from stage import BOTH, call, modern
from wire import http

WAIT = 20.0
APP = """
import asyncio, threading, time
from fastsse import App, Context

app = App("stops", version="1")
waiting = 0

@app.tool
async def sleep(context: Context, seconds: float) -> str:
    global waiting
    waiting += 1
    for step in range(4):
        context.progress(step, 4)
        await asyncio.sleep(seconds / 4)
    return "slept"

@app.tool(inline=True)
def echo(text: str) -> str:
    return text

@app.tool(inline=True)
def begun() -> int:
    return waiting

@app.tool
async def deaf() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@app.tool
def thread() -> None:
    time.sleep(3600)

@app.tool
async def to_thread() -> None:
    await asyncio.to_thread(time.sleep, 3600)
"""

both_loops = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(APP)
    return tmp_path


def serve(folder: Path, loop: str, *settings: str) -> Any:
    command = [sys.executable, "-m", "fastsse", "server.py", "--host", "127.0.0.1", "--port", "0", "--loop", loop]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return started(*command, *settings, cwd=folder, env=environment)


def port(server: Started) -> int:
    return int(server.line("listens on").rpartition(":")[2])


# --- under load


class Peer:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.data = b""

    async def until(self, end: bytes) -> bytes:
        """What comes before these bytes. EOFError, ConnectionError."""
        while end not in self.data:
            more = await self.reader.read(65536)
            if not more:
                raise EOFError
            self.data += more
        found, _, self.data = self.data.partition(end)
        return found

    async def response(self, id: int) -> str:
        """How the request with this id ends: result, error or closed. Whatever the answer's framing is, its JSON has no
        line end in it."""
        mark = b'"id":%d,' % id
        try:
            while True:
                while mark in self.data or b"\n" in self.data:
                    line, end, rest = self.data.partition(b"\n")
                    if mark in line and (line.endswith((b"}", b"}\r"))):
                        return "error" if b'"error":' in line else "result"
                    if not end:
                        break
                    self.data = rest
                more = await self.reader.read(65536)
                if not more:
                    return "closed"
                self.data += more
        except ConnectionError:
            return "closed"

    def ask(self, id: int, body: bytes, path: str = "/mcp", **fields: Any) -> None:
        self.writer.write(http("POST", path, body, **fields))


class Peers:
    """Connections to one server; all are gone behind the block."""

    def __init__(self, server: Started) -> None:
        self.port = port(server)
        self.made: list[Peer] = []

    async def connect(self) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.made.append(peer)
        return peer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for peer in self.made:
            peer.writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()

    async def call(self, era: str, id: int, seconds: float) -> str:
        """One call of that era; how it ended."""
        peer = await self.connect()
        token = id if era.endswith("stream") or era == "pair" else None
        if era == "pair":
            peer.writer.write(http("GET", "/sse"))
            await peer.until(b"event: endpoint\ndata: ")
            uri = (await peer.until(b"\n")).decode()
            poster = await self.connect()
            poster.ask(id, call("sleep", id, token, seconds=seconds), uri)
            await poster.until(b"Accepted")
        elif era.startswith("modern"):
            body, fields = modern("sleep", id, token, seconds=seconds)
            peer.ask(id, body, **fields)
        else:
            hello = {"protocolVersion": era[:10], "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            peer.ask(0, message("initialize", hello, 0))
            session = (await peer.until(b"\r\n\r\n")).lower().partition(b"mcp-session-id: ")[2].partition(b"\r\n")[0]
            accept = BOTH if token else "application/json"
            peer.ask(id, call("sleep", id, token, seconds=seconds), mcp_session_id=session.decode(), accept=accept)
        return await peer.response(id)

    async def chat(self, number: int) -> Counter[str]:
        """Asks one thing after the other on one connection until that is closed; how they ended."""
        ends: Counter[str] = Counter()
        peer = await self.connect()
        for id in range(number * 1_000_000, (number + 1) * 1_000_000):
            peer.ask(id, call("echo", id, text="x"))
            end = await peer.response(id)
            ends[end] += 1
            if end == "closed":
                break
        return ends

    async def begun(self, count: int) -> None:
        """Until that many calls have begun."""
        peer = await self.connect()
        for id in range(10**6):
            peer.ask(id, call("begun", id))
            await peer.until(b'"text":"')
            if int(await peer.until(b'"')) == count:
                break


async def load(server: Started, seed: int, drain: float) -> tuple[Counter[str], list[Counter[str]]]:
    """Calls of all eras and lengths in flight, others that come all the time, and then the signal: how they ended."""
    chance = random.Random(seed)
    eras = ["pair", "2025-03-26", "2025-06-18 stream", "2025-11-25", "2025-11-25 stream", "modern", "modern stream"]
    lengths = (drain / 10, drain / 4, 60.0, 3600.0)
    async with Peers(server) as peers, asyncio.timeout(60):
        calls = [
            asyncio.create_task(peers.call(era, id, chance.choice(lengths))) for id, era in enumerate(eras * 14, 1)
        ]
        chats = [asyncio.create_task(peers.chat(number)) for number in range(1, 5)]
        await peers.begun(len(calls))
        server.process.send_signal(signal.SIGTERM)
        return Counter(await asyncio.gather(*calls)), await asyncio.gather(*chats)


@pytest.mark.requirement("D-drain", "D-exit-code")
@both_loops
def test_every_id_ends_and_the_exit_code_is_the_number_that_was_cut(folder: Path, loop: str) -> None:
    drain = 3.0
    with serve(folder, loop, "--drain-timeout", str(drain)) as server:
        ends, chats = asyncio.run(load(server, 7, drain))
        code = server.process.wait(WAIT)
        assert ends == {"result": 98 - code, "error": code}, "who was cut was told so"
        assert 0 < code < 98
        for others in chats:
            assert others.keys() <= {"result", "closed"}
            assert others["closed"] == 1
        assert "Traceback" not in server.printed()
        assert f"stopped: {code} calls were cut" in server.printed()


@pytest.mark.requirement("D-exit-code")
def test_more_than_an_exit_code_can_say_is_its_largest(folder: Path) -> None:
    async def many(server: Started) -> Counter[str]:
        async with Peers(server) as peers, asyncio.timeout(60):
            calls = [asyncio.create_task(peers.call("modern", id, 3600.0)) for id in range(1, 301)]
            await peers.begun(300)
            server.process.send_signal(signal.SIGTERM)
            return Counter(await asyncio.gather(*calls))

    with serve(folder, "uvloop", "--drain-timeout", "0") as server:
        assert asyncio.run(many(server)) == {"error": 300}
        assert server.process.wait(WAIT) == 125


# --- functions that go on


@pytest.mark.requirement("D-exit-code")
@both_loops
@pytest.mark.parametrize("name", ["deaf", "thread", "to_thread"])
def test_a_function_that_does_not_end_does_not_hold_up_the_process(folder: Path, loop: str, name: str) -> None:
    async def end(server: Started) -> str:
        async with Peers(server) as peers, asyncio.timeout(60):
            peer, other = await peers.connect(), await peers.connect()
            peer.ask(1, call(name, 1))
            for id in range(2, 50):  # it has begun when later ones are answered
                other.ask(id, call("echo", id, text="x"))
                assert await other.response(id) == "result"
            server.process.send_signal(signal.SIGTERM)
            return await peer.response(1)

    with serve(folder, loop, "--drain-timeout", "0.1") as server:
        assert asyncio.run(end(server)) == "error"
        assert server.process.wait(WAIT) == 1
        assert "functions that do not end are left behind" in server.printed()
        assert "Traceback" not in server.printed()


# --- in a terminal


TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "fastsse", *sys.argv[1:]])
"""


@both_loops
@pytest.mark.parametrize(("strokes", "code"), [(1, 1), (2, 130)])
def test_control_c_in_a_terminal(folder: Path, loop: str, strokes: int, code: int) -> None:
    """The terminal's own signal, which goes to every process in it: once it stops in order, twice at once."""
    ours, theirs = pty.openpty()
    drain = "0.5" if strokes == 1 else "3600"
    settings = ["--host", "127.0.0.1", "--port", "0", "--loop", loop, "--drain-timeout", drain]
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, "server.py", *settings],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = b""

    def until(part: bytes) -> None:
        nonlocal seen
        while part not in seen:
            readable, _, _ = select.select([ours], [], [], WAIT)
            assert readable, seen
            seen += os.read(ours, 65536)

    try:
        until(b"accepts origins")
        line = next(line for line in seen.decode().splitlines() if "listens on" in line)
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2])), WAIT) as sock:
            sock.sendall(http("POST", "/mcp", call("sleep", 1, 1, seconds=3600), accept=BOTH))
            data = b""
            while b"progress" not in data:
                data += sock.recv(65536)
            for _ in range(strokes):
                os.write(ours, b"\x03")
                until(b"stops: 1 calls run")
            with contextlib.suppress(ConnectionError):
                while piece := sock.recv(65536):
                    data += piece
        assert (b'"error":' in data) == (strokes == 1)
        assert process.wait(WAIT) == code
        assert b"Traceback" not in seen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


# --- in another program


EMBEDDED = """
import asyncio, json, sys
import fastsse

app = fastsse.App("embedded", version="1")

@app.tool
async def forever() -> None:
    await asyncio.Event().wait()

async def work(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "forever"}}).encode()
    fields = b"Host: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
    writer.write(b"POST /mcp HTTP/1.1\\r\\n" + fields + body)
    while not server.dispatch.running:
        await asyncio.sleep(0)
    return reader, writer

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # how busy the machine is is not judged here
    async with fastsse.Server(app, fastsse.Config(port=0, host="127.0.0.1", drain_timeout=0.2)) as server:
        first = await work(server)
    print("after", (await first[0].read()).decode().splitlines()[-1])
    first[1].close()
    server = await fastsse.Server(app, fastsse.Config(port=0, host="127.0.0.1", drain_timeout=3600)).start()
    second = await work(server)
    try:
        async with asyncio.timeout(0.2):
            await server.stop()
    except TimeoutError:
        print("hurried", (await second[0].read()).decode().splitlines()[-1])
    second[1].close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.sleep(0)
    print("left", len([one for one in others if not one.done()]))

asyncio.run(main())
"""


@pytest.mark.requirement("D-drain")
def test_a_program_goes_on_when_its_server_has_stopped() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", EMBEDDED],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    after, hurried, left = (line.partition(" ")[2] for line in done.stdout.splitlines())
    for told in (after, hurried):
        assert json.loads(told)["error"]["code"] == -32000
    assert left == "0"
