"""From rows to figures: the ratio of each pair, its median and range; whether something disturbed a measurement.

A pair is two servers in the same round at the same setting. Medians are of the ratios, never a ratio of medians. The
targets are those of design §4. Called by the report and by the quick scripts; pure.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.suites import Row

GENERATOR_LIMIT = 0.95  # a generator busier than this was the bottleneck
DISTURBED = 0.10  # others used more than this share of the server's core


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some figures, and how many there were."""

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Target:
    """A promise: `subject` ÷ `base` in every named setting is at most `limit` (or at least, with `at_least`)."""

    label: str
    suite: str
    subject: str
    base: str
    limit: float | None
    aim: float | None = None
    settings: tuple[str, ...] = ()  # empty: all that were measured
    figure: str = "cpu_us"
    at_least: bool = False

    def met(self, ratio: float) -> bool | None:
        if self.limit is None:
            return None
        return ratio >= self.limit if self.at_least else ratio <= self.limit


_CALLS = ("16 connections", "64 connections")
_PAIRS = ("16 sessions", "64 sessions")


def _async(version: str, limit: float) -> Target:
    label = f"async tool that does not suspend ÷ floor, Python {version}"
    return Target(label, "calls-async", f"fastsse-{version}", f"uvloop-{version}", limit, None, _CALLS)


def _memory(path: str, wire: str) -> Target:
    label = f"memory per idle stream on {path} ÷ bare uvloop"
    return Target(label, "idle", f"fastsse-{wire}", "uvloop-streams-events", 3, 2, figure="kb_per_stream")


def _peer(title: str, name: str, least: float | None) -> Iterator[Target]:
    for where, suite in (("in a session", "calls-session"), ("stateless revision", "calls-stateless")):
        label = f"{title} ÷ fastsse, server CPU per call, {where}"
        yield Target(label, suite, name, "fastsse", least, None, _CALLS, at_least=True)


def _hosted(title: str, name: str) -> Target:
    """The SDK's own share, about 115 µs of a call, is in both; no wire can get below that."""
    label = f"a server of the {title} on uvicorn ÷ the same on fastsse"
    return Target(label, "hosted", name, f"{name}-hosted", None, 3, _CALLS, at_least=True)


TARGETS = (
    Target("`tools/call`, inline, JSON, in a session ÷ floor", "calls-session", "fastsse", "uvloop", 1.5, 1.3, _CALLS),
    Target("the same, stateless revision ÷ floor", "calls-stateless", "fastsse", "uvloop", 1.7, 1.4, _CALLS),
    _async("3.11", 1.8),
    _async("3.12", 1.6),
    _async("3.13", 1.6),
    _async("3.14", 1.6),
    Target("call over the HTTP+SSE pair ÷ floor", "calls-pair", "fastsse", "uvloop", 2.6, 2.2, _PAIRS),
    Target("fan-out per event, without ids ÷ bare uvloop", "fan-out", "fastsse-plain", "uvloop-streams", 1.25),
    Target("fan-out per event, ids and ring ÷ bare uvloop", "fan-out", "fastsse-ids", "uvloop-streams", 1.5),
    _memory("/sse", "sse"),
    _memory("/mcp", "session"),
    Target("CPU per call beside idle streams ÷ without", "beside-idle", "with", "without", 1.1),
    _hosted("Python SDK", "python-sdk"),
    _hosted("FastMCP", "fastmcp"),
    *_peer("Python SDK", "python-sdk", 30),
    *_peer("FastMCP", "fastmcp", 30),
    *_peer("TypeScript SDK", "typescript", 30),
    *_peer("Go SDK", "go", None),
    *_peer("rmcp", "rmcp", None),
)


def settings_of(rows: Iterable[Row]) -> list[str]:
    """The settings in the order in which they were measured."""
    return list(dict.fromkeys(row.setting for row in rows))


def servers_of(rows: Iterable[Row]) -> dict[str, str]:
    """Server → title, in the order in which they were measured first."""
    return {row.server: row.title for row in rows}


def spread(rows: Iterable[Row], setting: str, server: str, figure: str) -> Spread | None:
    values = [r.figures[figure] for r in rows if (r.setting, r.server) == (setting, server) and figure in r.figures]
    return Spread.of(values) if values else None


def ratios(rows: Iterable[Row], setting: str, subject: str, base: str, figure: str) -> list[float]:
    """subject ÷ base, one ratio per round in which both were measured.

    A peer's memory is measured in the first round only, and is divided by the base's of that round.
    """
    by_round: dict[int, dict[str, float]] = {}
    for row in rows:
        if row.setting == setting and row.server in (subject, base) and figure in row.figures:
            by_round.setdefault(row.round, {})[row.server] = row.figures[figure]
    return [pair[subject] / pair[base] for pair in by_round.values() if len(pair) == 2 and pair[base] > 0]


def limited(rows: Iterable[Row]) -> list[str]:
    """Which servers, at which settings, were faster than the load generator in most rounds."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if "load_busy" in row.figures:
            found.setdefault(f"{row.title} ({row.setting})", []).append(row.figures["load_busy"])
    return [what for what, busy in found.items() if statistics.median(busy) > GENERATOR_LIMIT]


def disturbed(rows: Iterable[Row]) -> tuple[int, int]:
    """In how many measurements others used the server's core, and how many there were."""
    shares = [row.figures["foreign"] for row in rows if "foreign" in row.figures]
    return sum(share > DISTURBED for share in shares), len(shares)
