"""`/mcp` for clients that shake hands: sessions, the same without one, batches, streams that can be resumed."""

import json
from typing import Any

import pytest

from fakes import Place, buffer, error_code, events, head, message, told
from fastsse import _framing
from fastsse.decision import Batch, Call, Listen, Reply
from fastsse.errors import CloseReason
from fastsse.session import Session
from fastsse.stream import EventStream
from fastsse.writebuffer import REPLY, WriteBuffer

CALL = message("tools/call", {"name": "x"})


def opened(place: Place, version: str = "2025-11-25") -> tuple[str, Session]:
    id = place.initialize(version)
    session = place.table.find(id.encode(), None)
    assert session is not None
    return id, session


def listen(place: Place, id: str, last: str | None = None) -> tuple[Listen, WriteBuffer]:
    found = place.ask(head("GET", mcp_session_id=id, last_event_id=last, accept="text/event-stream"))
    assert isinstance(found, Listen), vars(found)
    reader = buffer()
    found.stream.attach(reader, found.after)
    return found, reader


class Running:
    def cancel(self, reason: str) -> None: ...


# --- sessions


@pytest.mark.requirement("H-06", "H-07", "L-13")
def test_initialize_opens_a_session_each_time() -> None:
    place = Place()
    first, second = place.initialize(), place.initialize()
    assert first != second
    assert place.table.count == 2
    assert all(0x21 <= ord(letter) <= 0x7E for letter in first + second)
    for id in (first, "dead"):  # whatever session it names
        place.ask(head(mcp_session_id=id), message("initialize", {"protocolVersion": "2025-06-18"}))
    assert place.table.count == 4


@pytest.mark.requirement("L-04")
@pytest.mark.parametrize("header", [None, "2025-11-25", "2026-07-28", "nonsense"])
def test_on_initialize_the_version_header_says_nothing(header: str | None) -> None:
    reply = Place().ask(head(mcp_protocol_version=header), message("initialize", {"protocolVersion": "2025-06-18"}))
    assert (reply.status, told(reply)["result"]["protocolVersion"]) == (200, "2025-06-18")


def test_an_initialize_that_fails_opens_nothing() -> None:
    place = Place()
    reply = place.ask(head(), message("initialize", {}))
    assert (reply.status, told(reply)["error"]["code"], place.table.count) == (200, -32602, 0)
    assert place.ask(head(), message("initialize", {"protocolVersion": "2025-06-18"}, id=None)).status == 202
    assert place.table.count == 0


@pytest.mark.requirement("D-probe")
def test_a_probe_opens_nothing() -> None:
    place = Place()
    reply = place.ask(head(), message("server/discover", {}))
    assert (reply.status, told(reply)["error"]["code"], place.table.count) == (200, -32601, 0)


@pytest.mark.requirement("D-full-table")
def test_a_full_table_is_told_with_the_setting() -> None:
    place = Place(capacity=1)
    place.initialize()
    reply = place.ask(head(), message("initialize", {"protocolVersion": "2025-06-18"}))
    assert (reply.status, told(reply)["error"]["data"]["setting"]) == (503, "max_sessions")


@pytest.mark.requirement("H-09", "H-10", "H-11")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_session_that_is_no_more_is_not_found(method: str) -> None:
    place = Place()
    id, session = opened(place)
    pair = place.ask(head("GET", "/sse")).session.id.decode()
    place.table.end(session, CloseReason.SESSION_ENDED)
    for dead in (id, pair, "bogus", ""):
        assert error_code(place.ask(head(method, mcp_session_id=dead), message("ping"))) == (404, -32001), dead


@pytest.mark.requirement("H-10", "D-delete")
def test_delete_ends_a_session_and_all_in_it() -> None:
    place = Place()
    id, _ = opened(place)
    _, reader = listen(place, id)
    reply = place.ask(head("DELETE", mcp_session_id=id))
    assert (reply.status, reply.body, place.table.count) == (200, b"", 0)
    assert reader.ending is CloseReason.SESSION_ENDED
    assert place.ask(head("DELETE")).status == 400


# --- versions


@pytest.mark.requirement("H-13", "H-14", "H-15")
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 200),
        ("2025-06-18", 200),
        ("2025-11-25", 200),
        ("2024-11-05", 200),
        ("2026-07-28", 200),
        ("nonsense", 400),
        ("", 400),
    ],
)
def test_in_a_session_the_negotiated_version_counts(header: str | None, status: int) -> None:
    place = Place()
    id, _ = opened(place, "2025-06-18")
    reply = place.ask(head(mcp_session_id=id, mcp_protocol_version=header), CALL)
    if status == 200:
        assert isinstance(reply, Call)
        assert reply.request.revision.name == "2025-06-18"
    else:
        assert (reply.status, place.table.count) == (status, 1)
        assert "Unsupported protocol version" in told(reply)["error"]["message"]


@pytest.mark.requirement("D-sessionless")
@pytest.mark.parametrize(
    ("header", "served"),
    [(None, "2025-03-26"), *((v, v) for v in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"))],
)
def test_without_a_session_the_header_counts(header: str | None, served: str) -> None:
    place = Place()
    call = place.ask(head(mcp_protocol_version=header), CALL)
    assert isinstance(call, Call)
    assert (call.request.revision.name, call.request.session) == (served, None)
    assert place.table.count == 0
    assert place.ask(head(mcp_protocol_version="1999-01-01"), CALL).status == 400


# --- messages


@pytest.mark.requirement("H-02", "L-06", "L-09")
@pytest.mark.parametrize(
    "body",
    [
        message("notifications/initialized", id=None),
        message("notifications/foo", {"x": 1}, None),
        message(id=99, result={}),
        message(id=99, error={"code": -1, "message": "no"}),
        message("tools/call", {"name": "x"}, None),  # a request method without an id is never run
    ],
)
@pytest.mark.parametrize("with_session", [True, False])
def test_what_needs_no_answer_is_accepted(body: bytes, with_session: bool) -> None:
    place = Place()
    id, session = opened(place)
    reply = place.ask(head(mcp_session_id=id if with_session else None), body)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.body, reply.type) == (202, b"", b"")
    assert session.touched == (place.now if with_session else session.created)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (message("foo/bar"), 200, -32601),
        (message("tools/call", {}), 200, -32602),
        (message("tools/call", []), 200, -32602),
        (message("tools/list", {"cursor": "bad"}), 200, -32602),
        (message(id=1), 400, -32600),
        (message("ping", id=1.5), 400, -32600),
        (message("ping", id=True), 400, -32600),
    ],
)
def test_errors_of_a_message(body: bytes, status: int, code: int) -> None:
    place = Place()
    id, _ = opened(place)
    reply = place.ask(head(mcp_session_id=id), body)
    assert (reply.status, told(reply)["error"]["code"]) == (status, code)


@pytest.mark.requirement("D-accept")
@pytest.mark.parametrize(
    ("accept", "type", "sse", "only"),
    [
        (None, b"application/json", False, False),
        ("*/*", b"application/json", False, False),
        ("application/*, text/*", b"application/json", False, False),
        ("application/json", b"application/json", False, False),
        ("application/json, text/event-stream", b"application/json", True, False),
        ("text/event-stream, */*", b"text/event-stream", True, True),
        ("text/event-stream", b"text/event-stream", True, True),
        ("TEXT/Event-Stream;q=0.5", b"text/event-stream", True, True),
        ("application/json, text/event-stream;q=0", b"application/json", False, False),
    ],
)
def test_events_only_for_those_who_read_them(accept: str | None, type: bytes, sse: bool, only: bool) -> None:
    place = Place()
    reply = place.ask(head(accept=accept), message("ping"))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}, separators=(",", ":")).encode()
    assert (reply.type, reply.body) == (type, _framing.event(body, b"message") if only else body)
    call = place.ask(head(accept=accept), CALL)
    assert (call.sse, call.sse_first) == (sse, only)
    assert place.ask(head(accept=accept), message("ping", id=None, jsonrpc="1")).type == b"application/json"


@pytest.mark.requirement("H-26", "H-27")
def test_an_id_in_flight_is_not_taken_twice() -> None:
    place = Place(max_calls=3)
    id, session = opened(place)
    session.calls = {b"1": Running()}
    assert error_code(place.ask(head(mcp_session_id=id), CALL)) == (400, -32600)
    assert isinstance(place.ask(head(mcp_session_id=id), message("tools/call", {"name": "x"}, "1")), Call)
    session.calls |= {b"2": Running(), b"3": Running()}
    assert error_code(place.ask(head(mcp_session_id=id), message("tools/call", {"name": "x"}, 4))) == (503, -32000)


@pytest.mark.requirement("D-unread-replies")
def test_who_does_not_read_gets_no_further_work_done() -> None:
    place = Place(ring_bytes=100)
    id, session = opened(place)
    session.open_stream().send(_framing.event(b"x" * 200), REPLY)
    assert error_code(place.ask(head(mcp_session_id=id), CALL)) == (503, -32000)
    assert place.ask(head(mcp_session_id=id), message("notifications/foo", id=None)).status == 202


# --- batches


def batch(*messages: bytes) -> bytes:
    return b"[" + b",".join(messages) + b"]"


@pytest.mark.requirement("H-16", "H-17")
def test_a_batch_is_answered_together() -> None:
    place = Place()
    id, session = opened(place, "2025-03-26")
    answers: list[Any] = []
    asked = session.ask(lambda result, error: answers.append(result))
    found = place.ask(
        head(mcp_session_id=id),
        b" \n"
        + batch(
            message("ping", id="a"),
            message("notifications/initialized", id=None),
            message("tools/call", {"name": "x"}, 2),
            message(id=asked, result={}),
            message("foo/bar", id=3),
            b'{"foo":1}',
        ),
    )
    assert isinstance(found, Batch)
    assert [(call.request.id, call.sse) for call in found.calls] == [(b"2", False)]
    assert [json.loads(reply).get("id") for reply in found.replies] == ["a", 3, None]
    assert answers == [b"{}"]
    accepted = place.ask(head(mcp_session_id=id), batch(message("notifications/x", id=None), message(id=9, result={})))
    assert (accepted.status, accepted.body) == (202, b"")


@pytest.mark.requirement("H-18")
def test_initialize_is_no_part_of_a_batch() -> None:
    place = Place()
    id, _ = opened(place, "2025-03-26")
    found = place.ask(head(mcp_session_id=id), batch(message("initialize", {"protocolVersion": "2025-03-26"}, 7)))
    assert isinstance(found, Batch)
    (reply,) = map(json.loads, found.replies)
    assert (reply["id"], reply["error"]["code"], place.table.count) == (7, -32600, 1)


@pytest.mark.requirement("H-19", "H-20", "M-31")
@pytest.mark.parametrize(
    ("version", "header", "body"),
    [
        ("2025-06-18", None, batch(CALL)),
        ("2025-11-25", None, batch(CALL)),
        ("2024-11-05", None, batch(CALL)),
        (None, "2025-11-25", batch(CALL)),
        (None, "2026-07-28", batch(CALL)),
        ("2025-03-26", None, b"[]"),
        ("2025-03-26", None, b"[ ]"),
    ],
)
def test_arrays_elsewhere_and_empty_ones_are_refused(version: str | None, header: str | None, body: bytes) -> None:
    place = Place()
    id = None if version is None else place.initialize(version)
    assert error_code(place.ask(head(mcp_session_id=id, mcp_protocol_version=header), body)) == (400, -32600)


def test_a_batch_is_bounded_and_takes_no_id_twice() -> None:
    place = Place(max_calls=3)
    found = place.ask(head(), batch(CALL, CALL, message("tools/call", {"name": "x"}, 2)))
    assert isinstance(found, Batch)
    assert [call.request.id for call in found.calls] == [b"1", b"2"]
    assert [json.loads(reply)["error"]["code"] for reply in found.replies] == [-32600]
    many = [message("tools/call", {"name": "x"}, number) for number in range(4)]
    refused = place.ask(head(), batch(*many))
    assert (refused.status, json.loads(refused.body)["error"]["data"]["setting"]) == (400, "max_calls")
    assert place.ask(head(), batch(*[message("ping", {}, number) for number in range(4)])).status == 400


def test_what_a_session_keeps_of_its_handshake_is_bounded() -> None:
    place = Place()
    params = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "t", "version": "1"}}
    for size, refused in ((8000, False), (9000, True)):
        capabilities = {"experimental": {"x": {"y": "z" * size}}}
        found = json.loads(place.ask(head(), message("initialize", {**params, "capabilities": capabilities})).body)
        assert ("error" in found) == refused
    assert "at most 8192" in found["error"]["message"]
    assert place.table.count == 1


def test_a_batch_that_is_no_json_is_a_parse_error() -> None:
    reply = Place().ask(head(), b"[{},")
    assert (reply.status, told(reply)["error"]["code"]) == (400, -32700)


# --- streams


@pytest.mark.requirement("H-03", "D-standing-stream")
def test_a_newer_get_takes_the_place_of_the_older() -> None:
    place = Place()
    id, session = opened(place)
    first, old = listen(place, id)
    assert first.opening[0].startswith(b":")  # something leaves at once, so that no proxy withholds the answer
    second, new = listen(place, id)
    assert first.stream is second.stream is session.stream
    assert (old.ending, new.ending) == (CloseReason.REPLACED, None)


@pytest.mark.requirement("H-03")
def test_a_get_without_a_session_is_no_sessions_stream() -> None:
    assert Place().ask(head("GET", mcp_protocol_version="2025-11-25", accept="text/event-stream")).status == 405


def test_a_get_keeps_a_session_alive() -> None:
    place = Place()
    id, session = opened(place)
    place.now = 150.0
    listen(place, id)
    assert (session.touched, session.expires()) == (150.0, float("inf"))


def broken(place: Place, session: Session) -> EventStream:
    """A POST stream that was cut after its first event, and went on."""
    stream, reader = session.open_stream(), buffer()
    stream.attach(reader)
    stream.send(_framing.event(b'"progress"', b"message"))
    reader.take()
    stream.detach(reader, place.now)
    stream.send(_framing.event(b'"result"', b"message"), REPLY)
    stream.end()
    return stream


@pytest.mark.requirement("P-02", "P-03", "P-07")
def test_the_rest_of_a_broken_stream_is_fetched_by_get() -> None:
    place = Place()
    id, session = opened(place)
    broken(place, session)
    other = broken(place, session)
    other.send(_framing.event(b'"of another stream"', b"message"))
    found, reader = listen(place, id, "1-1")
    assert found.stream is not other
    assert [event["data"] for event in events(reader.take())] == ['"result"']
    assert reader.ending is CloseReason.ANSWERED


@pytest.mark.requirement("P-08", "P-09", "D-no-silent-gap")
@pytest.mark.parametrize(
    "last",
    ["garbage", "1-99", "1-9223372036854775808", "7-1", "1-x", "", "-1", "00000000-0000-8000-8000-000000000000:1"],
)
def test_what_cannot_be_resumed_is_told_and_nothing_leaks(last: str) -> None:
    place = Place()
    _, other = opened(place)
    for _ in range(8):
        broken(place, other)
    id, session = opened(place)
    broken(place, session)
    reply = place.ask(head("GET", mcp_session_id=id, last_event_id=last))
    assert (reply.status, told(reply)["error"]["data"]["reason"]) == (400, "event_gone")


@pytest.mark.requirement("D-no-silent-gap")
def test_an_event_that_has_left_the_ring_is_told() -> None:
    place = Place(ring_events=2)
    id, session = opened(place)
    stream, reader = session.standing(), buffer()
    stream.attach(reader)
    for _ in range(5):
        stream.send(_framing.event(b"1"))
    assert place.ask(head("GET", mcp_session_id=id, last_event_id="0-2")).status == 400
    assert isinstance(place.ask(head("GET", mcp_session_id=id, last_event_id="0-3")), Listen)
