"""What one server has counted since it started: plain integers, dictionaries and histograms, no library.

Floor 4 adds to the attributes directly; `pages` reads them for `/metrics`. An ordinary call costs two additions and one
`observe`: `requests`, the response's class, and the method's histogram, whose total is the number of calls (so a plain
success needs no counter of its own). Keys are our own words (routes, methods, eras, reasons), never what a peer sent:
the number of series is bounded. Not safe from threads: everything here belongs to the loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Final

from fastsse._framing import TOOLS_CALL
from fastsse.errors import CloseReason

BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,  # ours, for tools that compute
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,  # OpenTelemetry's for MCP
)  # fmt: skip
"""Upper bounds in seconds, inclusive."""
_bounds = BOUNDS

LIFETIMES: Final = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,  # OpenTelemetry's for MCP
    900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0,  # streams are open for as long as somebody looks at a screen
)  # fmt: skip
"""The same for what lasts."""

ERAS: Final = ("httpsse", "streamable", "stateless", "events")
"""Kinds of event streams; "events" is the plain stream of `GET /mcp`."""

ROUTES: Final = ("/mcp", "/sse", "/message", "/health", "/ready", "/sessions", "/docs", "/metrics", "other")
"""`/messages/` counts as `/message`, preflights count for the route that they ask about."""

METHODS: Final = (
    "initialize", "ping", "server/discover", "tools/list", "tools/call", "resources/list", "resources/templates/list",
    "resources/read", "resources/subscribe", "resources/unsubscribe", "prompts/list", "prompts/get",
    "completion/complete", "logging/setLevel", "subscriptions/listen", "other",
)  # fmt: skip
"""Each has its row in `Stats.methods`; what a client invents counts as "other"."""


class Histogram:
    """How often a duration fell at or below each of `BOUNDS` (and above the last), and their sum in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        place = 0
        for bound in _bounds:  # most calls fall into the first: quicker than bisecting
            if seconds <= bound:
                break
            place += 1
        self.counts[place] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)


class Lifetimes:
    """How often something lasted so long: a `Histogram` with `LIFETIMES` as its bounds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(LIFETIMES) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(LIFETIMES, seconds)] += 1
        self.sum += seconds


class Calls:
    """The answered requests of one method: `seconds` has those that a handler answered, `ruled` is how many the rules
    answered themselves; the others say what of all these went wrong.

    `errors`: answered with a JSON-RPC error; `tool_errors`: a tool result with `isError`; `cancelled`: given up by the
    client, so that nothing was answered. At most one of the three per call.
    """

    __slots__ = ("cancelled", "errors", "ruled", "seconds", "tool_errors")

    def __init__(self) -> None:
        self.seconds = Histogram()
        self.ruled = 0
        self.errors = 0
        self.tool_errors = 0
        self.cancelled = 0

    @property
    def count(self) -> int:
        return self.seconds.count + self.ruled

    @property
    def results(self) -> int:
        """Calls that went well."""
        return self.count - self.errors - self.tool_errors - self.cancelled


class Stats:
    """Counters only grow; those named `…_open` and `loop_lag` are gauges.

    `started_at`: Unix time in seconds. `requests`: complete request heads. `responses`: route to a list by status
    class, `responses["/mcp"][2] += 1`. `refused`: slug of `RequestRefused` to number. `closed`: connections by reason.
    `events`: SSE events written. `dropped`, `coalesced`: events that gave way under backpressure, by message class.
    `streams_lasted`, `sessions_lasted`: by era, by revision. `loop_lag`: seconds the last tick came late.
    """

    __slots__ = (
        "_calls",
        "_tools",
        "closed",
        "coalesced",
        "connections_open",
        "connections_opened",
        "dropped",
        "events",
        "loop_lag",
        "methods",
        "refused",
        "requests",
        "responses",
        "sessions_ended",
        "sessions_lasted",
        "sessions_open",
        "sessions_opened",
        "started_at",
        "streams_lasted",
        "streams_open",
        "streams_opened",
    )  # fmt: skip

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.requests = 0
        self.responses = {route: [0] * 6 for route in ROUTES}
        self._calls = self.responses["/mcp"]  # nearly all of them
        self.methods = {method: Calls() for method in METHODS}
        self._tools = self.methods[TOOLS_CALL]
        self.refused: defaultdict[str, int] = defaultdict(int)
        self.connections_opened = 0
        self.connections_open = 0
        self.closed: dict[CloseReason, int] = dict.fromkeys(CloseReason, 0)
        self.streams_opened = dict.fromkeys(ERAS, 0)
        self.streams_open = dict.fromkeys(ERAS, 0)
        self.streams_lasted = {era: Lifetimes() for era in ERAS}
        self.sessions_opened = 0
        self.sessions_open = 0
        self.sessions_ended: defaultdict[str, int] = defaultdict(int)
        self.sessions_lasted: defaultdict[str, Lifetimes] = defaultdict(Lifetimes)
        self.events = 0
        self.dropped: defaultdict[str, int] = defaultdict(int)
        self.coalesced: defaultdict[str, int] = defaultdict(int)
        self.loop_lag = 0.0

    def calls(self, method: str) -> Calls:
        """The row of a method; of "other" for one that is not in `METHODS`."""
        return self._tools if method is TOOLS_CALL else self.methods.get(method) or self.methods["other"]

    def ruled(self, method: str, failed: bool) -> None:
        """Counts one request that the rules answered themselves."""
        calls = self.calls(method)
        calls.ruled += 1
        if failed:
            calls.errors += 1

    def responded(self, route: str, status: int) -> None:
        """Counts one response head of that route with that HTTP status."""
        (self.responses.get(route) or self.responses["other"])[status // 100] += 1

    def answered(self, status: int) -> None:
        """`responded` for a call on its own connection."""
        self._calls[status // 100] += 1
