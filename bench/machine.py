"""The machine under a benchmark: its cores, how busy they are, what a process has used, and how to name it all.

Reads /proc and /sys only, so it runs on Linux alone. CPU time comes from schedstat (nanoseconds) of every thread of a
process and its children. Memory is anonymous memory (`Pss_Anon` of smaps_rollup): neither libraries, whose pages turn
from private to shared as other programs start, nor the kernel's socket buffers count. Called by every suite; knows
nothing of servers or of MCP.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET = 0.15  # a core less busy than this counts as free
_QUIET_WAIT = 15.0  # seconds to wait for both cores to be free before a measurement


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the server and the core of the load generator; the same one where there is only one."""

    server: int
    load: int

    @property
    def apart(self) -> bool:
        return self.server != self.load


def cores() -> Cores:
    """Two that share nothing, if there are: a sibling thread of the server's core would slow the server down."""
    server, *others = sorted(os.sched_getaffinity(0))
    siblings = _siblings(server)
    others.sort(key=lambda core: core in siblings)
    return Cores(server, others[0] if others else server)


def on_core(core: int) -> list[str]:
    """What to put before a command to pin it to a core; nothing where there is only one."""
    return ["taskset", "-c", str(core)] if cores().apart else []


def tree(pid: int) -> Iterator[int]:
    """The process and all its descendants, as far as they are still there."""
    yield pid
    for task in _entries(f"/proc/{pid}/task"):
        for child in _read(f"/proc/{pid}/task/{task}/children").split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """User and system time of the process tree. Threads that ended count as far as the 10 ms clock knows them."""
    total = 0.0
    for one in tree(pid):
        precise = sum(
            int(_read(f"/proc/{one}/task/{task}/schedstat").partition(" ")[0] or 0)
            for task in _entries(f"/proc/{one}/task")
        )
        fields = _read(f"/proc/{one}/stat").rpartition(")")[2].split()
        coarse = (int(fields[11]) + int(fields[12]) - 2) / _TICKS if fields else 0.0
        total += max(precise / 1e9, coarse)
    return total


def private_bytes(pid: int) -> int:
    """User-space memory of the process tree that is backed by no file: heap and stacks."""
    total = 0
    for one in tree(pid):
        for line in _read(f"/proc/{one}/smaps_rollup").splitlines():
            if line.startswith("Pss_Anon:"):
                total += int(line.split()[1]) * 1024
    return total


def listener(port: int) -> int:
    """The process of this machine that listens on the port, the topmost where several do; 0 when there is none."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    owners = {int(pid) for pid in _entries("/proc") if pid.isdigit() and inodes & set(_links(f"/proc/{pid}/fd"))}
    return next((pid for pid in sorted(owners) if _parent(pid) not in owners), 0)


def core_busy(core: int) -> tuple[float, float]:
    """Seconds the core has been busy, and seconds in all, since boot."""
    for line in _read("/proc/stat").splitlines():
        if line.startswith(f"cpu{core} "):
            ticks = [int(field) for field in line.split()[1:9]]
            idle = ticks[3] + ticks[4]
            return (sum(ticks) - idle) / _TICKS, sum(ticks) / _TICKS
    raise RuntimeError(f"/proc/stat has no core {core}")


def wait_until_quiet(on: Cores) -> None:
    """Waits, at most 15 s, until both cores are nearly idle: the machine may be shared."""
    deadline = time.monotonic() + _QUIET_WAIT
    while time.monotonic() < deadline:
        before = [core_busy(core) for core in (on.server, on.load)]
        time.sleep(0.25)
        after = [core_busy(core) for core in (on.server, on.load)]
        if all((b[0] - a[0]) / max(b[1] - a[1], 0.01) < _QUIET for a, b in zip(before, after, strict=True)):
            return


def describe() -> dict[str, str]:
    """What the results page says about the machine."""
    models = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if "name" in line]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
        "memory": f"{pages / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "tcp": _read("/proc/sys/net/ipv4/tcp_congestion_control").strip(),
        "python": platform.python_version(),
        "cores": pinned(),
        "fastsse": revision(),
        "wrk": first_line("wrk", "--version").partition(" [")[0] or "missing",
        "gcc": first_line("gcc", "-dumpfullversion") or "missing",
    }


def pinned() -> str:
    """Which core is whose, in words."""
    on = cores()
    if not on.apart:
        return "one core for both"
    shared = ", which is the same core's other thread" if on.load in _siblings(on.server) else ""
    return f"server on {on.server}, load generator on {on.load}{shared}"


def _siblings(core: int) -> set[int]:
    """The logical cores that one physical core is; empty where the kernel does not say."""
    found: set[int] = set()
    for part in _read(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").split(","):
        first, _, last = part.strip().partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return found


def revision() -> str:
    """The commit under test; a `+` says that the package differs from it."""
    commit = first_line("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD") or "unknown"
    changed = first_line("git", "-C", str(ROOT), "status", "--porcelain", "--", "fastsse", "setup.py", "pyproject.toml")
    return commit + ("+" if changed else "")


def first_line(*command: str) -> str:
    """The first line a command prints (some print their version on standard error), or nothing when it is missing."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return next(iter((done.stdout or done.stderr).splitlines()), "").strip()


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # the process ended meanwhile
        return []


def _links(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        with contextlib.suppress(OSError):  # closed meanwhile
            yield os.readlink(f"{folder}/{entry}")


def _parent(pid: int) -> int:
    return int((_read(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["", "0"])[1])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # the process ended meanwhile
        return ""
