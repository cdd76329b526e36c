"""Bad input over real sockets: each time a clear error, and the process goes on serving the others.

After every test the server is asked something sensible, and has to be back where it was. Where time matters, the
server's clock is moved by hand. What RFC 9112 says about every malformed head is `test_http11`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from fakes import MODERN, Clock, enveloped, message
from fastsse.config import KIB, MIB
from fastsse.server import Server
from real import port, served
from stage import BOTH, Stage, call, modern, said
from wire import Answer, Reader, http

WAIT = 20.0
PING = message("ping")
ERAS = [None, "2025-03-26", "2025-06-18", "2025-11-25", MODERN]


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with mock.patch.dict(os.environ, FASTSSE_LOOP=request.param), served(Stage().app) as running:
        running.clock = Clock(time.monotonic())
        yield running


def figures(server: Server) -> tuple[int, ...]:
    return (
        server.stats.connections_open,
        sum(len(shard.members) for shard in server.table.shards),
        sum(server.stats.streams_open.values()),
        len(server.dispatch.running),
    )


def settle(server: Server) -> None:
    """Lets the server's loop turn until it has seen the time that its clock shows."""
    limit = time.monotonic() + WAIT
    while True:
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.002), server.dispatch.loop).result(WAIT)
        if server._due > server.clock():
            return
        assert time.monotonic() < limit


def advance(server: Server, seconds: float) -> None:
    assert isinstance(server.clock, Clock)
    server.clock.now += seconds
    settle(server)


class Peer:
    """Somebody on the other end of a socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sock = socket.create_connection(("127.0.0.1", port(server)), WAIT)
        self.reader = Reader()
        self.closed = False

    def send(self, data: bytes, asked: str = "") -> None:
        self.reader.asked.extend(asked.split())
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def read(self) -> None:
        """Takes what there is, waiting for at least something."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            self.reader.eof()
        self.reader.feed(data)

    def answer(self, count: int = 1) -> Answer:
        """The last of so many answers, whole or, of a stream, with its first chunk."""
        answers = self.reader.answers
        while not (len(answers) >= count and (answers[count - 1].ended or answers[count - 1].chunks)):
            assert not self.closed, answers
            self.read()
        return answers[count - 1]

    def ask(self, method: str, target: str, body: bytes = b"", **fields: Any) -> Answer:
        self.send(http(method, target, body, **fields), method)
        return self.answer(len(self.reader.answers) + 1)

    def wait_closed(self) -> None:
        while not self.closed:
            self.read()


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    """Somebody who sends what is bad; when that is over, everything is as it was, and others are served."""
    before = figures(server)
    peer = Peer(server)
    yield peer
    peer.sock.close()
    other = Peer(server)
    assert said(other.ask("POST", "/mcp", call("echo", text="still here"))) == "still here"
    other.sock.close()
    limit = time.monotonic() + WAIT
    while figures(server) != before:
        assert time.monotonic() < limit, (figures(server), before)
        settle(server)


def error(answer: Answer) -> tuple[int, int]:
    """(HTTP status, JSON-RPC code) of an error that says something."""
    found = answer.json
    assert found["jsonrpc"] == "2.0"
    assert len(found["error"]["message"]) > 5
    return answer.status, found["error"]["code"]


def refusal(answer: Answer) -> tuple[int, str]:
    """(HTTP status, reason) of a refusal, which says what would be accepted."""
    error(answer)
    data = answer.json["error"]["data"]
    assert "id" not in answer.json
    return answer.status, data["reason"]


def open_session(peer: Peer, version: str = "2025-11-25") -> dict[str, Any]:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = peer.ask("POST", "/mcp", message("initialize", params), accept=BOTH)
    return {"mcp_session_id": answer.fields["mcp-session-id"], "accept": BOTH}


def open_pair(peer: Peer) -> str:
    return peer.ask("GET", "/sse").events[0]["data"]


# --- bytes that are no HTTP

GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(300),
    "all bytes": bytes(range(256)),
    "text": b"hello, is there anybody?\r\n\r\n",
    "JSON": call("echo", text="x") + b"\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "bare LF": b"GET /ready HTTP/1.1\nHost: localhost\n\n",
    "HTTP/0.9": b"GET /ready\r\n\r\n",
    "folded": b"GET /ready HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "two lengths": b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}  ",
    "length and chunks": b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n",
    "bad chunk": b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "emoji": "GET /🙂 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage(peer: Peer, data: bytes) -> None:
    peer.send(data, "GET")
    answer = peer.answer()
    assert answer.status in (400, 505)
    refusal(answer)
    assert answer.fields["connection"] == "close"
    advance(peer.server, 3.0)
    peer.wait_closed()
    assert len(peer.reader.answers) == 1


# --- methods


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize("method", ["no/such", "", "TOOLS/CALL", "tools/call ", "rpc.discover", "x" * 1000, "é\n"])
def test_an_unknown_method(peer: Peer, version: str | None, method: str) -> None:
    if version == MODERN:
        as_a_field = method if method.isascii() and method == method.strip() and method else "other"
        fields: dict[str, Any] = {"mcp_protocol_version": MODERN, "mcp_method": as_a_field}
        answer = peer.ask("POST", "/mcp", message(method, enveloped()), **fields)
        assert error(answer) == ((404, -32601) if as_a_field == method else (400, -32020))
    else:
        answer = peer.ask("POST", "/mcp", message(method, {}), mcp_protocol_version=version)
        assert error(answer) == (200, -32601)
    assert answer.json["id"] == 1


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "TRACE", "PROPFIND", "get", "X" * 100])
@pytest.mark.parametrize("path", ["/mcp", "/sse", "/message", "/health"])
def test_an_unknown_verb(peer: Peer, verb: str, path: str) -> None:
    answer = peer.ask(verb, path, content_length=0)
    assert refusal(answer) == (405, "method")
    assert "GET" in answer.fields["allow"] or path == "/message"


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/mcp/x", "//mcp", "/mcp%00", "/" + "x" * 1000, "/..", "/sse?", "/%"]
)
def test_an_unknown_path(peer: Peer, path: str) -> None:
    answer = peer.ask("GET", path)
    if path == "/sse?":
        assert answer.status == 200
    else:
        assert refusal(answer) == (404, "unknown_path")


# --- wrong types

WRONG = {
    "nothing": (b"", -32700),
    "blanks": (b"   ", -32700),
    "half": (b'{"jsonrpc":"2.0","id":1,', -32700),
    "two": (PING + PING, -32700),
    "bad UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "NaN": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}', -32700),
    "null": (b"null", -32600),
    "number": (b"17", -32600),
    "string": (b'"ping"', -32600),
    "empty object": (b"{}", -32600),
    "jsonrpc 1.0": (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
    "jsonrpc 2": (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', -32600),
    "no jsonrpc": (b'{"id":1,"method":"ping"}', -32600),
    "method is a number": (b'{"jsonrpc":"2.0","id":1,"method":17}', -32600),
    "method is null": (b'{"jsonrpc":"2.0","id":1,"method":null}', -32600),
    "no method": (b'{"jsonrpc":"2.0","id":1}', -32600),
    "result and error": (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600),
}


@pytest.mark.parametrize(("body", "code"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("door", ["/mcp", "pair"])
def test_what_is_no_message(peer: Peer, body: bytes, code: int, door: str) -> None:
    pair = None if door == "/mcp" else Peer(peer.server)
    assert error(peer.ask("POST", "/mcp" if pair is None else open_pair(pair), body)) == (400, code)
    if pair is not None:
        pair.sock.close()


WRONG_PARAMS: dict[str, Any] = {
    "array": [1],
    "string": "x",
    "number": 17,
    "name is a number": {"name": 17},
    "name is null": {"name": None},
    "no name": {"arguments": {}},
    "meta is an array": {"name": "echo", "_meta": []},
    "cursor is a number": {"name": "echo", "cursor": 1},
}


@pytest.mark.parametrize("params", WRONG_PARAMS.values(), ids=WRONG_PARAMS)
def test_params_of_a_wrong_type(peer: Peer, params: Any) -> None:
    answer = peer.ask("POST", "/mcp", message("tools/call", params))
    assert error(answer) == (200, -32602)
    assert answer.json["id"] == 1


@pytest.mark.parametrize("arguments", [[1], "x", 17, True, {"text": 17}, {"text": None}, {"other": "x"}, {}])
def test_arguments_of_a_wrong_type_are_told_to_the_model(peer: Peer, arguments: Any) -> None:
    answer = peer.ask("POST", "/mcp", message("tools/call", {"name": "echo", "arguments": arguments}))
    assert answer.status == 200
    assert answer.json["result"]["isError"] is True
    assert "echo" in said(answer)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"protocolVersion": 2025},
        {"protocolVersion": None},
        {"protocolVersion": "2025-11-25", "capabilities": []},
        {"protocolVersion": "2025-11-25", "capabilities": "all"},
        [],
        "x",
    ],
)
def test_initialize_with_wrong_types_opens_nothing(peer: Peer, params: Any) -> None:
    count = peer.server.table.count
    answer = peer.ask("POST", "/mcp", message("initialize", params))
    assert error(answer) == (200, -32602)
    assert "mcp-session-id" not in answer.fields
    assert peer.server.table.count == count


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"io.modelcontextprotocol/protocolVersion": 2026},
        {"io.modelcontextprotocol/clientCapabilities": {}},
        {"io.modelcontextprotocol/protocolVersion": MODERN},
        {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": []},
    ],
)
def test_an_envelope_with_wrong_types(peer: Peer, meta: Any) -> None:
    fields = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": "echo"}
    params = {"name": "echo", "arguments": {"text": "x"}, "_meta": meta}
    assert error(peer.ask("POST", "/mcp", message("tools/call", params), **fields)) == (400, -32602)


# --- ids of every JSON kind

TAKEN = [b"1", b"0", b"-1", b'"1"', b'""', b"9007199254740993", b"1" * 60, '"é"'.encode(), b'"' + b"x" * 5000 + b'"']
REFUSED = [b"null", b"true", b"false", b"1.5", b"1e3", b"-0.0", b"[]", b"[1]", b"{}", b'{"a":1}']


@pytest.mark.parametrize("door", ["/mcp", "modern", "pair"])
@pytest.mark.parametrize("id", TAKEN, ids=lambda id: id[:20].decode())
def test_ids_are_echoed_to_the_letter(peer: Peer, id: bytes, door: str) -> None:
    if door == "modern":
        body, fields = modern("echo", text="x")
        answer = peer.ask("POST", "/mcp", body.replace(b'"id": 1', b'"id": ' + id), **fields)
    else:
        body = call("echo", text="x").replace(b'"id": 1', b'"id": ' + id)
        if door == "/mcp":
            answer = peer.ask("POST", "/mcp", body)
        else:
            other = Peer(peer.server)
            assert other.ask("POST", open_pair(peer), body).status == 202
            other.sock.close()
            answer = peer.reader.answers[0]
            while len(answer.messages) < 2:
                peer.read()
            assert b'"id":' + id + b"," in answer.body
            return
    assert answer.status == 200
    assert answer.body.startswith(b'{"jsonrpc":"2.0","id":' + id + b",")


def test_an_id_with_escapes_is_the_same_id(peer: Peer) -> None:
    answer = peer.ask("POST", "/mcp", call("echo", text="x").replace(b'"id": 1', rb'"id": "\u0061\n"'))
    assert answer.json["id"] == "a\n"


@pytest.mark.parametrize("door", ["/mcp", "modern", "pair"])
@pytest.mark.parametrize("id", REFUSED, ids=lambda id: id.decode())
def test_what_is_no_id_is_refused_and_nothing_runs(peer: Peer, id: bytes, door: str) -> None:
    before = peer.server.stats.methods["tools/call"].seconds.count
    fields: dict[str, Any] = {}
    target, pair = "/mcp", None
    body = call("echo", text="x")
    if door == "modern":
        body, fields = modern("echo", text="x")
    elif door == "pair":
        pair = Peer(peer.server)
        target = open_pair(pair)
    answer = peer.ask("POST", target, body.replace(b'"id": 1', b'"id": ' + id), **fields)
    assert error(answer) == (400, -32600)
    assert "id" not in answer.json
    assert peer.server.stats.methods["tools/call"].seconds.count == before
    if pair is not None:
        pair.sock.close()


# --- depth


def nested(depth: int, kind: str) -> bytes:
    return b"[" * depth + b"]" * depth if kind == "array" else b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.requirement("D-depth")
@pytest.mark.parametrize("depth", [1000, 100_000, 600_000])
@pytest.mark.parametrize(
    "where",
    [
        b"%b",
        b'{"jsonrpc":"2.0","id":%b,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":%b}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":%b}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"x":%b}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":%b}}',
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":%b}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b}}',
        b'{"jsonrpc":"2.0","id":1,"result":%b}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","unknown":%b}',
    ],
    ids=["message", "id", "params", "arguments", "meta", "level", "capabilities", "cancelled", "result", "unknown"],
)
def test_deep_nesting(peer: Peer, where: bytes, depth: int, kind: str) -> None:
    answer = peer.ask("POST", "/mcp", where.replace(b"%b", nested(depth, kind)))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
    data = answer.json["error"]["data"]
    assert (data["setting"], data["want"]) == ("max_depth", "at most 512 levels")
    assert depth <= data["saw"] <= depth + 4


@pytest.mark.parametrize("kind", ["array", "object"])
def test_nesting_that_is_allowed_is_read_on_every_interpreter(peer: Peer, kind: str) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":%b}}' % nested(510, kind)
    assert peer.ask("POST", "/mcp", body).json["result"] == {}
    body = call("echo", text="[" * 100_000)
    assert said(peer.ask("POST", "/mcp", body)) == "[" * 100_000
    tool = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":%b}}}'
    assert peer.ask("POST", "/mcp", tool % nested(509, kind)).json["result"]["isError"]


def test_deep_nesting_in_a_batch(peer: Peer) -> None:
    body = b"[" + call("echo", 1, text="x") + b"," + nested(100_000, "array") + b"]"
    answer = peer.ask("POST", "/mcp", body, mcp_protocol_version="2025-03-26")
    assert (answer.status, answer.json["error"]["data"]["setting"]) == (400, "max_depth")


# --- size


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_of_64_mib(peer: Peer, chunked: bool) -> None:
    size = 64 * MIB
    memory = peer.server.memory()
    if chunked:
        peer.send(http("POST", "/mcp", content_length=None, transfer_encoding="chunked"), "POST")
        piece = b"%x\r\n" % MIB + b" " * MIB + b"\r\n"
    else:
        peer.send(http("POST", "/mcp", content_length=size), "POST")
        piece = b" " * MIB
    for _ in range(64):
        peer.send(piece)
    answer = peer.answer()
    assert refusal(answer) == (413, "body_too_large")
    assert answer.json["error"]["data"]["setting"] == "max_body"
    assert peer.server.memory() - memory < 32 * MIB
    advance(peer.server, 3.0)
    peer.wait_closed()


def test_a_body_at_the_limit_is_served(peer: Peer) -> None:
    frame = len(call("echo", text=""))
    text = "x" * (4 * MIB - frame)
    assert said(peer.ask("POST", "/mcp", call("echo", text=text))) == text
    answer = peer.ask("POST", "/mcp", call("echo", text=text + "x"))
    assert refusal(answer) == (413, "body_too_large")


@pytest.mark.parametrize("how", ["one field", "many fields", "one name", "target", "no end"])
def test_a_head_of_100_kib(peer: Peer, how: str) -> None:
    long = "x" * 100 * KIB
    if how == "one field":
        answer = peer.ask("GET", "/ready", x_long=long)
    elif how == "many fields":
        many: dict[str, Any] = {f"x_{number}": "x" * 100 for number in range(1000)}
        answer = peer.ask("GET", "/ready", **many)
    elif how == "one name":
        one: dict[str, Any] = {"x" * 100 * KIB: "x"}
        answer = peer.ask("GET", "/ready", **one)
    elif how == "target":
        answer = peer.ask("GET", "/ready?" + long)
    else:
        peer.send(b"x" * 100 * KIB, "GET")
        answer = peer.answer()
    status, reason = refusal(answer)
    assert (status, reason) in ((431, "head_too_large"), (414, "target_too_long"))
    assert status == (414 if how in ("target", "no end") else 431)
    assert answer.json["error"]["data"]["setting"] == "max_head"


# --- content type


@pytest.mark.parametrize(
    "type",
    [None, "", "text/plain", "application/xml", "multipart/form-data; boundary=x", "application/jsonp", ";", "*/*"],
)
@pytest.mark.parametrize("door", ["/mcp", "pair"])
def test_a_wrong_content_type(peer: Peer, type: str | None, door: str) -> None:
    pair = None if door == "/mcp" else Peer(peer.server)
    answer = peer.ask("POST", "/mcp" if pair is None else open_pair(pair), PING, content_type=type)
    assert refusal(answer) == (415, "content_type")
    assert answer.json["error"]["data"]["want"] == "Content-Type: application/json"
    if pair is not None:
        pair.sock.close()


def test_a_compressed_body(peer: Peer) -> None:
    answer = peer.ask("POST", "/mcp", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", content_encoding="gzip")
    assert refusal(answer) == (415, "content_encoding")


# --- sessions

NO_SESSION = [
    "00000000-0000-8000-8000-000000000000",
    "ffffffff-ffff-8fff-bfff-ffffffffffff",
    "00000000-0000-0000-0000-000000000000",
    "x",
    "x" * 5000,
    "0" * 36,
    "../../etc/passwd",
    "é",
]


@pytest.mark.parametrize("id", NO_SESSION, ids=lambda id: id[:36])
@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE", "pair"])
def test_an_unknown_session(peer: Peer, id: str, verb: str) -> None:
    if verb == "pair":
        answer = peer.ask("POST", f"/message?sessionId={id if id.isascii() else '%C3%A9'}", PING)
    else:
        answer = peer.ask(verb, "/mcp", PING if verb == "POST" else b"", mcp_session_id=id, accept=BOTH)
    assert refusal(answer) == (404, "unknown_session")
    assert answer.json["error"]["code"] == -32001


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_an_ended_session(peer: Peer, verb: str) -> None:
    fields = open_session(peer)
    assert peer.ask("DELETE", "/mcp", **fields).status == 200
    answer = peer.ask(verb, "/mcp", PING if verb == "POST" else b"", **fields)
    assert refusal(answer) == (404, "unknown_session")


def test_an_expired_session(peer: Peer) -> None:
    fields = open_session(peer)
    advance(peer.server, 61.0)
    assert refusal(peer.ask("POST", "/mcp", PING, **fields)) == (404, "unknown_session")


def test_a_pair_that_has_ended(peer: Peer) -> None:
    pair = Peer(peer.server)
    uri = open_pair(pair)
    pair.sock.close()
    limit = time.monotonic() + WAIT
    while peer.server.stats.streams_open["httpsse"]:
        assert time.monotonic() < limit
        settle(peer.server)
    assert peer.ask("POST", uri, PING).status == 202
    advance(peer.server, 31.0)
    assert refusal(peer.ask("POST", uri, PING)) == (404, "unknown_session")


@pytest.mark.parametrize("query", ["", "?", "?session=x", "?sessionid=x", "?x&y"])
def test_no_session_at_all(peer: Peer, query: str) -> None:
    assert refusal(peer.ask("POST", f"/message{query}", PING)) == (400, "no_session")


def test_a_session_of_the_other_transport(peer: Peer) -> None:
    fields = open_session(peer)
    answer = peer.ask("POST", f"/message?sessionId={fields['mcp_session_id']}", PING)
    assert refusal(answer) == (404, "unknown_session")
    pair = Peer(peer.server)
    id = open_pair(pair).partition("=")[2]
    assert refusal(peer.ask("POST", "/mcp", PING, mcp_session_id=id)) == (404, "unknown_session")
    pair.sock.close()


@pytest.mark.parametrize("id", ["0-1", "7-1", "x", "0-99999999999999999999999999", "-", "0:1", "é"])
def test_an_event_id_that_never_was(peer: Peer, id: str) -> None:
    fields = open_session(peer)
    assert refusal(peer.ask("GET", "/mcp", last_event_id=id, **fields)) == (400, "event_gone")
    pair = Peer(peer.server)
    assert pair.ask("GET", "/sse", last_event_id=id).status == 200
    pair.sock.close()


# --- strangers


@pytest.mark.parametrize(
    "fields",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost.evil.example"},
        {"origin": "http://evil.example:3002"},
        {"origin": "file://"},
        {"origin": "http://[::2]"},
        {"origin": "localhost"},
        {"origin": ""},
        {"origin": "x" * 10_000},
        {"host": "evil.example"},
        {"host": "localhost.evil.example:3002"},
        {"host": "10.0.0.1"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
    ids=lambda fields: json.dumps(fields)[:50],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("GET", "/sse"),
        ("POST", "/message"),
        ("GET", "/sessions"),
        ("OPTIONS", "/mcp"),
    ],
)
def test_a_foreign_origin_or_host(peer: Peer, method: str, path: str, fields: dict[str, Any]) -> None:
    answer = peer.ask(method, path, PING if method == "POST" else b"", **fields)
    status, reason = refusal(answer)
    assert (status, reason) == (403, "host" if "host" in fields else "origin")
    assert answer.json["error"]["data"]["setting"]
    assert "access-control-allow-origin" not in answer.fields


# --- slow


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_client_that_sends_one_byte_a_second(peer: Peer, part: str) -> None:
    request = http("POST", "/mcp", PING, x_padding="x" * 100)
    begin = 0 if part == "head" else len(request) - len(PING)
    peer.send(request[:begin], "POST")
    seconds = 0
    peer.sock.setblocking(False)
    while not peer.reader.answers:
        peer.send(request[begin + seconds : begin + seconds + 1])
        settle(peer.server)
        advance(peer.server, 1.0)
        seconds += 1
        with contextlib.suppress(BlockingIOError):
            peer.read()
    peer.sock.settimeout(WAIT)
    assert refusal(peer.answer()) == (408, f"slow_{part}")
    limit = 10 if part == "head" else 15
    assert limit <= seconds <= limit + 2
    advance(peer.server, 3.0)
    peer.wait_closed()


def test_a_thousand_requests_that_are_bad_leave_nothing(peer: Peer) -> None:
    for number in range(1000):
        body = list(WRONG.values())[number % len(WRONG)][0]
        assert peer.ask("POST", "/mcp", body).status == 400
    assert (
        said(peer.ask("POST", "/mcp", call("echo", text="and on the same connection"))) == "and on the same connection"
    )
