"""The laws of the house (design §2), read from the source with `ast`. The tables below are the architecture: a new room
gets a floor, and a new pair on one floor is a reviewed change.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import fastsse

HOUSE = Path(fastsse.__file__).parent

FLOORS = (
    {"_framing", "budget", "config", "entries", "errors", "principal", "revisions", "sources", "stats", "tokens"},
    {"http11", "jsonrpc", "responses"},
    {"handler", "questions", "rates", "session", "shards", "stream", "writebuffer"},
    {
        "admission", "auth", "decision", "docs", "endpoint", "events", "forwarded", "guest", "handshake", "httpsse",
        "metrics", "overload", "pages", "security", "signed", "stateless", "streamable",
    },
    {
        "asking", "authenticator", "connection", "context", "departure", "dispatch", "drain", "embed", "exchange",
        "hosting", "running", "server", "sockets", "tasks", "tls", "tracing",
    },
    {
        "__init__", "__main__", "app", "client", "content", "demo", "given", "listing", "logs", "offer", "peer",
        "plugin", "prompts", "reload", "resources", "schema", "signature", "target", "testing", "tools",
    },
)  # fmt: skip

BESIDE = {
    # floor 0
    "budget": {"stats"},
    "config": {"entries"},
    "entries": {"errors", "tokens"},
    "principal": {"_framing"},
    "sources": {"config", "entries", "errors"},
    "stats": {"_framing", "errors"},
    "tokens": {"_framing", "principal"},
    # floor 2
    "handler": {"session"},
    "session": {"stream"},
    "shards": {"session", "stream"},
    "stream": {"writebuffer"},
    # floor 3: the eras know `decision` and the rules that two of them share, never each other
    "auth": {"decision"},
    "endpoint": {
        "admission", "auth", "decision", "docs", "events", "forwarded", "guest", "httpsse", "metrics", "pages",
        "security", "streamable",
    },
    "events": {"decision"},
    "forwarded": {"admission"},
    "guest": {"decision", "handshake", "stateless"},
    "handshake": {"decision"},
    "httpsse": {"decision", "handshake"},
    "overload": {"admission"},
    "signed": {"auth"},
    "stateless": {"decision"},
    "streamable": {"decision", "handshake"},
    # floor 4
    "connection": {"authenticator", "context", "departure", "dispatch"},
    "context": {"asking"},
    "dispatch": {"context", "running", "tasks"},
    "drain": {"connection", "context"},
    "embed": {"context", "exchange"},
    "exchange": {"asking", "context"},
    "hosting": {"authenticator", "embed"},
    "running": {"context", "tasks"},
    "tasks": {"context", "running"},
    "tls": {"connection"},
    "server": {"authenticator", "connection", "dispatch", "drain", "hosting", "sockets", "tls", "tracing"},
    "tracing": {"context", "dispatch"},
    # floor 5
    "__init__": {"app", "content"},
    "__main__": {"__init__", "logs", "reload", "target"},
    "app": {"content", "listing", "offer", "prompts", "resources", "tools"},
    "client": {"given", "peer"},
    "demo": {"app"},
    "listing": {"offer"},
    "offer": {"content", "signature"},
    "plugin": {"testing"},
    "prompts": {"content", "offer", "schema", "signature"},
    "resources": {"content", "offer", "schema", "signature"},
    "schema": {"content", "given", "signature"},
    "signature": {"__init__"},
    "testing": {"client", "peer"},
    "tools": {"content", "given", "offer", "schema"},
}  # fmt: skip
"""Who may import whom on the same floor."""

FOREIGN = {
    "anyio": {"embed", "exchange"},
    "click": {"__main__", "reload"},
    "fastmcp": {"embed"},
    "h11": {"http11"},
    "jwt": {"signed"},
    "mcp": {"embed", "exchange"},
    "mcp_types": {"embed", "exchange"},
    "msgspec": {"config", "jsonrpc", "schema"},
    "opentelemetry": {"tracing"},
    "pytest": {"plugin"},
    "starlette": {"embed", "exchange"},
    "uvloop": {"server"},
    "watchfiles": {"reload"},
}
"""One foreign library, one room (msgspec: those that decode; the MCP SDK and what it is made of: the two that host)."""

ERAS = {"events", "httpsse", "stateless", "streamable"}
WORLD = {
    "asyncio", "concurrent", "multiprocessing", "os", "random", "secrets", "select", "selectors", "signal", "socket",
    "ssl", "subprocess", "threading", "time", "uuid",
}  # fmt: skip
"""What floors 0 to 3 do not touch: they get time, ids and bytes as arguments."""

SOFT_LIMIT = 400
LOOKED_AT = {
    "endpoint": "one ladder; what its rungs decide by stands in other rooms",
    "connection": "one state machine; what could leave it (http11, responses, writebuffer) has left",
    "server": "sockets, tick, fan-out and drain all live on the same loop and the same table",
    "stateless": "one era: its ladder, its listeners, its sealed state",
}
"""Rooms above the soft limit, and why the second subject was not found in them."""

FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


@cache
def tree(room: str) -> ast.Module:
    return ast.parse((HOUSE / f"{room}.py").read_text())


def rooms() -> list[str]:
    return sorted(path.stem for path in HOUSE.glob("*.py"))


def imports(room: str) -> Iterator[str]:
    """Dotted names of all that a room imports, wherever in it, for type checking too."""
    for node in ast.walk(tree(room)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{room} imports relatively"
            if node.module == "fastsse":
                for name in node.names:
                    yield f"fastsse.{name.name}" if name.name in FLOOR else "fastsse"
            elif node.module != "__future__":
                yield str(node.module)


def neighbours(room: str) -> set[str]:
    """The rooms of ours that a room imports."""
    ours = {name for name in imports(room) if name.split(".")[0] == "fastsse"}
    return {name.partition(".")[2] or "__init__" for name in ours}


def test_every_room_has_one_floor() -> None:
    assert sum(map(len, FLOORS)) == len(FLOOR)
    assert set(rooms()) | {"_framing"} == set(FLOOR)
    assert [path.name for path in HOUSE.glob("*.pyx")] == ["_framing.pyx"]


@pytest.mark.parametrize("room", rooms())
def test_imports_lead_downward(room: str) -> None:
    beside = {name for name in neighbours(room) if FLOOR[name] == FLOOR[room]}
    above = {name for name in neighbours(room) if FLOOR[name] > FLOOR[room]}
    assert not above, f"{room} knows floors above its own"
    assert beside == BESIDE.get(room, set()), "not what the table says"


def test_eras_never_know_each_other() -> None:
    for era in ERAS:
        assert not BESIDE.get(era, set()) & ERAS


@pytest.mark.parametrize("room", [room for room in rooms() if FLOOR[room] < 4])
def test_below_floor_4_nothing_waits_and_nothing_is_asked_of_the_world(room: str) -> None:
    assert not {name.split(".")[0] for name in imports(room)} & WORLD
    for node in ast.walk(tree(room)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await), node.lineno
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today"), f"{room} line {node.lineno} asks a clock"


@pytest.mark.parametrize("library", FOREIGN)
def test_a_foreign_library_has_its_room(library: str) -> None:
    assert {room for room in rooms() if library in {name.split(".")[0] for name in imports(room)}} == FOREIGN[library]


def test_the_connection_knows_no_word_of_the_protocol() -> None:
    said = [
        node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        for node in ast.walk(tree("connection"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    ]
    for word in ("initialize", "tools/", "resources/", "prompts/", "notifications/", "mcp-", "session-id", "jsonrpc"):
        assert not [text for text in said if word in text.lower()], word


def test_the_public_names_are_all_there() -> None:
    assert fastsse.__all__ == sorted(fastsse.__all__)
    assert all(hasattr(fastsse, name) for name in fastsse.__all__)


def test_rooms_stay_rooms() -> None:
    large = {room for room in rooms() if len((HOUSE / f"{room}.py").read_text().splitlines()) > SOFT_LIMIT}
    assert large == set(LOOKED_AT), f"look for the second subject in what is over {SOFT_LIMIT} lines"
