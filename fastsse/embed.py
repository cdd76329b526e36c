"""Hosts an MCP server written with the official Python SDK 2.x, or with FastMCP 4: lends it our wire.

A `Hosted` is a `Guest`: each request goes to the SDK's own runner with an `Exchange` for its transport, in the session
eras over one SDK connection per session, at 2026-07-28 over one per request. Only public names of the SDK are used, and
its lifespan is entered once, when our server starts. What the hosted server has and we do not carry stops the start:
ConfigError, in one sentence. Called by `hosting`, when it is given such a server; needs `fastsse[mcp]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from mcp.server.runner import ServerRunner, aclose_shielded, serve_one
from mcp.server.subscriptions import ListenHandler
from mcp.shared.inbound import validate_mcp_param_headers
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, INTERNAL_ERROR, PROTOCOL_VERSION_META_KEY
from starlette.applications import Starlette

from fastsse import jsonrpc
from fastsse.errors import ConfigError, McpError
from fastsse.exchange import Exchange, Link
from fastsse.handler import ASYNC, Answer, Guest, Notification, Plan, Request, Result, Work
from fastsse.revisions import R5

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastsse.config import Config
    from fastsse.context import Context

log = logging.getLogger("fastsse.embed")

FASTMCP: dict[str, object] = {
    "stateless_http": False,
    "json_response": False,
    "http_allowed_hosts": None,
    "http_allowed_origins": None,
    "http_host_origin_protection": False,
    "http_session_idle_timeout": "auto",
    "streamable_http_path": "/mcp",
    "sse_path": "/sse",
    "message_path": "/messages/",
}
"""Settings of FastMCP's own transports that change what clients see, and the values that we serve as well."""

FAREWELL = 5.0
"""Seconds that handlers of notifications may take to end when the server stops: what the SDK gives an exit stack."""

MOST_PAGES = 100
"""Pages of tools that are looked through for one schema: the SDK's own limit."""


def host(found: object, config: Config) -> Hosted:
    """The guest for such a server. Raises ConfigError when it is none, or has what we do not carry."""
    if isinstance(found, Server):
        return Hosted(found.name, found.version, config, found)
    if isinstance(found, MCPServer):
        app = found.streamable_http_app()
        refuse(f"MCPServer {found.name!r}", found.settings.auth is not None, app, ())
        return Hosted(found.name, found.version, config, found.session_manager.app)
    if any(kind.__module__.partition(".")[0] == "fastmcp" for kind in type(found).__mro__):
        return HostedFastMCP(found, config)
    raise ConfigError(f"{type(found).__module__}.{type(found).__name__} is no server that can be hosted")


def refuse(what: str, auth: bool, app: Starlette, ours: tuple[str, ...]) -> None:
    """Raises ConfigError when the server's own HTTP application has what we do not carry. `ours`: middleware that
    our wire replaces."""
    if auth:
        raise ConfigError(
            f"{what} brings its own authentication, which fastsse does not carry: remove auth and its provider there,"
            " and configure fastsse's"
        )
    routes = sorted({str(getattr(route, "path", route)) for route in app.routes} - {"/mcp"})
    if routes:
        raise ConfigError(
            f"{what} has routes that fastsse does not carry: {', '.join(routes)}; serve them with a server of their own"
        )
    names = [str(getattr(one.cls, "__name__", one.cls)) for one in app.user_middleware]
    middleware = sorted(set(names) - set(ours))
    if middleware:
        raise ConfigError(f"{what} has HTTP middleware that fastsse does not carry: {', '.join(middleware)}")


class Hosted(Guest):
    """A server of the Python SDK behind our wire."""

    server: Server[Any]
    loop: asyncio.AbstractEventLoop

    def __init__(self, name: str, version: str, config: Config, server: Server[Any] | None = None) -> None:
        if server is not None:
            self.server = server
        self.name = name
        self.version = version
        self.state: Any = None
        self.scheme = "http" if config.tls_cert is None else "https"
        self.ask_timeout = config.ask_timeout
        self.retry_ms = config.retry_ms
        self.lifespan = self._lifespan
        self._work = Work(Plan(ASYNC, name, encode, failed), self._serve)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._listening: set[Context] = set()
        self._tools: list[dict[str, Any]] = []
        self._looking = False

    # --- life

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        """Once for the process, in a task of its own: it may be left from another one than it was entered from."""
        self.loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self.loop.create_future()
        over = asyncio.Event()

        async def live() -> None:
            async with self.entered() as state:
                self.state = state
                ready.set_result(None)
                await over.wait()

        living = self.loop.create_task(live(), name=f"lifespan of {self.name}")
        try:
            await asyncio.wait((living, ready), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            living.cancel()
            await asyncio.wait((living,))
            raise
        if not ready.done():
            living.result()  # raises what the lifespan raised
        self._look()
        try:
            yield
        finally:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=FAREWELL)
            if self._closing:  # bounded by the SDK
                await asyncio.wait(self._closing)
            over.set()
            await living

    def entered(self) -> contextlib.AbstractAsyncContextManager[Any]:
        """The server's lifespan."""
        lifespan: contextlib.AbstractAsyncContextManager[Any] = self.server.lifespan(self.server)
        return lifespan

    def closing(self) -> None:
        """Listen streams end with their result where the server's handler can do that, else without."""
        entry = self.server.get_request_handler("subscriptions/listen")
        if entry is not None and isinstance(entry.handler, ListenHandler):
            entry.handler.close()
            return
        for context in list(self._listening):
            context.cancel("server stops")

    def close(self, connection: Connection) -> None:
        self._start(aclose_shielded(connection), self._closing)

    def _start(self, work: Coroutine[Any, Any, None], *among: set[asyncio.Task[None]]) -> None:
        task = self.loop.create_task(work)
        for tasks in among or (self._tasks,):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    # --- requests

    def handle(self, request: Request) -> Work:
        return self._work

    def entering(self) -> None:
        """A message is about to be handled, in a task of its own."""

    async def _serve(self, context: Context) -> dict[str, Any]:
        self.entering()
        request = context.request
        params = jsonrpc.object_of(request.params) if request.params else None
        link = self._link(request)
        exchange = Exchange(request, self, params, link)
        exchange.answering(context)
        result: dict[str, Any] = {}
        with anyio.CancelScope() as scope:

            def stop() -> None:
                exchange.cancel_requested.set()
                scope.cancel()

            context._stop = stop
            if link is not None:
                result = await link.runner.on_request(exchange, request.method, params)
            elif request.revision.modern:
                result = await self._modern(context, exchange, params or {})
            else:  # as the SDK's own transport does without sessions
                connection = Connection.from_envelope(request.revision.name, None, None)
                result = await self._alone(exchange, request.method, params, connection)
        return result

    async def _alone(
        self, exchange: Exchange, method: str, params: Mapping[str, Any] | None, connection: Connection
    ) -> dict[str, Any]:
        result: dict[str, Any] = await serve_one(
            self.server, exchange, method, params, connection=connection, lifespan_state=self.state
        )
        return result

    async def _modern(self, context: Context, exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
        request = context.request
        meta = params.get("_meta", {})

        def connection() -> Connection:
            capabilities = meta.get(CLIENT_CAPABILITIES_META_KEY)
            return Connection.from_envelope(R5.name, meta.get(CLIENT_INFO_META_KEY), capabilities)

        if request.method == "tools/call":
            await self._check_headers(exchange, params, connection)
        if request.method != "subscriptions/listen":
            return await self._alone(exchange, request.method, params, connection())
        self._listening.add(context)
        try:
            return await self._alone(exchange, request.method, params, connection())
        finally:
            self._listening.discard(context)

    async def _check_headers(
        self, exchange: Exchange, params: dict[str, Any], connection: Callable[[], Connection]
    ) -> None:
        """Compares `Mcp-Param-*` with the arguments; what cannot be found out is passed over, as in the SDK."""
        headers = exchange.message_metadata.request_context.headers
        arguments = params.get("arguments") or {}
        name = params.get("name")
        if not isinstance(arguments, dict) or not (
            arguments or any(header.startswith("mcp-param-") for header in headers)
        ):
            return
        schema: Any = None
        try:
            if self.server.get_tool_input_schema is not None:
                schema = self.server.get_tool_input_schema(str(name))
            else:
                async for tool in self._list(exchange, {"_meta": params.get("_meta", {})}, connection):
                    if tool.get("name") == name:
                        schema = tool.get("inputSchema")
                        break
        except Exception:
            log.exception("Mcp-Param headers are not checked: the schema of %s was not to be had", name)
        if schema is not None:
            wrong = validate_mcp_param_headers(schema, arguments, headers)
            if wrong is not None:
                raise McpError(wrong.code, wrong.message, wrong.data)

    async def _list(
        self, exchange: Exchange, params: dict[str, Any], connection: Callable[[], Connection]
    ) -> AsyncIterator[dict[str, Any]]:
        """The tools that the server lists."""
        if self.server.get_request_handler("tools/list") is None:
            return
        for _ in range(MOST_PAGES):
            page = await self._alone(exchange, "tools/list", params, connection())
            for tool in page.get("tools", ()):
                yield tool
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or cursor == params.get("cursor"):
                return
            params = {**params, "cursor": cursor}

    # --- sessions and notifications

    def _link(self, of: Request | Notification) -> Link | None:
        session = of.session
        if session is None:
            return None
        link = session.kept
        if not isinstance(link, Link):
            link = session.kept = Link(session, self)
        return link

    def notified(self, notification: Notification) -> None:
        try:
            params = jsonrpc.object_of(notification.params) if notification.params else None
        except McpError:
            return
        link = self._link(notification)
        of_session = () if link is None else (link.tasks,)
        self._start(self._notify(notification, params, link), self._tasks, *of_session)

    async def _notify(self, notification: Notification, params: dict[str, Any] | None, link: Link | None) -> None:
        self.entering()
        exchange = Exchange(notification, self, params, link)
        if link is not None:
            if notification.method == "notifications/progress":
                await link.progressed(params or {})
            await link.runner.on_notify(exchange, notification.method, params)
            return
        connection = Connection.from_envelope(notification.revision.name, None, None)
        try:
            await ServerRunner(self.server, connection, self.state).on_notify(exchange, notification.method, params)
        finally:
            await aclose_shielded(connection)

    # --- pages

    def tools_summary(self) -> list[dict[str, Any]]:
        """What the server listed when this was asked last; who asks lets it be looked up again."""
        self._look()
        return self._tools

    def _look(self) -> None:
        if not self._looking:
            self._looking = True
            self._start(self._look_up())

    async def _look_up(self) -> None:
        exchange = Exchange(None, self, None, None)
        params = {"_meta": {PROTOCOL_VERSION_META_KEY: R5.name, CLIENT_CAPABILITIES_META_KEY: {}}}
        try:
            self.entering()
            found = self._list(exchange, params, lambda: Connection.from_envelope(R5.name, None, {}))
            self._tools = [
                {name: tool.get(name, "") for name in ("name", "description", "inputSchema")} async for tool in found
            ]
        except Exception as error:  # a server may list its tools to clients that it knows only
            log.debug("%s does not tell which tools it has: %s", self.name, error)
        finally:
            self._looking = False


class HostedFastMCP(Hosted):
    """A FastMCP 4 server. Its low-level server is that of its own HTTP application, which never serves."""

    def __init__(self, found: Any, config: Config) -> None:
        import fastmcp
        from fastmcp.server.context import set_transport
        from fastmcp.server.http import StreamableHTTPASGIApp

        if not isinstance(found, fastmcp.FastMCP):
            raise ConfigError(f"fastmcp's {type(found).__name__} is no FastMCP server")
        settings = fastmcp.settings
        for name, plain in FASTMCP.items():
            if getattr(settings, name) != plain:
                raise ConfigError(
                    f"FastMCP's setting FASTMCP_{name.upper()} is {getattr(settings, name)!r}, which fastsse does not"
                    " carry: remove it, and see `fastsse --help` for fastsse's own"
                )
        app: Starlette = found.http_app(host_origin_protection=False)
        refuse(f"FastMCP {found.name!r}", found.auth is not None, app, ("RequestContextMiddleware",))
        super().__init__(found.name, str(found.version or ""), config)
        self._app = app
        self._set_transport = set_transport
        endpoints = [getattr(route, "endpoint", None) for route in app.routes]
        self._endpoint = next(one for one in endpoints if isinstance(one, StreamableHTTPASGIApp))

    @contextlib.asynccontextmanager
    async def entered(self) -> AsyncIterator[Any]:
        async with self._app.router.lifespan_context(self._app):
            self.server = self._endpoint.session_manager.app
            async with self.server.lifespan(self.server) as state:  # counted: entered once, for both
                yield state

    def entering(self) -> None:
        self._set_transport("streamable-http")


def encode(value: dict[str, Any], request: Request) -> Answer:
    return Result(jsonrpc.encode(value), failed=value.get("isError") is True)


def failed(error: Exception, request: Request) -> Answer:
    """The SDK's own mapping of exceptions, era by era. Raises McpError."""
    said = handler_exception_to_error_data(error)
    if said is not None:
        raise McpError(said.code, said.message, said.data) from error
    log.error("%s %s failed", request.method, request.name, exc_info=error)
    if request.revision.modern:
        raise McpError(INTERNAL_ERROR, "Internal server error") from error
    raise McpError(0, str(error)) from error
