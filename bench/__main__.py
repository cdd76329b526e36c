"""The whole benchmark: runs the suites, keeps each one's result, renders the page. Started by scripts/bench.

A suite's result is written as soon as it is over, so an interrupted run keeps what it has.
"""

import argparse
import dataclasses
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report, results, servers
from bench.suites import SUITES, Notes, Plan

QUICK = Plan(pairs=1, seconds=1, connections=(4,), streams=(100,), idle=(200,), idle_peers=(200,), wait_for_quiet=False)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def options() -> argparse.ArgumentParser:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures fastsse beside its floors and peers.")
    parser.add_argument("--only", default="", help=f"suites, separated by commas: {', '.join(SUITES)}")
    parser.add_argument("--pairs", type=int, default=plan.pairs, help="rounds, at least 7 for a figure to be quoted")
    parser.add_argument("--seconds", type=float, default=plan.seconds, help="per measurement")
    parser.add_argument("--connections", type=numbers, default=plan.connections, help="for calls, e.g. 1,16,64")
    parser.add_argument("--streams", type=numbers, default=plan.streams, help="for fan-out, e.g. 1000,5000")
    parser.add_argument("--idle", type=numbers, default=plan.idle, help="idle streams; 0 = all the descriptors allow")
    parser.add_argument("--idle-peers", type=numbers, default=plan.idle_peers, help="idle streams for the peers")
    parser.add_argument("--no-peers", action="store_true", help="floors and fastsse only")
    parser.add_argument("--busy", action="store_true", help="do not wait for quiet cores before each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round of small numbers: does it all work?")
    parser.add_argument("--render", action="store_true", help="only write the page again from its results")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the JSON files go")
    parser.add_argument("--page", type=Path, default=report.PAGE, help="where the report goes")
    return parser


def run(name: str, plan: Plan, folder: Path) -> None:
    notes, started = Notes(), time.monotonic()
    rows = list(SUITES[name](plan, notes))
    measured = {row.server.removesuffix("-sse").removesuffix("-session") for row in rows}
    results.write(
        results.Result(
            suite=name,
            about=SUITES[name].__doc__ or "",
            taken=datetime.now(UTC).isoformat(timespec="seconds"),
            took_seconds=round(time.monotonic() - started, 1),
            machine=machine.describe(),
            versions={peer.name: peer.version() for peer in servers.PEER_SERVERS if peer.name in measured},
            plan=dataclasses.asdict(plan),
            notes=notes.lines,
            rows=rows,
        ),
        folder,
    )


def main() -> None:
    given = options().parse_args()
    plan = Plan(
        pairs=given.pairs,
        seconds=given.seconds,
        connections=given.connections,
        streams=given.streams,
        idle=given.idle,
        idle_peers=given.idle_peers,
        peers=not given.no_peers,
        wait_for_quiet=not given.busy,
    )
    if given.quick:
        plan = dataclasses.replace(QUICK, peers=plan.peers)
    names = given.only.split(",") if given.only else list(SUITES)
    if unknown := [name for name in names if name not in SUITES]:
        sys.exit(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}")
    if not given.render:
        for name in names:
            run(name, plan, given.results)
    report.render(results.read_all(given.results), given.page, given.page.parent / "pictures")
    print(f"written: {given.page}")
    if given.page == report.PAGE:
        readme = machine.ROOT / "README.md"
        readme.write_text(report.in_readme(readme.read_text(), results.read_all(given.results)))


if __name__ == "__main__":
    main()
