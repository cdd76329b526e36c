"""When there is too much to do or to keep: notices it, lets somebody give way, says that nothing new is to be taken.

The event loop is overloaded when several ticks in a row come late by more than `shed_lag`, and each time more than one
request was served in between: one slow function on the loop is no load, and refusing others would not make it faster.
It ends with the first tick that is late by less than half of that. When the byte budget of the process is used up, who
holds most gives way first, as in Redis (maxmemory-clients), so that those who hold little are served: what rings keep
for clients that might come back, requests that are still arriving, readers that do not read, and in the end sessions
whose client is gone. Knows no clock. Called by the server.
"""

from __future__ import annotations

from fastsse.admission import Busy
from fastsse.budget import Budget
from fastsse.config import Config
from fastsse.errors import CloseReason
from fastsse.session import Session
from fastsse.shards import Member, Table

LATE = 3
"""Ticks in a row that have to be late: one is a stopped machine, or a garbage collection."""


def weight(member: Member | Session) -> int:
    return member.weight


class Overload:
    """`busy`: why nothing new is taken at the moment, if so."""

    __slots__ = ("budget", "full", "lagging", "lags", "late", "requests", "shed_lag", "stuck")

    def __init__(self, config: Config, budget: Budget) -> None:
        self.budget = budget
        self.shed_lag = config.shed_lag
        want = f"an event loop less than {self.shed_lag:g} s late"
        self.lagging = Busy("overloaded", "The server has too much to do", want, "shed_lag")
        want = f"at most {budget.limit} bytes in the whole process"
        self.full = Busy("memory", "The server keeps too many bytes for its clients", want, "max_bytes")
        self.late = 0
        self.requests = 0
        self.lags = False
        self.stuck = False  # too many bytes are kept, and nobody can give way

    @property
    def busy(self) -> Busy | None:
        return self.lagging if self.lags else self.full if self.stuck else None

    def tick(self, lag: float, requests: int) -> bool:
        """A tick came `lag` seconds late, after so many requests in all; True when `busy` has changed."""
        served, self.requests = requests - self.requests, requests
        before = self.busy
        if self.shed_lag and lag > self.shed_lag and (served > 1 or self.lags):
            self.late += 1
            if self.late >= LATE:
                self.lags = True
        elif not self.lags or lag <= self.shed_lag / 2:
            self.late = 0
            self.lags = False
        self.stuck = self.stuck and self.budget.used > self.budget.tight
        return self.busy is not before

    def relieve(self, table: Table) -> None:
        """More is kept than `max_bytes`: lets go of a quarter of it. Rings pay first or connections, whichever hold
        more in all, and of those the largest first."""
        sessions = [one for shard in table.shards for one in shard.slots if one is not None and one.weight]
        members = [one for shard in table.shards for one in shard.members if one.weight]
        sessions.sort(key=weight, reverse=True)
        members.sort(key=weight, reverse=True)
        rings_first = sum(map(weight, sessions)) >= sum(map(weight, members))
        if rings_first:
            self._slim(sessions)
        for member in members:
            if self.budget.used <= self.budget.tight:
                return
            member.give_way(self.full.refusal())
        if not rings_first:
            self._slim(sessions)
        for session in sessions:  # what is left are replies that nobody has read
            if self.budget.used <= self.budget.tight:
                return
            if session.alone:
                table.end(session, CloseReason.OVERLOAD)
        self.stuck = self.budget.used > self.budget.limit

    def _slim(self, sessions: list[Session]) -> None:
        for session in sessions:
            if self.budget.used <= self.budget.tight:
                return
            session.slim()
