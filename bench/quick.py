"""The quick one for CI and for every day: `tools/call` on /mcp by wrk, fastsse beside the bare-uvloop floor.

Prints server CPU per call for both and the ratio of each pair; started by scripts/wrk. It fails when a server does not
come up or an answer is wrong, never because of a time.
"""

import argparse
import contextlib
import statistics
import sys
from functools import partial

from bench import machine, servers
from bench.figures import DISTURBED, GENERATOR_LIMIT
from bench.generators import Cost, Wrk, cost

_HEAD = f"{'':8}{'floor µs':>10}{'fastsse µs':>12}{'ratio':>8}{'fastsse/s':>12}{'p50 µs':>9}{'p99 µs':>9}"


def measure(wire: str, connections: int, seconds: float, pairs: int) -> list[tuple[Cost, Cost]]:
    """One (floor, fastsse) per pair; which one goes first changes from pair to pair. Prints each pair."""
    measured = []
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(servers.running(server, wire)) for server in (servers.FLOOR, servers.FASTSSE)]
        wrks = [Wrk(target, wire, connections) for target in targets]
        for wrk in wrks:
            wrk.warm_up(1)
        print(_HEAD)
        for turn in range(pairs):
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            found = {which: cost(targets[which], partial(wrks[which].measure, seconds)) for which in order}
            floor, ours = found[0], found[1]
            measured.append((floor, ours))
            print(
                f"pair {turn + 1:<3}{floor.cpu_us:>10.2f}{ours.cpu_us:>12.2f}{ours.cpu_us / floor.cpu_us:>8.2f}"
                f"{ours.load.work / ours.load.seconds:>12,.0f}"
                f"{ours.load.latency['p50_us']:>9.0f}{ours.load.latency['p99_us']:>9.0f}",
                flush=True,
            )
    return measured


def summary(measured: list[tuple[Cost, Cost]]) -> str:
    ratios = [ours.cpu_us / floor.cpu_us for floor, ours in measured]
    lines = [f"server CPU per call ÷ floor: {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"]
    for i, name in enumerate(("the floor", "fastsse")):
        busy = statistics.median(pair[i].load.busy for pair in measured)
        if busy > GENERATOR_LIMIT:
            lines.append(f"wrk was the bottleneck for {name} ({busy:.0%} busy): its rate is a lower bound")
    disturbed = sum(run.foreign > DISTURBED for pair in measured for run in pair)
    if disturbed:
        lines.append(f"other processes used the server's core in {disturbed} of {2 * len(measured)} measurements")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/wrk", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=3, help="per measurement (wrk counts whole seconds)")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--wire", choices=("session", "stateless", "plain"), default="session")
    given = parser.parse_args()
    how = f"{given.connections} connections, {given.seconds} s each, {machine.pinned()}"
    print(f"tools/call echo on /mcp ({given.wire}), {how}")
    measured = measure(given.wire, given.connections, given.seconds, given.pairs)
    print(summary(measured))
    if failed := sum(run.load.wrong for pair in measured for run in pair):
        sys.exit(f"{failed} requests failed")


if __name__ == "__main__":
    main()
