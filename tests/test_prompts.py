"""Prompts and completions: messages, arguments that arrive as strings, values while one types."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from calling import listed, make, run
from fastsse.app import App
from fastsse.content import Audio, Image, Message
from fastsse.context import Context
from fastsse.errors import (
    ConfigError,
    InvalidParams,
)
from fastsse.revisions import R1, R2


@pytest.fixture
def app() -> App:
    return App("test", version="1.2.3")


def test_prompts_give_messages(app: App) -> None:
    @app.prompt(title="T", icons=[{"src": "https://example.org/i.png"}])
    def typed(n: Annotated[int, "how many"], when: list[int], flag: bool = False) -> str:
        """Counts."""
        return f"{n + 1} {when} {flag}"

    @app.prompt
    async def several(context: Context) -> list[Any]:
        return ["a", Image(b"\0"), Message("b", "assistant"), Message(Audio(b"\0"), "assistant")]

    @app.prompt
    def broken() -> Any:
        return 3

    result = run(app, make("prompts/get", "typed", {"n": "4", "when": "[1,2]", "flag": "true"}))
    assert result == {
        "description": "Counts.",
        "messages": [{"role": "user", "content": {"type": "text", "text": "5 [1, 2] True"}}],
    }
    messages = run(app, make("prompts/get", "several", None, R1))["messages"]
    assert [(item["role"], item["content"]["type"]) for item in messages] == [
        ("user", "text"),
        ("user", "image"),
        ("assistant", "text"),
        ("assistant", "resource"),
    ]
    with pytest.raises(TypeError, match="int"):
        run(app, make("prompts/get", "broken"))
    assert listed(app, "prompts/list")[0] == {
        "name": "typed",
        "title": "T",
        "description": "Counts.",
        "arguments": [
            {"name": "n", "description": "how many", "required": True},
            {"name": "when", "required": True},
            {"name": "flag", "required": False},
        ],
        "icons": [{"src": "https://example.org/i.png"}],
    }
    assert listed(app, "prompts/list", R2)[1].keys() == {"name"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("none", {}),
        ("p", {}),
        ("p", None),
        ("p", {"n": "x"}),
        ("p", {"n": 1}),
        ("p", {"n": "1", "many": "["}),
        ("p", []),
    ],
)
def test_prompts_refuse_what_does_not_fit(app: App, name: str, arguments: Any) -> None:
    @app.prompt
    def p(n: int, many: tuple[int, ...] = ()) -> str:
        raise AssertionError

    with pytest.raises(InvalidParams):
        app.handle(make("prompts/get", name, arguments))


# --- completion


def complete(app: App, ref: dict[str, str], argument: str, value: str, **chosen: str) -> Any:
    params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
    if chosen:
        params["context"] = {"arguments": chosen}
    request = make("completion/complete", **params)
    return run(app, request, "context")["completion"]


def test_completion(app: App) -> None:
    @app.prompt
    def greet(name: str, town: str) -> str:
        return name

    app.add_resource("demo://{n}", lambda n: n, name="r")

    @app.completion("greet", "name", inline=True)
    def names(text: str) -> list[str]:
        return [name for name in ("ada", "alan", "grace") if name.startswith(text)]

    @app.completion("greet", "town")
    async def towns(text: str, chosen: dict[str, str], context: Context) -> list[str]:
        return [f"{text} {chosen} {context}"]

    @app.completion("demo://{n}", "n")
    def numbers(text: str) -> Any:
        return (f"{text}{n}" for n in range(250))

    prompt = {"type": "ref/prompt", "name": "greet"}
    assert complete(app, prompt, "name", "a") == {"values": ["ada", "alan"], "total": 2, "hasMore": False}
    assert complete(app, prompt, "town", "W", name="ada")["values"] == ["W {'name': 'ada'} context"]
    assert complete(app, prompt, "unknown", "a") == {"values": [], "total": 0, "hasMore": False}
    found = complete(app, {"type": "ref/resource", "uri": "demo://{n}"}, "n", "1")
    assert (len(found["values"]), found["total"], found["hasMore"]) == (100, 250, True)
    for ref in (
        {"type": "ref/prompt", "name": "no"},
        {"type": "ref/resource", "uri": "demo://no"},
        {"type": "ref/odd"},
    ):
        with pytest.raises(InvalidParams, match="Unknown reference"):
            complete(app, ref, "a", "b")
    for params in ({}, {"ref": prompt}, {"ref": prompt, "argument": {"name": "a"}}, {"ref": 1, "argument": 2}):
        with pytest.raises(InvalidParams):
            app.handle(make("completion/complete", **params))


def test_a_completion_returns_a_list_of_texts(app: App) -> None:
    app.add_prompt(lambda: "", name="p")
    app.completion("p", "a")(lambda text: "abc")
    app.completion("p", "b")(lambda text: [1])
    for argument in ("a", "b"):
        with pytest.raises(TypeError, match="list of str"):
            complete(app, {"type": "ref/prompt", "name": "p"}, argument, "")
    with pytest.raises(ConfigError):
        app.completion("p", "c")(list)
