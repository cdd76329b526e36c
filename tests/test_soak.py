"""Two minutes of clients of every era, a quarter of which misbehave: nothing that one of them left is kept."""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

import soak
from soak import Figures, Report


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.requirement("D-soak")
def test_two_minutes_leave_nothing_behind() -> None:
    seed = int(os.environ.get("FASTSSE_SEED", time.time_ns() % 10**9))
    print(f"FASTSSE_SEED={seed}")
    report = soak.run(minutes=2.0, rounds=6, seed=seed)
    print(report)
    assert not report.growth()
    assert set(report.counts) == {"calls", "session", "pair", "stateless", "listens", "breaks_off", "reads_slowly"}
    assert report.figures[-1].requests > 10_000


def figures(memory: int = 0, blocks: int = 0, files: int = 0) -> list[Figures]:
    """Five rounds of 20,000 requests in which so much is left each time, beside what comes and goes."""
    noise = (100, 300, -800, 300, 100)
    return [
        Figures(
            20.0 * n,
            20_000 * n,
            30_000_000 + memory * n + 1000 * noise[n],
            200_000 + blocks * n + noise[n],
            15 + files * n,
        )
        for n in range(5)
    ]


def test_a_leak_is_seen_through_the_noise() -> None:
    assert Report(figures(), Counter()).growth() == []
    assert Report(figures(memory=-500_000, blocks=-100), Counter()).growth() == []
    assert Report(figures(blocks=300), Counter()).growth() == ["15.0 blocks per 1,000 requests"]
    assert Report(figures(memory=400_000), Counter()).growth() == ["20,000 bytes per 1,000 requests"]
    assert Report(figures(files=1), Counter()).growth() == ["4 files"]
