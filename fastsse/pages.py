"""What people and machines look at beside MCP: health, ready, sessions. (`docs` and `metrics` have their own rooms.)

Pure functions from plain arguments to the bytes of a body; `endpoint` calls them and adds status and content type.
Times, memory and gauges come in as arguments (law 2). Keys are those of both guides (design §1), so that the guides'
monitoring finds what it looks for; whatever is ours comes after theirs. Refuses nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastsse.revisions import REVISIONS

if TYPE_CHECKING:
    from collections.abc import Iterable


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
