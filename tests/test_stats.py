"""Counters and histograms: bounds are inclusive, series stay bounded, nothing is counted twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastsse.errors import CloseReason
from fastsse.stats import BOUNDS, METHODS, ROUTES, Histogram, Stats


def test_bounds_are_inclusive_and_ascending() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    for index, bound in enumerate(BOUNDS):
        histogram = Histogram()
        histogram.observe(bound)
        assert histogram.counts[index] == 1
        histogram.observe(bound * 1.0001)
        assert histogram.counts[index + 1] == 1


@given(st.lists(st.floats(min_value=0, max_value=10_000)))
def test_a_histogram_agrees_with_counting_by_hand(durations: list[float]) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.observe(duration)
    assert histogram.count == len(durations)
    assert abs(histogram.sum - sum(durations)) <= 1e-6 * (1 + sum(durations))
    for index, bound in enumerate(BOUNDS):
        assert sum(histogram.counts[: index + 1]) == sum(duration <= bound for duration in durations)


def test_a_plain_success_is_what_is_left() -> None:
    calls = Stats(0.0).calls("tools/call")
    for _ in range(5):
        calls.seconds.observe(0.001)
    calls.errors += 1
    calls.tool_errors += 1
    calls.cancelled += 1
    assert calls.results == 2


def test_what_peers_invent_makes_no_new_series() -> None:
    stats = Stats(0.0)
    for number in range(100):
        stats.calls(f"invented/{number}").seconds.observe(1.0)
        stats.responded(f"/invented/{number}", 404)
    assert tuple(stats.methods) == METHODS
    assert tuple(stats.responses) == ROUTES
    assert stats.methods["other"].seconds.count == 100
    assert stats.responses["other"][4] == 100


def test_every_close_reason_has_a_counter_from_the_start() -> None:
    assert set(Stats(0.0).closed) == set(CloseReason)
