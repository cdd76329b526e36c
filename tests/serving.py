"""One process of the real server for the tests that need a real socket: `python -m fastsse …` on a free port.

Refuses to hang: start and end have a limit, and what the process printed is shown when one of them fails. Leaving the
block is itself a test: SIGTERM has to end the process, with exit code 0 and without a traceback in what it printed.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
START = 30.0
END = 15.0


class Started:
    """A process of `python -m fastsse`, or of a script that runs a server, which has printed its start-up lines."""

    def __init__(self, process: subprocess.Popen[Any], log: IO[str]) -> None:
        self.process = process
        self.log = log

    def printed(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def line(self, name: str) -> str:
        """What stands behind this name in the start-up lines."""
        return (
            next(line for line in self.printed().splitlines() if line.startswith(f"  {name} ")).split(name)[1].strip()
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(END)


@contextmanager
def started(*command: str, ready: str = "accepts origins", **options: Any) -> Iterator[Started]:
    """A process that has printed that it is ready; whatever becomes of it, it is gone behind the block."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **{"cwd": ROOT} | options)
        found = Started(process, log)
        try:
            deadline = time.monotonic() + START
            while ready not in found.printed():
                assert process.poll() is None, f"{command} ended with {process.returncode}:\n{found.printed()}"
                assert time.monotonic() < deadline, f"{command} has not started after {START} s:\n{found.printed()}"
                time.sleep(0.02)
            yield found
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def served(*arguments: str, python: str | Path = sys.executable, **environment: str) -> Iterator[Started]:
    """A server that listens on a port of this machine; `arguments` are those of `python -m fastsse`."""
    command = (str(python), "-m", "fastsse", *arguments, "--host", "127.0.0.1", "--port", "0")
    with started(*command, env=os.environ | environment) as server:
        yield server
        assert server.process.poll() is None, f"the server ended with {server.process.returncode}:\n{server.printed()}"
        assert server.stop() == 0, server.printed()
        assert "Traceback" not in server.printed(), server.printed()


@contextmanager
def serving(*arguments: str, python: str | Path = sys.executable, **environment: str) -> Iterator[str]:
    """Yields `http://127.0.0.1:<port>` of one that is `served`."""
    with served(*arguments, python=python, **environment) as server:
        yield server.line("listens on")


def healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
