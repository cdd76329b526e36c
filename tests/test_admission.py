"""Who may open and who may ask: rate limits by client and session, and nothing new while there is too much to do."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import ABROAD, HERE, MODERN, Peer, Place, by, enveloped, head, message, modern_head, told
from fastsse.admission import Admission, Busy, client_of, network
from fastsse.config import Config
from fastsse.decision import Call, Listen, Reply
from fastsse.principal import Principal

HELLO = message(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
)
TOOL = message("tools/call", {"name": "echo", "arguments": {}})
LISTEN = message("subscriptions/listen", enveloped({"notifications": {"toolsListChanged": True}}))
BOTH = "application/json, text/event-stream"
BUSY = Busy("overloaded", "Too much to do", "less", "shed_lag")


def refused(reply: Any) -> tuple[int, str, str]:
    """(status, setting, Retry-After) of a refusal that a peer on this machine gets."""
    assert isinstance(reply, Reply), reply
    after = reply.extra.decode().removeprefix("Retry-After: ").strip()
    return reply.status, told(reply)["error"]["data"].get("setting", ""), after


@pytest.mark.requirement("D-rates")
@pytest.mark.parametrize(
    ("ask", "body"),
    [
        (head(), HELLO),
        (head("GET", "/sse"), b""),
        (head("GET", "/mcp"), b""),
        (modern_head("subscriptions/listen", accept=BOTH), LISTEN),
    ],
    ids=["initialize", "sse", "plain", "listen"],
)
def test_opening_is_limited_for_each_address(ask: Any, body: bytes) -> None:
    place = Place(open_rate=0.2, allowed_hosts=["*"], capacity=8)
    for _ in range(2):
        decision = place.ask(ask, body, ABROAD)
        assert isinstance(decision, Listen) or decision.status == 200
    reply = place.ask(ask, body, ABROAD)
    assert (reply.status, reply.reason) == (429, "rate_limited")
    assert reply.extra == b"Retry-After: 5\r\n"
    assert place.ask(ask, body, HERE).__class__ in (Listen, Reply)
    other = place.ask(ask, body, Peer("203.0.113.6"))
    assert isinstance(other, Listen) or other.status == 200
    place.now += 5.0
    again = place.ask(ask, body, ABROAD)
    assert isinstance(again, Listen) or again.status == 200


def test_nobody_is_told_to_come_back_too_early() -> None:
    place = Place(open_rate=0.3, capacity=100)
    for _ in range(50):
        reply = place.ask(head(), HELLO, ABROAD)
        if reply.status == 429:
            place.now += int(reply.extra.decode().removeprefix("Retry-After: "))
            assert place.ask(head(), HELLO, ABROAD).status == 200


def test_initialize_with_a_session_id_opens_one_too() -> None:
    place = Place(open_rate=0.1, capacity=8)
    assert place.ask(head(), HELLO, ABROAD).status == 200
    assert place.ask(head(mcp_session_id="x"), HELLO, ABROAD).status == 429


@pytest.mark.requirement("D-rates")
def test_requests_are_limited_for_each_session() -> None:
    place = Place(session_rate=0.2)
    first, second = place.initialize(), place.initialize()
    ask = head(mcp_session_id=first)
    assert isinstance(place.ask(ask, TOOL), Call)
    assert place.ask(ask, message("ping")).status == 200
    assert refused(place.ask(ask, TOOL)) == (429, "session_rate", "5")
    assert isinstance(place.ask(head(mcp_session_id=second), TOOL), Call)
    assert place.ask(ask, message("notifications/initialized", id=None)).status == 202
    assert place.ask(ask, message(id=7, result={})).status == 202
    place.now += 5.0
    assert isinstance(place.ask(ask, TOOL), Call)


def test_requests_of_the_pair_are_limited_too() -> None:
    place = Place(session_rate=0.1)
    listen = place.ask(head("GET", "/sse"))
    target = f"/message?sessionId={listen.session.id.decode()}"
    assert isinstance(place.ask(head("POST", target), TOOL), Call)
    assert refused(place.ask(head("POST", target), TOOL)) == (429, "session_rate", "10")


def test_a_batch_counts_its_calls() -> None:
    place = Place(session_rate=0.5)
    ask = head(mcp_session_id=place.initialize("2025-03-26"))
    calls = [message("tools/call", {"name": "echo", "arguments": {}}, id) for id in range(4)]
    assert len(place.ask(ask, b"[" + b",".join(calls) + b"]").calls) == 4
    reply = place.ask(ask, b"[" + b",".join(calls) + b"]")
    assert refused(reply) == (429, "session_rate", "6")
    assert isinstance(place.ask(ask, TOOL), Call)


@pytest.mark.requirement("D-rates")
def test_requests_are_limited_for_each_principal_or_address() -> None:
    place = Place(client_rate=0.1)
    assert isinstance(place.ask(head(), TOOL, ABROAD), Call)
    assert place.ask(head(), TOOL, ABROAD).status == 429
    ask = modern_head("tools/call", "echo"), message("tools/call", enveloped({"name": "echo", "arguments": {}}))
    assert ask[0].protocol_version == MODERN.encode()
    assert place.ask(*ask, ABROAD).status == 429
    assert isinstance(place.ask(*ask, Peer("203.0.113.6")), Call)
    ada, bob = Principal("ada"), Principal("bob")
    assert isinstance(place.ask(by(ada, head()), TOOL), Call)
    assert refused(place.ask(by(ada, ask[0]), ask[1])) == (429, "client_rate", "10")
    assert isinstance(place.ask(by(bob, head()), TOOL), Call)


def test_by_default_requests_ask_nobody() -> None:
    assert Place().endpoint.gate is None


@pytest.mark.requirement("D-shedding")
def test_while_busy_nothing_new_is_taken_and_what_runs_goes_on() -> None:
    place = Place()
    id = place.initialize()
    place.endpoint.set_busy(BUSY)
    events = {"accept": "text/event-stream"}
    session = head(mcp_session_id=id)
    modern = modern_head("tools/call", "echo"), message("tools/call", enveloped({"name": "echo", "arguments": {}}))
    asked = [(session, TOOL), (head(), HELLO), modern, (head("GET", "/sse", **events), b"")]
    asked += [(head("GET", "/mcp", **events), b""), (head("GET", "/mcp", mcp_session_id=id, **events), b"")]
    for one, body in asked:
        reply = place.ask(one, body)
        assert refused(reply) == (503, "shed_lag", "1")
        assert reply.reason == "overloaded"
    assert place.ask(session, message("notifications/initialized", id=None)).status == 202
    assert place.ask(session, message(id=7, result={})).status == 202
    assert place.ask(head("GET", "/health")).status == 200
    assert place.ask(head("DELETE", "/mcp", mcp_session_id=id)).status == 200
    place.endpoint.set_busy(None)
    assert place.endpoint.gate is None
    assert place.ask(head(), HELLO).status == 200


def test_a_client_is_its_principal_or_its_address() -> None:
    assert client_of(ABROAD, None) == "203.0.113.5"
    assert client_of(ABROAD, Principal("ada")) == client_of(HERE, Principal("ada")) == "principal 0:ada"
    assert client_of(HERE, None) is None
    assert client_of(Peer(""), None) is None


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_an_ipv6_network_is_one_address(address: str, found: str) -> None:
    assert network(address) == found
    assert client_of(Peer(address), None) == found


def test_limits_that_are_off() -> None:
    admission = Admission(Config(open_rate=0.0))
    for _ in range(5000):
        admission.open(ABROAD, None, 1.0)
        admission.request(ABROAD, b"id", None, 1, 1.0)
