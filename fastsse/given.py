"""JSON schemas that somebody wrote by hand: looked at when they are registered, and values checked against them.

Keeps nothing. Called by `tools` and `schema`. A given schema is passed on as it is; of its keywords `check` knows those
that say what a value is made of (type, enum, const, required, properties, additionalProperties, items, anyOf, oneOf,
allOf, local $ref) and passes over the rest, so it never refuses what the schema allows. Nothing is ever fetched.
`param_headers` serves `x-mcp-header` (MCP 2026-07-28, transports §Custom headers) and refuses with ConfigError what
would make clients drop the whole tool.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_DATA: Final = frozenset({"default", "enum", "const", "examples"})  # these hold values, not schemas
_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


class ParamHeader:
    """One argument that 2026-07-28 clients mirror in a header."""

    __slots__ = ("header", "path", "type")

    def __init__(self, header: bytes, path: tuple[str, ...], type: str) -> None:
        self.header = header
        self.path = path
        self.type = type


def object_schema(schema: Any, what: str) -> Schema:
    """`schema` itself when its root is an object type, as MCP demands of every revision."""
    if not isinstance(schema, dict):
        raise ConfigError(f"{what}: a schema is a dict, not {type(schema).__name__}")
    if schema.get("type") != "object":
        raise ConfigError(f"{what}: the root of the schema needs the type 'object', it has {schema.get('type')!r}")
    return schema


def param_headers(schema: Schema, what: str) -> tuple[ParamHeader, ...]:
    """The `x-mcp-header` annotations of an input schema, ready to be compared with a request's headers."""
    found = []
    seen: dict[str, str] = {}
    for node, path, reachable in _nodes(schema, ()):
        if "x-mcp-header" not in node:
            continue
        token, where = node["x-mcp-header"], ".".join(path) or "the root"
        if not reachable or not path:
            raise ConfigError(f"{what}: x-mcp-header at {where} can only stand on what `properties` alone leads to")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ConfigError(f"{what}: x-mcp-header {token!r} at {where} is no header token (RFC 9110)")
        if node.get("type") not in ("string", "integer", "boolean"):
            raise ConfigError(
                f"{what}: x-mcp-header at {where} needs the type string, integer or boolean, not {node.get('type')!r}"
            )
        if (other := seen.setdefault(token.lower(), where)) != where:
            raise ConfigError(f"{what}: x-mcp-header {token!r} stands at {other} and at {where}")
        found.append(ParamHeader(b"mcp-param-" + token.lower().encode(), path, node["type"]))
    return tuple(found)


def _nodes(
    schema: Any, path: tuple[str, ...], reachable: bool = True
) -> Iterator[tuple[Schema, tuple[str, ...], bool]]:
    """Every subschema, the keys that lead to it, and whether those are only `properties`."""
    if isinstance(schema, list):
        for item in schema:
            yield from _nodes(item, path, reachable)
    if not isinstance(schema, dict):
        return
    yield schema, path, reachable
    for key, item in schema.items():
        if key in _MAPS and isinstance(item, dict):
            for name, part in item.items():
                yield from _nodes(part, (*path, name), reachable and key == "properties")
        elif key not in _DATA and isinstance(item, dict | list):
            yield from _nodes(item, (*path, key), False)


def check(value: Any, schema: Any, root: Schema, path: str = "$") -> str | None:
    """What is wrong with a decoded JSON value and where, or None."""
    if schema is False:
        return f"Nothing is allowed here - at `{path}`"
    if not isinstance(schema, dict):
        return None
    wrong = _check_kind(value, schema, path)
    if wrong is None and isinstance(value, dict):
        wrong = _check_members(value, schema, root, path)
    if wrong is None and isinstance(value, list) and "items" in schema and "prefixItems" not in schema:
        parts = (check(item, schema["items"], root, f"{path}[{at}]") for at, item in enumerate(value))
        wrong = next(filter(None, parts), None)
    if wrong is None and isinstance(schema.get("$ref"), str):
        wrong = check(value, _target(schema["$ref"], root), root, path)
    for part in schema.get("allOf", ()):
        wrong = wrong or check(value, part, root, path)
    for key in ("anyOf", "oneOf"):
        if wrong is None and schema.get(key):
            several = [check(value, part, root, path) for part in schema[key]]
            wrong = None if None in several else several[0]
    return wrong


def _check_kind(value: Any, schema: Schema, path: str) -> str | None:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is(value, kind) for kind in kinds):
            return f"Expected `{' | '.join(kinds)}`, got `{_kind(value)}` - at `{path}`"
    if "enum" in schema and not any(_same(value, item) for item in schema["enum"]):
        return f"Expected one of {schema['enum']!r} - at `{path}`"
    if "const" in schema and not _same(value, schema["const"]):
        return f"Expected {schema['const']!r} - at `{path}`"
    return None


def _check_members(value: dict[str, Any], schema: Schema, root: Schema, path: str) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"Object missing required field `{name}` - at `{path}`"
    properties = schema.get("properties", {})
    others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            wrong = check(item, properties[name], root, f"{path}.{name}")
        elif others is False:
            wrong = f"Object contains unknown field `{name}` - at `{path}`"
        else:
            wrong = check(item, others, root, f"{path}.{name}")
        if wrong is not None:
            return wrong
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _kind(value: Any) -> str:
    return next(name for name in ("boolean", "integer", *_TYPES) if type(value) in _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _target(reference: str, root: Schema) -> Any:
    """What a local reference points to; True (anything goes) for one that leads elsewhere."""
    if not reference.startswith("#"):
        return True
    found: Any = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            return True
        found = found[key]
    return found if reference == "#" or reference.startswith("#/") else True
