"""The pair of 2024-11-05: a stream that is a session, a POST that feeds it, and coming back to it."""

import json
from typing import Any

import pytest

from fakes import Place, buffer, error_code, events, head, message, told
from fastsse.decision import Call, Listen, Reply
from fastsse.errors import CloseReason
from fastsse.session import Session
from fastsse.writebuffer import WriteBuffer


class Browser:
    """A client that has opened /sse: reads what arrives, posts where it is told."""

    def __init__(self, place: Place, query: str = "", last: str | None = None) -> None:
        self.place = place
        found = place.ask(head("GET", "/sse" + query, last_event_id=last))
        assert isinstance(found, Listen), vars(found) if isinstance(found, Reply) else found
        self.listen = found
        assert found.session is not None
        self.session: Session = found.session
        self.reader: WriteBuffer = buffer()
        found.stream.attach(self.reader, found.after)
        self.opening = events(found.opening)
        self.uri = self.opening[0]["data"]

    def read(self) -> list[Any]:
        return [json.loads(event["data"]) for event in events(self.reader.take())]

    def post(self, body: bytes, **fields: str) -> Any:
        return self.place.ask(head("POST", self.uri, **fields), body)

    def lose(self) -> None:
        self.listen.stream.detach(self.reader, self.place.now)


@pytest.mark.requirement("S-01", "D-sse-route", "D-endpoint-first")
def test_the_first_event_says_where_to_post() -> None:
    browser = Browser(Place())
    first, second = browser.opening
    id = browser.session.id.decode()
    assert first == {"event": "endpoint", "data": f"/message?sessionId={id}"}
    assert second["event"] == "message"
    assert json.loads(second["data"]) == {
        "jsonrpc": "2.0",
        "method": "notifications/initialized",
        "params": {"sessionId": id},
    }
    assert not {"id", "retry"} & set(first | second)


@pytest.mark.requirement("D-endpoint-json")
def test_the_guides_letter_on_request() -> None:
    browser = Browser(Place(), "?endpoint=json")
    id = browser.session.id.decode()
    assert json.loads(browser.opening[0]["data"]) == {"endpoint": f"/message?sessionId={id}", "sessionId": id}


@pytest.mark.requirement("S-06")
def test_the_endpoint_has_the_public_prefix() -> None:
    browser = Browser(Place(public_url="https://example.com/base"))
    assert browser.uri.startswith("/base/message?sessionId=")
    assert browser.post(message("ping")).status == 202


@pytest.mark.requirement("S-02", "S-03", "D-message-route")
def test_answers_travel_on_the_stream() -> None:
    browser = Browser(Place())
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}
    reply = browser.post(message("initialize", params, "a"))
    assert (reply.status, reply.body) == (202, b"Accepted")
    (event,) = events(browser.reader.take())
    assert event["event"] == "message"
    answer = json.loads(event["data"])
    assert (answer["id"], answer["result"]["protocolVersion"]) == ("a", "2025-06-18")
    assert browser.session.revision.name == "2025-06-18"


def test_a_call_is_accepted_and_answered_later() -> None:
    browser = Browser(Place())
    call = browser.post(message("tools/call", {"name": "x"}))
    assert isinstance(call, Call)
    assert call.stream is browser.listen.stream
    assert call.accepted is not None
    assert (call.accepted.status, call.accepted.body) == (202, b"Accepted")


@pytest.mark.requirement("D-before-initialize")
def test_requests_are_served_before_initialize() -> None:
    browser = Browser(Place())
    assert browser.post(message("tools/list")).status == 202
    assert browser.read() == [{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}]


def test_errors_of_a_message_travel_on_the_stream_too() -> None:
    browser = Browser(Place())
    for body in (message("foo/bar"), message("tools/call", {}), message("tools/call", [])):
        assert browser.post(body).status == 202
    assert [answer["error"]["code"] for answer in browser.read()] == [-32601, -32602, -32602]


@pytest.mark.parametrize("body", [message("notifications/foo", id=None), message(id=5, result={})])
def test_what_needs_no_answer_gets_none(body: bytes) -> None:
    browser = Browser(Place())
    assert browser.post(body).status == 202
    assert browser.read() == []


@pytest.mark.requirement("S-04", "S-05", "D-message-route")
def test_a_session_must_be_named_and_be_alive() -> None:
    place = Place()
    browser = Browser(place)
    id = browser.session.id.decode()
    streamable = place.initialize()
    for query, status in (
        ("", 400),
        ("?sessionId=", 404),
        ("?sessionId=bogus", 404),
        (f"?sessionId={'0' * 36}", 404),
        (f"?sessionId={streamable}", 404),  # lives on /mcp
        (f"?sessionid={id}", 400),
        (f"?sessionId={id}", 202),
        (f"?session_id={id}", 202),
        (f"?session_id={id.replace('-', '')}", 202),
        (f"?a=b&sessionId={id}", 202),
    ):
        for path in ("/message", "/messages", "/messages/"):
            assert place.ask(head("POST", path + query), message("ping")).status == status, query
    place.table.end(browser.session, CloseReason.SESSION_ENDED)
    assert error_code(browser.post(message("ping"))) == (404, -32001)


@pytest.mark.requirement("S-07")
def test_two_clients_never_hear_each_other() -> None:
    place = Place()
    one, two = Browser(place), Browser(place)
    one.post(message("ping", id="one"))
    two.post(message("ping", id="two"))
    assert [answer["id"] for answer in one.read()] == ["one"]
    assert [answer["id"] for answer in two.read()] == ["two"]


def test_an_id_in_flight_is_not_taken_twice_and_calls_are_bounded() -> None:
    browser = Browser(Place(max_calls=2))

    class Running:
        def cancel(self, reason: str) -> None: ...

    browser.session.calls = {b"1": Running(), b"2": Running()}
    browser.post(message("tools/call", {"name": "x"}, 1))
    assert browser.read()[0]["error"]["code"] == -32600
    assert error_code(browser.post(message("tools/call", {"name": "x"}, 3))) == (503, -32000)


@pytest.mark.requirement("D-unread-replies")
def test_who_does_not_read_gets_no_further_work_done() -> None:
    browser = Browser(Place(ring_bytes=0))
    browser.reader.paused = True
    assert browser.post(message("ping")).status == 202
    assert error_code(browser.post(message("ping"))) == (503, -32000)
    assert browser.post(message("notifications/foo", id=None)).status == 202
    browser.reader.paused = False
    assert len(browser.read()) == 1
    assert browser.post(message("ping")).status == 202


# --- coming back


@pytest.mark.requirement("D-sse-resume")
def test_a_browser_that_comes_back_finds_its_session_and_what_it_missed() -> None:
    place = Place()
    browser = Browser(place)
    browser.post(message("ping", id="a"))
    (seen,) = events(browser.reader.take())
    browser.post(message("ping", id="b"))
    browser.lose()
    browser.post(message("ping", id="c"))
    again = Browser(place, last=seen["id"])
    assert again.session is browser.session
    assert [event["event"] for event in again.opening] == ["endpoint"]
    assert again.uri == browser.uri
    again.post(message("ping", id="d"))
    assert [answer["id"] for answer in again.read()] == ["b", "c", "d"]
    assert again.session.expires() == float("inf")


@pytest.mark.requirement("D-sse-resume")
def test_what_cannot_be_resumed_is_a_new_session() -> None:
    place = Place(capacity=40)
    browser = Browser(place)
    id = browser.session.id.decode()
    streamable = place.initialize()
    other = place.table.find(streamable.encode(), None)
    assert other is not None
    other.standing()
    for last in (
        "",
        "x",
        id,
        f"{id}:",
        f"{id}:x",
        f"{id}:99",
        f"{id}:-1",
        f"{'0' * 36}:1",
        f"{streamable}:0",
        f"{id}:{'9' * 19}",
        f"{id}:{'9' * 40}",
    ):
        assert Browser(place, last=last).session is not browser.session, last
    assert Browser(place, last=f"{id}:0").session is browser.session


@pytest.mark.requirement("D-full-table")
def test_a_full_table_is_told_with_the_setting() -> None:
    place = Place(capacity=1)
    Browser(place)
    reply = place.ask(head("GET", "/sse"))
    assert error_code(reply) == (503, -32000)
    assert told(reply)["error"]["data"]["setting"] == "max_sessions"
    assert b"Retry-After" in reply.extra
