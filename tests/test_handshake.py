"""What a message means to the handshake revisions, whichever transport it came by."""

import json
from typing import Any

import pytest

from fakes import FakeCatalog, Place, buffer, events, head, message, table, told
from fastsse import errors, jsonrpc
from fastsse.config import Config
from fastsse.handler import Request, Result
from fastsse.handshake import Handshake
from fastsse.principal import Principal
from fastsse.revisions import HANDSHAKE, R2, R4
from fastsse.session import LEVELS, Session
from fastsse.stream import Event


class Running:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cancel(self, reason: str) -> None:
        self.reasons.append(reason)


def rules(**settings: Any) -> Handshake:
    return Handshake(Config(**settings), FakeCatalog())


def session() -> Session:
    found = table().open(False, 1.0)
    assert found is not None
    return found


def ask(of: Handshake, method: str, params: Any = None, whose: Session | None = None, **who: Any) -> bytes | Request:
    said = head()
    said.principal = who.get("principal")
    return of.request(jsonrpc.decode(message(method, params)), whose, R4, said)


def notify(of: Handshake, method: str, params: Any = None, whose: Session | None = None) -> None:
    of.notification(jsonrpc.decode(message(method, params, None)), whose, R4, head())


def code(of: Handshake, method: str, params: Any = None, whose: Session | None = None) -> int:
    with pytest.raises(errors.McpError) as refused:
        ask(of, method, params, whose)
    return refused.value.code


# --- initialize


@pytest.mark.requirement("L-01", "L-02", "L-03")
@pytest.mark.parametrize(
    ("asked", "given"),
    [
        *((version, version) for version in HANDSHAKE),
        ("1999-01-01", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("", "2025-11-25"),
    ],
)
def test_the_version_is_negotiated(asked: str, given: str) -> None:
    of = rules()
    of.catalog.instructions = "Be kind"  # type: ignore[misc]
    params = {"protocolVersion": asked, "capabilities": {"roots": {}}, "clientInfo": {"name": "c", "version": "1"}}
    said, whose = jsonrpc.decode(message("initialize", params)), session()
    revision, capabilities = of.proposed(said)
    assert (revision.name, capabilities) == (given, {"roots": {}})
    of.settle(whose, revision, capabilities)
    result = of.initialize(said, whose, head())
    assert isinstance(result, bytes)
    assert json.loads(result) == {
        "protocolVersion": given,
        "capabilities": of.catalog.capabilities(revision),
        "serverInfo": {"name": "fake", "version": "1.2.3"},
        "instructions": "Be kind",
    }


@pytest.mark.parametrize(
    "params", [None, {}, {"protocolVersion": 5}, {"protocolVersion": "2025-11-25", "capabilities": []}, []]
)
def test_an_initialize_that_says_too_little_is_refused(params: Any) -> None:
    with pytest.raises(errors.McpError) as refused:
        rules().proposed(jsonrpc.decode(message("initialize", params)))
    assert refused.value.code == errors.INVALID_PARAMS


# --- requests


@pytest.mark.requirement("L-05")
def test_ping_is_answered_at_once() -> None:
    assert ask(rules(), "ping") == b"{}"


@pytest.mark.requirement("L-07", "L-08")
@pytest.mark.parametrize(
    ("unserved", "method", "params"),
    [
        (None, "foo/bar", None),
        (None, "server/discover", None),
        (None, "subscriptions/listen", {"notifications": {}}),
        (None, "", None),
        ("prompts/list", "prompts/list", None),
        ("prompts/get", "prompts/get", {"name": "x"}),
        ("resources/subscribe", "resources/subscribe", {"uri": "a:b"}),
        ("resources/unsubscribe", "resources/unsubscribe", {"uri": "a:b"}),
        ("logging/setLevel", "logging/setLevel", {"level": "info"}),
        ("completion/complete", "completion/complete", {}),
    ],
)
def test_what_is_not_served_is_not_found(unserved: str | None, method: str, params: Any) -> None:
    of = rules()
    assert isinstance(of.catalog, FakeCatalog)
    of.catalog.unserved = {unserved or ""}
    assert code(of, method, params, session()) == errors.METHOD_NOT_FOUND


@pytest.mark.parametrize(
    ("method", "field"), [("tools/call", "name"), ("prompts/get", "name"), ("resources/read", "uri")]
)
def test_a_call_names_what_it_calls(method: str, field: str) -> None:
    found = ask(rules(), method, {field: "x:y", "arguments": {"a": 1}, "_meta": {"progressToken": 1}})
    assert isinstance(found, Request)
    assert (found.method, found.name, jsonrpc.value(found.arguments)) == (method, "x:y", {"a": 1})
    assert found.meta is not None
    assert code(rules(), method, {}) == errors.INVALID_PARAMS


def test_a_request_carries_who_asks() -> None:
    whose = session()
    whose.capabilities = {"roots": {}}
    ann = Principal("ann")
    found = ask(rules(), "tools/call", {"name": "x"}, whose, principal=ann)
    assert isinstance(found, Request)
    assert (found.capabilities, found.principal, found.session) == ({"roots": {}}, ann, whose)
    assert found.revision is R4


def test_lists_are_encoded_once_for_each_revision_and_again_after_a_change() -> None:
    of = rules()
    assert isinstance(of.catalog, FakeCatalog)
    for _ in range(3):
        assert ask(of, "tools/list") == b'{"tools":[]}'
    assert of.catalog.listings == 1
    of.listing("tools/list", None, R2)
    of.listing("tools/list", "cursor", R2)
    assert of.catalog.listings == 3
    of.catalog.epoch += 1
    ask(of, "tools/list")
    assert (of.catalog.listings, len(of.lists)) == (4, 1)


@pytest.mark.requirement("F-08")
def test_a_bad_cursor_is_invalid_and_cursors_fill_no_memory() -> None:
    of = rules()
    assert code(of, "tools/list", {"cursor": "bad"}) == errors.INVALID_PARAMS
    for number in range(1500):
        of.listing("tools/list", str(number), R4)
    assert len(of.lists) <= 1000


def test_a_list_that_only_the_handler_knows_is_a_request() -> None:
    of = rules()
    assert isinstance(of.catalog, FakeCatalog)
    of.catalog.unlisted.add("tools/list")
    assert isinstance(ask(of, "tools/list"), Request)


@pytest.mark.requirement("F-14")
def test_the_log_level_is_the_sessions() -> None:
    whose = session()
    assert ask(rules(), "logging/setLevel", {"level": "error"}, whose) == b"{}"
    assert whose.log_level == LEVELS["error"]
    for level in ("loud", 5, None):
        assert code(rules(), "logging/setLevel", {"level": level}, whose) == errors.INVALID_PARAMS
    assert ask(rules(), "logging/setLevel", {"level": "debug"}) == b"{}"  # without a session: taken, to no effect


@pytest.mark.requirement("F-15")
def test_subscriptions_are_the_sessions_and_bounded() -> None:
    whose, of = session(), rules(max_subscriptions=2)
    for uri in ("a:1", "a:1", "a:2"):
        assert ask(of, "resources/subscribe", {"uri": uri}, whose) == b"{}"
    assert whose.subscriptions == {"a:1", "a:2"}
    assert code(of, "resources/subscribe", {"uri": "a:3"}, whose) == errors.SERVER_ERROR
    assert ask(of, "resources/subscribe", {"uri": "a:2"}, whose) == b"{}"
    for long in ("a:" + "x" * 8192, "a:" + "é" * 4096):
        assert code(of, "resources/subscribe", {"uri": long}, whose) == errors.INVALID_PARAMS
    assert ask(of, "resources/unsubscribe", {"uri": "a:1"}, whose) == b"{}"
    assert ask(of, "resources/unsubscribe", {"uri": "never"}, whose) == b"{}"
    assert whose.subscriptions == {"a:2"}
    assert code(of, "resources/subscribe", {"uri": 5}, whose) == errors.INVALID_PARAMS
    assert code(of, "resources/subscribe", {"uri": "a:1"}) == errors.INVALID_REQUEST  # whom should we tell?


# --- notifications and responses


@pytest.mark.requirement("L-06", "L-09", "H-22", "H-23")
def test_notifications() -> None:
    of, whose, call = rules(), session(), Running()
    whose.calls = {b"7": call, b'"7"': Running()}
    notify(of, "notifications/initialized", whose=whose)
    assert whose.ready
    others: list[Any] = [None, [], {}, {"requestId": 8}, {"requestId": None}, {"requestId": 10**40}, {"requestId": 1.5}]
    for params in others:
        notify(of, "notifications/cancelled", params, whose)
    notify(of, "notifications/foo", {"x": 1}, whose)
    notify(of, "notifications/cancelled", {"requestId": 7}, None)
    assert call.reasons == []
    notify(of, "notifications/cancelled", {"requestId": 7, "reason": "no"}, whose)
    notify(of, "notifications/cancelled", {"requestId": 7}, whose)
    assert call.reasons == ["no", "cancelled by the client"]


@pytest.mark.requirement("F-16")
def test_what_was_not_promised_is_not_told() -> None:
    whose, of, reader = session(), rules(), buffer()
    whose.ready = True
    whose.standing().attach(reader)
    of.settle(whose, R4, {})  # the catalog promises changes of tools only
    for kind in ("tools", "resources", "prompts"):
        whose.offer(Event(f"notifications/{kind}/list_changed", b'"%b"' % kind.encode()))
    assert [event["data"] for event in events(reader.take())] == ['"tools"']


def test_a_response_reaches_who_asked() -> None:
    of, whose = rules(), session()
    answers: list[tuple[bytes | None, bytes | None]] = []
    id = whose.ask(lambda result, error: answers.append((result, error)))
    of.response(jsonrpc.decode(message(id=99, result={})), whose)
    of.response(jsonrpc.decode(message(id=id, result={"a": 1})), None)
    assert answers == []
    of.response(jsonrpc.decode(message(id=id, error={"code": -1, "message": "no"})), whose)
    assert answers == [(None, b'{"code": -1, "message": "no"}')]


@pytest.mark.parametrize("more", [{}, {"result": {}, "error": {}}])
def test_a_response_is_either_one_or_the_other(more: dict[str, Any]) -> None:
    with pytest.raises(errors.McpError) as refused:
        rules().response(jsonrpc.decode(message(id=1, **more)), session())
    assert refused.value.code == errors.INVALID_REQUEST


# --- what goes out


def request(whose: Session | None = None) -> Request:
    found = ask(rules(), "tools/call", {"name": "x"}, whose)
    assert isinstance(found, Request)
    return found


@pytest.mark.requirement("S-08")
@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"{}", {}),
        (Result(b'{"a":1}'), {"a": 1}),
        (Result(b'{"a":1}', {"k": 2}), {"a": 1, "_meta": {"k": 2}}),
        (Result(b"{}", {"k": 2}), {"_meta": {"k": 2}}),
    ],
)
def test_a_result_is_passed_on_without_what_other_revisions_add(answer: Any, result: Any) -> None:
    assert json.loads(rules().reply(request(), answer)) == {"jsonrpc": "2.0", "id": 1, "result": result}


@pytest.mark.requirement("F-10")
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.InvalidParams("no"), -32602, 200),
        (errors.ResourceNotFound("a:b"), -32002, 200),
        (errors.McpError(-32603, "no"), -32603, 200),
        (errors.McpError(-32600, "no"), -32600, 400),
        (errors.McpError(1234, "mine", {"x": 1}), 1234, 200),
        (errors.ClientLacks("roots", {"roots": {}}), -32600, 200),
    ],
)
def test_an_error_has_a_code_that_the_revision_knows(error: errors.McpError, code: int, status: int) -> None:
    of = rules()
    told = json.loads(of.failure(request(), error))
    assert (told["id"], told["error"]["code"], told["error"]["message"]) == (1, code, error.message)
    assert told["error"].get("data") == error.data
    assert of.status(error) == status


def test_an_error_without_an_id_has_none() -> None:
    assert "id" not in json.loads(rules().error(None, errors.McpError(-32600, "no")))


def test_without_a_session_a_stream_cannot_be_resumed() -> None:
    place = Place()
    place.initialize()
    whose = place.table.find(place.table.ids()[0], None)
    call = place.ask(head(mcp_session_id=place.table.ids()[0].decode()), message("tools/call", {"name": "x"}))
    assert whose is not None
    assert rules().open_stream(call).limits is not None
    call = place.ask(head(), message("tools/call", {"name": "x"}))
    assert rules().open_stream(call).limits is None


def test_the_client_is_asked_by_requests_only() -> None:
    with pytest.raises(errors.FastsseError):
        rules().input_required(request(), {}, {})


def test_what_an_endpoint_tells_of_itself_is_whole() -> None:
    assert told(Place().ask(head(), message("ping"))) == {"jsonrpc": "2.0", "id": 1, "result": {}}
