"""Signatures become schemas and decoders: both dialects accept the schemas, and what a schema accepts is decoded."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Optional, TypedDict

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsse import given as given_schemas
from fastsse import schema, signature
from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from somewhere import Unknown  # type: ignore[import-not-found]

    import fastsse
    from fastsse.context import Context


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Box:
    corner: Point
    tags: list[str] = dataclasses.field(default_factory=list)


class Address(TypedDict):
    street: str
    zip: NotRequired[int]


class Node(msgspec.Struct):
    value: int
    children: list[Node] = []


def read(function: Callable[..., Any]) -> signature.Signature:
    return signature.read(function, "Tool 'x'")


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    return schema.input_schema(read(function), "Tool 'x'")


def arguments_of(function: Callable[..., Any]) -> schema.Arguments:
    return schema.Arguments(function, read(function), "Tool 'x'")


def run(function: Callable[..., Any], raw: bytes) -> Any:
    """Decodes as a tool does, and calls."""
    arguments = arguments_of(function)
    try:
        found = arguments.decode(raw)
    except schema.UNREADABLE:
        found = arguments.decode_again(raw)
    return arguments.call(found)


def everything(
    a: int,
    b: float,
    c: str,
    d: bool,
    e: Literal["x", "y"],
    f: Color,
    g: Point,
    h: Box,
    i: Address,
    j: list[int],
    k: dict[str, float],
    l: tuple[float, float],  # noqa: E741
    m: str | None,
    n: Annotated[int, msgspec.Meta(ge=1, le=9)],
    o: Any,
    p: set[str],
    q: tuple[int, ...],
    r: Literal[1, "one", None],
    s: int | list[Point],
) -> None:
    """All kinds."""


def optional(a: int = 3, b: Color = Color.RED, c: list[int] = [1, 2], d: Point | None = None) -> tuple[Any, ...]:  # noqa: B006
    return a, b, c, d


def recursive(node: Node, other: Annotated[Node, "the second"]) -> Node:
    return node


def nothing() -> None:
    pass


FUNCTIONS = [everything, optional, recursive, nothing]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dialect", [jsonschema.Draft202012Validator, jsonschema.Draft7Validator])
def test_both_dialects_take_the_schema(function: Callable[..., Any], dialect: Any) -> None:
    found = schema_of(function)
    dialect.check_schema(found)
    assert found["type"] == "object"
    text = json.dumps(found)
    assert "prefixItems" not in text
    assert text.count("$ref") == text.count('"#/$defs/Node"')  # only what contains itself stays a reference


def json_for(found: dict[str, Any], definitions: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that `found` accepts."""
    if "$ref" in found:
        return json_for(definitions[found["$ref"].removeprefix("#/$defs/")], definitions, depth + 1)
    if "enum" in found:
        return st.sampled_from(found["enum"])
    if "anyOf" in found:
        return st.one_of([json_for(part, definitions, depth) for part in found["anyOf"]])
    kind = found.get("type")
    if kind == "integer":
        # A float without a fraction is an integer to JSON Schema.
        whole = st.integers(found.get("minimum", -(2**53)), found.get("maximum", 2**53))
        return whole | whole.map(float)
    if kind == "number":
        return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
    if kind == "array":
        if depth > 2:
            return st.just([])
        items = json_for(found.get("items", {}), definitions, depth)
        most = found.get("maxItems", 3)
        unique = json.dumps if found.get("uniqueItems") else None
        return st.lists(items, min_size=found.get("minItems", 0), max_size=most, unique_by=unique)
    if kind == "object":
        properties = {key: json_for(part, definitions, depth) for key, part in found.get("properties", {}).items()}
        required = {key: properties.pop(key) for key in found.get("required", ())}
        if "properties" not in found:
            return st.dictionaries(
                st.text(max_size=5), json_for(found["additionalProperties"], definitions), max_size=2
            )
        return st.fixed_dictionaries(required, optional=properties)
    simple = {"string": st.text(max_size=5), "boolean": st.booleans(), "null": st.none()}
    return simple[kind] if kind is not None else st.none() | st.integers() | st.text(max_size=3)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_the_schema_accepts_the_decoder_accepts(function: Callable[..., Any], data: st.DataObject) -> None:
    found = schema_of(function)
    value = data.draw(json_for(found, found.get("$defs", {})))
    jsonschema.Draft202012Validator(found).validate(value)
    jsonschema.Draft7Validator(found).validate(value)
    run(function, json.dumps(value).encode())


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"a":true}', "$.a"),
        (b'{"a":"3"}', "$.a"),
        (b'{"a":1.5}', "$.a"),
        (b'{"b":"blue"}', "$.b"),
        (b'{"c":[1,"2"]}', "$.c[1]"),
        (b'{"d":{"x":"far"}}', "$.d.x"),
        (b"[]", "array"),
        (b'"a"', "str"),
    ],
)
def test_wrong_arguments_name_the_path(raw: bytes, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        run(optional, raw)
    assert path in str(caught.value)


def test_what_is_not_json_is_refused() -> None:
    for raw in (b'{"a":', b'{"c":"\xff"}', b"nonsense"):
        with pytest.raises(schema.UNREADABLE):
            run(optional, raw)


def test_defaults_are_the_functions_own() -> None:
    expected = (3, Color.RED, [1, 2], None)
    assert run(optional, b"{}") == run(optional, b"null") == run(optional, b"") == expected
    assert run(optional, b'{"a":4.0,"unknown":1}')[0] == 4
    assert run(optional, b"{}")[2] is optional.__defaults__[2]  # type: ignore[index]
    properties = schema_of(optional)["properties"]
    assert [part["default"] for part in properties.values()] == [3, "red", [1, 2], None]
    assert "required" not in schema_of(optional)


def test_a_default_that_json_cannot_say_stays_unsaid() -> None:
    def function(a: Any = object) -> object:
        return a

    assert schema_of(function)["properties"] == {"a": {}}
    assert run(function, b"{}") is object


def test_an_enumeration_has_a_type_when_there_is_one() -> None:
    properties = schema_of(everything)["properties"]
    assert properties["e"] == {"type": "string", "enum": ["x", "y"]}
    assert properties["f"]["type"] == "string"
    assert "type" not in properties["r"]


def test_a_tuple_is_said_so_that_both_dialects_mean_the_same() -> None:
    def function(a: tuple[float, float], b: tuple[int, str, int]) -> None: ...

    found = schema_of(function)["properties"]
    assert found["a"] == {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}
    assert found["b"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def test_components_are_written_out_with_what_was_said_beside_them() -> None:
    def function(a: Annotated[Point, "where"], b: Point | None = None) -> None: ...

    found = schema_of(function)["properties"]
    assert found["a"]["description"] == "where"
    assert found["a"]["properties"]["y"] == {"type": "number", "default": 0.0}
    assert found["b"]["anyOf"][0]["title"] == "Point"


def test_keyword_only_parameters_and_keywords_in_any_order() -> None:
    def function(a: int, /, *, b: int = 2, c: int) -> tuple[int, ...]:
        return a, b, c

    assert run(functools.partial(function, 1), b'{"c":3}') == (1, 2, 3)


@pytest.mark.parametrize(
    "function",
    [lambda *a: a, lambda a, /: a, print, lambda a: a],
    ids=["*args", "positional-only", "builtin", "fine"],
)
def test_signatures_that_named_arguments_cannot_fill(function: Callable[..., Any], request: Any) -> None:
    if request.node.callspec.id == "fine":
        assert run(function, b'{"a":[1]}') == [1]
        return
    with pytest.raises(ConfigError, match="Tool 'x'"):
        read(function)


def test_types_without_a_json_form_are_refused_by_name() -> None:
    def function(a: Exception) -> None: ...

    with pytest.raises(ConfigError, match=r"Tool 'x'.*Exception"):
        arguments_of(function)


# --- annotations as strings, and the Context parameter


def test_a_context_may_be_imported_for_type_checkers_only() -> None:
    def first(context: Context, a: int) -> None: ...

    def last(a: int, c: Optional[Context] = None) -> None: ...  # noqa: UP045

    def far(a: int, where: fastsse.context.Context) -> None: ...

    for function, name in ((first, "context"), (last, "c"), (far, "where")):
        found = read(function)
        assert (found.context, [p.name for p in found.parameters]) == (name, ["a"])


def test_the_context_reaches_its_parameter_wherever_it_stands() -> None:
    def function(a: int, context: Context, b: int = 5, *, c: int = 6) -> tuple[Any, ...]:
        return a, context, b, c

    arguments = arguments_of(function)
    assert arguments.call(arguments.decode(b'{"a":1}'), "the context") == (1, "the context", 5, 6)


def test_two_contexts_are_one_too_many() -> None:
    def function(a: Context, b: Context) -> None: ...

    with pytest.raises(ConfigError, match="both annotated"):
        read(function)


def test_an_annotation_that_does_not_resolve_is_named() -> None:
    def parameter(a: Unknown) -> None: ...

    def returned(a: int) -> Unknown: ...

    with pytest.raises(ConfigError, match="'Unknown' of 'a'"):
        read(parameter)
    with pytest.raises(ConfigError, match="'Unknown' of 'return'"):
        read(returned)
    assert signature.read(returned, "x", returns=False).parameters[0].type is int


def test_names_of_a_closure_resolve() -> None:
    class Local(msgspec.Struct):
        a: int

    def function(local: Local) -> Any:
        return Local, local

    assert run(function, b'{"local":{"a":1}}')[1] == Local(1)


# --- docstrings

GOOGLE = """Sums up.

    In more words.

    Args:
        a (int): The first,
            on two lines.
        b: The second: with a colon.

    Returns:
        The sum.
    """
NUMPY = """Sums up.

    In more words.

    Parameters
    ----------
    a : int
        The first,
        on two lines.
    b
        The second: with a colon.

    Returns
    -------
    int
        The sum.
    """
SPHINX = """Sums up.

    In more words.

    :param int a: The first,
        on two lines.
    :param b: The second: with a colon.
    :returns: The sum.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_docstrings_describe_parameters(text: str) -> None:
    summary, said = signature.read_docstring(inspect.cleandoc(text))
    assert summary == "Sums up.\n\nIn more words."
    assert said == {"a": "The first, on two lines.", "b": "The second: with a colon."}


def test_what_is_said_nearest_to_the_parameter_counts() -> None:
    def function(
        a: Annotated[int, "annotated"],
        b: Annotated[int, msgspec.Meta(description="constrained")],
        c: dt.date,
    ) -> None:
        """Does.

        Args:
            a: docstring
            b: docstring
            c: docstring
        """

    found = schema_of(function)["properties"]
    assert [part["description"] for part in found.values()] == ["annotated", "constrained", "docstring"]


@settings(deadline=None)
@given(st.text(alphabet="ab:-()* \n\tArgsParametersReturn", max_size=80))
def test_no_docstring_is_too_strange(text: str) -> None:
    signature.read_docstring(text)


# --- output schemas


@pytest.mark.parametrize(
    ("hint", "wrapped"),
    [(int, True), (list[Point], True), (Point, False), (Box, False), (Address, False), (dict[str, int], False)],
)
@pytest.mark.parametrize("dialect", [jsonschema.Draft202012Validator, jsonschema.Draft7Validator])
def test_output_schemas_have_an_object_as_root(hint: Any, wrapped: bool, dialect: Any) -> None:
    found, was_wrapped = schema.output_schema(hint, "x")
    dialect.check_schema(found)
    assert (found["type"], was_wrapped) == ("object", wrapped)


def test_a_recursive_result_keeps_its_definitions() -> None:
    found, _ = schema.output_schema(Node, "x")
    value = {"result": {"value": 1, "children": [{"value": 2, "children": []}]}}
    jsonschema.Draft7Validator(found).validate(value)
    value["result"]["children"] = [{"value": "two"}]
    assert not jsonschema.Draft7Validator(found).is_valid(value)


def test_which_return_types_promise_data() -> None:
    plain: list[Any] = [str, None, Any, bytes, signature.NOTHING, Annotated[str, "text"]]
    assert not any(schema.is_structured(hint) for hint in plain)
    promising: list[Any] = [int, list[str], str | None, Literal["a"], Point, dict, Annotated[int, "n"]]
    assert all(schema.is_structured(hint) for hint in promising)


# --- schemas that are given

HAND_WRITTEN: dict[str, Any] = {
    "type": "object",
    "$defs": {"name": {"type": "string"}, "tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "properties": {
        "name": {"$ref": "#/$defs/name"},
        "count": {"type": ["integer", "null"]},
        "mode": {"enum": ["a", 1]},
        "exact": {"const": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]},
        "all": {"allOf": [{"type": "object"}, {"required": ["y"]}]},
        "list": {"type": "array", "items": {"type": "number"}},
        "tree": {"$ref": "#/$defs/tree"},
        "never": False,
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}

SOMETHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["a", "x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from([*HAND_WRITTEN["properties"], "other"]), SOMETHING, max_size=3) | SOMETHING)
def test_check_agrees_with_jsonschema_about_what_it_knows(value: Any) -> None:
    """With these keywords the two agree; with more of them `check` may only be the more lenient."""
    wrong = given_schemas.check(value, HAND_WRITTEN, HAND_WRITTEN)
    assert (wrong is None) == jsonschema.Draft202012Validator(HAND_WRITTEN).is_valid(value), wrong


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "Object missing required field `name` - at `$`"),
        ({"name": 1}, "Expected `string`, got `integer` - at `$.name`"),
        ({"name": "a", "list": [1, "2"]}, "Expected `number`, got `string` - at `$.list[1]`"),
        ({"name": "a", "odd": 1}, "Object contains unknown field `odd` - at `$`"),
        ({"name": "a", "mode": 2}, "Expected one of ['a', 1] - at `$.mode`"),
        ({"name": "a", "exact": 1}, "Expected True - at `$.exact`"),
        ({"name": "a", "count": True}, "Expected `integer | null`, got `boolean` - at `$.count`"),
    ],
)
def test_check_says_what_is_wrong_and_where(value: Any, said: str) -> None:
    assert given_schemas.check(value, HAND_WRITTEN, HAND_WRITTEN) == said


def test_what_check_does_not_know_it_passes_over() -> None:
    for part in (
        {"$ref": "https://example.com/schema"},
        {"$ref": "#anchor"},
        {"$ref": "#/$defs/missing"},
        {"if": {"type": "string"}, "then": False},
        {"pattern": "^b"},
        True,
    ):
        assert given_schemas.check("a", part, {}) is None


def test_headers_are_found_along_properties() -> None:
    found = given_schemas.param_headers(
        {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "x-mcp-header": {"type": "string"},  # a property of that name is none
                "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Deep-N"}}},
                "data": {"default": {"x-mcp-header": "nor is data"}},
            },
        },
        "x",
    )
    assert [(item.header, item.path, item.type) for item in found] == [
        (b"mcp-param-region", ("region",), "string"),
        (b"mcp-param-deep-n", ("deep", "n"), "integer"),
    ]


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "x-mcp-header": "no token"}},
        {"a": {"type": "string", "x-mcp-header": ""}},
        {"a": {"type": "string", "x-mcp-header": 1}},
        {"a": {"type": "number", "x-mcp-header": "A"}},
        {"a": {"type": ["string", "null"], "x-mcp-header": "A"}},
        {"a": {"x-mcp-header": "A"}},
        {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}},
        {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}},
        {"a": {"anyOf": [{"type": "string", "x-mcp-header": "A"}]}},
        {"a": {"patternProperties": {"b": {"type": "string", "x-mcp-header": "A"}}}},
    ],
)
def test_headers_that_would_cost_the_whole_tool_are_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="x-mcp-header"):
        given_schemas.param_headers({"type": "object", "properties": properties}, "Tool 'x'")


def test_headers_behind_references_and_at_the_root_are_refused() -> None:
    behind = {"type": "object", "$defs": {"r": {"type": "string", "x-mcp-header": "R"}}, "properties": {}}
    for whole in (behind, {"type": "object", "x-mcp-header": "Root"}):
        with pytest.raises(ConfigError, match="x-mcp-header"):
            given_schemas.param_headers(whole, "Tool 'x'")
