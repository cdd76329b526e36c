"""The servers that are measured: the floors, fastsse, and the peers; how each is started, on which core, and stopped.

A `Server` says which wires it speaks (wire → path) and what a right answer holds. `running` starts one on a free port,
pinned to the server's core, and ends it by its pid. A peer that is not there is a reason, never an error: the report
names it as not measured. Called by the suites and the quick scripts.
"""

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine, tools
from bench.floor import answers

PEERS = machine.ROOT / ".peers/bench"
START_WAIT = 30.0  # seconds a server may take until it listens
PYTHON = sys.executable
TEXT = "hello world"
MCP = {"session": "/mcp", "stateless": "/mcp"}
SSE = {"sse": "/sse"}


@dataclass(frozen=True, slots=True)
class Server:
    """One way to serve the tools `echo` and `add`, or a floor that serves constant bytes (then `expect` is empty).

    In `command`, {port} and {transport} (`mcp` or `sse`) are filled in.
    """

    name: str
    title: str
    command: tuple[str, ...]
    wires: Mapping[str, str] = field(hash=False)
    expect: str = TEXT
    peer: str = ""  # the folder in .peers/bench, empty for what is ours

    def missing(self) -> str:
        """Why this server cannot be measured here; empty when it can."""
        if not self.peer or (PEERS / self.peer / "ready").exists():
            return ""
        reason = PEERS / f"{self.peer}.missing"
        return reason.read_text().strip() if reason.exists() else "not built: run bench/peers/build"

    def path_of(self, wire: str) -> str:
        return self.wires[wire]

    def version(self) -> str:
        if not self.peer:
            return ""
        ready = PEERS / self.peer / "ready"
        return ready.read_text().strip() if ready.exists() else ""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    server: Server
    pid: int  # 0: not a process of this machine
    port: int
    host: str = "127.0.0.1"

    def path(self, wire: str) -> str:
        return self.server.path_of(wire)


def python_floor(python: str = PYTHON, name: str = "uvloop", title: str = "bare uvloop") -> Server:
    anything = {"session": "/mcp", "stateless": "/mcp", "plain": "/mcp"}
    return Server(name, title, (python, "-m", "bench.floor.uvloop_floor", "--port", "{port}"), anything, expect="")


def fastsse(python: str = PYTHON, name: str = "fastsse", title: str = "fastsse", *rest: str) -> Server:
    """fastsse as anybody starts it: the demo app, default configuration. `rest` adds an app or flags."""
    return Server(name, title, (python, "-m", "fastsse", *rest, "--port", "{port}"), {**MCP, **SSE, "plain": "/mcp"})


FLOOR = python_floor()
STREAMS_FLOOR = Server(
    "uvloop-streams",
    "bare uvloop",
    (PYTHON, "-m", "bench.floor.uvloop_streams", "--port", "{port}"),
    {"sse": "/sse", "events": "/sse"},
    expect="",
)
EPOLL = Server(
    "epoll",
    "C epoll",
    ("bench/build/epoll", "{port}", "bench/build/answer", "bench/build/stream-head", "bench/build/event"),
    {"session": "/mcp", "stateless": "/mcp", "events": "/sse"},
    expect="",
)
NODE = Server(
    "node",
    "Node hello world",
    ("node", "bench/floor/hello.mjs", "--port", "{port}", "--body", answers.BODY.decode()),
    {"session": "/mcp", "stateless": "/mcp"},
    expect="",
)
FASTSSE = fastsse()
_PORT = ("--port", "{port}")
_PORT_AND_TRANSPORT = (*_PORT, "--transport", "{transport}")
PYTHON_SDK = Server(
    "python-sdk",
    "Python SDK",
    (f"{PEERS}/python-sdk/bin/python", "bench/peers/python/python_sdk.py", *_PORT_AND_TRANSPORT),
    {**MCP, **SSE},
    peer="python-sdk",
)
FASTMCP = Server(
    "fastmcp",
    "FastMCP",
    (f"{PEERS}/fastmcp/bin/python", "bench/peers/python/fastmcp_server.py", *_PORT_AND_TRANSPORT),
    {**MCP, **SSE},
    peer="fastmcp",
)


def hosted(peer: Server, source: str) -> Server:
    """A peer's own server on our wire, in the peer's environment."""
    python = peer.command[0]
    command = (python, "-m", "fastsse", f"bench/peers/python/{source}:server", *_PORT)
    return Server(f"{peer.name}-hosted", f"{peer.title} on fastsse", command, {**MCP, **SSE}, peer=peer.peer)


HOSTED = ((PYTHON_SDK, hosted(PYTHON_SDK, "python_sdk.py")), (FASTMCP, hosted(FASTMCP, "fastmcp_server.py")))
TYPESCRIPT = Server(
    "typescript",
    "TypeScript SDK",
    ("node", f"{PEERS}/typescript/server.mjs", *_PORT_AND_TRANSPORT),
    {**MCP, **SSE},
    peer="typescript",
)
GO = Server(
    "go",
    "Go SDK",
    (f"{PEERS}/go/peer", *_PORT_AND_TRANSPORT),
    {**MCP, **SSE},
    peer="go",
)
RMCP = Server("rmcp", "rmcp", (f"{PEERS}/rmcp/release/peer", *_PORT), MCP, peer="rmcp")
PEER_SERVERS = (PYTHON_SDK, FASTMCP, TYPESCRIPT, GO, RMCP)


def pythons() -> dict[str, str]:
    """The Pythons that have an environment with fastsse here: minor version → interpreter; the running one first."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": PYTHON}
    for python in sorted(machine.ROOT.glob(".venvs/*/bin/python")):
        version = machine.first_line(str(python), "-c", "import sys, fastsse; print('%d.%d' % sys.version_info[:2])")
        if version[:1].isdigit():
            found.setdefault(version, str(python))
    return found


def descriptors() -> int:
    """How many files one process may have open here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def free_port() -> int:
    """A port on which nothing listens, out of those that the kernel gives to no connection by itself.

    In the kernel's own range any client's connection may have taken it before the server comes to bind it.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports: list[int] = [*range(1024, first), *range(last + 1, 65536)]
    for port in random.sample(ports, len(ports)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError(f"every port outside of the kernel's own ({first} to {last}) is in use")


def listening(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def _prepare_epoll() -> None:
    tools.compiled("epoll")
    for name, content in (
        ("answer", answers.ANSWER),
        ("stream-head", answers.STREAM_HEAD + answers.chunk(b": open\n\n")),
        ("event", answers.EVENT),
    ):
        (machine.ROOT / "bench/build" / name).write_bytes(content)


@contextlib.contextmanager
def running(server: Server, wire: str, extra_environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Starts a server for one wire, waits until it listens, and ends it.

    Raises RuntimeError with what it printed when it does not come up.
    """
    if server is EPOLL:
        _prepare_epoll()
    port = free_port()
    transport = "sse" if wire == "sse" else "mcp"
    filled = {"{port}": str(port), "{transport}": transport}
    command = [filled.get(part, part) for part in server.command]
    environment = {**os.environ, "PYTHONPATH": str(machine.ROOT), **(extra_environment or {})}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*machine.on_core(machine.cores().server), *command],
            cwd=machine.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + START_WAIT
            while not listening(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{server.title} does not listen: {' '.join(command)}\n{log.read()[-3000:]}")
                time.sleep(0.05)
            yield Running(server, process.pid, port)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def app_file(name: str) -> str:
    """An app of ours for `python -m fastsse`, as `path:app`."""
    return f"{Path('bench') / name}:app"
