"""An app, dispatch and a server with real sockets, all in this process: what only their meeting shows.

Starting and its failures; plain functions that return awaitables; room for senders; what counts as a tool's error.
Every wait has a limit, none is a sleep.
"""

import asyncio
import contextlib
import functools
import gc
import json
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from fastsse import App, Config, ConfigError, Context, Server, ToolError, ToolResult
from fastsse.handler import LOOP, THREAD

LIMIT = 20.0
LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def run(main: Coroutine[Any, Any, None]) -> None:
    factory = LOOPS[os.environ.get("FASTSSE_LOOP", "uvloop")]
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main, LIMIT))


async def post(server: Server, method: str, accept: str = "application/json", **params: Any) -> str:
    """The body of the answer to one request on a connection of its own."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    fields = f"Host: {host}\r\nContent-Type: application/json\r\nAccept: {accept}\r\nContent-Length: {len(body)}"
    writer.write(f"POST /mcp HTTP/1.0\r\n{fields}\r\n\r\n{body}".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer.partition("\r\n\r\n")[2]


async def call(server: Server, tool: str, **arguments: Any) -> Any:
    return json.loads(await post(server, "tools/call", name=tool, arguments=arguments))["result"]


# --- starting


def test_of_two_servers_for_one_port_the_second_says_so() -> None:
    async def main() -> None:
        config = Config(host="127.0.0.1", port=0)
        async with Server(App("first"), config) as first:
            port = int(first.url.rpartition(":")[2])
            with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use; .*--port"):
                await Server(App("second"), Config(host="127.0.0.1", port=port)).start()

    run(main())


def test_servers_that_start_together_get_one_port_once() -> None:
    async def main() -> None:
        async with Server(App("first"), Config(host="127.0.0.1", port=0)) as first:
            port = int(first.url.rpartition(":")[2])
        config = Config(host="127.0.0.1", port=port)
        started = await asyncio.gather(*(Server(App(name), config).start() for name in "ab"), return_exceptions=True)
        (server,) = (one for one in started if isinstance(one, Server))
        (refused,) = (one for one in started if isinstance(one, ConfigError))
        assert "is in use" in str(refused)
        await server.stop()

    run(main())


def test_a_server_that_never_starts_holds_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        Server(App("idle"), Config(port=0))
        gc.collect()


def test_a_lifespan_that_fails_gives_the_port_back() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        if app.name == "broken":
            raise RuntimeError("no database")
        yield

    async def main() -> None:
        async with Server(App("first"), Config(host="127.0.0.1", port=0)) as first:
            config = Config(host="127.0.0.1", port=int(first.url.rpartition(":")[2]))
        with pytest.raises(RuntimeError, match="no database"):
            await Server(App("broken", lifespan=lifespan), config).start()
        async with Server(App("after"), config) as server:
            assert json.loads(await post(server, "ping"))["result"] == {}

    run(main())


# --- plain functions that return awaitables


async def double(number: int) -> int:
    await asyncio.sleep(0)
    if number < 0:
        raise ToolError("too little")
    return 2 * number


@functools.wraps(double)
def wrapped(*given: Any, **named: Any) -> Any:
    return double(*given, **named)


def told(number: int) -> Awaitable[int]:
    return double(number)


def bare(number: int):  # type: ignore[no-untyped-def]
    return double(number)


def with_context(number: int, context: Context) -> Awaitable[int]:
    assert context.request_id == 1
    return double(number)


@pytest.mark.parametrize("function", [wrapped, told, bare, with_context])
@pytest.mark.parametrize("options", [{}, {"inline": True}, {"timeout": 5}, {"inline": True, "limit": 1}])
def test_an_awaitable_is_awaited(function: Callable[..., Any], options: dict[str, Any]) -> None:
    app = App("wrappers")
    app.add_tool(function, name="double", **options)
    assert app._tools["double"].plan.kind == (LOOP if "inline" in options else THREAD)

    async def main() -> None:
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            answer = await call(server, "double", number=21)
            assert answer["content"] == [{"type": "text", "text": "42"}]
            failed = await call(server, "double", number=-1)
            assert (failed["content"][0]["text"], failed["isError"]) == ("too little", True)

    run(main())


def test_awaitables_of_resources_and_prompts() -> None:
    app = App("wrappers")

    async def text() -> str:
        return "late"

    def late() -> Awaitable[str]:
        return text()

    app.add_resource("demo://late", late, inline=True)
    app.add_prompt(late)

    async def main() -> None:
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            read = json.loads(await post(server, "resources/read", uri="demo://late"))["result"]
            assert read["contents"][0]["text"] == "late"
            got = json.loads(await post(server, "prompts/get", name="late"))["result"]
            assert got["messages"][0]["content"]["text"] == "late"

    run(main())


# --- room for senders


def test_drain_waits_for_room_and_no_longer() -> None:
    app = App("talkative")
    seen: list[int] = []

    @app.tool
    async def talk(context: Context) -> str:
        for number in range(1, 31):
            context.progress(number, None, "x" * 300)
            if number % 10 == 0:
                await context.drain()
                stream = context._call.stream
                assert stream is not None
                assert stream.buffer is not None
                seen.append(stream.buffer.size)
        return "done"

    async def main() -> None:
        async with Server(app, Config(host="127.0.0.1", port=0, buffer_high=1024)) as server:
            both = "application/json, text/event-stream"
            heard = await post(server, "tools/call", both, name="talk", _meta={"progressToken": 1})
            assert heard.count("notifications/progress") == 30
            assert seen == [0, 0, 0]

    run(main())


def test_one_that_gives_up_waiting_for_room_harms_no_other() -> None:
    """On /sse all calls of a session share a stream, and with it the wait."""
    app = App("talkative")
    waiting: list[asyncio.Task[None]] = []

    @app.tool
    async def talk(context: Context) -> str:
        await asyncio.sleep(0)  # where tasks start eagerly, what is said in the turn of the request leaves with it
        # In this order they run: both find the buffer full, one is cancelled, then it is written.
        waiting.extend(asyncio.ensure_future(context.drain()) for _ in range(2))
        asyncio.get_running_loop().call_soon(waiting[0].cancel)
        for number in range(1, 11):
            context.progress(number, None, "x" * 300)
        await waiting[1]
        return "done"

    async def main() -> None:
        async with Server(app, Config(host="127.0.0.1", port=0, buffer_high=1024)) as server:
            both = "application/json, text/event-stream"
            heard = await post(server, "tools/call", both, name="talk", _meta={"progressToken": 1})
            assert '"text":"done"' in heard
            assert (waiting[0].cancelled(), waiting[1].cancelled()) == (True, False)

    run(main())


# --- what counts


def test_every_result_that_says_error_counts_as_a_tools_error() -> None:
    app = App("errors")

    @app.tool(inline=True)
    def at_once(number: int) -> str:
        raise ToolError("no")

    @app.tool
    def in_a_thread() -> str:
        raise ValueError("no")

    @app.tool
    async def as_result() -> ToolResult:
        return ToolResult("no", is_error=True)

    @app.tool(inline=True)
    def fine() -> ToolResult:
        return ToolResult("yes", meta={"a": 1})

    async def main() -> None:
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            for tool in ("at_once", "in_a_thread", "as_result"):
                assert (await call(server, tool, number=1))["isError"] is True
            assert (await call(server, "at_once", number="one"))["isError"] is True, "arguments that do not fit"
            assert "isError" not in await call(server, "fine")
            counted = server.stats.calls("tools/call")
            assert (counted.tool_errors, counted.errors, counted.results) == (4, 0, 1)

    run(main())


@pytest.mark.parametrize("cursor", [None, ""])
def test_no_cursor_may_be_spelled_out(cursor: str | None) -> None:
    async def main() -> None:
        app = App("listed")
        app.add_tool(lambda: "", name="one")
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            page = json.loads(await post(server, "tools/list", cursor=cursor))["result"]
            assert [tool["name"] for tool in page["tools"]] == ["one"]

    run(main())
