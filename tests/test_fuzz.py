"""A minute of fuzzing; and that it is guided, repeats itself, and finds what is there to be found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Hashable, Iterable
from pathlib import Path

import pytest

import eventsource
from fuzzing import Corpus, Found, Fuzzer, Question
from questions import QUESTIONS

SCRIPT = Path(__file__).parent.parent / "scripts" / "fuzz.py"


@pytest.mark.long
@pytest.mark.requirement("D-fuzz")
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_minute(name: str) -> None:
    seed = int(os.environ.get("FASTSSE_SEED", time.time_ns() % 10**9))
    print(f"FASTSSE_SEED={seed}")
    try:
        print(Fuzzer(name, QUESTIONS[name], seed).run(60 / len(QUESTIONS)))
    except Found as found:
        pytest.fail(f"scripts/fuzz {name} --input {found.data!r} (seed {seed}):\n{found.__cause__!r}")


@pytest.mark.requirement("D-fuzz")
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_it_begins_with(name: str) -> None:
    for data in QUESTIONS[name].seeds:
        assert list(QUESTIONS[name].ask(data))


def hidden(data: bytes) -> Iterable[Hashable]:
    """Wrong for one kind of stream only: a reconnection time, and events of which one has a name and one an id."""
    if not data.isascii():
        return []
    found, retry = eventsource.read(data)
    seen = bool(retry), any(event.id for event in found), any(event.name != "message" for event in found)
    assert not all(seen)
    return [seen]


HIDDEN = Question(hidden, [b"data: a\n\n"], [b"data: ", b"event: ", b"id: ", b"retry: 1", b"\n", b":"])


def found(seed: int) -> tuple[int, bytes] | None:
    """After how many inputs, and with which."""
    fuzzer = Fuzzer("hidden", HIDDEN, seed, guided=True)
    try:
        while fuzzer.count < 50_000:
            fuzzer.step()
    except Found as caught:
        return fuzzer.count, caught.data
    return None


def test_it_is_guided_step_by_step_to_what_is_wrong() -> None:
    """No single change of what it begins with leads there."""
    finds = [found(seed) for seed in range(4)]
    assert all(finds)
    assert finds == [found(seed) for seed in range(4)], "the same seed, the same inputs"


def test_of_all_inputs_that_lead_there_the_shortest_is_kept() -> None:
    corpus = Corpus()
    assert corpus.add(b"long", {1, 2})
    assert not corpus.add(b"longer", {1, 2})
    assert corpus.add(b"no", {1})
    assert corpus.add(b"x", {2})
    for number in range(200):
        corpus.add(b"%d" % number, {("other", number)})
    assert b"long" not in corpus.inputs
    assert {b"no", b"x"} <= set(corpus.inputs)


def test_the_script() -> None:
    def run(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    said = run("frames", "bodies", "--minutes", "0.01", "--seed", "7")
    assert re.fullmatch(r"seed 7\n(frames|bodies): [1-9]\d* inputs, .*\n(frames|bodies): [1-9]\d* inputs, .*\n", said)
    assert "('event'" in run("frames", "--input", r"b'a\nb\x1fc'")
