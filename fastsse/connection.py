"""Connection: the asyncio protocol of one client. Bytes in, decisions performed, one write per loop turn.

The only place that performs what the rules decide (law 4), and it knows no method and no header of MCP. One
request at a time: what is pipelined waits, bounded. Reading stays on while a call runs, so that a close is
seen. Lifecycle: HEAD → BODY → CALLING → HEAD …, or → STREAMING → HEAD or CLOSED. Its clock is one number,
`deadline`; the shard's tick calls `tick` when that has passed. A peer that goes away is an event: one debug
line, nothing is left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastsse import _framing
from fastsse.decision import Authenticate, Batch, Call, Decision, Listen, Reply
from fastsse.departure import Departure
from fastsse.errors import INTERNAL_ERROR, CloseReason, McpError, RequestRefused
from fastsse.http11 import Requests
from fastsse.responses import CONTINUE, JSON, Heads
from fastsse.stream import EventStream
from fastsse.writebuffer import Outlet, WriteBuffer

if TYPE_CHECKING:
    from fastsse.authenticator import Authenticator
    from fastsse.config import Config
    from fastsse.context import Context
    from fastsse.dispatch import Dispatch
    from fastsse.endpoint import Endpoint
    from fastsse.principal import Principal
    from fastsse.shards import Shard, Table
    from fastsse.stats import Stats

log = logging.getLogger("fastsse.connection")

HEAD, BODY, CALLING, STREAMING, CLOSING, CLOSED = range(6)
NEVER = float("inf")
GO_ON, LAST, GO_ON_10 = 0, 1, 2
PING = _framing.comment(b"ping")
EVENTS = b"text/event-stream"
ENDINGS = {
    "slow_head": CloseReason.SLOW_HEAD,
    "slow_body": CloseReason.SLOW_BODY,
    "internal": CloseReason.FAILED,
}  # of connections that a refusal ends, by its reason; others: REFUSED
CUT = (CloseReason.SLOW_CONSUMER, CloseReason.STALLED, CloseReason.OVERLOAD, CloseReason.EXPIRED)
AT_ONCE = 16
"""Connections that are written to at once when a request has led to that."""
JOINED = 16384
"""Bytes from which on answers to pipelined requests are no longer joined into one write."""
HIGH_WATER = 1
"""Bytes in the transport from which on it is full: what the kernel does not take waits with us, where it is counted and
where message classes matter. Not 0: asyncio's TLS would find that full always."""
PAGE = 4096
"""Bytes of a request up to which what is around it costs more than it does itself."""
LINGER = 2.0
"""Seconds that a refused peer may go on sending before it is cut: nginx lingering_timeout 5 s, shortened."""


class Home:
    """What all connections of one server share; `Server` is one. `clock()` gives monotonic seconds."""

    __slots__ = (
        "_dirty", "around", "authenticator", "body_timeout", "budget", "clock", "config", "departures", "dispatch",
        "draining", "endpoint", "head_timeout", "heads", "keep_alive", "ping", "plain", "serving", "sse_after", "stats",
        "table",
    )  # fmt: skip

    authenticator: Authenticator
    dispatch: Dispatch
    endpoint: Endpoint

    def __init__(self, config: Config, table: Table, stats: Stats, clock: Callable[[], float]) -> None:
        self.config = config
        self.table = table
        self.stats = stats
        self.budget = table.ring.budget
        self.clock = clock
        self.heads = Heads()
        self.around = contextvars.copy_context()
        self._dirty: list[Connection] = []
        self.draining = False
        self.serving = False  # a connection is serving what it has received
        self.departures = logging.INFO if config.log_connections else logging.DEBUG
        self.plain = config.http == "auto"
        self.head_timeout = config.head_timeout
        self.body_timeout = config.body_timeout
        self.keep_alive = config.keep_alive
        self.sse_after = config.sse_after
        self.ping = config.ping

    def connections(self) -> list[Connection]:
        """Those that are open."""
        return [member for shard in self.table.shards for member in shard.members]  # type: ignore[misc]

    @property
    def full(self) -> bool:
        """The connection that has just come is one too many."""
        raise NotImplementedError

    @property
    def crowded(self) -> bool:
        """There are so many too many that it cannot even be told that it is."""
        raise NotImplementedError

    def wall(self) -> float:
        """Unix time."""
        raise NotImplementedError

    def timestamp(self) -> str:
        """Wall-clock time as ISO 8601."""
        raise NotImplementedError

    def wake(self, connection: Connection) -> None:
        """This connection has something to write at the end of the loop turn."""
        if not self._dirty and not self.serving:
            self.dispatch.loop.call_soon(self.flush)
        self._dirty.append(connection)

    def settle(self, now: float) -> None:
        """What one request has led to leaves with its answer, and costs no further turn; much of it waits for that."""
        if len(self._dirty) <= AT_ONCE:
            self.flush(now)
        else:
            self.dispatch.loop.call_soon(self.flush)

    def flush(self, now: float | None = None) -> None:
        """Writes what waits, at once."""
        dirty, self._dirty = self._dirty, []
        at = self.clock() if now is None else now
        for connection in dirty:
            try:
                connection.flush(at)
            except Exception:  # one that is broken keeps nothing from the others
                log.exception("a connection could not be written to")
                connection.close(CloseReason.FAILED)

    def left(self, connection: Connection) -> None:
        """This connection is gone."""
        raise NotImplementedError


class Connection(Outlet):
    """Duck-typed asyncio.Protocol."""

    __slots__ = (
        "asking", "buffer", "call", "charged", "deadline", "departure", "dirty", "ending", "era", "events", "head",
        "held", "home", "listen", "local", "made", "opened", "out", "paused", "persistence", "phase", "requests",
        "served", "shard", "since", "stalled", "stream", "transport", "waiter", "written",
    )  # fmt: skip

    def __init__(self, home: Home) -> None:
        self.home = home
        self.transport: Any = None
        self.shard: Shard = home.table.join(self)
        self.requests = Requests(home.config.max_head, home.config.max_body, home.plain)
        self.phase = HEAD
        self.made = 0.0
        self.served = 0  # requests
        self.events = 0
        self.era = ""  # of the event stream that was opened last
        self.departure: Departure | None = None
        self.ending = CloseReason.ANSWERED  # why it ends, once no further request is taken
        self.deadline = NEVER
        self.local = False
        self.paused = False
        self.dirty = False
        self.held = False  # reading is paused because too much is pipelined
        self.persistence = GO_ON
        self.since = NEVER  # when the head on its way began, the call, or the last heartbeat was
        self.opened = 0.0  # when the event stream was
        self.written = 0.0  # last write on an event stream
        self.stalled = 0  # bytes the transport held when it was last looked at while paused
        self.charged = 0  # bytes held for this peer, without those in the buffer, that the budget knows of
        self.out: bytes | None = None  # collects answers while data_received runs
        self.head: _framing.Head | None = None
        self.asking: asyncio.Task[None] | None = None
        self.call: Context | None = None
        self.stream: EventStream | None = None
        self.buffer: WriteBuffer | None = None
        self.listen: Listen | None = None
        self.waiter: asyncio.Future[None] | None = None

    # --- lifecycle

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        home = self.home
        stats = home.stats
        stats.connections_opened += 1
        stats.connections_open += 1
        peer = transport.get_extra_info("peername")
        self.local = not peer or str(peer[0]).startswith(("127.", "::1", "::ffff:127."))
        self.made = home.clock()
        self.deadline = self.made + home.head_timeout
        if home.full and home.crowded:
            self.close(CloseReason.REFUSED)
            transport.abort()
        elif home.full:
            self._refuse(
                RequestRefused(
                    503,
                    "too_many_connections",
                    "Too many connections",
                    saw=stats.connections_open,
                    want="fewer at once",
                    setting="ulimit -n",
                )
            )

    def address(self) -> str:
        """The peer's IP address; "" where there is none."""
        peer = None if self.transport is None else self.transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def certificate(self) -> dict[str, Any] | None:
        """What the peer's TLS certificate says, as `ssl.SSLSocket.getpeercert` has it; None without one."""
        return None if self.transport is None else self.transport.get_extra_info("peercert") or None

    def connection_lost(self, error: Exception | None) -> None:
        """Always the last call; nothing is left behind after it."""
        home = self.home
        if self.phase != CLOSED:
            self._depart(self.ending if self.phase == CLOSING else CloseReason.CLIENT_CLOSED)
            self.phase = CLOSED
            self._release()
        if self.departure is not None:
            self.departure.tell(self, home.clock())
            self.departure = None
        self.deadline = NEVER
        self.transport = self.head = None
        self.requests.drop()
        self._charge(0)
        self._wake_waiter()
        self.shard.members.discard(self)
        home.stats.connections_open -= 1
        home.left(self)

    def close(self, reason: CloseReason) -> None:
        """Ends the connection. What the transport still holds is sent as long as the peer goes on taking it."""
        if self.phase == CLOSED:
            return
        home = self.home
        self._depart(reason)
        self.phase = CLOSED
        self._release(reason in CUT)
        self.deadline = home.clock() + home.config.stall_timeout
        self.requests.drop()
        if self.transport is not None:
            self.stalled = self.transport.get_write_buffer_size()
            self.transport.close()
        self._weigh()

    def _depart(self, reason: CloseReason) -> None:
        home = self.home
        home.stats.closed[reason] += 1
        if log.isEnabledFor(home.departures):
            head = self.head
            client = None
            if head is not None and home.endpoint.proxies is not None:
                client = home.endpoint.client(head, self).address()
            self.departure = Departure(reason, home.departures, client)

    def wind_up(self) -> None:
        """The server stops: what this connection is at is its last, and without a request it ends now."""
        self.persistence = LAST
        if self.phase == HEAD and not self.requests.begun:
            self.close(CloseReason.SHUTDOWN)

    def _wake_waiter(self) -> None:
        if self.waiter is not None:
            if not self.waiter.done():
                self.waiter.set_result(None)
            self.waiter = None

    def _release(self, cut: bool = False) -> None:
        """Ends what the current answer holds: stream and call. `cut`: because the peer does not take it."""
        stream, buffer, listen, call = self.stream, self.buffer, self.listen, self.call
        self.stream = self.buffer = self.listen = self.call = None
        self._wake_waiter()
        if stream is not None and buffer is not None:
            stats = self.home.stats
            now = self.home.clock()
            stats.streams_open[self.era] -= 1
            stats.streams_lasted[self.era].observe(now - self.opened)
            stream.detach(buffer, now)
            unsent = buffer.discard()
            if cut and unsent and stream.limits is None:  # nobody can come back for them
                stats.dropped["unsent"] += unsent
        if listen is not None and listen.audience is not None:
            self.shard.audience.discard(listen.audience)
        if call is not None:
            call._line = None
            if call._call.era.modern:
                call.cancel(CloseReason.CLIENT_CLOSED.value)
        if self.asking is not None:
            self.asking.cancel()
            self.asking = None

    # --- incoming

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase >= CLOSING:
            return
        requests = self.requests
        requests.receive(data)
        if phase > BODY:
            if requests.waiting > self.home.config.max_pipelined:
                self._hold()
            self._weigh()
        elif self.paused:
            self._hold()
            self._weigh()
        else:
            self._advance(_framing.seconds(self.home.clock))

    def _hold(self) -> None:
        """Reads no more for now: what has arrived has to be served, or its answers taken, first."""
        self.held = True
        self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends no more. It may still read: the answer of a call that does not end with it is finished."""
        self.requests.at_eof()
        if self.phase == CALLING and not (self.call is not None and self.call._call.era.modern):
            self.persistence = LAST
            return bool(self.transport.can_write_eof())  # TLS cannot be closed by half
        if self.phase <= BODY and not self.requests.idle():
            self._advance(self.home.clock())
        return False

    def _advance(self, now: float) -> None:
        """Serves what has arrived, and writes what that has led to on other connections."""
        home = self.home
        if home.serving:
            self._serve(now)
            return
        home.serving = True
        try:
            self._serve(now)
        finally:
            home.serving = False
            if home._dirty:
                home.settle(now)

    def _serve(self, now: float) -> None:
        """Takes requests until bytes are missing or an answer is pending; then writes once (so often as to notice in
        time that nobody takes the answers)."""
        self.out = b""
        while self.phase <= BODY and not self.paused:
            try:
                if not self._step(now):
                    break
            except RequestRefused as refused:
                self._refuse(refused)
            except McpError as wrong:
                assert self.head is not None
                self._reply(self.home.endpoint.broken(wrong, self.head), now)
            except Exception:
                log.exception("a request failed")
                self.persistence = LAST
                if self.phase == STREAMING:  # no place for an answer
                    self.ending = CloseReason.FAILED
                    self._finish()
                else:
                    self._refuse(RequestRefused(500, "internal", "Internal error", code=INTERNAL_ERROR))
            if len(self.out) >= JOINED and self.transport is not None:
                out, self.out = self.out, b""
                self.transport.write(out)
        out, self.out = self.out, None
        if out and self.transport is not None:
            self.transport.write(out)
            if self.paused:
                self._weigh()
        if self.phase == CLOSING:
            self._shut()

    def _step(self, now: float) -> bool:
        """One request, or one half of it; False when bytes are missing."""
        home = self.home
        requests = self.requests
        if self.phase == HEAD:
            if requests.idle():
                return False
            head = requests.head()
            if head is None:
                if requests.begun:
                    if self.since == NEVER:
                        self.since = now
                        self.deadline = now + home.head_timeout
                    self._weigh()
                return False
            self.head = head
            home.stats.requests += 1
            self.served += 1
            self.persistence = (GO_ON if head.minor else GO_ON_10) if head.keep_alive and not home.draining else LAST
            self.phase = BODY
            decision = home.endpoint.head(head, self, now)
            if decision is not None:
                if type(decision) is not Authenticate and requests.body() is None:
                    self.persistence = LAST
                self._perform(decision, now)
                return True
            if head.expect_continue and requests.body() is None:
                self._write(CONTINUE)
            self.deadline = now + home.body_timeout
        body = requests.body()
        if body is None:
            self._weigh()
            return False
        assert self.head is not None
        self._perform(home.endpoint.body(self.head, body, self, now), now)
        return True

    @property
    def arriving(self) -> bool:
        """A body is on its way here, or it is being found out who asks."""
        return (self.phase == BODY and not self.paused) or self.asking is not None

    # --- decisions

    def _perform(self, decision: Decision, now: float) -> None:
        if type(decision) is Reply:
            self._reply(decision, now)
        elif type(decision) is Call:
            self._run(decision, now)
        elif type(decision) is Listen:
            self._listen(decision, now)
        elif type(decision) is Batch:
            self._batch(decision, now)
        else:
            assert isinstance(decision, Authenticate)
            self._authenticate(decision, now)

    def _reply(self, reply: Reply, now: float) -> None:
        head = self.head
        home = self.home
        extra = reply.extra
        if head is not None and head.origin is not None:
            extra = home.endpoint.extra(head) + extra
        if reply.close:
            self.persistence = LAST
        if reply.reason is not None:
            home.stats.refused[reply.reason] += 1
            if self.persistence == LAST:
                self.ending = ENDINGS.get(reply.reason, CloseReason.REFUSED)
        if reply.constant and extra is reply.extra and not self.persistence:
            if reply.dated is not home.heads.ok:
                reply.dated = home.heads.ok
                reply.whole = _framing.response(home.heads.of(reply.status, reply.type, extra, GO_ON), reply.body)
            self._write(reply.whole)
        else:
            lines = home.heads.of(reply.status, reply.type, extra, self.persistence)
            if head is not None and head.method == b"HEAD":
                self._write(lines + b"%d\r\n\r\n" % len(reply.body))
            else:
                self._write(_framing.response(lines, reply.body))
        home.stats.responded(home.endpoint.route(head), reply.status)
        self._answered(now)

    def _answered(self, now: float) -> None:
        """The answer is written: on to the next request, or towards the end."""
        self.call = None
        if self.persistence == LAST:
            self._finish()
            return
        self.phase = HEAD
        self.requests.done()
        if self.charged:
            self._weigh()
        self.head = None
        self.since = NEVER
        if not self.paused:
            self.deadline = now + self.home.keep_alive

    def _run(self, call: Call, now: float) -> None:
        home = self.home
        accepted = call.accepted
        if accepted is not None:
            stream = call.stream
            assert stream is not None
            body = home.dispatch.run(call, None, now)
            if body is not None:
                home.dispatch.deliver(call, body)
            self._reply(accepted, now)
            return
        self.phase = CALLING
        self.since = now
        self.deadline = now + home.sse_after if call.sse else NEVER
        body = home.dispatch.run(call, self, now)
        if body is not None and self.phase == CALLING:
            self._finish_call(call, body, _framing.seconds(home.clock))  # it may have taken its time

    def _finish_call(self, call: Call, body: bytes, now: float) -> None:
        type = JSON
        if call.sse_first and call.status == 200:
            body, type = _framing.event(body, b"message"), EVENTS
        home = self.home
        head = self.head
        extra = call.extra if head is None or head.origin is None else home.endpoint.extra(head) + call.extra
        self._write(_framing.response(home.heads.of(call.status, type, extra, self.persistence), body))
        home.stats.answered(call.status)
        self._answered(now)

    def _batch(self, batch: Batch, now: float) -> None:
        self.phase = CALLING
        self.since = now
        self.deadline = NEVER
        self._weigh()
        gathering = _Gathering(self, batch.replies, len(batch.calls))
        for call in batch.calls:
            body = self.home.dispatch.run(call, gathering, now)
            if body is not None:
                gathering.answer(call, body)
        gathering.complete()

    def _listen(self, listen: Listen, now: float) -> None:
        home = self.home
        head = self.head
        assert head is not None
        self.listen = listen
        if listen.audience is not None:
            self.shard.audience.add(listen.audience)
        extra = (home.endpoint.extra(head) if head.origin is not None else b"") + listen.extra
        self._open(listen.stream, listen.era, extra, listen.opening, listen.after, now)
        if listen.heartbeat is not None:
            self.since = now
            self.deadline = min(self.deadline, now + home.config.heartbeat)
        if listen.expires() != NEVER:
            self.deadline = min(self.deadline, now + max(0.0, listen.expires() - home.wall()))

    def _open(
        self, stream: EventStream, era: str, extra: bytes, opening: list[bytes], after: int | None, now: float
    ) -> None:
        """Writes the head of an event stream and its first frames, and attaches the stream."""
        home = self.home
        head = self.head
        assert head is not None
        if not head.minor:
            self.persistence = LAST
        stats = home.stats
        stats.streams_opened[era] += 1
        stats.streams_open[era] += 1
        self.era = era
        self.opened = now
        stats.responded(home.endpoint.route(head), 200)
        self._weigh_large()
        self.phase = STREAMING
        self.stream = stream
        buffer = self.buffer = WriteBuffer(self, home.config.buffer_max, home.budget)
        buffer.paused = self.paused
        stream.attach(buffer, after)
        frames = opening + (buffer.take() if not self.paused else [])
        stats.events += len(frames)
        self.events += len(frames)
        self.written = now
        if not self.paused:
            self.deadline = now + home.ping
        first = home.heads.stream(extra, bool(head.minor))
        self._write(first + (self._frame(frames) if frames else b""))

    def _frame(self, frames: list[bytes]) -> bytes:
        head = self.head
        return _framing.chunk(frames) if head is None or head.minor else _framing.join(frames)

    def _refuse(self, refused: RequestRefused) -> None:
        """Answers a refusal; the connection goes on only when the request was read to its end."""
        try:
            complete = self.head is not None and self.requests.body() is not None
        except RequestRefused:
            complete = False
        if not complete:
            self.persistence = LAST
            self.requests.drop()
            self._weigh()
        self._reply(self.home.endpoint.refusal(refused, self.head, self.local), self.home.clock())

    # --- for calls (context.Line)

    def pending(self, context: Context) -> None:
        self.call = context
        self._weigh_large()

    def begin_stream(self, stream: EventStream, extra: bytes) -> None:
        """The answer becomes an event stream."""
        head = self.head
        assert head is not None
        home = self.home
        if head.origin is not None:
            extra = home.endpoint.extra(head) + extra
        self._open(stream, "streamable", extra, [], None, home.clock())

    def answer(self, call: Call, body: bytes) -> None:
        """The pending call's response, as a plain answer."""
        if self.phase != CALLING:
            return
        self._finish_call(call, body, self.home.clock())
        if self.out is None and self.phase == HEAD:
            self._resume()

    def hang_up(self) -> None:
        self.close(CloseReason.ANSWERED)

    def room(self) -> asyncio.Future[None] | None:
        buffer = self.buffer
        if self.transport is None or buffer is None or not (self.paused or buffer.size > self.home.config.buffer_high):
            return None
        if self.waiter is None:
            self.waiter = self.home.dispatch.loop.create_future()
        return self.waiter

    # --- who asks

    def _authenticate(self, asked: Authenticate, now: float) -> None:
        """The request waits, and what comes behind it."""
        self.phase = CALLING
        self.since = now
        self.deadline = NEVER
        self._weigh_large()
        self.asking = self.home.authenticator.begin(asked, self)

    def authenticated(self, asked: Authenticate, principal: Principal | None, refused: RequestRefused | None) -> None:
        """It is known who asks, or it cannot be: the request goes on."""
        head = self.head
        self.asking = None
        if self.phase != CALLING or head is None:
            return
        home = self.home
        now = home.clock()
        self.phase = BODY
        self.since = NEVER
        try:
            if refused is not None:
                raise refused
            decision = home.endpoint.recognised(asked, principal, head, self, now)
            complete = self.requests.body() is not None
            if decision is None:
                if head.expect_continue and not complete:
                    self._write(CONTINUE)
                self.deadline = now + home.body_timeout
            else:
                if not complete and type(decision) is not Authenticate:
                    self.persistence = LAST
                self._perform(decision, now)
        except RequestRefused as no:
            self._refuse(no)
        except Exception:
            log.exception("a request failed")
            self.persistence = LAST
            self._refuse(RequestRefused(500, "internal", "Internal error", code=INTERNAL_ERROR))
        if self.phase <= BODY and not self.paused and self.transport is not None:
            if self.held:
                self.held = False
                self.transport.resume_reading()
            self._advance_apart(now)

    # --- outgoing

    def _write(self, data: bytes) -> None:
        if self.out is not None:
            self.out = self.out + data if self.out else data
        elif self.transport is not None:
            self.transport.write(data)
            if self.paused:
                self._weigh()

    def wake(self) -> None:
        """Something waits in the buffer: it leaves at the end of this loop turn."""
        if not self.dirty:
            self.dirty = True
            self.home.wake(self)

    def flush(self, now: float) -> None:
        """Writes what waits, in one piece."""
        self.dirty = False
        buffer = self.buffer
        if buffer is None or self.transport is None:
            return
        if buffer.overflowed:
            self.close(CloseReason.SLOW_CONSUMER)
            return
        if buffer.paused:
            return
        frames = buffer.take()
        data = self._frame(frames) if frames else b""
        if buffer.ending is not None and self.head is not None and self.head.minor:
            data += _framing.LAST_CHUNK
        self.home.stats.events += len(frames)
        self.events += len(frames)
        self.written = now
        if data:
            self.transport.write(data)
        if self.waiter is not None and not self.paused:  # paused: resume_writing does it
            self._wake_waiter()
        if buffer.ending is not None:
            self._end_stream(buffer.ending)

    def _end_stream(self, reason: CloseReason) -> None:
        """The event stream is over; the connection may go on."""
        call = self.call
        self.call = None
        if call is not None:
            call._line = None
        self._release()
        if reason is not CloseReason.ANSWERED:
            self.persistence = LAST
        if self.persistence == LAST:
            self.ending = reason
            self._finish()
            return
        self._answered(self.home.clock())
        self._resume()

    def _resume(self) -> None:
        """Reads on, first what was pipelined."""
        if self.held and not self.paused and self.transport is not None:
            self.held = False
            self.transport.resume_reading()
        if self.requests.begun:
            self._advance_apart(self.home.clock())

    def _advance_apart(self, now: float) -> None:
        """Serves the next request, which is not to see the variables of the call that made it wait."""
        self.home.around.copy().run(self._advance, now)

    def _finish(self) -> None:
        """The last answer is written (or is about to be): no further request is taken."""
        self.phase = CLOSING
        self._release()
        if self.out is None:
            self._shut()

    def _shut(self) -> None:
        """Closes, gently when the peer is still sending: a reset could take our answer away before it is read."""
        try:
            sending = self.head is None or self.requests.body() is None or self.requests.waiting > 0
        except RequestRefused:
            sending = True
        transport = self.transport
        if sending and transport is not None and transport.can_write_eof():
            try:
                transport.write_eof()
                self.deadline = self.home.clock() + LINGER
                return
            except OSError:  # asyncio's own transports say so when the peer is gone already
                pass
        self.close(self.ending)

    # --- flow control

    def pause_writing(self) -> None:
        self.paused = True
        self.stalled = self.transport.get_write_buffer_size()
        if self.buffer is not None:
            self.buffer.paused = True
        self.deadline = self.home.clock() + self.home.config.stall_timeout
        self._weigh()

    def resume_writing(self) -> None:
        self.paused = False
        self._weigh()
        if self.phase >= CLOSING:
            return
        now = self.home.clock()
        self._wake_waiter()
        if self.buffer is not None:
            self.buffer.paused = False
            self.deadline = now  # the next tick finds out what is due
            self.flush(now)
        elif self.phase == CALLING:
            self.deadline = self.since + self.home.sse_after
        else:
            home = self.home
            begun = home.body_timeout if self.phase == BODY else home.head_timeout
            self.deadline = now + (begun if self.phase == BODY or self.since != NEVER else home.keep_alive)
            if self.held:
                self.held = False
                self.transport.resume_reading()
            self._advance(now)

    # --- what is kept for the peer

    def _weigh(self) -> None:
        """Tells the budget what is held: of requests that are not answered, and of answers that are not taken."""
        held = self.requests.held()
        if self.paused and self.transport is not None:
            held += self.transport.get_write_buffer_size()
        self._charge(held)

    def _weigh_large(self) -> None:
        """For what is about to wait: an ordinary request is not worth counting."""
        if self.requests.held() > PAGE:
            self._weigh()

    def _charge(self, held: int) -> None:
        budget = self.home.budget
        budget.used += held - self.charged
        self.charged = held
        if budget.used > budget.limit:
            budget.exceeded()

    @property
    def weight(self) -> int:
        """Bytes that are held for this peer."""
        return self.charged if self.buffer is None else self.charged + self.buffer.size

    def give_way(self, refused: RequestRefused) -> None:
        """The server keeps too many bytes, and most of them for this peer. A call that runs is finished: to close its
        connection would free nothing."""
        transport = self.transport
        if self.paused or (self.listen is not None and self.charged):
            self.close(CloseReason.OVERLOAD)
            if transport is not None:
                transport.abort()
            self._charge(0)
        elif self.phase <= BODY:
            self._refuse(refused)

    # --- clock

    def tick(self, now: float) -> None:
        """The deadline has passed."""
        phase = self.phase
        if phase == CLOSED:
            self.deadline = NEVER
            if self.transport is not None and self._stalls(now):
                self.transport.abort()
        elif self.paused:
            if self.listen is not None and self.listen.expires() <= self.home.wall():
                self.close(CloseReason.EXPIRED)
            elif self._stalls(now):
                self.close(CloseReason.STALLED)
                self.transport.abort()
        elif phase == STREAMING:
            self._quiet(now)
        elif phase == CALLING:
            self.deadline = NEVER
            if self.call is not None and self.call.open_stream() and self.buffer is not None:
                self.buffer.push(PING)
        elif phase == CLOSING:
            self.close(self.ending)
        elif phase == BODY:
            self._too_slow("slow_body", "The request body did not arrive in time", "body_timeout")
        elif self.since != NEVER:
            self._too_slow("slow_head", "The request head did not arrive in time", "head_timeout")
        else:
            self.close(CloseReason.IDLE)

    def _stalls(self, now: float) -> bool:
        """Whether the peer has taken nothing since this was asked last; if it has, it gets as long again."""
        held = self.transport.get_write_buffer_size()
        if held == self.stalled:
            return True
        self.stalled = held
        self.deadline = now + self.home.config.stall_timeout
        return False

    def _quiet(self, now: float) -> None:
        """On an event stream: a heartbeat that is due, or a comment so that nobody takes silence for death."""
        home = self.home
        config = home.config
        buffer, listen = self.buffer, self.listen
        assert buffer is not None
        left = NEVER if listen is None or listen.expires() == NEVER else listen.expires() - home.wall()
        if listen is not None and left <= 0:
            self.deadline = now + config.ping
            if listen.audience is not None:
                listen.audience.finish(CloseReason.EXPIRED)
            else:
                buffer.end(CloseReason.EXPIRED)
            return
        if listen is not None and listen.heartbeat is not None and now - self.since >= config.heartbeat:
            self.since = now
            buffer.push(listen.heartbeat(home.timestamp()))
        elif now - self.written >= config.ping:
            self.written = now
            if self.transport is not None:
                self.transport.write(self._frame([PING]))
        self.deadline = self.written + config.ping
        if listen is not None and listen.heartbeat is not None:
            self.deadline = min(self.deadline, self.since + config.heartbeat)
        if self.deadline <= now:
            self.deadline = now + config.ping
        self.deadline = min(self.deadline, now + left)

    def _too_slow(self, reason: str, message: str, setting: str) -> None:
        limit = getattr(self.home.config, setting)
        self._refuse(RequestRefused(408, reason, message, want=f"within {limit:g} s", setting=setting))


class _Gathering:
    """Collects the responses of one batch."""

    __slots__ = ("connection", "missing", "replies")

    def __init__(self, connection: Connection, replies: list[bytes], missing: int) -> None:
        self.connection = connection
        self.replies = replies
        self.missing = missing

    def answer(self, call: Call, body: bytes) -> None:
        self.replies.append(body)
        self.missing -= 1
        if self.missing == 0 and self.connection.out is None:
            self.complete()

    def complete(self) -> None:
        connection = self.connection
        if self.missing == 0 and connection.phase == CALLING:
            self.missing = -1  # with its answer the next request may begin
            connection._reply(Reply(200, b"[" + b",".join(self.replies) + b"]"), connection.home.clock())
            if connection.out is None:
                connection._resume()

    def pending(self, context: Context) -> None:
        """Nothing to remember: the batch goes on whatever becomes of its calls."""

    def hang_up(self) -> None:
        self.missing -= 1

    def begin_stream(self, stream: EventStream, extra: bytes) -> None:
        """Never happens: calls of a batch have no event stream."""
