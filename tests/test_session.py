"""A session's life by its table of clocks, its streams, and what is in flight both ways."""

import pytest

from fakes import CLOCKS, RING, buffer, events, table
from fastsse import _framing
from fastsse.errors import CloseReason
from fastsse.session import ENDED, ENDED_STREAMS, LEVELS, LIVE, NEW, Clocks, Session, covers
from fastsse.stream import Event, EventStream
from fastsse.writebuffer import CHANGED, REPLY

NEVER = float("inf")


def opened(pair: bool = False, clocks: Clocks = CLOCKS, now: float = 100.0) -> Session:
    session = table(clocks=clocks).open(pair, now)
    assert session is not None
    if pair:
        session.stream = EventStream(session.id + b":", RING, session)
        session.ready = True
    return session


class Running:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cancel(self, reason: str) -> None:
        self.reasons.append(reason)


# --- clocks


@pytest.mark.requirement("D-session-clocks")
def test_a_session_of_which_nothing_was_accepted_is_soon_forgotten() -> None:
    session = opened()
    assert (session.state, session.expires()) == (NEW, 160.0)
    session.accept(110.0)
    assert (session.state, session.expires()) == (LIVE, 110.0 + CLOCKS.idle)


@pytest.mark.requirement("D-session-clocks")
@pytest.mark.parametrize(("pair", "seconds"), [(True, CLOCKS.lost), (False, CLOCKS.stream_lost)])
def test_while_a_stream_is_attached_no_clock_runs(pair: bool, seconds: float) -> None:
    session = opened(pair)
    stream = session.standing()
    reader = buffer()
    stream.attach(reader)
    session.attached()
    assert session.expires() == NEVER
    stream.detach(reader, 200.0)
    assert session.expires() == 200.0 + seconds
    session.accept(210.0)
    assert session.expires() == 210.0 + seconds
    stream.attach(reader)
    session.attached()
    assert session.expires() == NEVER
    assert session.lost_at == 0.0


def test_a_lost_stream_can_end_a_session_at_once() -> None:
    session = opened(pair=True, clocks=Clocks(init=60.0, lost=0.0, stream_lost=0.0, idle=60.0))
    reader = buffer()
    session.standing().attach(reader)
    session.standing().detach(reader, 200.0)
    assert session.sweep(200.0)


def test_while_a_call_runs_no_clock_runs() -> None:
    session = opened()
    session.accept(100.0)
    session.calls = {b"1": Running()}
    assert session.expires() == NEVER
    session.calls.clear()
    assert session.expires() == 100.0 + CLOCKS.idle


def test_losing_a_post_stream_is_not_losing_the_session() -> None:
    session = opened()
    stream, reader = session.open_stream(), buffer()
    stream.attach(reader)
    stream.detach(reader, 200.0)
    assert session.lost_at == 0.0
    assert isinstance(session.table, type(table()))
    assert session not in session.table.detached


# --- the end


def test_the_end_reaches_everything_that_belongs_to_it() -> None:
    session = opened(pair=True)
    own, posted, reader = session.standing(), session.open_stream(), buffer()
    posted.attach(reader)
    call = Running()
    session.calls = {b"1": call}
    answers: list[tuple[bytes | None, bytes | None]] = []
    session.ask(lambda result, error: answers.append((result, error)))
    session.end(CloseReason.SESSION_ENDED)
    assert session.state == ENDED
    assert own.ended
    assert posted.ended
    assert reader.ending is CloseReason.SESSION_ENDED
    assert call.reasons == ["session ended"]
    assert answers == [(None, None)]
    for held in (session.calls, session.asked, session.streams):
        assert not held


def test_an_ended_session_does_not_come_back_by_losing_its_stream() -> None:
    session = opened(pair=True)
    reader = buffer()
    session.standing().attach(reader)
    session.end(CloseReason.SESSION_ENDED)
    session.standing().detach(reader, 200.0)
    assert session.lost_at == 0.0


# --- streams


@pytest.mark.requirement("P-01")
def test_event_ids_are_unique_in_a_session() -> None:
    session = opened()
    streams = [session.standing(), *(session.open_stream() for _ in range(5))]
    readers = [buffer() for _ in streams]
    for stream, reader in zip(streams, readers, strict=True):
        stream.attach(reader)
        for _ in range(3):
            stream.send(_framing.event(b"x"))
    ids = [event["id"] for reader in readers for event in events(reader.take())]
    assert len(ids) == len(set(ids)) == 18


def test_an_event_id_finds_its_stream() -> None:
    session = opened()
    standing, first, second = session.standing(), session.open_stream(), session.open_stream()
    assert session.resume_point(b"0-4") == (standing, 4)
    assert session.resume_point(b"1-0") == (first, 0)
    assert session.resume_point(b"2-17") == (second, 17)


@pytest.mark.requirement("P-08")
@pytest.mark.parametrize(
    "id", [b"", b"-", b"1", b"1-", b"-1", b"x-1", b"1-x", b"1-1-1", b"9-1", b"1 - 1", b"1-" + b"9" * 50, b"\xff-1"]
)
def test_an_event_id_that_says_nothing_here(id: bytes) -> None:
    session = opened()
    session.open_stream()
    assert session.resume_point(id) is None


def test_finished_streams_stay_for_a_while_and_unread_ones_longest() -> None:
    session = opened()
    unread = session.open_stream()
    unread.send(_framing.event(b"unread"), REPLY)
    unread.end()
    for _ in range(ENDED_STREAMS * 3):
        stream, reader = session.open_stream(), buffer()
        stream.attach(reader)
        stream.send(_framing.event(b"read"), REPLY)
        stream.end()
        reader.take()
        stream.detach(reader, 100.0)
    assert session.streams is not None
    assert len(session.streams) <= ENDED_STREAMS + 1
    assert session.resume_point(b"1-0") == (unread, 0)


def test_running_streams_are_never_dropped() -> None:
    session = opened()
    running = [session.open_stream() for _ in range(ENDED_STREAMS * 2)]
    assert session.streams is not None
    assert list(session.streams.values()) == running


def test_a_finished_stream_that_was_read_grows_old() -> None:
    session = opened()
    session.accept(100.0)
    stream, reader = session.open_stream(), buffer()
    stream.attach(reader)
    stream.send(_framing.event(b"read"), REPLY)
    stream.end()
    reader.take()
    stream.detach(reader, 100.0)
    for now in (200.0, 200.0 + RING.age, 200.0 + 2 * RING.age):
        assert session.streams
        assert not session.sweep(now)
    assert session.streams == {}


@pytest.mark.requirement("D-unread-replies")
def test_a_reply_on_a_finished_stream_that_nobody_comes_back_for_grows_old_too() -> None:
    session = opened()
    stream = session.open_stream()
    stream.send(_framing.event(b"r" * 2 * RING.bytes), REPLY)
    stream.end()
    assert session.full
    for now in range(200, 400):
        session.accept(float(now))
        assert not session.sweep(float(now))
        if not session.streams:
            break
    assert RING.age < now - 200 <= 2 * RING.age + 2
    assert not session.full


def test_a_session_is_full_when_one_of_its_streams_is() -> None:
    session = opened()
    assert not session.full
    session.open_stream().send(_framing.event(b"x" * (RING.bytes + 1)), REPLY)
    assert session.full


# --- events for everybody


CHANGE = Event("notifications/tools/list_changed", b'{"jsonrpc":"2.0"}', None, CHANGED)


def updated(uri: str) -> Event:
    return Event("notifications/resources/updated", b'{"uri":"%b"}' % uri.encode(), uri, CHANGED)


def test_an_event_is_kept_for_a_client_that_will_come_back() -> None:
    session = opened()
    session.ready = True
    session.offer(CHANGE)  # there is no stream yet: nobody to tell, nothing to keep
    stream, reader = session.standing(), buffer()
    session.offer(CHANGE)
    stream.attach(reader, after=0)
    session.offer(CHANGE)
    assert [event["id"] for event in events(reader.take())] == ["0-1", "0-2"]


@pytest.mark.requirement("L-10")
def test_before_the_client_is_ready_it_hears_nothing() -> None:
    session = opened()
    reader = buffer()
    session.standing().attach(reader)
    session.offer(CHANGE)
    assert reader.take() == []


@pytest.mark.requirement("F-15")
def test_updates_reach_those_who_subscribed() -> None:
    session = opened()
    session.ready = True
    reader = buffer()
    session.standing().attach(reader)
    session.offer(updated("file:///a"))
    session.subscriptions = {"file:///a"}
    session.offer(updated("file:///a"))
    session.offer(updated("file:///b"))
    session.offer(updated("file:///a/part"))
    assert [event["data"] for event in events(reader.take())] == ['{"uri":"file:///a"}', '{"uri":"file:///a/part"}']


@pytest.mark.parametrize(
    ("wanted", "uri", "covered"),
    [
        (None, "a:b", False),
        (set(), "a:b", False),
        ({"a:b"}, "a:b", True),
        ({"a:b"}, "a:bc", False),
        ({"a:b"}, "a:b/c", True),
        ({"a:b/"}, "a:b/c", True),
        ({"a:b/c"}, "a:b", False),
    ],
)
def test_a_subscription_covers_what_lies_below(wanted: set[str] | None, uri: str, covered: bool) -> None:
    assert covers(wanted, uri) is covered


# --- asking


@pytest.mark.requirement("H-25")
def test_an_answer_finds_its_question_once() -> None:
    session = opened()
    answers: list[bytes | None] = []
    first = session.ask(lambda result, error: answers.append(result))
    second = session.ask(lambda result, error: answers.append(error))
    assert first != second
    assert session.answered(b"%d" % second, None, b'{"code":-1}')
    assert session.answered(b"%d" % first, b"{}", None)
    assert not session.answered(b"%d" % first, b"{}", None)
    assert answers == [b'{"code":-1}', b"{}"]


@pytest.mark.parametrize("id", [b"2", b'"1"', b"-1", b"9" * 30, b"1.0", b""])
def test_an_answer_to_nothing_is_no_answer(id: bytes) -> None:
    session = opened()
    assert not session.answered(id, b"{}", None)
    session.ask(lambda result, error: None)
    assert not session.answered(id, b"{}", None)


def test_a_question_can_be_forgotten() -> None:
    session = opened()
    session.forget(1)
    id = session.ask(lambda result, error: pytest.fail("was forgotten"))
    session.forget(id)
    assert not session.answered(b"1", b"{}", None)


def test_levels_rise() -> None:
    assert sorted(LEVELS, key=LEVELS.__getitem__) == [
        "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
    ]  # fmt: skip
