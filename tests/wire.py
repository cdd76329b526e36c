"""What floor 4 is tested with: a loop that is a list, a transport that is a byte string, and a server without sockets.

The `Server`, its `Dispatch` and every `Connection` in a `World` are the real ones; only the loop, the clock and the
wire are not, so that a test takes microseconds and time passes when it is told to. A `World` that is left has nothing
left in it: that is checked each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import heapq
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from unittest import mock

from fakes import Clock, events
from fastsse.config import Config
from fastsse.hosting import Servable
from fastsse.server import Server
from fastsse.sockets import Listening

T = TypeVar("T")


# --- the loop


class Loop:
    """Callbacks in a list, timers in a heap, plain functions in a thread that is waited for; time is a `Clock`.

    `errors` is what a real loop would have logged. With `hold_threads`, plain functions wait for `run_threads`.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ready: deque[asyncio.Handle] = deque()
        self.heap: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.errors: list[dict[str, Any]] = []
        self.hold_threads = False
        self.jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self.factories: list[Callable[[], Any]] = []
        self.count = 0
        self.watch: Callable[[], None] = lambda: None  # called whenever there is nothing left to do

    # what the house and asyncio ask of a loop

    def time(self) -> float:
        return self.clock.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, cast("asyncio.AbstractEventLoop", self), context)
        self.ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, cast("asyncio.AbstractEventLoop", self), context)
        self.count += 1
        heapq.heappush(self.heap, (when, self.count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None: ...

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=cast("asyncio.AbstractEventLoop", self))

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=cast("asyncio.AbstractEventLoop", self), **options)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        self.jobs.append((future, lambda: func(*args)))
        return future

    async def create_server(self, factory: Any, *args: Any, **options: Any) -> Any:
        self.factories.append(factory)
        return mock.Mock(spec=["close"])

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return cast("object", asyncio._get_running_loop()) is self

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    # how a test drives it

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(cast("asyncio.AbstractEventLoop", self))
        try:
            yield
        finally:
            asyncio._set_running_loop(before)

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """Those that are still to come."""
        return [handle for _, _, handle in self.heap if not handle.cancelled()]

    def turn(self) -> bool:
        """One turn, like a real loop's: what is due and what was ready when it began. False when there was nothing."""
        while self.heap and self.heap[0][0] <= self.clock.now:
            self.ready.append(heapq.heappop(self.heap)[2])
        batch, self.ready = self.ready, deque()
        with self.running():
            for handle in batch:
                if not handle.cancelled():
                    handle._run()
        return bool(batch)

    def run(self) -> None:
        """Until nothing is left to do at this time."""
        while self.turn() or (self.jobs and not self.hold_threads):
            if not self.hold_threads:
                self.run_threads()
        self.watch()

    def run_threads(self) -> None:
        """What waits for a thread, one after the other, each in a thread of its own."""
        while self.jobs:
            future, job = self.jobs.popleft()
            if future.cancelled():
                continue
            thread = threading.Thread(target=self._work, args=(future, job))
            thread.start()
            thread.join(10.0)
            assert not thread.is_alive()

    def _work(self, future: asyncio.Future[Any], job: Callable[[], Any]) -> None:
        try:
            value = job()
        except BaseException as error:
            self.call_soon(self._settle, future, None, error)
        else:
            self.call_soon(self._settle, future, value, None)

    def _settle(self, future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    def advance(self, seconds: float) -> None:
        """Lets time pass, timer by timer."""
        end = self.clock.now + seconds
        self.run()
        while self.heap and self.heap[0][0] <= end:
            self.clock.now = max(self.clock.now, self.heap[0][0])
            self.run()
        self.clock.now = end
        self.run()

    def leap(self, seconds: float) -> None:
        """Lets time pass at one stroke, as after a stopped machine."""
        self.clock.now += seconds
        self.run()

    def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end, however long that takes on the clock."""
        with self.running():
            task = self.create_task(work)
        self.run()
        while not task.done():
            assert self.heap, "it waits for nothing that will come"
            self.advance(max(0.0, self.heap[0][0] - self.clock.now))
        return cast("T", task.result())


# --- the wire


class Transport:
    """One end of a connection: `writes` is what was given to `write`, `received` what the peer took of it.

    A peer with `takes = False` takes nothing; `take` lets it have some. Stricter than real
    ones: a write after the end, of nothing, or of anything but exact bytes is an error of the test.
    """

    def __init__(self, loop: Loop, protocol: Any, peer: Any) -> None:
        self.loop = loop
        self.protocol = protocol
        self.peer = peer
        self.writes: list[bytes] = []
        self.received = bytearray()
        self.held = bytearray()
        self.takes = True
        self.high, self.low = 64 * 1024, 16 * 1024  # asyncio's
        self.reading = True
        self.closing = False
        self.ended = False  # the server sends no more
        self.lost = False
        self.full = False
        self.gone = False  # the peer is, and nobody has noticed yet
        self.aborted = False

    # what a Connection calls

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        assert not self.ended, "write after write_eof"
        assert not self.closing, "write after close"
        self.writes.append(data)
        self.held += data
        if self.takes:
            self.take()
        if len(self.held) > self.high and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int) -> None:
        self.high, self.low = high, high // 4

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.ended
        if self.gone:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peer if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if self.closing:
            return
        self.closing = True
        if not self.held:
            self.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        self.aborted = self.closing = True
        self.held.clear()
        self.loop.call_soon(self.lose, None)

    # what happens on the other side

    def take(self, count: int | None = None) -> None:
        """The peer takes that many bytes, by default all."""
        count = len(self.held) if count is None else count
        self.received += self.held[:count]
        del self.held[:count]
        if self.full and len(self.held) <= self.low:
            self.full = False
            self.protocol.resume_writing()
        if self.closing and not self.held:
            self.loop.call_soon(self.lose, None)

    def lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = self.closing = True
            self.held.clear()
            self.protocol.connection_lost(error)


class Answer:
    """An HTTP response as far as it has arrived. `chunks`: of a chunked body; `ended`: it is whole."""

    def __init__(self, status: int, fields: dict[str, str]) -> None:
        self.status = status
        self.fields = fields
        self.body = b""
        self.chunks: list[bytes] = []
        self.ended = False

    def __repr__(self) -> str:
        return f"<{self.status} {self.body!r}{'' if self.ended else ' …'}>"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, str]]:
        """Events of the stream so far, without comments."""
        return [event for event in events([self.body]) if "" not in event]

    @property
    def comments(self) -> list[str]:
        return [event[""] for event in events([self.body]) if "" in event]

    @property
    def messages(self) -> list[Any]:
        """The JSON of its `message` events."""
        return [json.loads(event["data"]) for event in self.events if event.get("event") == "message"]


class Reader:
    """HTTP/1.1 responses from bytes, strictly: what is not exactly one is an error of the test."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.asked: deque[str] = deque()
        self.answers: list[Answer] = []
        self.interim: list[int] = []
        self.current: Answer | None = None
        self.left = 0  # bytes to come; -1 chunked, -2 until the end of the connection

    def feed(self, data: bytes) -> None:
        self.data += data
        while self._step():
            pass

    def eof(self) -> None:
        assert not self.data
        if self.current is not None and self.left == -2:
            self._end()

    def _step(self) -> bool:
        answer = self.current
        if answer is None:
            return self._head()
        if self.left == -1:
            return self._chunk(answer)
        if self.left == -2:
            answer.body += self.data
            self.data.clear()
            return False
        piece = bytes(self.data[: self.left])
        del self.data[: len(piece)]
        answer.body += piece
        self.left -= len(piece)
        if not self.left:
            self._end()
            return bool(self.data)
        return False

    def _head(self) -> bool:
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        line, *lines = bytes(self.data[:end]).decode("latin-1").split("\r\n")
        del self.data[: end + 4]
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        fields: dict[str, str] = {}
        for one in lines:
            name, value = one.split(": ", 1)
            assert name.lower() not in fields, one
            fields[name.lower()] = value
        if status.startswith("1"):
            self.interim.append(int(status))
            return True
        assert self.asked, f"an answer to nothing: {line}"
        answer = self.current = Answer(int(status), fields)
        self.answers.append(answer)
        assert not ("content-length" in fields and "transfer-encoding" in fields)
        if "transfer-encoding" in fields:
            self.left = -1
        elif "content-length" in fields:
            self.left = int(fields["content-length"])
        else:
            assert fields["connection"] == "close"
            self.left = -2
        if self.asked.popleft() == "HEAD" or self.left == 0:
            self._end()
        return bool(self.data)

    def _chunk(self, answer: Answer) -> bool:
        end = self.data.find(b"\r\n")
        if end < 0:
            return False
        size = int(bytes(self.data[:end]), 16)
        if len(self.data) < end + 2 + size + 2:
            return False
        piece = bytes(self.data[end + 2 : end + 2 + size])
        assert self.data[end + 2 + size : end + 4 + size] == b"\r\n"
        del self.data[: end + 4 + size]
        if size:
            answer.body += piece
            answer.chunks.append(piece)
        else:
            self._end()
        return bool(self.data)

    def _end(self) -> None:
        assert self.current is not None
        self.current.ended = True
        self.current = None


def http(method: str, target: str, body: bytes = b"", *, version: str = "1.1", **fields: str | int | None) -> bytes:
    """A request; `content_type="x"` is the field `content-type: x`, None leaves a default out."""
    said: dict[str, str | int | None] = {"host": "localhost:3002"}
    if method == "POST":
        said |= {"content-type": "application/json", "content-length": len(body)}
    said |= {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}\r\n" for name, value in said.items() if value is not None]
    return f"{method} {target} HTTP/{version}\r\n{''.join(lines)}\r\n".encode("latin-1") + body


class Client:
    """A connection of a `World`, from the outside. `piece`: how many bytes arrive at a time; 0 = all."""

    def __init__(self, world: World, piece: int, peer: Any, asked: str) -> None:
        self.world = world
        self.piece = piece
        self.reader = Reader()
        self.answers = self.reader.answers
        self.seen = 0
        self.gone = False
        self.unread = bytearray()
        (factory,) = world.loop.factories
        with world.loop.running():
            self.protocol = factory()
            self.transport = Transport(world.loop, self.protocol, peer)
            self.protocol.connection_made(self.transport)
        world.clients.append(self)
        self.reader.asked.extend(asked.split())
        world.loop.run()

    def send(self, data: bytes, asked: str = "") -> Self:
        """Sends bytes and lets the server work. `asked`: the methods of the requests that begin in them."""
        self.reader.asked.extend(asked.split())
        for at in range(0, len(data), self.piece or max(1, len(data))):
            self.unread += data[at : at + (self.piece or len(data))]
            self._deliver()
            self.world.loop.run()
        return self

    def _deliver(self) -> None:
        if self.unread and self.transport.reading and not self.transport.closing:
            data = bytes(self.unread)
            self.unread.clear()
            with self.world.loop.running():
                self.protocol.data_received(data)

    def run(self) -> Self:
        """Lets the server work; delivers what it did not want to read before."""
        self.world.loop.run()
        while self.unread and self.transport.reading and not self.transport.closing:
            self._deliver()
            self.world.loop.run()
        return self

    def ask(self, method: str, target: str, body: bytes = b"", **fields: Any) -> Answer:
        """Sends one request; its answer, as far as there is one."""
        before = len(self.answers)
        self.send(http(method, target, body, **fields), method)
        assert len(self.answers) == before + 1, (self.answers, self.closed)
        return self.answers[-1]

    def post(self, body: bytes, target: str = "/mcp", **fields: Any) -> Answer:
        return self.ask("POST", target, body, **fields)

    def get(self, target: str, **fields: Any) -> Answer:
        return self.ask("GET", target, **fields)

    def look(self) -> None:
        """Reads what has arrived into `answers`."""
        received = self.transport.received
        fresh, self.seen = bytes(received[self.seen :]), len(received)
        self.reader.feed(fresh)
        if not self.gone and (self.transport.ended or self.transport.lost):
            self.reader.eof()

    def eof(self) -> Self:
        """The client sends no more, but goes on reading."""
        with self.world.loop.running():
            if not self.transport.closing and not self.protocol.eof_received():
                self.transport.close()
        return self.run()

    def reset(self) -> Self:
        """The client is gone."""
        self.gone = True
        with self.world.loop.running():
            self.transport.lose(ConnectionResetError())
        return self.run()

    @property
    def closed(self) -> bool:
        return self.transport.lost

    def reads(self) -> bool:
        """Whether the server takes more bytes from it."""
        return self.transport.reading


# --- the server


START = 1_760_178_600.0
"""Unix time when the clock of a world says 0."""


class Timed(Server):
    """A server that knows no other time than its world's."""

    def wall(self) -> float:
        return START + self.clock()


class World:
    """A server that runs nowhere. `with World(app, **settings) as world:` checks at its end that nothing is left."""

    def __init__(self, app: Servable, **settings: Any) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.clients: list[Client] = []
        whole: dict[str, Any] = {"shards": 2, "max_sessions": 64, "http": os.environ.get("FASTSSE_HTTP", "auto")}
        self.server = Timed(app, Config(**whole | settings))
        self.server.clock = self.clock
        sock = mock.Mock(spec=["close", "family", "getsockname", "listen"])
        sock.getsockname.return_value = ("127.0.0.1", 3002)
        with mock.patch("fastsse.server.listen", return_value=[Listening(sock)]):
            self.loop.finish(self.server.start())
        self.at_start = self.figures()
        self.stopped = False
        self.loop.watch = self.look

    def connect(self, piece: int = 0, peer: Any = ("127.0.0.1", 50000), asked: str = "") -> Client:
        return Client(self, piece, peer, asked)

    def look(self) -> None:
        for client in list(self.clients):
            client.look()
            if client.gone:
                self.clients.remove(client)

    def figures(self) -> dict[str, int]:
        """Everything that lives longer than one call and belongs to a client."""
        server = self.server
        shards = server.table.shards
        return {
            "connections": server.stats.connections_open,
            "members": sum(len(shard.members) for shard in shards),
            "audience": sum(len(shard.audience) for shard in shards),
            "sessions": sum(session is not None for shard in shards for session in shard.slots),
            "counted sessions": server.table.count,
            "waiting sessions": len(server.table.detached) + len(server.table.fresh),
            "streams": sum(server.stats.streams_open.values()),
            "calls": len(server.dispatch.running),
            "timers": len(self.loop.timers),
            "threads": len(self.loop.jobs),
            "bytes": server.budget.used,
        }

    def stop(self) -> int:
        """Stops the server; how many calls were cut."""
        self.stopped = True
        return self.loop.finish(self.server.stop())

    def leave(self) -> dict[str, int]:
        """All clients go away and all clocks run out; what is left then."""
        for client in list(self.clients):
            client.reset()
        for seconds in (60.0, 600.0, 7200.0, 7200.0):
            self.loop.leap(seconds)
        return self.figures()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None:
            before = self.at_start
            if self.stopped:
                before |= {"timers": 0}
            left = {name: number for name, number in self.leave().items() if number != before[name]}
            assert not left, left
            stats = self.server.stats
            assert sum(stats.closed.values()) == stats.connections_opened - stats.connections_open
            if not self.stopped:
                assert self.stop() == 0
            assert not self.loop.errors, self.loop.errors
            assert not self.loop.timers, self.loop.timers
