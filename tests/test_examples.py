"""The examples do what they say; the long one is short."""

import http.client
import json
import os
import runpy
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from calling import Recorder, call, listed, make, run
from fastsse import App
from serving import ROOT, serving, started

EXAMPLES = ROOT / "examples"


def load(name: str) -> App:
    return cast("App", runpy.run_path(str(EXAMPLES / name))["app"])


class Notebook:
    """A context with what the lifespan of `everything.py` yields; the user always answers `yes`."""

    def __init__(self, app: App, *, yes: bool = True) -> None:
        assert app.lifespan is not None
        entered: AbstractAsyncContextManager[Any] = app.lifespan(app)
        waiting = entered.__aenter__().__await__()
        try:
            next(waiting)
        except StopIteration as ready:
            self.lifespan: dict[str, Any] = ready.value
        self.yes = yes
        self.said: list[tuple[Any, ...]] = []

    async def elicit(self, message: str, schema: dict[str, Any]) -> dict[str, Any]:
        self.said.append((message, list(schema["properties"])))
        return {"action": "accept", "content": {"yes": self.yes}}

    def progress(self, *said: Any) -> None:
        self.said.append(said)

    def info(self, *said: Any) -> None:
        self.said.append(said)


def test_the_short_one_has_ten_lines() -> None:
    lines = [line for line in (EXAMPLES / "hello.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 10
    assert call(load("hello.py"), "greet", name="Ada", times=2)["content"][0]["text"] == "Hello, Ada! Hello, Ada!"


def test_the_long_one_has_sixty_lines() -> None:
    lines = [line for line in (EXAMPLES / "everything.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 60


def test_the_long_one_keeps_notes() -> None:
    app = load("everything.py")
    notebook, server = Notebook(app), Recorder()
    app.attach(server)
    note = {"title": "n", "text": "Think", "kind": "idea"}
    written = run(app, make("tools/call", "write", {"note": note}), notebook)
    assert written["content"] == [{"type": "resource_link", "uri": "note://n", "name": "n"}]
    assert server.said == [
        ("notifications/resources/updated", {"uri": "note://n"}),
        ("notification", {"type": "notification", "written": "n"}),
    ]
    assert run(app, make("tools/call", "find", {"kind": "idea"}), notebook)["structuredContent"] == {"result": [note]}
    assert "`$.note.kind`" in call(app, "write", note={**note, "kind": "odd"})["content"][0]["text"]
    assert run(app, make("resources/read", "note://n"), notebook)["contents"][0]["text"] == "Think"
    assert set(json.loads(run(app, make("resources/read", "note://all"), notebook)["contents"][0]["text"])) == {
        "first",
        "n",
    }


def test_the_long_one_asks_before_it_erases() -> None:
    app = load("everything.py")
    assert app.required_capabilities("tools/call", "erase") == {"elicitation": {}}
    refused = Notebook(app, yes=False)
    assert run(app, make("tools/call", "erase", {"title": "first"}), refused)["isError"] is True
    assert "first" in refused.lifespan
    notebook = Notebook(app)
    erased = run(app, make("tools/call", "erase", {"title": "first"}), notebook)
    assert erased["structuredContent"] == {"left": 0}
    assert notebook.said == [("Erase 'first'?", ["yes"]), (1, 2, "asked"), ("erasing first",)]
    missing = run(app, make("tools/call", "erase", {"title": "first"}), notebook)
    assert missing["content"][0]["text"] == "There is no note 'first'"


def test_the_rest_of_the_long_one() -> None:
    app = load("everything.py")
    server = Recorder()
    app.attach(server)
    assert call(app, "count", text="one two")["structuredContent"] == {"result": 2}
    assert [item.header for item in app.param_headers("count")] == [b"mcp-param-text"]
    assert run(app, make("tools/call", "raw", {"from": 1}))["content"][0]["text"] == '{"from":1}'
    assert server.said == [("notifications/tools/list_changed", None)] * 2
    messages = run(app, make("prompts/get", "sort", {"kind": "idea", "most": "3"}))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    params = {"ref": {"type": "ref/prompt", "name": "sort"}, "argument": {"name": "kind", "value": "t"}}
    assert run(app, make("completion/complete", **cast("Any", params)))["completion"]["values"] == ["task"]
    assert [tool["name"] for tool in listed(app, "tools/list")] == ["write", "find", "count", "erase", "raw"]


@pytest.fixture(scope="module", params=["hello.py", "everything.py"])
def served(request: pytest.FixtureRequest) -> Any:
    with serving(str(Path("examples") / request.param)) as base:
        yield request.param, base


@pytest.mark.requirement("D-examples")
def test_the_examples_are_served(served: tuple[str, str]) -> None:
    example, base = served
    name, arguments, text = {
        "hello.py": ("greet", {"name": "Ada"}, "Hello, Ada!"),
        "everything.py": ("find", {"kind": "task"}, '[{"title":"first","text":"Buy milk","kind":"task"}]'),
    }[example]
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=10)
    connection.request("POST", "/mcp", json.dumps(message), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["result"]["content"][0]["text"] == text


@pytest.mark.requirement("D-examples", "D-in-loop")
def test_beside_fastapi(tmp_path: Path) -> None:
    """Both doors of one process: what is ordered at one is listed, and announced, at the other."""
    path = str(tmp_path / "web.sock")
    command = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "beside_fastapi:web", "--uds", path]
    with (
        started(*command, ready="Uvicorn running", env=os.environ | {"MCP_PORT": "0"}) as process,
        httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://web", timeout=10) as web,
        httpx.Client(timeout=10) as mcp,
    ):
        address = web.get("/mcp-address").json()
        with mcp.stream("GET", address) as stream:
            told = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
            assert next(told)["type"] == "welcome"
            assert web.post("/orders", params={"what": "tea"}).json() == 1
            assert next(told)["ordered"] == "tea"
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_orders"}}
            assert mcp.post(address, json=message).json()["result"]["content"][0]["text"] == '["tea"]'
            process.stop()
            assert list(told) == [], "the stream has ended"
        assert "Application shutdown complete" in process.printed()
        assert "Traceback" not in process.printed()
