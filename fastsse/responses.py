"""Response heads as bytes, rendered once and used until the Date changes.

The writing half of HTTP/1.1 (RFC 9112 §4, RFC 9110 §6.6.1); `http11` is the reading half. Called by
`connection`, which adds the body. `extra` lines come from the rules, each ending in CRLF.
"""

from __future__ import annotations

from http import HTTPStatus

REASONS = {int(status): status.phrase.encode() for status in HTTPStatus}
JSON = b"application/json"
EVENTS = b"text/event-stream"
UNBUFFERED = b"Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"
"""Lines of every answer that is an event stream: no proxy may keep it back, compress it or store it."""

KEPT = 128
"""Rendered heads that are kept: a few statuses times a few origins."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Heads:
    """`date(text)` is told the time once a second; `of` and `stream` give heads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, bytes, bytes, int], bytes] = {}
        self.date(b"Thu, 01 Jan 1970 00:00:00 GMT")

    def date(self, text: bytes) -> None:
        """The Date of all answers until the next call, as an IMF-fixdate."""
        self._date = text
        self._kept.clear()
        self.ok = self._render(200, JSON, b"", 0) + b"Content-Length: "

    def of(self, status: int, type: bytes, extra: bytes, persistence: int) -> bytes:
        """A head that lacks only the length: it ends in `Content-Length: `. `persistence`: 0 the connection goes on
        (HTTP/1.1), 1 it is closed, 2 it goes on although it is HTTP/1.0."""
        if status == 200 and type is JSON and not extra and not persistence:
            return self.ok
        key = (status, type, extra, persistence)
        head = self._kept.get(key)
        if head is None:
            head = self._render(status, type, extra, persistence) + b"Content-Length: "
            if len(self._kept) < KEPT:
                self._kept[key] = head
        return head

    def stream(self, extra: bytes, chunked: bool) -> bytes:
        """The whole head of an event stream; not chunked for HTTP/1.0, where the end of the connection ends it."""
        return (
            self._render(
                200,
                EVENTS,
                (b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n" if chunked else b"Connection: close\r\n")
                + extra,
                0,
            )
            + b"\r\n"
        )

    def _render(self, status: int, type: bytes, extra: bytes, persistence: int) -> bytes:
        lines = b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (status, REASONS.get(status, b"Unknown"), self._date)
        if type:
            lines += b"Content-Type: %b\r\n" % type
        if type == EVENTS:
            lines += UNBUFFERED
        if persistence:
            lines += b"Connection: close\r\n" if persistence == 1 else b"Connection: keep-alive\r\n"
        return lines + extra
