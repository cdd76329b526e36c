"""What floors 0 to 3 are tested with: request heads without HTTP, a clock moved by hand, a catalog, an outlet.

Nothing here waits, and nothing is random.
"""

import itertools
import json
from collections.abc import Awaitable
from typing import Any

from fastsse import writebuffer
from fastsse._framing import Head
from fastsse.authenticator import Ask, Authenticator
from fastsse.budget import Budget
from fastsse.config import Config
from fastsse.decision import Reply
from fastsse.endpoint import Endpoint
from fastsse.errors import InvalidParams, McpError, RequestRefused
from fastsse.handler import ParamHeader, Publisher
from fastsse.jsonrpc import ENVELOPE
from fastsse.principal import Principal
from fastsse.revisions import Revision
from fastsse.security import Guard
from fastsse.session import Clocks
from fastsse.shards import Table
from fastsse.stats import Stats
from fastsse.stream import RingLimits
from fastsse.writebuffer import WriteBuffer

MODERN = "2026-07-28"
BUDGET = Budget(1 << 40, Stats(0.0))
RING = RingLimits(bytes=10_000, events=100, age=60.0, budget=BUDGET)
CLOCKS = Clocks(init=60.0, lost=30.0, stream_lost=120.0, idle=1800.0)


# --- requests


def head(method: str = "POST", target: str = "/mcp", length: int = 0, /, **fields: str | list[str] | None) -> Head:
    """A request head; `mcp_method="x"` is the field `mcp-method: x`, a list repeats it, None leaves a default out."""
    said: dict[str, str | list[str] | None] = {"host": "localhost:3002"}
    if method == "POST":
        said["content-type"] = "application/json"
    said |= {name.replace("_", "-"): value for name, value in fields.items()}
    pairs = [
        (name.encode(), one.encode())
        for name, value in said.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]
    return Head.of(method.encode(), target.encode(), 1, pairs, True, length, False)


def by(principal: Principal, head: Head) -> Head:
    """The same head, from somebody who was recognised."""
    head.principal = principal
    return head


def message(method: str | None = None, params: Any = None, id: Any = 1, **more: Any) -> bytes:
    """A request, with `id=None` a notification; anything else through `more`."""
    found: dict[str, Any] = {"jsonrpc": "2.0"}
    if id is not None:
        found["id"] = id
    if method is not None:
        found["method"] = method
    if params is not None:
        found["params"] = params
    return json.dumps(found | more).encode()


def enveloped(params: dict[str, Any] | None = None, **capabilities: Any) -> dict[str, Any]:
    """`params` with the envelope of 2026-07-28 that declares these capabilities."""
    meta = {ENVELOPE + "protocolVersion": MODERN, ENVELOPE + "clientCapabilities": capabilities}
    return {**(params or {}), "_meta": meta | (params or {}).get("_meta", {})}


def modern_head(method: str, name: str | None = None, /, **fields: str | list[str] | None) -> Head:
    """The head of an enveloped request."""
    return head(**{"mcp_protocol_version": MODERN, "mcp_method": method, "mcp_name": name, **fields})


# --- what time, randomness, a connection are elsewhere


class Clock:
    """Says what it is told to say."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Outlet(writebuffer.Outlet):
    """A connection that only counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    def room(self) -> Awaitable[None] | None:
        return None


def budget(limit: int = 1 << 40) -> Budget:
    return Budget(limit, Stats(0.0))


def buffer(limit: int = 1_000_000, paused: bool = False, budget: Budget = BUDGET) -> WriteBuffer:
    made = WriteBuffer(Outlet(), limit, budget)
    made.paused = paused
    return made


def table(shards: int = 4, capacity: int = 8, clocks: Clocks = CLOCKS, ring: RingLimits = RING) -> Table:
    numbers = itertools.count(0x1234567)
    return Table(shards, capacity, clocks, ring, lambda: next(numbers) * 0x9E3779B97F4A7C15F39CC06)


def events(frames: list[bytes]) -> list[dict[str, str]]:
    """Frames as a client reads them: id, event, data, retry (WHATWG HTML §9.2.6, for frames with LF)."""
    found: list[dict[str, str]] = []
    for block in b"".join(frames).decode().split("\n\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
        found.append(fields)
    return found


# --- what is offered


class FakeCatalog:
    """Tools, resources and prompts by name only; rules need to know no more."""

    def __init__(self) -> None:
        self.name = "fake"
        self.version = "1.2.3"
        self.instructions: str | None = None
        self.cache_hint = (5000, "public")
        self.epoch = 0
        self.unserved: set[str] = set()
        self.unlisted: set[str] = set()
        self.required: dict[str, dict[str, Any]] = {}
        self.mirrored: dict[str, tuple[ParamHeader, ...]] = {}
        self.offered: dict[str, Any] = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
        self.listings = 0

    def implementation(self, revision: Revision) -> dict[str, Any]:
        return {"name": self.name, "version": self.version}

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        return self.offered

    def listing(self, method: str, cursor: str | None, revision: Revision) -> bytes | None:
        self.listings += 1
        if cursor == "bad":
            raise InvalidParams("Invalid cursor")
        member = "resourceTemplates" if method == "resources/templates/list" else method.split("/")[0]
        return None if method in self.unlisted else b'{"%b":[]}' % member.encode()

    def serves(self, method: str) -> bool:
        known = ("tools", "resources", "prompts", "completion", "logging")
        return method not in self.unserved and method.split("/")[0] in known and method != "tools/none"

    def param_headers(self, tool: str) -> tuple[ParamHeader, ...]:
        return self.mirrored.get(tool, ())

    def required_capabilities(self, method: str, name: str) -> dict[str, Any] | None:
        return self.required.get(name)

    def tools_summary(self) -> list[dict[str, Any]]:
        return [{"name": "echo", "description": "Says it back", "inputSchema": {"type": "object"}}]

    def attach(self, publisher: Publisher) -> None: ...

    def detach(self, publisher: Publisher) -> None: ...


class Gauges:
    """What an endpoint asks of its server."""

    def __init__(self) -> None:
        self.draining = False
        self.streams_left = 1000
        self.wall = Clock(1760178600.0)

    def memory(self) -> int:
        return 1 << 20

    def pending(self) -> int:
        return 0

    def held(self) -> int:
        return 0

    def cpu(self) -> float:
        return 1.5

    def running(self) -> int:
        return 0

    def most_streams(self) -> int:
        return 1000

    def check_room(self) -> None:
        if self.streams_left <= 0:
            raise RequestRefused(503, "too_many_streams", "Too many event streams", setting="max_streams")


class Peer:
    """The other end of a connection."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.local = address.startswith("127.")
        self.where = address

    def address(self) -> str:
        return self.where


HERE = Peer()
ABROAD = Peer("203.0.113.5")


class Place:
    """An endpoint and all that it is made of."""

    def __init__(self, *, loopback: bool = True, capacity: int = 8, ask: Ask | None = None, **settings: Any) -> None:
        self.config = Config(**settings)
        self.catalog = FakeCatalog()
        config = self.config
        ring = RingLimits(config.ring_bytes, config.ring_events, config.ring_age, budget())
        self.table = table(capacity=capacity, ring=ring)
        self.gauges = Gauges()
        self.now = 100.0
        self.authenticator = Authenticator(config, ask, lambda: self.now)
        guard = Guard(config, loopback, cookies=ask is not None)
        self.endpoint = Endpoint(
            config,
            self.catalog,
            self.table,
            Stats(0.0),
            guard,
            self.gauges,
            b"k" * 32,
            config.max_body,
            self.authenticator.rules,
        )

    def ask(self, head: Head, body: bytes = b"", peer: Peer = HERE) -> Any:
        """What a request leads to; refusals, and bodies that are no message, as the replies that they become."""
        try:
            decision = self.endpoint.head(head, peer, self.now)
            return self.endpoint.body(head, body, peer, self.now) if decision is None else decision
        except RequestRefused as refused:
            return self.endpoint.refusal(refused, head, peer.local)
        except McpError as wrong:
            return self.endpoint.broken(wrong, head)

    def initialize(self, version: str = "2025-11-25", host: str = "localhost:3002", **capabilities: Any) -> str:
        """Opens a session on /mcp; its id."""
        params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}}
        reply = self.ask(head(host=host), message("initialize", params))
        assert isinstance(reply, Reply)
        return reply.extra.decode().removeprefix("Mcp-Session-Id: ").strip()


def told(reply: Any) -> Any:
    """The JSON of a reply's body."""
    assert isinstance(reply, Reply), reply
    return json.loads(reply.body)


def error_code(reply: Any) -> tuple[int, int]:
    """(HTTP status, JSON-RPC code) of a reply that is an error."""
    return reply.status, told(reply)["error"]["code"]
