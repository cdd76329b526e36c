"""The external checklist over a real socket (reference mcp-http.md §4.1–4.3): HTTP, the pair, the lifecycle."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from checklist_app import WAIT, Fixture
from fakes import MODERN, message
from fastsse import App, Server
from real import (
    BOTH,
    EVERY,
    HANDSHAKE,
    LIST,
    STREAMABLE,
    Fields,
    Pair,
    Session,
    Stateless,
    ask,
    client,
    hello,
    port,
    served,
)

requirement = pytest.mark.requirement
PING = message("ping")


@pytest.fixture(scope="module")
def fixture() -> Fixture:
    return Fixture()


@pytest.fixture(scope="module")
def server(fixture: Fixture) -> Iterator[Server]:
    with served(fixture.app, ping=0.1) as running:
        yield running


def posted(server: Server, body: bytes = PING, *more: tuple[str, str], type: str = "application/json") -> Any:
    """A sessionless POST; `more` header fields."""
    return ask(server, "POST", "/mcp", body, [("Content-Type", type), *more])


# --- §4.1 transport security, generic HTTP


@requirement("T-01", "T-02", "T-03", "T-04", "T-05")
@pytest.mark.parametrize("revision", [None, *EVERY])
@pytest.mark.parametrize("path", ["/mcp", "/sse", "/message", "/health"])
@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ([("Origin", "http://evil.example")], True),
        ([("Origin", "null")], True),
        ([("Host", "evil.example")], True),
        ([("Host", "evil.example"), ("Origin", "http://evil.example")], True),
        ([], False),
        ([("Origin", "http://localhost:PORT")], False),
        ([("Origin", "http://127.0.0.1:5173"), ("Host", "127.0.0.1:PORT")], False),
    ],
)
def test_strangers_are_kept_out(server: Server, fields: Fields, refused: bool, path: str, revision: str | None) -> None:
    said = [(name, value.replace("PORT", str(port(server)))) for name, value in fields]
    if revision is not None:
        said.append(("MCP-Protocol-Version", revision))
    answer = ask(server, "OPTIONS" if not refused else "POST", path, PING, [*LIST, *said])
    assert answer.status == (403 if refused else 200)
    if refused:
        assert "id" not in answer.json()
        assert "access-control-allow-origin" not in answer.fields
    answer.close()


@requirement("T-06")
@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused_before_it_is_sent(server: Server, chunked: bool) -> None:
    size = 64 << 20
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
        sock.sendall(head.encode())
        if chunked:
            sock.sendall(b"%x\r\n" % size + b"x" * (5 << 20))
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
    assert data.startswith(b"HTTP/1.1 413 ")


@requirement("T-07", "T-08")
@pytest.mark.parametrize(
    ("type", "status"),
    [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
        ("application/json", 200),
    ],
)
def test_content_types(server: Server, type: str, status: int) -> None:
    assert posted(server, type=type).status == status


@requirement("T-09", "D-mcp-post")
@pytest.mark.parametrize("accept", [None, "*/*", "application/*, text/*", "application/json", BOTH])
def test_any_accept_is_served(server: Server, accept: str | None) -> None:
    fields = [] if accept is None else [("Accept", accept)]
    assert posted(server, PING, *fields).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


@requirement("T-10")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "BREW"])
def test_an_unsupported_verb_is_told_the_others(server: Server, method: str) -> None:
    answer = ask(server, method, "/mcp", b"{}", LIST)
    assert answer.status == 405
    assert {"GET", "POST", "DELETE"} <= set(answer.fields["allow"].split(", "))


@requirement("T-11")
def test_both_spellings_of_the_door(server: Server) -> None:
    answers = [ask(server, "POST", path, PING, LIST) for path in ("/mcp", "/mcp/")]
    assert [(answer.status, answer.json()) for answer in answers] == [
        (200, {"jsonrpc": "2.0", "id": 1, "result": {}})
    ] * 2


@requirement("T-12", "D-cors")
def test_a_browser_may_ask_first(server: Server) -> None:
    origin = "http://localhost:6274"
    asked = "mcp-protocol-version,mcp-method,mcp-param-region"
    fields = [("Origin", origin), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", asked)]
    answer = ask(server, "OPTIONS", "/mcp", None, fields)
    assert answer.status == 200
    assert answer.fields["access-control-allow-origin"] == origin
    assert set(asked.split(",")) <= set(answer.fields["access-control-allow-headers"].lower().split(", "))
    real = posted(server, message("initialize", hello("2025-06-18", {})), ("Origin", origin))
    assert real.fields["access-control-allow-origin"] == origin
    assert "Mcp-Session-Id" in real.fields["access-control-expose-headers"]


@requirement("T-13", "T-14", "T-16")
@pytest.mark.parametrize("version", [None, "2025-11-25", MODERN])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"\xff", -32700),
        (b'{"foo":1}', -32600),
        (message("ping", id=1.5), -32600),
        (message("ping", id=True), -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600),
    ],
)
def test_what_is_no_message(server: Server, body: bytes, code: int, version: str | None) -> None:
    fields = [] if version is None else [("MCP-Protocol-Version", version)]
    answer = posted(server, body, *fields)
    said = answer.json()
    assert (answer.status, said["error"]["code"]) == (400, code)
    assert "id" not in said


@requirement("T-15", "H-27")
@pytest.mark.parametrize("revision", EVERY)
@pytest.mark.parametrize("id", [1, "1", "é", 0, -7, 2**53, "", "a" * 500])
def test_an_id_comes_back_as_it_was(server: Server, revision: str, id: Any) -> None:
    with client(server, revision) as caller:
        said = caller.request("tools/list", id=id)
        assert (said["id"], type(said["id"])) == (id, type(id))


@requirement("T-16")
@pytest.mark.parametrize("revision", EVERY)
def test_a_request_without_an_id_is_never_run(server: Server, fixture: Fixture, revision: str) -> None:
    with client(server, revision) as caller:
        params = {"name": "effect", "arguments": {"mark": f"without id {revision}"}}
        assert caller.notify("tools/call", params).status == 202
        caller.call("effect", {"mark": f"with id {revision}"})
    assert f"with id {revision}" in fixture.ran
    assert f"without id {revision}" not in fixture.ran


@requirement("T-17")
@pytest.mark.parametrize("revision", EVERY)
def test_unknown_members_do_no_harm(server: Server, revision: str) -> None:
    with client(server, revision) as caller:
        params = caller.envelope({"name": "echo", "arguments": {"text": "hi"}, "more": [1], "_meta": {"vendor/x": 1}})
        caller.asked["1"] = "tools/call"
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, "extra": {"a": 1}}
        said = caller.finish(1, caller.post(body, caller.fields("tools/call", params)))
        assert said["result"]["content"][0]["text"] == "hi"


@requirement("T-18", "Q-10", "D-ping", "D-sse-framing")
@pytest.mark.parametrize("path", ["/sse", "/mcp"])
def test_quiet_streams_are_kept_alive_by_comments(server: Server, path: str) -> None:
    answer = ask(server, "GET", path, None, [("Accept", "text/event-stream")])
    comments = 0
    for event in answer.events():
        if "" in event:
            comments += 1
        else:
            assert json.loads(event["data"]) if event["event"] != "endpoint" else event["data"].startswith("/")
        if comments == 2:
            break
    answer.close()


@requirement("T-19", "D-sse-headers", "D-first-bytes")
@pytest.mark.parametrize(
    ("method", "path", "modern"), [("GET", "/sse", False), ("GET", "/mcp", False), ("POST", "/mcp", True)]
)
def test_the_head_of_a_stream(server: Server, method: str, path: str, modern: bool) -> None:
    if modern:
        _, _, answer = Stateless(server).listen()
    else:
        answer = ask(server, method, path, None, [("Accept", "text/event-stream")])
    assert answer.fields["content-type"] == "text/event-stream"
    assert answer.fields["cache-control"] == "no-cache, no-transform"
    assert answer.fields["x-accel-buffering"] == "no"
    assert answer.fields["connection"] == "keep-alive"
    assert answer.data  # the first bytes have come with the head
    answer.close()


@requirement("T-20", "H-04")
def test_an_event_arrives_on_one_stream_only(server: Server, fixture: Fixture) -> None:
    with Session(server, "2025-11-25") as caller:
        standing = caller.messages(caller.listen())
        id, answer = caller.start(
            "tools/call", {"name": "speak", "arguments": {"key": "one"}, "_meta": {"progressToken": 1}}
        )
        assert fixture.begun.get(timeout=WAIT) == "one"
        caller.call("change")
        fixture.let("one")
        assert caller.finish(id, answer)["result"]["content"][0]["text"] == "spoken"
        methods = [said["method"] for said in caller.heard]
        assert methods == ["notifications/progress"] * 3
        assert [next(standing)["method"] for _ in range(2)] == ["notifications/tools/list_changed"] * 2


# --- §4.2 HTTP+SSE


@requirement("S-01", "S-02", "S-03", "S-08", "D-sse-route")
def test_the_pair(server: Server) -> None:
    with Pair(server) as caller:
        assert caller.uri.startswith("/message?sessionId=")
        assert caller.welcome["method"] == "notifications/initialized"
        assert caller.welcome["params"]["sessionId"] == caller.uri.partition("=")[2]
        assert caller.hello["result"]["protocolVersion"] == "2024-11-05"
        for said in (caller.hello, caller.request("tools/list"), caller.call("add", {"a": 1, "b": 2})):
            assert caller.status == 202
            assert not {"resultType", "ttlMs", "cacheScope", "_meta", "structuredContent"} & set(said["result"])


@requirement("S-04", "D-message-route")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?sessionId=", 404),
        ("?sessionId=bogus", 404),
        ("?session_id=00000000-0000-8000-8000-000000000000", 404),
    ],
)
def test_a_session_that_is_not_there(server: Server, query: str, status: int) -> None:
    answer = ask(server, "POST", f"/message{query}", PING, LIST)
    assert answer.status == status
    assert "error" in answer.json()


@requirement("S-05")
def test_a_post_after_the_stream_is_closed_does_not_hang() -> None:
    with served(Fixture().app, session_lost=0) as server:
        with Pair(server) as caller:
            assert caller.request("ping")["result"] == {}
        statuses = {202}
        while statuses <= {202}:  # until the server has seen it, within a second
            statuses.add(ask(server, "POST", caller.uri, PING, LIST).status)
        assert statuses <= {202, 404}


@requirement("S-06")
def test_the_endpoint_has_the_prefix_of_the_public_url() -> None:
    with served(Fixture().app, public_url="https://example.com/x") as server, Pair(server) as caller:
        assert caller.uri.startswith("/x/message?")
        assert caller.request("ping")["result"] == {}


@requirement("S-07")
def test_two_clients_of_the_pair_never_cross(server: Server) -> None:
    with Pair(server) as one, Pair(server) as two:
        for number in range(20):
            ids = [
                caller.start("tools/call", {"name": "echo", "arguments": {"text": f"{caller.uri} {number}"}})[0]
                for caller in (one, two)
            ]
            for caller, id in zip((one, two), ids, strict=True):
                assert caller.finish(id, caller.stream)["result"]["content"][0]["text"] == f"{caller.uri} {number}"


# --- §4.3 lifecycle


@requirement("L-01", "L-03")
@pytest.mark.parametrize("door", [Pair, Session])
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_a_version_is_echoed(server: Server, door: type[Pair | Session], revision: str) -> None:
    with door(server, revision) as caller:
        assert isinstance(caller, Pair | Session)
        result = caller.hello["result"]
        assert result["protocolVersion"] == revision
        assert set(result["capabilities"]) >= {"tools", "resources", "prompts", "logging"}
        assert result["serverInfo"] == {"name": "checklist", "version": "1.0"}


@requirement("L-02")
@pytest.mark.parametrize("revision", ["1999-01-01", "2026-07-28", "", "nonsense"])
def test_an_unsupported_version_gets_the_newest_with_a_handshake(server: Server, revision: str) -> None:
    said = posted(server, message("initialize", hello(revision, {}))).json()
    assert said["result"]["protocolVersion"] == "2025-11-25"


@requirement("L-04")
@pytest.mark.parametrize("header", ["2026-07-28", "2025-11-25", "nonsense"])
def test_initialize_ignores_the_version_header(server: Server, header: str) -> None:
    answer = posted(server, message("initialize", hello("2025-11-25", {})), ("MCP-Protocol-Version", header))
    assert (answer.status, answer.json()["result"]["protocolVersion"]) == (200, "2025-11-25")


@requirement("L-05", "L-06")
@pytest.mark.parametrize("revision", STREAMABLE)
def test_ping_before_and_after_initialized(server: Server, revision: str) -> None:
    with Session(server, revision, ready=False) as caller:
        assert caller.request("ping")["result"] == {}
        answer = caller.notify("notifications/initialized")
        assert (answer.status, answer.body) == (202, b"")
        assert caller.request("ping")["result"] == {}


@requirement("L-07")
@pytest.mark.parametrize("revision", HANDSHAKE)
@pytest.mark.parametrize("method", ["foo/bar", "server/discover", "subscriptions/listen", "tasks/list"])
def test_an_unknown_method(server: Server, revision: str, method: str) -> None:
    with client(server, revision) as caller:
        assert caller.request(method, id="x")["error"]["code"] == -32601


@requirement("L-08")
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_what_is_not_offered(revision: str) -> None:
    with served(App("bare")) as server, client(server, revision) as caller:
        for method, params in (
            ("prompts/list", {}),
            ("prompts/get", {"name": "x"}),
            ("resources/list", {}),
            ("resources/read", {"uri": "a:b"}),
            ("resources/subscribe", {"uri": "a:b"}),
            (
                "completion/complete",
                {"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": ""}},
            ),
        ):
            assert caller.request(method, params)["error"]["code"] == -32601, method


@requirement("L-09")
@pytest.mark.parametrize("revision", EVERY)
def test_an_unknown_notification(server: Server, revision: str) -> None:
    with client(server, revision) as caller:
        assert caller.notify("notifications/foo", {"a": 1}).status == 202


@requirement("L-10")
def test_before_initialized_the_server_asks_nothing(server: Server) -> None:
    with (
        Session(server, "2025-11-25", ready=False, elicitation={}, roots={}) as caller,
        Session(server, "2025-11-25") as other,
    ):
        standing = caller.messages(caller.listen())
        other.call("change")
        caller.notify("notifications/initialized")
        other.call("touch", {"uri": "never:subscribed"})
        other.call("change")
        # What comes first is the change after `initialized`: two of them, as one tool came and went.
        heard = [next(standing)["method"] for _ in range(2)]
        assert heard == ["notifications/tools/list_changed"] * 2
        assert caller.call("echo", {"text": "x"})["result"]


@requirement("L-11")
def test_initialize_cannot_be_cancelled(server: Server) -> None:
    with Session(server, "2025-11-25", ready=False) as caller:
        assert caller.notify("notifications/cancelled", {"requestId": 1}).status == 202
        assert caller.request("ping")["result"] == {}


@requirement("L-12")
@pytest.mark.parametrize("revision", EVERY)
@pytest.mark.parametrize("tool", ["ask_name", "ask_model", "ask_roots", "ask_url", "ask_all"])
def test_only_what_was_declared_is_asked(server: Server, revision: str, tool: str) -> None:
    with client(server, revision) as caller:
        said = caller.call(tool)
        assert "error" in said or said["result"]["isError"]
        assert caller.heard == []


@requirement("L-13")
def test_a_second_initialize_has_a_defined_answer(server: Server) -> None:
    with Session(server, "2025-11-25") as caller:
        again = caller.request("initialize", hello("2025-06-18", {}))
        assert again["result"]["protocolVersion"] == "2025-06-18"
        assert caller.call("echo", {"text": "still here"})["result"]
    with Pair(server) as pair:
        assert pair.request("initialize", hello("2025-06-18", {}))["result"]["protocolVersion"] == "2025-06-18"
