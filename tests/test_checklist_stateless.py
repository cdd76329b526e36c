"""The external checklist over a real socket (reference mcp-http.md §4.6–4.9): the stateless revision."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from checklist_app import WAIT, Fixture
from fakes import MODERN, enveloped, message
from fastsse import Server
from fastsse.errors import CloseReason
from fastsse.jsonrpc import ENVELOPE
from real import BOTH, LIST, Fields, Session, Stateless, ask, port, served

requirement = pytest.mark.requirement
VERSION = ("MCP-Protocol-Version", MODERN)
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
FORM: dict[str, Any] = {"elicitation": {}}
ANN: dict[str, Any] = {"action": "accept", "content": {"name": "Ann"}}


@pytest.fixture(scope="module")
def fixture() -> Fixture:
    return Fixture()


@pytest.fixture(scope="module")
def server(fixture: Fixture) -> Iterator[Server]:
    with served(fixture.app, state_key="shared by all workers") as running:
        yield running


@pytest.fixture
def caller(server: Server) -> Iterator[Stateless]:
    with Stateless(server) as made:
        yield made


def text(said: Any) -> str:
    return str(said["result"]["content"][0]["text"])


def send(server: Server, body: Any, *fields: tuple[str, str]) -> tuple[int, Any]:
    """(status, JSON) of a POST with exactly these fields beside the content type and Accept."""
    answer = ask(
        server, "POST", "/mcp", body if isinstance(body, bytes) else json.dumps(body).encode(), [*LIST, *fields]
    )
    assert "mcp-session-id" not in answer.fields
    return answer.status, answer.json() if answer.body else None


# --- §4.6 envelope and headers


@requirement("M-01", "M-02")
def test_discover_works_cold() -> None:
    with served(Fixture().app) as server, Stateless(server) as caller:
        found = caller.request("server/discover")["result"]
        assert found["supportedVersions"] == [MODERN]
        assert set(found) == {"resultType", "supportedVersions", "capabilities", "ttlMs", "cacheScope", "_meta"}


@requirement("M-03", "N-03", "N-04", "R-04", "S-08")
def test_every_result_says_what_it_is(caller: Stateless) -> None:
    for method, params in (
        ("server/discover", None),
        *((method, None) for method in LISTS),
        ("resources/read", {"uri": "test://text"}),
        ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}),
        ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}),
        ("tools/call", {"name": "fail", "arguments": {}}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "x"}},
        ),
    ):
        result = caller.request(method, params)["result"]
        assert result["resultType"] == "complete", method
        assert result["_meta"][ENVELOPE + "serverInfo"] == {"name": "checklist", "version": "1.0"}
        cached = method not in ("prompts/get", "tools/call", "completion/complete")
        assert ("ttlMs" in result, "cacheScope" in result) == (cached, cached), method
        if cached:
            assert (result["ttlMs"], result["cacheScope"]) == (1000, "private")


@requirement("M-04", "M-05", "M-06", "M-07", "M-29", "N-22")
@pytest.mark.parametrize(
    ("drop", "status"),
    [("protocolVersion", 400), ("clientCapabilities", 400), ("_meta", 400), ("params", 400), ("clientInfo", 200)],
)
def test_what_the_envelope_needs(server: Server, drop: str, status: int) -> None:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": "x", "method": "tools/list", "params": enveloped()}
    if drop == "params":
        del body["params"]
    elif drop == "_meta":
        del body["params"]["_meta"]
    else:
        body["params"]["_meta"].pop(ENVELOPE + drop, None)
    got, said = send(server, body, VERSION, ("Mcp-Method", "tools/list"))
    assert (got, said["id"]) == (status, "x")
    assert status == 200 or said["error"]["code"] == -32602


CALL = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": enveloped({"name": "echo", "arguments": {"text": "x"}}),
}


@requirement(
    "M-08",
    "M-09",
    "M-11",
    "M-12",
    "M-13",
    "M-14",
    "M-15",
    "M-16",
    "M-17",
    "M-18",
    "M-19",
    "M-20",
    "M-28",
    "M-29",
    "M-33",
)
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")], 200),
        ([("mcp-protocol-version", MODERN), ("MCP-METHOD", "tools/call"), ("mcp-NAME", "echo")], 200),
        ([VERSION, ("Mcp-Method", "  tools/call"), ("Mcp-Name", "   echo  ")], 200),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?ZWNobw==?=")], 200),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo"), ("Mcp-Session-Id", "junk")], 200),
        ([("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")], 400),
        ([("MCP-Protocol-Version", "2025-11-25"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")], 400),
        ([VERSION, VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Method", "tools/list"), ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Method", "TOOLS/CALL"), ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Method", "tools/call")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "add")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo"), ("Mcp-Name", "echo")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?ZWN!bw==?=")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?ZWNobw=?=")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?BASE64?ZWNobw==?=")], 400),
        ([VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "=?base64?ZWNobw==")], 400),
    ],
)
def test_routing_headers(server: Server, fields: Fields, status: int) -> None:
    got, said = send(server, CALL, *fields)
    assert (got, said["id"]) == (status, 7)
    assert "result" in said if status == 200 else said["error"]["code"] == -32020


@requirement("M-16", "M-17")
@pytest.mark.parametrize(
    ("method", "params", "right"),
    [
        ("prompts/get", {"name": "greet", "arguments": {"who": "x"}}, "greet"),
        ("resources/read", {"uri": "test://text"}, "test://text"),
    ],
)
def test_other_methods_are_named_too(server: Server, method: str, params: Any, right: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": enveloped(params)}
    assert send(server, body, VERSION, ("Mcp-Method", method), ("Mcp-Name", right))[0] == 200
    for wrong in ([], [("Mcp-Name", "wrong")]):
        status, said = send(server, body, VERSION, ("Mcp-Method", method), *wrong)
        assert (status, said["error"]["code"]) == (400, -32020)


@requirement("M-10", "M-08")
@pytest.mark.parametrize("version", ["1900-01-01", "2025-11-25", "2027-01-01"])
def test_an_unserved_version_is_told_the_served_ones(server: Server, caller: Stateless, version: str) -> None:
    body = json.loads(json.dumps(CALL).replace(MODERN, version))
    status, said = send(
        server, body, ("MCP-Protocol-Version", version), ("Mcp-Method", "tools/call"), ("Mcp-Name", "echo")
    )
    assert (status, said["error"]["code"]) == (400, -32022)
    assert said["error"]["data"]["requested"] == version
    assert set(said["error"]["data"]["supported"]) <= set(
        caller.request("server/discover")["result"]["supportedVersions"]
    )


@requirement("M-21", "M-22", "M-23", "M-24", "M-25", "M-26", "M-27")
@pytest.mark.parametrize(
    ("arguments", "fields", "status"),
    [
        ({"region": "eu"}, [("Mcp-Param-Region", "eu")], 200),
        ({"region": "eu"}, [("mcp-param-region", "=?base64?ZXU=?=")], 200),
        ({"region": "eu"}, [("Mcp-Param-Region", "us")], 400),
        ({"region": "eu"}, [], 400),
        ({}, [], 200),
        ({"region": None}, [], 200),
        ({}, [("Mcp-Param-Region", "eu")], 400),
        ({"count": 42}, [("Mcp-Param-Count", "42")], 200),
        ({"count": 42}, [("Mcp-Param-Count", "42.0")], 200),
        ({"count": 42}, [("Mcp-Param-Count", "43")], 400),
        ({"dry": True}, [("Mcp-Param-Dry", "true")], 200),
        ({"dry": True}, [("Mcp-Param-Dry", "True")], 400),
        ({}, [("Mcp-Param-X", "undeclared")], 200),
    ],
)
def test_mirrored_arguments(caller: Stateless, arguments: Any, fields: Fields, status: int) -> None:
    params = {"name": "mirrored", "arguments": arguments}
    said = caller.request("tools/call", params, fields=[*caller.fields("tools/call", params), *fields])
    assert caller.status == status
    assert "result" in said if status == 200 else said["error"]["code"] == -32020


@requirement("M-30", "M-31", "M-32")
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', 400, -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]', 400, -32600),
        (b"[]", 400, -32600),
        (message("notifications/foo", id=None), 202, None),
        (message("notifications/cancelled", {"requestId": 1}, None), 202, None),
    ],
)
def test_one_request_or_notification_and_nothing_else(
    server: Server, body: bytes, status: int, code: int | None
) -> None:
    got, said = send(server, body, VERSION, ("Mcp-Method", "tools/list"))
    assert (got, said and said["error"]["code"]) == (status, code)


@requirement("M-34", "M-36", "N-21", "H-05")
def test_streams_have_no_ids_and_answers_no_session(caller: Stateless) -> None:
    params = {"name": "speak", "arguments": {}, "_meta": {"progressToken": 1}}
    fields = [*caller.fields("tools/call", params), ("Last-Event-ID", "1-1"), ("Mcp-Session-Id", "junk")]
    _, answer = caller.start("tools/call", params, fields=fields)
    assert "mcp-session-id" not in answer.fields
    events = list(answer.events())  # to the end of the stream, which the response is
    assert not {"id", "retry"} & {name for event in events for name in event}
    assert "result" in json.loads(events[-1]["data"])


@requirement("M-35")
def test_a_modern_get_is_no_stream(server: Server) -> None:
    assert ask(server, "GET", "/mcp", None, [("Accept", BOTH), VERSION]).status == 405


@requirement("M-37", "F-01")
def test_advertised_headers_are_valid(caller: Stateless) -> None:
    found = []
    cursor: dict[str, Any] = {}
    while True:
        page = caller.request("tools/list", cursor)["result"]
        for tool in page["tools"]:
            names = [
                p["x-mcp-header"] for p in tool["inputSchema"].get("properties", {}).values() if "x-mcp-header" in p
            ]
            types = [p["type"] for p in tool["inputSchema"].get("properties", {}).values() if "x-mcp-header" in p]
            assert len(names) == len({name.lower() for name in names})
            assert set(types) <= {"string", "integer", "boolean"}
            found += names
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert sorted(found) == ["Count", "Dry", "Region"]


# --- §4.7 behaviour


@requirement("N-01", "N-02", "N-22")
@pytest.mark.parametrize(
    "method",
    [
        "unknown/method",
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
    ],
)
def test_what_is_gone_is_not_found(caller: Stateless, method: str) -> None:
    _, answer = caller.start(method, {"uri": "a:b"})
    assert (answer.status, answer.type, answer.json()["error"]["code"]) == (404, "application/json", -32601)


@requirement("N-04", "N-05", "N-18", "N-19", "F-09")
@pytest.mark.parametrize("method", LISTS)
def test_pages_are_the_same_for_everybody(server: Server, method: str) -> None:
    seen = []
    for _ in range(2):
        with Stateless(server) as one:
            pages: list[Any] = []
            cursor: dict[str, Any] = {}
            while True:
                page = one.request(method, cursor)["result"]
                pages.append(page)
                if "nextCursor" not in page:
                    break
                cursor = {"cursor": page["nextCursor"]}
            assert len({(page["cacheScope"]) for page in pages}) == 1
            seen.append(pages)
    assert seen[0] == seen[1]


def levels(caller: Stateless) -> list[str]:
    return [said["params"]["level"] for said in caller.heard if said["method"] == "notifications/message"]


@requirement("N-07", "N-08", "N-09")
@pytest.mark.parametrize(
    ("level", "heard"),
    [(None, []), ("debug", ["debug", "info", "warning", "error"]), ("warning", ["warning", "error"]), ("alert", [])],
)
def test_log_messages_for_those_who_asked(caller: Stateless, level: str | None, heard: list[str]) -> None:
    meta = {} if level is None else {ENVELOPE + "logLevel": level}
    assert text(caller.call("levels", _meta=meta)) == "logged"
    assert levels(caller) == heard


@requirement("N-09")
def test_an_invalid_log_level(caller: Stateless) -> None:
    assert caller.call("levels", _meta={ENVELOPE + "logLevel": "loud"})["error"]["code"] == -32602


@requirement("N-10", "N-11", "F-17")
@pytest.mark.parametrize("token", ["t", 7, 0, "", None])
def test_progress_for_those_who_asked(caller: Stateless, token: Any) -> None:
    assert text(caller.call("speak", _meta={} if token is None else {"progressToken": token})) == "spoken"
    told = [said["params"] for said in caller.heard]
    assert [one["progress"] for one in told] == ([] if token is None else [1, 2, 3])
    assert all(one["progressToken"] == token and type(one["progressToken"]) is type(token) for one in told)
    assert all("id" not in said for said in caller.heard)


@requirement("N-12")
@pytest.mark.parametrize("speaking", [False, True])
def test_closing_the_answer_cancels(server: Server, fixture: Fixture, speaking: bool) -> None:
    params = {"name": "wait", "arguments": {"key": f"cut {speaking}"}}
    if speaking:
        params = {"name": "speak", "arguments": {"key": f"cut {speaking}"}, "_meta": {"progressToken": 1}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": enveloped(params)}).encode()
    lines = [
        f"{name}: {value}" for name, value in [*Stateless(server).fields("tools/call", params), ("Host", "localhost")]
    ]
    head = "\r\n".join(["POST /mcp HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""]).encode()
    with socket.create_connection(("127.0.0.1", port(server)), WAIT) as sock:
        sock.sendall(head + body)
        assert fixture.begun.get(timeout=WAIT) == f"cut {speaking}"
    assert fixture.ended.get(timeout=WAIT) == (f"cut {speaking}", "cancelled")


@requirement("N-13", "N-14")
def test_capabilities_are_judged_request_by_request(server: Server, fixture: Fixture) -> None:
    with Stateless(server, sampling={}) as able, Stateless(server) as unable:
        for _ in range(2):
            said = unable.call("needs_sampling", {"key": "never"})
            assert (unable.status, said["error"]["code"]) == (400, -32021)
            assert said["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}
            assert able.call("ask_model")["result"]["resultType"] == "input_required"
            asked = unable.call("ask_model")
            assert (unable.status, asked["error"]["code"]) == (400, -32021)
    assert fixture.begun.empty()


@requirement("N-15", "N-16", "N-17", "F-10", "F-26")
@pytest.mark.parametrize(
    "uri", ["test://nothing", "file:///../../etc/passwd", "test://files/../../etc/passwd", "", "no uri"]
)
def test_a_missing_resource(caller: Stateless, uri: str) -> None:
    said = caller.request("resources/read", {"uri": uri})
    assert (caller.status, said["error"]["code"]) == (400, -32602)


@requirement("N-20")
def test_one_id_on_two_connections(server: Server, fixture: Fixture) -> None:
    with Stateless(server) as one, Stateless(server) as two:
        answers = []
        for caller, key in ((one, "first"), (two, "second")):
            params = {"name": "speak", "arguments": {"key": key}, "_meta": {"progressToken": key}}
            answers.append(caller.start("tools/call", params, 1)[1])
            assert fixture.begun.get(timeout=WAIT) == key
        for caller, answer, key in ((two, answers[1], "second"), (one, answers[0], "first")):
            fixture.let(key)
            assert text(caller.finish(1, answer)) == "spoken"
            assert {said["params"]["progressToken"] for said in caller.heard} == {key}
            assert fixture.ended.get(timeout=WAIT) == (key, "done")


@requirement("N-23")
def test_eras_take_turns_on_one_connection(server: Server) -> None:
    line = socket.create_connection(("127.0.0.1", port(server)), WAIT)
    with Session(server, "2025-06-18") as legacy, Stateless(server) as modern, line:
        for number in range(4):
            params = {"name": "add", "arguments": {"a": number, "b": 1}}
            for caller in (modern, legacy):
                fields = caller.fields("tools/call", params)
                caller.asked["1"] = "tools/call"
                body = message("tools/call", caller.envelope(params))
                said = caller.see(ask(server, "POST", "/mcp", body, fields, on=line).json())
                assert text(said) == f"{number + 1}.0"
                assert ("resultType" in said["result"]) is (caller is modern)


# --- §4.8 listen


@requirement("Q-01", "Q-02", "Q-03", "Q-05")
@pytest.mark.parametrize("id", [5, "5", 0])
def test_a_listener_is_acknowledged_then_told(server: Server, id: Any) -> None:
    with Stateless(server) as caller:
        _, arriving, answer = caller.listen(id, toolsListChanged=True, resourcesListChanged=True, future=True)
        assert answer.type == "text/event-stream"
        caller.call("change")
        said = [next(arriving) for _ in range(3)]
        assert [one["method"] for one in said] == [
            "notifications/subscriptions/acknowledged", *["notifications/tools/list_changed"] * 2,
        ]  # fmt: skip
        assert said[0]["params"]["notifications"] == {"toolsListChanged": True, "resourcesListChanged": True}
        for one in said:
            tag = one["params"]["_meta"][ENVELOPE + "subscriptionId"]
            assert (tag, type(tag)) == (id, type(id))


@requirement("Q-04", "Q-06", "Q-07", "Q-08")
def test_listeners_hear_what_they_asked_for(server: Server) -> None:
    with Stateless(server) as caller:
        kinds: tuple[dict[str, Any], ...] = (
            {"promptsListChanged": True, "resourceSubscriptions": ["test://text"]},
            {"resourceSubscriptions": ["test://other"]},
        )
        opened = [caller.listen(f"listener {number}", **kind) for number, kind in enumerate(kinds)]
        for _, arriving, _ in opened:
            next(arriving)
        caller.call("change")
        caller.call("speak", _meta={"progressToken": 1, ENVELOPE + "logLevel": "debug"})
        for uri in ("test://text", "test://other"):
            caller.call("touch", {"uri": uri})
        for (id, arriving, _), uri in zip(opened, ("test://text", "test://other"), strict=True):
            said = next(arriving)
            assert said["method"] == "notifications/resources/updated"
            assert said["params"] == {"uri": uri, "_meta": {ENVELOPE + "subscriptionId": id}}


@requirement("Q-09")
def test_a_server_that_stops_ends_subscriptions_with_their_result() -> None:
    caller: Stateless
    with served(Fixture().app) as server:
        caller = Stateless(server)
        id, arriving, _ = caller.listen("last", toolsListChanged=True)
        next(arriving)
    said = list(arriving)
    assert [one.get("id") for one in said] == [id]
    assert said[0]["result"]["_meta"][ENVELOPE + "subscriptionId"] == "last"


@requirement("Q-11")
def test_a_listener_says_what_to_listen_to(caller: Stateless) -> None:
    said = caller.request("subscriptions/listen", {})
    assert (caller.status, said["error"]["code"]) == (400, -32602)


@requirement("Q-12")
def test_a_listener_that_accepts_only_json_gets_events(caller: Stateless) -> None:
    params: dict[str, Any] = {"notifications": {}}
    fields = [field for field in caller.fields("subscriptions/listen", params) if field[0] != "Accept"]
    _, answer = caller.start("subscriptions/listen", params, fields=[*fields, ("Accept", "application/json")])
    assert answer.type == "text/event-stream"


@requirement("Q-13")
def test_closing_a_subscription_frees_its_place() -> None:
    with served(Fixture().app, max_streams=2) as server:
        for number in range(100):
            caller = Stateless(server)
            _, arriving, answer = caller.listen(number, toolsListChanged=True)
            next(arriving)
            answer.close()
            while sum(server.stats.streams_open.values()):  # until the server has seen it
                assert ask(server, "GET", "/ready").status == 200
        assert sum(len(shard.audience) for shard in server.table.shards) == 0


@requirement("Q-14", "D-slow-consumer")
def test_a_listener_that_does_not_read_holds_nobody_up() -> None:
    with served(Fixture().app, buffer_max=65536, buffer_high=65536) as server, Stateless(server) as caller:
        long = "test://" + "x" * 4000
        _, stalled, _ = caller.listen("stalled", resourceSubscriptions=[long])
        _, reading, _ = caller.listen("reading", resourceSubscriptions=["test://last"])
        next(stalled)
        next(reading)
        for number in range(4000):  # more than the kernel keeps for one connection
            server.publish("notifications/resources/updated", {"uri": f"{long}/{number}"})
        server.publish("notifications/resources/updated", {"uri": "test://last"})
        assert next(reading)["params"]["uri"] == "test://last"
        while not server.stats.closed[CloseReason.SLOW_CONSUMER]:
            assert ask(server, "GET", "/ready").status == 200


# --- §4.9 rounds


@requirement("R-01", "R-02", "R-03", "R-07", "R-08", "R-13")
@pytest.mark.parametrize(
    ("answer", "said"),
    [(ANN, "accept: Ann"), ({"action": "decline"}, "decline: None"), ({"action": "cancel"}, "cancel: None")],
)
def test_a_round(server: Server, answer: Any, said: str) -> None:
    with Stateless(server, **FORM) as caller:
        first = caller.call("ask_name")["result"]
        assert first["resultType"] == "input_required"
        assert set(first) <= {"resultType", "inputRequests", "requestState", "_meta"}
        ((key, question),) = first["inputRequests"].items()
        assert (set(question), question["method"]) == ({"method", "params"}, "elicitation/create")
        again = caller.call("ask_name", inputResponses={}, requestState=first["requestState"])["result"]
        assert again["resultType"] == "input_required"
        last = caller.call("ask_name", inputResponses={key: answer, "junk": {}}, requestState=again["requestState"])
        assert (last["result"]["resultType"], text(last)) == ("complete", said)


@requirement("R-03", "R-11")
def test_rounds_go_on_in_another_worker(server: Server) -> None:
    with (
        served(Fixture().app, state_key="shared by all workers") as other,
        Stateless(server, **FORM) as here,
        Stateless(other, **FORM) as there,
    ):
        state = here.call("ask_twice")["result"]["requestState"]
        second = there.call("ask_twice", inputResponses={"first": ANN}, requestState=state)["result"]
        assert second["inputRequests"]["second"]["params"]["message"] == "And Ann?"
        last = here.call("ask_twice", inputResponses={"second": ANN}, requestState=second["requestState"])
        assert text(last) == "Ann, Ann"


@requirement("R-01", "R-02", "N-11")
def test_several_questions_in_one_round(server: Server) -> None:
    with Stateless(server, elicitation={}, sampling={}, roots={}) as caller:
        first = caller.call("ask_all")["result"]
        assert {key: one["method"] for key, one in first["inputRequests"].items()} == {
            "who": "elicitation/create", "where": "roots/list", "what": "sampling/createMessage",
        }  # fmt: skip
        answers = {"who": ANN, "where": {"roots": []}}
        second = caller.call("ask_all", inputResponses=answers, requestState=first["requestState"])["result"]
        assert set(second["inputRequests"]) == {"what"}
        said = {"what": {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}}}
        last = caller.call("ask_all", inputResponses=said, requestState=second["requestState"])
        assert text(last) == "['who', 'where', 'what']"


@requirement("R-05", "R-06", "R-09")
def test_a_state_is_good_for_its_own_request_only(server: Server) -> None:
    with Stateless(server, **FORM) as caller:
        state = caller.call("ask_name")["result"]["requestState"]
        middle = len(state) // 2
        touched = state[:middle] + ("A" if state[middle] != "A" else "B") + state[middle + 1 :]
        for tool, given, responses in (
            ("ask_name", touched, {}), ("ask_name", "", {}), ("ask_name", "junk", {}), ("ask_twice", state, {}),
            ("ask_name", state, 5), ("ask_name", state, {"elicitation": 5}),
        ):  # fmt: skip
            said = caller.call(tool, inputResponses=responses, requestState=given)
            assert (caller.status, said["error"]["code"]) == (400, -32602)


@requirement("R-10", "F-20")
def test_a_page_is_shown_only_to_clients_that_can(server: Server) -> None:
    with Stateless(server, elicitation={}) as unable, Stateless(server, elicitation={"url": {}}) as able:
        said = unable.call("ask_url")
        assert (unable.status, said["error"]["code"]) == (400, -32021)
        assert said["error"]["data"] == {"requiredCapabilities": {"elicitation": {"url": {}}}}
        ((_, question),) = able.call("ask_url")["result"]["inputRequests"].items()
        assert question["params"]["mode"] == "url"
        assert "elicitationId" not in question["params"]


@requirement("R-12", "N-06")
@pytest.mark.parametrize(
    ("method", "params", "member", "said"),
    [
        ("prompts/get", {"name": "asking_prompt"}, "messages", "For Ann"),
        ("resources/read", {"uri": "test://asks"}, "contents", "read by Ann"),
    ],
)
def test_prompts_and_resources_ask_too(server: Server, method: str, params: Any, member: str, said: str) -> None:
    with Stateless(server, **FORM) as caller:
        first = caller.request(method, params)["result"]
        assert first["resultType"] == "input_required"
        assert not {"ttlMs", "cacheScope"} & set(first)
        ((key, _),) = first["inputRequests"].items()
        answered = {"inputResponses": {key: ANN}, "requestState": first["requestState"]}
        last = caller.request(method, params | answered)["result"]
        assert said in json.dumps(last[member])
        assert method != "resources/read" or (last["ttlMs"], last["cacheScope"]) == (0, "private")
