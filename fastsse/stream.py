"""EventStream: one sequence of server-sent events, and the connection that reads it at the moment.

A stream outlives its connections: events get ids (WHATWG HTML §9.2), the latest are kept in a ring bounded
by bytes, count and age, and a client that comes back with `Last-Event-ID` gets what it missed, once and in
order. Replies that nobody has read are never evicted; when they fill the ring, `full` says so and the
session takes no further work. Everything here happens between two loop turns, so there is no seam between
replay and live events. Sessions own their streams; streams without ids keep nothing.
"""

from __future__ import annotations

from typing import Protocol

from fastsse import _framing
from fastsse.budget import Budget
from fastsse.errors import CloseReason
from fastsse.writebuffer import CHANGED, CLASS_NAMES, NOTICE, REPLY, WriteBuffer

MESSAGE = b"message"
GONE = (b"", NOTICE)
"""Stands in a ring for what was evicted, until the ring is pushed together."""


class RingLimits:
    """What one ring may hold: bytes, events, and seconds (an event older than two ages is gone); and what all may."""

    __slots__ = ("age", "budget", "bytes", "events")

    def __init__(self, bytes: int, events: int, age: float, budget: Budget) -> None:
        self.bytes = bytes
        self.events = events
        self.age = age
        self.budget = budget


class StreamOwner(Protocol):
    """Who wants to know that a stream has lost its connection."""

    def stream_lost(self, stream: EventStream, now: float) -> None: ...


class Event:
    """A notification for many: encoded once, whoever receives it.

    `method` and `uri` let a receiver decide; `message` is the JSON-RPC notification, `frame` the same as an
    event without id; `key` collapses repeats that wait.
    """

    __slots__ = ("frame", "key", "kind", "message", "method", "uri")

    def __init__(self, method: str, message: bytes, uri: str | None = None, kind: int = NOTICE) -> None:
        self.method = method
        self.uri = uri
        self.message = message
        self.frame = _framing.event(message, MESSAGE)
        self.kind = kind
        self.key = (method, uri) if kind == CHANGED else None


class EventStream:
    """`prefix`: what event ids begin with, b"" for a stream without ids (and without ring)."""

    __slots__ = (
        "buffer",
        "delivered",
        "ended",
        "first",
        "limits",
        "mark_seq",
        "mark_time",
        "owner",
        "prefix",
        "pushed",
        "ring",
        "ring_bytes",
        "seq",
    )

    def __init__(self, prefix: bytes, limits: RingLimits | None, owner: StreamOwner | None = None) -> None:
        self.prefix = prefix
        self.limits = limits
        self.owner = owner
        self.seq = 0
        self.pushed = 0  # events up to this one were given to a buffer
        self.delivered = 0  # events up to this one were handed to a transport
        self.ring: list[tuple[bytes, int]] | None = None  # frames and kinds up to `seq`, none missing from `first` on
        self.first = 0
        self.ring_bytes = 0
        self.mark_seq = 0
        self.mark_time = 0.0
        self.buffer: WriteBuffer | None = None
        self.ended = False

    def full(self) -> bool:
        """Unread replies have filled the ring; what was read since the last event gives way first."""
        if self.limits is None or self.ring_bytes <= self.limits.bytes:
            return False
        self._settle()
        self._trim(self.limits.bytes)
        return self.ring_bytes > self.limits.bytes

    @property
    def read(self) -> bool:
        """Everything that was sent has left, as far as we can know."""
        return self.delivered >= self.seq

    def _settle(self) -> None:
        """What no longer waits here was handed to a transport that takes more: it counts as read."""
        buffer = self.buffer
        if buffer is not None and not buffer.frames and not buffer.paused:
            self.delivered = self.pushed

    def send(self, frame: bytes, kind: int = NOTICE, key: object = None) -> None:
        """Sends one event (a frame without `id:`): numbers it, keeps it, and pushes it to the reader."""
        buffer = self.buffer
        if self.limits is not None:
            if buffer is None and kind != REPLY and self.full():
                self.limits.budget.stats.dropped[CLASS_NAMES[kind]] += 1
                return
            self._settle()
            frame = _framing.numbered(self.prefix, self.seq + 1, frame)
            self._keep(frame, kind)
        if buffer is not None:
            buffer.push(frame, kind, key)
            if not buffer.refuses():
                self.pushed = self.seq

    def prime(self, retry_ms: int) -> None:
        """An event with an id and no data, so that the client can come back to this stream (2025-11-25)."""
        self.send(b"retry: %d\ndata: \n\n" % retry_ms)

    def _keep(self, frame: bytes, kind: int) -> None:
        """Takes it into the ring, and counts it."""
        if self.ring is None:
            self.ring = []
        limits = self.limits
        assert limits is not None
        budget = limits.budget
        self.ring.append((frame, kind))
        self.seq += 1
        self.ring_bytes += len(frame)
        budget.used += len(frame)
        self._trim(limits.bytes if budget.used <= budget.tight else limits.bytes // 8)
        if budget.used > budget.limit:
            budget.exceeded()

    def _trim(self, most: int) -> None:
        """Evicts what is over so many bytes, or so many events, from the oldest on, as far as that is allowed."""
        ring, limits = self.ring, self.limits
        assert ring is not None
        assert limits is not None
        while self.ring_bytes > most or len(ring) - self.first > limits.events:
            if not self._evict_oldest(ring):
                break

    def _evict_oldest(self, ring: list[tuple[bytes, int]]) -> bool:
        frame, kind = ring[self.first]
        if self._oldest() > self.delivered:
            if kind == REPLY:
                return False
            if self.buffer is None or self.buffer.refuses():  # otherwise it waits there, or is about to
                self._miss(kind)
        self._evict(ring, frame)
        return True

    def _evict(self, ring: list[tuple[bytes, int]], frame: bytes) -> None:
        # A deque would do this by itself, and hold 640 bytes more in every session that was answered a few times.
        ring[self.first] = GONE
        self.first += 1
        if self.first * 2 >= len(ring):
            del ring[: self.first]
            self.first = 0
        assert self.limits is not None
        budget = self.limits.budget
        self.ring_bytes -= len(frame)
        budget.used -= len(frame)

    def kept(self) -> list[tuple[bytes, int]]:
        """What is in the ring, frames and kinds, from the oldest on."""
        return [] if self.ring is None else self.ring[self.first :]

    def _oldest(self) -> int:
        """The number of the oldest event in the ring; that of the next one when there is none."""
        return self.seq + 1 - (0 if self.ring is None else len(self.ring) - self.first)

    def _miss(self, kind: int) -> None:
        """Counts an event that went before anybody has read it."""
        assert self.limits is not None
        self.limits.budget.stats.dropped[CLASS_NAMES[kind]] += 1

    def sweep(self, now: float) -> None:
        """Lets go of events that are older than the ring's age; called about once a second."""
        if self.limits is None or not self.ring or now - self.mark_time < self.limits.age:
            return
        self._settle()
        while self.ring and self._oldest() <= self.mark_seq:
            if not self._evict_oldest(self.ring):
                if not self.ended or self.buffer is not None:
                    break
                # Its client has had all this time to come back for the reply, and its other requests wait for it.
                self._miss(REPLY)
                self._evict(self.ring, self.ring[self.first][0])
        self.mark_seq, self.mark_time = self.seq, now

    def slim(self) -> None:
        """Keeps only what may not be evicted: there is no room in the process."""
        if self.ring:
            self._settle()
            self._trim(0)

    def forget(self) -> None:
        """Keeps nothing any more: nobody can come back to it."""
        if self.limits is not None:
            budget = self.limits.budget
            budget.used -= self.ring_bytes
            self.ring_bytes = 0
            self.ring = self.limits = None
            self.first = 0

    def holds(self, after: int) -> bool:
        """Whether everything that came after event number `after` is still here. A client says it: it may be any."""
        return self._oldest() <= after + 1 and 0 <= after <= self.seq

    def attach(self, buffer: WriteBuffer, after: int | None = None) -> None:
        """Gives the stream a reader; an older one is ended. With `after`, replays what followed that event."""
        if self.buffer is not None:
            self.buffer.end(CloseReason.REPLACED)
        self.buffer = buffer
        if after is None:
            self.pushed = self.seq
        else:
            self.pushed = self.delivered = after
            self._replay(buffer, after)
        if self.ended:
            buffer.end(CloseReason.ANSWERED)

    def _replay(self, buffer: WriteBuffer, after: int) -> None:
        for seq, (frame, kind) in enumerate(self.kept(), self._oldest()):
            if seq > after:
                buffer.push(frame, kind)
                if not buffer.refuses():
                    self.pushed = seq

    def detach(self, buffer: WriteBuffer, now: float) -> None:
        """The reader is gone (if it still is this one)."""
        if self.buffer is not buffer:
            return
        self._settle()
        self.buffer = None
        if self.owner is not None:
            self.owner.stream_lost(self, now)

    def pause(self, retry_ms: int) -> None:
        """Ends the connection, not the stream: the client is to come back after that time (SEP-1699)."""
        if self.buffer is not None:
            self.buffer.push(b"retry: %d\n\n" % retry_ms)
            self.buffer.end(CloseReason.ANSWERED)

    def end(self, reason: CloseReason = CloseReason.ANSWERED) -> None:
        """Nothing more will be sent. What is in the ring can still be fetched."""
        self.ended = True
        if self.buffer is not None:
            self.buffer.end(reason)
