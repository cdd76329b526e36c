"""Frames that wait for one connection, and what becomes of them when it does not read.

An `EventStream` pushes, the connection takes everything once per loop turn. Backpressure is by message
class and acts only on what still waits here (design §3): replies are never dropped, waiting progress for
one token keeps the newest, repeats of a change collapse, log messages are thinned out and counted. Past
its byte limit a buffer refuses: its reader is a slow consumer. A message is always admitted to an empty
buffer, whatever its size. Knows neither sockets nor time.
"""

from __future__ import annotations

from collections.abc import Awaitable

from fastsse.budget import Budget
from fastsse.errors import CloseReason

REPLY, NOTICE, PROGRESS, CHANGED, LOG = 0, 1, 2, 3, 4
"""Message classes. NOTICE: requests to the client and every notification without a rule of its own."""

CLASS_NAMES = ("reply", "notice", "progress", "changed", "log")

LOGS_WAITING = 32
"""Log messages that may wait in one buffer before further ones are left out; a screenful, as in dmesg."""


class Outlet:
    """The connection behind a buffer."""

    __slots__ = ()

    def wake(self) -> None:
        """Something waits; take it in this loop turn."""
        raise NotImplementedError

    def room(self) -> Awaitable[None] | None:
        """None when there is room for more, or what to wait for."""
        raise NotImplementedError


class WriteBuffer:
    """Frames in order. `paused` is set by the connection while its transport is above its high water."""

    __slots__ = (
        "budget",
        "ending",
        "frames",
        "holes",
        "limit",
        "logs",
        "lost",
        "outlet",
        "overflowed",
        "paused",
        "places",
        "size",
    )

    def __init__(self, outlet: Outlet, limit: int, budget: Budget) -> None:
        self.outlet = outlet
        self.limit = limit
        self.budget = budget
        self.frames: list[bytes] = []
        self.size = 0
        self.paused = False
        self.overflowed = False
        self.ending: CloseReason | None = None
        self.places: dict[object, int] | None = None  # key of a waiting progress or change → index in frames
        self.holes = 0  # emptied places in frames
        self.logs = 0
        self.lost = 0  # frames that came when it was full

    def refuses(self) -> bool:
        """Nothing more is admitted: it is ending, or was too slow."""
        return self.ending is not None or self.overflowed

    def push(self, frame: bytes, kind: int = NOTICE, key: object = None) -> None:
        """Admits a frame; it may take away an older one with the same key. Sets `overflowed` past the limit."""
        if self.ending is not None or self.overflowed:
            self.lost += 1
            return
        if self.paused and kind >= PROGRESS and not self._admit(frame, kind, key):
            return
        size = len(frame)
        if self.size and self.size + size > self.limit:
            self.overflowed = True
            self.lost += 1
            self.outlet.wake()
            return
        if not self.frames:
            self.outlet.wake()
        self.frames.append(frame)
        self.size += size
        budget = self.budget
        budget.used += size
        if budget.used > budget.limit:
            budget.exceeded()

    def _admit(self, frame: bytes, kind: int, key: object) -> bool:
        """For a reader that is behind: False when the frame is left out."""
        if kind == LOG:
            self.logs += 1
            if self.logs > LOGS_WAITING:
                self.budget.stats.dropped[CLASS_NAMES[kind]] += 1
                return False
            return True
        if key is None:
            return True
        if self.places is None:
            self.places = {}
        place = self.places.get((kind, key))
        if place is not None:
            # The newest goes to the end, not into the old place: a client resumes from the last id it has seen.
            size = len(self.frames[place])
            self.size -= size
            self.budget.used -= size
            self.frames[place] = b""
            self.holes += 1
            self.budget.stats.coalesced[CLASS_NAMES[kind]] += 1
            if self.holes * 2 > len(self.frames):
                self._close_up()
        self.places[(kind, key)] = len(self.frames)
        return True

    def _close_up(self) -> None:
        """Removes emptied places, so that frames never grow by what was left out."""
        moved: dict[int, int] = {}
        for place, frame in enumerate(self.frames):
            if frame:
                moved[place] = len(moved)
        assert self.places is not None
        self.places = {key: moved[place] for key, place in self.places.items() if place in moved}
        self.frames = [frame for frame in self.frames if frame]
        self.holes = 0

    def take(self) -> list[bytes]:
        """Everything that waits, in order; the buffer is empty afterwards."""
        frames, self.frames = self.frames, []
        self.budget.used -= self.size
        self.size = 0
        if self.places is not None or self.logs:
            self.places = None
            self.logs = 0
        if self.holes:
            self.holes = 0
            return [frame for frame in frames if frame]
        return frames

    def discard(self) -> int:
        """Nobody will take what waits; how many frames were never taken. Admits nothing afterwards."""
        self.overflowed = True
        return len(self.take()) + self.lost

    def end(self, reason: CloseReason) -> None:
        """Nothing comes after what waits now; the connection ends the response when that is written."""
        if self.ending is None:
            self.ending = reason
            self.outlet.wake()
