"""What waits for one connection: nothing is lost that must not be, and nothing grows that may not."""

from hypothesis import given
from hypothesis import strategies as st

from fakes import Outlet, budget, buffer
from fastsse.errors import CloseReason
from fastsse.writebuffer import CHANGED, LOG, LOGS_WAITING, NOTICE, PROGRESS, REPLY, WriteBuffer


def woken(waiting: WriteBuffer) -> int:
    assert isinstance(waiting.outlet, Outlet)
    return waiting.outlet.woken


def test_frames_leave_in_order_and_the_connection_is_woken_once() -> None:
    waiting = buffer()
    for frame in (b"a", b"b", b"c"):
        waiting.push(frame)
    assert (waiting.size, woken(waiting)) == (3, 1)
    assert waiting.take() == [b"a", b"b", b"c"]
    assert (waiting.size, waiting.take()) == (0, [])
    waiting.push(b"d")
    assert woken(waiting) == 2


def test_a_message_of_any_size_is_admitted_to_an_empty_buffer() -> None:
    waiting = buffer(limit=10)
    waiting.push(b"x" * 1000)
    assert not waiting.overflowed
    assert waiting.take() == [b"x" * 1000]


def test_past_its_limit_it_refuses_and_says_so() -> None:
    waiting = buffer(limit=10)
    waiting.push(b"x" * 10)
    waiting.push(b"y")
    assert waiting.overflowed
    assert waiting.refuses()
    assert woken(waiting) == 2
    waiting.push(b"z")
    assert waiting.take() == [b"x" * 10]


def test_what_waits_for_a_reader_that_is_behind_is_thinned_out_by_class() -> None:
    waiting = buffer(paused=True, budget=budget())
    waiting.push(b"p1", PROGRESS, b"token")
    waiting.push(b"r1", REPLY)
    waiting.push(b"c1", CHANGED, "tools")
    waiting.push(b"p2", PROGRESS, b"token")
    waiting.push(b"q1", PROGRESS, b"other")
    waiting.push(b"c2", CHANGED, "tools")
    waiting.push(b"n1", NOTICE)
    waiting.push(b"r2", REPLY)
    assert waiting.budget.stats.coalesced == {"progress": 1, "changed": 1}
    assert waiting.take() == [b"r1", b"p2", b"q1", b"c2", b"n1", b"r2"]


def test_one_key_in_two_classes_is_two_keys() -> None:
    waiting = buffer(paused=True)
    waiting.push(b"p", PROGRESS, b"x")
    waiting.push(b"c", CHANGED, b"x")
    assert waiting.take() == [b"p", b"c"]


def test_logs_beyond_a_screenful_are_left_out_and_counted() -> None:
    waiting = buffer(paused=True, budget=budget())
    for number in range(LOGS_WAITING + 5):
        waiting.push(b"%d" % number, LOG)
    assert waiting.budget.stats.dropped == {"log": 5}
    assert waiting.take() == [b"%d" % number for number in range(LOGS_WAITING)]
    waiting.push(b"again", LOG)
    assert waiting.take() == [b"again"]


def test_nothing_is_thinned_out_for_a_reader_that_keeps_up() -> None:
    waiting = buffer()
    frames = [b"%d" % number for number in range(LOGS_WAITING * 2)]
    for frame in frames:
        waiting.push(frame, LOG)
        waiting.push(frame, PROGRESS, b"token")
    assert waiting.take() == [frame for frame in frames for _ in range(2)]


def test_repeats_never_grow_what_waits() -> None:
    waiting = buffer(paused=True)
    waiting.push(b"reply", REPLY)
    for number in range(10_000):
        waiting.push(b"%05d" % number, PROGRESS, number % 3)
    assert len(waiting.frames) < 16
    assert waiting.size == 20
    assert waiting.take() == [b"reply", b"09997", b"09998", b"09999"]


def test_after_its_end_nothing_is_admitted() -> None:
    waiting = buffer()
    waiting.push(b"a")
    waiting.end(CloseReason.ANSWERED)
    waiting.end(CloseReason.SHUTDOWN)
    waiting.push(b"b")
    assert waiting.refuses()
    assert waiting.ending is CloseReason.ANSWERED
    assert waiting.take() == [b"a"]


pushes = st.lists(
    st.tuples(
        st.sampled_from([REPLY, NOTICE, PROGRESS, CHANGED, LOG]), st.none() | st.integers(0, 2), st.integers(1, 30)
    )
)


@given(pushes, st.booleans(), st.integers(20, 200))
def test_any_pushes(pushes: list[tuple[int, int | None, int]], paused: bool, limit: int) -> None:
    waiting = buffer(limit, paused, budget())
    stats = waiting.budget.stats
    frames = []
    for number, (kind, key, length) in enumerate(pushes):
        frame = (b"%d." % number).ljust(length, b".")
        frames.append(frame)
        waiting.push(frame, kind, key)
        assert waiting.size == waiting.budget.used == sum(map(len, waiting.frames))
        assert waiting.size <= limit or len([frame for frame in waiting.frames if frame]) == 1
    left = waiting.take()
    assert waiting.budget.used == 0
    assert left == sorted(left, key=frames.index)
    if not waiting.overflowed:
        kept = {frame for frame, (kind, key, _) in zip(frames, pushes, strict=True) if kind in (REPLY, NOTICE)}
        newest = {
            (kind, key): frame
            for frame, (kind, key, _) in zip(frames, pushes, strict=True)
            if kind in (PROGRESS, CHANGED)
        }
        assert kept | set(newest.values()) <= set(left)
        assert len(left) + stats.dropped["log"] + sum(stats.coalesced.values()) == len(frames)
