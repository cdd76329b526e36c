"""Resource: a function that gives the contents behind one URI, or behind every URI that fits a template.

Keeps nothing between requests. Refuses with ConfigError a URI and a function that do not fit each other; parameters in
a URI that do not fit the types are InvalidParams, and those that would climb out of a directory name nothing. Called by
`App`. MCP server/resources, RFC 6570 (level 1, and `{name*}`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fastsse import content, jsonrpc, signature
from fastsse.content import EmbeddedResource, Json
from fastsse.errors import ConfigError, InvalidParams, ResourceNotFound
from fastsse.offer import Function, Offer, Options, name_of
from fastsse.schema import UNREADABLE, Arguments

if TYPE_CHECKING:
    from fastsse.handler import Answer, Request
    from fastsse.revisions import Revision


class ResourceOptions(Options, total=False):
    """`size` in bytes, when known beforehand; `annotations`: audience, priority, lastModified."""

    name: str | None
    mime_type: str | None
    size: int | None
    annotations: Json | None


class Resource(Offer):
    """`{name}` in the URI is one path segment; `{name*}` and `{+name}` may hold slashes. Values are percent-decoded and
    converted to the parameter's type; one with a segment `..`, a leading slash or NUL names nothing.

    The function returns str, bytes, any JSON value, or EmbeddedResources when there are several contents.
    """

    __slots__ = ("_arguments", "_pattern", "annotations", "mime_type", "name", "size")

    def __init__(
        self,
        function: Function,
        uri: str,
        *,
        name: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        annotations: Json | None = None,
        **options: Any,
    ) -> None:
        what = f"Resource {uri!r}"
        super().__init__(function, uri, what, **options)
        self.name = name_of(function) if name is None else name
        self.mime_type = mime_type
        self.size = size
        self.annotations = None if annotations is None else dict(annotations)
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
            raise ConfigError(f"{what}: a resource URI begins with a scheme, as in demo://greeting")
        self._pattern = _pattern(uri, what) if "{" in uri else None
        names = set(self._pattern.groupindex) if self._pattern is not None else set()
        known = {p.name for p in self.signature.parameters}
        needed = {p.name for p in self.signature.parameters if p.default is signature.NOTHING}
        if not needed <= names <= known:
            raise ConfigError(f"{what}: the URI gives {sorted(names)}, the function takes {sorted(known)}")
        self._arguments = Arguments(function, self.signature, what)
        self._call = self._arguments.call

    @property
    def is_template(self) -> bool:
        """Whether its URI has parameters."""
        return self._pattern is not None

    def matches(self, uri: str) -> bool:
        """Whether `uri` is one of its own."""
        return self._pattern.fullmatch(uri) is not None if self._pattern is not None else uri == self.key

    def _read(self, request: Request) -> Any:
        found = self._pattern.fullmatch(request.name) if self._pattern is not None else None
        try:
            values = {name: unquote(text, errors="strict") for name, text in found.groupdict().items()} if found else {}
        except UnicodeDecodeError:
            raise ResourceNotFound(request.name) from None
        if any(_escapes(value) for value in values.values()):
            raise ResourceNotFound(request.name)
        try:
            return self._arguments.convert(values)
        except UNREADABLE as error:
            raise InvalidParams(f"Invalid resource URI {request.name!r}: {error}", {"uri": request.name}) from None

    def encode(self, value: Any, request: Request) -> Answer:
        several = value if isinstance(value, list | tuple) else [value]
        if several and all(isinstance(item, EmbeddedResource) for item in several):
            items = [item.contents() for item in several]
        else:
            items = [content.contents(request.name, value, self.mime_type)]
        return b'{"contents":' + jsonrpc.encode(items) + b"}"

    def entry(self, revision: Revision) -> dict[str, Any]:
        return self._entry(
            revision,
            {"uriTemplate" if self.is_template else "uri": self.key, "name": self.name},
            mimeType=self.mime_type,
            size=None if self.is_template else self.size,
            annotations=self.annotations,
        )


def _pattern(template: str, what: str) -> re.Pattern[str]:
    pattern = ""
    names: set[str] = set()
    for part in re.split(r"(\{[^{}]*\})", template):
        if not part.startswith("{"):
            if "{" in part or "}" in part:
                raise ConfigError(f"{what}: a brace stands alone")
            pattern += re.escape(part)
            continue
        name = part[1:-1].removeprefix("+").removesuffix("*")
        if not name.isidentifier() or name in names:
            raise ConfigError(f"{what}: {part} is not understood; write {{name}}, or {{name*}} for several segments")
        names.add(name)
        pattern += f"(?P<{name}>{'[^/?#]+' if part == '{' + name + '}' else '[^?#]+'})"
    return re.compile(pattern)


def _escapes(value: str) -> bool:
    return "\0" in value or value[:1] in ("/", "\\") or ".." in re.split(r"[/\\]", value)
