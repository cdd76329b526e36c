"""When there is too much to do or to keep: notices it, lets somebody give way, says that nothing new is to be taken.

The event loop is overloaded when several ticks in a row come late by more than `shed_lag`, and each time more than one
request was served in between: one slow function on the loop is no load, and refusing others would not make it faster.
It ends with the first tick that is late by less than half of that. When the byte budget of the process is used up, who
holds most gives way first, as in Redis (maxmemory-clients), so that those who hold little are served: first what rings
keep and nobody waits for, then requests that are still arriving and readers that do not read, then sessions whose
client is gone. Knows no clock. Called by the server.
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
        """More is kept than `max_bytes`: lets go of a quarter of it, the largest first."""
        budget = self.budget
        sessions = sorted(
            (session for shard in table.shards for session in shard.slots if session is not None and session.weight),
            key=weight,
            reverse=True,
        )
        for session in sessions:
            if budget.used <= budget.tight:
                return
            session.slim()
        members = [member for shard in table.shards for member in shard.members if member.weight]
        for member in sorted(members, key=weight, reverse=True):
            if budget.used <= budget.tight:
                return
            member.give_way(self.full.refusal())
        for session in sessions:
            if budget.used <= budget.tight:
                return
            if session.alone:
                table.end(session, CloseReason.OVERLOAD)
        self.stuck = budget.used > budget.limit
