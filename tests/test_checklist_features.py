"""The external checklist over a real socket (reference mcp-http.md §4.10): features, at each revision that has them."""

import json
import socket
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from checklist_app import Fixture
from fakes import MODERN
from fastsse import App, Server
from fastsse.jsonrpc import ENVELOPE
from fastsse.revisions import REVISIONS
from real import EVERY, HANDSHAKE, STREAMABLE, Client, Pair, Session, client, hello, served

requirement = pytest.mark.requirement
every = pytest.mark.parametrize("revision", EVERY)
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(Fixture().app) as running:
        yield running


@pytest.fixture
def caller(server: Server, revision: str) -> Iterator[Client]:
    with client(server, revision) as made:
        yield made


def listed(caller: Client, method: str) -> list[Any]:
    """All pages of a list."""
    found: list[Any] = []
    params: dict[str, Any] = {}
    while True:
        page = caller.request(method, params)["result"]
        assert len(page[LISTS[method]]) <= 3
        found += page[LISTS[method]]
        if "nextCursor" not in page:
            return found
        params = {"cursor": page["nextCursor"]}


def text(said: Any) -> str:
    return str(said["result"]["content"][0]["text"])


REFERENCE: dict[str, Any] = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": ""}}
METHODS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "initialize": (hello("2025-11-25", {}), set(HANDSHAKE)),
    "ping": ({}, set(HANDSHAKE)),
    "logging/setLevel": ({"level": "info"}, set(HANDSHAKE)),
    "resources/subscribe": ({"uri": "test://text"}, set(HANDSHAKE)),
    "resources/unsubscribe": ({"uri": "test://text"}, set(HANDSHAKE)),
    "server/discover": ({}, {MODERN}),
    **{method: ({}, set(EVERY)) for method in LISTS},
    "tools/call": ({"name": "echo", "arguments": {"text": "x"}}, set(EVERY)),
    "resources/read": ({"uri": "test://text"}, set(EVERY)),
    "prompts/get": ({"name": "greet", "arguments": {"who": "x"}}, set(EVERY)),
    "completion/complete": (REFERENCE, set(EVERY)),
}


@requirement("D-methods", "N-02", "L-07")
@every
@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_every_revision(caller: Client, revision: str, method: str) -> None:
    params, revisions = METHODS[method]
    said = caller.request(method, params)
    if revision in revisions:
        assert "result" in said
    else:
        assert said["error"]["code"] == -32601


# --- tools


@requirement("F-01", "F-09")
@every
def test_every_tool_has_a_valid_object_schema(caller: Client) -> None:
    tools = listed(caller, "tools/list")
    assert len(tools) > 15
    assert len({tool["name"] for tool in tools}) == len(tools)
    for tool in tools:
        for schema in (tool["inputSchema"], tool.get("outputSchema", {"type": "object"})):
            assert schema["type"] == "object"
            jsonschema.Draft202012Validator.check_schema(schema)
            jsonschema.Draft7Validator.check_schema(schema)


@requirement("F-02", "D-mistakes")
@every
def test_an_unknown_tool_is_a_protocol_error(caller: Client) -> None:
    assert caller.call("nope")["error"]["code"] == -32602


@requirement("F-03", "D-error-codes")
@every
def test_a_tool_that_fails_tells_the_model(caller: Client) -> None:
    said = caller.call("fail")
    assert said["result"]["isError"]
    assert text(said) == "said to the model"
    said = caller.call("crash")
    assert said["result"]["isError"]
    assert "secret" not in json.dumps(said)


@requirement("F-04")
@every
@pytest.mark.parametrize("arguments", [{}, {"text": 5}, {"text": None}, {"texts": "x"}])
def test_arguments_that_do_not_fit_tell_the_model(caller: Client, arguments: Any) -> None:
    said = caller.call("echo", arguments)
    assert said["result"]["isError"]
    assert "text" in text(said)


@requirement("F-05", "F-06", "F-07")
@every
@pytest.mark.parametrize(("tool", "arguments", "value"), [("add", {"a": 1, "b": 2}, 3.0), ("numbers", {}, [1, 2, 3])])
def test_structured_content(caller: Client, revision: str, tool: str, arguments: Any, value: Any) -> None:
    described = next(one for one in listed(caller, "tools/list") if one["name"] == tool)
    result = caller.call(tool, arguments)["result"]
    assert json.loads(result["content"][0]["text"]) == value
    structured = REVISIONS[revision].structured
    assert ("outputSchema" in described, "structuredContent" in result) == (structured, structured)
    if structured:
        jsonschema.validate(result["structuredContent"], described["outputSchema"])
        assert isinstance(result["structuredContent"], dict)
        assert value in result["structuredContent"].values()


@requirement("F-18")
@every
def test_content_blocks_that_a_revision_knows(caller: Client, revision: str) -> None:
    known = REVISIONS[revision]
    (audio,), (link,) = (caller.call(tool)["result"]["content"] for tool in ("audio", "link"))
    assert audio["type"] == ("audio" if known.audio else "resource")
    assert link["type"] == ("resource_link" if known.resource_link else "text")
    assert "test://text" in json.dumps(link)


@requirement("F-27")
def test_a_reference_to_the_network_is_never_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        fixture = Fixture(f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json")
        with served(fixture.app) as server, client(server, MODERN) as caller:
            listed(caller, "tools/list")
            assert text(caller.call("referring", {"x": 5})) == "['x']"
        with pytest.raises(BlockingIOError):
            listener.accept()


# --- lists


@requirement("F-08", "F-09")
@every
@pytest.mark.parametrize("method", LISTS)
def test_pagination(caller: Client, method: str) -> None:
    names = [json.dumps(entry, sort_keys=True) for entry in listed(caller, method)]
    assert names
    assert len(names) == len(set(names))
    for cursor in ("x", "eA==", "9" * 50):
        assert caller.request(method, {"cursor": cursor})["error"]["code"] == -32602


# --- resources


@requirement("F-10", "F-26", "N-15")
@every
@pytest.mark.parametrize("uri", ["test://nothing", "file:///../../etc/passwd", "test://files/../../etc/passwd"])
def test_a_missing_resource(caller: Client, revision: str, uri: str) -> None:
    error = caller.request("resources/read", {"uri": uri})["error"]
    assert error["code"] == (-32602 if revision == MODERN else -32002)
    assert error["data"]["uri"] == uri


@requirement("F-11")
@every
def test_contents(caller: Client) -> None:
    (said,) = caller.request("resources/read", {"uri": "test://text"})["result"]["contents"]
    assert said == {"uri": "test://text", "mimeType": "text/plain", "text": "some text"}
    (said,) = caller.request("resources/read", {"uri": "test://bytes"})["result"]["contents"]
    assert b64decode(said["blob"], validate=True) == b"\0\xff"
    (said,) = caller.request("resources/read", {"uri": "test://files/a%20b"})["result"]["contents"]
    assert (said["uri"], said["text"]) == ("test://files/a%20b", "file a b")


def arriving(caller: Client) -> Iterator[Any]:
    """What the server says first."""
    assert isinstance(caller, Pair | Session)
    return caller.messages(caller.stream if isinstance(caller, Pair) else caller.listen())


@requirement("F-15", "F-16")
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_subscriptions(caller: Client) -> None:
    heard = arriving(caller)
    with client(caller.server, "2025-11-25") as other:
        for wanted, method in (
            (True, "resources/subscribe"),
            (False, "resources/unsubscribe"),
            (True, "resources/subscribe"),
        ):
            assert caller.request(method, {"uri": "test://text"})["result"] == {}
            other.call("touch", {"uri": "test://other"})
            other.call("touch", {"uri": "test://text"})
            other.call("change")
            if wanted:
                said = next(heard)
                assert said["method"] == "notifications/resources/updated"
                assert said["params"]["uri"] == "test://text"
            for _ in range(2):
                assert next(heard)["method"] == "notifications/tools/list_changed"


@requirement("F-16")
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_changes_of_what_was_not_declared_are_not_told(revision: str) -> None:
    app = App("grows")
    with served(app) as server, client(server, revision) as caller:
        assert isinstance(caller, Pair | Session)
        assert set(caller.hello["result"]["capabilities"]) == {"logging", "tools"}
        heard = arriving(caller)
        app.add_resource("test://new", lambda: "new", name="new")
        app.add_tool(lambda: "new", name="new")
        assert next(heard)["method"] == "notifications/tools/list_changed"


# --- prompts and completion


@requirement("F-12")
@every
@pytest.mark.parametrize(
    "params", [{"name": "nope"}, {"name": "greet"}, {"name": "greet", "arguments": {"who": 5}}, {}]
)
def test_a_prompt_that_cannot_be_had(caller: Client, params: Any) -> None:
    assert caller.request("prompts/get", params)["error"]["code"] == -32602


@requirement("F-12")
@every
def test_a_prompt(caller: Client) -> None:
    result = caller.request("prompts/get", {"name": "greet", "arguments": {"who": "Ann"}})["result"]
    assert result["messages"] == [{"role": "user", "content": {"type": "text", "text": "Greet Ann"}}]


@requirement("F-13")
@every
def test_completion(caller: Client) -> None:
    params = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "who", "value": "A"}}
    found = caller.request("completion/complete", params)["result"]["completion"]
    assert (len(found["values"]), found["total"], found["hasMore"]) == (100, 150, True)
    assert found["values"][0] == "A0"
    unknown = {"ref": {"type": "ref/prompt", "name": "nope"}, "argument": {"name": "who", "value": ""}}
    assert caller.request("completion/complete", unknown)["error"]["code"] == -32602


# --- logging and progress


@requirement("F-14")
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_log_levels(caller: Client) -> None:
    for level, wanted in (
        ("warning", ["warning", "error"]),
        ("debug", ["debug", "info", "warning", "error"]),
        ("emergency", []),
    ):
        assert caller.request("logging/setLevel", {"level": level})["result"] == {}
        caller.heard.clear()
        assert text(caller.call("levels")) == "logged"
        assert [said["params"]["level"] for said in caller.heard] == wanted
        assert all(said["params"]["logger"] == "here" for said in caller.heard)
    assert caller.request("logging/setLevel", {"level": "loud"})["error"]["code"] == -32602


@requirement("F-17", "D-progress-gap")
@every
@pytest.mark.parametrize("token", [0, "", "a", 7, None])
def test_progress(caller: Client, revision: str, token: Any) -> None:
    said = caller.call("speak", _meta={} if token is None else {"progressToken": token})
    assert text(said) == "spoken"
    told = [one["params"] for one in caller.heard]
    assert [one["progress"] for one in told] == ([] if token is None else [1, 2, 3])
    for one in told:
        assert (one["progressToken"], type(one["progressToken"])) == (token, type(token))
        assert ("message" in one) is REVISIONS[revision].message_in_progress


# --- questions


@requirement("F-19", "F-20")
@pytest.mark.parametrize("revision", STREAMABLE[1:])
def test_questions_as_the_revision_knows_them(server: Server, revision: str) -> None:
    capabilities: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}
    with Session(server, revision, **capabilities) as caller:
        id, answer = caller.start("tools/call", {"name": "ask_name", "arguments": {}})
        said = caller.messages(answer)
        question = next(said)
        fields = question["params"]["requestedSchema"]["properties"].values()
        assert {field["type"] for field in fields} <= {"string", "number", "integer", "boolean", "array"}
        caller.respond(question["id"], {"action": "cancel"})
        assert next(said)["id"] == id
        _, answer = caller.start("tools/call", {"name": "ask_url", "arguments": {}})
        said = caller.messages(answer)
        question = next(said)
        if revision == "2025-11-25":
            assert question["params"]["mode"] == "url"
            assert question["params"]["elicitationId"]
            caller.respond(question["id"], {"action": "accept"})
            assert text(next(said)) == "accept"
        else:  # refused at once: that revision has no such question
            assert "error" in question or question["result"]["isError"]


@requirement("D-asks-in-one-round")
def test_several_questions_at_once_in_a_session(server: Server) -> None:
    with Session(server, "2025-11-25", elicitation={}, sampling={}, roots={}) as caller:
        id, answer = caller.start("tools/call", {"name": "ask_all", "arguments": {}})
        said = caller.messages(answer)
        asked = {one["method"]: one["id"] for one in (next(said) for _ in range(3))}
        caller.respond(asked["roots/list"], {"roots": []})
        caller.respond(asked["elicitation/create"], {"action": "decline"})
        caller.respond(
            asked["sampling/createMessage"],
            {"role": "assistant", "model": "m", "content": {"type": "text", "text": "x"}},
        )
        last = next(said)
        assert (last["id"], text(last)) == (id, "['who', 'where', 'what']")


@requirement("D-five-revisions", "N-13")
def test_all_revisions_at_once_each_by_its_own_schema(server: Server) -> None:
    """Each client checks all that it hears against its own revision's schema."""
    callers = [client(server, revision) for revision in EVERY for _ in range(3)]
    for number in range(5):
        begun = [
            caller.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": number}})
            for caller in callers
        ]
        for caller, (id, answer) in zip(callers, begun, strict=True):
            assert text(caller.finish(id, answer)) == "spoken"
            assert [said["params"]["progressToken"] for said in caller.heard] == [number] * 3
            caller.heard.clear()
            modern = caller.revision == MODERN
            assert (ENVELOPE + "serverInfo" in json.dumps(caller.call("add", {"a": 1, "b": 2}))) is modern
    for caller in callers:
        caller.__exit__()
