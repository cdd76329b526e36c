"""What `GET /metrics` says: Prometheus text exposition 0.0.4, or guide C's JSON.

Pure functions from `Stats` and the server's gauges to the bytes of a body; `endpoint` calls them. How long a stream or
a session lasted is in histograms of their own, never in the duration of a call: that one has OpenTelemetry's name for
MCP servers (`mcp.server.operation.duration`, GenAI conventions) and its bounds, with finer ones below 10 ms. Label
values are our own words, so the number of series is bounded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from fastsse.stats import BOUNDS, LIFETIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastsse.stats import Stats

OPERATION = "mcp_server_operation_duration_seconds"
SESSION = "mcp_server_session_duration_seconds"
STREAM = "fastsse_stream_duration_seconds"


class Gauges(Protocol):
    """What is measured when somebody looks, and only the server knows."""

    def wall(self) -> float:
        """Unix time."""
        ...

    def memory(self) -> int:
        """Resident bytes."""
        ...

    def cpu(self) -> float:
        """Seconds of processor time that the process has used."""
        ...

    def pending(self) -> int:
        """Bytes that wait for slow consumers."""
        ...

    def held(self) -> int:
        """All bytes that are kept for clients."""
        ...

    def running(self) -> int:
        """Calls that run: on the loop or in threads."""
        ...

    def most_streams(self) -> int:
        """Event streams that there may be at once."""
        ...


def as_json(stats: Stats, gauges: Gauges) -> bytes:
    """Guide C's metrics, then ours. `uptime` in whole seconds, `memory_usage` in bytes."""
    body = {
        "active_connections": stats.connections_open,
        "total_requests": stats.requests,
        "uptime": max(0, int(gauges.wall() - stats.started_at)),
        "memory_usage": gauges.memory(),
        "active_sessions": stats.sessions_open,
        "active_streams": stats.streams_open,
        "total_calls": sum(calls.count for calls in stats.methods.values()),
        "total_errors": sum(calls.errors for calls in stats.methods.values()),
        "total_events": stats.events,
        "loop_lag": stats.loop_lag,
    }
    return json.dumps(body, separators=(",", ":")).encode()


# -- Prometheus text exposition 0.0.4 ---------------------------------------------------------------------------------


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _by(label: str, numbers: Mapping[str, int]) -> list[tuple[Mapping[str, str], float]]:
    return [({label: key}, number) for key, number in numbers.items()]


class _Text:
    """The text as it grows, family by family."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def many(self, name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        self.lines.append(f"# HELP {name} {about}")
        self.lines.append(f"# TYPE {name} {kind}")
        self.lines.extend(f"{name}{_labels(labels)} {value}" for labels, value in samples)

    def gauge(self, name: str, about: str, value: float) -> None:
        self.many(name, "gauge", about, [({}, value)])

    def counter(self, name: str, about: str, value: float) -> None:
        self.many(name, "counter", about, [({}, value)])

    def gauges(self, name: str, about: str, label: str, numbers: Mapping[str, int]) -> None:
        self.many(name, "gauge", about, _by(label, numbers))

    def counters(self, name: str, about: str, label: str, numbers: Mapping[str, int]) -> None:
        self.many(name, "counter", about, _by(label, numbers))

    def histograms(
        self,
        name: str,
        about: str,
        label: str,
        bounds: Sequence[float],
        found: Mapping[str, tuple[Sequence[int], float]],
    ) -> None:
        """`found`: by the label's value, how many fell into each bucket and above the last, and their sum."""
        self.many(name, "histogram", about, [])
        for value, (counts, total) in found.items():
            so_far = 0
            for bound, number in zip((*map(str, bounds), "+Inf"), counts, strict=True):
                so_far += number
                self.lines.append(f"{name}_bucket{_labels({label: value, 'le': bound})} {so_far}")
            labels = _labels({label: value})
            self.lines.append(f"{name}_sum{labels} {total}")
            self.lines.append(f"{name}_count{labels} {so_far}")


def text(stats: Stats, gauges: Gauges, *, version: str, tools: int, sessions: Mapping[str, int]) -> bytes:
    """The Prometheus text. `tools`: how many are offered; `sessions`: how many are in each state.

    Methods appear with their first request. Time is measured of what a handler answers; what the rules answer
    themselves (initialize, ping, lists) takes microseconds and is counted only.
    """
    say = _Text()
    say.many("fastsse_info", "gauge", "The version that runs.", [({"version": version}, 1)])
    say.gauge("process_start_time_seconds", "Start of the server, Unix time.", float(stats.started_at))
    say.gauge("process_resident_memory_bytes", "Resident memory.", gauges.memory())
    say.counter("process_cpu_seconds_total", "Processor time, in the kernel too.", gauges.cpu())
    say.gauge("fastsse_loop_lag_seconds", "How late the last tick of the event loop came.", stats.loop_lag)
    say.gauge("fastsse_tools", "Tools that are offered.", tools)

    say.counter("fastsse_http_requests_total", "Complete request heads.", stats.requests)
    responses = [
        ({"route": route, "class": f"{kind}xx"}, number)
        for route, numbers in stats.responses.items()
        for kind, number in enumerate(numbers)
        if number
    ]
    say.many("fastsse_http_responses_total", "counter", "Response heads by route and status class.", responses)
    say.counters("fastsse_refused_total", "Refused requests by reason.", "reason", stats.refused)

    say.gauge("fastsse_connections_open", "Open connections.", stats.connections_open)
    say.counter("fastsse_connections_total", "Accepted connections.", stats.connections_opened)
    closed = {reason.value: number for reason, number in stats.closed.items()}
    say.counters("fastsse_connections_closed_total", "Closed connections by reason.", "reason", closed)

    say.gauges("fastsse_streams_open", "Open event streams by era.", "era", stats.streams_open)
    say.gauge("fastsse_streams_limit", "Event streams that there may be at once.", gauges.most_streams())
    say.counters("fastsse_streams_total", "Opened event streams by era.", "era", stats.streams_opened)
    lasted = {era: (one.counts, one.sum) for era, one in stats.streams_lasted.items()}
    say.histograms(STREAM, "How long event streams were open.", "era", LIFETIMES, lasted)
    say.counter("fastsse_events_total", "Events written to streams.", stats.events)
    say.counters("fastsse_events_dropped_total", "Events left out for slow consumers.", "class", stats.dropped)
    say.counters("fastsse_events_coalesced_total", "Events that newer ones replaced.", "class", stats.coalesced)
    say.gauge("fastsse_pending_bytes", "Bytes that wait for slow consumers.", gauges.pending())
    say.gauge("fastsse_held_bytes", "Bytes kept for clients, as max_bytes counts them.", gauges.held())

    say.gauges("fastsse_sessions_open", "Sessions in the table by state.", "state", sessions)
    say.counter("fastsse_sessions_total", "Opened sessions.", stats.sessions_opened)
    say.counters("fastsse_sessions_ended_total", "Ended sessions by reason.", "reason", stats.sessions_ended)
    lasted = {revision: (one.counts, one.sum) for revision, one in stats.sessions_lasted.items()}
    say.histograms(SESSION, "How long sessions lasted.", "mcp_protocol_version", LIFETIMES, lasted)

    used = {method: calls for method, calls in stats.methods.items() if calls.count or method == "tools/call"}
    outcomes = [
        ({"method": method, "outcome": outcome}, number)
        for method, calls in used.items()
        for outcome, number in (
            ("result", calls.results),
            ("tool_error", calls.tool_errors),
            ("error", calls.errors),
            ("cancelled", calls.cancelled),
        )
    ]
    say.gauge("fastsse_calls_running", "Calls that run, on the loop or in threads.", gauges.running())
    say.many("fastsse_calls_total", "counter", "Answered requests by method and outcome.", outcomes)
    seconds = {method: calls.seconds for method, calls in used.items() if calls.seconds.count or method == "tools/call"}
    took = {method: (one.counts, one.sum) for method, one in seconds.items()}
    say.histograms(OPERATION, "From the complete request to its answer.", "mcp_method_name", BOUNDS, took)
    return ("\n".join(say.lines) + "\n").encode()
