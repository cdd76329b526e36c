"""Looks for bytes that our readers of requests read differently: the compiled `scan`, its readable twin, `Requests`
with and without the scanner and in every cut, and h11.

Inputs are real heads, heads from a grammar of ordinary and hostile parts, and mutations of both (tests/heads.py).
Input N of seed S is always the same bytes, so a failure is repeated with `scripts/fuzz --seed S --first N`. Runs on one
core, until the seconds are over or something was found (exit status 1).
"""

import argparse
import sys
import time
import traceback
from pathlib import Path
from random import Random, randrange

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import heads


def question(rng: Random) -> bytes:
    """One input, and what the limits are while it is read; AssertionError or anything else is a find."""
    data = heads.anything(rng)
    cuts = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(5))]
    limits = rng.choice([64, 300, 4096]), rng.choice([5, 4096])
    try:
        heads.verify_scan(data, rng.choice([0, 0, 0, rng.randrange(len(data) + 1)]))
        heads.verify_requests(data, cuts, *limits)
    except Exception:
        print(f"cuts {cuts}, max_head and max_body {limits}, {len(data)} bytes:\n{data!r}", file=sys.stderr)
        raise
    return data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="when to stop (60)")
    parser.add_argument("--seed", type=int, default=randrange(1 << 32), help="of all inputs (another one each time)")
    parser.add_argument("--first", type=int, default=0, help="the input to begin with (0)")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    end = time.monotonic() + options.seconds
    number, size = options.first, 0
    while time.monotonic() < end:
        try:
            size += len(question(Random(f"{options.seed}/{number}")))
        except Exception:
            traceback.print_exc()
            print(f"FOUND: scripts/fuzz --seed {options.seed} --first {number}", file=sys.stderr)
            return 1
        number += 1
    print(f"{number - options.first} inputs, {size / 1e6:.1f} MB: all readers agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
