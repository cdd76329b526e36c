"""How often somebody may: a rate limit by GCRA, the generic cell rate algorithm (ITU-T I.371).

Keeps one number for each key, the time from which on its bucket is full again, for a bounded number of keys; a key that
is forgotten has a full bucket. Every question costs the same, however many there are. Knows no clock: time comes in as
an argument. Called by `admission`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

BURST = 10.0
"""Seconds' worth that may come at once: a client that starts asks for a lot, and is quiet afterwards."""

KEYS = 65_536
"""Keys that one table remembers: 8 MiB at most. One that was not used for long is forgotten first."""


class Rate:
    """At most `rate` per second for each key, `burst` seconds' worth of them at once."""

    __slots__ = ("burst", "full", "interval", "keys")

    def __init__(self, rate: float, burst: float = BURST, keys: int = KEYS) -> None:
        self.interval = 1.0 / rate
        self.burst = max(burst, self.interval)  # one is always possible
        self.keys = keys
        self.full: OrderedDict[Hashable, float] = OrderedDict()  # key → when its bucket is full; last used last

    def take(self, key: Hashable, now: float, count: int = 1) -> float:
        """0.0: `count` of them may come now, and are counted. Otherwise the seconds until they may."""
        full = self.full
        before = max(full.get(key, now), now)
        after = before + min(count * self.interval, self.burst)  # a large batch takes the whole bucket
        wait = after - self.burst - now
        if wait > 1e-6:  # less is what the numbers themselves are off by
            return wait
        full[key] = after
        full.move_to_end(key)
        for _ in range(2):  # more than comes in goes out
            first, when = next(iter(full.items()))
            if when > now and len(full) <= self.keys:
                break
            del full[first]
            if not full:
                break
        return 0.0
