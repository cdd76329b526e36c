"""What `fastsse.testing` lends to other people's tests: a server that is ready when it is there, a wire in memory.

Whatever cannot start or stop raises in the test; a block that is left has left nothing behind.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes import MODERN
from fastsse import App, Audio, ConfigError, Context, McpError, Server, ToolError, peer, testing
from real import EVERY, HANDSHAKE, PAIR, WAIT, port
from serving import ROOT
from stage import Stage, call
from wire import http

requirement = pytest.mark.requirement
every_revision = pytest.mark.parametrize("revision", EVERY)

CHANGED = "notifications/tools/list_changed"


def texts(result: dict[str, Any]) -> list[str]:
    return [item["text"] for item in result["content"]]


# --- a server on a free port


@requirement("D-testing")
def test_a_server_answers_at_once_on_a_port_of_its_own() -> None:
    with testing.serve(Stage().app) as one, testing.serve(Stage().app) as two:
        assert port(one) != port(two)
        for server in (one, two):
            with urllib.request.urlopen(f"{server.url}/health", timeout=WAIT) as answer:
                assert json.load(answer)["server"] == "stage"
    for server in (one, two):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port(server)), WAIT)
    assert "fastsse.testing" not in {thread.name for thread in threading.enumerate()}


@requirement("D-testing")
def test_what_cannot_start_or_end_raises_in_the_test() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        if app.name == "no start":
            raise RuntimeError("no database")
        yield
        raise RuntimeError("no disk")

    with testing.serve(Stage().app) as server:
        with (
            pytest.raises(ConfigError, match="is in use"),
            testing.serve(Stage().app, port=port(server)),
        ):
            pytest.fail("it started")
        with pytest.raises(ConfigError, match="max_body"), testing.serve(Stage().app, max_body=-1):
            pytest.fail("it started")
    for start in (testing.serve, testing.wire):
        with pytest.raises(RuntimeError, match="no database"), start(App("no start", lifespan=lifespan)):
            pytest.fail("it started")
        with pytest.raises(RuntimeError, match="no disk"), start(App("no end", lifespan=lifespan)):
            pass
        with pytest.raises(ZeroDivisionError), start(Stage().app):
            print(1 // 0)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_loop_is_the_one_that_was_set(loop: str) -> None:
    app = App("which")
    app.add_tool(lambda: type(asyncio.get_running_loop()).__module__.partition(".")[0], name="loop", inline=True)
    with testing.wire(app, loop=loop) as client:
        assert texts(client.call_tool("loop")) == [loop]


# --- the wire


class Desk:
    """An app with one of everything, which two servers may serve."""

    def __init__(self) -> None:
        self.app = app = App("desk", version="1", page_size=2)
        for tool in (self.add, self.slow, self.fail, self.late, self.sound, self.grow):
            app.add_tool(tool)
        app.add_tool(self.file, headers={"name": "Name"})
        app.add_resource("desk://note/ä", lambda: "paper", name="note")
        app.add_prompt(self.greet)

    def add(self, a: int, b: int) -> int:
        return a + b

    async def slow(self, context: Context, steps: int) -> str:
        for step in range(1, steps + 1):
            context.progress(step, steps)
            context.info(f"step {step}")
        return "done"

    def fail(self) -> str:
        raise ToolError("no")

    async def late(self, context: Context) -> str:
        await asyncio.get_running_loop().create_future()
        return "never"

    def sound(self) -> Audio:
        return Audio(b"RIFF")

    def file(self, name: str) -> str:
        return name

    def grow(self) -> str:
        self.app.add_tool(lambda: "", name="grown")
        self.app.broadcast("notification", {"text": "grown"})
        return "grown"

    def greet(self, who: str) -> str:
        return f"Greet {who}"


@requirement("D-wire")
@every_revision
def test_a_client_without_sockets(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*given: Any, **named: Any) -> None:
        raise AssertionError("a socket that listens, or that connects")

    for name in ("bind", "listen", "connect"):
        monkeypatch.setattr(socket.socket, name, none)
    with testing.wire(Desk().app, revision) as client:
        assert texts(client.call_tool("add", a=1, b=2)) == ["3"]
        assert client.call_tool("fail")["isError"] is True
        names = [tool["name"] for tool in client.list_tools()]
        assert names == ["add", "slow", "fail", "late", "sound", "grow", "file"], "of all pages"
        assert client.read_resource(client.list_resources()[0]["uri"])[0]["text"] == "paper"
        assert client.list_prompts()[0]["name"] == "greet"
        assert client.get_prompt("greet", who="Ada")[0]["content"]["text"] == "Greet Ada"
        for name in ("plain", " blanks ", "Grüße", "=?base64?eA==?="):
            assert texts(client.call_tool("file", name=name)) == [name]
        with pytest.raises(McpError, match="nope") as wrong:
            client.call_tool("nope")
        assert wrong.value.code == -32602
        assert client.get("/health").json()["activeSessions"] == (revision in HANDSHAKE)


@requirement("D-wire")
@every_revision
def test_what_is_said_during_a_call_is_heard(revision: str) -> None:
    with testing.wire(Desk().app, revision) as client:
        assert texts(client.call_tool("slow", steps=3)) == ["done"]
        said = [message["params"] for message in client.heard]
        assert [one["progress"] for one in said if "progress" in one] == [1, 2, 3]
        assert [one["data"] for one in said if "data" in one] == ["step 1", "step 2", "step 3"]


@requirement("D-wire")
@every_revision
def test_what_is_said_to_everybody_is_heard(revision: str) -> None:
    with testing.wire(Desk().app, revision) as client:
        told = client.notifications()
        events = client.get("/mcp?events=notification")
        client.call_tool("grow")
        assert next(told)["method"] == CHANGED
        (event,) = events.take(1)
        assert json.loads(event["data"])["text"] == "grown"


@requirement("D-wire")
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25", MODERN])
def test_what_the_server_asks_is_answered(revision: str) -> None:
    app, asked = App("asks"), []

    @app.tool
    async def order(context: Context) -> str:
        drink = (await context.elicit("Which?", {"type": "object", "properties": {"what": {"type": "string"}}}))[
            "content"
        ]["what"]
        name = (await context.sample("Who?"))["content"]["text"]
        return f"{drink} for {name}"

    def respond(method: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append(method)
        if method == "elicitation/create":
            return {"action": "accept", "content": {"what": "tea"}}
        return {"role": "assistant", "model": "m", "content": {"type": "text", "text": "Ada"}}

    with testing.wire(app, revision, respond=respond) as client:
        assert texts(client.call_tool("order")) == ["tea for Ada"]
    assert asked == ["elicitation/create", "sampling/createMessage"]
    with testing.wire(app, revision) as client:
        refused = client.request("tools/call", {"name": "order", "arguments": {}})
        assert "elicitation" in json.dumps(refused), "it declares no capabilities"


@requirement("D-wire")
@pytest.mark.parametrize("revision", [PAIR, MODERN])
def test_nothing_is_waited_for_longer_than_the_limit(revision: str) -> None:
    with (
        testing.wire(Desk().app, revision, timeout=1.0, drain_timeout=0) as client,
        pytest.raises(TimeoutError, match="within 1 s"),
    ):
        client.call_tool("late")


def test_the_wire_is_the_real_thing_down_to_the_bytes() -> None:
    """A stranger's Host is refused, a head that never ends too; pipelined requests wait for a call that runs."""
    stage = Stage()
    with testing.wire(stage.app, max_head=4096, max_pipelined=1024) as client:
        assert client.get("/health", [("Host", "example.com")]).status == 403
        line = client.dial()
        line.sendall(b"GET /health HTTP/1.1\r\nx: " + b"y" * 5000)
        assert peer.Answer(line, False).status == 431
        assert line.recv(1) == b"", "and the connection is over"
        assert line.recv(1) == b""
        line = client.dial()
        for text in "abc":
            line.sendall(http("POST", "/mcp", call("thread"), x=text * 1000))
        answers = [peer.Answer(line, False)]
        for _ in range(2):
            rest, answers[-1].data = answers[-1].data, b""
            line = Behind(rest, line)
            answers.append(peer.Answer(line, False))
        assert [answer.status for answer in answers] == [200] * 3
        line.close()
        line.close()


class Behind:
    """A line of which some bytes have been read already."""

    def __init__(self, rest: bytes, line: peer.Line) -> None:
        self.rest = rest
        self.line = line
        self.sendall, self.close = line.sendall, line.close

    def recv(self, size: int, /) -> bytes:
        rest, self.rest = self.rest, b""
        return rest or self.line.recv(size)


@requirement("D-testing")
@every_revision
def test_a_client_says_who_it_is(revision: str) -> None:
    who = {"Authorization": "Bearer open-sesame-12345"}
    known: dict[str, Any] = {"tokens": ("ada: open-sesame-12345",)}
    with testing.wire(Stage().app, revision, headers=who, **known) as client:
        assert client.call_tool("echo", text="open")["content"][0]["text"] == "open"
    refused = pytest.raises((AssertionError, McpError), match=r"Say who you are|401")
    with refused, testing.wire(Stage().app, revision, **known) as client:
        client.call_tool("echo", text="open")


def test_leaving_the_block_ends_what_is_open() -> None:
    with testing.wire(Desk().app) as client:
        server = client.dial().server  # type: ignore[attr-defined]
        client.notifications()
        client.get("/sse").take(1)
        line = client.dial()
        client.get("/health")
        assert server.stats.connections_open >= 3
    assert server.stats.connections_open == 0
    assert line.recv(1) == b""


# --- pytest


@requirement("D-testing")
def test_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(
        "import urllib.request, pytest\n"
        "from fastsse import App\n"
        "@pytest.fixture\n"
        "def app():\n"
        "    app = App('mine')\n"
        "    app.add_tool(lambda a, b: a + b, name='add')\n"
        "    return app\n"
        "def test_add(fastsse_wire, app):\n"
        "    for revision in ('2024-11-05', '2025-11-25', '2026-07-28'):\n"
        "        assert fastsse_wire(app, revision).call_tool('add', a=1, b=2)['content'][0]['text'] == '3'\n"
        "def test_two(fastsse_serve, app):\n"
        "    for server in fastsse_serve(app), fastsse_serve(app, max_body=1024):\n"
        "        assert urllib.request.urlopen(server.url + '/ready', timeout=9).status == 200\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "fastsse.plugin", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "2 passed" in done.stdout


# --- one server, one life


def test_a_server_is_started_once() -> None:
    async def main() -> None:
        server = Server(Stage().app)
        with pytest.raises(RuntimeError, match="has not started"):
            print(server.url)
        with testing.serve(Stage().app) as running, pytest.raises(RuntimeError, match="has been started before"):
            await running.start()

    asyncio.run(main())
