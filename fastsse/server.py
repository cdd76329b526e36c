"""Server: listens, ticks, spreads events, and stops.

Owns what one server has: the table, the rules, the dispatch, the sockets. Everything runs on the loop it is
started on, uvloop or plain asyncio; nothing is global, so several servers live in one process. Its tick
visits one shard at a time, each at least once a second. Called by `__main__`, `run`, and embedders.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

from fastsse import _framing, jsonrpc, pages
from fastsse.authenticator import Authenticator
from fastsse.budget import Budget
from fastsse.config import Config
from fastsse.connection import Connection, Home
from fastsse.dispatch import Dispatch
from fastsse.drain import FAREWELL, TURNS, Drain
from fastsse.endpoint import Endpoint
from fastsse.errors import ConfigError, RequestRefused
from fastsse.events import Broadcast
from fastsse.handler import Guest
from fastsse.hosting import Servable, application, foreign
from fastsse.overload import Overload
from fastsse.security import Guard
from fastsse.session import Clocks
from fastsse.shards import Audience, Table
from fastsse.sockets import Listening, listen
from fastsse.stats import Stats
from fastsse.stream import Event, RingLimits
from fastsse.tls import Entrance, Tls
from fastsse.writebuffer import CHANGED, NOTICE

log = logging.getLogger("fastsse.server")

RESERVE = 64
"""File descriptors that are kept for the application (files, pipes, sockets to other services), and half of them for
connections too many, until they have read that they are."""

ACCEPTS = 16
"""Connections that asyncio accepts in one turn: what it calls backlog. Out of files, it logs as many errors."""

MOST_CUT = 125
"""The largest exit code that says how many calls were cut (so many, or more): by higher ones shells mean others."""

COLLAPSING = ("/list_changed", "/updated")


def raise_file_limit() -> int:
    """Raises RLIMIT_NOFILE to its hard limit; returns how many file descriptors there may be."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return 1_000_000 if soft == resource.RLIM_INFINITY else soft


def _tracing() -> type[Dispatch]:
    try:
        from fastsse.tracing import Tracing
    except ImportError:
        raise ConfigError("traces is on, but opentelemetry-api is not installed; pip install 'fastsse[otel]'") from None
    return Tracing


class Server(Home):
    """`async with Server(app, config) as server:` listens inside, and stops on the way out.

    Once it listens, `url` says where it can be reached on this machine, `hosts` and `origins` what the guards accept.
    """

    def __init__(self, app: Servable, config: Config | None = None) -> None:
        config = config or Config()
        clocks = Clocks(config.session_init, config.session_lost, config.stream_lost, config.session_idle)
        stats = Stats(time.time())
        budget = Budget(config.max_bytes, stats)
        budget.exceeded = self._exceeded
        ring = RingLimits(config.ring_bytes, config.ring_events, config.ring_age, budget)
        table = Table(config.shards, config.max_sessions, clocks, ring, lambda: secrets.randbits(90))
        super().__init__(config, table, stats, time.monotonic)
        self.app = application(app, config)
        self._dispatching = _tracing() if config.traces and not foreign(app) else Dispatch  # SDKs trace by themselves
        self.addresses: list[str] = []
        self.hosts: list[str] = []
        self.origins: list[str] = []
        files = raise_file_limit() - RESERVE
        self._max_connections = max(files, 16)
        self._max_streams = config.max_streams or max(files - files // 8, 8)
        self._tls: Tls | None = None
        self._servers: list[asyncio.Server | Entrance] = []
        self._listening: list[Listening] = []
        self._spreading: deque[tuple[Event, int]] = deque()
        self._overload = Overload(config, budget)
        self._relieving = False
        self._warned = False  # in this second
        self._pool: ThreadPoolExecutor | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._shard = 0
        self._second = 0.0
        self._stack = contextlib.AsyncExitStack()
        self.gone = asyncio.Event()
        self._over = asyncio.Event()
        self._drain: Drain | None = None

    # --- start and stop

    async def start(self) -> Server:
        """Listens. Raises ConfigError when the address cannot be used."""
        if self._tick is not None:
            raise RuntimeError("this Server has been started before: make another one for the same app")
        loop = asyncio.get_running_loop()
        self.around = contextvars.copy_context()
        config = self.config
        self._tls = None if config.tls_cert is None else Tls(config)
        listening = self._listen()
        async with contextlib.AsyncExitStack() as stack:
            for one in listening:
                stack.callback(one.close)
            self._admit(all(one.local for one in listening))
            stack.push_async_callback(self.authenticator.close)
            threads = config.threads or min(32, (os.cpu_count() or 1) + 4)
            pool = ThreadPoolExecutor(threads, thread_name_prefix="fastsse")
            self.dispatch = self._dispatching(self.app, config, self.stats, loop, pool, self.clock)
            stack.push_async_callback(self.dispatch.close)
            if self.app.lifespan is not None:
                self.dispatch.lifespan = await stack.enter_async_context(self.app.lifespan(self.app))
            self._pool = pool
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            self._set_date()
            for one in listening:
                if self._tls is not None:
                    one.sock.listen(config.backlog)
                    entrance = Entrance(self._tls, one.sock, lambda: Connection(self), lambda: self.crowded)
                    stack.callback(entrance.close)
                    self._servers.append(entrance)
                    continue
                create: Callable[..., Any] = loop.create_unix_server if one.unix else loop.create_server
                # From 3.13 on a loop would remove the socket file, which may be systemd's.
                kept = {"cleanup_socket": False} if one.unix and sys.version_info >= (3, 13) else {}
                server = await create(lambda: Connection(self), sock=one.sock, backlog=ACCEPTS, **kept)
                stack.callback(server.close)
                one.sock.listen(config.backlog)
                self._servers.append(server)
            self._listening = listening
            self.addresses = [one.address for one in listening]
            self.app.attach(self)
            self._due = self.clock() + 1 / config.shards
            self._tick = loop.call_later(1 / config.shards, self._sweep)
            self._stack = stack.pop_all()
        return self

    def _listen(self) -> list[Listening]:
        """What it listens on; nothing for one that is given its connections."""
        return listen(self.config, "http" if self._tls is None else "https")

    def _admit(self, loopback: bool) -> None:
        """Who may come depends on where we listen."""
        config = self.config
        self.authenticator = Authenticator(config, self.app.authenticate, self.clock)
        guard = Guard(config, loopback, cookies=self.app.authenticate is not None)
        self.hosts, self.origins = guard.hosts, guard.origins
        key = config.state_key.encode() if config.state_key else secrets.token_bytes(32)
        auth = self.authenticator.rules
        self.endpoint = Endpoint(config, self.app, self.table, self.stats, guard, self, key, config.max_body, auth)

    @property
    def url(self) -> str:
        """Where it can be reached on this machine, without a path; of a Unix socket, what goes through it."""
        if not self._listening:
            raise RuntimeError("this Server has not started: it has no address yet")
        return self._listening[0].url

    async def stop(self) -> int:
        """Takes nobody new, ends streams, gives running calls `drain_timeout` seconds; returns how many were cut.

        Cancelled, it ends everything at once. Stopped again, it only waits until it has stopped.
        """
        if self._tick is None:  # it never began
            return 0
        if self._drain is not None:
            await self._over.wait()
            return self._drain.cut
        self._drain = drain = Drain(self, self)
        self.draining = True
        try:
            if isinstance(self.app, Guest):
                try:
                    self.app.closing()
                except Exception:
                    log.exception("%s does not know how to close", self.app.name)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self._close_doors()
            if self._tls is not None:
                await self._tls.stop()
            await drain.run()
        finally:
            try:
                self._close_doors()
                drain.abort()
                self.app.detach(self)
            finally:
                self._tick.cancel()
                try:
                    await self._stack.aclose()
                finally:
                    self._over.set()
        return drain.cut

    def _close_doors(self) -> None:
        for server in self._servers:
            server.close()
        for one in self._listening:
            one.close()

    async def __aenter__(self) -> Server:
        return await self.start()

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def reload_certificates(self) -> None:
        """Reads the certificate files again, for connections to come. Raises ConfigError, and keeps what it has."""
        if self._tls is not None:
            self._tls.reload()

    def join(self) -> None:
        """Blocks until every function in a thread has come to its end. For the end of a program."""
        if self._pool is not None:
            self._pool.shutdown()

    # --- for connections

    @property
    def full(self) -> bool:
        """The connection that has just come is one too many."""
        return self._present() > self._max_connections

    @property
    def crowded(self) -> bool:
        """There are so many too many that it cannot even be told that it is."""
        return self._present() > self._max_connections + RESERVE // 2

    def _present(self) -> int:
        """Connections, and those that are to become some."""
        return self.stats.connections_open + (0 if self._tls is None else len(self._tls.handshakes))

    def timestamp(self) -> str:
        return pages.timestamp(time.time())

    def left(self, connection: Connection) -> None:
        if self.draining and not self.stats.connections_open:
            self.gone.set()

    # --- Gauges

    def wall(self) -> float:
        return time.time()

    def cpu(self) -> float:
        return time.process_time()

    def running(self) -> int:
        return len(self.dispatch.running)

    def most_streams(self) -> int:
        return self._max_streams

    def memory(self) -> int:
        """Resident bytes of this process; 0 where the system does not tell."""
        try:
            with open("/proc/self/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0

    def pending(self) -> int:
        """Bytes that wait in write buffers."""
        return sum(connection.buffer.size for connection in self.connections() if connection.buffer is not None)

    def check_room(self) -> None:
        open = sum(self.stats.streams_open.values())
        if open >= self._max_streams or self.draining:
            raise RequestRefused(
                503,
                "too_many_streams",
                "Too many event streams" if not self.draining else "The server is stopping",
                saw=open,
                want=f"at most {self._max_streams} at once",
                setting="max_streams (MAX_CONNECTIONS)",
            )

    # --- the tick

    def _sweep(self) -> None:
        now = self.clock()
        table = self.table
        shards = len(table.shards)
        self.stats.loop_lag = lag = max(0.0, now - self._due)
        if self._overload.tick(lag, self.stats.requests):
            self._shed()
        # Late ticks catch up, so that each shard is visited once a second whatever the load.
        visits = 1 + int((now - self._due) * shards)
        self._due = now + 1 / shards if visits > shards else self._due + visits / shards
        self._tick = self.dispatch.loop.call_later(max(0.0, self._due - now), self._sweep)
        for _ in range(min(shards, visits)):
            shard, self._shard = self._shard, (self._shard + 1) % shards
            try:
                table.sweep(shard, now)
            except Exception:  # without ticks nothing would ever time out again
                log.exception("a tick failed")
        if now - self._second >= 1.0:
            self._second = now
            self._set_date()
            self._relieving = self._warned = False
            if self.budget.used > self.budget.limit:
                self._relieve()

    def _exceeded(self) -> None:
        """More bytes are kept than may be: somebody gives way before the next loop turn, or when it can be done."""
        if not self._relieving:
            self._relieving = True
            self.dispatch.loop.call_soon(self._relieve)

    def _relieve(self) -> None:
        self.flush()
        before, used = self._overload.busy, self.budget.used
        if used > self.budget.limit:
            self._overload.relieve(self.table)
            level = logging.DEBUG if self._warned else logging.WARNING
            log.log(level, "more bytes were kept than max_bytes allows: %d, now %d", used, self.budget.used)
            self._warned = True
        self._relieving = self._overload.stuck  # then once a second, by the tick
        if self._overload.busy is not before:
            self._shed()

    def held(self) -> int:
        """Bytes that are kept for clients, as `max_bytes` counts them."""
        return self.budget.used

    def _shed(self) -> None:
        """Nothing new is taken any more, or again."""
        busy = self._overload.busy
        self.endpoint.set_busy(busy)
        if busy is None:
            log.warning("new sessions, streams and calls are taken again")
        else:
            log.warning("no new sessions, streams and calls: %s (setting %s)", busy.message.lower(), busy.setting)

    def _set_date(self) -> None:
        self.heads.date(formatdate(usegmt=True).encode())
        stats, table = self.stats, self.table
        stats.sessions_open = table.count
        stats.sessions_opened = table.opened
        for reason, number in table.ended.items():
            stats.sessions_ended[reason.value] = number

    # --- Publisher

    def publish(self, method: str, params: dict[str, Any] | None) -> None:
        """Sends a notification to every session and listener that may receive it. Safe from any thread."""
        message = _framing.notification(jsonrpc.encode(method), None if params is None else jsonrpc.encode(params))
        if params is None:
            message = _framing.notification(jsonrpc.encode(method), b"{}")
        uri = params.get("uri") if params is not None and method == "notifications/resources/updated" else None
        self._spread(Event(method, message, uri, CHANGED if method.endswith(COLLAPSING) else NOTICE))

    def broadcast(self, event: str, data: dict[str, Any]) -> None:
        """Sends a typed event to the plain event streams of `GET /mcp`. Safe from any thread."""
        self._spread(Broadcast(event, data))

    def _spread(self, event: Event) -> None:
        if self._tick is None:  # nobody can have come yet
            return
        if threading.get_ident() != self.dispatch.thread:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left
                self.dispatch.loop.call_soon_threadsafe(self._spread, event)
            return
        self._spreading.append((event, 0))
        if len(self._spreading) == 1:
            self._spread_on()

    def _spread_on(self) -> None:
        """Shard by shard; the loop breathes when enough streams were reached in this turn."""
        budget = self.config.fanout
        shards = self.table.shards
        while self._spreading and budget > 0:
            event, shard = self._spreading[0]
            receivers: list[Audience] = list(shards[shard].audience)
            for receiver in receivers:
                try:
                    receiver.offer(event)
                except Exception:
                    log.exception("an event could not be sent")
            budget -= len(receivers)
            if shard + 1 < len(shards):
                self._spreading[0] = (event, shard + 1)
            else:
                self._spreading.popleft()
        if self._spreading:
            self.dispatch.loop.call_soon(self._spread_on)


async def _serve(server: Server, started: Callable[[Server], None] | None) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    starting = asyncio.current_task()

    def on_signal(number: int) -> None:
        if told.is_set():
            os._exit(128 + number)
        told.set()
        if starting is not None:
            starting.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, on_signal, number)

    def on_hangup() -> None:
        try:
            server.reload_certificates()
            log.info("certificates were read again")
        except ConfigError as error:
            log.error("the certificates stay as they are: %s", error)

    if server.config.tls_cert is not None:
        with contextlib.suppress(NotImplementedError, AttributeError):
            loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        await server.start()
    except asyncio.CancelledError:
        if told.is_set():
            log.info("told to stop before it had started")
            return 0
        raise
    starting = None
    gc.collect()
    gc.freeze()
    if started is not None:
        started(server)
    await told.wait()
    cut = await server.stop()
    gc.unfreeze()
    return min(cut, MOST_CUT)


@contextlib.contextmanager
def _signals_given_back() -> Iterator[None]:
    """Of a loop that is closed, uvloop leaves the handlers behind, and asyncio Python's own."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:  # one that was not set from Python stays as it is
                signal.signal(number, handler)


def loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop that the setting `loop` names; None is asyncio's own."""
    if config.loop == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if config.loop == "uvloop":
            raise ConfigError(
                "loop is 'uvloop', but uvloop is not installed; pip install uvloop, or use asyncio"
            ) from None
        return None
    return uvloop.new_event_loop


def run(app: Servable, config: Config | None = None, *, started: Callable[[Server], None] | None = None) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code: how many calls were cut, at most 125.

    A second signal ends the process at once, with 128 + its number. There is no way to end a thread: a function that
    goes on although its call was cut is not waited for, the process ends with its exit code without returning from
    here. Raises ConfigError when the address cannot be used.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "run() waits for signals, which only the main thread gets; elsewhere: async with Server(...)"
        )
    config = config or Config()
    server = Server(app, config)
    with _signals_given_back(), asyncio.Runner(loop_factory=loop_factory(config)) as runner:
        code = runner.run(_serve(server, started))
        # From here on Python waits for every task and every thread.
        last = threading.Timer(FAREWELL, _leave, (code,))
        last.daemon = True
        last.start()
    server.join()
    last.cancel()
    return code


def _leave(code: int) -> None:
    """Ends the process although functions still run."""
    log.info("functions that do not end are left behind")
    with contextlib.suppress(Exception):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
