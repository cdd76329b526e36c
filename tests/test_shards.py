"""The fixed table: ids that route, places that come back, clocks that reach everybody, nothing that grows."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import CLOCKS, buffer, table
from fastsse.errors import CloseReason, RequestRefused
from fastsse.session import ENDED, Session
from fastsse.shards import LOOKED_AT, Table


def fill(made: Table, number: int, pair: bool = False) -> list[Session]:
    found = []
    for _ in range(number):
        session = made.open(pair, 100.0)
        assert session is not None
        found.append(session)
    return found


@pytest.mark.requirement("H-06", "H-07", "D-session-ids")
def test_an_id_is_a_uuid_that_names_its_place() -> None:
    made = table(shards=4, capacity=8)
    sessions = fill(made, 8)
    for session in sessions:
        text = session.id.decode()
        assert str(uuid.UUID(text)) == text
        assert (uuid.UUID(text).version, uuid.UUID(text).variant) == (8, uuid.RFC_4122)
        assert int(text[:8], 16) == session.place
        assert made.find(session.id, None) is session
    assert len({session.id for session in sessions}) == 8


@given(st.integers(0, (1 << 90) - 1))
def test_all_random_bits_are_in_the_id(bits: int) -> None:
    made = table()
    made.nonce = lambda: bits
    (session,) = fill(made, 1)
    number = uuid.UUID(session.id.decode()).int
    assert (number >> 80 & 0xFFFF) << 74 | (number >> 64 & 0xFFF) << 62 | number & (1 << 62) - 1 == bits


def test_sessions_spread_over_the_shards() -> None:
    made = table(shards=4, capacity=8)
    fill(made, 4)
    assert [sum(session is not None for session in shard.slots) for shard in made.shards] == [1, 1, 1, 1]


@pytest.mark.requirement("H-09")
@pytest.mark.parametrize("change", [0, 7, 8, 9, 14, 20, 24, 35])
def test_a_wrong_id_finds_nothing(change: int) -> None:
    made = table()
    (session,) = fill(made, 1)
    wrong = bytearray(session.id)
    wrong[change] ^= 1
    assert made.find(bytes(wrong), None) is None


@given(st.binary(max_size=40) | st.from_regex(rb"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"))
def test_any_id_can_be_looked_up(id: bytes) -> None:
    made = table()
    fill(made, 8)
    found = made.find(id, None)
    assert found is None or found.id == id


@pytest.mark.requirement("H-10", "D-session-ids")
def test_a_dead_id_stays_dead_when_its_place_is_taken_again() -> None:
    made = table(shards=1, capacity=1)
    (old,) = fill(made, 1)
    made.end(old, CloseReason.SESSION_ENDED)
    (new,) = fill(made, 1)
    assert new.place == old.place
    assert made.find(old.id, None) is None
    assert made.find(new.id, None) is new


def test_ending_twice_ends_once() -> None:
    made = table(shards=1, capacity=1)
    (old,) = fill(made, 1)
    made.end(old, CloseReason.SESSION_ENDED)
    fill(made, 1)
    made.end(old, CloseReason.SHUTDOWN)
    assert (made.count, made.opened, made.ended) == (1, 2, {CloseReason.SESSION_ENDED: 1})


def test_a_full_table_of_sessions_in_use_takes_nobody() -> None:
    made = table(capacity=3)
    fill(made, 3)
    assert made.open(False, 100.0) is None
    assert made.count == 3


@pytest.mark.requirement("D-full-table")
def test_in_a_full_table_the_session_that_was_lost_longest_ago_gives_way() -> None:
    made = table(capacity=3)
    sessions = fill(made, 3)
    for session, now in zip(reversed(sessions), (110.0, 120.0, 130.0), strict=True):
        reader = buffer()
        session.standing().attach(reader)
        session.standing().detach(reader, now)
    sessions[2].attached()  # came back
    assert made.open(False, 140.0) is not None
    assert [session.state == ENDED for session in sessions] == [False, True, False]


@pytest.mark.requirement("D-full-table")
def test_in_a_full_table_sessions_that_were_never_used_give_way_first() -> None:
    made = table(capacity=4)
    used, new, newer, lost = fill(made, 4)
    used.accept(101.0)
    reader = buffer()
    lost.standing().attach(reader)
    lost.attached()
    lost.standing().detach(reader, 102.0)
    newer.touched = 104.0
    assert made.open(False, 106.0) is not None
    assert [one.state == ENDED for one in (used, new, newer, lost)] == [False, True, False, False]
    assert made.open(False, 106.0) is not None
    assert [one.state == ENDED for one in (used, newer, lost)] == [False, False, True]
    assert made.open(False, 106.0) is None, "the others are in use"
    assert made.open(False, 109.0) is not None
    assert [one.state == ENDED for one in (used, newer)] == [False, True]


@pytest.mark.requirement("D-full-table")
def test_in_a_full_table_a_session_without_a_stream_gives_way_when_it_has_been_silent() -> None:
    made = table(capacity=4)
    sessions = fill(made, 4)
    for session in sessions:
        session.accept(101.0)
    busy, talking, _silent, streams = sessions

    class Call:
        def cancel(self, reason: str) -> None: ...

    busy.calls = {b"1": Call()}
    streams.standing().attach(buffer())
    streams.attached()
    talking.accept(120.0)
    assert made.open(False, 130.0) is None, "each was heard of within session_lost"
    assert made.open(False, 131.0) is not None
    assert [one.state == ENDED for one in sessions] == [False, False, True, False]


def test_a_newcomer_does_not_look_at_everybody_in_a_full_table() -> None:
    made = table(shards=4, capacity=4 * LOOKED_AT)
    for session in fill(made, 4 * LOOKED_AT):
        session.accept(200.0)
    made.free.clear()
    order = list(made.detached)
    assert made.open(False, 210.0) is None
    assert list(made.detached) == order[LOOKED_AT:] + order[:LOOKED_AT]


def test_after_everybody_has_left_nothing_is_left() -> None:
    made = table(shards=4, capacity=8)
    free = len(made.free)
    for session in fill(made, 8, pair=True):
        reader = buffer()
        session.standing().attach(reader)
        session.standing().detach(reader, 100.0)
        made.end(session, CloseReason.CLIENT_CLOSED)
    assert (made.count, list(made.detached), made.ids(), len(made.free)) == (0, [], [], free)
    assert not any(shard.audience for shard in made.shards)


class Member:
    weight = 0

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ticks: list[float] = []

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        self.deadline = now + 10

    def give_way(self, refused: RequestRefused) -> None: ...


def test_connections_join_one_shard_after_the_other_and_are_ticked_when_due() -> None:
    made = table(shards=2)
    first, second = Member(5.0), Member(5.0)
    assert (made.join(first).index, made.join(second).index) == (0, 1)
    for now in (4.0, 5.0, 6.0, 15.0):
        made.sweep(0, now)
    assert first.ticks == [5.0, 15.0]
    assert second.ticks == []


def test_a_sweep_ends_what_has_expired_in_its_shard_only() -> None:
    made = table(shards=2, capacity=4)
    sessions = fill(made, 4)
    due = 100.0 + CLOCKS.init
    made.sweep(0, due - 0.001)
    assert made.count == 4
    made.sweep(0, due)
    assert [session.state == ENDED for session in sessions] == [True, False, True, False]
    assert made.ended == {CloseReason.IDLE: 2}


def test_ids_are_told_in_the_order_of_places() -> None:
    made = table(shards=2, capacity=4)
    ids = [session.id for session in sorted(fill(made, 4), key=lambda session: session.place)]
    assert made.ids() == ids
    assert all(session.place % (1 << 20) < 2 for session in fill(table(shards=2, capacity=4), 4))
