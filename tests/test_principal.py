"""What belongs to a principal is found by nobody else."""

from typing import Any

import pytest

from fakes import MODERN, Place, by, enveloped, head, message, modern_head
from fastsse.decision import Call, Listen, Reply
from fastsse.principal import NEVER, Principal
from fastsse.session import Session

ANN, BOB = Principal("ann", issuer="https://issuer.example"), Principal("bob", issuer="https://issuer.example")
EVENTS = {"accept": "text/event-stream"}
HELLO = message(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
)
CALL = message("tools/call", {"name": "x"})


def test_a_principal_is_its_name_to_its_issuer() -> None:
    again = Principal("ann", ["more"], 5.0, {"sub": "ann"}, "https://issuer.example")
    assert again.key == ANN.key
    others = [BOB, Principal("ann"), Principal("ann", issuer="https://issuer.example/2"), Principal("0:ann", issuer="")]
    assert len({ANN.key, *(other.key for other in others)}) == 5
    assert (ANN.expires, sorted(again.scopes)) == (NEVER, ["more"])
    assert repr(ANN) == "<Principal 'ann' of https://issuer.example>"
    assert "secret" not in repr(Principal("ann", claims={"x": "secret"}))


def anns_sessions(place: Place) -> tuple[Session, Session]:
    """Ann's session on /mcp, and the one on /sse; each has an event in its ring."""
    opened = place.ask(by(ANN, head()), HELLO)
    assert isinstance(opened, Reply)
    place.ask(by(ANN, head("GET", "/sse", **EVENTS)))
    ids = [opened.extra.decode().removeprefix("Mcp-Session-Id: ").strip().encode()]
    ids += [id for id in place.table.ids() if id not in ids]
    one, pair = (place.table.find(id, ANN) for id in ids)
    assert one is not None
    assert pair is not None
    for session in (one, pair):
        session.ready = True
        session.standing().send(b"data: secret\n\n")
    return one, pair


@pytest.mark.requirement("H-12", "P-09")
def test_a_session_does_not_exist_for_others() -> None:
    place = Place()
    one, pair = anns_sessions(place)
    dead = b"00000000-0000-8000-8000-000000000000"

    def tries(mcp: bytes, sse: bytes) -> list[Any]:
        """Everything that somebody else can do with the ids, as what can be seen from outside."""
        id, query = mcp.decode(), f"/message?sessionId={sse.decode()}"
        asked = [
            (head(mcp_session_id=id), CALL),
            (head(mcp_session_id=id), message("notifications/cancelled", {"requestId": 1}, id=None)),
            (head(mcp_session_id=id), message(id=1, result={})),
            (head(mcp_session_id=id, mcp_protocol_version="2025-03-26"), b"[" + CALL + b"]"),
            (head(mcp_session_id=id, mcp_protocol_version=MODERN), CALL),
            (head("GET", "/mcp", mcp_session_id=id, **EVENTS), b""),
            (head("GET", "/mcp", mcp_session_id=id, mcp_protocol_version=MODERN, **EVENTS), b""),
            (head("GET", "/mcp", mcp_session_id=id, last_event_id="0-0", **EVENTS), b""),
            (head("DELETE", "/mcp", mcp_session_id=id), b""),
            (head("POST", query), CALL),
            (head("POST", query.replace("-", "")), CALL),
            (head("POST", query), message("notifications/initialized", id=None)),
            (head(mcp_session_id=sse.decode()), CALL),
            (head("POST", f"/message?sessionId={id}"), CALL),
        ]
        replies = [place.ask(by(BOB, who), body) for who, body in asked]
        assert all(isinstance(reply, Reply) for reply in replies)
        return [(reply.status, reply.body, reply.extra, reply.reason) for reply in replies]

    foreign = tries(one.id, pair.id)
    assert foreign == tries(dead, dead)
    assert {status for status, *_ in foreign} == {400, 404, 405}
    assert {reason for *_, reason in foreign} == {"unknown_session", "no_session", None}
    assert place.table.count == 2
    assert (one.principal, pair.principal) == (ANN, ANN)


@pytest.mark.requirement("H-12")
def test_where_an_unknown_session_does_not_matter_a_foreign_one_does_not() -> None:
    place = Place()
    one, pair = anns_sessions(place)
    opened = place.ask(by(BOB, head(mcp_session_id=one.id.decode())), HELLO)
    assert opened.status == 200
    assert one.id not in opened.extra
    event_id = f"{pair.id.decode()}:0"
    fresh = place.ask(by(BOB, head("GET", "/sse", last_event_id=event_id, **EVENTS)))
    assert isinstance(fresh, Listen)
    assert fresh.session is not None
    assert fresh.session is not pair
    assert fresh.session.principal is BOB
    assert fresh.after is None
    ask = modern_head("tools/call", "x", mcp_session_id=one.id.decode())
    found = place.ask(by(BOB, ask), message("tools/call", enveloped({"name": "x"})))
    assert isinstance(found, Call)
    assert (found.request.principal, found.request.session) == (BOB, None)


@pytest.mark.requirement("H-12")
def test_a_session_is_its_principals_whatever_proves_it() -> None:
    place = Place()
    one, pair = anns_sessions(place)
    renewed = Principal("ann", ["more"], issuer=ANN.issuer)
    call = place.ask(by(renewed, head(mcp_session_id=one.id.decode())), CALL)
    assert isinstance(call, Call)
    assert call.request.principal is renewed
    resumed = place.ask(by(renewed, head("GET", "/sse", last_event_id=f"{pair.id.decode()}:0", **EVENTS)))
    assert resumed.session is pair
    assert place.ask(by(renewed, head("DELETE", "/mcp", mcp_session_id=one.id.decode()))).status == 200


def test_what_lasts_longer_counts() -> None:
    place = Place()
    later, earlier = Principal("ann", expires=200.0), Principal("ann", expires=100.0)
    place.ask(by(earlier, head()), HELLO)
    (id,) = place.table.ids()
    for asks, kept in ((later, later), (earlier, later)):
        session = place.table.find(id, asks)
        assert session is not None
        assert session.principal is kept
    assert place.table.find(id, None) is None


def test_with_and_without_authentication_nobody_is_somebody() -> None:
    place = Place()
    id = place.initialize().encode()
    assert place.table.find(id, None) is not None
    assert place.table.find(id, ANN) is None
