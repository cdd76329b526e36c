"""The load generators: wrk for calls on /mcp, our C clients for the HTTP+SSE pair, open loops and many streams.

Each runs on the load core and reports what it did and how much CPU it took itself, so that a report can say when it was
the bottleneck. In closed loops none of them sleeps; bench/load/awake.h says why. Answers are checked: by the C clients
always, by wrk in a warm-up of its own, because the check costs wrk a fifth of its speed; in the measured run wrk's
answers must then have the size of the checked ones.
"""

import contextlib
import http.client
import json
import os
import re
import resource
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import machine, tools
from bench.servers import TEXT, Running

REVISION = "2025-11-25"
STATELESS = "2026-07-28"
_META = {"io.modelcontextprotocol/protocolVersion": STATELESS, "io.modelcontextprotocol/clientCapabilities": {}}
_ID_MARK = "#########"
_READY_WAIT = 120.0  # seconds for opening all lanes or streams
_SIZE_TOLERANCE = 0.01  # how far the mean size of unchecked answers may be from that of checked ones


@dataclass(frozen=True, slots=True)
class Call:
    """What is called."""

    tool: str = "echo"
    arguments: str = json.dumps({"text": TEXT}, separators=(",", ":"))
    expect: str = TEXT


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator did: calls or events, its own CPU and what it saw."""

    work: int
    seconds: float
    cpu_seconds: float
    wrong: int
    latency: dict[str, float]  # p50_us, p90_us, p99_us, p999_us, max_us
    detail: dict[str, float]
    first_wrong: str = ""

    @property
    def busy(self) -> float:
        """Share of its core that the generator used but for waiting; near 1 it was the bottleneck."""
        return self.cpu_seconds / self.seconds


class GeneratorError(Exception):
    """A generator ended or fell silent; the text is what it printed."""


class Program:
    """One of our C clients: commands go in by line, a line of JSON comes back."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._name = name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by close()
        self._process = subprocess.Popen(
            [*machine.on_core(machine.cores().load), str(tools.compiled(name)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self._line(_READY_WAIT)
        except GeneratorError:
            self.close()
            raise

    def command(self, line: str, seconds: float) -> dict[str, float]:
        """Sends a command that takes `seconds` and returns what it reports."""
        self.begin(line)
        return self.finish(seconds)

    def begin(self, line: str) -> None:
        """Sends a command without waiting for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def finish(self, seconds: float) -> dict[str, float]:
        """What the command that was begun reports, at most 30 s after the `seconds` it takes."""
        report: dict[str, float] = json.loads(self._line(seconds + 30))
        return report

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what could not be flushed to a client that has ended
                    pipe.close()
        self._log.close()

    def _line(self, seconds: float) -> str:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            self._process.kill()
            self._log.seek(0)
            raise GeneratorError(f"{self._name}: {self._log.read()[-2000:] or f'silent for {seconds:.0f} s'}")
        return line


@contextlib.contextmanager
def lanes(target: Running, wire: str, count: int, call: Call | None = None) -> Iterator[Program]:
    """`count` callers with one call at a time each; commands as in bench/load/calls.c."""
    call = call or Call(expect=target.server.expect)
    where = (target.host, str(target.port), wire, target.path(wire))
    program = Program("calls", *where, str(count), call.tool, call.arguments, call.expect)
    try:
        yield program
    finally:
        program.close()


@contextlib.contextmanager
def streams(target: Running, wire: str, count: int, trigger: bytes = b"", marker: str = "") -> Iterator[Program]:
    """`count` event streams; `trigger` is a request that sends one event with `marker` to each of them."""
    with tempfile.NamedTemporaryFile() as prepared:
        prepared.write(trigger)
        prepared.flush()
        fan = (prepared.name, marker) if trigger else ()
        program = Program("streams", target.host, str(target.port), wire, target.path(wire), str(count), *fan)
        try:
            yield program
        finally:
            program.close()


def closed(program: Program, seconds: float) -> Load:
    return _calls(program.command(f"closed {seconds}", seconds))


def open_loop(program: Program, rate: float, seconds: float) -> Load:
    return _calls(program.command(f"open {rate} {seconds}", seconds))


def fan_out(program: Program, seconds: float) -> Load:
    """Closed loop: the next event is sent when every stream has the last one."""
    report = program.command(f"fan {seconds}", seconds)
    return Load(
        work=int(report["events"]),
        seconds=report["seconds"],
        cpu_seconds=report["cpu_seconds"],
        wrong=int(report["refused"] + report["streams"] - report["alive"]),
        latency=_latency(report),
        detail={"triggers": report["triggers"], "streams": report["streams"]},
    )


class Wrk:
    """wrk against one server: sessions opened beforehand, one checked warm-up, then any number of measured runs."""

    def __init__(self, target: Running, wire: str, connections: int, call: Call | None = None) -> None:
        self._target = target
        self._connections = connections
        self._call = call or Call(expect=target.server.expect)
        self._requests = [_request(target, wire, self._call) for _ in range(connections if wire == "session" else 1)]
        self._size = 0.0

    def warm_up(self, seconds: float) -> Load:
        """Checks every answer. Raises GeneratorError when one is wrong."""
        load, size = self._run(seconds, self._call.expect)
        if load.wrong or not load.work:
            raise GeneratorError(f"{self._target.server.title}: {load.wrong} wrong answers, first: {load.first_wrong}")
        self._size = size
        return load

    def measure(self, seconds: float) -> Load:
        load, size = self._run(seconds, "")
        if self._size and abs(size / self._size - 1) > _SIZE_TOLERANCE:
            title = self._target.server.title
            raise GeneratorError(f"{title}: answers of {size:.1f} bytes, the checked ones had {self._size:.1f}")
        return load

    def _run(self, seconds: float, expect: str) -> tuple[Load, float]:
        with tempfile.NamedTemporaryFile() as prepared:
            prepared.write(b"\0".join([expect.encode(), *self._requests]))
            prepared.flush()
            wrk, environment = tools.need("wrk"), {**os.environ, "LD_PRELOAD": str(tools.compiled("awake.so"))}
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [
                    *machine.on_core(machine.cores().load),
                    wrk,
                    "--threads=1",
                    f"--connections={self._connections}",
                    f"--duration={max(1, round(seconds))}s",
                    "--latency",
                    f"--script={machine.ROOT / 'bench/calls.lua'}",
                    f"http://127.0.0.1:{self._target.port}",
                    "--",
                    prepared.name,
                ],
                env=environment,
                capture_output=True,
                text=True,
                timeout=seconds + 30,
                check=False,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
        if found is None:
            raise GeneratorError(f"wrk: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        report = json.loads(found[1])
        first = re.search(r"^WRONG (.*)$", done.stdout, re.MULTILINE)
        waiting = re.search(r"^WAITING (.*)$", done.stderr, re.MULTILINE)
        if waiting is None:
            raise GeneratorError(f"wrk did not stay awake: {done.stderr[-1000:]}")
        load = Load(
            work=report["calls"],
            seconds=report["seconds"],
            cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - float(waiting[1]),
            wrong=report["wrong"] + report["status_errors"] + report["socket_errors"],
            latency=_latency(report),
            detail={},
            first_wrong=first[1] if first else "",
        )
        return load, report["bytes"] / max(1, report["calls"])


def tool_call(target: Running, wire: str, call: Call) -> bytes:
    """One whole `tools/call` request with a number as id; opens a session for it where the wire has sessions."""
    return _request(target, wire, call).replace(_ID_MARK.encode(), b"100000000")


def _request(target: Running, wire: str, call: Call) -> bytes:
    headers = {"MCP-Protocol-Version": REVISION}
    params: dict[str, object] = {"name": call.tool, "arguments": json.loads(call.arguments)}
    if wire == "stateless":
        headers = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": "tools/call", "Mcp-Name": call.tool}
        params["_meta"] = _META
    elif wire == "session" and call.expect:
        headers["Mcp-Session-Id"] = _open_session(target, target.path(wire))
    elif wire == "session":
        headers["Mcp-Session-Id"] = "0123456789abcdef0123456789abcdef"  # a floor server: same size, no handshake
    message = {"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": params}
    body = json.dumps(message, separators=(",", ":")).replace('"id":0', f'"id":{_ID_MARK}')
    return _post(target, target.path(wire), headers, body)


def _post(target: Running, path: str, headers: dict[str, str], body: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body.encode())}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def _open_session(target: Running, path: str) -> str:
    """The handshake of the session revisions; the session's id."""
    client = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    fixed = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
    }
    with contextlib.closing(client):
        client.request("POST", path, json.dumps(hello), fixed)
        answer = client.getresponse()
        text = answer.read().decode()
        session = answer.getheader("Mcp-Session-Id")
        if answer.status != 200 or session is None:
            raise GeneratorError(f"{target.server.title}: initialize answered {answer.status} {text[:500]}")
        later = {**fixed, "Mcp-Session-Id": session, "MCP-Protocol-Version": REVISION}
        client.request("POST", path, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), later)
        accepted = client.getresponse()
        accepted.read()
        if accepted.status // 100 != 2:
            raise GeneratorError(f"{target.server.title}: notifications/initialized answered {accepted.status}")
    return session


def _calls(report: dict[str, float]) -> Load:
    return Load(
        work=int(report["all_calls"]),
        seconds=report["seconds"],
        cpu_seconds=report["cpu_seconds"],
        wrong=int(report["wrong"] + report["broken"]),
        latency=_latency(report),
        detail={"due": report["due"], "in_time": report["calls"]},
        first_wrong=str(report["first_wrong"]),
    )


def _latency(report: dict[str, float]) -> dict[str, float]:
    return {name: report[name] for name in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us")}


@dataclass(frozen=True, slots=True)
class Cost:
    """A generator's run together with what the server spent on it."""

    load: Load
    server_cpu: float  # seconds
    wall: float
    foreign: float  # share of the server's core that others used

    @property
    def cpu_us(self) -> float:
        """Server CPU per call or event, in microseconds."""
        return self.server_cpu / max(1, self.load.work) * 1e6


def cost(target: Running, run: Callable[[], Load]) -> Cost:
    """Runs a generator and reads the server's CPU before and after."""
    core = machine.cores().server
    busy, begin, cpu = machine.core_busy(core)[0], time.monotonic(), machine.cpu_seconds(target.pid)
    load = run()
    spent, wall = machine.cpu_seconds(target.pid) - cpu, time.monotonic() - begin
    return Cost(load, spent, wall, max(0.0, (machine.core_busy(core)[0] - busy - spent) / wall))
