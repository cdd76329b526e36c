"""When there is too much to do: notices it, and says that nothing new is to be taken (admission control).

The event loop is overloaded when several ticks in a row come late by more than `shed_lag`, and each time more than one
request was served in between: one slow function on the loop is no load, and refusing others would not make it faster.
It ends with the first tick that is late by less than half of that. What runs goes on: replies, notifications, streams.
Knows no clock. Called by the server's tick.
"""

from __future__ import annotations

from fastsse.admission import Busy
from fastsse.config import Config

LATE = 3
"""Ticks in a row that have to be late: one is a stopped machine, or a garbage collection."""


class Overload:
    """`busy`: why nothing new is taken at the moment, if so."""

    __slots__ = ("busy", "lagging", "late", "requests", "shed_lag")

    def __init__(self, config: Config) -> None:
        self.shed_lag = config.shed_lag
        want = f"an event loop less than {self.shed_lag:g} s late"
        self.lagging = Busy("overloaded", "The server has too much to do", want, "shed_lag")
        self.late = 0
        self.requests = 0
        self.busy: Busy | None = None

    def tick(self, lag: float, requests: int) -> bool:
        """A tick came `lag` seconds late, after so many requests in all; True when `busy` has changed."""
        served, self.requests = requests - self.requests, requests
        before = self.busy
        if self.shed_lag and lag > self.shed_lag and (served > 1 or before is not None):
            self.late += 1
            if self.late >= LATE:
                self.busy = self.lagging
        elif before is None or lag <= self.shed_lag / 2:
            self.late = 0
            self.busy = None
        return self.busy is not before
