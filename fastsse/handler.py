"""The seam between the rules and what answers: what is offered (`Catalog`), what answers (`Handler`).

`App` implements both, so the rules answer the handshake, lists and subscriptions for it; a `Guest` (`embed` has one)
answers all of that itself. The rules and `dispatch` know nothing else of either. A handler gets a `Request` whose
arguments are still raw JSON and gives back an encoded result at once, or the `Work` that will lead to one. Sans-IO:
how work is run (loop, thread, time limit) is `dispatch`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from fastsse.errors import MethodNotFound

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fastsse._framing import Head, Message
    from fastsse.jsonrpc import Meta
    from fastsse.principal import Credentials, Principal
    from fastsse.revisions import Revision
    from fastsse.session import Session


class Client(Protocol):
    """Where a request comes from: the peer, or whom a trusted proxy names."""

    def address(self) -> str:
        """Its IP address; "" where there is none."""
        ...


class Request:
    """One request for a handler: `tools/call`, `prompts/get`, `resources/read`, `completion/complete`, lists; for a
    `Guest` every request there is.

    `id`: the JSON text of the request's id. `params` and `arguments`: JSON texts, empty when absent.
    `name`: the tool or prompt name, or the resource URI; "" for other methods. `answers`: what the client
    answered to earlier questions of this request, by key (2026-07-28 multi-round requests), else None.
    `principal`: who asks, None without authentication. `client`: from where, for a `Guest` only.
    """

    __slots__ = (
        "_message", "answers", "arguments", "capabilities", "client", "head", "id", "meta", "method", "name",
        "principal", "revision", "session",
    )  # fmt: skip

    _message: Message
    answers: dict[str, Any] | None
    arguments: bytes
    capabilities: dict[str, Any] | None
    client: Client | None
    head: Head
    id: bytes
    meta: Meta | None
    method: str
    name: str
    principal: Principal | None
    revision: Revision
    session: Session | None

    @property
    def params(self) -> bytes:
        return self._message.params or b""

    @property
    def size(self) -> int:
        """Bytes that it keeps: the whole body, or of a chunked one what is in its params."""
        size = self.head.content_length
        return size if size > 0 else len(self.params)

    @property
    def cursor(self) -> str | None:
        """Where a list goes on; None at its beginning."""
        return self._message.cursor


def new_request(message: Message, name: str, revision: Revision, session: Session | None, head: Head) -> Request:
    """A `Request`. No constructor: compiled, this costs a fifth of one."""
    assert message.id is not None
    assert message.method is not None
    request = Request.__new__(Request)
    request._message = message
    request.id = message.id
    request.method = message.method
    request.name = name
    request.arguments = message.arguments
    request.meta = message.meta
    request.revision = revision
    request.session = session
    request.head = head
    request.principal = None
    request.capabilities = None
    request.answers = None
    request.client = None
    return request


class Notification:
    """One notification of a client, for a `Guest`. `params`: JSON text, empty when absent."""

    __slots__ = ("client", "head", "method", "params", "revision", "session")

    def __init__(
        self,
        method: str,
        params: bytes,
        revision: Revision,
        session: Session | None,
        head: Head,
        client: Client | None,
    ) -> None:
        self.client = client
        self.method = method
        self.params = params
        self.revision = revision
        self.session = session
        self.head = head


class Result:
    """An encoded result that needs more than its bytes.

    `body`: the result as a JSON object without `_meta`. `meta`: its `_meta`, merged with what the era adds. `failed`:
    it is a tool's result with `isError`; for metrics only.
    """

    __slots__ = ("body", "failed", "meta")

    def __init__(self, body: bytes, meta: dict[str, Any] | None = None, failed: bool = False) -> None:
        self.body = body
        self.meta = meta
        self.failed = failed


Answer = bytes | Result
"""An encoded result: the bytes of a JSON object without `_meta`, or a `Result`."""

LOOP, THREAD, ASYNC = 0, 1, 2


class Plan:
    """How a kind of work is to be run; made once, at registration.

    `kind`: LOOP (a plain function, on the loop), THREAD (a plain function, in the pool) or ASYNC (a
    coroutine function). `label` names it in logs and metrics. `timeout` in seconds or None; `limit`: how
    many at once, or None. `encode` turns what the function returned into an `Answer`, given the request;
    `failed` turns an exception into an `Answer`, or None when it is to become a JSON-RPC error.
    """

    __slots__ = ("encode", "failed", "kind", "label", "limit", "timeout")

    def __init__(
        self,
        kind: int,
        label: str,
        encode: Callable[[Any, Request], Answer],
        failed: Callable[[Exception, Request], Answer | None],
        timeout: float | None = None,
        limit: int | None = None,
    ) -> None:
        self.kind = kind
        self.label = label
        self.encode = encode
        self.failed = failed
        self.timeout = timeout
        self.limit = limit


class Work:
    """Something that must be run to get the answer: `plan` says how; what to run is `call(context)`, or
    `call(arguments, context)` if `arguments` is not None."""

    __slots__ = ("arguments", "call", "plan")

    def __init__(self, plan: Plan, call: Callable[..., Any], arguments: object = None) -> None:
        self.plan = plan
        self.call = call
        self.arguments = arguments

    def run(self, context: Any) -> Any:
        return self.call(context) if self.arguments is None else self.call(self.arguments, context)


def new_work(plan: Plan, call: Callable[..., Any], arguments: object) -> Work:
    """A `Work`. No constructor: compiled, this costs a fifth of one."""
    work = Work.__new__(Work)
    work.plan = plan
    work.call = call
    work.arguments = arguments
    return work


class Handler(Protocol):
    """What answers requests."""

    def handle(self, request: Request) -> Answer | Work:
        """The answer, or the work that leads to it. Raises McpError for a JSON-RPC error, MethodNotFound for a
        method that it has nothing for."""
        ...


class Publisher(Protocol):
    """How a catalog or handler speaks first; a running server gives itself to `Catalog.attach`."""

    def publish(self, method: str, params: dict[str, Any] | None) -> None:
        """Sends a notification to every session and listener that may receive it. Safe from any thread."""
        ...

    def broadcast(self, event: str, data: dict[str, Any]) -> None:
        """Sends a typed event to the plain event streams of `GET /mcp`. Safe from any thread."""
        ...


class ParamHeader(Protocol):
    """One argument that a 2026-07-28 client mirrors in a header `Mcp-Param-<token>`."""

    header: bytes  # lower case, whole: b"mcp-param-region"
    path: tuple[str, ...]  # keys from the root of the arguments
    type: str  # "string", "integer" or "boolean"


class Catalog(Protocol):
    """What is offered: who we are, what can be listed, what a call needs before it may run."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def instructions(self) -> str | None: ...

    @property
    def cache_hint(self) -> tuple[int, str]:
        """(ttl in ms, "public" or "private") of lists and reads, for 2026-07-28."""
        ...

    epoch: int
    """Grows with every change of what is offered; encoded lists are kept as long as it stands still."""

    def implementation(self, revision: Revision) -> dict[str, Any]:
        """`serverInfo` as that revision knows it."""
        ...

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """`ServerCapabilities` as that revision knows them."""
        ...

    def listing(self, method: str, cursor: str | None, revision: Revision) -> bytes | None:
        """One encoded page (a JSON object) of `tools/list`, `resources/list`, `resources/templates/list` or
        `prompts/list`; None when only the handler can tell. Raises InvalidParams for a bad cursor."""
        ...

    def serves(self, method: str) -> bool:
        """Whether requests of this method have something behind them."""
        ...

    def param_headers(self, tool: str) -> tuple[ParamHeader, ...]:
        """The tool's arguments that are mirrored in headers; empty for most tools and for unknown names."""
        ...

    def required_capabilities(self, method: str, name: str) -> dict[str, Any] | None:
        """The ClientCapabilities without which this must not run, or None."""
        ...

    def tools_summary(self) -> list[dict[str, Any]]:
        """name, description, inputSchema of every tool, for /docs and /health."""
        ...

    def attach(self, publisher: Publisher) -> None:
        """A server starts to serve this catalog."""
        ...

    def detach(self, publisher: Publisher) -> None:
        """That server has stopped."""
        ...


class Guest:
    """A server that answers for itself: the door for other SDKs and other languages. Subclass it.

    Every request comes to `handle` as the client sent it, in every revision: `initialize` and `server/discover`, lists,
    methods that nobody knows. What it gives back is the whole result, and goes out as it is; so do its errors. What
    belongs to the wire stays with the rules: versions and headers, sessions, event streams, cancelling. Sessions open
    with `initialize` whatever the answer; what a guest keeps for one it puts into `Session.kept`.
    """

    name = "mcp-server"
    version = ""
    instructions: str | None = None
    cache_hint = (0, "private")
    epoch = 0
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None
    authenticate: Callable[[Credentials], Awaitable[Principal | None]] | None = None

    def handle(self, request: Request) -> Answer | Work:
        """The whole result, encoded, or the work that leads to it. Raises McpError for a JSON-RPC error."""
        raise MethodNotFound(request.method)

    def notified(self, notification: Notification) -> None:
        """The client has said something that wants no answer. (A call that it cancels is cancelled already.)"""

    def closing(self) -> None:
        """The server begins to stop: calls that go on until they are told otherwise are to end now."""

    def tools_summary(self) -> list[dict[str, Any]]:
        """name, description, inputSchema of every tool, for /docs and /health."""
        return []

    def attach(self, publisher: Publisher) -> None:
        """A server starts to host this guest."""

    def detach(self, publisher: Publisher) -> None:
        """That server has stopped."""

    # What rules ask a catalog; guests are asked nothing.

    def implementation(self, revision: Revision) -> dict[str, Any]:
        return {"name": self.name, "version": self.version}

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        return {}

    def listing(self, method: str, cursor: str | None, revision: Revision) -> bytes | None:
        return None

    def serves(self, method: str) -> bool:
        return True

    def param_headers(self, tool: str) -> tuple[ParamHeader, ...]:
        return ()

    def required_capabilities(self, method: str, name: str) -> dict[str, Any] | None:
        return None
