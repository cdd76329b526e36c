"""What callgrind counts: a number of calls through `Connection` on a fake transport, without a socket's cost.

    python bench/call_path.py ROOT WIRE CALLS

ROOT is the tree whose fastsse must be the one imported, so that nobody compares a tree with itself by mistake. The
server is a real one, with its guards and metrics; it only never hears of these connections through a socket. Random
numbers are replaced by fixed ones: a dictionary's collisions must not differ between two runs. Started by
bench/instructions.py, for the working tree and for the merge base, so it uses little of the package's inside. The
same calls are a micro-benchmark in bench/bench_connection.py.
"""

import asyncio
import gc
import itertools
import os
import secrets
import sys
from pathlib import Path

if __name__ == "__main__":
    _numbers = itertools.count(0x5EED5EED5EED5EED5EED5EED)
    secrets.randbits = lambda k: next(_numbers) % (1 << k)
    secrets.token_bytes = lambda nbytes=None: bytes(range(nbytes or 32))

import fastsse
from fastsse.config import Config
from fastsse.connection import Connection
from fastsse.demo import app
from fastsse.server import Server

META = (
    b',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'
)
CALL = (
    b'{"jsonrpc":"2.0","id":%09d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello world"}%b}}'
)
HELLO = (
    b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    b'"clientInfo":{"name":"bench","version":"1"}}}'
)
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Transport:
    """Takes what is written and keeps the last of it."""

    def __init__(self) -> None:
        self.last = b""
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.last = data
        self.writes += 1

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 3002)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [
        b"POST %b HTTP/1.1" % path,
        b"Host: 127.0.0.1:3002",
        b"Content-Type: application/json",
        b"Accept: application/json, text/event-stream",
        *headers,
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def header(answer: bytes, name: bytes) -> bytes:
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        field, _, value = line.partition(b":")
        if field.lower() == name:
            return value.strip()
    raise SystemExit(f"no {name.decode()} in {answer!r}")


def new_connection(server: Server) -> tuple[Connection, Transport]:
    connection, transport = Connection(server), Transport()
    connection.connection_made(transport)
    return connection, transport


class Caller:
    """Calls over one wire: a session, the stateless revision, or the HTTP+SSE pair, whose answers have another line."""

    def __init__(self, server: Server, wire: str) -> None:
        self.connection, self.answers = new_connection(server)
        self.lines = [self.connection]
        self.path, self.headers, self.meta = b"/mcp", [], b""
        self.pair = wire == "sse"
        if wire == "session":
            self.connection.data_received(post(b"/mcp", HELLO))
            session = header(self.answers.last, b"mcp-session-id")
            self.headers = [b"Mcp-Session-Id: " + session, b"MCP-Protocol-Version: 2025-11-25"]
            self.connection.data_received(post(b"/mcp", READY, *self.headers))
        elif wire == "stateless":
            self.meta = META
            self.headers = [b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: tools/call", b"Mcp-Name: echo"]
        else:
            stream, self.answers = new_connection(server)
            self.lines.append(stream)
            stream.data_received(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1:3002\r\nAccept: text/event-stream\r\n\r\n")
            self.path = self.answers.last.partition(b"data: ")[2].partition(b"\n")[0]
            self.connection.data_received(post(self.path, HELLO))
            self.connection.data_received(post(self.path, READY))

    async def call(self, calls: int) -> None:
        """So many calls, one after the other, each with its own answer."""
        connection, answers, path, headers, meta = self.connection, self.answers, self.path, self.headers, self.meta
        before = answers.writes
        for number in range(100000000, 100000000 + calls):
            connection.data_received(post(path, CALL % (number, meta), *headers))
            if self.pair:
                await asyncio.sleep(0)  # an event leaves at the end of the loop turn
            if b"%d" % number not in answers.last or b"hello world" not in answers.last:
                raise SystemExit(f"call {number} was answered {answers.last!r}")
        if answers.writes - before != calls:
            raise SystemExit(f"{answers.writes - before} writes for {calls} calls")

    def close(self) -> None:
        for connection in self.lines:
            connection.connection_lost(None)


async def run(wire: str, calls: int) -> None:
    server = await Server(app, Config(host="127.0.0.1", port=0)).start()
    caller = Caller(server, wire)
    await asyncio.sleep(0)  # what was said to a pair so far leaves
    gc.collect()
    gc.disable()
    await caller.call(calls)


def main() -> None:
    root, wire, calls = sys.argv[1:]
    imported = Path(str(fastsse.__file__)).resolve().parent.parent
    if imported != Path(root).resolve():
        raise SystemExit(f"fastsse came from {imported}, not from {root}")
    asyncio.run(run(wire, int(calls)))
    sys.stdout.flush()
    os._exit(0)  # what the interpreter does on its way out is no part of a call


if __name__ == "__main__":
    main()
