"""Rate limits: as many as promised, never more, and a wait that is neither too long nor too short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsse.rates import Rate


def test_a_burst_and_then_as_fast_as_it_refills() -> None:
    rate = Rate(2.0, burst=5.0)
    assert [rate.take("a", 100.0) for _ in range(10)] == [0.0] * 10
    assert rate.take("a", 100.0) == pytest.approx(0.5)
    assert rate.take("a", 100.3) == pytest.approx(0.2)
    assert rate.take("a", 100.5) == 0.0
    assert rate.take("a", 100.5) == pytest.approx(0.5)


def test_keys_do_not_know_of_each_other() -> None:
    rate = Rate(1.0, burst=1.0)
    assert rate.take("a", 1.0) == 0.0
    assert rate.take("a", 1.0) == pytest.approx(1.0)
    assert rate.take("b", 1.0) == 0.0


def test_a_slow_rate_lets_one_through_at_once() -> None:
    rate = Rate(1 / 60, burst=10.0)
    assert rate.take("a", 1.0) == 0.0
    assert rate.take("a", 1.0) == pytest.approx(60.0)
    assert rate.take("a", 61.0) == 0.0


def test_a_batch_counts_as_many_and_one_that_is_too_large_takes_everything() -> None:
    rate = Rate(1.0, burst=10.0)
    assert rate.take("a", 1.0, 8) == 0.0
    assert rate.take("a", 1.0, 8) == pytest.approx(6.0)
    assert rate.take("a", 1.0, 2) == 0.0
    assert rate.take("b", 1.0, 1000) == 0.0
    assert rate.take("b", 1.0) == pytest.approx(1.0)


@given(
    st.floats(0.01, 1000.0),
    st.floats(0.1, 60.0),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 4)), min_size=1, max_size=60),
)
def test_in_no_span_of_time_come_more_than_were_promised(
    per_second: float, burst: float, asked: list[tuple[float, int]]
) -> None:
    rate = Rate(per_second, burst)
    now, taken = 1000.0, []
    for pause, wanted in asked:
        now += pause
        count = min(wanted, max(1, int(rate.burst * per_second)))
        wait = rate.take("key", now, count)
        if wait:
            assert rate.take("key", now + wait * 0.99 - 2e-6, count), "it said to wait longer than was needed"
            assert not rate.take("key", now + wait, count), "it said to come back too early"
            now += wait
        taken.append((now, count))
    for at, (start, _) in enumerate(taken):
        total = 0
        for when, count in taken[at:]:
            total += count
            assert total <= (when - start + rate.burst) * per_second + 1e-3


def test_the_table_is_bounded_and_forgets_whoever_is_full_again() -> None:
    rate = Rate(1.0, burst=10.0, keys=100)
    for number in range(10_000):
        assert rate.take(number, 1.0) == 0.0
    assert len(rate.full) == 100
    assert rate.take("late", 100.0) == 0.0
    for number in range(60):
        assert rate.take(("again", number), 100.0) == 0.0
    assert set(rate.full) == {"late", *(("again", number) for number in range(60))}
