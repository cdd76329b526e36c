"""What the Python SDK's server talks to instead of a transport: our calls and sessions as its `DispatchContext`.

An `Exchange` is one message of a client, a `Link` is what is kept for one session: the SDK's `Connection` and its
runner. What a handler says goes onto the stream of the call; what it says to the session at large, onto the session's
own stream (`/sse`, or the standing GET), and is dropped where the client has none, as on the SDK's own transports.
Made by `embed`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, ProgressToken, RequestId
from starlette.requests import Request as HttpRequest

from fastsse import _framing, jsonrpc
from fastsse.asking import Asking
from fastsse.session import ENDED
from fastsse.stream import MESSAGE
from fastsse.writebuffer import CHANGED, LOG, NOTICE

if TYPE_CHECKING:
    import asyncio

    from mcp.server.lowlevel import Server

    from fastsse.context import Context
    from fastsse.handler import Notification, Request
    from fastsse.session import Session
    from fastsse.stream import EventStream

log = logging.getLogger("fastsse.embed")

COLLAPSING = ("/list_changed", "/updated")
"""Change notifications that need not be said twice while they wait."""


class Link:
    """What is kept for one session. Also the SDK's `Outbound` to the client at large."""

    def __init__(self, session: Session, host: Host) -> None:
        self.session = session
        self.host = host
        self.tasks: set[asyncio.Task[None]] = set()  # handlers of the session's notifications
        self.asked: dict[int, ProgressFnT] = {}  # who wants to know how far the client is with what we asked
        self.connection = Connection.for_loop(self, session_id=session.id.decode())
        self.runner = ServerRunner(host.server, self.connection, host.state)

    def ended(self) -> None:
        """The session is over."""
        for task in self.tasks:
            task.cancel()
        self.host.close(self.connection)

    def close_stream(self) -> None:
        """Closes the connection of the session's own stream; the client comes back for the rest."""
        if self.session.stream is not None:
            self.session.stream.pause(self.host.retry_ms)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        stream = self.session.stream
        if stream is None:
            log.debug("%s is dropped: the session has no stream of its own", method)
            return
        encoded = _framing.notification(jsonrpc.encode(method), jsonrpc.encode(params or {}))
        kind, key = (CHANGED, encoded) if method.endswith(COLLAPSING) else (NOTICE, None)
        if method == "notifications/message":
            kind = LOG
        stream.send(_framing.event(encoded, MESSAGE), kind, key)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        stream = self.session.stream
        if stream is None:
            raise NoBackChannelError(method)
        return await self.ask(stream, method, params, opts or {})

    async def ask(
        self, stream: EventStream, method: str, params: Mapping[str, Any] | None, opts: CallOptions
    ) -> dict[str, Any]:
        """The client's result. Raises MCPError when it answers with an error, not in time, or is gone."""
        if self.session.state == ENDED:
            raise MCPError(CONNECTION_CLOSED, "Connection closed")
        asking = Asking(self.session, stream, self.host.loop)
        told = opts.get("on_progress")
        if told is not None:
            self.asked[asking.id] = told
            meta = dict((params or {}).get("_meta") or {})
            params = {**(params or {}), "_meta": {**meta, "progressToken": asking.id}}
        try:
            result, error = await asking.send(method, params, opts.get("timeout", self.host.ask_timeout))
        except TimeoutError:
            raise MCPError(REQUEST_TIMEOUT, f"Request {method!r} timed out") from None
        finally:
            self.asked.pop(asking.id, None)
        if error is not None:
            said = jsonrpc.object_of(error)
            raise MCPError(int(said.get("code", 0)), str(said.get("message", "")), said.get("data"))
        if result is None:
            raise MCPError(CONNECTION_CLOSED, "Connection closed")
        return jsonrpc.object_of(result)

    async def progressed(self, params: Mapping[str, Any]) -> None:
        """The client is so far with what we asked."""
        token = params.get("progressToken")
        told = self.asked.get(token) if isinstance(token, int) else None
        if told is not None and isinstance(params.get("progress"), int | float):
            try:
                await told(params["progress"], params.get("total"), params.get("message"))
            except Exception:
                log.exception("who asked the client could not be told of its progress")


class Host(Protocol):
    """What links and exchanges need of who hosts them; `embed` has one. `state`: what the lifespan yielded."""

    server: Server[Any]
    state: Any
    loop: asyncio.AbstractEventLoop
    ask_timeout: float
    retry_ms: int
    scheme: str

    def close(self, connection: Connection) -> None:
        """Tears down what was registered with this connection."""
        ...


class Exchange:
    """One request or notification of a client: the SDK's `DispatchContext`. None: we ask for ourselves."""

    __slots__ = ("_cancelled", "_transport", "context", "link", "message_metadata", "params", "request_id", "token")

    def __init__(
        self, of: Request | Notification | None, host: Host, params: dict[str, Any] | None, link: Link | None
    ) -> None:
        self.params = params
        self.link = link
        self.context: Context | None = None
        self.request_id: RequestId | None = None
        self.token: ProgressToken | None = None
        self.message_metadata = ServerMessageMetadata(request_context=None if of is None else http_request(of, host))
        self._transport: TransportContext | None = None
        self._cancelled: anyio.Event | None = None

    def answering(self, context: Context) -> None:
        """It is a request, and this is its call."""
        self.context = context
        request = context.request
        self.request_id = context.request_id
        meta = request.meta
        if meta is not None and meta.progress_token is not None:
            self.token = jsonrpc.value(meta.progress_token)
        link = self.link
        if link is not None and request.revision.priming and not link.session.pair:
            self.message_metadata.close_sse_stream = _later(context.close_stream)
            self.message_metadata.close_standalone_sse_stream = _later(link.close_stream)

    @property
    def can_send_request(self) -> bool:
        """Whether the client can be asked: it has a session, and reads an event stream for this call."""
        context = self.context
        return context is not None and self.link is not None and context._call.sse and not context._ended

    @property
    def transport(self) -> TransportContext:
        if self._transport is None:
            request: HttpRequest | None = self.message_metadata.request_context
            pair = self.link is not None and self.link.session.pair
            self._transport = TransportContext(
                kind="sse" if pair else "streamable-http",
                can_send_request=self.can_send_request,
                headers=None if request is None else request.headers,
            )
        return self._transport

    @property
    def cancel_requested(self) -> anyio.Event:
        if self._cancelled is None:
            self._cancelled = anyio.Event()
        return self._cancelled

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        if self.context is not None:
            self.context.notify(method, params)
        elif self.link is not None:
            await self.link.notify(method, params)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        context, link = self.context, self.link
        if link is None or (context is not None and not self.can_send_request):
            raise NoBackChannelError(method)
        if context is None:
            return await link.send_raw_request(method, params, opts)
        stream = context._stream()
        if stream is None:  # the client is gone
            raise MCPError(CONNECTION_CLOSED, "Connection closed")
        return await link.ask(stream, method, params, opts or {})

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self.token is not None:
            params = {"progressToken": self.token, "progress": progress, "total": total, "message": message}
            await self.notify(
                "notifications/progress", {name: value for name, value in params.items() if value is not None}
            )


def _later(act: Callable[[], object]) -> Callable[[], Any]:
    async def do() -> None:
        act()

    return do


def http_request(of: Request | Notification, host: Host) -> HttpRequest:
    """The HTTP request as Starlette knows it; its body is the message."""
    head = of.head
    address = "" if of.client is None else of.client.address()
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1" if head.minor else "1.0",
        "method": head.method.decode("latin-1"),
        "scheme": host.scheme,
        "path": head.path.decode("latin-1"),
        "raw_path": head.path,
        "query_string": head.query,
        "root_path": "",
        "headers": list(head.fields),
        "client": (address, 0) if address else None,
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        name, params = jsonrpc.encode(of.method), of.params or None
        id = getattr(of, "id", None)
        body = _framing.notification(name, params) if id is None else _framing.request(id, name, params)
        return {"type": "http.request", "body": body, "more_body": False}

    return HttpRequest(scope, receive)
