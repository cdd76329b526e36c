"""What fuzzing asks of any bytes: they are read, or refused with our own error,
by everybody in the same way; and what we
write somebody else reads. A question raises for a find; every parameter is taken from the bytes themselves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import h11

import eventsource
import heads
import hostile
import oracle
from fakes import MODERN, enveloped, message
from fastsse import _framing, jsonrpc
from fastsse.errors import McpError, RequestRefused
from fastsse.http11 import Requests
from fuzzing import Question
from stage import BOTH, Stage, call, modern
from wire import World, http


def _rng(data: bytes) -> Random:
    """Chance that is the same for the same bytes."""
    return Random(zlib.crc32(data))


# --- request heads


def ask_heads(data: bytes) -> Iterable[Hashable]:
    """Scanner, twin, h11 and `Requests` in every cut agree."""
    rng = _rng(data)
    cuts = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(4))]
    limits = rng.choice([(4096, 4096), (4096, 4096), (300, 5), (64, 4096)])
    head = heads.verify_scan(data, rng.choice([0, 0, 0, rng.randrange(len(data) + 1)]))
    taken, status = heads.verify_requests(data, cuts, *limits)
    yield "heads", len(taken), status, head is not None
    for fields, body in taken:
        yield "head", fields["content_length"] and len(body).bit_length(), fields["keep_alive"], fields["repeated"]


HEADS = Question(
    lambda data: list(ask_heads(data)),
    [*heads.REAL, *(data for data in hostile.named().values() if len(data) < 400)],
    [
        *heads.METHODS, *heads.TARGETS, *heads.VERSIONS, *heads.ODD_NAMES, *heads.ODD_VALUES, *heads.BLANKS,
        *heads.ENDS,
        *heads.CHUNKS, *heads.LAST_CHUNKS, *(b"%b: %b\r\n" % (name,
        value) for name in heads.VALUES for value in heads.VALUES[name]),
    ],
    heads.anything,
)  # fmt: skip

# --- chunked bodies

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
ROOM = 1 << 16


def ask_bodies(data: bytes) -> Iterable[Hashable]:
    """Our reader of chunks and the readable one agree, in all cuts; and where h11 is as strict, it does."""
    expected = oracle.chunked(data)
    rng = _rng(data)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    for pieces in ((), cuts, range(1, len(data))):
        found = _read_chunked(data, pieces)
        if isinstance(expected, str) and expected == "too large":
            assert found == 413, (found, expected)
        elif isinstance(expected, str):
            assert found == (400 if expected == "refused" else None), (found, expected)
        else:
            assert found == expected, (found, expected)
    if not isinstance(expected, str):
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(CHUNKED + data)
        reader.next_event()
        body = b""
        while isinstance(event := reader.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        assert body == expected[0]
        return ["body", len(body).bit_length(), len(event.headers)]
    return [expected]


def _read_chunked(data: bytes, cuts: Iterable[int]) -> tuple[bytes, int] | int | None:
    """The body and how many bytes it took; the status of the refusal; None when there is more to come."""
    requests = Requests(ROOM, ROOM, plain=True)
    requests.receive(CHUNKED)
    assert requests.head() is not None
    last = 0
    try:
        for cut in (*cuts, len(data)):
            requests.receive(data[last:cut])
            last = cut
            if (body := requests.body()) is not None:
                requests.receive(data[cut:])
                return body, len(data) - requests.waiting
    except RequestRefused as refused:
        return refused.status
    return None


BODIES = Question(
    ask_bodies,
    [*(chunk + b"0\r\n\r\n" for chunk in heads.CHUNKS), *(b"3\r\nabc\r\n" + last for last in heads.LAST_CHUNKS)],
    [*heads.CHUNKS, *heads.LAST_CHUNKS, *heads.ENDS, b";a", b'="', b'\\"', b"0", b"ffff", b"X: y\r\n"],
)

# --- frames


def outcome(function: Callable[..., bytes], *arguments: Any) -> bytes | type[Exception]:
    try:
        return function(*arguments)
    except ValueError as error:
        return type(error)


def _same(name: str, *arguments: Any) -> bytes | None:
    """What the compiled function and its twin make of this; None when both refuse."""
    compiled, twin = outcome(getattr(_framing, name), *arguments), outcome(getattr(oracle, name), *arguments)
    assert compiled == twin, (name, arguments, compiled, twin)
    return compiled if isinstance(compiled, bytes) else None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def ask_frames(data: bytes) -> Iterable[Hashable]:
    """Events come out of an event stream as they went in, in whatever company, and chunks out of their framing."""
    parts = data.split(b"\x1f")
    stream = b""
    expected: list[eventsource.Event] = []
    last = b""
    kinds: list[Hashable] = []
    for number in range(0, len(parts), 3):
        text, name, id = [*parts[number : number + 3], b"", b""][:3]
        frame, comment = _same("event", text, name, id, len(text) - 1 if number else -1), _same("comment", name)
        _same("numbered", id, len(text) - 1, frame or b"")
        _same("part", text, len(name) - 1, len(id))
        _same("part", text, len(id), len(text))
        if text:
            other = bytearray(text)
            other[len(name) % len(text)] ^= 1 << number % 8
            for one in (name, bytes(other), bytes(bytearray(text))):  # the last is another object
                assert _framing.equal(text, one) is oracle.equal(text, one), (text, one)
        kinds.append(("event", frame is None, comment is None, bool(name), bool(id), b"\n" in text, b"\r" in text))
        if not _is_text(text + b"," + name + b"," + id):
            continue
        stream += comment or b""
        if frame is not None:
            stream += frame
            last = id or last
            lines = re.split("\r\n|\r|\n", text.decode())
            expected.append(eventsource.Event(name.decode() or "message", "\n".join(lines), last.decode()))
    found, _ = eventsource.read(stream)
    assert found == expected, (found, expected)
    wire = _same("chunk", parts)
    assert wire is not None
    assert _same("join", parts) == b"".join(parts)
    if wire:
        assert oracle.chunked(wire + _framing.LAST_CHUNK) == (b"".join(parts), len(wire) + len(_framing.LAST_CHUNK))
    assert _framing.place(data) == oracle.place(data)
    assert _framing.depth(data) == oracle.depth(data)
    return kinds


FRAMES = Question(
    ask_frames,
    [
        b"",
        b"a",
        b"a\x1fb\x1fc",
        b"a\nb\x1f\x1f1\x1fc\rd\x1fe",
        b"a\r\nb\r\r\n\x1fb",
        "ä\u2028\ufeff😀\x1fö".encode(),
        b"\x1f\x1f\x1f",
    ],
    [
        b"\n",
        b"\r",
        b"\r\n",
        b"\x1f",
        b"data: ",
        b"event:",
        b"id: 1",
        b"retry: 1",
        b": ",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff",
    ],
)

# --- messages

KNOWN = (McpError, RequestRefused)


def _json(data: bytes) -> Any:
    """As Python reads it, which takes NaN for a number."""
    text = data.decode()
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def ask_messages(data: bytes) -> Iterable[Hashable]:
    """A body is a message or refused; what is one Python's json reads too, and scanned or not it is the same. What is
    written around it is one JSON text, with it inside."""
    kinds: list[Hashable] = [_verify_call(data)]
    assert _framing.depth(data) == oracle.depth(data)
    if _framing.depth(data) > 64:
        return kinds
    try:
        read = jsonrpc.decode(data)
    except KNOWN as error:
        kinds.append((type(error), getattr(error, "code", 0)))
    else:
        whole = _json(data)
        assert isinstance(whole, dict)
        assert whole["jsonrpc"] == "2.0"
        assert read.method == whole.get("method")
        assert (read.id is None) == ("id" not in whole)
        if read.id is not None:
            assert _json(read.id) == whole["id"]
        kinds.append(
            (
                read.method in ("tools/call", "initialize", "ping"),
                read.id is None,
                read.wrong is None,
                read.meta is None,
            )
        )
    try:
        array = jsonrpc.decode_array(data)
    except KNOWN:
        pass
    else:
        kinds.append(("array", len(array).bit_length()))
    try:
        value = _json(data)
    except (ValueError, RecursionError):
        return kinds
    kinds.append(type(value).__name__)
    envelope = {"jsonrpc": "2.0"}
    assert _json(_framing.result(b'"a"', data)) == envelope | {"id": "a", "result": value}
    assert _json(_framing.error(None, data)) == envelope | {"error": value}
    assert _json(_framing.notification(b'"m"', data)) == envelope | {"method": "m", "params": value}
    assert _json(_framing.request(b"1", b'"m"', data)) == envelope | {"id": "1", "method": "m", "params": value}
    for name, arguments in {
        "result": (b'"a"', data),
        "error": (b"1", data),
        "notification": (b'"m"', data),
        "request": (b"1", b'"m"', data),
        "response": (b"Content-Length: ", data),
        "result_response": (b"Content-Length: ", b"1", data),
        "result_event": (b"1", data, b"message", b"7"),
        "tag": (data, b"{}"),
        "wrapped_result": (b"1", b"{", data, b"}"),
    }.items():
        _same(name, *arguments)
    if isinstance(value, dict) and "_meta" not in value:
        tagged = _json(_framing.tag(_framing.notification(b'"m"', data.strip(b" \t\r\n")), b'{"x":"1"}'))
        assert tagged == envelope | {"method": "m", "params": value | {"_meta": {"x": "1"}}}
    (event,), _ = eventsource.read(_framing.result_event(b"1", data, b"message"))
    assert _json(event.data.encode()) == envelope | {"id": "1", "result": value}
    return kinds


def _verify_call(data: bytes) -> bool:
    compiled, twin = _framing.scan_call(data), oracle.scan_call(data)
    assert (compiled is None) == (twin is None), (compiled, twin)
    if compiled is None or twin is None:
        return False
    for name in ("id", "method", "params", "name", "arguments", "meta"):
        assert getattr(compiled, name) == getattr(twin, name), name
    careful = jsonrpc.careful(data)
    for name in ("id", "method", "params", "name", "arguments"):
        assert getattr(compiled, name) == getattr(careful, name), name
    return True


MESSAGES = Question(
    ask_messages,
    [
        call("echo", text="x"), call("echo", "a", token="t", text='\\"é\n'), modern("echo", text="x")[0],
        message("ping"),
        message("notifications/cancelled", {"requestId": 1}, None), message("initialize",
        {"protocolVersion": "2025-11-25"}),
        b'{"jsonrpc":"2.0","id":1,"result":{}}', b'{"jsonrpc":"2.0","id":"1","error":{"code":1,"message":""}}',
        b"[]", b"{}", b"[[{}]]",
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"}]', b'"\\u00e9\\ud83d\\ude00"',
        b"-1.5e+7", b"true",
        *(message(name, {"uri": "x://y", "name": "n", "cursor": "c", "level": "info"},
        0) for name in ("resources/read", "x")),
    ],
    [
        b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"NaN", b"1e9", b"-0", b"0.1", b"\\u0061",
        b"\\ud83d", b"\xff", b" ", b"\n",
        b'"jsonrpc":"2.0"', b'"id":1', b'"method":"tools/call"', b'"params":{', b'"name":"echo"', b'"arguments":{',
        b'"_meta":{', b'"progressToken":',
        b'"io.modelcontextprotocol/protocolVersion":"2026-07-28"', b'"result":{}', b'"error":', "é".encode(), b'"",',
        b"\t", b"\xef\xbb\xbf",
    ],
)  # fmt: skip

# --- a whole connection

SESSION, PAIR = b"<session>", b"<pair>"


class Loud(logging.Handler):
    """Keeps what must not happen."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


@contextmanager
def _quiet() -> Iterator[Loud]:
    """Whatever would have been logged as an error."""
    loud = Loud()
    logger = logging.getLogger("fastsse")
    before, logger.propagate = logger.propagate, False
    logger.addHandler(loud)
    try:
        yield loud
    finally:
        logger.removeHandler(loud)
        logger.propagate = before


_STAGE = Stage()


def ask_connections(data: bytes) -> Iterable[Hashable]:
    """Whatever comes, in whatever pieces: answers that h11 reads, an end, and nothing left behind (`World` looks)."""
    rng = _rng(data)
    seen: list[Hashable] = []
    _STAGE.gate, _STAGE.steps = asyncio.Event(), asyncio.Semaphore(0)
    with _quiet() as loud, World(_STAGE.app, max_head=1024, max_body=2048) as world:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        opener, pair = world.connect(), world.connect()
        session = opener.post(message("initialize", hello)).fields["mcp-session-id"].encode()
        uri = pair.get("/sse").events[0]["data"].encode()
        data = data.replace(SESSION, session).replace(PAIR, uri)
        asked = _methods(data)
        client = world.connect()
        client.reader.asked.extend([*asked, "GET"])
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(5)))
        client.gone = True  # it is read here, not by the reader of the tests
        for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            client.send(data[begin:end])
            if rng.random() < 0.2:
                world.loop.advance(rng.choice([0.1, 3.0, 20.0]))
        client.run()
        if rng.random() < 0.5 and not client.closed:
            client.eof()
        world.loop.advance(rng.choice([0.5, 20.0]))
        world.look()
        for status, kind in _answers(bytes(client.transport.received), [*asked, "GET"]):
            assert status != 500
            seen.append((status, kind))
        events, _ = eventsource.read(pair.answers[0].body)
        assert all(event.name in ("endpoint", "message") for event in events)
        seen.append(("events", len(events)))
        if not client.closed:
            client.reset()
        _STAGE.gate.set()
        for _ in range(100):
            _STAGE.steps.release()
        world.loop.run()
        _STAGE.contexts.clear()
    assert not loud.heard, loud.heard
    return seen


def _methods(data: bytes) -> list[str]:
    """What is asked in data."""
    found = [head["method"] for head, _ in heads.read(data, True, (), 1024, 2048)[0]]
    return [method.decode() for method in found if isinstance(method, bytes)]


def _answers(received: bytes, asked: list[str]) -> Iterator[tuple[int, bytes]]:
    """Status and content type of each answer, as h11 reads them; the last may have no end yet."""
    for method in asked:
        if not received:
            return
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(received)
        event, interim = reader.next_event(), False
        while isinstance(event, h11.InformationalResponse):
            event, interim = reader.next_event(), True
        if interim and event is h11.NEED_DATA:
            return
        assert isinstance(event, h11.Response), event
        status = event.status_code
        yield status, dict(event.headers).get(b"content-type", b"")
        while isinstance(event := reader.next_event(), h11.Data):
            pass
        if event is h11.NEED_DATA:
            return
        received = reader.trailing_data[0]
        if method == "HEAD" and status >= 400 and not received.startswith(b"HTTP/1.1 "):
            return  # its own head never came whole, so that nobody knew that it wants no body
    assert not received, received


def _posts() -> Iterator[bytes]:
    post = partial(http, "POST", "/mcp")
    for body in (
        call("echo", text="x"),
        call("speak", token=1, text="x"),
        message("tools/list"),
        message("resources/list"),
        b"[",
    ):
        yield post(body)
        yield post(body, accept=BOTH, mcp_session_id=SESSION.decode())
        yield post(body, accept="text/event-stream")
        yield http("POST", PAIR.decode(), body)
    for name, arguments in (
        ("thread", {}),
        ("wait", {}),
        ("talk", {}),
        ("fill", {"count": 3, "size": 10}),
        ("nothing", {}),
    ):
        yield post(call(name, 2, token="t", **arguments), accept=BOTH, mcp_session_id=SESSION.decode())
        yield http("POST", PAIR.decode(), call(name, 3, **arguments))
        body, fields = modern(name, 4, **arguments)
        yield post(body, **fields)
    yield post(message("notifications/cancelled", {"requestId": 2}, None), mcp_session_id=SESSION.decode())
    yield post(
        message(
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
        )
    )
    yield post(message("server/discover", enveloped()), mcp_protocol_version=MODERN, mcp_method="server/discover")
    listening = message("subscriptions/listen", enveloped({"notifications": {"toolsListChanged": True}}))
    yield post(listening, mcp_protocol_version=MODERN, mcp_method="subscriptions/listen", accept=BOTH)
    yield post(
        b"[" + call("echo", text="x") + b"," + message("ping", None, 2) + b"]", mcp_protocol_version="2025-03-26"
    )
    yield post(call("echo", text="x"), content_encoding="gzip")
    yield post(call("echo", text="x"), connection="close")
    yield post(call("echo", text="x"), expect="100-continue")
    yield post(call("echo", text="x"), version="1.0")
    body = call("echo", text="x")
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    yield http("POST", "/mcp", content_length=None, transfer_encoding="chunked") + chunks


def _gets() -> Iterator[bytes]:
    for path in (
        "/mcp",
        "/sse",
        "/sse?endpoint=json",
        "/mcp?events=heartbeat",
        "/docs",
        "/health",
        "/metrics",
        "/ready",
        "/sessions",
        "/x",
    ):
        for method in ("GET", "HEAD"):
            yield http(method, path)
        yield http("OPTIONS", path, origin="http://localhost:1")
    yield http("GET", "/mcp", mcp_session_id=SESSION.decode(), accept="text/event-stream")
    yield http("GET", "/mcp", mcp_session_id=SESSION.decode(), last_event_id="0-0")
    yield http("GET", "/sse", last_event_id=f"{'0' * 8}-0000-4000-8000-000000000000:0")
    yield http("GET", "/sse", version="1.0")
    yield http("GET", "/mcp", mcp_protocol_version=MODERN)
    yield http("DELETE", "/mcp", mcp_session_id=SESSION.decode())
    yield http("PUT", "/mcp")
    yield http("XGET", "/mcp")


def _made(rng: Random) -> bytes:
    """One to four requests, some of them hostile."""
    return b"".join(
        rng.choice(_REQUESTS) if rng.random() < 0.8 else heads.anything(rng) for _ in range(rng.choice((1, 2, 4)))
    )


_REQUESTS = [*_posts(), *_gets()]
CONNECTIONS = Question(
    ask_connections,
    _REQUESTS,
    [
        *MESSAGES.words,
        *HEADS.words,
        *_REQUESTS[::5],
        b"mcp-session-id: <session>\r\n",
        SESSION,
        PAIR,
        b"mcp-protocol-version: 2026-07-28\r\n",
    ],
    _made,
)

QUESTIONS = {"heads": HEADS, "bodies": BODIES, "frames": FRAMES, "messages": MESSAGES, "connections": CONNECTIONS}
