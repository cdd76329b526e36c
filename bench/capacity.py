"""How many calls a second a server bears beside how many idle streams: an open-loop sweep up to the knee.

Works against the URL of any MCP server on plain HTTP (`/sse` at the end of its path means the HTTP+SSE pair); without a
URL it starts fastsse. Calls are sent at times fixed beforehand, so a server that falls behind shows it in the latency
and does not slow the clock (no coordinated omission). The knee is the highest rate at which 99 % of the calls were over
in time and p99 stayed under the limit. Memory and CPU are known only for a server on this machine. Started by
scripts/capacity.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import machine, servers, svg
from bench.figures import DISTURBED, GENERATOR_LIMIT
from bench.generators import Call, Cost, Load, Program, closed, cost, lanes, open_loop, streams
from bench.servers import Running, Server

_SHARES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)  # of what a closed loop reached
_IN_TIME = 0.99
_REFINE = 2  # how often the knee is narrowed down between the last rate that held and the first that did not
_SETTLE = 1.0
_HEAD = (
    f"{'offered/s':>11}{'done/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}{'µs CPU/call':>13}"
    f"{'server':>8}{'generator':>11}"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One rate: what was offered, what came of it, and whether it held."""

    rate: float
    cost: Cost
    held: bool

    @property
    def load(self) -> Load:
        return self.cost.load


@dataclass(frozen=True, slots=True)
class Sweep:
    """All rates beside one number of idle streams. `kb_per_stream` is None where memory cannot be read."""

    streams: int
    kb_per_stream: float | None
    steps: list[Step]

    @property
    def knee(self) -> Step | None:
        return max((step for step in self.steps if step.held), key=lambda step: step.rate, default=None)

    @property
    def limit(self) -> str:
        """What kept the next rate from holding, if it was not the server."""
        failed = [step for step in self.steps if not step.held]
        if not failed:
            return "the sweep ended before the knee"
        if any(step.load.busy > GENERATOR_LIMIT for step in failed):
            return "the generator was the limit: the server bears more"
        if any(step.cost.foreign > DISTURBED for step in failed):
            return "other processes used the server's core"
        return ""


@dataclass(frozen=True, slots=True)
class Limits:
    lanes: int
    seconds: float
    p99_ms: float


def sweep(target: Running, wire: str, count: int, call: Call, limits: Limits) -> Sweep:
    """Holds `count` streams and raises the rate until it no longer holds. Prints every step as it goes."""
    before = machine.private_bytes(target.pid) if target.pid else 0
    with contextlib.ExitStack() as stack:
        kb = None
        if count:
            print(f"\nopening {count} streams …", end=" ", flush=True)
            held_by = wire if wire == "sse" else "session"  # nobody keeps a plain stream in the other two
            holder = stack.enter_context(streams(target, held_by, count))
            time.sleep(_SETTLE)
            alive = holder.command(f"hold {_SETTLE}", _SETTLE)["alive"]
            if target.pid:
                kb = (machine.private_bytes(target.pid) - before) / count / 1024
            print(f"{alive:.0f} stand" + (f", {kb:.2f} KB each" if kb is not None else ""))
        else:
            print("\nno streams")
        caller = stack.enter_context(lanes(target, wire, limits.lanes, call))
        reached = closed(caller, max(1.0, limits.seconds / 2))
        if reached.wrong or not reached.work:
            sys.exit(f"{reached.wrong} of {reached.work} answers are wrong; the first: {reached.first_wrong}")
        best = reached.work / reached.seconds
        print(f"closed loop with {limits.lanes} callers: {best:,.0f} calls/s")
        print(_HEAD)
        return Sweep(count, kb, list(_climb(target, caller, best, limits)))


def _climb(target: Running, caller: Program, best: float, limits: Limits) -> Iterator[Step]:
    held, failed = 0.0, 0.0
    for share in _SHARES:
        step = _step(target, caller, share * best, limits)
        yield step
        if not step.held:
            failed = step.rate
            break
        held = step.rate
    for _ in range(_REFINE if held and failed else 0):
        step = _step(target, caller, (held * failed) ** 0.5, limits)
        yield step
        if step.held:
            held = step.rate
        else:
            failed = step.rate


def _step(target: Running, caller: Program, rate: float, limits: Limits) -> Step:
    spent = _cost(target, caller, rate, limits.seconds)
    load = spent.load
    in_time = load.detail["in_time"] + limits.lanes  # those under way at the end are not late
    held = in_time >= load.detail["due"] * _IN_TIME and load.latency["p99_us"] <= limits.p99_ms * 1e3 and not load.wrong
    cpu = f"{spent.cpu_us:>13.2f}{spent.server_cpu / spent.wall:>8.0%}" if target.pid else f"{'–':>13}{'–':>8}"
    print(
        f"{rate:>11,.0f}{load.detail['in_time'] / limits.seconds:>11,.0f}{load.latency['p50_us'] / 1e3:>9.2f}"
        f"{load.latency['p99_us'] / 1e3:>9.2f}{load.latency['p999_us'] / 1e3:>9.2f}{cpu}{load.busy:>11.0%}"
        + ("" if held else "   does not hold")
        + (f"   {load.wrong} wrong: {load.first_wrong[:80]}" if load.wrong else ""),
        flush=True,
    )
    return Step(rate, spent, held)


def _cost(target: Running, caller: Program, rate: float, seconds: float) -> Cost:
    if target.pid:
        return cost(target, lambda: open_loop(caller, rate, seconds))
    return Cost(open_loop(caller, rate, seconds), 0.0, seconds, 0.0)


def summary(target: Running, sweeps: list[Sweep], limits: Limits) -> str:
    lines = [f"{'streams':>9}{'KB/stream':>11}{'knee calls/s':>14}{'p50 ms':>9}{'p99 ms':>9}{'calls/s per core':>18}"]
    for found in sweeps:
        kb = "–" if found.kb_per_stream is None else f"{found.kb_per_stream:.2f}"
        if (knee := found.knee) is None:
            lines.append(f"{found.streams:>9}{kb:>11}   no rate held")
            continue
        per_core = f"{1e6 / knee.cost.cpu_us:,.0f}" if target.pid and knee.cost.cpu_us else "–"
        lines.append(
            f"{found.streams:>9}{kb:>11}{knee.rate:>14,.0f}{knee.load.latency['p50_us'] / 1e3:>9.2f}"
            f"{knee.load.latency['p99_us'] / 1e3:>9.2f}{per_core:>18}" + (f"   ({found.limit})" if found.limit else "")
        )
    lines.append(
        f"a rate holds while {_IN_TIME:.0%} of the calls are over in time and p99 is at most {limits.p99_ms:g} ms"
    )
    if not target.pid:
        lines.append("the server is no process of this machine, or not ours to look at: no memory, no CPU")
    return "\n".join(lines)


def picture(title: str, sweeps: list[Sweep]) -> str:
    lines = []
    for found in sweeps:
        steps = sorted(found.steps, key=lambda step: step.rate)
        for name, figure in (("p99", "p99_us"), ("p50", "p50_us")):
            points = [(step.rate, step.load.latency[figure] / 1e3) for step in steps]
            lines.append(svg.Curve(f"{name}, {found.streams} streams", points))
    return svg.curves(
        title, "calls per second, offered", "latency in ms, from the time a call was meant to start", lines
    )


def as_json(sweeps: list[Sweep]) -> str:
    return json.dumps(
        [
            {
                "streams": found.streams,
                "kb_per_stream": found.kb_per_stream,
                "knee": found.knee.rate if found.knee else None,
                "limit": found.limit,
                "steps": [
                    {
                        "rate": step.rate,
                        "held": step.held,
                        "cpu_us": step.cost.cpu_us,
                        "generator_busy": step.load.busy,
                        **step.load.detail,
                        **step.load.latency,
                    }
                    for step in found.steps
                ],
            }
            for found in sweeps
        ],
        indent=1,
    )


def by_url(url: str, expect: str, wire: str | None) -> tuple[Running, str]:
    """The server behind a URL, and the wire: the given one, or what its path stands for."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or parts.hostname is None:
        sys.exit(f"{url}: only http:// URLs are measured (put TLS in front of nothing that you want to measure)")
    path = parts.path if parts.path not in ("", "/") else "/mcp"
    wire = wire or ("sse" if path.rstrip("/").endswith("/sse") else "session")
    port = parts.port or 80
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    whole = path + (f"?{parts.query}" if parts.query else "")
    server = Server(parts.hostname, url, (), {"session": whole, wire: whole}, expect=expect)
    return Running(server, machine.listener(port) if local else 0, port, parts.hostname), wire


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/capacity",
        description="Finds the rate of calls an MCP server on plain HTTP (no https) bears, beside idle event streams.",
    )
    parser.add_argument("url", nargs="?", help="e.g. http://localhost:3002/mcp or …/sse; without it fastsse is started")
    parser.add_argument("--streams", default="0,1000,10000", help="numbers of idle streams to try")
    parser.add_argument(
        "--wire", choices=("session", "stateless", "plain", "sse"), help="instead of what the path says"
    )
    parser.add_argument("--tool", default=Call().tool)
    parser.add_argument("--arguments", default=Call().arguments, help="JSON object")
    parser.add_argument("--expect", default=Call().expect, help="a text that every right answer holds")
    parser.add_argument("--callers", type=int, default=64, help="calls that may be under way at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="per rate")
    parser.add_argument("--p99-ms", type=float, default=50.0, help="latency above which a rate does not hold")
    parser.add_argument("--svg", type=Path, default=machine.ROOT / "bench/build/capacity.svg")
    parser.add_argument("--json", type=Path, help="also write every step as JSON")
    return parser


def main() -> None:
    given = options().parse_args()
    limits = Limits(given.callers, given.seconds, given.p99_ms)
    call = Call(given.tool, given.arguments, given.expect)
    counts = [int(part) for part in given.streams.split(",") if part]
    with contextlib.ExitStack() as stack:
        if given.url:
            target, wire = by_url(given.url, given.expect, given.wire)
        else:
            wire = given.wire or "session"
            target = stack.enter_context(servers.running(servers.FASTSSE, wire))
        on = machine.cores()
        print(f"{given.url or 'fastsse'}: {call.tool} over {wire}, generator on core {on.load}")
        sweeps = [sweep(target, wire, count, call, limits) for count in counts]
        print("\n" + summary(target, sweeps, limits))
    given.svg.parent.mkdir(parents=True, exist_ok=True)
    given.svg.write_text(picture(f"Latency of {call.tool} on {given.url or 'fastsse'} ({wire})", sweeps))
    print(f"drawn: {given.svg}")
    if given.json:
        given.json.write_text(as_json(sweeps) + "\n")


if __name__ == "__main__":
    main()
