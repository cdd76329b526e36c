"""Servers of the Python SDK on our wire: in every revision what their own transports do, and what we do not carry."""

import asyncio
import contextlib
import json
import queue
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import mcp_types
import pytest
from mcp.server.lowlevel import Server as LowLevel
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from pydantic import BaseModel
from starlette.middleware.gzip import GZipMiddleware

import fastsse
from fakes import MODERN
from fastsse.errors import ConfigError
from real import EVERY, HANDSHAKE, PAIR, Client, Pair, Session, Stateless, ask, client, served
from serving import serving

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

REVISIONS = pytest.mark.parametrize("revision", EVERY)
WITH_SESSION = pytest.mark.parametrize("revision", HANDSHAKE)
WAIT = 10.0


class Name(BaseModel):
    name: str


class Events:
    """What happened on the server's side, told to the test's thread."""

    def __init__(self) -> None:
        self.queue: queue.Queue[str] = queue.Queue()

    def add(self, what: str) -> None:
        self.queue.put(what)

    def next(self) -> str:
        return self.queue.get(timeout=WAIT)

    def left(self) -> list[str]:
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self.queue.get_nowait())
        return found


def one_of_everything(events: Events) -> MCPServer[Any]:
    @contextlib.asynccontextmanager
    async def lifespan(server: MCPServer[Any]) -> AsyncIterator[dict[str, int]]:
        events.add("begun")
        try:
            yield {"answer": 42}
        finally:
            await anyio.lowlevel.checkpoint()
            events.add("ended")

    server: MCPServer[Any] = MCPServer("everything", version="3.2.1", instructions="Be kind", lifespan=lifespan)

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    @server.tool()
    async def answer(ctx: Context[Any, Any]) -> int:
        """What the lifespan yielded."""
        return int(ctx.request_context.lifespan_context["answer"])

    @server.tool()
    async def who(ctx: Context[Any, Any]) -> str:
        """Where the request came from."""
        request = ctx.request_context.request
        assert request is not None
        assert (await request.json())["method"] == "tools/call"
        return f"{request.client.host} {request.method} {request.url.path} {request.headers['x-mine']}"

    @server.tool()
    async def works(ctx: Context[Any, Any]) -> str:
        """Reports progress and logs."""
        for step in (1, 2, 3):
            await ctx.report_progress(step, 3, f"step {step}")
        await ctx.info("almost")
        return "done"

    @server.tool()
    async def greets(ctx: Context[Any, Any]) -> str:
        """Asks the user."""
        found = await ctx.elicit("Who are you?", Name)
        return f"Hello {found.data.name}" if found.action == "accept" else found.action

    @server.tool()
    async def thinks(prompt: str, ctx: Context[Any, Any]) -> str:
        """Asks the model."""
        text = mcp_types.TextContent(type="text", text=prompt)
        found = await ctx.session.create_message(
            [mcp_types.SamplingMessage(role="user", content=text)], max_tokens=5, related_request_id=ctx.request_id
        )
        assert isinstance(found.content, mcp_types.TextContent)
        return f"{found.model}: {found.content.text}"

    @server.tool()
    async def sleeps(ctx: Context[Any, Any]) -> str:
        """Until it is cancelled; what is shielded goes on to its end."""
        events.add("sleeps")
        await ctx.report_progress(0)  # with which its event stream begins
        try:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            events.add("still here")
            await anyio.sleep(WAIT)
        except anyio.get_cancelled_exc_class():
            events.add("cancelled")
            raise
        return "awake"

    @server.tool()
    def breaks() -> str:
        """Raises."""
        raise ValueError("it is broken")

    @server.tool()
    def refuses() -> str:
        """Raises a JSON-RPC error."""
        raise MCPError(42, "Not so", {"why": "because"})

    @server.tool()
    async def changes(ctx: Context[Any, Any]) -> str:
        """Tells that the tools have changed, both ways."""
        await ctx.notify_tools_changed()
        await ctx.session.send_tool_list_changed()
        return "changed"

    @server.resource("demo://{name}")
    def resource(name: str) -> str:
        return f"This is {name}"

    @server.prompt()
    def greet(name: str) -> str:
        return f"Greet {name}"

    return server


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def server(events: Events) -> Any:
    with served(one_of_everything(events)) as found:
        assert events.next() == "begun"
        yield found
    said = events.left()
    assert said[-1:] == ["ended"]
    assert {"begun", "ended"}.isdisjoint(said[:-1]), "the lifespan runs once"


def text(response: Any) -> str:
    assert "result" in response, response
    return str(response["result"]["content"][0]["text"])


# --- the plain cases


@pytest.mark.requirement("EMB-03")
@REVISIONS
def test_all_that_a_server_offers(revision: str, server: fastsse.Server) -> None:
    with client(server, revision) as who:
        if revision != MODERN:
            assert isinstance(who, Session | Pair)
            assert who.hello["result"]["serverInfo"]["name"] == "everything"
            assert who.hello["result"]["protocolVersion"] == revision
            assert who.hello["result"]["instructions"] == "Be kind"
            assert who.request("ping")["result"] == {}
        else:
            found = who.request("server/discover")["result"]
            assert found["supportedVersions"] == [MODERN]
            assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "everything"
        assert "add" in [tool["name"] for tool in who.request("tools/list")["result"]["tools"]]
        assert text(who.call("add", {"a": 2, "b": 3})) == "5"
        assert text(who.call("answer")) == "42"
        read = who.request("resources/read", {"uri": "demo://me"})["result"]["contents"][0]
        assert read["text"] == "This is me"
        prompt = who.request("prompts/get", {"name": "greet", "arguments": {"name": "you"}})["result"]
        assert prompt["messages"][0]["content"]["text"] == "Greet you"


@pytest.mark.requirement("EMB-03")
@REVISIONS
def test_a_tool_sees_the_http_request(revision: str, server: fastsse.Server) -> None:
    with client(server, revision) as who:
        params = {"name": "who", "arguments": {}}
        id, answer = who.start("tools/call", params, fields=[*who.fields("tools/call", params), ("X-Mine", "yes")])
        path = "/message" if revision == PAIR else "/mcp"
        assert text(who.finish(id, answer)) == f"127.0.0.1 POST {path} yes"


def test_pages_show_the_hosted_tools(server: fastsse.Server) -> None:
    ask(server, "GET", "/health")
    health = ask(server, "GET", "/health").json()
    assert (health["server"], health["version"]) == ("everything", "3.2.1")
    assert health["tools"] == 10
    assert b"Reports progress and logs." in ask(server, "GET", "/docs").body


def test_without_a_session_it_is_served_as_the_sdk_does_it(server: fastsse.Server) -> None:
    def call(tool: str, **arguments: int) -> Any:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return who.post(message, [("Content-Type", "application/json")]).json()

    with Stateless(server) as who:
        assert text(call("add", a=1, b=1)) == "2"
        assert "no back-channel" in call("greets")["error"]["message"]


# --- what handlers do while they run


@pytest.mark.requirement("EMB-04")
@REVISIONS
def test_progress_and_logging(revision: str, server: fastsse.Server) -> None:
    meta = {"progressToken": "t-1"} | ({"io.modelcontextprotocol/logLevel": "info"} if revision == MODERN else {})
    with client(server, revision) as who:
        assert text(who.call("works", _meta=meta)) == "done"
        told = [message["params"] for message in who.heard]
        assert [(one["progress"], one["total"], one["progressToken"]) for one in told[:-1]] == [
            (step, 3, "t-1") for step in (1, 2, 3)
        ]
        assert (told[-1]["level"], told[-1]["data"]) == ("info", "almost")
        who.heard.clear()
        assert text(who.call("works")) == "done"
        assert [message["method"] for message in who.heard if "progress" in message["method"]] == []


def asked_in(who: Client, tool: str, answer: Any, **arguments: Any) -> tuple[Any, Any]:
    """Calls a tool that asks; what was asked, and the tool's response."""
    id, response = who.start("tools/call", {"name": tool, "arguments": arguments})
    asked: Any = None
    for message in who.messages(response):
        if "id" in message and "method" in message:
            asked = message
            if isinstance(answer, dict) and "code" in answer:
                who.post({"jsonrpc": "2.0", "id": message["id"], "error": answer}, who.fields("", None))
            else:
                who.respond(message["id"], answer)
        elif message.get("id") == id:
            return asked, message
    raise AssertionError("no response")


@pytest.mark.requirement("EMB-04")
@WITH_SESSION
def test_sampling(revision: str, server: fastsse.Server) -> None:
    answer = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "I think"}}
    with client(server, revision, sampling={}) as who:
        asked, response = asked_in(who, "thinks", answer, prompt="What?")
        assert asked["method"] == "sampling/createMessage"
        assert asked["params"]["messages"][0]["content"]["text"] == "What?"
        assert text(response) == "m: I think"


@pytest.mark.requirement("EMB-04")
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
def test_elicitation(revision: str, server: fastsse.Server) -> None:
    with client(server, revision, elicitation={}) as who:
        accepted = {"action": "accept", "content": {"name": "Ada"}}
        asked, response = asked_in(who, "greets", accepted)
        assert asked["method"] == "elicitation/create"
        assert list(asked["params"]["requestedSchema"]["properties"]) == ["name"]
        assert text(response) == "Hello Ada"
        assert text(asked_in(who, "greets", {"action": "decline"})[1]) == "decline"
        _, response = asked_in(who, "greets", {"code": -1, "message": "I would rather not"})
        assert response["error"] == {"code": -1, "message": "I would rather not"}


@pytest.mark.requirement("EMB-04")
@WITH_SESSION
def test_cancelling_interrupts_what_is_not_shielded(revision: str, server: fastsse.Server, events: Events) -> None:
    with client(server, revision) as who:
        id, answer = who.start("tools/call", {"name": "sleeps", "_meta": {"progressToken": 1}})
        assert events.next() == "sleeps"
        who.notify("notifications/cancelled", {"requestId": id, "reason": "enough"})
        assert [events.next(), events.next()] == ["still here", "cancelled"]
        answer.close()
        assert text(who.call("add", {"a": 1, "b": 2})) == "3"


@pytest.mark.requirement("EMB-04")
def test_a_closed_response_cancels_in_the_stateless_revision(server: fastsse.Server, events: Events) -> None:
    with Stateless(server) as who:
        _, answer = who.start("tools/call", {"name": "sleeps", "_meta": {"progressToken": 1}})
        assert events.next() == "sleeps"
        answer.close()
        assert [events.next(), events.next()] == ["still here", "cancelled"]


# --- errors


@pytest.mark.requirement("EMB-06")
@REVISIONS
def test_errors_are_those_of_the_sdk(revision: str, server: fastsse.Server) -> None:
    with client(server, revision) as who:
        assert who.call("refuses")["error"] == {"code": 42, "message": "Not so", "data": {"why": "because"}}
        broken = who.call("breaks")["result"]
        assert broken["isError"] is True
        assert "Error executing tool breaks" in broken["content"][0]["text"]
        wrong = who.request("tools/call", {"name": 5})
        assert wrong["error"]["code"] == -32602
        prompt = who.request("prompts/get", {"name": "no_such"})["error"]
        expected = (-32603, "Internal server error") if revision == MODERN else (0, "Unknown prompt: no_such")
        assert (prompt["code"], prompt["message"]) == expected
    assert server.stats.methods["tools/call"].tool_errors == 1


# --- sessions, subscriptions, notifications


class Subscriptions:
    """A low-level server that keeps who subscribed, and what was told."""

    def __init__(self) -> None:
        self.events = Events()
        self.bus = InMemorySubscriptionBus()
        self.subscribed: dict[str, Any] = {}
        with pytest.warns(MCPDeprecationWarning):
            self.server: LowLevel[Any] = LowLevel(
                "subscriptions",
                version="1.0.0",
                on_list_resources=self.resources,
                on_subscribe_resource=self.subscribe,
                on_unsubscribe_resource=self.unsubscribe,
                on_subscriptions_listen=ListenHandler(self.bus),
                on_list_tools=self.tools,
                on_call_tool=self.call,
                on_set_logging_level=self.level,
                on_roots_list_changed=self.roots,
            )

    async def resources(self, ctx: Any, params: Any) -> mcp_types.ListResourcesResult:
        return mcp_types.ListResourcesResult(resources=[mcp_types.Resource(uri="demo://a", name="a")])

    async def subscribe(self, ctx: Any, params: Any) -> mcp_types.EmptyResult:
        self.subscribed[str(params.uri)] = ctx.session
        return mcp_types.EmptyResult()

    async def unsubscribe(self, ctx: Any, params: Any) -> mcp_types.EmptyResult:
        del self.subscribed[str(params.uri)]
        return mcp_types.EmptyResult()

    async def level(self, ctx: Any, params: Any) -> mcp_types.EmptyResult:
        self.events.add(f"level {params.level}")
        return mcp_types.EmptyResult()

    async def roots(self, ctx: Any, params: Any) -> None:
        found = await ctx.session.list_roots()
        self.events.add(f"roots {[str(root.uri) for root in found.roots]}")

    async def tools(self, ctx: Any, params: Any) -> mcp_types.ListToolsResult:
        region = {"type": "string", "x-mcp-header": "Region"}
        schema = {"type": "object", "properties": {"region": region}}
        return mcp_types.ListToolsResult(tools=[mcp_types.Tool(name="touch", input_schema=schema)])

    async def call(self, ctx: Any, params: Any) -> mcp_types.CallToolResult:
        for session in self.subscribed.values():
            await session.send_resource_updated("demo://a")
        await self.bus.publish(ToolsListChanged())
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text="touched")])


@pytest.mark.requirement("EMB-05")
@WITH_SESSION
def test_who_subscribes_is_told_on_the_sessions_own_stream(revision: str) -> None:
    mine = Subscriptions()
    with served(mine.server) as server, client(server, revision) as who:
        assert who.request("resources/subscribe", {"uri": "demo://a"})["result"] == {}
        if isinstance(who, Session):
            standing = who.listen()
            assert text(who.call("touch")) == "touched"
            heard = [who.see(json.loads(event["data"])) for event in standing.take(1)]
        else:
            assert text(who.call("touch")) == "touched"
            heard = who.heard
        assert [message["method"] for message in heard] == ["notifications/resources/updated"]
        assert heard[0]["params"]["uri"] == "demo://a"
        assert who.request("resources/unsubscribe", {"uri": "demo://a"})["result"] == {}
        assert who.request("logging/setLevel", {"level": "error"})["result"] == {}
        assert mine.events.next() == "level error"


@pytest.mark.requirement("EMB-05")
def test_listen_streams_are_the_hosted_servers() -> None:
    mine = Subscriptions()
    with served(mine.server) as server:
        who = Stateless(server)
        id, messages, _ = who.listen(toolsListChanged=True)
        acknowledged = next(messages)
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        assert acknowledged["params"]["notifications"] == {"toolsListChanged": True}
        assert text(who.call("touch")) == "touched"
        changed = next(messages)
        assert changed["method"] == "notifications/tools/list_changed"
        assert changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == id
    last = next(messages)  # the server has said that it stops
    assert (last["id"], last["result"]["resultType"]) == (id, "complete")
    assert not list(messages)
    with who:
        pass


@WITH_SESSION
def test_notifications_reach_their_handlers_which_may_ask(revision: str) -> None:
    mine = Subscriptions()
    with served(mine.server) as server, client(server, revision, roots={}) as who:
        who.notify("notifications/roots/list_changed")
        if isinstance(who, Session):
            standing = who.listen()
            who.notify("notifications/roots/list_changed")
            asked = who.see(json.loads(standing.take(1)[0]["data"]))
        else:
            asked = next(who.messages(who.open[-1]))
        assert asked["method"] == "roots/list"
        who.respond(asked["id"], {"roots": [{"uri": "file:///home"}]})
        assert mine.events.next() == "roots ['file:///home']"


def test_param_headers_are_checked_against_the_hosted_schema() -> None:
    mine = Subscriptions()
    with served(mine.server) as server, Stateless(server) as who:
        params = {"name": "touch", "arguments": {"region": "eu"}}
        fields = who.fields("tools/call", params)
        wrong = who.request("tools/call", params)
        assert (who.status, wrong["error"]["code"]) == (400, -32020)
        assert text(who.request("tools/call", params, fields=[*fields, ("Mcp-Param-Region", "eu")])) == "touched"


def test_what_a_session_registered_is_torn_down_with_it() -> None:
    events = Events()

    async def call(ctx: Any, params: Any) -> mcp_types.CallToolResult:
        connection = ctx.session._connection
        assert connection.state.setdefault("calls", 0) == len(events.queue.queue)
        connection.exit_stack.callback(events.add, "torn down")
        return mcp_types.CallToolResult(content=[])

    async def tools(ctx: Any, params: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=[])

    hosted: LowLevel[Any] = LowLevel("stacks", on_call_tool=call, on_list_tools=tools)
    with served(hosted) as server, Session(server, "2025-11-25") as who:
        who.call("x")
        assert ask(server, "DELETE", "/mcp", None, [("Mcp-Session-Id", who.id)]).status == 200
        assert events.next() == "torn down"


def test_what_a_session_registered_is_torn_down_when_the_server_stops() -> None:
    events = Events()

    async def leave() -> None:
        await anyio.lowlevel.checkpoint()
        events.add("torn down")

    async def call(ctx: Any, params: Any) -> mcp_types.CallToolResult:
        ctx.session._connection.exit_stack.push_async_callback(leave)
        return mcp_types.CallToolResult(content=[])

    @contextlib.asynccontextmanager
    async def lifespan(server: Any) -> AsyncIterator[None]:
        yield
        events.add("ended")

    hosted: LowLevel[Any] = LowLevel("stacks", on_call_tool=call, lifespan=lifespan)
    with served(hosted) as server, Session(server, "2025-11-25") as who:
        who.call("x")
        assert not events.left()
    assert events.left() == ["torn down", "ended"]


def test_a_handler_of_a_notification_ends_with_its_session() -> None:
    events = Events()

    async def changed(ctx: Any, params: Any) -> None:
        events.add("begun")
        try:
            await anyio.sleep_forever()
        finally:
            events.add("over")

    hosted: LowLevel[Any] = LowLevel("listens", on_roots_list_changed=changed)
    with served(hosted) as server, Session(server, "2025-11-25") as who:
        who.notify("notifications/roots/list_changed")
        assert events.next() == "begun"
        assert ask(server, "DELETE", "/mcp", None, [("Mcp-Session-Id", who.id)]).status == 200
        assert events.next() == "over"


@pytest.mark.parametrize("token", [[], {}, None, "1", 1.5])
def test_progress_of_nothing_that_was_asked_is_passed_on(token: Any) -> None:
    events = Events()

    async def progressed(ctx: Any, params: Any) -> None:
        events.add("heard")

    hosted: LowLevel[Any] = LowLevel("listens", on_progress=progressed)
    with served(hosted) as server, Session(server, "2025-11-25") as who:
        who.notify("notifications/progress", {"progressToken": token, "progress": 1})
        who.notify("notifications/progress", {"progressToken": 1, "progress": 1})
        assert events.next() == "heard"


# --- what is not carried, and how it is recognized


async def route(request: Any) -> Any:
    raise AssertionError


def with_route() -> Any:
    server: MCPServer[Any] = MCPServer("routes")
    server.custom_route("/extra", ["GET"])(route)
    return server


def with_auth() -> Any:
    from mcp.server.auth.settings import AuthSettings

    class Verifier:
        async def verify_token(self, token: str) -> None:
            return None

    settings = AuthSettings.model_validate({"issuer_url": "http://localhost:1", "resource_server_url": None})
    return MCPServer("auth", auth=settings, token_verifier=Verifier())


class WithMiddleware(MCPServer[Any]):
    def streamable_http_app(self, **settings: Any) -> Any:
        app = super().streamable_http_app(**settings)
        app.add_middleware(GZipMiddleware)
        return app


def with_middleware() -> Any:
    return WithMiddleware("wrapped")


@pytest.mark.requirement("EMB-07")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (with_route, "MCPServer 'routes' has routes that fastsse does not carry: /extra"),
        (with_auth, "MCPServer 'auth' brings its own authentication, which fastsse does not carry"),
        (with_middleware, "MCPServer 'wrapped' has HTTP middleware that fastsse does not carry: GZipMiddleware"),
    ],
)
def test_what_is_not_carried_stops_the_start(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        fastsse.Server(make())


@pytest.mark.requirement("EMB-08")
@pytest.mark.parametrize("wrong", [object(), 5, MCPServer, "server"])
def test_what_cannot_be_served_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="nothing that can be served"):
        fastsse.Server(wrong)


@pytest.mark.requirement("EMB-08")
def test_the_command_recognizes_a_server_of_the_sdk(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from mcp.server.mcpserver import MCPServer\n"
        "server = MCPServer('mine', version='7')\n"
        "@server.tool()\n"
        "def add(a: int, b: int) -> int:\n"
        "    return a + b\n"
    )
    target = f"{tmp_path / 'mine.py'}:server"
    with serving(target) as base, urllib.request.urlopen(f"{base}/health", timeout=WAIT) as answer:
        assert json.load(answer)["server"] == "mine"


def test_a_lifespan_that_fails_stops_the_start() -> None:
    async def connect() -> None:
        raise RuntimeError("no database")

    @contextlib.asynccontextmanager
    async def lifespan(server: MCPServer[Any]) -> AsyncIterator[None]:
        await connect()
        yield

    async def start() -> None:
        async with fastsse.Server(MCPServer("fails", lifespan=lifespan), fastsse.Config(host="127.0.0.1", port=0)):
            raise AssertionError

    with pytest.raises(RuntimeError, match="no database"):
        asyncio.run(start())


def test_a_start_that_is_cancelled_leaves_no_lifespan_behind() -> None:
    events = Events()

    async def start() -> None:
        begun = asyncio.Event()

        @contextlib.asynccontextmanager
        async def lifespan(server: MCPServer[Any]) -> AsyncIterator[None]:
            begun.set()
            try:
                await anyio.sleep_forever()
                yield
            finally:
                events.add("left")

        server = fastsse.Server(MCPServer("slow", lifespan=lifespan), fastsse.Config(host="127.0.0.1", port=0))
        starting = asyncio.ensure_future(server.start())
        await begun.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert events.left() == ["left"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(start())
