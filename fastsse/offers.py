"""What an app offers: tools, resources, templates, prompts, completions; how each is described and run.

Made by `App` at registration, when everything that can be known is computed, so that a request costs a decode, the
call and an encode. Keeps nothing between requests. Refuses with ConfigError what can never work; with a tool result
`isError` (tools) or InvalidParams (the others) arguments that do not fit; what a function raises beyond ToolError and
McpError is logged and never shown. MCP server/tools, server/resources, server/prompts, server/utilities/completion.
"""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.parse import unquote

import msgspec

from fastsse import content, given, jsonrpc, schema, signature
from fastsse.content import Block, Json, Message, ToolResult
from fastsse.errors import (
    INTERNAL_ERROR,
    AskError,
    ConfigError,
    InvalidParams,
    McpError,
    ResourceNotFound,
    ToolError,
)
from fastsse.handler import ASYNC, LOOP, THREAD, Answer, Plan, Request, Result, Work
from fastsse.schema import UNREADABLE, Arguments

if TYPE_CHECKING:
    from fastsse.revisions import Revision

log = logging.getLogger("fastsse.app")
encode = jsonrpc.encode

Function = Callable[..., Any]
_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_HEAD: Final = b'{"content":[{"type":"text","text":'
_TAIL: Final = b"}]}"


class Options(TypedDict, total=False):
    """How something is described and run, whatever it is.

    `description` replaces the docstring. `inline`: a plain function runs on the loop, for work of microseconds;
    otherwise it runs in a thread. `timeout` in seconds; `limit`: how many at once. `requires`: the ClientCapabilities
    without which it is not run, as `{"sampling": {}}`. `meta`: the `_meta` of its list entry.
    """

    title: str | None
    description: str | None
    icons: Iterable[Json]
    inline: bool
    timeout: float | None
    limit: int | None
    requires: dict[str, Any] | None
    meta: Json | None


class ToolOptions(Options, total=False):
    """`annotations`: readOnlyHint, destructiveHint, idempotentHint, openWorldHint. `input_schema`: taken as it is; the
    function gets the decoded members as keywords. `output_schema`: the same for structured content, False for none.
    `headers`: parameters that 2026-07-28 clients mirror in `Mcp-Param-<token>`, as `{"region": "Region"}`."""

    name: str
    annotations: Json | None
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | bool | None
    headers: Mapping[str, str] | None


class ResourceOptions(Options, total=False):
    """`size` in bytes, when known beforehand; `annotations`: audience, priority, lastModified."""

    name: str
    mime_type: str | None
    size: int | None
    annotations: Json | None


class PromptOptions(Options, total=False):
    """A prompt has a name besides; the function's name is the default."""

    name: str


class Offer:
    """One thing that requests run. `key`: what they name it by; `sequence`: its place in lists."""

    __slots__ = (
        "_call", "answer", "description", "icons", "key", "meta", "plan", "requires", "sequence", "signature", "title",
        "what",
    )  # fmt: skip

    _call: Callable[..., Any]

    def __init__(self, function: Function, key: str, what: str, *, returns: bool, **options: Any) -> None:
        self.key = key
        self.what = what
        self.sequence = 0
        self.signature = signature.read(function, what, returns=returns)
        self.title: str | None = options.pop("title", None)
        self.description: str | None = options.pop("description", None) or self.signature.summary or None
        self.icons = tuple(options.pop("icons", ()))
        self.meta: Json | None = options.pop("meta", None)
        self.requires: dict[str, Any] | None = options.pop("requires", None)
        self.plan = _plan(function, what, self.encode, self.failed, **options)
        at_once = (
            self.plan.kind == LOOP
            and self.signature.context is None
            and self.plan.timeout is None
            and self.plan.limit is None
        )
        self.answer: Callable[[Request], Answer | Work] = self._now if at_once else self._later

    def _read(self, request: Request) -> Any:
        """What `_call` is to be called with. Raises ToolError or McpError."""
        raise NotImplementedError

    def encode(self, value: Any, request: Request) -> Answer:
        """What the function returned as an encoded result."""
        raise NotImplementedError

    def failed(self, error: Exception, request: Request) -> Answer | None:
        """The answer to an exception, None when it becomes a JSON-RPC error."""
        if not isinstance(error, McpError):
            log.error("%s failed", self.what, exc_info=error)
        return None

    def _now(self, request: Request) -> Answer:
        try:
            return self.encode(self._call(self._read(request)), request)
        except Exception as error:
            return self._answer_to(error, request)

    def _later(self, request: Request) -> Answer | Work:
        try:
            arguments = self._read(request)
        except Exception as error:
            return self._answer_to(error, request)
        return Work(self.plan, functools.partial(self._call, arguments))

    def _answer_to(self, error: Exception, request: Request) -> Answer:
        answer = self.failed(error, request)
        if answer is not None:
            return answer
        if isinstance(error, McpError):
            raise error
        raise McpError(INTERNAL_ERROR, f"{self.what} failed") from error

    def entry(self, revision: Revision) -> dict[str, Any]:
        """Its entry in a list, as `revision` knows it."""
        raise NotImplementedError

    def _entry(self, revision: Revision, found: dict[str, Any], **said: Any) -> dict[str, Any]:
        if self.title is not None and revision.titles:
            found["title"] = self.title
        if self.description is not None:
            found["description"] = self.description
        found.update((key, value) for key, value in said.items() if value is not None)
        if self.icons and revision.icons:
            found["icons"] = self.icons
        if self.meta is not None and revision.titles:
            found["_meta"] = self.meta
        return found


def _plan(
    function: Function,
    what: str,
    encode: Callable[[Any, Request], Answer],
    failed: Callable[[Exception, Request], Answer | None],
    *,
    inline: bool = False,
    timeout: float | None = None,
    limit: int | None = None,
) -> Plan:
    plain = inspect.isroutine(function) or isinstance(function, functools.partial)
    called: Function = function if plain else type(function).__call__
    if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigError(f"{what}: a generator has no single answer; report progress through Context instead")
    is_async = inspect.iscoroutinefunction(called)
    if inline and is_async:
        raise ConfigError(f"{what}: inline is for plain functions; an async one runs on the loop anyway")
    if timeout is not None and not timeout > 0:
        raise ConfigError(f"{what}: timeout must be a positive number of seconds, got {timeout!r}")
    if limit is not None and limit < 1:
        raise ConfigError(f"{what}: limit must be at least 1, got {limit!r}")
    return Plan(ASYNC if is_async else LOOP if inline else THREAD, what, encode, failed, timeout, limit)


# --- tools


class Tool(Offer):
    """A function that a model may call."""

    __slots__ = ("_again", "_check", "_decode", "_wrapped", "annotations", "headers", "input_schema", "output_schema")

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
        name = _name_of(function) if name is None else name
        what = f"Tool {name!r}"
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{what}: a tool's name has 1 to 64 of A-Z a-z 0-9 _ . / -")
        super().__init__(function, name, what, returns=output_schema is None, **options)
        self.annotations = annotations
        self._take_input(function, input_schema)
        for parameter, token in (headers or {}).items():
            if parameter not in self.input_schema.get("properties", {}):
                raise ConfigError(f"{what}: headers names {parameter!r}, which is no parameter")
            properties = self.input_schema["properties"]
            described = {**properties, parameter: {**properties[parameter], "x-mcp-header": token}}
            self.input_schema = {**self.input_schema, "properties": described}
        self.headers = given.param_headers(self.input_schema, what)
        self._take_output(output_schema)

    def _take_input(self, function: Function, input_schema: dict[str, Any] | None) -> None:
        if input_schema is None:
            if self.signature.open:
                raise ConfigError(f"{self.what}: **keywords have no schema; give one with input_schema=")
            arguments = Arguments(function, self.signature, self.what)
            self.input_schema = schema.input_schema(self.signature, self.what)
            self._call, self._decode, self._again = arguments.call, arguments.decode, arguments.decode_again
        else:
            self.input_schema = given.object_schema(input_schema, self.what)
            members = schema.Members(function, self.signature, input_schema)
            self._call, self._decode, self._again = members.call, members.decode, members.decode_again

    def _take_output(self, output_schema: dict[str, Any] | bool | None) -> None:
        self.output_schema: dict[str, Any] | None = None
        self._wrapped = False
        self._check: Callable[[bytes], Any] | None = None
        hint = self.signature.returns
        if isinstance(output_schema, dict):
            self.output_schema = given.object_schema(output_schema, self.what)
            self._check = schema.checker(output_schema)
        elif output_schema is None and schema.is_structured(hint):
            self.output_schema, self._wrapped = schema.output_schema(hint, self.what)
            self._check = msgspec.json.Decoder(hint).decode

    def _now(self, request: Request) -> Answer:
        # The hot path: what an inline tool costs is this function.
        try:
            try:
                arguments = self._decode(request.arguments or b"{}")
            except UNREADABLE:
                arguments = self._read_again(request)
            value = self._call(arguments)
            if type(value) is str and self._check is None:
                return _HEAD + encode(value) + _TAIL
            return self._encode(value, request)
        except Exception as error:
            return self._answer_to(error, request)

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
        try:
            return self._encode(value, request)
        except Exception as error:
            return self._answer_to(error, request)

    def _encode(self, value: Any, request: Request) -> Answer:
        if isinstance(value, ToolResult):
            return self._encode_result(value, request.revision)
        if self._check is not None:
            return self._encode_structured(value, request.revision)
        if type(value) is str:
            return _HEAD + encode(value) + _TAIL
        if isinstance(value, Block | list | tuple | str | bytes | bytearray | memoryview) or value is None:
            return b'{"content":' + encode(content.blocks(value, request.revision)) + b"}"
        text = encode(value)
        body = _HEAD + encode(text.decode())
        if text[0] == 0x7B and request.revision.structured:
            return body + b'}],"structuredContent":' + text + b"}"
        return body + _TAIL

    def _encode_structured(self, value: Any, revision: Revision) -> bytes:
        text = encode(value)
        self._conforms(text)
        body = _HEAD + encode(value if type(value) is str else text.decode())
        if not revision.structured:
            return body + _TAIL
        if self._wrapped:
            return body + b'}],"structuredContent":{"result":' + text + b"}}"
        return body + b'}],"structuredContent":' + text + b"}"

    def _conforms(self, text: bytes) -> None:
        """Reads what leaves as the client will: the type or schema promised it."""
        assert self._check is not None
        try:
            self._check(text)
        except UNREADABLE as error:
            raise TypeError(f"the result is not what its output schema promises: {error}") from None

    def _encode_result(self, result: ToolResult, revision: Revision) -> Answer:
        structured = None if result.structured is None else encode(result.structured)
        if not result.is_error and self._check is not None:
            if structured is None:
                raise TypeError("the result has no structured content, which its output schema promises")
            self._conforms(structured)
        shown = result.content if result.content is not None or structured is None else structured.decode()
        body = b'{"content":' + encode(content.blocks(shown, revision))
        if structured is not None and revision.structured and (structured[:1] == b"{" or self._wrapped):
            body += b',"structuredContent":' + (b'{"result":' + structured + b"}" if self._wrapped else structured)
        if result.is_error:
            body += b',"isError":true'
        return Result(body + b"}", result.meta) if result.meta is not None else body + b"}"

    def failed(self, error: Exception, request: Request) -> Answer | None:
        if isinstance(error, McpError):
            return None
        if isinstance(error, ToolError | AskError):
            text = str(error)
        elif isinstance(error, TimeoutError) and self.plan.timeout is not None:
            text = f"{self.what} timed out"
        else:
            log.error("%s failed", self.what, exc_info=error)
            text = f"{self.what} failed"
        return _HEAD + encode(text) + b'}],"isError":true}'

    def entry(self, revision: Revision) -> dict[str, Any]:
        annotations = self.annotations
        if self.title is not None and not revision.titles:
            annotations = {"title": self.title, **(annotations or {})}
        return self._entry(
            revision,
            {"name": self.key},
            inputSchema=self.input_schema,
            outputSchema=self.output_schema if revision.structured else None,
            annotations=annotations if revision.tool_annotations else None,
        )


def _name_of(function: Function) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ConfigError(f"{function!r} has no name of its own; give one with name=")
    return name


# --- resources


class Resource(Offer):
    """A function that gives the contents behind one URI, or behind every URI that fits a template.

    A template is RFC 6570 level 1: `{name}` is one path segment; `{name*}` may hold slashes. Values are percent-decoded
    and converted to the parameter's type; one that would climb out of a directory (`..`, a leading slash, NUL) names
    nothing.
    """

    __slots__ = ("_pattern", "_struct", "annotations", "mime_type", "name", "size")

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
        super().__init__(function, uri, what, returns=False, **options)
        self.name = _name_of(function) if name is None else name
        self.mime_type = mime_type
        self.size = size
        self.annotations = annotations
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
            raise ConfigError(f"{what}: a resource URI begins with a scheme, as in demo://greeting")
        arguments = Arguments(function, self.signature, what)
        self._call, self._struct = arguments.call, arguments.struct
        self._pattern = _pattern(uri, what) if "{" in uri else None
        names = set(self._pattern.groupindex) if self._pattern is not None else set()
        known = {p.name: p for p in self.signature.parameters}
        lost = [p.name for p in known.values() if p.default is signature.NOTHING and p.name not in names]
        if lost or names - known.keys() or (known and not names):
            raise ConfigError(f"{what}: the URI gives {sorted(names)}, the function takes {sorted(known)}")

    @property
    def is_template(self) -> bool:
        return self._pattern is not None

    def matches(self, uri: str) -> bool:
        return self._pattern.fullmatch(uri) is not None if self._pattern is not None else uri == self.key

    def _read(self, request: Request) -> Any:
        found = self._pattern.fullmatch(request.name) if self._pattern is not None else None
        values = {key: unquote(value) for key, value in found.groupdict().items()} if found is not None else {}
        if any(_escapes(value) for value in values.values()):
            raise ResourceNotFound(request.name)
        try:
            return msgspec.convert(values, self._struct, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"Invalid resource URI {request.name!r}: {error}", {"uri": request.name}) from None

    def encode(self, value: Any, request: Request) -> Answer:
        if isinstance(value, content.EmbeddedResource):
            value = [value]
        if isinstance(value, list | tuple) and any(isinstance(item, content.EmbeddedResource) for item in value):
            items = [item.contents() for item in value]
        else:
            items = [content.contents(request.name, value, self.mime_type)]
        return b'{"contents":' + encode(items) + b"}"

    def entry(self, revision: Revision) -> dict[str, Any]:
        key = "uriTemplate" if self.is_template else "uri"
        return self._entry(
            revision,
            {key: self.key, "name": self.name},
            mimeType=self.mime_type,
            size=None if self.is_template else self.size,
            annotations=self.annotations,
        )


def _pattern(template: str, what: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^{}]*\})", template)
    pattern = ""
    seen: set[str] = set()
    for part in parts:
        if not part.startswith("{"):
            if "{" in part or "}" in part:
                raise ConfigError(f"{what}: a brace stands alone")
            pattern += re.escape(part)
            continue
        name = part[1:-1].removeprefix("+").removesuffix("*")
        if not name.isidentifier() or name in seen:
            raise ConfigError(f"{what}: {part} is not understood; write {{name}}, or {{name*}} for several segments")
        seen.add(name)
        pattern += f"(?P<{name}>{'[^/?#]+' if part == '{' + name + '}' else '[^?#]+'})"
    return re.compile(pattern)


def _escapes(value: str) -> bool:
    return "\0" in value or value[:1] in ("/", "\\") or ".." in re.split(r"[/\\]", value)


# --- prompts


class Prompt(Offer):
    """A function that gives messages to start a conversation with; its arguments arrive as strings."""

    __slots__ = ("_struct",)

    def __init__(self, function: Function, *, name: str | None = None, **options: Any) -> None:
        name = _name_of(function) if name is None else name
        what = f"Prompt {name!r}"
        super().__init__(function, name, what, returns=False, **options)
        arguments = Arguments(function, self.signature, what)
        self._call, self._struct = arguments.call, arguments.struct

    def _read(self, request: Request) -> Any:
        try:
            given = jsonrpc.object_of(msgspec.Raw(request.arguments)) if request.arguments else {}
            return msgspec.convert(given, self._struct, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidParams(f"Invalid arguments for prompt {self.key!r}: {error}") from None

    def encode(self, value: Any, request: Request) -> Answer:
        items = value if isinstance(value, list | tuple) else [value]
        messages = [_message(item).render(request.revision) for item in items]
        found: dict[str, Any] = {"messages": messages}
        if self.description is not None:
            found["description"] = self.description
        return encode(found)

    def entry(self, revision: Revision) -> dict[str, Any]:
        arguments = []
        for parameter in self.signature.parameters:
            argument: dict[str, Any] = {"name": parameter.name}
            if parameter.description:
                argument["description"] = parameter.description
            argument["required"] = parameter.default is signature.NOTHING
            arguments.append(argument)
        return self._entry(revision, {"name": self.key}, arguments=arguments or None)


def _message(value: object) -> Message:
    if isinstance(value, Message):
        return value
    if isinstance(value, str | Block):
        return Message(value)
    raise TypeError(f"a prompt returns str, blocks and Messages, not {type(value).__name__}")


# --- completion


class _Named(msgspec.Struct):
    name: str
    value: str


class _Reference(msgspec.Struct):
    type: str
    name: str | None = None
    uri: str | None = None


class _Chosen(msgspec.Struct):
    arguments: dict[str, str] = {}


class Completing(msgspec.Struct):
    """The params of `completion/complete`."""

    ref: _Reference
    argument: _Named
    context: _Chosen | None = None


_completing: Final = msgspec.json.Decoder(Completing).decode
MOST_VALUES: Final = 100
"""What one completion may hold (MCP server/utilities/completion)."""


def read_completing(params: bytes) -> Completing:
    """The params of `completion/complete`. Raises InvalidParams."""
    try:
        return _completing(params or b"{}")
    except UNREADABLE as error:
        raise InvalidParams(f"Invalid params: {error}") from None


class Completion(Offer):
    """A function that completes one argument: called with the text so far and, if it takes a second parameter, with
    a dict of the arguments chosen already."""

    __slots__ = ("_context", "_function", "_width")

    def __init__(self, function: Function, of: str, argument: str, **options: Any) -> None:
        what = f"Completion of {argument!r} of {of!r}"
        super().__init__(function, f"{of} {argument}", what, returns=False, **options)
        self._width = len(self.signature.parameters)
        if self._width not in (1, 2):
            raise ConfigError(f"{what}: takes the text so far and, if it likes, the arguments chosen already")
        self._function = function
        self._call = self._complete

    def _complete(self, given: tuple[Any, ...], context: Any = None) -> Any:
        if self.signature.context is not None:
            names = [parameter.name for parameter in self.signature.parameters]
            return self._function(**dict(zip(names, given, strict=True)), **{self.signature.context: context})
        return self._function(*given)

    def _read(self, request: Request) -> Any:
        params = read_completing(request.params)
        chosen = params.context.arguments if params.context is not None else {}
        return (params.argument.value, chosen)[: self._width]

    def encode(self, value: Any, request: Request) -> Answer:
        return encode_completion([str(item) for item in value])


def encode_completion(values: list[str]) -> bytes:
    """The result with the first hundred of `values`, and how many there are."""
    found = {"values": values[:MOST_VALUES], "total": len(values), "hasMore": len(values) > MOST_VALUES}
    return encode({"completion": found})
