"""2026-07-28: every request says all about itself. The ladder of checks, rung by rung, and what is sealed."""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MODERN, Place, buffer, enveloped, error_code, events, head, message, modern_head, told
from fastsse import _framing, errors, stateless
from fastsse.decision import Call, Listen, Reply
from fastsse.given import ParamHeader
from fastsse.handler import Result
from fastsse.jsonrpc import ENVELOPE
from fastsse.principal import Principal
from fastsse.questions import elicit, roots
from fastsse.stream import Event
from fastsse.writebuffer import CHANGED

MISMATCH, LACKS, VERSION = errors.HEADER_MISMATCH, errors.MISSING_CAPABILITY, errors.UNSUPPORTED_VERSION
INFO = {ENVELOPE + "serverInfo": {"name": "fake", "version": "1.2.3"}}


def send(
    place: Place, method: str, params: dict[str, Any] | None = None, name: str | None = None, id: Any = 1, **fields: Any
) -> Any:
    """A whole request; `fields` change its head."""
    return place.ask(modern_head(method, name, **fields), message(method, enveloped(params), id))


def call(place: Place, arguments: Any = None, name: str = "x", **fields: Any) -> Any:
    return send(place, "tools/call", {"name": name, "arguments": arguments}, name, **fields)


# --- the envelope and its headers


@pytest.mark.requirement("M-01", "M-02", "M-03", "N-03", "N-04")
def test_discover_and_lists() -> None:
    place = Place()
    place.catalog.instructions = "Be kind"
    found = told(send(place, "server/discover"))["result"]
    assert found == {
        "resultType": "complete",
        "ttlMs": 5000,
        "cacheScope": "public",
        "supportedVersions": [MODERN],
        "capabilities": place.catalog.offered,
        "instructions": "Be kind",
        "_meta": INFO,
    }
    for method, member in (
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ):
        for _ in range(2):
            assert told(send(place, method))["result"] == {
                "resultType": "complete", "ttlMs": 5000, "cacheScope": "public", member: [], "_meta": INFO,
            }  # fmt: skip
    assert place.catalog.listings == 4
    place.catalog.epoch += 1
    send(place, "tools/list")
    assert place.catalog.listings == 5
    assert place.table.count == 0


@pytest.mark.requirement("M-04", "M-05", "M-06", "M-29")
@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {ENVELOPE + "protocolVersion": MODERN},
        {ENVELOPE + "clientCapabilities": {}},
        {ENVELOPE + "protocolVersion": 5, ENVELOPE + "clientCapabilities": {}},
        {ENVELOPE + "protocolVersion": MODERN, ENVELOPE + "clientCapabilities": []},
        {ENVELOPE + "protocolVersion": MODERN, ENVELOPE + "clientCapabilities": None},
        5,
    ],
)
def test_a_request_without_its_envelope(meta: Any) -> None:
    params = {} if meta is None else {"_meta": meta}
    reply = Place().ask(modern_head("tools/list"), message("tools/list", params, "id"))
    assert error_code(reply) == (400, errors.INVALID_PARAMS)
    assert told(reply)["id"] == "id"


@pytest.mark.requirement("M-07")
def test_who_the_client_is_need_not_be_said() -> None:
    assert send(Place(), "tools/list").status == 200


@pytest.mark.requirement("M-08", "M-09", "M-10", "M-11", "M-12", "M-13", "M-16", "M-17", "M-28", "M-29")
@pytest.mark.parametrize(
    ("version", "fields", "code"),
    [
        (MODERN, {"mcp_protocol_version": "2025-11-25"}, MISMATCH),
        ("2025-11-25", {}, MISMATCH),
        (MODERN, {"mcp_protocol_version": None}, MISMATCH),
        (MODERN, {"mcp_protocol_version": ""}, MISMATCH),
        (MODERN, {"mcp_protocol_version": [MODERN, MODERN]}, MISMATCH),
        ("1900-01-01", {"mcp_protocol_version": "1900-01-01"}, VERSION),
        ("2025-11-25", {"mcp_protocol_version": "2025-11-25"}, VERSION),
        (MODERN, {"mcp_method": None}, MISMATCH),
        (MODERN, {"mcp_method": "tools/list"}, MISMATCH),
        (MODERN, {"mcp_method": "TOOLS/CALL"}, MISMATCH),
        (MODERN, {"mcp_method": "=?base64?dG9vbHMvY2FsbA==?="}, MISMATCH),
        (MODERN, {"mcp_method": ["tools/call", "tools/call"]}, MISMATCH),
        (MODERN, {"mcp_name": None}, MISMATCH),
        (MODERN, {"mcp_name": "y"}, MISMATCH),
        (MODERN, {"mcp_name": "X"}, MISMATCH),
        (MODERN, {"mcp_name": ["x", "x"]}, MISMATCH),
    ],
)
def test_headers_must_say_what_the_body_says(version: str, fields: dict[str, Any], code: int) -> None:
    params = enveloped({"name": "x"})
    params["_meta"][ENVELOPE + "protocolVersion"] = version
    place = Place()
    reply = place.ask(modern_head("tools/call", "x", **fields), message("tools/call", params, 7))
    assert (error_code(reply), told(reply)["id"], reply.type) == ((400, code), 7, b"application/json")
    if code == VERSION:
        error = told(reply)["error"]
        assert error["data"] == {"supported": [MODERN], "requested": version}
        assert "Unsupported protocol version" in error["message"]


@pytest.mark.requirement("M-16")
@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "x"}, "x"),
        ("prompts/get", {"name": "x"}, "x"),
        ("resources/read", {"uri": "a:b"}, "a:b"),
    ],
)
def test_what_is_named_is_named_twice(method: str, params: dict[str, Any], name: str) -> None:
    place = Place()
    found = send(place, method, params, name)
    assert isinstance(found, Call)
    assert (found.request.method, found.request.name, found.era.modern) == (method, name, True)
    assert error_code(send(place, method, params)) == (400, MISMATCH)
    assert error_code(send(place, method, {}, name)) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("M-18", "M-19", "M-20")
@pytest.mark.parametrize(
    ("said", "name", "same"),
    [
        ("add", "add", True),
        ("=?base64?YWRk?=", "add", True),
        (f"=?base64?{b64encode('größe'.encode()).decode()}?=", "größe", True),
        ("=?base64??=", "", True),
        ("=?base64?YW!k?=", "add", False),
        ("=?base64?YWRk=?=", "add", False),
        ("=?base64?YWR?=", "add", False),
        ("=?base64?/w==?=", "add", False),
        ("=?BASE64?YWRk?=", "add", False),
        ("=?base64?YWRk", "add", False),
        ("=?BASE64?YWRk?=", "=?BASE64?YWRk?=", True),
        ("=?base64?YWRk", "=?base64?YWRk", True),
        ("=?base64?=", "=?base64?=", True),
    ],
)
def test_the_base64_sentinel(said: str, name: str, same: bool) -> None:
    try:
        assert (stateless.decoded(said.encode()) == name.encode()) is same
    except errors.McpError as refused:
        assert (refused.code, same) == (MISMATCH, False)  # noqa: PT017


@given(st.text(min_size=1))
def test_any_name_travels_in_base64(name: str) -> None:
    said = b"=?base64?" + b64encode(name.encode()) + b"?="
    assert stateless.decoded(said) == name.encode()


MIRRORED = (
    ParamHeader(b"mcp-param-region", ("region",), "string"),
    ParamHeader(b"mcp-param-count", ("deep", "count"), "integer"),
    ParamHeader(b"mcp-param-dry", ("dry",), "boolean"),
)


@pytest.mark.requirement("M-21", "M-22", "M-23", "M-24", "M-25", "M-26", "M-27", "M-28")
@pytest.mark.parametrize(
    ("arguments", "fields", "same"),
    [
        ({"region": "eu"}, {"region": "eu"}, True),
        ({"region": "eu"}, {"region": "us"}, False),
        ({"region": "eu"}, {"region": "EU"}, False),
        ({"region": "eu"}, {"region": None}, False),
        ({"region": "eu"}, {"region": ["eu", "eu"]}, False),
        ({"region": "eu"}, {"region": "=?base64?ZXU=?="}, True),
        ({"region": "eu"}, {"region": "=?base64?ZXU?="}, False),
        ({"region": ""}, {"region": ""}, True),
        ({"region": 5}, {"region": "5"}, False),
        ({}, {}, True),
        (None, {}, True),
        ({"region": None}, {}, True),
        ({"region": None}, {"region": "eu"}, False),
        ({}, {"region": "eu"}, False),
        (None, {"region": "eu"}, False),
        ({"deep": {"count": 42}}, {"count": "42"}, True),
        ({"deep": {"count": 42}}, {"count": "42.0"}, True),
        ({"deep": {"count": 42.0}}, {"count": "42"}, True),
        ({"deep": {"count": 42}}, {"count": "42.5"}, False),
        ({"deep": {"count": 42}}, {"count": "4_2"}, False),
        ({"deep": {"count": 42}}, {"count": "+42"}, False),
        ({"deep": {"count": 42}}, {"count": "x"}, False),
        ({"deep": {"count": 1}}, {"count": "true"}, False),
        ({"deep": {"count": -7}}, {"count": "-7"}, True),
        ({"deep": 5}, {}, True),
        ({"deep": 5}, {"count": "5"}, False),
        ({"dry": True}, {"dry": "true"}, True),
        ({"dry": False}, {"dry": "false"}, True),
        ({"dry": True}, {"dry": "True"}, False),
        ({"dry": True}, {"dry": "1"}, False),
        ({}, {"other": "anything"}, True),
        ([], {}, True),
    ],
)
def test_mirrored_arguments(arguments: Any, fields: dict[str, Any], same: bool) -> None:
    place = Place()
    place.catalog.mirrored["x"] = MIRRORED
    found = call(place, arguments, **{f"mcp_param_{key}": value for key, value in fields.items()})
    if same:
        assert isinstance(found, Call)
    else:
        assert error_code(found) == (400, MISMATCH)


# --- what is served


@pytest.mark.requirement("N-01", "N-02", "N-22")
@pytest.mark.parametrize(
    "method",
    [
        "unknown/method",
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tools/none",
    ],
)
def test_what_is_not_served_is_not_found(method: str) -> None:
    reply = send(Place(), method)
    assert (error_code(reply), reply.type) == ((404, errors.METHOD_NOT_FOUND), b"application/json")
    if method == "initialize":
        assert told(reply)["error"]["data"] == {"supported": [MODERN]}


@pytest.mark.requirement("M-30", "M-32", "T-16")
def test_notifications_are_dropped_and_responses_refused() -> None:
    place = Place()
    for body in (
        message("notifications/foo", id=None),
        message("notifications/cancelled", {"requestId": 1}, None),
        message("tools/call", {"name": "x"}, None),
    ):
        reply = place.ask(modern_head("x"), body)
        assert (reply.status, reply.body) == (202, b"")
    assert error_code(place.ask(modern_head("x"), message(id=1, result={}))) == (400, errors.INVALID_REQUEST)
    assert error_code(place.ask(modern_head("tools/list"), message("tools/list", enveloped(), 1.5))) == (
        400,
        errors.INVALID_REQUEST,
    )


@pytest.mark.requirement("M-33", "M-34")
def test_sessions_are_not_of_this_world() -> None:
    place = Place()
    live = place.initialize()
    for id in ("junk", live):
        reply = send(place, "tools/list", mcp_session_id=id, last_event_id="0-1")
        assert (reply.status, reply.extra) == (200, b"")


@pytest.mark.requirement("N-09")
@pytest.mark.parametrize("level", ["loud", 5, None])
def test_an_unknown_log_level_is_invalid(level: Any) -> None:
    reply = call_with_meta(Place(), {ENVELOPE + "logLevel": level})
    assert error_code(reply) == (400, errors.INVALID_PARAMS)


def call_with_meta(place: Place, meta: dict[str, Any]) -> Any:
    return send(place, "tools/call", {"name": "x", "_meta": meta}, "x")


def test_a_call_carries_its_envelope() -> None:
    found = call_with_meta(Place(), {ENVELOPE + "logLevel": "debug", ENVELOPE + "clientCapabilities": {"roots": {}}})
    assert isinstance(found, Call)
    assert (found.request.capabilities, found.request.revision.name) == ({"roots": {}}, MODERN)
    assert (found.request.session, found.request.answers) == (None, None)


@pytest.mark.requirement("N-13", "N-14")
@pytest.mark.parametrize(
    ("required", "declared", "enough"),
    [
        ({"sampling": {}}, {}, False),
        ({"sampling": {}}, {"sampling": {}}, True),
        ({"sampling": {}}, {"sampling": {"tools": {}}}, True),
        ({"sampling": {"tools": {}}}, {"sampling": {}}, False),
        ({"sampling": {}, "roots": {}}, {"sampling": {}}, False),
        ({"elicitation": {"form": {}}}, {"elicitation": {}}, True),
        ({"elicitation": {"url": {}}}, {"elicitation": {}}, False),
        ({"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}, False),
        ({"sampling": {}}, {"sampling": True}, False),
    ],
)
def test_a_capability_that_is_needed_is_looked_for_in_each_request(required: Any, declared: Any, enough: bool) -> None:
    place = Place()
    place.catalog.required["x"] = required
    for _ in range(2):
        found = call_with_meta(place, {ENVELOPE + "clientCapabilities": declared})
        if enough:
            assert isinstance(found, Call)
        else:
            assert error_code(found) == (400, LACKS)
            assert told(found)["error"]["data"] == {"requiredCapabilities": required}


@pytest.mark.requirement("D-accept")
def test_who_reads_nothing_but_events_gets_events() -> None:
    place = Place()
    for method in ("server/discover", "tools/list"):
        reply = send(place, method, accept="text/event-stream")
        assert reply.type == b"text/event-stream"
        assert json.loads(events([reply.body])[0]["data"])["result"]["resultType"] == "complete"
    assert send(place, "unknown/method", accept="text/event-stream").type == b"application/json"
    assert call(place, accept="text/event-stream").sse_first


# --- what goes out


@pytest.mark.requirement("M-03", "N-03", "N-04", "N-06")
@pytest.mark.parametrize(
    ("method", "name", "answer", "result"),
    [
        ("tools/call", "x", b"{}", {"_meta": INFO}),
        ("tools/call", "x", b'{"content":[]}', {"content": [], "_meta": INFO}),
        ("tools/call", "x", Result(b'{"content":[]}', {"k": 1}), {"content": [], "_meta": {"k": 1, **INFO}}),
        ("tools/call", "x", Result(b"{}"), {"_meta": INFO}),
        ("prompts/get", "x", b'{"messages":[]}', {"messages": [], "_meta": INFO}),
        (
            "resources/read",
            "a:b",
            b'{"contents":[]}',
            {"contents": [], "ttlMs": 5000, "cacheScope": "public", "_meta": INFO},
        ),
    ],
)
def test_results_say_what_kind_they_are_and_who_gave_them(method: str, name: str, answer: Any, result: Any) -> None:
    field = "uri" if method == "resources/read" else "name"
    found = send(Place(), method, {field: name}, name)
    said = json.loads(found.era.reply(found.request, answer))
    assert said == {"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", **result}}


@pytest.mark.requirement("N-15", "N-16", "N-17")
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.InvalidParams("no"), -32602, 400),
        (errors.ResourceNotFound("a:b"), -32602, 400),
        (errors.McpError(-32603, "no"), -32603, 200),
        (errors.ClientLacks("roots", {"roots": {}}), -32021, 400),
        (errors.MethodNotFound("x"), -32601, 404),
        (errors.McpError(1234, "mine"), 1234, 200),
    ],
)
def test_errors_and_their_statuses(error: errors.McpError, code: int, status: int) -> None:
    found = call(Place())
    said = json.loads(found.era.failure(found.request, error))
    assert (said["id"], said["error"]["code"], found.era.status(error)) == (1, code, status)


# --- rounds


ASKED = {"who": elicit("Who?", {"type": "object", "properties": {}}), "where": roots()}


def first_round(place: Place, answered: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The result of a round that asks; its state is for tool x with arguments {"a": 1}."""
    found = call(place, {"a": 1})
    found.request.principal = changes.get("principal")
    result: dict[str, Any] = json.loads(found.era.input_required(found.request, ASKED, answered or {}))["result"]
    return result


def retry(place: Place, state: Any, responses: Any = None, arguments: Any = None, name: str = "x") -> Any:
    params = {"name": name, "arguments": {"a": 1} if arguments is None else arguments, "requestState": state}
    if responses is not None:
        params["inputResponses"] = responses
    return send(place, "tools/call", params, name, id=2)


@pytest.mark.requirement("R-01", "R-02", "N-06")
def test_a_round_asks() -> None:
    result = first_round(Place())
    assert isinstance(result.pop("requestState"), str)
    assert result == {
        "resultType": "input_required",
        "inputRequests": {
            "who": {
                "method": "elicitation/create",
                "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}},
            },
            "where": {"method": "roots/list", "params": {}},
        },
        "_meta": INFO,
    }


@pytest.mark.requirement("R-03", "R-07", "R-08")
def test_answers_so_far_come_back_with_the_state() -> None:
    place = Place()
    state = first_round(place, {"earlier": {"roots": []}})["requestState"]
    found = retry(place, state, {"who": {"action": "accept"}, "junk": {}})
    assert isinstance(found, Call)
    assert found.request.answers == {"earlier": {"roots": []}, "who": {"action": "accept"}, "junk": {}}
    assert retry(place, state).request.answers == {"earlier": {"roots": []}}
    assert retry(place, state, {}).request.answers == {"earlier": {"roots": []}}


def test_the_order_of_arguments_does_not_matter() -> None:
    place = Place()
    found = call(place, {"a": 1, "b": {"c": 2, "d": 3}})
    state = json.loads(found.era.input_required(found.request, ASKED, {}))["result"]["requestState"]
    assert isinstance(retry(place, state, {}, {"b": {"d": 3, "c": 2}, "a": 1}), Call)


@pytest.mark.requirement("R-05", "R-06", "A-11")
def test_a_state_is_good_for_what_it_was_made_for() -> None:
    place, other = Place(), Place()
    state = first_round(place)["requestState"]
    other.endpoint.stateless.key = b"another key" * 3
    assert isinstance(retry(place, state), Call)
    assert error_code(retry(other, state)) == (400, errors.INVALID_PARAMS)
    assert error_code(retry(place, state, arguments={"a": 2})) == (400, errors.INVALID_PARAMS)
    assert error_code(retry(place, state, name="y")) == (400, errors.INVALID_PARAMS)
    prompt = send(place, "prompts/get", {"name": "x", "arguments": {"a": 1}, "requestState": state}, "x")
    assert error_code(prompt) == (400, errors.INVALID_PARAMS)
    anns = first_round(place, principal=Principal("ann"))["requestState"]
    assert error_code(retry(place, anns)) == (400, errors.INVALID_PARAMS)
    place.gauges.wall.now += place.config.state_ttl + 1
    assert error_code(retry(place, state)) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("R-05")
@given(st.data())
def test_a_state_that_was_touched_is_refused(data: st.DataObject) -> None:
    place = Place()
    state = first_round(place, {"paid": {"action": "decline"}})["requestState"]
    raw = bytearray(urlsafe_b64decode(state))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    assert error_code(retry(place, urlsafe_b64encode(raw).decode())) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("R-05", "R-09")
@pytest.mark.parametrize("state", ["", "x", "%%%%", "ä", "AAAA" * 20, 5, None])
def test_a_state_that_is_none_is_refused(state: Any) -> None:
    assert error_code(retry(Place(), state)) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("R-09")
@pytest.mark.parametrize("responses", [5, [], "x", None, {"who": 5}, {"who": None}])
def test_malformed_answers_are_refused(responses: Any) -> None:
    place = Place()
    params = {"name": "x", "arguments": {"a": 1}, "inputResponses": responses}
    assert error_code(send(place, "tools/call", params, "x")) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("N-04")
def test_a_resource_that_was_read_in_rounds_is_not_for_caches() -> None:
    place = Place()
    found = send(place, "resources/read", {"uri": "a:b", "inputResponses": {}}, "a:b")
    result = json.loads(found.era.reply(found.request, b'{"contents":[]}'))["result"]
    assert (result["ttlMs"], result["cacheScope"]) == (0, "private")


# --- listening


def listen(place: Place, wanted: Any, id: Any = "L") -> Any:
    return send(place, "subscriptions/listen", {"notifications": wanted}, id=id)


TOOLS = Event(
    "notifications/tools/list_changed",
    b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}',
    None,
    CHANGED,
)


def updated(uri: str) -> Event:
    params = b'{"uri":"%b"}' % uri.encode()
    return Event(
        "notifications/resources/updated",
        _framing.notification(b'"notifications/resources/updated"', params),
        uri,
        CHANGED,
    )


@pytest.mark.requirement("Q-01", "Q-02", "Q-03", "Q-06", "Q-07")
@pytest.mark.parametrize("id", [5, "5", 0, "L", 10**30])
def test_a_listener_is_acknowledged_first_and_hears_what_it_asked_for(id: Any) -> None:
    place = Place()
    wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["a:1"], "future": True}
    found = listen(place, wanted, id)
    assert isinstance(found, Listen)
    tag = {ENVELOPE + "subscriptionId": id}
    (opening,) = events(found.opening)
    assert json.loads(opening["data"]) == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["a:1"]}, "_meta": tag},
    }
    reader = buffer()
    found.stream.attach(reader)
    assert found.audience is not None
    for event in (
        TOOLS,
        Event("notifications/prompts/list_changed", b"{}"),
        updated("a:2"),
        updated("a:1"),
        updated("a:1/x"),
    ):
        found.audience.offer(event)
    found.audience.finish(errors.CloseReason.SHUTDOWN)
    heard = [json.loads(event["data"]) for event in events(reader.take())]
    assert [one.get("params") for one in heard] == [
        {"_meta": tag}, {"uri": "a:1", "_meta": tag}, {"uri": "a:1/x", "_meta": tag}, None,
    ]  # fmt: skip
    assert heard[-1] == {"jsonrpc": "2.0", "id": id, "result": {"resultType": "complete", "_meta": tag | INFO}}
    assert type(heard[-1]["id"]) is type(id)
    assert reader.ending is errors.CloseReason.SHUTDOWN


@pytest.mark.requirement("Q-04", "Q-02")
def test_a_listener_hears_only_what_it_asked_for() -> None:
    place = Place()
    for wanted in ({}, {"promptsListChanged": True}, {"toolsListChanged": False}, {"toolsListChanged": 1}):
        found = listen(place, wanted)
        assert json.loads(events(found.opening)[0]["data"])["params"]["notifications"] == {}
        reader = buffer()
        found.stream.attach(reader)
        for event in (TOOLS, updated("a:1")):
            found.audience.offer(event)
        assert reader.take() == []


@pytest.mark.requirement("Q-02")
def test_what_is_not_offered_is_not_honoured() -> None:
    place = Place()
    place.catalog.offered = {"tools": {}, "resources": {"listChanged": True}}
    wanted = {"toolsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["a:1"]}
    found = listen(place, wanted)
    assert json.loads(events(found.opening)[0]["data"])["params"]["notifications"] == {"resourcesListChanged": True}
    reader = buffer()
    found.stream.attach(reader)
    for event in (TOOLS, updated("a:1")):
        found.audience.offer(event)
    assert reader.take() == []


@pytest.mark.requirement("Q-11")
@pytest.mark.parametrize(
    "wanted",
    [None, 5, [], {"resourceSubscriptions": 5}, {"resourceSubscriptions": [5]}, {"resourceSubscriptions": ["a:1"] * 3}],
)
def test_a_filter_that_says_nothing_is_refused(wanted: Any) -> None:
    assert error_code(listen(Place(max_subscriptions=2), wanted)) == (400, errors.INVALID_PARAMS)


@pytest.mark.requirement("Q-12")
@pytest.mark.parametrize("accept", [None, "application/json", "text/event-stream"])
def test_a_listener_gets_events_whatever_it_accepts(accept: str | None) -> None:
    found = send(Place(), "subscriptions/listen", {"notifications": {}}, accept=accept)
    assert isinstance(found, Listen)


def test_where_there_is_no_room_a_listener_is_told() -> None:
    place = Place()
    place.gauges.streams_left = 0
    reply = listen(place, {})
    assert isinstance(reply, Reply)
    assert (reply.status, b"Retry-After" in reply.extra) == (503, True)


def test_a_header_of_bytes_is_compared_as_bytes() -> None:
    place = Place()
    body = message("tools/call", enveloped({"name": "größe"}))
    assert isinstance(place.ask(modern_head("tools/call", "größe"), body), Call)
    assert error_code(
        place.ask(head(mcp_protocol_version=MODERN, mcp_method="tools/call", mcp_name="grosse"), body)
    ) == (400, MISMATCH)
