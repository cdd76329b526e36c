"""Resources and templates: reading, parameters, what is not there, what is listed."""

from __future__ import annotations

from typing import Any, Literal, cast

import pytest

from calling import every_revision, listed, make, run
from fastsse.app import App
from fastsse.content import EmbeddedResource
from fastsse.context import Context
from fastsse.errors import (
    INTERNAL_ERROR,
    RESOURCE_NOT_FOUND,
    ConfigError,
    InvalidParams,
    McpError,
    ResourceNotFound,
    ToolError,
)
from fastsse.revisions import Revision


@pytest.fixture
def app() -> App:
    return App("test", version="1.2.3")


def test_reading_resources(app: App) -> None:
    @app.resource("demo://text", mime_type="text/markdown")
    def text() -> str:
        return "# a"

    @app.resource("demo://bytes", mime_type="image/png", inline=True)
    def binary() -> bytes:
        return b"\0"

    @app.resource("demo://json")
    async def data() -> dict[str, int]:
        return {"a": 1}

    @app.resource("demo://several")
    def several() -> list[EmbeddedResource]:
        return [EmbeddedResource("demo://several/1", "a"), EmbeddedResource("demo://several/2", b"b")]

    def read(uri: str) -> Any:
        return run(app, make("resources/read", uri))["contents"]

    assert read("demo://text") == [{"uri": "demo://text", "mimeType": "text/markdown", "text": "# a"}]
    assert read("demo://bytes") == [{"uri": "demo://bytes", "mimeType": "image/png", "blob": "AA=="}]
    assert read("demo://json") == [{"uri": "demo://json", "mimeType": "application/json", "text": '{"a":1}'}]
    assert [item["uri"] for item in read("demo://several")] == ["demo://several/1", "demo://several/2"]


def test_templates_fill_parameters(app: App) -> None:
    @app.resource("demo://{kind}/{number}/data", name="typed")
    def typed(number: int, kind: Literal["a", "b"], context: Context) -> Any:
        return [kind, number, str(context)]

    @app.resource("file:///{path*}")
    def tail(path: str, missing: str = "default") -> str:
        return f"{path} {missing}"

    @app.resource("plus:{+path}.txt")
    def plus(path: str) -> str:
        return path

    def read(uri: str) -> str:
        return cast("str", run(app, make("resources/read", uri), "context")["contents"][0]["text"])

    assert read("demo://a/12/data") == '["a",12,"context"]'
    assert read("file:///a/b%20c/d") == "a/b c/d default"
    assert read("plus:a/b.txt") == "a/b"
    assert [item["uriTemplate"] for item in listed(app, "resources/templates/list")] == [
        "demo://{kind}/{number}/data",
        "file:///{path*}",
        "plus:{+path}.txt",
    ]
    with pytest.raises(InvalidParams, match=r"\$\.number") as caught:
        read("demo://a/twelve/data")
    assert caught.value.data == {"uri": "demo://a/twelve/data"}


def test_a_static_resource_goes_before_a_template(app: App) -> None:
    app.add_resource("demo://{name}", lambda name: f"template {name}", name="t")
    app.add_resource("demo://me", lambda: "static", name="s")
    assert run(app, make("resources/read", "demo://me"))["contents"][0]["text"] == "static"


@pytest.mark.parametrize(
    "uri",
    [
        "demo://unknown",
        "demo:",
        "",
        "file:///../../etc/passwd",
        "file:///a/../b",
        "file:///..",
        "file:///%2e%2e/etc/passwd",
        "file:///a%2F..%2Fb",
        "file:///..%5C..%5Cboot.ini",
        "file:////etc/passwd",
        "file:///%2Fetc/passwd",
        "file:///a%00b",
        "file:///%ff",
        "one://..",
        "one://a/b",
        "one://a?b",
    ],
)
def test_what_is_not_there_and_what_climbs_out_is_not_found(app: App, uri: str) -> None:
    @app.resource("file:///{path*}")
    def tail(path: str) -> str:
        raise AssertionError(path)

    @app.resource("one://{name}")
    def one(name: str) -> str:
        raise AssertionError(name)

    with pytest.raises(ResourceNotFound) as caught:
        app.handle(make("resources/read", uri))
    assert (caught.value.code, caught.value.data) == (RESOURCE_NOT_FOUND, {"uri": uri})


@pytest.mark.parametrize(
    ("uri", "function"),
    [
        ("no-scheme", lambda: ""),
        ("demo://{a}", lambda: ""),
        ("demo://a", lambda a: ""),
        ("demo://a", lambda a=1: a),
        ("demo://{a}", lambda a, b: ""),
        ("demo://{a}/{a}", lambda a: ""),
        ("demo://{a", lambda a: ""),
        ("demo://{?a}", lambda a: ""),
        ("demo://{a b}", lambda a: ""),
    ],
)
def test_resources_that_cannot_work_are_refused_at_registration(app: App, uri: str, function: Any) -> None:
    if (uri, function.__defaults__) == ("demo://a", (1,)):
        app.add_resource(uri, function, name="x")  # a default stands for what the URI does not give
        assert run(app, make("resources/read", uri))["contents"][0]["text"] == "1"
        return
    with pytest.raises(ConfigError):
        app.add_resource(uri, function, name="x")


@every_revision
def test_a_resources_entry_has_what_its_revision_knows(app: App, revision: Revision) -> None:
    options: dict[str, Any] = {
        "title": "T",
        "description": "D",
        "mime_type": "text/plain",
        "annotations": {"priority": 1.0},
        "icons": [{"src": "https://example.org/i.png"}],
        "meta": {"a": 1},
        "size": 3,
        "name": "n",
    }
    app.add_resource("demo://a", lambda: "abc", **options)
    app.add_resource("demo://{a}", lambda a: a, **options)
    (static,), (template,) = listed(app, "resources/list", revision), listed(app, "resources/templates/list", revision)
    expected = {"name", "description", "mimeType", "annotations"}
    if revision.index >= 2:
        expected |= {"title", "_meta"}
    if revision.index >= 3:
        expected |= {"icons"}
    assert static.keys() == expected | {"uri", "size"}
    assert template.keys() == expected | {"uriTemplate"}


@pytest.mark.parametrize("inline", [True, False])
def test_what_a_resource_raises_stays_a_json_rpc_error(app: App, inline: bool) -> None:
    def gone() -> str:
        raise ResourceNotFound("demo://other")

    def told() -> str:
        raise ToolError("told")

    app.add_resource("demo://gone", gone, inline=inline)
    app.add_resource("demo://told", told, inline=inline)
    app.add_resource("demo://odd", object, name="odd", inline=inline)
    with pytest.raises(ResourceNotFound):
        run(app, make("resources/read", "demo://gone"))
    with pytest.raises(TypeError):  # dispatch makes -32603 of it
        run(app, make("resources/read", "demo://odd"))
    with pytest.raises((McpError, ToolError), match="told") as caught:  # and of the text of a ToolError too
        run(app, make("resources/read", "demo://told"))
    if inline:
        assert isinstance(caught.value, McpError)
        assert caught.value.code == INTERNAL_ERROR
