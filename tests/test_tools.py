"""Tools: how they run, what they answer and refuse, how they are listed, at every revision."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import logging
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict, cast

import jsonschema
import msgspec
import pytest

from calling import Speaker, call, every_revision, listed, make, run
from fastsse.app import App
from fastsse.content import Audio, EmbeddedResource, Image, ResourceLink, Text, ToolResult
from fastsse.context import Context
from fastsse.errors import (
    INVALID_PARAMS,
    AskError,
    ClientLacks,
    ConfigError,
    InvalidParams,
    McpError,
    ToolError,
)
from fastsse.handler import ASYNC, LOOP, THREAD, Work
from fastsse.revisions import R1, R2, R4, R5, Revision


@pytest.fixture
def app() -> App:
    return App("test", version="1.2.3")


# --- running


def test_an_inline_tool_answers_at_once_with_nothing_around_its_text(app: App) -> None:
    @app.tool(inline=True)
    def echo(text: str) -> str:
        return text

    assert app.handle(make("tools/call", "echo", {"text": 'a"b\n'})) == (
        b'{"content":[{"type":"text","text":"a\\"b\\n"}]}'
    )


def test_how_a_function_is_run_depends_on_what_it_is(app: App) -> None:
    def plain() -> None: ...

    async def waits() -> None: ...

    class Waiting:
        async def __call__(self) -> None: ...

    app.add_tool(plain)
    app.add_tool(waits)
    app.add_tool(Waiting(), name="object")
    app.add_tool(functools.partial(waits), name="partial")
    app.add_tool(plain, name="slow", inline=True, timeout=1)
    app.add_tool(plain, name="few", inline=True, limit=2)

    @app.tool(inline=True)
    def speaks(context: Context) -> None: ...

    kinds = {
        "plain": THREAD,
        "waits": ASYNC,
        "object": ASYNC,
        "partial": ASYNC,
        "slow": LOOP,
        "few": LOOP,
        "speaks": LOOP,
    }
    for name, kind in kinds.items():
        work = app.handle(make("tools/call", name))
        assert isinstance(work, Work)
        assert work.plan.kind == kind, name
    slow = app.handle(make("tools/call", "slow"))
    assert isinstance(slow, Work)
    assert (slow.plan.timeout, slow.plan.limit, slow.plan.label) == (1, None, "Tool 'slow'")


def test_a_tool_gets_its_context(app: App) -> None:
    @app.tool
    async def count(steps: int, context: Context) -> str:
        for step in range(steps):
            context.progress(step, steps)
        return "done"

    speaker = Speaker()
    assert call(app, "count", R5, speaker, steps=2) == {"content": [{"type": "text", "text": "done"}]}
    assert speaker.said == [(0, 2), (1, 2)]


def test_the_decorated_function_stays_itself(app: App) -> None:
    @app.tool("renamed")
    def first(a: int) -> int:
        return a + 1

    @app.prompt("greet")
    def second() -> str:
        return "hi"

    @app.resource("demo://x")
    def third() -> str:
        return "x"

    assert (first(1), second(), third()) == (2, "hi", "x")
    assert [tool["name"] for tool in listed(app, "tools/list")] == ["renamed"]


@every_revision
def test_arguments_that_do_not_fit_are_a_result_that_names_the_path(app: App, revision: Revision) -> None:
    @app.tool(inline=True)
    def inline(items: list[int]) -> str:
        return "never"

    app.add_tool(inline, name="threaded")
    for name in ("inline", "threaded"):
        result = run(app, make("tools/call", name, {"items": [1, "2"]}, revision))
        assert result["isError"] is True
        assert "`$.items[1]`" in result["content"][0]["text"]
        assert repr(name) in result["content"][0]["text"]
        assert "`items`" in run(app, make("tools/call", name, {}, revision))["content"][0]["text"]


def test_arguments_may_be_absent_or_null(app: App) -> None:
    @app.tool(inline=True)
    def none(a: int = 1) -> int:
        return a

    request = make("tools/call", "none")
    for raw in (b"", b"null", b"{}", b'{"unknown":true}'):
        request.arguments = raw
        assert run(app, request)["structuredContent"] == {"result": 1}
    for raw in (b"[]", b"3", b'{"a":', b'{"a":"\xff"}', b"[" * 100_000):
        request.arguments = raw
        assert run(app, request)["isError"] is True


def test_an_unknown_tool_is_invalid_params(app: App) -> None:
    with pytest.raises(InvalidParams, match="Unknown tool: nope") as caught:
        app.handle(make("tools/call", "nope"))
    assert caught.value.code == INVALID_PARAMS


@pytest.mark.parametrize("inline", [True, False])
def test_what_a_tool_raises(app: App, inline: bool, caplog: pytest.LogCaptureFixture) -> None:
    def raises(error: Exception) -> Callable[[], None]:
        def function() -> None:
            raise error

        return function

    for name, error in {
        "told": ToolError("say <this> to the model"),
        "asked": AskError("nobody answered"),
        "crashed": ValueError("the password is hunter2"),
        "validated": msgspec.ValidationError("the password is hunter2"),
        "protocol": McpError(-5, "no", {"a": 1}),
        "lacks": ClientLacks("sampling", {"sampling": {}}),
    }.items():
        app.add_tool(raises(error), name=name, inline=inline)
    assert call(app, "told") == {"content": [{"type": "text", "text": "say <this> to the model"}], "isError": True}
    assert call(app, "asked")["content"][0]["text"] == "nobody answered"
    assert not caplog.records
    for name in ("crashed", "validated"):
        caplog.clear()
        assert call(app, name) == {"content": [{"type": "text", "text": f"Tool {name!r} failed"}], "isError": True}
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("fastsse.app", logging.ERROR)
        assert record.exc_info is not None
        assert "hunter2" in str(record.exc_info[1])
    with pytest.raises(McpError) as caught:
        call(app, "protocol")
    assert (caught.value.code, caught.value.data) == (-5, {"a": 1})
    with pytest.raises(ClientLacks):
        call(app, "lacks")


# --- results


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Pair:
    left: int
    right: int


class Weather(TypedDict):
    degrees: float


class Mood(enum.Enum):
    GOOD = "good"


RESULTS: list[tuple[Any, Any, Any, str]] = [
    # return type, value, structured content, text
    (int, 3, {"result": 3}, "3"),
    (float, 2.5, {"result": 2.5}, "2.5"),
    (bool, True, {"result": True}, "true"),
    (list[int], [1, 2], {"result": [1, 2]}, "[1,2]"),
    (str | None, "a", {"result": "a"}, "a"),
    (str | None, None, {"result": None}, "null"),
    (Literal["a", "b"], "b", {"result": "b"}, "b"),
    (Mood, Mood.GOOD, {"result": "good"}, '"good"'),
    (dict[str, int], {"a": 1}, {"a": 1}, '{"a":1}'),
    (dict, {"a": [None]}, {"a": [None]}, '{"a":[null]}'),
    (Point, Point(1.0), {"x": 1.0, "y": 0.0}, '{"x":1.0,"y":0.0}'),
    (Pair, Pair(1, 2), {"left": 1, "right": 2}, '{"left":1,"right":2}'),
    (Weather, {"degrees": 3.5}, {"degrees": 3.5}, '{"degrees":3.5}'),
    (Annotated[list[Point], "points"], [Point(1.0)], {"result": [{"x": 1.0, "y": 0.0}]}, '[{"x":1.0,"y":0.0}]'),
    (tuple[int, str], (1, "a"), {"result": [1, "a"]}, '[1,"a"]'),
]


@pytest.mark.parametrize(("hint", "value", "structured", "text"), RESULTS, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("inline", [True, False])
@every_revision
def test_a_return_type_promises_structured_content(
    app: App, hint: Any, value: Any, structured: Any, text: str, inline: bool, revision: Revision
) -> None:
    def function() -> Any:
        return value

    function.__annotations__["return"] = hint
    app.add_tool(function, inline=inline)
    result = call(app, "function", revision)
    (tool,) = listed(app, "tools/list", revision)
    assert result["content"] == [{"type": "text", "text": text}]
    if revision.structured:
        assert result["structuredContent"] == structured
        for dialect in (jsonschema.Draft202012Validator, jsonschema.Draft7Validator):
            dialect(tool["outputSchema"]).validate(structured)
    else:
        assert result.keys() == {"content"}
        assert "outputSchema" not in tool


def test_what_breaks_its_promise_does_not_leave(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def returns(value: Any, hint: Any) -> Callable[[], Any]:
        def function() -> Any:
            return value

        function.__annotations__["return"] = hint
        return function

    for at, (value, hint) in enumerate(
        [
            ("a", int),
            (math.nan, float),
            ({"x": "far"}, Point),
            ([1, "2"], list[int]),
            (Image(b""), int),
            (b"\xff", list[str]),
        ]
    ):
        app.add_tool(returns(value, hint), name=f"t{at}", inline=bool(at % 2))
        assert call(app, f"t{at}") == {"content": [{"type": "text", "text": f"Tool 't{at}' failed"}], "isError": True}
    assert len(caplog.records) == 6


@pytest.mark.parametrize("inline", [True, False])
def test_results_without_a_promise(app: App, inline: bool) -> None:
    def returns(value: Any) -> Callable[[], Any]:
        return lambda: value

    texts = {"text": "a", "none": None, "number": 3, "list": ["a", 1], "object": {"a": 1}, "empty": []}
    for name, value in texts.items():
        app.add_tool(returns(value), name=name, inline=inline)
    assert call(app, "text") == {"content": [{"type": "text", "text": "a"}]}
    assert call(app, "none") == {"content": []}
    assert call(app, "number") == {"content": [{"type": "text", "text": "3"}]}
    assert call(app, "list") == {"content": [{"type": "text", "text": '["a",1]'}]}
    assert call(app, "object") == {"content": [{"type": "text", "text": '{"a":1}'}], "structuredContent": {"a": 1}}
    assert call(app, "object", R2) == {"content": [{"type": "text", "text": '{"a":1}'}]}
    assert all("outputSchema" not in tool for tool in listed(app, "tools/list"))


def test_content_blocks(app: App) -> None:
    @app.tool
    def mixed() -> list[str | Image | Audio | ResourceLink]:
        return ["a", Image(b"\0"), Audio(b"\0"), ResourceLink("demo://a", "a")]

    @app.tool
    def one() -> EmbeddedResource:
        return EmbeddedResource("demo://a", "text")

    @app.tool
    def optional(there: bool) -> Image | None:
        return Image(b"\0") if there else None

    assert all("outputSchema" not in tool for tool in listed(app, "tools/list"))
    assert [block["type"] for block in call(app, "mixed")["content"]] == ["text", "image", "audio", "resource_link"]
    assert [block["type"] for block in call(app, "mixed", R1)["content"]] == ["text", "image", "resource", "text"]
    assert call(app, "one")["content"][0]["resource"]["text"] == "text"
    assert call(app, "optional", there=True)["content"][0]["mimeType"] == "image/png"
    assert call(app, "optional", there=False) == {"content": []}


def test_bytes_are_refused_with_what_to_return_instead(app: App, caplog: pytest.LogCaptureFixture) -> None:
    @app.tool
    def raw() -> bytes:
        return b"\0"

    assert call(app, "raw")["isError"] is True
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "Image, Audio or EmbeddedResource" in str(record.exc_info[1])


def test_a_tool_result_says_everything(app: App) -> None:
    @app.tool
    def full() -> ToolResult:
        return ToolResult([Text("a")], structured={"n": 1}, meta={"com.example/a": 1})

    @app.tool
    def failed() -> ToolResult:
        return ToolResult("no", structured={"n": 1}, is_error=True)

    @app.tool
    def short() -> ToolResult:
        return ToolResult(structured=[1])

    @app.tool(output_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    def promised(give: str) -> ToolResult:
        return ToolResult("text", structured={"right": {"n": 1}, "wrong": {"n": "x"}}.get(give))

    assert call(app, "full") == {
        "content": [{"type": "text", "text": "a"}],
        "structuredContent": {"n": 1},
        "_meta": {"com.example/a": 1},
    }
    assert call(app, "full", R2).keys() == {"content", "_meta"}
    assert call(app, "failed") == {"content": [{"type": "text", "text": "no"}], "isError": True}
    assert call(app, "short") == {"content": [{"type": "text", "text": "[1]"}], "structuredContent": [1]}
    assert call(app, "short", R4) == {"content": [{"type": "text", "text": "[1]"}]}  # only objects before 2026-07-28
    assert call(app, "promised", give="right")["structuredContent"] == {"n": 1}
    assert call(app, "promised", give="wrong")["isError"] is True
    assert call(app, "promised", give="nothing")["isError"] is True


def test_an_output_schema_that_is_given(app: App) -> None:
    @app.tool(output_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    def given(n: Any) -> Any:
        return {"n": n}

    @app.tool(output_schema=False)
    def none() -> int:
        return 3

    @app.tool(output_schema=False)
    def foreign() -> Exception:  # a type without a schema is no obstacle then
        return cast("Exception", "a")

    assert call(app, "given", n=1)["structuredContent"] == {"n": 1}
    assert call(app, "given", n="1")["isError"] is True
    assert call(app, "none") == {"content": [{"type": "text", "text": "3"}]}
    assert call(app, "foreign") == {"content": [{"type": "text", "text": "a"}]}
    assert ["outputSchema" in tool for tool in listed(app, "tools/list")] == [True, False, False]


def test_an_input_schema_that_is_given(app: App) -> None:
    written = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}}}},
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}, "from": {"type": "integer"}},
        "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
        "if": {"properties": {"name": {"const": "x"}}, "required": ["name"]},
        "then": {"required": ["address"]},
        "additionalProperties": False,
    }
    text = json.dumps(written)

    @app.tool(input_schema=written)
    def all_of_it(context: Context, **members: Any) -> Any:
        return {"members": members, "context": context}

    @app.tool(input_schema=written)
    def one_of_it(name: str = "nobody") -> str:
        return name

    @app.tool(input_schema={"type": "object"})
    def needs_it(name: str) -> str:
        return name

    written["properties"] = {}  # whoever registered it may go on using it
    tool = listed(app, "tools/list")[0]
    assert json.dumps(tool["inputSchema"]) == text  # order and all
    result = call(app, "all_of_it", R5, "the context", **{"name": "a", "from": 1})
    assert result["structuredContent"] == {"members": {"name": "a", "from": 1}, "context": "the context"}
    assert "`$.address.street`" in call(app, "all_of_it", address={"street": 1})["content"][0]["text"]
    assert "`odd`" in call(app, "all_of_it", name="a", odd=1)["content"][0]["text"]
    assert call(app, "one_of_it", address={})["content"][0]["text"] == "nobody"
    assert "`name`" in call(app, "needs_it")["content"][0]["text"]
    assert run(app, make("tools/call", "needs_it", {"name": "b"}))["content"][0]["text"] == "b"
    assert run(app, make("tools/call", "needs_it"))["isError"] is True


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (lambda: 1, {}),
        (lambda: 1, {"name": ""}),
        (lambda: 1, {"name": "a b"}),
        (lambda: 1, {"name": "a" * 65}),
        (lambda: 1, {"name": "a", "timeout": 0}),
        (lambda: 1, {"name": "a", "timeout": -1}),
        (lambda: 1, {"name": "a", "limit": 0}),
        (lambda **k: 1, {"name": "a"}),
        (lambda: 1, {"name": "a", "input_schema": {}}),
        (lambda: 1, {"name": "a", "input_schema": {"type": "array"}}),
        (lambda: 1, {"name": "a", "input_schema": "object"}),
        (lambda: 1, {"name": "a", "output_schema": {"type": "array"}}),
        (lambda: 1, {"name": "a", "headers": {"b": "B"}}),
        (lambda: 1, {"name": "a", "meta": {"a": object()}}),
        (lambda: (yield), {"name": "a"}),
    ],
)
def test_tools_that_cannot_work_are_refused_at_registration(app: App, function: Any, options: Any) -> None:
    with pytest.raises(ConfigError):
        app.add_tool(function, **options)
    assert listed(app, "tools/list") == []


def test_inline_is_not_for_async_functions(app: App) -> None:
    async def waits() -> None: ...

    with pytest.raises(ConfigError, match="inline"):
        app.add_tool(waits, inline=True)


# --- lists


@every_revision
def test_a_tools_entry_has_what_its_revision_knows(app: App, revision: Revision) -> None:
    @app.tool(
        title="Add up",
        annotations={"readOnlyHint": True},
        icons=[{"src": "https://example.org/i.png"}],
        meta={"com.example/a": 1},
    )
    def add(a: int, b: Annotated[int, "the other"] = 2) -> int:
        """Adds.

        Args:
            a: one of them
        """
        return a + b

    (tool,) = listed(app, "tools/list", revision)
    assert tool["name"] == "add"
    assert tool["description"] == "Adds."
    assert tool["inputSchema"] == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "one of them"},
            "b": {"type": "integer", "description": "the other", "default": 2},
        },
        "required": ["a"],
    }
    expected = {"name", "description", "inputSchema"}
    if revision is not R1:
        expected |= {"annotations"}
        assert tool["annotations"] == ({"title": "Add up"} if revision is R2 else {}) | {"readOnlyHint": True}
    if revision not in (R1, R2):
        expected |= {"title", "outputSchema", "_meta"}
    if revision in (R4, R5):
        expected |= {"icons"}
    assert tool.keys() == expected


def test_headers_of_a_tool(app: App) -> None:
    @app.tool(headers={"region": "Region"})
    def where(region: str = "eu", other: int = 1) -> str:
        return region

    @app.tool(input_schema={"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}})
    def given(n: int) -> str:
        return str(n)

    (found,) = app.param_headers("where")
    assert (found.header, found.path, found.type) == (b"mcp-param-region", ("region",), "string")
    assert listed(app, "tools/list")[0]["inputSchema"]["properties"]["region"]["x-mcp-header"] == "Region"
    assert [item.header for item in app.param_headers("given")] == [b"mcp-param-n"]
    assert app.param_headers("unknown") == ()
    with pytest.raises(ConfigError, match="x-mcp-header"):
        app.add_tool(lambda a=None: a, name="a", headers={"a": "A"})
