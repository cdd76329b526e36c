"""What callgrind counts: a number of calls through `Connection` on a fake transport, without a socket's cost.

    python bench/call_path.py ROOT WIRE CALLS

ROOT is the tree whose fastsse must be the one imported, so that nobody compares a tree with itself by mistake. The
server is a real one, with its guards and metrics; it only never hears of these connections through a socket. Random
numbers are replaced by fixed ones: a dictionary's collisions must not differ between two runs. Started by
bench/instructions.py, for the working tree and for the merge base, so it uses little of the package's inside.
"""

import asyncio
import gc
import itertools
import os
import secrets
import sys
from pathlib import Path

_numbers = itertools.count(0x5EED5EED5EED5EED5EED5EED)
secrets.randbits = lambda k: next(_numbers) % (1 << k)
secrets.token_bytes = lambda nbytes=None: bytes(range(nbytes or 32))

import fastsse  # noqa: E402 -- after the numbers
from fastsse.config import Config  # noqa: E402
from fastsse.connection import Connection  # noqa: E402
from fastsse.demo import app  # noqa: E402
from fastsse.server import Server  # noqa: E402

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


async def run(wire: str, calls: int) -> None:
    server = await Server(app, Config(host="127.0.0.1", port=0)).start()
    connection, transport = new_connection(server)
    answers, path, headers, meta = transport, b"/mcp", [], b""
    if wire == "session":
        connection.data_received(post(b"/mcp", HELLO))
        headers = [b"Mcp-Session-Id: " + header(transport.last, b"mcp-session-id"), b"MCP-Protocol-Version: 2025-11-25"]
        connection.data_received(post(b"/mcp", READY, *headers))
    elif wire == "stateless":
        meta = META
        headers = [b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: tools/call", b"Mcp-Name: echo"]
    else:
        stream, answers = new_connection(server)
        stream.data_received(b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1:3002\r\nAccept: text/event-stream\r\n\r\n")
        path = answers.last.partition(b"data: ")[2].partition(b"\n")[0]
        connection.data_received(post(path, HELLO))
        connection.data_received(post(path, READY))
        await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    before = answers.writes
    for number in range(100000000, 100000000 + calls):
        connection.data_received(post(path, CALL % (number, meta), *headers))
        if wire == "sse":
            await asyncio.sleep(0)  # an event leaves at the end of the loop turn
        if b"%d" % number not in answers.last or b"hello world" not in answers.last:
            raise SystemExit(f"call {number} was answered {answers.last!r}")
    if answers.writes - before != calls:
        raise SystemExit(f"{answers.writes - before} writes for {calls} calls")


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
