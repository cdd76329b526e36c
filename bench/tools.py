"""The foreign programs a benchmark needs: wrk and gcc, and our own C programs compiled on demand.

A C program is compiled into bench/build (git-ignored) when it or its header is newer than the binary. A missing tool is
installed with apt-get where we may (a CI container as root); elsewhere the error says what to install.
"""

import os
import shutil
import subprocess
from pathlib import Path

from bench.machine import ROOT

_SOURCES = {
    "calls": ROOT / "bench/load/calls.c",
    "streams": ROOT / "bench/load/streams.c",
    "epoll": ROOT / "bench/floor/epoll.c",
    "awake.so": ROOT / "bench/load/awake.c",
}
_HEADERS = [ROOT / "bench/load/http.h", ROOT / "bench/load/awake.h"]
_BUILD = ROOT / "bench/build"


class MissingToolError(Exception):
    """A program the benchmark cannot do without is not there."""


def need(tool: str) -> str:
    """The path of a program, installing the package of the same name if that is possible without asking anybody."""
    if (found := shutil.which(tool)) is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for step in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", tool]):
            subprocess.run(step, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300, check=False)
        if (found := shutil.which(tool)) is not None:
            return found
    raise MissingToolError(f"{tool} is not installed; on Debian: apt-get install {tool}")


def compiled(name: str) -> Path:
    """The binary of one of our C programs, or of what is loaded into others, compiled if it is not up to date."""
    source, binary = _SOURCES[name], _BUILD / name
    newest = max(file.stat().st_mtime for file in (source, *_HEADERS))
    if not binary.exists() or binary.stat().st_mtime < newest:
        _BUILD.mkdir(exist_ok=True)
        scratch = binary.with_suffix(f".{os.getpid()}")
        flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-function", *(["-shared", "-fPIC"] if binary.suffix else [])]
        subprocess.run([need("gcc"), *flags, "-o", str(scratch), str(source)], check=True, timeout=120)
        scratch.replace(binary)  # two runs at once never see half a binary
    return binary
