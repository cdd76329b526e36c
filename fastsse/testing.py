"""A server inside your test: `serve` on a free port, `wire` without any socket. Both run in a thread of their own.

    with fastsse.testing.serve(app) as server:
        httpx.get(f"{server.url}/health")

    with fastsse.testing.wire(app) as client:
        assert client.call_tool("add", a=1, b=2)["structuredContent"] == {"result": 3}

Everything between the bytes of a request and your function is the real thing. Refuses to hang: every wait has a limit.
What cannot start or stop raises here. In an async test, on its own loop: `async with fastsse.Server(app, config)`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

from fastsse.client import MODERN, PAIR, Client, Pair, Respond, Session, Stateless
from fastsse.config import Config
from fastsse.connection import Connection
from fastsse.hosting import Servable
from fastsse.peer import Line
from fastsse.server import Server, loop_factory
from fastsse.sockets import Listening

__all__ = ["Client", "serve", "wire"]

START = 30.0
"""Seconds that a lifespan may take to begin, and to end."""

EVERYTHING: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
"""ClientCapabilities of a client that answers what it is asked."""


@contextmanager
def serve(app: Servable, **settings: Any) -> Iterator[Server]:
    """A server that answers on a free port (`server.url`) as long as the block lasts. `settings`: those of Config."""
    free: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
    server = Server(app, Config(**free | settings))
    with _running(server):
        yield server


@contextmanager
def wire(
    app: Servable,
    revision: str = "2025-11-25",
    *,
    respond: Respond | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    **settings: Any,
) -> Iterator[Client]:
    """A client of that revision whose connections to a server are in memory; the server is there while the block lasts.

    `respond(method, params)` gives the results of what the server asks (elicitation, sampling, roots); without it the
    client declares no capabilities. `headers` go with every request (`Authorization`, `Cookie`). Nothing is waited for
    longer than `timeout` seconds: TimeoutError. `settings` are those of Config.
    """
    quiet: dict[str, Any] = {"ping": timeout + 1}  # with comments in between, nothing would ever be late
    server = _Unheard(app, Config(**quiet | settings))
    kinds: dict[str, type[Client]] = {PAIR: Pair, MODERN: Stateless}
    kind = kinds.get(revision, Session)
    with _running(server) as loop:

        def dial() -> Line:
            return _Wire(server, loop, timeout)

        with kind(dial, "localhost", revision, {} if respond is None else EVERYTHING, respond, headers) as client:
            yield client


@contextmanager
def _running(server: Server) -> Iterator[asyncio.AbstractEventLoop]:
    """Runs a server in a thread for as long as the block lasts; gives its loop."""
    begun: Future[asyncio.Task[None] | None] = Future()
    started: Future[asyncio.AbstractEventLoop] = Future()
    ended: Future[None] = Future()
    over = asyncio.Event()

    async def live() -> None:
        begun.set_result(asyncio.current_task())
        async with server:
            started.set_result(asyncio.get_running_loop())
            await over.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(server.config)) as runner:
                runner.run(live())
        except BaseException as error:
            (ended if started.done() else started).set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=run, name="fastsse.testing", daemon=True)
    thread.start()
    try:
        loop = started.result(START)
    except TimeoutError:
        task = begun.result(START)
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)
        raise
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(over.set)
        ended.result(START + server.config.drain_timeout)
        thread.join()


class _Unheard(Server):
    """Listens nowhere: its connections are given to it."""

    def _listen(self) -> list[Listening]:
        return []

    @property
    def url(self) -> str:
        """What a client would put before a path."""
        return "http://localhost"


class _Wire:
    """A connection in memory, from the client's side: like a blocking socket."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.server = server
        self.loop = loop
        self.timeout = timeout
        self.arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.ended = False
        self.end = _End(self)
        loop.call_soon_threadsafe(self.end.begin)

    def sendall(self, data: bytes, /) -> None:
        self.loop.call_soon_threadsafe(self.end.deliver, data)

    def recv(self, size: int, /) -> bytes:
        """What has been written, in one piece each; b"" at the end."""
        if self.ended:
            return b""
        try:
            data = self.arrived.get(timeout=self.timeout)
        except queue.Empty:
            raise TimeoutError(f"nothing came from the server within {self.timeout:g} s") from None
        self.ended = not data
        return data

    def close(self) -> None:
        """The client is gone."""
        if not self.ended:
            self.loop.call_soon_threadsafe(self.end.lose)


class _End(asyncio.Transport):
    """The same connection from the server's side. Its peer takes whatever is written."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self.wire = wire
        self.protocol: asyncio.Protocol | None = None
        self.reading = True
        self.closing = False
        self.unread: list[bytes] = []

    # for the client

    def begin(self) -> None:
        self.protocol = cast("asyncio.Protocol", Connection(self.wire.server))
        self.protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        self.unread.append(data)
        self._read()

    def _read(self) -> None:
        while self.unread and self.reading and not self.closing and self.protocol is not None:
            self.protocol.data_received(self.unread.pop(0))

    def lose(self) -> None:
        self.closing = True
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            self.wire.arrived.put(b"")
            protocol.connection_lost(None)

    # for the connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.wire.arrived.put(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.wire.arrived.put(b"")

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.wire.loop.call_soon(self.lose)

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.wire.loop.call_soon(self._read)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0
