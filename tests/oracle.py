"""The readable twins of `fastsse._framing`, same names and signatures: the specification of the compiled functions,
the partner of the differential tests and the baseline of the benchmarks. The package imports none of it.
"""

import hmac
import re

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


# --- JSON-RPC envelopes (JSON-RPC 2.0 §4, §5)


def result(id: bytes, value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, value)


_result = result  # by another name where a parameter hides it


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
    digits = re.fullmatch(rb"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", session_id)
    return int(digits[1], 16) if digits else -1


def equal(a: bytes, b: bytes) -> bool:
    return hmac.compare_digest(a, b)
