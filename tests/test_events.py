"""Guide C's event stream: welcome first, heartbeats, broadcasts, and a filter; nothing of the protocol."""

import json

import pytest

from fakes import FakeCatalog, Place, buffer, error_code, events, head, message
from fastsse.decision import Listen, Reply
from fastsse.events import Broadcast, listen, typed
from fastsse.stream import Event

TIME = "2026-11-21T04:00:00.000Z"


def opened(query: str = "") -> Listen:
    return listen(head("GET", "/mcp" + query), FakeCatalog(), TIME)


@pytest.mark.requirement("D-guide-c-stream")
def test_the_first_event_is_a_welcome() -> None:
    (welcome,) = events(opened().opening)
    assert welcome["event"] == "welcome"
    assert json.loads(welcome["data"]) == {
        "type": "welcome", "message": "Connected to fake", "server": "fake", "version": "1.2.3", "timestamp": TIME,
    }  # fmt: skip
    assert welcome["data"].startswith('{"type":"welcome"')


@pytest.mark.requirement("D-guide-c-stream")
def test_heartbeats_carry_their_type() -> None:
    found = opened()
    assert found.heartbeat is not None
    (beat,) = events([found.heartbeat(TIME)])
    assert (beat["event"], json.loads(beat["data"])) == ("heartbeat", {"type": "heartbeat", "timestamp": TIME})


@pytest.mark.requirement("D-guide-c-stream")
def test_what_is_broadcast_arrives_and_what_is_protocol_does_not() -> None:
    found, reader = opened(), buffer()
    found.stream.attach(reader)
    assert found.audience is not None
    found.audience.offer(Broadcast("price", {"usd": 5}))
    found.audience.offer(Event("notifications/tools/list_changed", b"{}"))
    (event,) = events(reader.take())
    assert event == {"event": "price", "data": '{"type":"price","usd":5}'}


@pytest.mark.requirement("D-guide-c-stream")
@pytest.mark.parametrize(
    "query",
    ["?events=heartbeat,notification", "?events=heartbeat%2Cnotification", "?a=1&events=heartbeat%2cnotification"],
)
def test_a_filter_lets_only_what_it_names_through(query: str) -> None:
    found, reader = opened(query), buffer()
    found.stream.attach(reader)
    assert found.audience is not None
    assert found.opening[0].startswith(b":")  # bytes leave at once all the same
    for type in ("price", "notification", "welcome"):
        found.audience.offer(Broadcast(type, {}))
    assert [event["event"] for event in events(reader.take())] == ["notification"]
    assert found.heartbeat is not None
    assert found.heartbeat(TIME).startswith(b"event: heartbeat")


def test_heartbeats_that_are_not_wanted_are_comments() -> None:
    found = opened("?events=notification")
    assert found.heartbeat is not None
    assert found.heartbeat(TIME).startswith(b":")


@pytest.mark.parametrize("value", ["", "a b", "heartbeat,", "<script>", "x" * 3 + "%0a", "a\x85b"])
def test_a_filter_that_names_nothing_is_refused(value: str) -> None:
    assert error_code(Place().ask(head("GET", f"/mcp?events={value}"))) == (400, -32600)


def test_a_session_never_hears_a_broadcast() -> None:
    place = Place()
    session = place.table.find(place.initialize().encode(), None)
    assert session is not None
    session.ready, reader = True, buffer()
    session.standing().attach(reader)
    session.offer(Broadcast("price", {}))
    assert reader.take() == []


@pytest.mark.requirement("D-mcp-get")
@pytest.mark.parametrize(
    ("version", "session", "status"),
    [
        (None, None, None),
        ("2025-11-25", None, 405),
        ("2026-07-28", None, 405),
        ("nonsense", None, 405),
        ("2026-07-28", "junk", 405),
        ("2025-11-25", "junk", 404),
        (None, "junk", 404),
    ],
)
def test_who_is_no_sdk_gets_this_stream(version: str | None, session: str | None, status: int | None) -> None:
    found = Place().ask(head("GET", mcp_protocol_version=version, mcp_session_id=session, accept="text/event-stream"))
    if status is None:
        assert isinstance(found, Listen)
        assert found.era == "events"
    else:
        assert isinstance(found, Reply)
        assert found.status == status


@pytest.mark.requirement("D-mcp-get")
def test_a_header_that_was_never_downgraded_does_no_harm_in_a_session() -> None:
    place = Place()
    id = place.initialize()
    found = place.ask(head("GET", mcp_protocol_version="2026-07-28", mcp_session_id=id))
    assert isinstance(found, Listen)
    assert found.era == "streamable"
    assert place.ask(head(mcp_protocol_version="2026-07-28", mcp_session_id=id), message("ping")).status == 200


def test_data_of_any_kind_is_one_line() -> None:
    (event,) = events([typed("x", {"text": "a\nb\r\nc\u2028"})])
    assert json.loads(event["data"]) == {"type": "x", "text": "a\nb\r\nc\u2028"}
