"""`--reload`: runs the server as a child process and starts it again when a source or `.env` changes.

For development only. A process of its own forgets everything, so that the new code never meets the old; open streams
cannot hang it, since a child that has not gone `GRACE` seconds after SIGTERM is killed. What cannot be imported is
shown by the child; the watch goes on. The only room that knows watchfiles. Called by `__main__`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from watchfiles import PythonFilter, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""

POLL_MS: Final = 200
"""How soon a child that ended by itself and a signal to us are noticed."""


class Child:
    """The server's process, one after the other."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Bytecode is matched by whole seconds and size: two quick edits of equal length would not be seen.
        self.process = subprocess.Popen(self.command, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})

    def stop(self) -> None:
        """Returns when it has gone, after `GRACE` seconds at most."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def ended(self) -> int | None:
        """The exit code of a child that ended by itself, told once."""
        code = None if self.process is None else self.process.poll()
        if code is not None:
            self.process = None
        return code


def run(arguments: Sequence[str], folder: Path) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code. `arguments`: those of `fastsse`, without --reload."""
    child = Child([sys.executable, "-m", "fastsse", *arguments])
    told = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal told
        told = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    folders = {folder, Path.cwd()} if (Path.cwd() / ".env").exists() else {folder}
    _say(f"watches {folder}")
    child.start()
    changes = watch(
        *folders,
        watch_filter=PythonFilter(extra_extensions=(".env",)),
        rust_timeout=POLL_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    try:
        for changed in changes:
            if told:
                break
            code = child.ended()
            if code is not None:
                _say(f"the server ended with exit code {code}; it starts again with the next change")
            if changed:
                _say(f"{_names((path for _, path in changed), folder)} changed, starts again")
                child.stop()
                child.start()
    finally:
        child.stop()
    return 0


def _names(paths: Iterable[str], folder: Path) -> str:
    changed = {Path(path) for path in paths}
    names = sorted(str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in changed)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _say(sentence: str) -> None:
    click.echo(f"fastsse reload: {sentence}", err=True)
