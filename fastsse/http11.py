"""HTTP/1.1 requests from bytes: the compiled scanner for plain heads, h11 for every other head, one face.

One `Requests` per connection keeps the bytes that have arrived and were not answered yet. It gives heads and whole
bodies, and refuses, always with `RequestRefused`, what RFC 9112 says must not be let through even where h11 would:
bare CR or LF, NUL and other controls, line folding, Content-Length beside Transfer-Encoding or more than once, a target
that disagrees with Host, sloppy chunks. What is read or refused depends on the bytes alone, never on how they were cut
into pieces. Called by `connection`; h11 stays in here.
"""

from __future__ import annotations

import re
from typing import Final

import h11

from fastsse import _framing
from fastsse._framing import Head, again, scan
from fastsse.errors import RequestRefused

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/([0-9]\.[0-9])")
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):(" + _TEXT + rb")")
# No line end but CRLF, no control but HTAB: RFC 9112 §2.2, RFC 9110 §5.5. Looks at nothing before its start.
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n")
_DIGITS = re.compile(rb"[0-9]{1,18}")
# RFC 9110 §7.2 and RFC 3986 §3.2.2, without zone ids and addresses of the future.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)(?:[/?].*)?", re.IGNORECASE)
_FRAMING: Final = (b"content-length", b"transfer-encoding")
KEPT = 4096
"""Bytes up to which a head is kept to know it again, as most clients repeat theirs; a larger one counts as held."""
_DEFAULT_PORT: Final = {b"http": b":80", b"https": b":443"}
# RFC 9112 §7.1, extensions without the optional blanks of §7.1.1, which only mislead; 16 digits cannot pass 64 bits.
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)",
)


class Requests:
    """The requests of one connection, in order: `receive` bytes, then `head`, `body`, `done` for one after the other.

    `max_head` and `max_body` are bytes; `plain=False` reads every head with h11. All methods raise `RequestRefused`
    for what cannot be read; after that the connection is good for one answer and has to be closed.
    """

    __slots__ = (
        "_at",
        "_body",
        "_checked",
        "_chunks",
        "_data",
        "_ended",
        "_head",
        "_last",
        "_max_body",
        "_max_head",
        "_missing",
        "_parts",
        "_plain",
    )

    def __init__(self, max_head: int, max_body: int, plain: bool) -> None:
        self._max_head = max_head
        self._max_body = max_body
        self._plain = plain
        self._data: bytes | bytearray = b""  # what has arrived; before _at it is spent
        self._at = 0
        self._checked = 0  # bytes of the unfinished head that need not be looked at again
        self._head: Head | None = None
        self._last: Head | None = None  # the one before, unless it is large
        self._body: bytes | None = None
        self._parts: list[bytes] | None = None  # a body of declared length on its way
        self._missing = 0
        self._chunks: _Chunks | None = None
        self._ended = False

    def receive(self, data: bytes) -> None:
        """Take bytes of any number."""
        missing = self._missing
        if missing:
            assert self._parts is not None
            if len(data) <= missing:
                self._parts.append(data)
                self._missing = missing - len(data)
                return
            self._parts.append(data[:missing])
            self._missing = 0
            data = data[missing:]
        held = self._data
        if self._at == len(held):
            self._data = data
        else:
            if isinstance(held, bytearray):
                del held[: self._at]
            else:
                self._data = held = bytearray(memoryview(held)[self._at :])
            held += data
        self._at = 0

    def head(self) -> Head | None:
        """The head of the next request, the same one until `done`; None while bytes are missing."""
        if self._head is not None:
            return self._head
        data, at = self._data, self._at
        if at == len(data):
            return None
        # What grew piece by piece (a bytearray) is scanned once its head is complete: no byte is scanned over and over.
        head = None
        if self._plain and isinstance(data, bytes):
            head = again(self._last, data, at) or scan(data, at)
        if head is not None and head.size <= self._max_head:
            self._at = at + head.size
            self._last = head if head.size <= KEPT else None
        else:
            head = self._careful_head()
        self._head = head
        return head

    def body(self) -> bytes | None:
        """The whole body of that request, b"" if it has none; None while bytes are missing."""
        if self._body is not None or self._head is None:
            return self._body
        length = self._head.content_length
        if length > 0:
            body = self._declared(length)
        elif length == 0:
            body = b""
        else:
            body = self._chunked()
        if body is None and self._ended:
            raise RequestRefused(400, "incomplete", "The connection was closed in the middle of a request body")
        self._body = body
        if body is not None:
            self._parts = self._chunks = None
        return body

    def done(self) -> None:
        """The request was answered, the bytes behind it are next; RuntimeError if its body has not arrived whole."""
        if self._body is None and self._head is not None and self.body() is None:
            raise RuntimeError("the body was not read: what follows it cannot be told from a request")
        self._head = self._body = None
        if self._at == len(self._data):
            self._data = b""
            self._at = 0

    def idle(self) -> bool:
        """Whether there is nothing at all to take a request from."""
        return self._head is None and self._at == len(self._data)

    @property
    def begun(self) -> bool:
        """Whether bytes of the next head have arrived; the empty line some clients send after a body is none."""
        held = len(self._data)
        return self._head is None and held > self._at and held > self._skip_empty_line()

    @property
    def waiting(self) -> int:
        """Bytes held that do not belong to the current request, or that `body` was not asked for yet."""
        head = self._head
        if head is None:
            return 0
        held = len(self._data) - self._at
        if self._body is None and self._parts is None and head.content_length > 0:
            return max(0, held - min(head.content_length, self._max_body))
        return held

    def held(self) -> int:
        """Bytes kept of the current request, without a head of ordinary size, and of those behind it."""
        held = len(self._data) - self._at
        if self._head is not None and self._head.size > KEPT:
            held += self._head.size
        if self._body is not None:
            held += len(self._body)
        elif self._parts is not None and self._head is not None:
            held += self._head.content_length - self._missing
        elif self._chunks is not None:
            held += len(self._chunks.body)
        return held

    def drop(self) -> None:
        """Lets go of all that has arrived: nothing of it will be served."""
        self._data = b""
        self._at = self._missing = 0
        self._parts = self._chunks = None

    def at_eof(self) -> None:
        """The peer sends no more: from now on what is incomplete is refused."""
        self._ended = True

    def _skip_empty_line(self) -> int:
        """Where the next head begins: §2.2 has a server ignore one empty line before it."""
        return self._at + 2 if self._data[self._at : self._at + 2] == b"\r\n" else self._at

    def _careful_head(self) -> Head | None:
        """The next head, looked at from every side."""
        data = self._data
        start = self._skip_empty_line()
        limit = start + self._max_head
        found = data.find(b"\r\n\r\n", start + max(0, self._checked - 3), limit)
        end = min(len(data), limit) if found < 0 else found + 4
        if data.startswith(b"\n", start) or _FORBIDDEN.search(data, start + max(0, self._checked - 1), end):
            raise RequestRefused(
                400, "forbidden_byte", "The request head holds a control character or a line end that is not CRLF"
            )
        if found >= 0:
            raw = bytes(data[start:end])
            head = (scan(raw) if self._plain and isinstance(data, bytearray) else None) or _unusual(raw)
            self._at = end  # not before: a head that was refused stays the next one
            self._checked = 0
            return head
        if end == limit:
            line = data.find(b"\r\n", start, limit) >= 0
            status, reason, what = (431, "head_too_large", "head") if line else (414, "target_too_long", "line")
            message = f"The request {what} is too large"
            raise RequestRefused(status, reason, message, want=f"at most {self._max_head} bytes", setting="max_head")
        if self._ended and end > start:
            raise RequestRefused(400, "incomplete", "The connection was closed in the middle of a request head")
        self._checked = end - start
        return None

    def _declared(self, length: int) -> bytes | None:
        if self._parts is None:
            if length > self._max_body:
                raise _too_large(length, self._max_body)
            data = self._data
            at = self._at
            end = at + length
            if end <= len(data):
                self._at = end
                return _framing.part(data, at, end) if type(data) is bytes else bytes(data[at:end])
            self._parts = [bytes(data[at:])]
            self._missing = end - len(data)
            self._data = b""
            self._at = 0
        return None if self._missing else b"".join(self._parts)

    def _chunked(self) -> bytes | None:
        if self._chunks is None:
            self._chunks = _Chunks(self._max_head, self._max_body)
        self._chunks.at = self._at
        try:
            self._chunks.read(self._data)
        finally:
            self._at = self._chunks.at
        return bytes(self._chunks.body) if self._chunks.complete else None


class _Chunks:
    """A chunked body (RFC 9112 §7.1) on its way, by our own strict reading: h11 takes blanks, bare CR and bare LF.

    Extensions and trailers are checked and dropped; together they may take `max_head` bytes.
    """

    __slots__ = ("_left", "_max_body", "_searched", "_spare", "_state", "at", "body", "complete")

    def __init__(self, max_head: int, max_body: int) -> None:
        self._max_body = max_body
        self._spare = max_head
        self._left = 0  # bytes of the current chunk still to come
        self._searched = 0
        self._state = _Chunks._size  # unbound: a body must not have to wait for the cycle collector
        self.at = 0  # where it goes on; a line that was refused stays the next one
        self.body = bytearray()
        self.complete = False

    def read(self, data: bytes | bytearray) -> None:
        """Read data from `at` on as far as it goes."""
        while not self.complete:
            if self._left:
                piece = data[self.at : self.at + self._left]
                self.body += piece
                self._left -= len(piece)
                self.at += len(piece)
                if self._left:
                    return
                self._state = _Chunks._gap
            limit = self.at + self._spare + 18  # 16 digits and the line end are free
            end = data.find(b"\r\n", self.at + self._searched, limit)
            if end < 0:
                if len(data) >= limit:
                    self._spend(len(data) - self.at)
                self._searched = max(0, len(data) - self.at - 1)
                return
            self._state(self, bytes(data[self.at : end]))
            self._searched = 0
            self.at = end + 2

    def _size(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RequestRefused(400, "chunk_size", "A chunk does not begin with its size in hexadecimal digits")
        left = int(match[1], 16)
        if len(self.body) + left > self._max_body:
            raise _too_large(len(self.body) + left, self._max_body)
        self._spend(len(match[2]))
        self._left = left
        if not left:
            self._state = _Chunks._trailer

    def _gap(self, line: bytes) -> None:
        if line:
            raise RequestRefused(400, "chunk_end", "A chunk is longer than its size says")
        self._state = _Chunks._size

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
        elif not (field := _FIELD_LINE.fullmatch(line)) or field[1].lower() in _FRAMING:  # RFC 9110 §6.5.1
            raise RequestRefused(400, "trailer", "A trailer is no field line, or frames the message")
        self._spend(len(line))

    def _spend(self, size: int) -> None:
        self._spare -= size
        if self._spare < 0:
            raise RequestRefused(
                431, "trailers_too_large", "Chunk extensions or trailers are too large", setting="max_head"
            )


def _unusual(raw: bytes) -> Head:
    """One complete head, read by h11 after everything h11 is too kind about was refused."""
    line, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RequestRefused(400, "request_line", "The request line is not METHOD TARGET HTTP/1.1")
    method, target, version = match.groups()
    if version not in (b"1.1", b"1.0"):
        raise RequestRefused(505, "version", "This server speaks HTTP/1.1 and HTTP/1.0", saw=f"HTTP/{version.decode()}")
    if method == b"CONNECT":
        raise RequestRefused(501, "connect", "This server is no proxy")
    values: dict[bytes, list[bytes]] = {}
    for line in lines:
        field = _FIELD_LINE.fullmatch(line)
        if field is None:  # §5.1, §5.2: also a blank before the colon, and a folded line
            raise RequestRefused(400, "field_line", "A header line is not NAME: VALUE")
        values.setdefault(field[1].lower(), []).append(field[2].strip(b" \t"))
    hosts = values.get(b"host", [])
    if len(hosts) > 1 or (not hosts and version == b"1.1"):  # §3.2
        raise RequestRefused(400, "host", "A request needs one Host header", saw=len(hosts), want=1)
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise RequestRefused(400, "host", "The Host header is not a host with an optional port")
    _check_target(method, target, hosts)
    length = _body_length(version, values)
    expect = _members(values, b"expect") if version == b"1.1" else []  # RFC 9110 §10.1.1
    if any(member != b"100-continue" for member in expect):
        raise RequestRefused(417, "expectation", "The only expectation known is 100-continue")
    connection = _members(values, b"connection")
    keep_alive = b"close" not in connection and (version == b"1.1" or b"keep-alive" in connection)  # §9.3

    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw))
    reader.receive_data(raw)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError as error:
        raise RequestRefused(error.error_status_hint, "malformed", "The request head is malformed") from error
    assert isinstance(event, h11.Request)
    fields, minor = list(event.headers), int(version[2:])
    return Head.of(event.method, event.target, minor, fields, keep_alive, length, bool(expect), len(raw))


def _members(values: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """The members of a field that is a list, in lower case."""
    members = (member.strip(b" \t").lower() for value in values.get(name, []) for member in value.split(b","))
    return [member for member in members if member]


def _check_target(method: bytes, target: bytes, hosts: list[bytes]) -> None:
    """§3.2: origin-form, absolute-form that agrees with Host, or "*" for OPTIONS; no fragment."""
    absolute = _ABSOLUTE.fullmatch(target)
    if b"#" in target or not (target.startswith(b"/") or absolute or (target == b"*" and method == b"OPTIONS")):
        raise RequestRefused(400, "target", "The request target is neither a path nor an http URI")
    if absolute:
        port = _DEFAULT_PORT[absolute[1].lower()]
        authority = absolute[2].lower().removesuffix(port)
        if not _HOST.fullmatch(authority) or any(authority != host.lower().removesuffix(port) for host in hosts):
            raise RequestRefused(400, "target_host", "The request target and the Host header name different hosts")


def _body_length(version: bytes, values: dict[bytes, list[bytes]]) -> int:
    """§6: the declared length, 0 without one, -1 for a chunked body."""
    lengths = values.get(b"content-length", [])
    codings = values.get(b"transfer-encoding", [])
    if codings:
        if lengths or version == b"1.0":
            raise RequestRefused(400, "framing", "Transfer-Encoding stands beside Content-Length or in HTTP/1.0")
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise RequestRefused(501, "transfer_coding", "The only transfer coding known is chunked", want="chunked")
        return -1
    if len(lengths) > 1 or not all(map(_DIGITS.fullmatch, lengths)):
        raise RequestRefused(400, "content_length", "Content-Length is not one decimal number")
    return int(lengths[0]) if lengths else 0


def _too_large(size: int, limit: int) -> RequestRefused:
    return RequestRefused(
        413, "body_too_large", "The request body is too large", saw=size, want=limit, setting="max_body"
    )
