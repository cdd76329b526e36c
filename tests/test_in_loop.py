"""A server in a loop that is there already: beside a web application, several at once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import fastapi
import httpx
import pytest
import uvicorn
import uvloop

from fastsse import App, Config, Context, Guest, Request, Server, run
from serving import ROOT

requirement = pytest.mark.requirement

LIMIT = 20.0

Main = Coroutine[Any, Any, None]


def with_runner(main: Main) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


WAYS: dict[str, Callable[[Main], None]] = {
    "asyncio.run": asyncio.run,
    "uvloop.run": uvloop.run,
    "asyncio.Runner": with_runner,
    "anyio.run": lambda main: anyio.run(lambda: main),
}
every_way = pytest.mark.parametrize("way", WAYS)


def within(way: str, main: Main) -> None:
    WAYS[way](asyncio.wait_for(main, LIMIT))


def named(name: str) -> App:
    """An app whose tools say what it is, on the loop, in a thread and in a task; and one that does not end."""

    @asynccontextmanager
    async def begun(app: App) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()

    app = App(name, lifespan=begun)
    app.add_tool(lambda: f"loop {name}", name=f"{name}_loop", inline=True)
    app.add_tool(lambda: f"thread {name}", name=f"{name}_thread")

    @app.tool
    async def task(context: Context) -> str:
        context.progress(1)
        await asyncio.sleep(0)
        return f"task {name}"

    @app.tool
    async def forever(context: Context) -> None:
        context.lifespan.set()
        await asyncio.get_running_loop().create_future()

    return app


async def post(client: httpx.AsyncClient, server: Server, method: str, **params: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return (await client.post(f"{server.url}/mcp", json=message, headers={"Accept": "application/json"})).json()


async def call(client: httpx.AsyncClient, server: Server, tool: str) -> Any:
    answer = await post(client, server, "tools/call", name=tool, arguments={})
    return answer["result"]["content"][0]["text"] if "result" in answer else answer["error"]["code"]


async def events(client: httpx.AsyncClient, server: Server) -> AsyncGenerator[dict[str, Any], None]:
    """The events of GET /mcp, `welcome` first."""
    async with client.stream("GET", f"{server.url}/mcp") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


# --- several at once


@requirement("D-in-loop")
@every_way
def test_servers_with_different_apps_know_nothing_of_each_other(way: str) -> None:
    async def main() -> None:
        apps = [named(name) for name in ("one", "two", "three")]
        config = Config(host="127.0.0.1", port=0)
        async with (
            httpx.AsyncClient(timeout=LIMIT) as client,
            Server(apps[0], config) as one,
            Server(apps[1], config) as two,
        ):
            async with Server(apps[2], config) as three:
                for server, app in zip((one, two, three), apps, strict=True):
                    for kind in ("loop", "thread"):
                        assert await call(client, server, f"{app.name}_{kind}") == f"{kind} {app.name}"
                    assert await call(client, server, "task") == f"task {app.name}"
                    others = [other.name for other in apps if other is not app]
                    assert [await call(client, server, f"{other}_loop") for other in others] == [-32602] * 2
                heard = [events(client, server) for server in (one, two)]
                assert [(await anext(stream))["type"] for stream in heard] == ["welcome"] * 2
                one.broadcast("notification", {"to": "one"})
                apps[1].broadcast("notification", {"to": "two"})
                assert [(await anext(stream))["to"] for stream in heard] == ["one", "two"]
                for stream in heard:
                    await stream.aclose()
            assert await call(client, one, "one_loop") == "loop one", "one may stop before the others"
            with pytest.raises(httpx.ConnectError):
                await call(client, three, "three_loop")

    within(way, main())


# --- nothing is left


def possessions() -> dict[str, Any]:
    """What a process has, beside memory."""
    gc.collect()
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": sorted(str(thread.name) for thread in threading.enumerate()),
    }


@requirement("D-in-loop")
@every_way
def test_starting_and_stopping_leaves_nothing(way: str) -> None:
    app = named("again")

    async def once(client: httpx.AsyncClient) -> None:
        async with Server(app, Config(host="127.0.0.1", port=0, drain_timeout=0)) as server:
            assert await call(client, server, "again_thread") == "thread again"
            assert await call(client, server, "task") == "task again"
            stream = events(client, server)
            await anext(stream)
            cut = asyncio.create_task(call(client, server, "forever"))
            await server.dispatch.lifespan.wait()
        assert await cut == -32000
        assert [event async for event in stream] == []

    async def main() -> None:
        before = asyncio.all_tasks()
        async with httpx.AsyncClient(timeout=LIMIT) as client:
            for _ in range(10):
                await once(client)
        assert asyncio.all_tasks() == before
        assert app._publishers == ()

    known = set(threading.enumerate())
    within(way, main())  # the first time, libraries open what they keep
    before = possessions()
    within(way, main())
    for thread in set(threading.enumerate()) - known:  # those of the pools end by themselves
        thread.join(LIMIT)
    assert possessions() == before


def ran(script: str) -> subprocess.CompletedProcess[str]:
    """A program of its own. Never in asyncio's debug mode, which says on stderr how busy the machine is."""
    command = [sys.executable, "-W", "error", "-c", script]
    around = os.environ | {"PYTHONASYNCIODEBUG": ""}
    return subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, timeout=60, check=False)


@requirement("D-in-loop")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_run_gives_signals_back(loop: str) -> None:
    script = (
        "import asyncio, gc, os, signal, sys, fastsse\n"
        "app = fastsse.App('runs')\n"
        "before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]\n"
        "files = set()\n"
        "for time in range(4):\n"
        f"    config = fastsse.Config(host='127.0.0.1', port=0, loop={loop!r})\n"
        "    assert fastsse.run(app, config, started=lambda server: signal.raise_signal(signal.SIGTERM)) == 0\n"
        "    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before\n"
        "    assert signal.set_wakeup_fd(-1) == -1\n"
        "    files.add(len(os.listdir('/proc/self/fd')))\n"
        "    assert gc.get_freeze_count() == 0\n"
        "assert len(files) == 1, files  # libuv keeps two of its first loop\n"
        "print('whole')\n"
    )
    done = ran(script)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("whole\n", "")


def test_run_is_for_the_main_thread() -> None:
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            run(App("lost"), Config(port=0))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(LIMIT)
    assert "only the main thread" in str(caught[0])


@requirement("D-in-loop")
@pytest.mark.parametrize("way", ["asyncio.run", "uvloop.run"])
def test_what_is_said_before_the_start_or_after_the_end_is_said_to_nobody(way: str) -> None:
    """A worker in another thread need not know whether a server is there."""
    app = named("said")
    wrong: list[BaseException] = []

    def say(server: Server) -> None:
        try:
            server.broadcast("notification", {"text": "x"})
            server.publish("notifications/tools/list_changed", None)
            app.broadcast("notification", {"text": "x"})
        except BaseException as error:
            wrong.append(error)

    def everywhere(server: Server) -> None:
        say(server)
        thread = threading.Thread(target=say, args=(server,))
        thread.start()
        thread.join(LIMIT)

    servers: list[Server] = []

    async def main() -> None:
        server = Server(app, Config(host="127.0.0.1", port=0))
        servers.append(server)
        everywhere(server)
        async with server:
            everywhere(server)
        everywhere(server)

    within(way, main())
    everywhere(servers[0])
    assert wrong == []


# --- cancelled from outside


@requirement("D-in-loop")
@every_way
def test_a_task_group_that_is_cancelled_takes_its_server_along(way: str) -> None:
    """anyio cancels again at every await, so that nothing can be waited for on the way out."""

    async def main() -> None:
        before = asyncio.all_tasks()
        serving: list[Server] = []
        begun = anyio.Event()

        async def serve() -> None:
            async with Server(named("grouped"), Config(host="127.0.0.1", port=0)) as server:
                serving.append(server)
                begun.set()
                await anyio.sleep_forever()

        async with httpx.AsyncClient(timeout=LIMIT) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(serve)
                await begun.wait()
                stream = events(client, serving[0])
                assert (await anext(stream))["type"] == "welcome"
                group.cancel_scope.cancel()
            with pytest.raises(httpx.TransportError):
                await anext(stream)
            with pytest.raises(httpx.ConnectError):
                await call(client, serving[0], "task")
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    within(way, main())


# --- beside a web application


class Uvicorn(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, web: fastapi.FastAPI) -> None:
        super().__init__(uvicorn.Config(web, port=0, log_level="warning", lifespan="on"))
        self.up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


@requirement("D-in-loop")
@every_way
def test_beside_a_web_application_in_one_loop(way: str) -> None:
    app = named("beside")
    seen: list[asyncio.AbstractEventLoop] = []

    @app.tool
    async def where() -> str:
        seen.append(asyncio.get_running_loop())
        return "here"

    @asynccontextmanager
    async def lifespan(web: fastapi.FastAPI) -> AsyncIterator[None]:
        async with Server(app, Config(host="127.0.0.1", port=0)) as web.state.mcp:
            yield

    web = fastapi.FastAPI(lifespan=lifespan)

    @web.post("/say")
    async def say(text: str, request: fastapi.Request) -> str:
        request.app.state.mcp.broadcast("notification", {"text": text})
        seen.append(asyncio.get_running_loop())
        return "said"

    async def main() -> None:
        server = Uvicorn(web)
        serving = asyncio.create_task(server.serve())
        await server.up.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(timeout=LIMIT) as client:
            stream = events(client, web.state.mcp)
            await anext(stream)
            assert await call(client, web.state.mcp, "where") == "here"
            said = await client.post(f"http://127.0.0.1:{port}/say", params={"text": "hello"})
            assert said.json() == "said"
            assert (await anext(stream))["text"] == "hello"
            assert seen == [asyncio.get_running_loop()] * 2
            await stream.aclose()
        server.should_exit = True
        await serving
        async with httpx.AsyncClient(timeout=LIMIT) as client:
            with pytest.raises(httpx.ConnectError):
                await call(client, web.state.mcp, "where")

    within(way, main())


class Careless(Guest):
    """Fails wherever it is told that something is over."""

    def __init__(self) -> None:
        self.left = False
        self.lifespan = self.living

    @asynccontextmanager
    async def living(self, _: object) -> AsyncIterator[None]:
        yield
        self.left = True

    def handle(self, request: Request) -> bytes:
        assert request.session is not None
        request.session.kept = self
        return b"{}"

    def ended(self) -> None:
        raise RuntimeError("of a session")

    def closing(self) -> None:
        raise RuntimeError("of the server")

    def detach(self, publisher: object) -> None:
        raise RuntimeError("for good")


@every_way
def test_a_guest_that_fails_at_the_end_does_not_keep_the_server_from_stopping(way: str) -> None:
    async def main() -> None:
        guest = Careless()
        server = await Server(guest, Config(host="127.0.0.1", port=0)).start()
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        async with httpx.AsyncClient() as client:
            for _ in range(3):
                assert "result" in await post(client, server, "initialize", **hello)
            assert server.table.count == 3
        with pytest.raises(RuntimeError, match="for good"):
            await server.stop()
        assert guest.left
        assert await server.stop() == 0
        assert not server.table.count
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))

    within(way, main())


class Stillborn(Guest):
    def attach(self, publisher: object) -> None:
        raise ValueError("not now")


@every_way
def test_a_start_that_fails_at_its_end_leaves_nothing_that_listens(way: str) -> None:
    async def main() -> None:
        for _ in range(3):
            failed = Server(Stillborn(), Config(host="127.0.0.1", port=0))
            with pytest.raises(ValueError, match="not now"):
                await failed.start()
            assert failed._servers
            assert not any(one.is_serving() for one in failed._servers if isinstance(one, asyncio.AbstractServer))
            async with Server(named("next"), Config(host="127.0.0.1", port=0)) as server, httpx.AsyncClient() as client:
                assert await call(client, server, "next_loop") == "loop next"

    within(way, main())


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_ends_a_start_that_takes_its_time(loop: str) -> None:
    script = (
        "import asyncio, contextlib, signal, fastsse\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)\n"
        "    try:\n"
        "        await asyncio.Event().wait()\n"
        "        yield\n"
        "    finally:\n"
        "        print('left')\n"
        "app = fastsse.App('slow', lifespan=lifespan)\n"
        f"print(fastsse.run(app, fastsse.Config(host='127.0.0.1', port=0, loop={loop!r})))\n"
    )
    done = ran(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n0\n", "")
