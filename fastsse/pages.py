"""What people and machines look at beside MCP: health, ready, sessions, metrics. (`docs` has its own room.)

Pure functions from plain arguments to the bytes of a body; `endpoint` calls them and adds status and content type.
Times, memory and gauges come in as arguments (law 2). Keys are those of both guides (design §1), so that the guides'
monitoring finds what it looks for; whatever is ours comes after theirs. Refuses nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastsse.revisions import REVISIONS
from fastsse.stats import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastsse.stats import Stats


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def timestamp(now: float) -> str:
    """Unix seconds as the guides write time: `2025-10-11T10:30:00.000Z`."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def health(*, name: str, version: str, tools: int, sessions: int, now: float, mode: str = "sse") -> bytes:
    """JSON with guide N's keys and guide C's. `tools` and `sessions` are numbers, `now` Unix seconds."""
    return _json(
        {
            "status": "healthy",
            "mode": mode,
            "timestamp": timestamp(now),
            "tools": tools,
            "activeSessions": sessions,
            "server": name,
            "version": version,
            "mcp_version": max(REVISIONS),
            "mcp_versions": sorted(REVISIONS),
        }
    )


def ready(draining: bool) -> tuple[int, bytes]:
    """HTTP status and JSON body; 503 tells a load balancer to send nobody new."""
    return (503, _json({"status": "draining"})) if draining else (200, _json({"status": "ready"}))


def sessions(count: int, ids: Iterable[str], full: bool) -> bytes:
    """JSON `{"count", "sessions"}`. Ids are credentials: without `full`, only the 8 digits that name the place in the
    table, which nobody can use. `count` may exceed the number of `ids` when the caller gives only the first of them."""
    return _json({"count": count, "sessions": [id if full else f"{id[:8]}…" for id in ids]})


def metrics_json(stats: Stats, now: float, memory: int) -> bytes:
    """Guide C's metrics. `now` Unix seconds, `memory` resident bytes; `uptime` whole seconds."""
    return _json(
        {
            "active_connections": stats.connections_open,
            "total_requests": stats.requests,
            "uptime": max(0, int(now - stats.started_at)),
            "memory_usage": memory,
            "active_sessions": stats.sessions_open,
            "active_streams": stats.streams_open,
            "total_calls": sum(calls.seconds.count for calls in stats.methods.values()),
            "total_errors": sum(calls.errors for calls in stats.methods.values()),
            "total_events": stats.events,
            "loop_lag": stats.loop_lag,
        }
    )


# -- Prometheus text exposition 0.0.4 ---------------------------------------------------------------------------------


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _family(
    lines: list[str], name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> None:
    lines.append(f"# HELP {name} {about}")
    lines.append(f"# TYPE {name} {kind}")
    lines.extend(f"{name}{_labels(labels)} {value}" for labels, value in samples)


def _by(label: str, numbers: Mapping[str, int]) -> list[tuple[Mapping[str, str], float]]:
    return [({label: key}, number) for key, number in numbers.items()]


def metrics_text(stats: Stats, *, version: str, memory: int, tools: int, pending: int = 0, held: int = 0) -> bytes:
    """The Prometheus text. `memory`: resident bytes; `pending`: bytes that wait for slow consumers; `held`:
    all that are kept for clients.

    A stream's lifetime is in no duration: `mcp_server_operation_duration_seconds` (OpenTelemetry's name and bounds,
    finer below 10 ms) has answered requests alone, and lists the methods that were used.
    """
    lines: list[str] = []
    used = {method: calls for method, calls in stats.methods.items() if calls.seconds.count or method == "tools/call"}

    def one(name: str, kind: str, about: str, value: float) -> None:
        _family(lines, name, kind, about, [({}, value)])

    def many(name: str, kind: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        _family(lines, name, kind, about, samples)

    many("fastsse_info", "gauge", "The version that runs.", [({"version": version}, 1)])
    one("process_start_time_seconds", "gauge", "Start of the server, Unix time.", float(stats.started_at))
    one("process_resident_memory_bytes", "gauge", "Resident memory.", memory)
    one("fastsse_loop_lag_seconds", "gauge", "How late the last tick of the event loop came.", stats.loop_lag)
    one("fastsse_tools", "gauge", "Tools that are offered.", tools)

    one("fastsse_http_requests_total", "counter", "Complete request heads.", stats.requests)
    responses = [
        ({"route": route, "class": f"{kind}xx"}, number)
        for route, numbers in stats.responses.items()
        for kind, number in enumerate(numbers)
        if number
    ]
    many("fastsse_http_responses_total", "counter", "Response heads by route and status class.", responses)
    many("fastsse_refused_total", "counter", "Refused requests by reason.", _by("reason", stats.refused))

    one("fastsse_connections_open", "gauge", "Open connections.", stats.connections_open)
    one("fastsse_connections_total", "counter", "Accepted connections.", stats.connections_opened)
    closed = {reason.value: number for reason, number in stats.closed.items()}
    many("fastsse_connections_closed_total", "counter", "Closed connections by reason.", _by("reason", closed))

    many("fastsse_streams_open", "gauge", "Open event streams by era.", _by("era", stats.streams_open))
    many("fastsse_streams_total", "counter", "Opened event streams by era.", _by("era", stats.streams_opened))
    one("fastsse_events_total", "counter", "Events written to streams.", stats.events)
    many("fastsse_events_dropped_total", "counter", "Events left out for slow consumers.", _by("class", stats.dropped))
    coalesced = _by("class", stats.coalesced)
    many("fastsse_events_coalesced_total", "counter", "Events that newer ones replaced.", coalesced)
    one("fastsse_pending_bytes", "gauge", "Bytes that wait for slow consumers.", pending)

    one("fastsse_held_bytes", "gauge", "Bytes kept for clients, as max_bytes counts them.", held)

    one("fastsse_sessions_open", "gauge", "Sessions in the table.", stats.sessions_open)
    one("fastsse_sessions_total", "counter", "Opened sessions.", stats.sessions_opened)
    many("fastsse_sessions_ended_total", "counter", "Ended sessions by reason.", _by("reason", stats.sessions_ended))

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
    many("fastsse_calls_total", "counter", "Answered requests by method and outcome.", outcomes)

    name = "mcp_server_operation_duration_seconds"
    many(name, "histogram", "From the complete request to its answer.", [])
    for method, calls in used.items():
        total = 0
        for bound, number in zip((*map(str, BOUNDS), "+Inf"), calls.seconds.counts, strict=True):
            total += number
            lines.append(f"{name}_bucket{_labels({'mcp_method_name': method, 'le': bound})} {total}")
        labels = _labels({"mcp_method_name": method})
        lines.append(f"{name}_sum{labels} {calls.seconds.sum}")
        lines.append(f"{name}_count{labels} {total}")
    return ("\n".join(lines) + "\n").encode()
