"""The App as a registry: names, pages and cursors, capabilities, changes while servers run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from calling import LISTS, Recorder, every_revision, fill, listed, make, run
from fastsse.app import App
from fastsse.errors import (
    ConfigError,
    InvalidParams,
    MethodNotFound,
)
from fastsse.revisions import R1, R5, Revision


@pytest.fixture
def app() -> App:
    return App("test", version="1.2.3")


def test_names_clash(app: App) -> None:
    def same() -> str:
        return ""

    app.add_tool(same)
    app.add_prompt(same)
    app.add_resource("demo://a", same)
    app.add_resource("demo://a/{same}", lambda same: same, name="template")
    app.completion("same", "a")(lambda text: [])
    attempts: list[Callable[[], object]] = [
        lambda: app.add_tool(same),
        lambda: app.add_prompt(same),
        lambda: app.add_resource("demo://a", same),
        lambda: app.add_resource("demo://a/{same}", lambda same: same, name="other"),
        lambda: app.completion("same", "a")(lambda text: []),
    ]
    for again in attempts:
        with pytest.raises(ConfigError):
            again()


def test_required_capabilities(app: App) -> None:
    sampling: dict[str, Any] = {"sampling": {}}
    app.add_tool(lambda: "", name="t", requires=sampling)
    app.add_tool(lambda: "", name="free")
    app.add_prompt(lambda: "", name="p", requires=sampling)
    app.add_resource("demo://{a}", lambda a: a, name="r", requires=sampling)
    assert app.required_capabilities("tools/call", "t") == sampling
    assert app.required_capabilities("prompts/get", "p") == sampling
    assert app.required_capabilities("resources/read", "demo://x") == sampling
    for method, name in (("tools/call", "free"), ("tools/call", "none"), ("resources/read", "other://"), ("ping", "")):
        assert app.required_capabilities(method, name) is None


# --- lists and cursors


def walk(app: App, method: str, cursor: str | None = None) -> tuple[list[str], int]:
    names: list[str] = []
    pages = 0
    while True:
        page = app.listing(method, cursor, R5)
        assert page is not None
        found = json.loads(page)
        cursor = found.pop("nextCursor", None)
        (entries,) = found.values()
        names += [entry["name"] for entry in entries]
        pages += 1
        if cursor is None:
            return names, pages


@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (3, 1), (4, 2), (7, 3)])
def test_pages_hold_everything_once_in_the_order_of_registration(method: str, count: int, pages: int) -> None:
    app = App("test", page_size=3)
    fill(app, count)
    assert walk(app, method) == ([f"n{n}" for n in range(count)], pages)
    assert walk(app, method) == walk(app, method, "")


def test_a_cursor_outlives_changes(app: App) -> None:
    app = App("test", page_size=2)
    fill(app, 5)
    first = app.listing("tools/list", None, R5)
    assert first is not None
    cursor = json.loads(first)["nextCursor"]
    app.remove_tool("n0")
    app.remove_tool("n1")  # the very one that the cursor stands behind
    app.remove_tool("n3")
    app.add_tool(lambda: "", name="late")
    assert walk(app, "tools/list", cursor)[0] == ["n2", "n4", "late"]


@pytest.mark.parametrize("method", LISTS)
def test_a_cursor_that_no_page_had_is_invalid(method: str) -> None:
    app = App("test", page_size=1)
    fill(app, 2)
    good = json.loads(app.listing("tools/list", None, R5) or b"")["nextCursor"]
    other = json.loads(app.listing("prompts/list", None, R5) or b"")["nextCursor"]
    bad = [
        "x",
        "3",
        "YWJj",
        good + "=",
        good[:-2],
        " " + good,
        "é",
        "\ud800",
        other if method == "tools/list" else good,
    ]
    for cursor in bad:
        with pytest.raises(InvalidParams, match="cursor"):
            app.listing(method, cursor, R5)


def test_pages_are_encoded_once_until_something_changes(app: App) -> None:
    fill(app, 1)
    first = app.listing("tools/list", None, R5)
    assert app.listing("tools/list", None, R5) is first
    epoch = app.epoch
    app.add_tool(lambda: "", name="new")
    assert app.epoch > epoch
    assert app.listing("tools/list", None, R5) != first


def test_lists_are_answered_as_requests_too() -> None:
    app = App("test", page_size=1)
    fill(app, 2)
    for method in LISTS:
        first = run(app, make(method))
        second = run(app, make(method, cursor=first["nextCursor"]))
        assert "nextCursor" not in second
        with pytest.raises(InvalidParams):
            app.handle(make(method, cursor="x"))
    assert app.listing("ping", None, R5) is None


# --- who we are, and what we can


@every_revision
def test_capabilities_are_what_was_registered(revision: Revision) -> None:
    app = App("test")
    assert app.capabilities(revision) == {"logging": {}, "tools": {"listChanged": True}}
    assert not any(app.serves(method) for method in ("prompts/get", "resources/read", "completion/complete", "odd"))
    fill(app, 1)
    app.completion("n0", "a")(lambda text: [])
    full = app.capabilities(revision)
    assert full["resources"] == {"subscribe": True, "listChanged": True}
    assert full["prompts"] == {"listChanged": True}
    assert ("completions" in full) == (revision is not R1)
    for method in (*LISTS, "tools/call", "prompts/get", "resources/read", "completion/complete", "logging/setLevel"):
        assert app.serves(method), method
    app.remove_prompt("n0")  # whoever was told of prompts may hear that there are none
    assert app.capabilities(revision) == full


@every_revision
def test_who_we_are(revision: Revision) -> None:
    icons = [{"src": "https://example.org/i.png"}]
    app = App("n", version="v", title="t", description="d", icons=icons, website_url="https://example.org")
    expected: dict[str, Any] = {"name": "n", "version": "v"}
    if revision.index >= 2:
        expected["title"] = "t"
    if revision.index >= 3:
        expected |= {"description": "d", "icons": icons, "websiteUrl": "https://example.org"}
    assert app.implementation(revision) == expected
    assert App("n").implementation(revision) == {"name": "n", "version": "0.0.0"}


def test_settings_of_an_app_that_cannot_work() -> None:
    for options in ({"page_size": 0}, {"cache_ttl_ms": -1}, {"cache_scope": "everybody"}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            App("x", **cast("Any", options))
    assert App("x", cache_ttl_ms=5, cache_scope="public").cache_hint == (5, "public")


def test_a_lifespan_is_kept_for_the_server() -> None:
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        yield app.name

    async def enter() -> str:
        app = App("x", lifespan=lifespan)
        assert app.lifespan is not None
        async with app.lifespan(app) as value:
            return cast("str", value)

    assert asyncio.run(enter()) == "x"
    assert App("x").lifespan is None


def test_the_summary_for_pages(app: App) -> None:
    app.add_tool(lambda a: a, name="t")
    assert app.tools_summary() == [
        {"name": "t", "description": "", "inputSchema": {"type": "object", "properties": {"a": {}}, "required": ["a"]}}
    ]


def test_other_methods_are_not_ours(app: App) -> None:
    with pytest.raises(MethodNotFound):
        app.handle(make("tasks/get", "x"))


# --- speaking first


def test_changes_are_announced_through_every_server(app: App) -> None:
    app.notify("notifications/x")  # nobody listens, nothing happens
    first, second = Recorder(), Recorder()
    app.attach(first)
    app.attach(second)
    app.add_tool(lambda: "", name="t")
    app.add_prompt(lambda: "", name="p")
    app.add_resource("demo://a", lambda: "", name="r")
    app.add_resource("demo://{a}", lambda a: "", name="r")
    app.detach(second)
    app.remove_tool("t")
    app.remove_prompt("p")
    app.remove_resource("demo://a")
    app.remove_resource("demo://{a}")
    app.resource_updated("demo://x")
    app.broadcast("notification", {"type": "notification"})
    kinds = ["tools", "prompts", "resources", "resources"]
    changes = [(f"notifications/{kind}/list_changed", None) for kind in kinds]
    assert second.said == changes
    assert first.said == [
        *changes,
        *changes,
        ("notifications/resources/updated", {"uri": "demo://x"}),
        ("notification", {"type": "notification"}),
    ]
    for method in LISTS:
        assert listed(app, method) == []
    with pytest.raises(InvalidParams):
        app.handle(make("tools/call", "t"))
    for remove in (app.remove_tool, app.remove_prompt, app.remove_resource):
        with pytest.raises(KeyError):
            remove("demo://a")


def test_registering_while_others_list(app: App) -> None:
    """Threads add and remove while pages are encoded; in the end the list says what is there."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def churn(name: str) -> None:
        try:
            for _ in range(200):
                app.add_tool(lambda: "", name=name)
                app.remove_tool(name)
        except BaseException as error:
            failures.append(error)

    def read() -> None:
        try:
            while not stop.is_set():
                listed(app, "tools/list")
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=churn, args=(f"t{n}",)) for n in range(3)]
    reader = threading.Thread(target=read)
    for thread in (reader, *workers):
        thread.start()
    for thread in workers:
        thread.join(30)
    stop.set()
    reader.join(30)
    assert not failures
    assert listed(app, "tools/list") == []
