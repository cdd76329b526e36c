"""The suites: what is measured against what, in interleaved rounds.

Every suite yields `Row`s, one per measurement, with the round it belongs to; figures.py makes ratios and medians of
them. In every round each server is measured once; the floor and fastsse stand next to each other and change places from
round to round, because their ratio is the tight one. Called by bench.__main__.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bench import machine, servers
from bench.floor.answers import MARKER
from bench.generators import (
    Call,
    Cost,
    GeneratorError,
    Load,
    Program,
    Wrk,
    closed,
    cost,
    fan_out,
    lanes,
    open_loop,
    streams,
    tool_call,
)
from bench.servers import Running, Server

WARM_UP = 1.0  # seconds before the first measurement of a server at a setting
SETTLE = 1.0  # seconds between opening streams and reading memory
BESIDE_RATE = 2000.0  # calls a second of an open loop whose latency is watched beside other work
BESIDE_CONNECTIONS = 16
FAN_EVENTS = 10_000.0  # events a second to all streams together, as the other work


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `streams` are the sizes of the fan-out, `idle` those of the idle-stream suite."""

    pairs: int = 7
    seconds: float = 3.0
    connections: tuple[int, ...] = (1, 16, 64)
    streams: tuple[int, ...] = (1000, 5000)
    idle: tuple[int, ...] = (1000, 10000, 0)  # 0: all that the file descriptors allow
    idle_peers: tuple[int, ...] = (1000, 10000)
    peers: bool = True
    wait_for_quiet: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `setting` tells apart what a suite varies; `round` pairs rows with one another."""

    suite: str
    setting: str
    server: str
    title: str
    round: int
    figures: dict[str, float]


@dataclass(slots=True)
class Notes:
    """What a report must say besides figures: why something was not measured, what disturbed it."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)
            print(f"  note: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Subject:
    """A server in a suite, the wire it is called by and what is called."""

    server: Server
    wire: str
    call: Call | None = None


Suite = Callable[[Plan, Notes], Iterator[Row]]


def calls_session(plan: Plan, notes: Notes) -> Iterator[Row]:
    """`tools/call`, inline tool, JSON answer, in a session."""
    yield from _calls("calls-session", "session", plan, notes)


def calls_stateless(plan: Plan, notes: Notes) -> Iterator[Row]:
    """The same in the stateless revision 2026-07-28."""
    yield from _calls("calls-stateless", "stateless", plan, notes)


def _calls(suite: str, wire: str, plan: Plan, notes: Notes) -> Iterator[Row]:
    others = [servers.EPOLL, servers.NODE, *_peers(wire, plan, notes)]
    subjects = [Subject(server, wire) for server in (servers.FLOOR, servers.FASTSSE, *others)]
    yield from _with_wrk(suite, subjects, plan, notes)


def hosted(plan: Plan, notes: Notes) -> Iterator[Row]:
    """Servers of other SDKs on our wire, and the same on uvicorn, from one environment: an async tool in a session.
    (They run plain functions in a thread each time, which costs as much again and is nobody's wire.)"""
    subjects = [Subject(servers.FLOOR, "session")]
    call = Call(tool="echo_async")
    for own, ours in servers.HOSTED:
        if why := ours.missing():
            notes.add(f"{ours.title} not measured: {why}")
        else:
            subjects += [Subject(ours, "session", call), Subject(own, "session", call)]
    yield from _with_wrk("hosted", subjects, plan, notes)


def calls_async(plan: Plan, notes: Notes) -> Iterator[Row]:
    """An async tool that does not suspend, on every Python that has an environment; the floor runs on the same one."""
    call = Call(tool="echo_async")
    app = servers.app_file("app.py")
    for version in ("3.12", "3.13"):
        if version not in servers.pythons():
            notes.add(f"calls-async: Python {version} not measured: no environment in .venvs/{version}")
    for version, python in servers.pythons().items():
        floor = servers.python_floor(python, f"uvloop-{version}", f"bare uvloop, Python {version}")
        ours = servers.fastsse(python, f"fastsse-{version}", f"fastsse, Python {version}", app)
        yield from _with_wrk("calls-async", [Subject(floor, "session"), Subject(ours, "session", call)], plan, notes)


def calls_pair(plan: Plan, notes: Notes) -> Iterator[Row]:
    """Calls over the HTTP+SSE pair: POST → 202 and the answer on the stream. The floor answers a plain POST."""
    subjects = [
        Subject(servers.FLOOR, "plain"),
        Subject(servers.FASTSSE, "sse"),
        Subject(dataclasses.replace(servers.STREAMS_FLOOR, title="bare uvloop, 202 and event"), "sse"),
        *(Subject(server, "sse") for server in _peers("sse", plan, notes)),
    ]
    with contextlib.ExitStack() as stack:
        up = _start(stack, subjects, notes)
        for count in plan.connections:
            with contextlib.ExitStack() as inner:
                runs: dict[Running, Callable[[], Load]] = {}
                for subject, target in up:
                    with _excused("calls-pair", subject.server, notes):
                        program = inner.enter_context(lanes(target, subject.wire, count, subject.call))
                        if (load := closed(program, WARM_UP)).wrong:
                            raise GeneratorError(f"{load.wrong} wrong answers, first: {load.first_wrong}")
                        runs[target] = partial(closed, program, plan.seconds)
                yield from _rounds("calls-pair", f"{count} sessions", runs, plan, notes)


def _with_wrk(suite: str, subjects: list[Subject], plan: Plan, notes: Notes) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        up = _start(stack, subjects, notes)
        for count in plan.connections:
            runs: dict[Running, Callable[[], Load]] = {}
            for subject, target in up:
                with _excused(suite, subject.server, notes):
                    wrk = Wrk(target, subject.wire, count, subject.call)
                    wrk.warm_up(WARM_UP)
                    runs[target] = partial(wrk.measure, plan.seconds)
            yield from _rounds(suite, f"{count} connections", runs, plan, notes)


def fan_out_suite(plan: Plan, notes: Notes) -> Iterator[Row]:
    """One event with 200 bytes of data to every stream, closed loop; cost per delivered event."""
    ours = servers.fastsse(servers.PYTHON, "fastsse", "fastsse", servers.app_file("app.py"))
    without = Server("fastsse-plain", "fastsse, without ids", ours.command, {**ours.wires, "events": "/mcp"})
    with_ids = Server("fastsse-ids", "fastsse, ids and ring", ours.command, ours.wires)
    for count in plan.streams:
        with contextlib.ExitStack() as stack:
            runs: dict[Running, Callable[[], Load]] = {}
            for server, wire, tool in (
                (servers.STREAMS_FLOOR, "events", ""),
                (without, "events", "fan_events"),
                (with_ids, "sse", "fan_sessions"),
                (servers.EPOLL, "events", ""),
            ):
                target = stack.enter_context(servers.running(server, wire))
                trigger = _trigger(target, tool)
                program = stack.enter_context(streams(target, wire, count, trigger, MARKER))
                runs[target] = partial(fan_out, program, plan.seconds)
                runs[target]()  # a warm-up, and the proof that every stream gets its event
            yield from _rounds("fan-out", f"{count} streams", runs, plan, notes)


def idle(plan: Plan, notes: Notes) -> Iterator[Row]:
    """Memory and CPU of streams that only stand there, in a fresh process each time."""
    most = servers.descriptors() - 300
    for count in plan.idle:
        size = count or most
        if size > most:
            notes.add(f"idle: {size} streams need more than the {servers.descriptors()} file descriptors allowed here")
            continue
        for turn in range(plan.pairs):
            ours = [(servers.STREAMS_FLOOR, "events"), (servers.FASTSSE, "sse"), (servers.FASTSSE, "session")]
            for server, wire in ours if turn % 2 == 0 else ours[::-1]:
                yield _idle(server, wire, size, turn)
        if size in plan.idle_peers:
            for wire in ("sse", "session"):
                for server in _peers(wire, plan, notes):
                    with _excused(f"idle, {size} streams, {wire}", server, notes):
                        yield _idle(server, wire, size, 0)


def _idle(server: Server, wire: str, count: int, turn: int) -> Row:
    with servers.running(server, wire, _room_for(count)) as target:
        with streams(target, wire, 1):
            time.sleep(SETTLE)  # what the first stream of all allocates once is nobody's share
        memory, cpu = machine.private_bytes(target.pid), machine.cpu_seconds(target.pid)
        with streams(target, wire, count) as program:
            opened = machine.cpu_seconds(target.pid) - cpu
            time.sleep(SETTLE)
            report = program.command(f"hold {SETTLE}", SETTLE)
            grown = machine.private_bytes(target.pid) - memory
            if report["alive"] < count:
                raise GeneratorError(f"only {report['alive']:.0f} of {count} streams stayed open")
        return _shown(
            Row(
                "idle",
                f"{count} streams",
                f"{server.name}-{wire}",
                f"{server.title}, {server.path_of(wire)}",
                turn,
                {
                    "kb_per_stream": grown / count / 1024,
                    "open_cpu_us": opened / count * 1e6,
                    "before_mb": memory / 2**20,
                },
            )
        )


def _room_for(count: int) -> dict[str, str]:
    """Settings without which fastsse would refuse so many streams; none where its defaults have room."""
    if count < 9000:
        return {}
    return {"FASTSSE_MAX_SESSIONS": str(count + 1000), "FASTSSE_MAX_STREAMS": str(count + 100)}


def beside_idle(plan: Plan, notes: Notes) -> Iterator[Row]:
    """Calls with thousands of idle streams in the same process, and without."""
    count = max(size for size in plan.idle if size) if any(plan.idle) else 1000
    with contextlib.ExitStack() as stack:
        runs: dict[Running, Callable[[], Load]] = {}
        for name, title, held in (("without", "no streams", 0), ("with", f"{count} idle streams", count)):
            server = Server(name, title, servers.FASTSSE.command, servers.FASTSSE.wires)
            target = stack.enter_context(servers.running(server, "session", _room_for(count)))
            if held:
                stack.enter_context(streams(target, "sse", held))
            wrk = Wrk(target, "session", BESIDE_CONNECTIONS)
            wrk.warm_up(WARM_UP)
            runs[target] = partial(wrk.measure, plan.seconds)
        yield from _rounds("beside-idle", f"{count} streams", runs, plan, notes)


def beside_fan_out(plan: Plan, notes: Notes) -> Iterator[Row]:
    """Latency of calls (open loop, 2,000 a second) while 10,000 events a second are fanned out, and without."""
    ours = servers.fastsse(servers.PYTHON, "fastsse", "fastsse", servers.app_file("app.py"))
    for count in plan.streams:
        pace = FAN_EVENTS / count
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(servers.running(ours, "session"))
            quiet = Running(Server("without", "streams idle", ours.command, ours.wires), target.pid, target.port)
            busy = Running(
                Server("with", f"{pace:g} events/s to each", ours.command, ours.wires), target.pid, target.port
            )
            receiver = stack.enter_context(streams(target, "sse", count, _trigger(target, "fan_sessions"), MARKER))
            caller = stack.enter_context(lanes(target, "session", BESIDE_CONNECTIONS))
            open_loop(caller, BESIDE_RATE, WARM_UP)
            runs: dict[Running, Callable[[], Load]] = {
                quiet: partial(open_loop, caller, BESIDE_RATE, plan.seconds),
                busy: partial(_open_beside, caller, receiver, pace, plan.seconds, notes),
            }
            yield from _rounds("beside-fan-out", f"{count} streams", runs, plan, notes)


SUITES: dict[str, Suite] = {
    "calls-session": calls_session,
    "calls-stateless": calls_stateless,
    "calls-async": calls_async,
    "calls-pair": calls_pair,
    "hosted": hosted,
    "fan-out": fan_out_suite,
    "idle": idle,
    "beside-idle": beside_idle,
    "beside-fan-out": beside_fan_out,
}


def _rounds(
    suite: str, setting: str, runs: dict[Running, Callable[[], Load]], plan: Plan, notes: Notes
) -> Iterator[Row]:
    """The interleaved measurements. The first two change places from round to round."""
    order = list(runs)
    for turn in range(plan.pairs):
        first = order[:2] if turn % 2 == 0 else order[1::-1]
        for target in (*first, *order[2:]):
            if plan.wait_for_quiet:
                machine.wait_until_quiet(machine.cores())
            with _excused(f"{suite}, {setting}, round {turn + 1}", target.server, notes):
                spent = cost(target, runs[target])
                if spent.load.wrong:
                    notes.add(f"{suite}, {setting}: {target.server.title} gave {spent.load.wrong} wrong answers")
                yield _shown(Row(suite, setting, target.server.name, target.server.title, turn, figures_of(spent)))


def figures_of(spent: Cost) -> dict[str, float]:
    load = spent.load
    return {
        "cpu_us": spent.cpu_us,
        "per_second": load.work / load.seconds,
        "work": load.work,
        "wrong": load.wrong,
        "server_busy": spent.server_cpu / spent.wall,
        "load_busy": load.busy,
        "foreign": spent.foreign,
        **load.latency,
    }


def _shown(row: Row) -> Row:
    shown = {"cpu_us": "µs", "per_second": "/s", "p99_us": "µs p99", "kb_per_stream": "KB", "open_cpu_us": "µs/open"}
    text = "  ".join(f"{row.figures[name]:>10.2f} {unit}" for name, unit in shown.items() if name in row.figures)
    print(f"{row.suite:16} {row.setting:16} #{row.round + 1} {row.server:18} {text}", file=sys.stderr, flush=True)
    return row


@contextlib.contextmanager
def _excused(where: str, server: Server, notes: Notes) -> Iterator[None]:
    """What fails here is only a note when it is a peer's (or Node's, which may be missing)."""
    try:
        yield
    except (GeneratorError, RuntimeError, OSError) as error:
        if not (server.peer or server is servers.NODE):
            raise
        notes.add(f"{where}: {server.title} not measured: {error}")


def _start(stack: contextlib.ExitStack, subjects: list[Subject], notes: Notes) -> list[tuple[Subject, Running]]:
    up: list[tuple[Subject, Running]] = []
    for subject in subjects:
        with _excused("start", subject.server, notes):
            up.append((subject, stack.enter_context(servers.running(subject.server, subject.wire))))
    return up


def _peers(wire: str, plan: Plan, notes: Notes) -> list[Server]:
    found = []
    for server in servers.PEER_SERVERS if plan.peers else ():
        if wire not in server.wires:
            notes.add(f"{server.title} not measured over {wire}: it does not serve that transport")
        elif why := server.missing():
            notes.add(f"{server.title} not measured: {why}")
        else:
            found.append(server)
    return found


def _trigger(target: Running, tool: str) -> bytes:
    """The request that makes a server fan out; floors do it for any POST to /fan."""
    if tool:
        return tool_call(target, "plain", Call(tool=tool, arguments="{}", expect=""))
    return b"POST /fan HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"


def _open_beside(caller: Program, receiver: Program, pace: float, seconds: float, notes: Notes) -> Load:
    """The open loop while the receiver keeps the events coming; its own report is read afterwards."""
    receiver.begin(f"paced {pace} {seconds + 0.5}")
    load = open_loop(caller, BESIDE_RATE, seconds)
    report = receiver.finish(seconds + 0.5)
    if report["events"] < report["streams"] * (report["triggers"] - 2):
        sent = report["triggers"] * report["streams"]
        notes.add(f"beside-fan-out: fell behind in one run, {report['events']:.0f} of {sent:.0f} events had arrived")
    return load
