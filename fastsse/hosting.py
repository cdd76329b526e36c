"""What a server can serve: our own applications as they are, servers of other SDKs as the guests that `embed` makes.

Looks at types and imports no SDK: whoever brings such a server has imported it already. Refuses everything else, in one
sentence. Called by `server` and `target`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, cast

from fastsse.authenticator import Ask
from fastsse.config import Config
from fastsse.errors import ConfigError
from fastsse.handler import Catalog, Guest, Handler

SDKS = ("mcp", "fastmcp")


class Application(Catalog, Handler, Protocol):
    """What a server serves; `App` is one, and every `Guest`."""

    @property
    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[Any]] | None: ...

    @property
    def authenticate(self) -> Ask | None:
        """Recognises those whom no setting lets in; see `App`."""
        ...


class StreamableHTTPServer(Protocol):
    """A server of the Python SDK, as far as it can be told without importing that."""

    @property
    def streamable_http_app(self) -> Callable[..., Any]: ...


class HTTPServer(Protocol):
    """The same of FastMCP."""

    @property
    def http_app(self) -> Callable[..., Any]: ...


Servable = Application | StreamableHTTPServer | HTTPServer
"""What `Server` and `run` take."""


def servable(found: object) -> bool:
    """Whether `application` would try; a class is not its instance."""
    if isinstance(found, type):
        return False
    ours = isinstance(found, Guest) or all(callable(getattr(found, name, None)) for name in ("handle", "listing"))
    return ours or foreign(found)


def foreign(found: object) -> bool:
    """A server of an SDK, by what it can do: clients, settings and components of the same packages cannot."""
    packages = {kind.__module__.partition(".")[0] for kind in type(found).__mro__}
    return not packages.isdisjoint(SDKS) and (
        callable(getattr(found, "streamable_http_app", None)) or callable(getattr(found, "http_app", None))
    )


def application(found: object, config: Config) -> Application:
    """`found` itself, or the guest that it becomes. Raises ConfigError."""
    if not servable(found):
        kind = f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"
        raise ConfigError(f"{kind} is nothing that can be served: give an App, a Guest, or a server of the MCP SDK")
    if not foreign(found):
        return cast("Application", found)
    try:
        from fastsse import embed
    except ImportError as error:
        raise ConfigError(
            f"{type(found).__name__} comes from an SDK that cannot be hosted ({error}): fastsse hosts servers of the"
            " Python SDK 2 (pip install 'fastsse[mcp]') and of FastMCP 4"
        ) from None
    return embed.host(found, config)
