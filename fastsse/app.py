"""App: tools, resources, prompts and completions by decorator; a registry, no IO.

Keeps what is offered, in the order of registration, and the encoded pages of its lists; what is offered may change
while servers run, and every change is announced through them. Implements `Catalog` and `Handler` of handler.py, so
the rules and `dispatch` see nothing else of it. Refuses (ConfigError) two of one name; unknown names and bad cursors
are InvalidParams, unknown resources ResourceNotFound. MCP server/*, pagination.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

from fastsse import jsonrpc
from fastsse.content import Json
from fastsse.errors import ConfigError, InvalidParams, MethodNotFound, ResourceNotFound
from fastsse.listing import MEMBERS, Pages
from fastsse.offer import Function, Offer, Options
from fastsse.principal import Credentials, Principal
from fastsse.prompts import Completion, Prompt, PromptOptions, encode_completion, read_completing
from fastsse.resources import Resource, ResourceOptions
from fastsse.revisions import R5
from fastsse.tools import Calls, Tool, ToolOptions

if TYPE_CHECKING:
    from fastsse.handler import Answer, ParamHeader, Publisher, Request, Work
    from fastsse.revisions import Revision

F = TypeVar("F", bound=Function)
Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]

_KIND_OF: Final = {
    "tools/call": "tools",
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "resources/subscribe": "resources",
    "resources/unsubscribe": "resources",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "completion/complete": "completions",
}
"""Method to the capability it belongs to."""


class App:
    """An MCP server's tools, resources and prompts.

        app = App("weather", version="1.0.0")

        @app.tool
        def forecast(city: str, days: int = 3) -> str:
            "The weather to come."

    `lifespan` is called with the app when a server starts and gives an async context manager; what it yields is
    `Context.lifespan`. Lists have `page_size` entries a page. `cache_ttl_ms` and `cache_scope` tell 2026-07-28 clients
    how long lists and reads stay good, and whether for everybody ("public"). `authenticate` is awaited with the
    `Credentials` of every request that no token of the settings lets in, and returns a `Principal`, or None for 401.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        title: str | None = None,
        description: str | None = None,
        instructions: str | None = None,
        icons: Iterable[Json] = (),
        website_url: str | None = None,
        lifespan: Lifespan | None = None,
        authenticate: Callable[[Credentials], Awaitable[Principal | None]] | None = None,
        page_size: int = 100,
        cache_ttl_ms: int = 0,
        cache_scope: Literal["public", "private"] = "private",
    ) -> None:
        if page_size < 1:
            raise ConfigError(f"page_size must be at least 1, got {page_size!r}")
        if cache_ttl_ms < 0:
            raise ConfigError(f"cache_ttl_ms must not be negative, got {cache_ttl_ms!r}")
        if cache_scope not in ("public", "private"):
            raise ConfigError(f"cache_scope must be 'public' or 'private', got {cache_scope!r}")
        self.name = name
        self.version = version
        self.title = title
        self.description = description
        self.instructions = instructions
        self.icons = [dict(icon) for icon in icons]
        self.website_url = website_url
        self.lifespan = lifespan
        self.authenticate = authenticate
        self.page_size = page_size
        self.cache_hint: tuple[int, str] = (cache_ttl_ms, cache_scope)
        self.epoch = 0
        self._calls = Calls(self._answer)
        self._tools: dict[str, Tool] = {}
        self._resources: dict[str, Resource] = {}
        self._templates: dict[str, Resource] = {}
        self._prompts: dict[str, Prompt] = {}
        self._completions: dict[tuple[str, str], Completion] = {}
        self._offered = {"tools"}  # capabilities; one that was ever declared stays, or its list_changed were a lie
        self._sequence = itertools.count(1)
        self._pages = Pages(self._offers, page_size)
        self._publishers: tuple[Publisher, ...] = ()

    def __repr__(self) -> str:
        return f"<App {self.name!r}: {len(self._tools)} tools>"

    # --- registration

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, name: str | None = None, /, **options: Unpack[ToolOptions]) -> Callable[[F], F]: ...
    def tool(self, function: Any = None, /, **options: Any) -> Any:
        """Offers the decorated function as a tool: `@app.tool`, `@app.tool("name")`, `@app.tool(title=…)`."""
        return self._decorate(self.add_tool, function, options)

    def add_tool(self, function: Function, /, **options: Unpack[ToolOptions]) -> None:
        """Offers `function` as a tool. Raises ConfigError when it cannot be one or its name is taken."""
        tool = Tool(function, **options)
        self._add(self._tools, tool, "tools")
        self._calls.tools[tool.key] = tool

    def remove_tool(self, name: str) -> None:
        """Takes a tool away; running calls end normally. Raises KeyError for an unknown name."""
        del self._tools[name]
        del self._calls.tools[name]
        self._changed("tools")

    def resource(self, uri: str, /, **options: Unpack[ResourceOptions]) -> Callable[[F], F]:
        """Offers the decorated function as the contents of `uri`; with `{parameters}` in it, of all that fit."""

        def decorate(function: F) -> F:
            self.add_resource(uri, function, **options)
            return function

        return decorate

    def add_resource(self, uri: str, function: Function, /, **options: Unpack[ResourceOptions]) -> None:
        """Offers `function` as the contents of `uri`. Raises ConfigError when it cannot be that or `uri` is taken."""
        resource = Resource(function, uri, **options)
        self._add(self._templates if resource.is_template else self._resources, resource, "resources")

    def remove_resource(self, uri: str) -> None:
        """Takes a resource or a template away. Raises KeyError for an unknown one."""
        del (self._templates if uri in self._templates else self._resources)[uri]
        self._changed("resources")

    @overload
    def prompt(self, function: F, /) -> F: ...
    @overload
    def prompt(self, name: str | None = None, /, **options: Unpack[PromptOptions]) -> Callable[[F], F]: ...
    def prompt(self, function: Any = None, /, **options: Any) -> Any:
        """Offers the decorated function as a prompt: `@app.prompt`, `@app.prompt("name")`, `@app.prompt(title=…)`."""
        return self._decorate(self.add_prompt, function, options)

    def add_prompt(self, function: Function, /, **options: Unpack[PromptOptions]) -> None:
        """Offers `function` as a prompt. Raises ConfigError when it cannot be one or its name is taken."""
        self._add(self._prompts, Prompt(function, **options), "prompts")

    def remove_prompt(self, name: str) -> None:
        """Takes a prompt away. Raises KeyError for an unknown name."""
        del self._prompts[name]
        self._changed("prompts")

    def completion(self, of: str, argument: str, /, **options: Unpack[Options]) -> Callable[[F], F]:
        """The decorated function completes `argument` of the prompt named, or the template spelled, `of`.

        It is called with the text so far and, when it takes a second parameter, with a dict of the arguments already
        chosen; it returns a list of str, the best first.
        """

        def decorate(function: F) -> F:
            key = (of, argument)
            if key in self._completions:
                raise ConfigError(f"{argument!r} of {of!r} has a completion already")
            self._completions[key] = Completion(function, of, argument, **options)
            self._offered.add("completions")
            return function

        return decorate

    @staticmethod
    def _decorate(add: Callable[..., None], function: Any, options: dict[str, Any]) -> Any:
        if callable(function):
            add(function, **options)
            return function
        if function is not None:
            options = {"name": function, **options}

        def decorate(decorated: F) -> F:
            add(decorated, **options)
            return decorated

        return decorate

    def _add(self, offers: dict[str, Any], offer: Offer, kind: str) -> None:
        if offer.key in offers:
            raise ConfigError(f"{offer.what} is offered already")
        try:
            jsonrpc.encode(offer.entry(R5))
        except TypeError as error:
            raise ConfigError(f"{offer.what}: its description is no JSON: {error}") from None
        offer.sequence = next(self._sequence)
        offers[offer.key] = offer
        self._offered.add(kind)
        self._changed(kind)

    def _changed(self, kind: str) -> None:
        self.epoch += 1
        self._pages = Pages(self._offers, self.page_size)  # a page that is being encoded right now lands in the old
        self.notify(f"notifications/{kind}/list_changed")

    # --- speaking first

    def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Sends a notification to every session and listener that may receive it; from any thread."""
        for publisher in self._publishers:
            publisher.publish(method, params)

    def resource_updated(self, uri: str) -> None:
        """Tells those who subscribed to `uri` that its contents have changed; from any thread."""
        self.notify("notifications/resources/updated", {"uri": uri})

    def broadcast(self, event: str, data: dict[str, Any]) -> None:
        """Sends a typed event to the plain event streams of `GET /mcp`; from any thread."""
        for publisher in self._publishers:
            publisher.broadcast(event, data)

    def attach(self, publisher: Publisher) -> None:
        """A server starts to serve this app."""
        self._publishers = (*self._publishers, publisher)

    def detach(self, publisher: Publisher) -> None:
        """That server has stopped."""
        self._publishers = tuple(item for item in self._publishers if item is not publisher)

    # --- Handler

    @property
    def handle(self) -> Callable[[Request], Answer | Work]:
        """Answers a request or gives back the work that will. Raises McpError for a JSON-RPC error."""
        return self._calls.handle

    def _answer(self, request: Request) -> Answer | Work:
        if request.method == "tools/call":
            raise InvalidParams(f"Unknown tool: {request.name}")
        if request.method in MEMBERS:
            return self._pages.page(request.method, request.cursor or None, request.revision)
        if request.method == "completion/complete":
            return self._complete(request)
        return self._find(request).answer(request)

    def _complete(self, request: Request) -> Answer | Work:
        params = read_completing(request.params)
        reference = params.ref
        known: dict[str, Any] = {}
        if reference.type == "ref/prompt":
            known, of = dict(self._prompts), reference.name
        elif reference.type == "ref/resource":
            known, of = {**self._templates, **self._resources}, reference.uri
        else:
            of = None
        if of is None or of not in known:
            raise InvalidParams(f"Unknown reference: {reference.type} {of}")
        completion = self._completions.get((of, params.argument.name))
        return completion.answer(request) if completion is not None else encode_completion([])

    def _find(self, request: Request) -> Offer:
        method, name = request.method, request.name
        if not self.serves(method):
            raise MethodNotFound(method)
        if method == "resources/read":
            if (resource := self._resource(name)) is not None:
                return resource
            raise ResourceNotFound(name)
        if method == "prompts/get":
            if (prompt := self._prompts.get(name)) is not None:
                return prompt
            raise InvalidParams(f"Unknown prompt: {name}")
        raise MethodNotFound(method)

    def _resource(self, uri: str) -> Resource | None:
        found = self._resources.get(uri)
        return found or next((item for item in list(self._templates.values()) if item.matches(uri)), None)

    # --- Catalog

    def implementation(self, revision: Revision) -> dict[str, Any]:
        """`serverInfo` as that revision knows it."""
        found: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.title is not None and revision.titles:
            found["title"] = self.title
        if revision.icons:
            said = {"description": self.description, "icons": self.icons or None, "websiteUrl": self.website_url}
            found.update((key, value) for key, value in said.items() if value is not None)
        return found

    def capabilities(self, revision: Revision) -> dict[str, Any]:
        """`ServerCapabilities` as that revision knows them."""
        found: dict[str, Any] = {"logging": {}, "tools": {"listChanged": True}}
        if "resources" in self._offered:
            found["resources"] = {"subscribe": True, "listChanged": True}
        if "prompts" in self._offered:
            found["prompts"] = {"listChanged": True}
        if "completions" in self._offered and revision.completions_capability:
            found["completions"] = {}
        return found

    def serves(self, method: str) -> bool:
        """Whether requests of this method have something behind them."""
        return method == "logging/setLevel" or _KIND_OF.get(method) in self._offered

    def listing(self, method: str, cursor: str | None, revision: Revision) -> bytes | None:
        """One encoded page of a list, None for a method that is none. Raises InvalidParams for a bad cursor."""
        return self._pages.page(method, cursor, revision) if method in MEMBERS else None

    def _offers(self, method: str) -> list[Offer]:
        """The entries of a list, in the order of registration."""
        found: dict[str, dict[str, Any]] = {
            "tools/list": self._tools,
            "resources/list": self._resources,
            "resources/templates/list": self._templates,
            "prompts/list": self._prompts,
        }
        return list(found[method].values())

    def param_headers(self, tool: str) -> tuple[ParamHeader, ...]:
        """The tool's arguments that are mirrored in headers; empty for unknown names."""
        found = self._tools.get(tool)
        return found.headers if found is not None else ()

    def required_capabilities(self, method: str, name: str) -> dict[str, Any] | None:
        """The ClientCapabilities without which this must not run, or None."""
        offer: Offer | None = None
        if method == "tools/call":
            offer = self._tools.get(name)
        elif method == "prompts/get":
            offer = self._prompts.get(name)
        elif method == "resources/read":
            offer = self._resource(name)
        return offer.requires if offer is not None else None

    def tools_summary(self) -> list[dict[str, Any]]:
        """name, description, inputSchema of every tool."""
        return [
            {"name": tool.key, "description": tool.description or "", "inputSchema": tool.input_schema}
            for tool in list(self._tools.values())
        ]
