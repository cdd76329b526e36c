"""Guide C's event stream: `GET /mcp` of somebody who has no session, typically a browser's EventSource.

First `welcome`, then `heartbeat` every 30 s, and typed events that the application broadcasts; each one's
data carry `"type"`, as that guide's clients expect. `?events=heartbeat,notification` filters. Messages of
the protocol never travel here.
"""

from __future__ import annotations

from typing import Any

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import Head
from fastsse.decision import Listen
from fastsse.handler import Catalog
from fastsse.stream import Event, EventStream

ERA = "events"
TYPES = ("welcome", "response", "notification", "error", "heartbeat")


class Broadcast(Event):
    """A typed event for plain streams; sessions never take one."""

    __slots__ = ("type",)

    def __init__(self, type: str, data: dict[str, Any]) -> None:
        super().__init__("", b"", None)
        self.type = type
        self.frame = typed(type, data)


def typed(type: str, data: dict[str, Any]) -> bytes:
    """One event of that type; its data are JSON with `type` first."""
    return _framing.event(jsonrpc.encode({"type": type, **data}), type.encode())


class PlainStream:
    """One such stream: its filter."""

    __slots__ = ("stream", "wanted")

    def __init__(self, stream: EventStream, wanted: frozenset[str] | None) -> None:
        self.stream = stream
        self.wanted = wanted

    def wants(self, type: str) -> bool:
        return self.wanted is None or type in self.wanted

    def offer(self, event: Event) -> None:
        if isinstance(event, Broadcast) and self.wants(event.type):
            self.stream.send(event.frame)

    def finish(self, reason: errors.CloseReason) -> None:
        self.stream.end(reason)

    def heartbeat(self, timestamp: str) -> bytes:
        """The frame that is due every 30 s; a comment when heartbeats are filtered out."""
        return typed("heartbeat", {"timestamp": timestamp}) if self.wants("heartbeat") else _framing.comment(b"ping")


def listen(head: Head, catalog: Catalog, timestamp: str) -> Listen:
    """Opens a plain event stream. Raises RequestRefused 400 for a filter that names unknown types."""
    wanted: frozenset[str] | None = None
    for part in head.query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"events":
            wanted = frozenset(value.decode("latin-1").replace("%2C", ",").replace("%2c", ",").split(","))
            if not all(word.isidentifier() for word in wanted):
                raise errors.RequestRefused(
                    400,
                    "bad_filter",
                    "Bad event filter",
                    saw=value.decode("latin-1")[:80],
                    want=f"?events= with some of {', '.join(TYPES)}",
                )
    stream = EventStream(b"", None)
    plain = PlainStream(stream, wanted)
    opening = [_framing.comment(b"open")]
    if plain.wants("welcome"):
        data = {
            "message": f"Connected to {catalog.name}",
            "server": catalog.name,
            "version": catalog.version,
            "timestamp": timestamp,
        }
        opening = [typed("welcome", data)]
    return Listen(ERA, stream, opening, audience=plain, heartbeat=plain.heartbeat, principal=head.principal)
