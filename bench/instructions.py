"""The guard that noise does not touch: instructions per call, counted by callgrind, against the merge base.

Both trees are built from their sources in a temporary folder, by the same interpreter, and counted in the same run:
2,000 calls minus 1,000 calls, so that start-up falls out, with the hash seed and the random numbers fixed. A change
that costs 3 % more on any wire fails unless it explains itself: with a commit trailer `Instructions: why` since the
merge base, or --explain. So does one after which the two cannot be compared. Started by scripts/instructions.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import machine, tools

ROOT = machine.ROOT
WIRES = ("session", "stateless", "sse")
CALLS = 1000
ALLOWED = 0.03
TRAILER = "Instructions"
_RUNS = ("fastsse", "setup.py", "pyproject.toml")
_NEEDED = (*_RUNS, "README.md", "LICENSE")


def git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def base() -> str:
    """What to compare with: the merge base with origin/main; where that is HEAD, what HEAD was made from.

    With uncommitted changes on main that is HEAD itself. Empty when there is nothing before.
    """
    head = git("rev-parse", "HEAD")
    fork = git("merge-base", "HEAD", "origin/main")
    if fork and fork != head:
        return fork
    return head if git("status", "--porcelain", "--", *_NEEDED) else git("rev-parse", "HEAD^")


def unchanged(since: str) -> bool:
    """Whether a call runs through the same sources as it did then."""
    return bool(since) and not git("diff", "--name-only", since, "--", *_RUNS)


def explanation(since: str) -> str:
    """The reason that a commit since then gives for costing more, if one does."""
    return git("log", f"{since}..HEAD", f"--format=%(trailers:key={TRAILER},valueonly,separator=%x20)").strip()


def copy_of_working_tree(into: Path) -> Path:
    """The sources as they stand, committed or not, without what was built in place."""
    into.mkdir()
    ignore = shutil.ignore_patterns("*.so", "*.c", "*.html", "__pycache__")
    for name in _NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=ignore)
        elif source.exists():
            shutil.copy(source, into / name)
    return into


def build(tree: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "FASTSSE_DEBUG": ""},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{tree} does not build:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def count(tree: Path, wire: str, calls: int) -> int:
    """Instructions of one whole run with that many calls. Raises RuntimeError when the run fails."""
    same_addresses = ["setarch", os.uname().machine, "-R"] if shutil.which("setarch") else []
    done = subprocess.run(
        [
            *same_addresses,
            tools.need("valgrind"),
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            sys.executable,
            str(ROOT / "bench/call_path.py"),
            str(tree),
            wire,
            str(calls),
        ],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tree),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        },
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or collected is None:
        said = [line for line in done.stderr.splitlines() if line and not line.startswith("==")]
        raise RuntimeError("\n".join(said[-20:]) or f"ended with {done.returncode}")
    return int(collected[1])


def per_call(tree: Path, wire: str) -> float:
    return (count(tree, wire, 2 * CALLS) - count(tree, wire, CALLS)) / CALLS


def compare(ours: Path, theirs: Path | None, wires: tuple[str, ...]) -> float:
    """Prints instructions per call on each wire; the largest growth, as a fraction (infinite: cannot be compared)."""
    worst = 0.0
    print(f"{'':12}{'merge base':>14}{'now':>14}{'change':>10}")
    for wire in wires:
        now = per_call(ours, wire)
        try:
            before = per_call(theirs, wire) if theirs is not None else 0.0
        except RuntimeError as error:
            print(f"{wire:12}{'does not run':>14}{now:>14,.0f}  {str(error).splitlines()[-1][:100]}", flush=True)
            worst = float("inf")
            continue
        change = now / before - 1 if before else 0.0
        worst = max(worst, change)
        print(f"{wire:12}{before:>14,.0f}{now:>14,.0f}{change:>+10.1%}", flush=True)
    return worst


def refusal(worst: float, reason: str) -> str:
    """Why this change does not pass; empty when it does. Prints an explanation that was needed."""
    if worst < ALLOWED:
        return ""
    what = f"{worst:+.1%} instructions per call" if worst < float("inf") else "the merge base cannot be compared"
    if reason:
        print(f"{what}, explained: {reason}")
        return ""
    return f"{what}; {ALLOWED:.0%} more are allowed. Make it cheaper, or say why in a commit trailer `{TRAILER}: …`"


def main() -> None:
    about = "Instructions per call against the merge base."
    parser = argparse.ArgumentParser(prog="scripts/instructions", description=about)
    parser.add_argument("--base", default=os.environ.get("FASTSSE_BASE", ""), help="commit to compare with")
    parser.add_argument("--wires", default=",".join(WIRES), help="which paths to count")
    parser.add_argument("--explain", default=os.environ.get("FASTSSE_INSTRUCTIONS", ""), help="why it may cost more")
    given = parser.parse_args()
    against = git("rev-parse", "--verify", f"{given.base}^{{commit}}") if given.base else base()
    if given.base and not against:
        sys.exit(f"no commit {given.base}")
    if unchanged(against):
        print(f"nothing that a call runs through has changed since {git('log', '-1', '--format=%h %s', against)}")
        return
    with tempfile.TemporaryDirectory(prefix="fastsse-instructions-") as folder:
        ours = copy_of_working_tree(Path(folder) / "now")
        theirs = Path(folder) / "base"
        try:
            has_base = bool(against and git("cat-file", "-t", f"{against}:fastsse/connection.py"))
            if has_base:
                subprocess.run(
                    ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(theirs), against],
                    check=True,
                    timeout=120,
                )
            print(f"against {git('log', '-1', '--format=%h %s', against) or 'nothing'}", flush=True)
            for tree in [ours, theirs] if has_base else [ours]:
                build(tree)
            worst = compare(ours, theirs if has_base else None, tuple(given.wires.split(",")))
        finally:
            subprocess.run(
                ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(theirs)], capture_output=True, check=False
            )
    refused = refusal(worst, given.explain or explanation(against))
    if refused:
        sys.exit(refused)


if __name__ == "__main__":
    main()
