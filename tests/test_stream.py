"""An event stream outlives its connections: what a client reads is what was sent, in order, once each."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import BUDGET, budget, buffer, events
from fastsse import _framing
from fastsse.errors import CloseReason
from fastsse.stream import Event, EventStream, RingLimits
from fastsse.writebuffer import CHANGED, LOG, NOTICE, PROGRESS, REPLY, WriteBuffer


def frame(text: str, size: int = 0) -> bytes:
    return _framing.event(text.ljust(size, ".").encode(), b"message")


def stream(bytes: int = 10_000, count: int = 100, age: float = 60.0) -> EventStream:
    return EventStream(b"7-", RingLimits(bytes, count, age, BUDGET))


def ids(of: EventStream) -> list[int]:
    """The numbers of the events that are kept, as a client would read them."""
    return [int(event["id"].rpartition("-")[2]) for event in events([frame for frame, _ in of.kept()])]


def data(waiting: WriteBuffer) -> list[str]:
    return [event["data"].rstrip(".") for event in events(waiting.take())]


def connect(to: EventStream, after: int | None = None) -> WriteBuffer:
    waiting = buffer()
    to.attach(waiting, after)
    return waiting


def test_events_are_numbered_and_named() -> None:
    open = stream()
    reader = connect(open)
    open.send(frame("a"))
    open.send(frame("b"), REPLY)
    assert events(reader.take()) == [
        {"id": "7-1", "event": "message", "data": "a"},
        {"id": "7-2", "event": "message", "data": "b"},
    ]


@pytest.mark.requirement("P-03")
def test_an_event_that_cannot_be_made_takes_no_number() -> None:
    open = stream()
    for text in "abc":
        open.send(frame(text))
    with pytest.raises(TypeError):
        open.send(None)  # type: ignore[arg-type]
    open.send(frame("d"))
    reader = connect(open, 2)
    assert data(reader) == ["c", "d"]
    assert ids(open) == [1, 2, 3, 4]


def test_a_number_of_any_size_is_held_or_not() -> None:
    open = stream()
    open.send(frame("a"))
    assert [open.holds(number) for number in (-(2**63) - 1, -1, 0, 1, 2, 2**63 - 1, 2**63, 10**40)] == [
        False, False, True, True, False, False, False, False,
    ]  # fmt: skip


def test_a_stream_without_ids_keeps_nothing() -> None:
    plain = EventStream(b"", None)
    plain.send(frame("lost"))
    reader = connect(plain)
    plain.send(frame("a"), REPLY)
    assert reader.take() == [frame("a")]
    assert plain.ring is None
    assert not plain.full()


@pytest.mark.requirement("P-03")
def test_who_comes_back_gets_the_rest_once_and_goes_on_live() -> None:
    open = stream()
    first = connect(open)
    for text in "abc":
        open.send(frame(text))
    assert data(first) == ["a", "b", "c"]
    open.detach(first, 5.0)
    open.send(frame("d"))
    again = connect(open, after=2)
    open.send(frame("e"))
    assert data(again) == ["c", "d", "e"]


def test_what_waited_for_a_connection_that_broke_is_replayed() -> None:
    open = stream()
    first = connect(open)
    open.send(frame("a"))
    assert data(first) == ["a"]
    open.send(frame("b"))
    open.detach(first, 5.0)
    assert data(connect(open, after=1)) == ["b"]


def test_a_newer_reader_takes_the_place_of_the_older() -> None:
    open = stream()
    old, new = connect(open), connect(open)
    assert old.ending is CloseReason.REPLACED
    open.send(frame("a"))
    assert (data(old), data(new)) == ([], ["a"])
    open.detach(old, 5.0)  # comes late
    assert open.buffer is new


@pytest.mark.parametrize(("after", "held"), [(-1, False), (0, True), (3, True), (4, True), (5, False)])
def test_what_can_be_resumed(after: int, held: bool) -> None:
    open = stream()
    for text in "abcd":
        open.send(frame(text))
    assert open.holds(after) is held


def test_an_event_that_has_left_the_ring_cannot_be_resumed_from() -> None:
    open = stream(count=3)
    reader = connect(open)
    for text in "abcde":
        open.send(frame(text))
        reader.take()
    assert [open.holds(after) for after in range(6)] == [False, False, True, True, True, True]


def test_the_ring_is_bounded_by_bytes() -> None:
    open = stream(bytes=500)
    reader = connect(open)
    for _ in range(20):
        open.send(frame("x", 80))
        reader.take()
    assert open.ring_bytes <= 500
    assert open.ring_bytes == sum(len(frame) for frame, _ in open.kept())


@pytest.mark.parametrize("count", [1, 2, 3, 10, 100])
def test_the_ring_keeps_nothing_of_what_was_evicted(count: int) -> None:
    open = stream(bytes=1_000_000, count=count)
    reader = connect(open)
    for number in range(1, 300):
        open.send(frame("x"))
        reader.take()
        assert ids(open) == list(range(max(1, number - count + 1), number + 1))
        assert open.ring is not None
        assert open.ring[: open.first] == [(b"", NOTICE)] * open.first
        assert len(open.ring) <= 2 * count
    open.slim()
    assert (open.ring, open.first) == ([], 0)


def test_the_ring_is_bounded_by_age() -> None:
    open = stream(age=60.0)
    open.mark_time = 100.0
    open.send(frame("a"))
    open.sweep(159.0)
    assert open.holds(0)
    open.sweep(160.0)  # from now on what is there grows old
    open.send(frame("b"))
    open.sweep(219.0)
    assert open.holds(0)
    open.sweep(220.0)
    assert (open.holds(0), open.holds(1)) == (False, True)


def test_replies_that_nobody_has_read_are_never_evicted() -> None:
    open = stream(bytes=500, count=3, age=60.0)
    for number in range(10):
        open.send(frame(str(number), 80), REPLY)
    assert open.full()
    open.send(frame("a notification of a stream that is full"))
    for now in (1000.0, 2000.0, 3000.0):
        open.sweep(now)
    assert data(connect(open, after=0)) == [str(number) for number in range(10)]


def test_a_reply_larger_than_the_ring_is_kept_until_it_has_left() -> None:
    open = stream(bytes=500)
    reader = connect(open)
    open.send(frame("large", 10_000), REPLY)
    assert (open.full(), open.ring_bytes > 500) == (True, True)
    assert data(reader) == ["large"]
    assert (open.full(), open.ring_bytes) == (False, 0)


def test_what_a_broken_connection_never_took_is_unread() -> None:
    open = stream(bytes=500)
    reader = connect(open)
    open.send(frame("a"), REPLY)
    reader.take()
    reader.paused = True  # its transport still holds it
    open.send(frame("b", 600), REPLY)
    open.detach(reader, 5.0)
    assert not open.read
    assert open.full()
    assert data(connect(open, after=0)) == ["a", "b"]


def test_a_reply_that_meets_the_end_of_a_connection_is_unread() -> None:
    open = stream()
    reader = connect(open)
    open.pause(2500)
    open.send(frame("result"), REPLY)
    assert reader.take() == [b"retry: 2500\n\n"]
    open.detach(reader, 5.0)
    assert not open.read
    assert data(connect(open, after=0)) == ["result"]


def counted(bytes: int = 10_000, most: int = 1 << 40) -> EventStream:
    """A stream with a budget of its own."""
    return EventStream(b"7-", RingLimits(bytes, 100, 60.0, budget(most)))


@pytest.mark.requirement("D-process-bytes")
def test_what_a_ring_keeps_is_in_the_budget() -> None:
    open = counted(1000)
    assert open.limits is not None
    shared = open.limits.budget
    connect(open)
    for number in range(50):
        open.send(frame(f"{number}", 100))
        assert shared.used >= open.ring_bytes
    assert open.buffer is not None
    open.buffer.take()
    assert 0 < open.ring_bytes == open.limits.budget.used <= 1000
    open.forget()
    assert shared.used == open.ring_bytes == 0
    open.send(frame("nobody"), REPLY)
    assert shared.used == 0


def test_an_event_that_goes_before_it_was_read_is_counted() -> None:
    open = counted(1000)
    assert open.limits is not None
    reader = connect(open)
    open.send(frame("read", 100))
    reader.take()
    open.detach(reader, 5.0)
    for number in range(20):
        open.send(frame(f"{number}", 100), LOG if number % 2 else NOTICE)
    assert sum(open.limits.budget.stats.dropped.values()) == 20 - len(open.kept())
    assert set(open.limits.budget.stats.dropped) == {"log", "notice"}


def test_what_waits_in_the_buffer_was_not_missed_though_the_ring_has_no_room() -> None:
    open = counted(1000)
    assert open.limits is not None
    reader = connect(open)
    for number in range(20):
        open.send(frame(f"{number}", 100))
    assert len(open.kept()) < 20 == len(reader.take())
    assert not open.limits.budget.stats.dropped


def test_an_event_for_a_ring_full_of_unread_replies_is_counted() -> None:
    open = counted(100)
    assert open.limits is not None
    open.send(frame("a", 200), REPLY)
    open.send(frame("b"), CHANGED)
    assert open.limits.budget.stats.dropped == {"changed": 1}
    open.send(frame("c"), REPLY)
    assert ids(open) == [1, 2]


def test_an_ended_stream_can_still_be_fetched() -> None:
    open = stream()
    open.send(frame("result"), REPLY)
    open.end()
    late = connect(open, after=0)
    assert data(late) == ["result"]
    assert late.ending is CloseReason.ANSWERED


def test_the_end_reaches_the_reader_behind_what_waits() -> None:
    open = stream()
    reader = connect(open)
    open.send(frame("result"), REPLY)
    open.end(CloseReason.SESSION_ENDED)
    assert reader.ending is CloseReason.SESSION_ENDED
    assert data(reader) == ["result"]


@pytest.mark.requirement("P-04")
def test_a_priming_event_has_an_id_and_no_data() -> None:
    open = stream()
    reader = connect(open)
    open.prime(1500)
    assert reader.take() == [b"id: 7-1\nretry: 1500\ndata: \n\n"]


def test_an_event_for_many_is_encoded_once() -> None:
    message = _framing.notification(b'"notifications/tools/list_changed"', b"{}")
    event = Event("notifications/tools/list_changed", message, None, CHANGED)
    assert event.frame == _framing.event(message, b"message")
    assert event.key == ("notifications/tools/list_changed", None)
    assert Event("notifications/message", message).key is None


class Client:
    """Reads a stream over connections that break; keeps the ids it has read, as its Last-Event-ID says."""

    def __init__(self, to: EventStream) -> None:
        self.stream = to
        self.read = [0]
        self.sent: dict[int, int] = {}
        self.reader: WriteBuffer | None = None
        self.come_back()

    def send(self, kinds: list[int], large: bool, behind: bool) -> None:
        """The server's side; `behind`: the client's connection takes nothing meanwhile."""
        if self.reader is not None:
            self.reader.paused = behind
        for kind in kinds:
            before = self.stream.seq
            key = "token" if kind in (PROGRESS, CHANGED) else None
            self.stream.send(frame(str(before + 1), 300 if large else 0), kind, key)
            if self.stream.seq > before:
                self.sent[self.stream.seq] = kind
            else:  # only where unread replies leave no room, and nobody is there to read
                assert (self.reader, kind == REPLY) == (None, False)

    def take(self, most: int | None = None) -> None:
        """The connection writes; the client reads all of it, or `most` events before the line breaks."""
        assert self.reader is not None
        for event in events(self.reader.take())[:most]:
            number = int(event["id"].removeprefix("7-"))
            assert event["data"].rstrip(".") == str(number)
            assert number > self.read[-1]
            self.read.append(number)

    def flush(self) -> None:
        if self.reader is None:
            return
        self.reader.paused = False
        if self.reader.overflowed:
            self.cut()
        else:
            self.take()

    def cut(self, most: int | None = None) -> None:
        """The line breaks: with what waits, or with `most` events on the way that still arrive."""
        if self.reader is None:
            return
        if most is not None and not self.reader.overflowed:
            self.take(most)
        self.stream.detach(self.reader, 1.0)
        self.reader = None

    def come_back(self) -> None:
        """With or without the old connection being seen to be gone."""
        last = self.read[-1]
        if not self.stream.holds(last):  # the client is told, and starts anew
            last = self.stream.seq
            self.read.append(last)
            self.sent.clear()
        self.reader = buffer(limit=1500)
        self.stream.attach(self.reader, last)
        self.take()
        if self.reader.overflowed:
            self.cut()

    def check(self) -> None:
        """There is no silent gap, and what was never given to a connection is kept."""
        due = {number for number, kind in self.sent.items() if kind in (REPLY, NOTICE) and number <= self.read[-1]}
        assert due <= set(self.read)
        unread = {number for number, kind in self.sent.items() if kind == REPLY and number > self.stream.delivered}
        assert unread <= set(ids(self.stream))
        ring, first = self.stream.ring or [], self.stream.first
        assert first * 2 < len(ring) or (ring, first) == ([], 0)
        assert sum(len(frame) for frame, _ in ring) == self.stream.ring_bytes


kinds = st.lists(st.sampled_from([REPLY, NOTICE, PROGRESS, CHANGED, LOG]), min_size=2, max_size=8)
steps = st.lists(
    st.tuples(st.just("send"), kinds, st.integers(0, 9).map(lambda n: n == 9), st.booleans())
    | st.tuples(st.sampled_from(["flush", "cut", "come_back"]))
    | st.tuples(st.just("cut"), st.integers(0, 4)),
    min_size=20,
    max_size=60,
)


@pytest.mark.requirement("P-02", "D-exactly-once")
@settings(deadline=None)
@given(st.booleans(), steps)
def test_any_sends_cuts_and_reconnects(small: bool, steps: list[tuple[Any, ...]]) -> None:
    client = Client(stream(600, 8) if small else stream(10**6, 10**6))
    for name, *arguments in steps:
        getattr(client, name)(*arguments)
        client.check()
    while client.read[-1] < client.stream.seq:
        client.come_back()
    client.check()
    if not small:  # nothing was ever refused: the client's record is the server's
        due = {number for number, kind in client.sent.items() if kind in (REPLY, NOTICE)}
        assert due <= set(client.read)
