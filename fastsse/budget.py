"""How many bytes wait and are kept in the whole process, for all its clients together; and what gave way to bound them.

One counter that everybody shares who keeps bytes for a client: write buffers, replay rings, connections (requests that
have not arrived whole or are being answered, answers that the peer does not take) and calls in flight on `/sse`. They
add to `used` what they keep and take it away again, and call `exceeded` above `limit`. Small requests that arrive whole
and are answered at once are never counted. Above `tight` rings keep an eighth. `overload` decides who gives way.
"""

from __future__ import annotations

from collections.abc import Callable

from fastsse.stats import Stats


def _nothing() -> None: ...


class Budget:
    """`used` of `limit` bytes; above that `exceeded()` is called. `stats` counts what is left out."""

    __slots__ = ("exceeded", "limit", "stats", "tight", "used")

    def __init__(self, limit: int, stats: Stats) -> None:
        self.limit = limit
        self.tight = limit - limit // 4
        self.used = 0
        self.stats = stats
        self.exceeded: Callable[[], None] = _nothing
