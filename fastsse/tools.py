"""Tool: a function that a model may call; its arguments, its schemas, its results.

Arguments that do not fit are a result `isError` that names the path, at every revision, so that the model can mend
them. What a function raises beyond ToolError, AskError and McpError is logged and never shown. A result is read back
with the type that its output schema promises before it leaves. MCP server/tools.
"""

from __future__ import annotations

import copy
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from fastsse import _framing, content, given, jsonrpc, schema
from fastsse._framing import TOOLS_CALL
from fastsse.content import Block, Json, ToolResult
from fastsse.errors import AskError, ConfigError, McpError, ToolError
from fastsse.handler import Answer, Request, Result, Work
from fastsse.offer import Function, Offer, Options, name_of
from fastsse.schema import UNREADABLE, Arguments, Members

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastsse.revisions import Revision

log = logging.getLogger("fastsse.app")
_json = jsonrpc.encode

_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_HEAD = b'{"content":[{"type":"text","text":'
_TAIL = b"}]}"
_BROKEN: Final = "the result is not what its output schema promises: {}"


class ToolOptions(Options, total=False):
    """`annotations`: readOnlyHint, destructiveHint, idempotentHint, openWorldHint. `input_schema`: taken as it is; the
    function gets the decoded members as keywords. `output_schema`: the same for structured content, False for none.
    `headers`: parameters that 2026-07-28 clients mirror in `Mcp-Param-<token>`, as `{"region": "Region"}`."""

    name: str | None
    annotations: Json | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | bool | None
    headers: Mapping[str, str] | None


class Calls:
    """Answers `tools/call`, which is nearly every request; leaves everything else to `other`."""

    __slots__ = ("other", "tools")

    def __init__(self, other: Callable[[Request], Answer | Work]) -> None:
        self.tools: dict[str, Tool] = {}
        self.other = other

    def handle(self, request: Request) -> Answer | Work:
        if request.method is TOOLS_CALL:
            tool = self.tools.get(request.name)
            if tool is not None:
                return tool.answer(request)
        return self.other(request)


class Tool(Offer):
    """A function that a model may call."""

    __slots__ = (
        "_again", "_check", "_close", "_decode", "_open", "_wrapped", "annotations", "headers", "input_schema",
        "output_schema",
    )  # fmt: skip

    input_schema: dict[str, Any]

    def __init__(
        self,
        function: Function,
        *,
        name: str | None = None,
        annotations: Json | None = None,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | bool | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        name = name_of(function) if name is None else name
        what = f"Tool {name!r}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{what}: a tool's name has 1 to 64 of A-Z a-z 0-9 _ . / -")
        super().__init__(function, name, what, returns=output_schema is None or output_schema is True, **options)
        self.annotations = None if annotations is None else dict(annotations)
        self._take_input(function, input_schema, headers or {})
        self._take_output(output_schema)

    def _take_input(self, function: Function, input_schema: dict[str, Any] | None, headers: Mapping[str, str]) -> None:
        arguments: Arguments | Members
        if input_schema is None:
            if self.signature.open:
                raise ConfigError(f"{self.what}: **keywords have no schema; give one with input_schema=")
            arguments = Arguments(function, self.signature, self.what)
            self.input_schema = schema.input_schema(self.signature, self.what)
        else:
            self.input_schema = copy.deepcopy(given.object_schema(input_schema, self.what))
            arguments = Members(function, self.signature, self.input_schema)
        self._call, self._decode, self._again = arguments.call, arguments.decode, arguments.decode_again
        for parameter, token in headers.items():
            if parameter not in self.input_schema.get("properties", {}):
                raise ConfigError(f"{self.what}: headers names {parameter!r}, which is no parameter")
            self.input_schema["properties"][parameter]["x-mcp-header"] = token
        self.headers = given.param_headers(self.input_schema, self.what)

    def _take_output(self, output_schema: dict[str, Any] | bool | None) -> None:
        self.output_schema: dict[str, Any] | None = None
        self._check: Callable[[bytes], Any] | None = None
        self._wrapped = False
        hint = self.signature.returns
        if isinstance(output_schema, dict):
            self.output_schema = copy.deepcopy(given.object_schema(output_schema, self.what))
            self._check = schema.checker(self.output_schema)
        elif output_schema is not False and schema.is_structured(hint):
            self.output_schema, self._wrapped = schema.output_schema(hint, self.what)
            self._check = schema.decoder(hint)
        # What stands before and behind structured content.
        self._open = b',"structuredContent":' + (b'{"result":' if self._wrapped else b"")
        self._close = b"}}" if self._wrapped else b"}"

    def _now(self, request: Request) -> Answer | Work:
        # The hot path: what an inline tool costs is this function.
        value: Any = None
        try:
            try:
                arguments = self._decode(request.arguments or b"{}")
            except UNREADABLE:
                arguments = self._read_again(request)
            value = self._call(arguments)
            return self.encode(value, request)
        except Exception as error:
            return self._unless_awaitable(value, error, request)

    def _read(self, request: Request) -> Any:
        try:
            return self._decode(request.arguments or b"{}")
        except UNREADABLE:
            return self._read_again(request)

    def _read_again(self, request: Request) -> Any:
        try:
            return self._again(request.arguments)
        except UNREADABLE as error:
            raise ToolError(f"Invalid arguments for tool {self.key!r}: {error}") from None

    def encode(self, value: Any, request: Request) -> Answer:
        if type(value) is str and self._check is None:  # most results
            return _framing.between(_HEAD, _json(value), _TAIL)
        if self._check is None or isinstance(value, ToolResult):
            return self._encode_untyped(value, request.revision)
        text = _json(value)
        try:
            self._check(text)
        except UNREADABLE as error:
            raise TypeError(_BROKEN.format(error)) from None
        return self._encode_structured(value, text, request.revision)

    def _encode_structured(self, value: Any, text: bytes, revision: Revision) -> bytes:
        kind = type(value)
        shown = b'"' + text + b'"' if kind is float or kind is int else _json(value if kind is str else text.decode())
        if not revision.structured:
            return _HEAD + shown + _TAIL
        return b"".join((_HEAD, shown, b"}]", self._open, text, self._close))

    def _encode_untyped(self, value: Any, revision: Revision) -> Answer:
        if isinstance(value, ToolResult):
            return self._encode_result(value, revision)
        if value is None or isinstance(value, Block | list | tuple | str | bytes | bytearray | memoryview):
            return b'{"content":' + _json(content.blocks(value, revision)) + b"}"
        text = _json(value)
        if text[0] == 0x7B:  # an object is structured content even when no schema promised it
            return self._encode_structured(value, text, revision)
        return _HEAD + _json(text.decode()) + _TAIL

    def _encode_result(self, result: ToolResult, revision: Revision) -> Answer:
        structured = None if result.structured is None else _json(result.structured)
        if self._check is not None and not result.is_error:
            if structured is None:
                raise TypeError("the result has no structured content, which its output schema promises")
            try:
                self._check(structured)
            except UNREADABLE as error:
                raise TypeError(_BROKEN.format(error)) from None
        shown = result.content
        if shown is None and structured is not None:
            shown = result.structured if isinstance(result.structured, str) else structured.decode()
        body = b'{"content":' + _json(content.blocks(shown, revision))
        # What is neither an object nor wrapped into one, only 2026-07-28 knows.
        known = self._wrapped or structured is None or structured[0] == 0x7B or revision.structured_any
        if result.is_error:
            body += b',"isError":true}'
        elif structured is not None and revision.structured and known:
            body = b"".join((body, self._open, structured, self._close))
        else:
            body += b"}"
        return body if result.meta is None and not result.is_error else Result(body, result.meta, result.is_error)

    def failed(self, error: Exception, request: Request) -> Answer | None:
        if isinstance(error, McpError):
            return None
        if isinstance(error, ToolError | AskError):
            text = str(error)
        else:
            log.error("%s failed", self.what, exc_info=error)
            text = f"{self.what} failed"
        return Result(_HEAD + _json(text) + b'}],"isError":true}', failed=True)

    def entry(self, revision: Revision) -> dict[str, Any]:
        annotations = self.annotations
        if self.title is not None and not revision.titles:  # where 2025-03-26 looks for it
            annotations = {"title": self.title, **(annotations or {})}
        return self._entry(
            revision,
            {"name": self.key},
            inputSchema=self.input_schema,
            outputSchema=self.output_schema if revision.structured else None,
            annotations=annotations if revision.tool_annotations else None,
        )
