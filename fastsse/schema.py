"""A Python signature becomes a decoder of arguments and a JSON schema.

Keeps nothing; what it makes is kept by `tools`, `resources` and `prompts`. Types are those of msgspec, which reads the
arguments and names the path of what is wrong. Schemas are plain enough for JSON Schema 2020-12 (MCP's dialect) and
draft-07 (what Ajv-based clients assume) at once: components that do not refer to themselves are written out in place,
tuples avoid `prefixItems`. Unknown members are tolerated, as everywhere in MCP; types are strict (true is no integer).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args, get_origin

import msgspec

from fastsse import content, given, jsonrpc
from fastsse.errors import ConfigError
from fastsse.signature import NOTHING, Parameter, Signature

if TYPE_CHECKING:
    from collections.abc import Callable

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding somebody's JSON may raise."""

SECOND_LOOK = 64 * 1024
"""Bytes of refused arguments that are looked at again: 4 MiB would hold up the event loop for a second."""

_anything = msgspec.json.Decoder()


class Arguments:
    """The decoder of one function's arguments.

    `decode(raw)` gives the struct that `call(struct, context=None)` calls the function with; it raises one of
    UNREADABLE.
    """

    __slots__ = ("_composed", "_struct", "call", "decode")

    def __init__(self, function: Callable[..., Any], signature: Signature, what: str) -> None:
        fields = [(p.name, p.type, _field(p)) for p in signature.parameters]
        try:
            self._struct = msgspec.defstruct("Arguments", fields, kw_only=True, gc=False)
            self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(self._struct).decode
        except TypeError as error:
            raise ConfigError(f"{what}: {error}") from None
        by_name = signature.context is not None  # it may stand anywhere between the others
        passed = [
            ("" if not p.keyword_only and not by_name else f"{p.name}=") + f"_a.{p.name}" for p in signature.parameters
        ]
        if by_name:
            passed.append(f"{signature.context}=_c")
        # One generated expression instead of a call by keyword dictionary: saves a fifth of a microsecond per call.
        self.call: Callable[..., Any] = eval(f"lambda _a, _c=None: _f({', '.join(passed)})", {"_f": function})
        kinds = zip(signature.parameters, _schemas([p.type for p in signature.parameters], what)[0], strict=True)
        self._composed = frozenset(p.name for p, found in kinds if found.get("type") in ("array", "object"))

    def decode_again(self, raw: bytes) -> Any:
        """After `decode` refused: the same arguments as a JSON schema sees them. Raises one of UNREADABLE.

        There 1.0 is an integer; and some clients write null for no arguments.
        """
        if len(raw) > SECOND_LOOK:
            return self.decode(raw)
        value = _anything.decode(raw or b"{}")
        return self.decode(msgspec.json.encode({} if value is None else _integral(value)))

    def convert(self, texts: dict[str, str]) -> Any:
        """The same struct from strings, as prompts and URIs have them: "5" is an integer where one is wanted, and a
        list or an object is written as JSON. Raises one of UNREADABLE."""
        values = {name: _anything.decode(text) if name in self._composed else text for name, text in texts.items()}
        return msgspec.convert(values, self._struct, strict=False)


def _integral(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_integral(item) for item in value]
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    return value


def _field(parameter: Parameter) -> Any:
    if parameter.default is NOTHING:
        return msgspec.field()
    default = parameter.default
    return msgspec.field(default_factory=lambda: default)  # the very object, as a call without it would see


# --- schemas


def input_schema(signature: Signature, what: str) -> dict[str, Any]:
    """The object schema of a function's parameters."""
    properties: dict[str, Any] = {}
    required = []
    hints, definitions = _schemas([p.type for p in signature.parameters], what)
    for parameter, found in zip(signature.parameters, hints, strict=True):
        schema = found
        if parameter.description and "description" not in schema:
            schema = {**schema, "description": parameter.description}
        if parameter.default is NOTHING:
            required.append(parameter.name)
        else:
            with suppress(TypeError):  # a default that JSON cannot say stays unsaid
                schema = {**schema, "default": msgspec.to_builtins(parameter.default)}
        properties[parameter.name] = schema
    whole: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        whole["required"] = required
    if definitions:
        whole["$defs"] = definitions
    return whole


def output_schema(hint: Any, what: str) -> tuple[dict[str, Any], bool]:
    """The object schema of a return type, and whether the value is wrapped as `{"result": value}`.

    Anything but an object is wrapped, at every revision: clients before 2026-07-28 drop a tool with another root.
    """
    (schema,), definitions = _schemas([hint], what)
    wrapped = schema.get("type") != "object"
    if wrapped:
        schema = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    if definitions:
        schema = {**schema, "$defs": definitions}
    return schema, wrapped


def _schemas(hints: list[Any], what: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One schema per type, and the definitions they still need: those that contain themselves."""
    try:
        found, components = msgspec.json.schema_components(hints, ref_template="#/$defs/{name}")
    except TypeError as error:
        said = str(error).splitlines()[-1]
        raise ConfigError(f"{what}: {said} (output_schema=False lets a return type be)") from None
    recursive = {name for name in components if _reaches(name, name, components, set())}
    schemas = [_plain(schema, components, recursive) for schema in found]
    definitions: dict[str, Any] = {}
    wanted = {name for schema in schemas for name in _references(schema)}
    while wanted:
        name = wanted.pop()
        definitions[name] = _plain(components[name], components, recursive)
        wanted |= set(_references(definitions[name])) - definitions.keys()
    return schemas, dict(sorted(definitions.items()))


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for item in schema for name in _references(item)]
    if not isinstance(schema, dict):
        return []
    names = [name for key, item in schema.items() if key != "default" for name in _references(item)]
    if isinstance(schema.get("$ref"), str):
        names.append(schema["$ref"].removeprefix("#/$defs/"))
    return names


def _reaches(start: str, goal: str, components: dict[str, Any], seen: set[str]) -> bool:
    for name in _references(components[start]):
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            if _reaches(name, goal, components, seen):
                return True
    return False


def _plain(schema: Any, components: dict[str, Any], recursive: set[str]) -> Any:
    """The schema with references written out where possible and without what the two dialects spell differently."""
    if isinstance(schema, list):
        return [_plain(item, components, recursive) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix("#/$defs/")
        if name not in recursive:
            del schema["$ref"]
            schema = {**components[name], **schema}
    if "prefixItems" in schema:
        parts: list[Any] = []
        for part in schema.pop("prefixItems"):
            if part not in parts:
                parts.append(part)
        schema["items"] = parts[0] if len(parts) == 1 else {"anyOf": parts}
    if "enum" in schema and "type" not in schema and (kind := _kind(schema["enum"])):
        schema = {"type": kind, **schema}
    for key, item in schema.items():
        if key == "properties":
            schema[key] = {name: _plain(part, components, recursive) for name, part in item.items()}
        elif key not in ("default", "enum", "examples", "required"):
            schema[key] = _plain(item, components, recursive)
    return schema


def _kind(values: list[Any]) -> str | None:
    """The JSON type of an enumeration's values when it is one for all: some clients insist on a `type`."""
    if all(isinstance(value, str) for value in values):
        return "string"
    return "integer" if all(type(value) is int for value in values) else None


def mentions(hint: Any, classes: tuple[type, ...]) -> bool:
    """Whether a type is one of `classes` or is made of one, as in `list[str | Image]`."""
    if isinstance(hint, type) and not get_args(hint):
        return issubclass(hint, classes)
    return any(mentions(part, classes) for part in get_args(hint))


class Members:
    """The decoder of arguments whose schema was given: an object whose members become keywords.

    A function without `**keywords` gets the members it has names for.
    """

    __slots__ = ("_function", "_names", "_required", "_schema", "_signature")

    def __init__(self, function: Callable[..., Any], signature: Signature, schema: dict[str, Any]) -> None:
        self._function = function
        self._signature = signature
        self._schema = schema
        self._names = None if signature.open else frozenset(p.name for p in signature.parameters)
        self._required = tuple(p.name for p in signature.parameters if p.default is NOTHING)

    def decode(self, raw: bytes) -> dict[str, Any]:
        """The members the function takes. Raises one of UNREADABLE."""
        value = _anything.decode(raw)
        wrong = given.check(value, self._schema, self._schema)
        if wrong is not None:
            raise msgspec.ValidationError(wrong)
        for name in self._required:
            if name not in value:
                raise msgspec.ValidationError(f"Object missing required field `{name}`")
        if self._names is None:
            return cast("dict[str, Any]", value)
        return {name: item for name, item in value.items() if name in self._names}

    def decode_again(self, raw: bytes) -> dict[str, Any]:
        """After `decode` refused: null means no arguments."""
        return self.decode(b"{}" if _anything.decode(raw or b"null") is None else raw)

    def call(self, members: dict[str, Any], context: Any = None) -> Any:
        """Calls the function."""
        if self._signature.context is not None:
            return self._function(**{**members, self._signature.context: context})
        return self._function(**members)


def decoder(hint: Any) -> Callable[[bytes], Any]:
    """A decoder of one type; it raises one of UNREADABLE."""
    return msgspec.json.Decoder(hint).decode


def checker(schema: dict[str, Any]) -> Callable[[bytes], Any]:
    """A decoder that refuses (ValidationError) JSON which a given schema does not allow."""

    def decode(raw: bytes) -> Any:
        value = _anything.decode(raw)
        wrong = given.check(value, schema, schema)
        if wrong is not None:
            raise msgspec.ValidationError(wrong)
        return value

    return decode


def is_structured(hint: Any) -> bool:
    """Whether a return type promises data: not str, bytes, None, Any, nothing at all, or content."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint not in (NOTHING, Any, None, type(None), str, bytes, object) and not mentions(hint, content.BLOCKS)


def members(raw: bytes) -> dict[str, Any]:
    """A JSON object as it is, empty for nothing and null. Raises InvalidParams for any other JSON."""
    return jsonrpc.object_of(raw) if raw else {}


# --- params of `completion/complete`


class Reference(msgspec.Struct):
    """What is completed: a prompt by name, a template by URI."""

    type: str
    name: str | None = None
    uri: str | None = None


class Completed(msgspec.Struct):
    """The argument and the text so far."""

    name: str
    value: str


class Chosen(msgspec.Struct):
    """What was chosen for other arguments."""

    arguments: dict[str, str] = {}


class Completing(msgspec.Struct):
    """The params of `completion/complete`."""

    ref: Reference
    argument: Completed
    context: Chosen | None = None


completing: Final = msgspec.json.Decoder(Completing).decode
