"""The other end of a connection, for tests: one request to the letter, and its answer, read as strictly as can be.

What is not exactly what the server promises is an AssertionError. A line is a socket or what looks like one: `testing`
has those that are in memory. RFC 9112; WHATWG HTML §9.2 (one `data:` line per event, as the server writes them).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

Fields = list[tuple[str, str]]


class Line(Protocol):
    """What is needed of a connection; a socket is one."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Answer:
    """An HTTP response: whole, or an event stream that is read as it comes.

    `last`: its line is closed when it has been read.
    """

    def __init__(self, line: Line, last: bool = True) -> None:
        self.line = line
        self.last = last
        self.reading: Iterator[dict[str, str]] | None = None
        self.data = b""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        self.chunked = self.fields.get("transfer-encoding") == "chunked"
        self.type = self.fields.get("content-type", "").partition(";")[0]
        self.body = b""
        if self.type != "text/event-stream":
            self.body = b"".join(self._pieces())

    def _more(self) -> bool:
        data = self.line.recv(65536)
        self.data += data
        return bool(data)

    def _until(self, end: bytes) -> bytes:
        while end not in self.data:
            if not self._more():
                raise EOFError(self.data)
        found, _, self.data = self.data.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self.data) < size:
            if not self._more():
                raise EOFError(self.data)
        found, self.data = self.data[:size], self.data[size:]
        return found

    def _pieces(self) -> Iterator[bytes]:
        if not self.chunked:
            yield self._exactly(int(self.fields["content-length"]))
        else:
            while size := int(self._until(b"\r\n"), 16):
                yield self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        if self.last:
            self.close()

    def json(self) -> Any:
        assert self.type == "application/json", (self.status, self.fields)
        return json.loads(self.body)

    def events(self) -> Iterator[dict[str, str]]:
        """Events as they come; a comment is an event with the key "". Ends with the stream."""
        assert self.type == "text/event-stream", (self.status, self.fields, self.body)
        rest = ""
        for piece in self._pieces():
            rest += piece.decode()
            while "\n\n" in rest:
                block, _, rest = rest.partition("\n\n")
                lines = [line.partition(": ") for line in block.split("\n")]
                assert all(colon for _, colon, _ in lines), block
                assert [name for name, _, _ in lines].count("data") <= 1, block
                yield {name: value for name, _, value in lines}
        assert not rest

    def take(self, count: int) -> list[dict[str, str]]:
        """That many events with data; those behind them can still be read."""
        if self.reading is None:
            self.reading = (event for event in self.events() if "data" in event)
        return list(itertools.islice(self.reading, count))

    def close(self) -> None:
        self.line.close()


def ask(
    line: Line, host: str, method: str, target: str, body: bytes | None, fields: Iterable[tuple[str, str]], last: bool
) -> Answer:
    """One request, to the letter; its answer as far as the head."""
    given = list(fields)
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in given):
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in given]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    line.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
    return Answer(line, last)
