"""What a request may lead to. Rules return one of these; only `Connection` performs it (law 4).

Reply      an HTTP answer that is complete: a result, an error, a page, 202, a refusal
Call       a handler is to run; its answer goes where `Call` says
Batch      several messages of one 2025-03-26 array, answered together
Listen     the response is an event stream from its first byte
Authenticate  somebody else has to say who asks; then the rules are asked again
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from fastsse import _framing
from fastsse.principal import NEVER, Credentials, Principal
from fastsse.responses import EVENTS, JSON

if TYPE_CHECKING:
    from fastsse._framing import Head
    from fastsse.errors import CloseReason, McpError
    from fastsse.handler import Answer, Request
    from fastsse.questions import Question
    from fastsse.session import Session
    from fastsse.stream import Event, EventStream

TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
NOTHING = b""


class Reply:
    """`type`: the content type, b"" for an empty body. `extra`: further header lines, each ending in CRLF.
    `close`: the connection cannot be used afterwards. `reason`: the slug of a refusal, for metrics. `constant`: it is
    given to many requests, and kept as a `whole` answer for the Date it was `dated` with. `failed`: it tells of an
    error of the message, here or on a stream; for metrics only."""

    __slots__ = ("body", "close", "constant", "dated", "extra", "failed", "reason", "status", "type", "whole")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        type: bytes = JSON,
        extra: bytes = b"",
        close: bool = False,
        reason: str | None = None,
        constant: bool = False,
        failed: bool = False,
    ) -> None:
        self.status = status
        self.body = body
        self.type = type
        self.extra = extra
        self.close = close
        self.reason = reason
        self.constant = constant
        self.failed = failed
        self.dated: bytes | None = None
        self.whole = b""


ACCEPTED = Reply(202, b"", NOTHING, constant=True)
"""A notification or response was taken (all revisions from 2025-03-26)."""


class Era:
    """How one era says things; what `dispatch` needs of it."""

    __slots__ = ("era_status", "modern", "name")

    def __init__(self, name: str, modern: bool, era_status: dict[int, int]) -> None:
        self.name = name
        self.modern = modern  # closing the response cancels; questions end the round
        self.era_status = era_status

    def reply(self, request: Request, answer: Answer) -> bytes:
        """The encoded JSON-RPC response."""
        raise NotImplementedError

    def failure(self, request: Request, error: McpError) -> bytes:
        """The encoded JSON-RPC error response."""
        raise NotImplementedError

    def status(self, error: McpError) -> int:
        """The HTTP status of such an error, as long as no stream has begun."""
        raise NotImplementedError

    def open_stream(self, call: Call) -> EventStream:
        """The stream on which this call's answer travels, once it has become one."""
        raise NotImplementedError

    def input_required(self, request: Request, open: dict[str, Question], answered: dict[str, object]) -> bytes:
        """The encoded response that asks the client (2026-07-28)."""
        raise NotImplementedError


class Call:
    """A handler is to run.

    `sse`: the client reads event streams; `sse_first`: it reads them before anything else. `stream`: where answer and
    notifications go; None as long as they go into a plain HTTP answer. `accepted`: the HTTP answer that is
    given at once (the HTTP+SSE pair), else None. `extra`: further header lines of its answer, each ending in CRLF.
    """

    __slots__ = ("accepted", "era", "extra", "failed", "request", "sse", "sse_first", "status", "stream")

    accepted: Reply | None
    era: Era
    extra: bytes
    failed: bool
    request: Request
    sse: bool
    sse_first: bool
    status: int
    stream: EventStream | None


def new_call(
    request: Request,
    era: Era,
    sse: bool,
    sse_first: bool = False,
    stream: EventStream | None = None,
    accepted: Reply | None = None,
) -> Call:
    """A `Call`. No constructor: compiled, this costs a fifth of one."""
    call = Call.__new__(Call)
    call.request = request
    call.era = era
    call.sse = sse
    call.sse_first = sse_first
    call.stream = stream
    call.accepted = accepted
    call.extra = b""
    call.status = 200
    call.failed = False
    return call


class Batch:
    """Replies that are there already and calls that are still to run; answered as one JSON array."""

    __slots__ = ("calls", "replies")

    def __init__(self, replies: list[bytes], calls: list[Call]) -> None:
        self.replies = replies
        self.calls = calls


class Listener(Protocol):
    """Who receives events for everybody on a stream of its own."""

    def offer(self, event: Event) -> None: ...

    def finish(self, reason: CloseReason) -> None:
        """Ends the stream, as the era has it."""
        ...


class Listen:
    """The response is an event stream from its first byte.

    `opening`: frames that leave with the head. `after`: replay what followed this event first. `audience`:
    receives events for everybody as long as the connection lives. `heartbeat(timestamp)`: a frame to send
    every `heartbeat` seconds (guide C). `session`: whose stream it is, if anybody's; without one it is `principal`'s.
    """

    __slots__ = (
        "after", "audience", "era", "extra", "heartbeat", "opening", "principal", "session", "stream",
    )  # fmt: skip

    def __init__(
        self,
        era: str,
        stream: EventStream,
        opening: list[bytes],
        after: int | None = None,
        audience: Listener | None = None,
        heartbeat: Callable[[str], bytes] | None = None,
        session: Session | None = None,
        extra: bytes = b"",
        principal: Principal | None = None,
    ) -> None:
        self.era = era
        self.stream = stream
        self.opening = opening
        self.after = after
        self.audience = audience
        self.heartbeat = heartbeat
        self.session = session
        self.extra = extra
        self.principal = principal

    def expires(self) -> float:
        """Unix time at which what proves whose stream it is stops to; a later request of its session may renew that."""
        owner = self.principal if self.session is None else self.session.principal
        return NEVER if owner is None else owner.expires


class Authenticate:
    """Who asks is not known yet: `keys`, the issuer's keys have to be fetched; otherwise the application says it, from
    the credentials."""

    __slots__ = ("credentials", "keys")

    def __init__(self, credentials: Credentials, keys: bool) -> None:
        self.credentials = credentials
        self.keys = keys


Decision = Reply | Call | Batch | Listen | Authenticate


class Accepts:
    """What a client reads, from its Accept header: `sse`, and `sse_first` when that comes before everything else it
    lists, or is all it lists. Such a client gets every answer as an event stream."""

    __slots__ = ("sse", "sse_first")

    def __init__(self, sse: bool, sse_first: bool) -> None:
        self.sse = sse
        self.sse_first = sse_first


def accepts(accept: bytes | None) -> Accepts:
    """A missing Accept and wildcards mean JSON; SSE only for those that list `text/event-stream`."""
    if accept is None:
        return Accepts(False, False)
    sse = first = other = False
    for item in accept.lower().split(b","):
        media, _, parameters = item.strip().partition(b";")
        if b"q=0" in parameters.replace(b" ", b"") and not parameters.replace(b" ", b"").strip(b"q=0."):
            continue
        if media.strip() == b"text/event-stream":
            sse, first = True, not other
        elif media.strip():
            other = True
    return Accepts(sse, first)


def answer(body: bytes, accepts: Accepts, status: int = 200, failed: bool = False) -> Reply:
    """A finished JSON-RPC response: as JSON, or as one event for a client that puts event streams first."""
    if accepts.sse_first and status == 200:
        return Reply(status, _framing.event(body, b"message"), EVENTS, failed=failed)
    return Reply(status, body, failed=failed)


def wants_events(head: Head) -> bool:
    """Whether a GET can be answered with an event stream: everything but an Accept that rules it out."""
    accept = head.accept
    if accept is None:
        return True
    lowered = accept.lower()
    return b"text/event-stream" in lowered or b"*/*" in lowered or b"text/*" in lowered
