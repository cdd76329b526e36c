"""The readable twins of `fastsse._framing`, same names and signatures: the specification of the compiled functions,
the partner of the differential tests and the baseline of the benchmarks. The package imports none of it.
"""

import ctypes
import hmac
import json
import re
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import h11

LAST_CHUNK = b"0\r\n\r\n"


# --- events (WHATWG HTML §9.2)


def event(data: bytes, name: bytes = b"", id: bytes = b"", retry: int = -1) -> bytes:
    if re.search(rb"[\r\n\0]", name + id):
        raise ValueError("CR, LF or NUL in an event's name or id")
    lines = []
    if name:
        lines.append(b"event: " + name)
    if id:
        lines.append(b"id: " + id)
    if retry >= 0:
        lines.append(b"retry: %d" % retry)
    lines += [b"data: " + line for line in re.split(rb"\r\n|\r|\n", data)]
    return b"".join(line + b"\n" for line in lines) + b"\n"


def numbered(prefix: bytes, number: int, event: bytes) -> bytes:
    if number < 0 or re.search(rb"[\r\n\0]", prefix):
        raise ValueError("CR, LF or NUL in an event's id, or a negative number")
    return b"id: %b%d\n%b" % (prefix, number, event)


def comment(text: bytes = b"") -> bytes:
    if re.search(rb"[\r\n]", text):
        raise ValueError("CR or LF in a comment")
    return b": " + text + b"\n\n"


# --- frames on their way to a socket (RFC 9112 §7.1)


def chunk(frames: list[bytes]) -> bytes:
    body = join(frames)
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def join(frames: list[bytes]) -> bytes:
    return b"".join(frames)


def seconds(clock: Callable[[], float]) -> float:
    return clock()


def called(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return function(*arguments, **named)


def references(value: object) -> int:
    return sys.getrefcount(value)


def enter(variables: Context) -> None:
    ctypes.pythonapi.PyContext_Enter(ctypes.py_object(variables))


def leave(variables: Context) -> None:
    ctypes.pythonapi.PyContext_Exit(ctypes.py_object(variables))


def first_step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        return SimpleNamespace(coroutine=coroutine, future=coroutine.send(None))
    except StopIteration as end:
        return end.value


def between(head: bytes, body: bytes, tail: bytes) -> bytes:
    return head + body + tail


_CHUNK = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*'
)
_TRAILER = re.compile(rb"(?!(?i:content-length|transfer-encoding):)[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


def chunked(data: bytes) -> tuple[bytes, int] | str:
    """A chunked body as `http11` reads it: the body and how many bytes it took, or why there is none."""
    body, at = b"", 0
    while True:
        line, end, _ = data[at:].partition(b"\r\n")
        if not end:
            return "too short"
        size = _CHUNK.fullmatch(line)
        if size is None:
            return "refused"
        at += len(line) + 2
        left = int(size[1], 16)
        if not left:
            break
        if len(body) + left > 1 << 16:
            return "too large"
        body += data[at : at + left]
        at += left
        if b"\r\n" not in data[at:]:
            return "too short"
        if data[at : at + 2] != b"\r\n":
            return "refused"
        at += 2
    while True:
        line, end, _ = data[at:].partition(b"\r\n")
        if not end:
            return "too short"
        at += len(line) + 2
        if not line:
            return body, at
        if not _TRAILER.fullmatch(line):
            return "refused"


# --- JSON-RPC envelopes (JSON-RPC 2.0 §4, §5)


def result(id: bytes, value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, value)


_result = result  # by another name where a parameter hides it


def depth(body: bytes) -> int:
    now = most = 0
    for piece in re.findall(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', body, re.DOTALL):
        now += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(piece, 0)
        most = max(most, now)
    return most


def wrapped_result(id: bytes, opening: bytes, value: bytes, closing: bytes) -> bytes:
    if len(value) < 2 or not value.startswith(b"{") or not value.endswith(b"}"):
        raise ValueError("a result to wrap is an object")
    return result(id, opening + value[1:-1] + closing)


def error(id: bytes | None, value: bytes) -> bytes:
    known = b"" if id is None else b',"id":' + id
    return b'{"jsonrpc":"2.0"%b,"error":%b}' % (known, value)


def notification(method: bytes, params: bytes | None = None) -> bytes:
    given = b"" if params is None else b',"params":' + params
    return b'{"jsonrpc":"2.0","method":%b%b}' % (method, given)


def request(id: bytes, method: bytes, params: bytes | None = None) -> bytes:
    given = b"" if params is None else b',"params":' + params
    return b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (id, method, given)


def tag(notification: bytes, meta: bytes) -> bytes:
    if not notification.endswith(b"}}"):
        raise ValueError("a notification to tag ends in its params object")
    before = notification[:-2]
    comma = b"" if before.rstrip(b" \t\r\n").endswith(b"{") else b","
    return before + comma + b'"_meta":' + meta + b"}}"


# --- answers: envelope and frame in one allocation


def response(head: bytes, body: bytes) -> bytes:
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


def result_response(head: bytes, id: bytes, result: bytes) -> bytes:
    return response(head, _result(id, result))


def result_event(id: bytes, result: bytes, name: bytes, event_id: bytes = b"") -> bytes:
    return event(_result(id, result), name, event_id)


# --- session ids


def place(session_id: bytes) -> int:
    return int(session_id[:8], 16) if re.match(rb"[0-9a-f]{8}", session_id) else -1


def equal(a: bytes, b: bytes) -> bool:
    return hmac.compare_digest(a, b)


def part(data: bytes, start: int, end: int) -> bytes:
    if not 0 <= start <= end <= len(data):
        raise ValueError("these bytes are not there")
    return data[start:end]


def text(piece: bytes | bytearray | memoryview) -> bytes:
    return bytes(memoryview(piece))


# --- request heads


@dataclass(frozen=True)
class Head:
    """The same attributes as the compiled one."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    minor: int
    keep_alive: bool
    content_length: int
    expect_continue: bool
    size: int
    host: bytes | None
    origin: bytes | None
    content_type: bytes | None
    accept: bytes | None
    session_id: bytes | None
    protocol_version: bytes | None
    mcp_method: bytes | None
    mcp_name: bytes | None
    last_event_id: bytes | None
    authorization: bytes | None
    repeated: bool
    fields: list[tuple[bytes, bytes]]


_ONCE = {b"host", b"origin", b"content-type", b"accept", b"mcp-session-id", b"mcp-protocol-version", b"mcp-method"}
_ONCE |= {b"mcp-name", b"last-event-id", b"authorization", b"content-length", b"connection"}
_NEVER = {b"transfer-encoding", b"expect", b"upgrade"}
_TCHAR = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_SHAPE = re.compile(
    rb"(?!CONNECT )" + _TCHAR + rb"+ /[!\"$-~]* HTTP/1\.[01]\r\n(?:" + _TCHAR + rb"+:[\t -~]*\r\n)+\r\n"
)
_PLAIN_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")


def scan(data: bytes, start: int = 0) -> Head | None:
    shape = _SHAPE.match(data, start) if start >= 0 else None
    if shape is None:
        return None
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(shape[0])
    try:
        request = reader.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(request, h11.Request)
    fields = list(request.headers)
    lines = (line.partition(b":") for line in shape[0].split(b"\r\n")[1:-2])
    if fields != [(name.lower(), value.strip(b" \t")) for name, _, value in lines]:
        return None  # h11 makes one of a repeated Content-Length
    names = [name for name, _ in fields]
    values = dict(fields)
    if any(names.count(name) > 1 for name in _ONCE) or not _NEVER.isdisjoint(names):
        return None
    connection = values.get(b"connection", b"keep-alive" if request.http_version == b"1.1" else b"close").lower()
    if not _PLAIN_HOST.fullmatch(values.get(b"host", b"")) or connection not in (b"keep-alive", b"close"):
        return None
    length = values.get(b"content-length", b"0")
    if len(length) > 12:
        return None
    path, _, query = request.target.partition(b"?")
    return Head(
        method=request.method,
        target=request.target,
        path=path,
        query=query,
        minor=int(request.http_version[2:]),
        keep_alive=connection == b"keep-alive",
        content_length=int(length),
        expect_continue=False,
        size=len(shape[0]),
        host=values[b"host"],
        origin=values.get(b"origin"),
        content_type=values.get(b"content-type"),
        accept=values.get(b"accept"),
        session_id=values.get(b"mcp-session-id"),
        protocol_version=values.get(b"mcp-protocol-version"),
        mcp_method=values.get(b"mcp-method"),
        mcp_name=values.get(b"mcp-name"),
        last_event_id=values.get(b"last-event-id"),
        authorization=values.get(b"authorization"),
        repeated=len(set(names)) < len(names),
        fields=fields,
    )


def again(last: Head | None, data: bytes, start: int = 0) -> Head | None:
    head = scan(data, start)
    return head if head is not None and last is not None and _but_length(head) == _but_length(last) else None


def _but_length(head: Head) -> list[object]:
    fields = [(name, value) for name, value in head.fields if name != b"content-length"]
    return [len(head.fields), fields, head.method, head.target, head.minor]


# --- messages


@dataclass
class Message:
    """The attributes of a `_framing.Message` that a call has."""

    id: bytes
    method: str
    params: bytes
    name: str | None
    arguments: bytes
    meta: bytes | None


_BLANKS = re.compile("[ \t\n\r]*")
_KEY = re.compile('[ \t\n\r]*"([ !#-\\[\\]-~]*)"[ \t\n\r]*:[ \t\n\r]*')
_PLAIN_STRING = re.compile('"[ !#-\\[\\]-~]*"')
_SURROGATE = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD]")
_DEEPEST = 64


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_json = json.JSONDecoder(parse_constant=_refuse, parse_int=str)


def _members(text: str, at: int) -> tuple[dict[str, str], int]:
    """The members of the object at `at`, at least one, as they are written, and where it ends."""
    found: dict[str, str] = {}
    if text[at] != "{":
        raise ValueError("no object")
    while True:
        key = _KEY.match(text, at + 1)
        if key is None or key[1] in found:
            raise ValueError("no key, or one that was there before")
        end = _json.raw_decode(text, key.end())[1]
        found[key[1]] = text[key.end() : end]
        blanks = _BLANKS.match(text, end)
        at = end if blanks is None else blanks.end()
        if text[at] == "}":
            return found, at + 1
        if text[at] != ",":
            raise ValueError("no comma")


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _is_plain_object(text: str) -> bool:
    return text[0] == "{" and not _SURROGATE.search(text) and _depth(json.loads(text)) <= _DEEPEST


def scan_call(body: bytes) -> Message | None:
    try:
        text = body.decode("ascii")
        found, end = _members(text, len(text) - len(text.lstrip(" \t\n\r")))
        params = _members(found["params"], 0)[0]
    except (ValueError, LookupError, RecursionError):
        return None
    id, name = found.get("id", "null"), params.get("name", '""')
    if text[end:].strip(" \t\n\r") or set(found) != {"jsonrpc", "id", "method", "params"}:
        return None
    if (
        found["jsonrpc"] != '"2.0"'
        or found["method"] != '"tools/call"'
        or not set(params) <= {"name", "arguments", "_meta"}
    ):
        return None
    if not re.fullmatch("-?[0-9]+", id) and not _PLAIN_STRING.fullmatch(id):
        return None
    if not _PLAIN_STRING.fullmatch(name) or not all(_is_plain_object(params[key]) for key in params if key != "name"):
        return None
    return Message(
        id=id.encode(),
        method="tools/call",
        params=found["params"].encode(),
        name=name[1:-1] if "name" in params else None,
        arguments=params.get("arguments", "").encode(),
        meta=params["_meta"].encode() if "_meta" in params else None,
    )
