"""Session: what a client of the handshake revisions has with us, on `/sse` or on `/mcp`.

Lifecycle (the clocks are `Clocks`, from config; design §3):

    state     leaves it by                                                  to
    NEW       the first message that is accepted                            LIVE
    NEW       `init` seconds without one                                    ENDED
    LIVE      a stream is attached: no clock runs                           LIVE
    LIVE      `/sse` stream lost, then `lost` seconds of silence            ENDED
    LIVE      standing GET lost, then `stream_lost` seconds of silence      ENDED
    LIVE      never had a stream, `idle` seconds of silence                 ENDED
    any       DELETE, shutdown, or it gives way in a full table             ENDED

Kept here: negotiated revision and capabilities, the principal, log level, subscriptions, the streams, and
the requests in flight both ways. Knows no socket and no clock; `shards.Table` is its only maker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, Protocol

from fastsse.errors import CloseReason
from fastsse.principal import Principal
from fastsse.revisions import NEWEST_HANDSHAKE, Revision
from fastsse.stream import Event, EventStream, RingLimits

log = logging.getLogger("fastsse.session")

NEW, LIVE, ENDED = 0, 1, 2

LEVELS = {
    level: rank
    for rank, level in enumerate(("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"))
}
"""Log levels by severity (RFC 5424, MCP server/utilities/logging)."""

GRACE = 5.0
"""Seconds in which a new client says its second word, however busy its machine is; measured: below 1 s."""

ENDED_STREAMS = 16
"""Finished POST streams that one session keeps for clients that missed the end; twice a browser's six connections, and
some."""


class Clocks:
    """Seconds; see the table above."""

    __slots__ = ("idle", "init", "lost", "stream_lost")

    def __init__(self, init: float, lost: float, stream_lost: float, idle: float) -> None:
        self.init = init
        self.lost = lost
        self.stream_lost = stream_lost
        self.idle = idle


def covers(wanted: Collection[str] | None, uri: str) -> bool:
    """Whether `uri` is subscribed to, or belongs to a resource that is (server/resources, subscriptions)."""
    if not wanted:
        return False
    if uri in wanted:
        return True
    for parent in wanted:  # noqa: SIM110  a generator would keep its callers from being compiled tightly
        if uri.startswith(parent.rstrip("/") + "/"):
            return True
    return False


class Running(Protocol):
    """A call in flight, as its session sees it."""

    def cancel(self, reason: str) -> None: ...


class Kept(Protocol):
    """What a guest keeps for one session."""

    def ended(self) -> None:
        """The session is over."""
        ...


class Session:
    """One session. `id` is the text the client repeats; `pair` says that it lives on `/sse`."""

    __slots__ = (
        "asked", "calls", "capabilities", "clocks", "created", "id", "kept", "log_level", "lost_at", "next_ask",
        "next_stream", "pair", "place", "principal", "ready", "revision", "ring", "state", "stream", "streams",
        "subscriptions", "table", "touched", "undeclared",
    )  # fmt: skip

    def __init__(
        self, table: SessionEnds, id: bytes, place: int, pair: bool, clocks: Clocks, ring: RingLimits, now: float
    ) -> None:
        self.table = table
        self.id = id
        self.place = place
        self.pair = pair
        self.clocks = clocks
        self.ring = ring
        self.created = now
        self.touched = now
        self.lost_at = 0.0  # when the stream was lost; 0 while it is attached or never was
        self.state = NEW
        self.ready = False  # the client has said notifications/initialized, or sent a request after initialize
        self.revision: Revision = NEWEST_HANDSHAKE
        self.capabilities: dict[str, Any] | None = None
        self.principal: Principal | None = None
        self.kept: Kept | None = None  # what a guest keeps for it
        self.log_level = LEVELS["info"]
        self.subscriptions: set[str] | None = None
        self.undeclared: frozenset[str] | None = None  # notifications that the handshake did not promise
        self.calls: dict[bytes, Running] | None = None
        self.asked: dict[int, Callable[[bytes | None, bytes | None], None]] | None = None
        self.next_ask = 0
        self.next_stream = 0
        self.stream: EventStream | None = None  # the /sse stream, or the standing GET of /mcp
        self.streams: dict[int, EventStream] | None = None  # POST streams of /mcp that can be resumed

    # --- life

    def accept(self, now: float) -> None:
        """A message of this session was taken."""
        self.touched = now
        if self.state == NEW:
            self.state = LIVE
            self.table.used(self)

    def admits(self, principal: Principal | None) -> bool:
        """Whether it belongs to this principal. What proves it may be new, and then counts if it lasts longer."""
        mine = self.principal
        if mine is None or principal is None or mine.key != principal.key:
            return False
        if principal.expires > mine.expires:
            self.principal = principal
        return True

    def expires(self) -> float:
        """When the clock ends it, if nothing happens before; infinity while a stream is attached."""
        if self.stream is not None and self.stream.buffer is not None:
            return float("inf")
        if self.calls:
            return float("inf")
        clocks = self.clocks
        if self.state == NEW and not self.lost_at:
            return self.touched + clocks.init
        if self.lost_at:
            return max(self.lost_at, self.touched) + (clocks.lost if self.pair else clocks.stream_lost)
        return self.touched + clocks.idle

    def yields(self, now: float) -> bool:
        """Whether it may give way in a full table."""
        if not self.alone:
            return False
        if self.lost_at:
            return True
        return now - self.touched >= (GRACE if self.state == NEW else self.clocks.lost)

    def sweep(self, now: float) -> bool:
        """Once a second: True when its clock has run out."""
        if now >= self.expires():
            return True
        if self.stream is not None:
            self.stream.sweep(now)
        if self.streams:
            for number in [n for n, stream in self.streams.items() if stream.ended and self._stale(stream, now)]:
                del self.streams[number]
        return False

    def _stale(self, stream: EventStream, now: float) -> bool:
        if not stream.mark_time:
            stream.mark_time = now
        stream.sweep(now)
        return not stream.ring

    def stream_lost(self, stream: EventStream, now: float) -> None:
        """Called by a stream whose connection is gone."""
        if stream is self.stream and self.state != ENDED:
            self.lost_at = now
            self.table.lost(self)

    def end(self, reason: CloseReason) -> None:
        """Ends everything that belongs to the session; called by the table only."""
        self.state = ENDED
        for stream in (self.stream, *(self.streams or {}).values()):
            if stream is not None:
                stream.end(reason)
                stream.forget()
        for call in list((self.calls or {}).values()):
            call.cancel(reason.value)
        for answer in list((self.asked or {}).values()):
            answer(None, None)
        if self.kept is not None:
            try:
                self.kept.ended()
            except Exception:  # the guest's own: it keeps nobody else from ending
                log.exception("what a guest keeps for a session could not be ended")
        self.calls = self.asked = self.streams = self.subscriptions = self.kept = None

    # --- streams

    def open_stream(self) -> EventStream:
        """A stream for one POST, with ids that no other stream of this session has."""
        self.next_stream += 1
        number = self.next_stream
        stream = EventStream(b"%d-" % number, self.ring, self)
        if self.streams is None:
            self.streams = {}
        finished = [n for n, other in self.streams.items() if other.ended and other.buffer is None]
        if len(finished) >= ENDED_STREAMS:
            read = [n for n in finished if self.streams[n].read]
            self.streams.pop((read or finished)[0]).forget()
        self.streams[number] = stream
        return stream

    def standing(self) -> EventStream:
        """The stream of GET /mcp; made when first needed."""
        if self.stream is None:
            self.stream = EventStream(b"0-", self.ring, self)
        return self.stream

    def attached(self) -> None:
        """The session's own stream has a reader (again)."""
        self.lost_at = 0.0
        self.table.found(self)

    def resume_point(self, event_id: bytes) -> tuple[EventStream, int] | None:
        """The stream that an event id names, and the event's number in it; None for an id that says nothing here."""
        number, dash, seq = event_id.partition(b"-")
        if not dash or not number.isdigit() or not seq.isdigit() or len(event_id) > 40:
            return None
        stream = self.stream if int(number) == 0 else (self.streams or {}).get(int(number))
        return None if stream is None else (stream, int(seq))

    @property
    def full(self) -> bool:
        """Replies that nobody reads fill a ring: no further work is taken."""
        if self.stream is not None and self.stream.full():
            return True
        return self.streams is not None and any(stream.full() for stream in self.streams.values())

    @property
    def weight(self) -> int:
        """Bytes that it keeps for its client to come back."""
        own = 0 if self.stream is None else self.stream.ring_bytes
        return own + sum(stream.ring_bytes for stream in (self.streams or {}).values())

    @property
    def alone(self) -> bool:
        """Nobody reads its stream, and no call runs: nothing but its clock keeps it."""
        return not self.calls and (self.stream is None or self.stream.buffer is None)

    def slim(self) -> None:
        """Keeps only what its client cannot do without: there is no room in the process."""
        for stream in (self.stream, *(self.streams or {}).values()):
            if stream is not None:
                stream.slim()

    # --- speaking first

    def offer(self, event: Event) -> None:
        """Sends a notification that is meant for everybody, if this session may receive it."""
        stream = self.stream
        if stream is None or not self.ready or not event.method:
            return
        if event.uri is not None and not covers(self.subscriptions, event.uri):
            return
        if self.undeclared is not None and event.method in self.undeclared:
            return
        stream.send(event.frame, event.kind, event.key)

    def ask(self, answer: Callable[[bytes | None, bytes | None], None]) -> int:
        """Registers a request to the client; returns its id. `answer(result, error)` is called once: with raw
        JSON, or with (None, None) when the session ends first."""
        self.next_ask += 1
        if self.asked is None:
            self.asked = {}
        self.asked[self.next_ask] = answer
        return self.next_ask

    def forget(self, id: int) -> None:
        """The answer to this request is no longer wanted."""
        if self.asked is not None:
            self.asked.pop(id, None)

    def answered(self, id: bytes, result: bytes | None, error: bytes | None) -> bool:
        """The client's response to one of our requests. False when we wait for none with that id."""
        if self.asked is None or not id.isdigit() or len(id) > 18:
            return False
        answer = self.asked.pop(int(id), None)
        if answer is None:
            return False
        answer(result, error)
        return True


class SessionEnds(Protocol):
    """The table, as a session sees it."""

    def used(self, session: Session) -> None: ...

    def lost(self, session: Session) -> None: ...

    def found(self, session: Session) -> None: ...
