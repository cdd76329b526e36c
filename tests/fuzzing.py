"""Fuzzing that is guided by coverage: an input that leads the readable readers where no other has led them is kept, and
made into further ones. Called by scripts/fuzz and `test_fuzz`; what is asked of inputs stands in `questions`.

Covered are lines in their order and how often (edges; once, twice, up to seven times, more often) of `tests/oracle.py`,
`tests/eventsource.py` and h11, and whatever a question says it has seen. Of all inputs that cover the same the shortest
is kept. Everything follows from the seed; a question asks about nothing but the bytes, so that these alone repeat a
find.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NamedTuple

import h11

import eventsource
import oracle
from fastsse import _framing

GUIDES = frozenset(
    [oracle.__file__, eventsource.__file__, *(str(path) for path in Path(h11.__file__).parent.glob("*.py"))]
)
LONGEST = 4096
"""Bytes of an input; what longer ones lead to is a matter of limits, which have tests of their own."""


class Question(NamedTuple):
    """`ask` raises for a find, or says what it has seen. `seeds`: to begin with. `words`: to put into others. `made`:
    inputs from a grammar, to be taken now and then beside those that were found."""

    ask: Callable[[bytes], Iterable[Hashable]]
    seeds: list[bytes]
    words: list[bytes]
    made: Callable[[Random], bytes] | None = None


class Found(Exception):
    """A question that was answered wrongly; `data` is the input."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(f"{name}: {data!r}")
        self.data = data


def can_be_guided() -> bool:
    """Not with a debug build of `_framing`: CPython 3.11 fails at the lines that it reports itself."""
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        _framing.depth(b"")
    except TypeError:
        return False
    finally:
        sys.settrace(before)
    return True


class Coverage:
    """What calls go through in the files that guide."""

    def __init__(self, guided: bool) -> None:
        self.guided = guided
        self.numbers: dict[int, int] = {}  # of code objects, in the order of their first call
        self.kept: list[object] = []  # so that no id is another's later
        self.counts: dict[int, int] = {}
        self.last = 0

    def of(self, function: Callable[[bytes], Iterable[Hashable]], data: bytes) -> set[Hashable]:
        """The edges of one call, and what it says."""
        self.counts = {}
        self.last = 0
        before = sys.gettrace()
        if self.guided:
            sys.settrace(self._call)
        try:
            said = list(function(data))
        finally:
            sys.settrace(before)
        seen: set[Hashable] = {(edge, min(count.bit_length(), 4)) for edge, count in self.counts.items()}
        seen.update(said)
        return seen

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line(frame, event, arg) if frame.f_code.co_filename in GUIDES else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        number = self.numbers.get(id(frame.f_code))
        if number is None:
            number = self.numbers[id(frame.f_code)] = len(self.numbers)
            self.kept.append(frame.f_code)
        here = number << 12 | frame.f_lineno & 0xFFF
        edge = self.last << 24 | here
        self.counts[edge] = self.counts.get(edge, 0) + 1
        self.last = here
        return self._line


class Corpus:
    """For everything that was seen the shortest input that leads there."""

    def __init__(self) -> None:
        self.shortest: dict[Hashable, bytes] = {}
        self.inputs: list[bytes] = []
        self.stale = 0

    def add(self, data: bytes, seen: set[Hashable]) -> bool:
        """Whether it led anywhere that was not known, or on a shorter way."""
        kept = False
        for one in seen:
            known = self.shortest.get(one)
            if known is None or len(data) < len(known):
                self.shortest[one] = data
                kept = True
        if kept:
            self.inputs.append(data)
            self.stale += 1
            if self.stale > 100 + len(self.inputs) // 4:
                self.inputs = list(dict.fromkeys(self.shortest.values()))
                self.stale = 0
        return kept

    def pick(self, rng: Random) -> bytes:
        """The shorter of two; half of the time they are of the latest."""
        among = self.inputs[-20:] if rng.random() < 0.5 else self.inputs
        return min(rng.choice(among), rng.choice(among), key=len)


def mutated(rng: Random, data: bytes, corpus: Corpus, words: list[bytes]) -> bytes:
    """Bytes changed, put in, taken out or doubled, words put in, another input behind it or in the place of its end."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, other = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        kind = rng.randrange(10)
        if kind == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 1 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at:]
        elif kind == 3:
            data = data[:at] + data[at + rng.choice((1, 1, 2, 4, 8)) :]
        elif kind == 4:
            data = data[:at] + data[other:]
        elif kind == 5:
            data = data[:other] + data[at:other] + data[other:]
        elif kind == 6:
            data = data[:at] + rng.choice(words) + data[at:]
        elif kind == 7:
            data = data[:at] + rng.choice(words) + data[other:]
        elif kind == 8:
            data += corpus.pick(rng)
        else:
            more = corpus.pick(rng)
            data = data[:at] + more[rng.randrange(len(more) + 1) :]
    return data[:LONGEST]


class Fuzzer:
    """Asks one question of more and more inputs."""

    def __init__(self, name: str, question: Question, seed: int, guided: bool | None = None) -> None:
        self.name = name
        self.question = question
        self.rng = Random(f"{seed}/{name}")
        self.coverage = Coverage(can_be_guided() if guided is None else guided)
        self.corpus = Corpus()
        self.count = 0
        for number, data in enumerate(question.seeds):
            self.ask(data, ("seed", number))

    def ask(self, data: bytes, *more: Hashable) -> bool:
        """Whether this input led anywhere. Raises Found."""
        self.count += 1
        try:
            return self.corpus.add(data, self.coverage.of(self.question.ask, data).union(more))
        except Exception as error:
            raise Found(self.name, data) from error

    def step(self) -> bool:
        made, rng = self.question.made, self.rng
        if made is not None and rng.random() < 0.3:
            return self.ask(made(rng)[:LONGEST])
        return self.ask(mutated(rng, self.corpus.pick(rng), self.corpus, self.question.words))

    def run(self, seconds: float) -> str:
        """Asks until the time is over; says what that came to. Raises Found."""
        end = time.monotonic() + seconds
        latest = self.count
        while time.monotonic() < end:
            if self.step():
                latest = self.count
        seen, kept = len(self.corpus.shortest), len(set(self.corpus.shortest.values()))
        return f"{self.name}: {self.count} inputs, {seen} edges and more seen by {kept} of them, the latest is {latest}"
