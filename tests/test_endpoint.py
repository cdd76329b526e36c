"""The ladder: which rung a request falls from, and what it is told there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import ABROAD, HERE, MODERN, Place, enveloped, error_code, head, message, modern_head, told
from fastsse.decision import Batch, Call, Listen, Reply, accepts, wants_events

EVIL = "http://evil.example"


# --- the head


@pytest.mark.requirement("D-routes", "A-12")
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/sessions", 200),
        ("GET", "/docs", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/health", 200),
        ("HEAD", "/sse", 200),
        ("HEAD", "/mcp", 200),
        ("GET", "/health/", 200),
        ("GET", "/health?x=1", 200),
        ("OPTIONS", "/mcp", 200),
        ("OPTIONS", "*", 200),
        ("OPTIONS", "/nowhere", 200),
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/.well-known/oauth-protected-resource", 404),
        ("GET", "/.well-known/oauth-protected-resource/mcp", 404),
        ("POST", "/mcp/x", 404),
        ("GET", "/MCP", 404),
        ("GET", "/%6dcp", 404),
        ("PUT", "/nowhere", 404),
        ("PUT", "/mcp", 405),
        ("PATCH", "/mcp/", 405),
        ("GET", "/message", 405),
        ("DELETE", "/message", 405),
        ("POST", "/sse", 405),
        ("POST", "/health", 405),
        ("DELETE", "/sessions", 405),
        ("BREW", "/docs", 405),
    ],
)
def test_routes(method: str, target: str, status: int) -> None:
    reply = Place().ask(head(method, target))
    assert isinstance(reply, Reply)
    assert reply.status == status
    if status >= 400:
        assert "id" not in told(reply)


@pytest.mark.requirement("T-10", "D-routes")
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("/mcp", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("/message", "POST, OPTIONS"),
        ("/sse", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(target: str, allowed: str) -> None:
    reply = Place().ask(head("PUT", target))
    assert (reply.status, reply.extra.decode()) == (405, f"Allow: {allowed}\r\n")
    assert told(reply)["error"]["data"]["want"] == allowed


@pytest.mark.requirement("T-11", "D-one-door")
@pytest.mark.parametrize("target", ["/mcp", "/mcp/", "/base/mcp", "/base/mcp/"])
def test_a_slash_makes_no_difference(target: str) -> None:
    place = Place(public_url="https://example.com/base")
    assert told(place.ask(head("POST", target), message("ping"))) == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.requirement("D-refusals")
@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        (head("POST", "/nowhere", host="evil.example", origin=EVIL), 403, "host"),
        (head("PUT", "/nowhere", origin=EVIL, content_type="text/plain"), 403, "origin"),
        (head("OPTIONS", "/mcp", origin=EVIL), 403, "origin"),
        (head("POST", "/nowhere", content_type="text/plain"), 404, "unknown_path"),
        (head("PUT", "/mcp", content_type="text/plain"), 405, "method"),
        (head("POST", "/mcp", 64 << 20, content_type="text/plain"), 413, "body_too_large"),
        (head("POST", "/mcp", content_type="text/plain"), 415, "content_type"),
        (head("POST", "/message", content_type=None), 415, "content_type"),
        (head("GET", "/sse", accept="application/json"), 406, "accept"),
        (head("GET", "/mcp", accept="text/html"), 406, "accept"),
    ],
)
def test_the_first_failure_wins_before_any_of_the_body_is_read(asked: Any, status: int, reason: str) -> None:
    reply = Place().ask(asked, b"not even JSON")
    error = told(reply)["error"]
    assert (reply.status, reply.reason, error["data"]["reason"]) == (status, reason, reason)
    assert "want" in error["data"]


@pytest.mark.requirement("T-08")
@pytest.mark.parametrize(
    "type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json ;x"],
)
def test_json_is_json_with_any_parameter(type: str) -> None:
    assert Place().ask(head(content_type=type), message("ping")).status == 200


@pytest.mark.requirement("T-06")
def test_a_body_at_the_limit_passes() -> None:
    place = Place(max_body=2000)
    assert place.ask(head("POST", "/mcp", 2000), message("ping")).status == 200
    reply = place.ask(head("POST", "/mcp", 2001), message("ping"))
    assert (reply.status, told(reply)["error"]["data"]["setting"]) == (413, "max_body")


@pytest.mark.requirement("D-refusals", "T-05")
def test_strangers_are_told_the_reason_only() -> None:
    for place, fields, peer in (
        (Place(), {}, ABROAD),
        (Place(production=True), {}, HERE),
        (Place(), {"x_forwarded_for": "1.2.3.4"}, HERE),
        (Place(), {"forwarded": "for=1.2.3.4"}, HERE),
        (Place(), {"via": "1.1 proxy"}, HERE),
    ):
        reply = place.ask(head("POST", "/mcp", host="evil.example", **fields), peer=peer)
        assert told(reply)["error"]["data"] == {"reason": "host"}
        assert "id" not in told(reply)


@pytest.mark.requirement("D-sessions-page")
def test_session_ids_are_shown_only_at_home() -> None:
    place = Place()
    id = place.initialize()
    assert told(place.ask(head("GET", "/sessions"))) == {"count": 1, "sessions": [id]}
    away = Place(loopback=False, public_url="https://example.com")
    away.initialize(host="example.com")
    for asked in (
        place.ask(head("GET", "/sessions"), peer=ABROAD),
        place.ask(head("GET", "/sessions", x_forwarded_for="1.2.3.4")),
        place.ask(head("GET", "/sessions", x_real_ip="1.2.3.4")),
        away.ask(head("GET", "/sessions", host="example.com")),
    ):
        (shown,) = told(asked)["sessions"]
        assert len(shown) < 12


@pytest.mark.requirement("D-ready")
def test_ready_turns_while_draining() -> None:
    place = Place()
    assert place.ask(head("GET", "/ready")).status == 200
    place.gauges.draining = True
    assert place.ask(head("GET", "/ready")).status == 503
    assert place.ask(head("GET", "/health")).status == 200


def test_metrics_in_two_languages() -> None:
    place = Place()
    assert place.ask(head("GET", "/metrics")).type.startswith(b"text/plain")
    assert set(told(place.ask(head("GET", "/metrics", accept="application/json")))) >= {
        "active_connections", "total_requests", "uptime", "memory_usage",
    }  # fmt: skip


def test_docs_show_where_we_are() -> None:
    assert b"http://localhost:3002/mcp" in Place().ask(head("GET", "/docs")).body
    assert (
        b"https://example.com/base/mcp" in Place(public_url="https://example.com/base").ask(head("GET", "/docs")).body
    )


@pytest.mark.requirement("T-12", "D-cors")
def test_a_preflight_is_answered_before_anything_else() -> None:
    place = Place()
    asked = head(
        "OPTIONS", "/mcp", origin="http://localhost:5173", access_control_request_headers="mcp-param-x,mcp-method"
    )
    reply = place.ask(asked)
    assert reply.status == 200
    assert b"Access-Control-Allow-Headers" in reply.extra
    assert b"mcp-param-x" in reply.extra
    assert b"Access-Control-Allow-Origin: http://localhost:5173" in place.endpoint.extra(asked)
    plain = place.ask(head("OPTIONS", "/mcp"))
    assert plain.extra == b"Allow: GET, HEAD, POST, DELETE, OPTIONS\r\n"


def test_cors_lines_are_for_those_who_may_come() -> None:
    place = Place()
    assert place.endpoint.extra(head()) == b""
    assert place.endpoint.extra(head(origin=EVIL)) == b""
    assert b"Mcp-Session-Id" in place.endpoint.extra(head(origin="http://localhost:1"))


@pytest.mark.requirement("D-too-many-streams")
def test_where_there_is_no_room_streams_are_refused() -> None:
    place = Place()
    id = place.initialize()
    place.gauges.streams_left = 0
    for asked in (head("GET", "/sse"), head("GET", "/mcp"), head("GET", "/mcp", mcp_session_id=id)):
        reply = place.ask(asked)
        assert (reply.status, reply.extra) == (503, b"Retry-After: 1\r\n")
    assert place.table.count == 1


def test_requests_are_counted_by_route() -> None:
    endpoint = Place(public_url="https://example.com/base").endpoint
    for target, route in (
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/base/mcp", "/mcp"),
        ("/messages/?x=1", "/message"),
        ("/x", "other"),
    ):
        assert endpoint.route(head("GET", target)) == route
    assert endpoint.route(None) == "other"


# --- the body: where the eras part (reference §2.5)

ENVELOPED = enveloped({"name": "x"})
LEGACY = enveloped({"name": "x"})
LEGACY["_meta"] = LEGACY["_meta"] | {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}


@pytest.mark.requirement("N-23", "L-04", "M-08", "M-09", "M-10", "M-33", "D-era-table")
@pytest.mark.parametrize(
    ("method", "params", "version", "session", "outcome"),
    [
        ("initialize", {"protocolVersion": "2025-11-25"}, None, False, 200),
        ("initialize", {"protocolVersion": "2025-11-25"}, MODERN, False, 200),
        ("initialize", {"protocolVersion": "2025-11-25"}, "nonsense", True, 200),
        ("initialize", enveloped({"protocolVersion": "2025-11-25"}), MODERN, False, (404, -32601)),
        ("tools/call", ENVELOPED, MODERN, False, "2026-07-28"),
        ("tools/call", ENVELOPED, MODERN, True, "2026-07-28"),
        ("tools/call", ENVELOPED, None, False, (400, -32020)),
        ("tools/call", ENVELOPED, "2025-11-25", False, (400, -32020)),
        ("tools/call", ENVELOPED, "2025-11-25", True, (400, -32020)),
        ("tools/call", LEGACY, "2025-11-25", False, (400, -32022)),
        ("tools/call", {"name": "x"}, MODERN, False, (400, -32602)),
        ("tools/call", {"name": "x"}, MODERN, True, "2025-06-18"),
        ("tools/call", {"name": "x"}, "1900-01-01", False, (400, -32600)),
        ("tools/call", {"name": "x"}, "1900-01-01", True, (400, -32600)),
        ("tools/call", {"name": "x"}, "2025-11-25", True, "2025-06-18"),
        ("tools/call", {"name": "x"}, None, True, "2025-06-18"),
        ("tools/call", {"name": "x"}, "2025-11-25", False, "2025-11-25"),
        ("tools/call", {"name": "x"}, None, False, "2025-03-26"),
        ("tools/call", {"name": "x", "_meta": {"progressToken": 1}}, None, False, "2025-03-26"),
        ("server/discover", {}, None, False, (200, -32601)),
        ("server/discover", {}, MODERN, False, (400, -32602)),
    ],
)
def test_the_body_decides_and_the_header_is_a_cross_check(
    method: str, params: Any, version: str | None, session: bool, outcome: Any
) -> None:
    place = Place()
    id = place.initialize("2025-06-18") if session else None
    name = "x" if method == "tools/call" else None
    asked = head(mcp_protocol_version=version, mcp_session_id=id, mcp_method=method, mcp_name=name)
    found = place.ask(asked, message(method, params))
    if isinstance(outcome, str):
        assert isinstance(found, Call)
        assert found.request.revision.name == outcome
    elif isinstance(outcome, int):
        assert (found.status, b"Mcp-Session-Id" in found.extra) == (outcome, True)
    else:
        assert error_code(found) == outcome


@pytest.mark.requirement("T-13", "T-14", "T-16", "D-error-codes")
@pytest.mark.parametrize("version", [None, "2025-11-25", MODERN])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b'{"foo":1}', -32600),
        (message("ping", id=1.5), -32600),
        (b'"x"', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    ],
)
def test_what_is_no_message_is_refused_without_an_id(version: str | None, body: bytes, code: int) -> None:
    place = Place()
    pair = place.ask(head("GET", "/sse")).session.id.decode()
    for target in ("/mcp", f"/message?sessionId={pair}"):
        reply = place.ask(head("POST", target, mcp_protocol_version=version), body)
        assert error_code(reply) == (400, code)
        assert "id" not in told(reply)


def test_arrays_are_not_for_the_pair() -> None:
    place = Place()
    id = place.ask(head("GET", "/sse")).session.id.decode()
    assert error_code(place.ask(head("POST", f"/message?sessionId={id}"), b"[]")) == (400, -32600)


def test_a_compressed_body_is_told_what_is_wrong_with_it() -> None:
    reply = Place().ask(head(content_encoding="gzip"), b"\x1f\x8b\x08")
    assert (reply.status, told(reply)["error"]["data"]["saw"]) == (415, "gzip")


@given(st.binary(max_size=100), st.sampled_from([None, "2025-11-25", MODERN]))
def test_any_body_leads_somewhere(body: bytes, version: str | None) -> None:
    place = Place()
    found = place.ask(head(mcp_protocol_version=version), body)
    assert isinstance(found, Reply | Call | Batch | Listen)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
methods = st.sampled_from(
    [
        "initialize",
        "ping",
        "tools/call",
        "tools/list",
        "resources/read",
        "resources/subscribe",
        "prompts/get",
        "logging/setLevel",
        "x",
        "completion/complete",
        "subscriptions/listen",
        "server/discover",
        "notifications/cancelled",
    ]
)
members = st.dictionaries(
    st.sampled_from(
        [
            "name",
            "uri",
            "arguments",
            "cursor",
            "level",
            "protocolVersion",
            "capabilities",
            "requestId",
            "notifications",
            "requestState",
            "inputResponses",
            "_meta",
        ]
    ),
    json_values,
    max_size=4,
)


@given(
    methods,
    json_values | members | members.map(lambda params: enveloped({**params, "_meta": {}})),
    json_values,
    st.sampled_from([None, "2025-11-25", MODERN]),
)
def test_any_message_leads_somewhere(method: str, params: Any, id: Any, version: str | None) -> None:
    place = Place()
    body = json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).encode()
    whose = place.initialize()
    pair = place.ask(head("GET", "/sse")).session.id.decode()
    for asked in (
        head(mcp_protocol_version=version, mcp_method=method),
        head(mcp_protocol_version=version, mcp_session_id=whose),
        head("POST", f"/message?sessionId={pair}"),
    ):
        found = place.ask(asked, body)
        assert isinstance(found, Reply | Call | Batch | Listen)
        if isinstance(found, Reply):
            assert found.status != 500
            assert not found.body or found.body == b"Accepted" or json.loads(found.body)


# --- what clients read


@pytest.mark.requirement("D-accept", "T-09")
@pytest.mark.parametrize(
    ("accept", "sse", "only"),
    [
        (None, False, False),
        ("", False, False),
        ("*/*", False, False),
        ("text/*", False, False),
        ("application/json", False, False),
        ("application/json, text/event-stream", True, False),
        ("text/event-stream", True, True),
        ("text/event-stream, text/event-stream", True, True),
        ("text/event-stream;q=0.9, application/json;q=0.1", True, True),
        ("text/event-stream;q=0, application/json", False, False),
        ("text/event-stream; q=0.000", False, False),
        ("TEXT/EVENT-STREAM", True, True),
    ],
)
def test_what_an_accept_header_means(accept: str | None, sse: bool, only: bool) -> None:
    found = accepts(None if accept is None else accept.encode())
    assert (found.sse, found.sse_first) == (sse, only)


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        (None, True),
        ("*/*", True),
        ("text/event-stream", True),
        ("TEXT/event-stream", True),
        ("text/*", True),
        ("application/json", False),
        ("text/html", False),
    ],
)
def test_who_can_be_answered_with_events(accept: str | None, wants: bool) -> None:
    assert wants_events(head("GET", accept=accept)) is wants


def test_accept_headers_that_are_kept_are_bounded() -> None:
    place = Place()
    for number in range(600):
        place.ask(modern_head("tools/list", accept=f"x/{number}"), message("tools/list", enveloped()))
    assert len(place.endpoint._accepts) <= 256
