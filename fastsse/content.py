"""Content blocks, and how each revision gets to see them.

Keeps nothing. What a tool or prompt returns is made of `Text`, `Image`, `Audio`, `EmbeddedResource` and
`ResourceLink`; `render` turns one into the JSON object of a revision, and what a revision does not know into the
nearest thing it does: audio below 2025-03-26 travels as an embedded resource, a link below 2025-06-18 as a text that
names it. Called by `tools`, `resources` and `prompts`. Refuses values without a JSON form (TypeError). MCP server/tools
§Tool Result.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from fastsse import jsonrpc

if TYPE_CHECKING:
    from fastsse.revisions import Revision

Role = Literal["user", "assistant"]
Json = Mapping[str, Any]


class Block:
    """Parent of the content blocks. `annotations`: audience, priority, lastModified; `meta`: the block's `_meta`."""

    __slots__ = ("annotations", "meta")

    def __init__(self, annotations: Json | None, meta: Json | None) -> None:
        self.annotations = annotations
        self.meta = meta

    def render(self, revision: Revision) -> dict[str, Any]:
        """The block as the JSON object that `revision` knows."""
        raise NotImplementedError

    def _with_extras(self, found: dict[str, Any]) -> dict[str, Any]:
        if self.annotations is not None:
            found["annotations"] = self.annotations
        if self.meta is not None:
            found["_meta"] = self.meta
        return found


class Text(Block):
    """A text. A tool may simply return a str; this is for one with annotations."""

    __slots__ = ("text",)

    def __init__(self, text: str, *, annotations: Json | None = None, meta: Json | None = None) -> None:
        super().__init__(annotations, meta)
        self.text = text

    def render(self, revision: Revision) -> dict[str, Any]:
        return self._with_extras({"type": "text", "text": self.text})


class Image(Block):
    """An image: its bytes (not base64) and its media type."""

    __slots__ = ("data", "mime_type")

    def __init__(
        self,
        data: bytes,
        mime_type: str = "image/png",
        *,
        annotations: Json | None = None,
        meta: Json | None = None,
    ) -> None:
        super().__init__(annotations, meta)
        self.data = data
        self.mime_type = mime_type

    def render(self, revision: Revision) -> dict[str, Any]:
        return self._with_extras({"type": "image", "data": base64(self.data), "mimeType": self.mime_type})


class Audio(Block):
    """A sound: its bytes (not base64) and its media type."""

    __slots__ = ("data", "mime_type")

    def __init__(
        self,
        data: bytes,
        mime_type: str = "audio/wav",
        *,
        annotations: Json | None = None,
        meta: Json | None = None,
    ) -> None:
        super().__init__(annotations, meta)
        self.data = data
        self.mime_type = mime_type

    def render(self, revision: Revision) -> dict[str, Any]:
        data = base64(self.data)
        if revision.audio:
            return self._with_extras({"type": "audio", "data": data, "mimeType": self.mime_type})
        resource = {"uri": "embedded://audio", "mimeType": self.mime_type, "blob": data}
        return self._with_extras({"type": "resource", "resource": resource})


class EmbeddedResource(Block):
    """The contents of a resource, sent along: a str as text, bytes as base64.

    `meta` is the block's; `contents_meta` that of the contents inside it. `resources/read` handlers return these too,
    for several contents at once or for contents with a media type of their own.
    """

    __slots__ = ("contents_meta", "data", "mime_type", "uri")

    def __init__(
        self,
        uri: str,
        data: str | bytes,
        mime_type: str | None = None,
        *,
        annotations: Json | None = None,
        meta: Json | None = None,
        contents_meta: Json | None = None,
    ) -> None:
        super().__init__(annotations, meta)
        self.uri = uri
        self.data = data
        self.mime_type = mime_type
        self.contents_meta = contents_meta

    def contents(self) -> dict[str, Any]:
        """The `TextResourceContents` or `BlobResourceContents`."""
        found = contents(self.uri, self.data, self.mime_type)
        if self.contents_meta is not None:
            found["_meta"] = self.contents_meta
        return found

    def render(self, revision: Revision) -> dict[str, Any]:
        return self._with_extras({"type": "resource", "resource": self.contents()})


class ResourceLink(Block):
    """A pointer to a resource that the client may read. `size` in bytes."""

    __slots__ = ("description", "icons", "mime_type", "name", "size", "title", "uri")

    def __init__(
        self,
        uri: str,
        name: str,
        *,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        icons: Iterable[Json] = (),
        annotations: Json | None = None,
        meta: Json | None = None,
    ) -> None:
        super().__init__(annotations, meta)
        self.uri = uri
        self.name = name
        self.title = title
        self.description = description
        self.mime_type = mime_type
        self.size = size
        self.icons = [dict(icon) for icon in icons]

    def render(self, revision: Revision) -> dict[str, Any]:
        if not revision.resource_link:
            return self._with_extras({"type": "text", "text": f"{self.title or self.name}: {self.uri}"})
        found: dict[str, Any] = {"type": "resource_link", "uri": self.uri, "name": self.name}
        said = {"title": self.title, "description": self.description, "mimeType": self.mime_type, "size": self.size}
        found.update((key, value) for key, value in said.items() if value is not None)
        if self.icons and revision.icons:
            found["icons"] = self.icons
        return self._with_extras(found)


class ToolResult:
    """Everything a tool can answer, said in full: blocks, structured content, `_meta`, and whether it failed."""

    __slots__ = ("content", "is_error", "meta", "structured")

    def __init__(
        self,
        content: object = None,
        *,
        structured: object = None,
        meta: dict[str, Any] | None = None,
        is_error: bool = False,
    ) -> None:
        self.content = content
        self.structured = structured
        self.meta = meta
        self.is_error = is_error


class Message:
    """One message of a prompt: who speaks, and one str or block."""

    __slots__ = ("content", "role")

    def __init__(self, content: str | Block, role: Role = "user") -> None:
        self.content = content
        self.role = role

    def render(self, revision: Revision) -> dict[str, Any]:
        content = Text(self.content) if isinstance(self.content, str) else self.content
        return {"role": self.role, "content": content.render(revision)}


BLOCKS: Final = (Block, ToolResult)
"""Classes whose presence in a return annotation means: content, not structured data."""


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def contents(uri: str, data: object, mime_type: str | None) -> dict[str, Any]:
    """One item of a `resources/read` result: a str as it is, bytes as base64, any other value as JSON text."""
    if isinstance(data, bytes | bytearray | memoryview):
        return {"uri": uri, "mimeType": mime_type or "application/octet-stream", "blob": base64(bytes(data))}
    if isinstance(data, str):
        return {"uri": uri, "mimeType": mime_type or "text/plain", "text": data}
    return {"uri": uri, "mimeType": mime_type or "application/json", "text": jsonrpc.encode(data).decode()}


def blocks(value: object, revision: Revision) -> list[dict[str, Any]]:
    """What a function returned as content: nothing for None, a block for a block or str, JSON text for other values.

    A list or tuple that holds at least one block is a list of blocks; any other list is a value.
    """
    if value is None:
        return []
    if isinstance(value, list | tuple) and any(isinstance(item, Block) for item in value):
        return [_block(item, revision) for item in value]
    return [_block(value, revision)]


def _block(value: object, revision: Revision) -> dict[str, Any]:
    if isinstance(value, Block):
        return value.render(revision)
    if isinstance(value, str):
        return {"type": "text", "text": value}
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"{type(value).__name__} says not what it is; return an Image, Audio or EmbeddedResource")
    return {"type": "text", "text": jsonrpc.encode(value).decode()}
