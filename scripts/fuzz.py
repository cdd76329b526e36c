"""Asks of more and more bytes what stands in tests/questions.py: that our readers read them in one way or refuse them
with our own error, and that others read what we write. Guided by coverage, see tests/fuzzing.py.

What comes is decided by the seed. A find ends it with status 1 and shows the input; `--input` asks of that one again.
Runs on one core.
"""

import argparse
import ast
import sys
import traceback
from pathlib import Path
from random import randrange

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fuzzing import Found, Fuzzer
from questions import QUESTIONS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", help=f"some of {', '.join(QUESTIONS)} (all)")
    parser.add_argument("--minutes", type=float, default=1.0, help="when to stop, all questions together (1)")
    parser.add_argument("--seed", type=int, default=randrange(1 << 32), help="of all inputs (another one each time)")
    parser.add_argument("--input", type=ast.literal_eval, help="only this one: b'...', as a find shows it")
    options = parser.parse_args()
    names = options.questions or list(QUESTIONS)
    if unknown := set(names) - set(QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    print(f"seed {options.seed}", flush=True)
    for name in names:
        try:
            if options.input is not None:
                print(name, list(QUESTIONS[name].ask(options.input)))
            else:
                print(Fuzzer(name, QUESTIONS[name], options.seed).run(60 * options.minutes / len(names)), flush=True)
        except Found as found:
            traceback.print_exception(found.__cause__)
            print(f"FOUND: scripts/fuzz {name} --seed {options.seed}, or --input {found.data!r}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
