"""bench/RESULTS.md and its pictures, out of the results' files: method, machine, versions, figures, ratios.

Everything in the page is computed or is fixed prose here; nothing is typed by hand. Called by bench.__main__ after a
run, or alone with `scripts/bench --render`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import figures, svg
from bench.figures import TARGETS, Spread
from bench.machine import ROOT
from bench.results import Result
from bench.suites import SUITES, Row

PAGE = ROOT / "bench/RESULTS.md"
PICTURES = ROOT / "bench/pictures"
_FLOORS = ("uvloop", "uvloop-streams", "epoll", "node")
_BASES = {
    "calls-async": "",
    "fan-out": "uvloop-streams",
    "idle": "uvloop-streams-events",
    "beside-idle": "without",
    "beside-fan-out": "without",
}
_METHOD = """\
* The server is pinned to one core and the load generator to another; they talk over loopback with keep-alive.
* Every server is measured once per round. The floor and fastsse stand next to each other and change places from round
  to round; a ratio is that of one round, and the tables show the median of the ratios with least and greatest.
* **Server CPU per call** is the run time of all threads of the server's process tree (nanoseconds from schedstat)
  divided by the calls. On loopback the sender also pays for the receiver's TCP input, so this is more than a network
  card would leave to do. An absolute time means little on a shared machine; compare ratios of the same run.
* Calls go out by wrk with as many sessions as connections and a new id in every request (`tools/call echo`, 340 bytes);
  calls over the HTTP+SSE pair, streams and open loops by small C clients. Every answer is checked for its id and text:
  by the C clients always, by wrk in a warm-up, after which its answers must keep their size.
* Closed loops poll where they would sleep; the generators' columns leave that out. A sleeping generator is woken up by
  the server, in the server's own time (an interrupt of another core), the more often the longer it has to wait: a ratio
  would show that beside the server. Open loops sleep.
* Memory per stream is the anonymous memory of the server's process (`Pss_Anon` in smaps_rollup), after minus before,
  divided by the streams, in a fresh process. The kernel's socket buffers are not in it and are the same for everybody.
* The floor is a bare uvloop Protocol that writes a constant answer without parsing; C epoll is the physical limit. Both
  answer with bytes of the size of a real answer. fastsse runs as anybody starts it: guards, limits and metrics on.
* Peers run in their fastest configuration (JSON answers, no access log; Python peers on uvloop and httptools).
"""


def render(results: dict[str, Result], page: Path = PAGE, pictures: Path = PICTURES) -> None:
    """Writes the page and the pictures it shows."""
    drawn = _draw(results, pictures)
    out = ["# Benchmark results", "", "Written by `scripts/bench` from `bench/results/*.json`; do not edit.", ""]
    out += _machine(results)
    out += ["## Targets", "", *_targets(results), ""]
    out += [
        f"![{title}]({path.relative_to(page.parent)})\n" for title, path in drawn if path.is_relative_to(page.parent)
    ]
    out += ["## Method", "", _METHOD]
    for suite in (*SUITES, *(name for name in results if name not in SUITES)):
        if suite in results:
            out += _suite(results[suite])
    page.write_text("\n".join(out).rstrip() + "\n")


def spread_text(spread: Spread, digits: int = 2) -> str:
    if spread.count == 1:
        return f"{spread.median:.{digits}f}"
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f}–{spread.high:.{digits}f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _machine(results: dict[str, Result]) -> list[str]:
    out = []
    last = max(results.values(), key=lambda r: r.taken)
    labels = {"cpu": "CPU", "tcp": "TCP congestion control", "fastsse": "fastsse at commit", "cores": "pinned"}
    for name, value in last.machine.items():
        out.append(f"* {labels.get(name, name)}: {value}")
    versions = {name: version for result in results.values() for name, version in result.versions.items()}
    out += [f"* {version}" for version in versions.values()]
    if len({result.machine["fastsse"] for result in results.values()}) > 1:
        out.append("* Suites were taken at different commits; each names its own below.")
    return [*out, ""]


def _targets(results: dict[str, Result]) -> list[str]:
    lines = []
    for target in TARGETS:
        if (result := results.get(target.suite)) is None:
            continue
        for setting in target.settings or figures.settings_of(result.rows):
            ratios = figures.ratios(result.rows, setting, target.subject, target.base, target.figure)
            if not ratios:
                continue
            found = Spread.of(ratios)
            sign = "≥" if target.at_least else "≤"
            wanted = "measured" if target.limit is None else f"{sign} {target.limit:g}"
            wanted += f" (aim {target.aim:g})" if target.aim is not None else ""
            verdict = {True: "met", False: "**not met**", None: ""}[target.met(found.median)]
            lines.append((f"{target.label}, {setting}", wanted, spread_text(found), str(found.count), verdict))
    return table(("ratio", "target", "median (range)", "pairs", ""), lines)


def _suite(result: Result) -> list[str]:
    out = [f"## {result.suite}", "", result.about.strip(), ""]
    for setting in figures.settings_of(result.rows):
        rows = [row for row in result.rows if row.setting == setting]
        out += [f"### {setting}", "", *_table(result.suite, setting, rows), ""]
    if slow := figures.limited(result.rows):
        limit = f"The load generator was the bottleneck (more than {figures.GENERATOR_LIMIT:.0%} busy) for: "
        out += [limit + ", ".join(slow) + ". Their rates are lower bounds; CPU per call is not affected.", ""]
    hit, count = figures.disturbed(result.rows)
    if hit:
        out += [f"Other processes used the server's core in {hit} of {count} measurements.", ""]
    out += [f"* {note}" for note in result.notes] + ([""] if result.notes else [])
    out += [f"Taken {result.taken} at {result.machine['fastsse']}, {result.took_seconds:,.0f} s.", ""]
    return out


def _table(suite: str, setting: str, rows: list[Row]) -> list[str]:
    base = _BASES.get(suite, "uvloop")
    if suite == "idle":
        return _memory_table(setting, rows, base)
    lines = []
    for server, title in figures.servers_of(rows).items():
        against = base or server.replace("fastsse", "uvloop")
        ratios = figures.ratios(rows, setting, server, against, "cpu_us")
        lines.append(
            (
                f"**{title}**" if server.startswith("fastsse") else title,
                _cell(rows, setting, server, "cpu_us", 1 if suite.startswith("calls") else 2),
                "1" if server == against else spread_text(Spread.of(ratios)) if ratios else "–",
                _cell(rows, setting, server, "per_second", 0, plain=True),
                _cell(rows, setting, server, "p50_us", 0, plain=True),
                _cell(rows, setting, server, "p99_us", 0, plain=True),
                _cell(rows, setting, server, "server_busy", 2, plain=True),
                _cell(rows, setting, server, "load_busy", 2, plain=True),
            )
        )
    unit = "event" if suite == "fan-out" else "call"
    head = (
        "",
        f"server CPU µs per {unit}",
        "÷ base",
        "per second",
        "p50 µs",
        "p99 µs",
        "server busy",
        "generator busy",
    )
    return table(head, lines)


def _memory_table(setting: str, rows: list[Row], base: str) -> list[str]:
    lines = []
    for server, title in figures.servers_of(rows).items():
        ratios = figures.ratios(rows, setting, server, base, "kb_per_stream")
        lines.append(
            (
                f"**{title}**" if server.startswith("fastsse") else title,
                _cell(rows, setting, server, "kb_per_stream", 2),
                "1" if server == base else spread_text(Spread.of(ratios)) if ratios else "–",
                _cell(rows, setting, server, "open_cpu_us", 0, plain=True),
            )
        )
    return table(("", "KB per stream", "÷ base", "server CPU µs to open one"), lines)


def _cell(rows: list[Row], setting: str, server: str, figure: str, digits: int, plain: bool = False) -> str:
    found = figures.spread(rows, setting, server, figure)
    if found is None:
        return "–"
    return f"{found.median:,.{digits}f}" if plain else spread_text(found, digits)


def _draw(results: dict[str, Result], folder: Path) -> list[tuple[str, Path]]:
    drawn = []
    for suite, wanted, figure, unit, name, title in (
        ("calls-session", "16 connections", "cpu_us", "µs", "cost-per-call", "Server CPU per tools/call"),
        ("idle", "1000 streams", "kb_per_stream", "KB", "memory-per-stream", "User-space memory per idle event stream"),
    ):
        if suite not in results:
            continue
        rows = results[suite].rows
        settings = figures.settings_of(rows)
        setting = wanted if wanted in settings else settings[0]
        entries = []
        for server, label in figures.servers_of(rows).items():
            found = figures.spread(rows, setting, server, figure)
            if found is not None and found.median > 0:
                kind = "ours" if server.startswith("fastsse") else "floor" if server.startswith(_FLOORS) else "other"
                entries.append(svg.Bar(label, found.median, kind))
        if entries:
            folder.mkdir(exist_ok=True)
            path = folder / f"{name}.svg"
            path.write_text(svg.bars(f"{title} ({setting})", unit, sorted(entries, key=lambda bar: bar.value)))
            drawn.append((title, path))
    return drawn


_OPEN, _CLOSE = "<!-- figures -->", "<!-- /figures -->"
_FIGURES = (("calls-session", "16 connections", "session"), ("calls-stateless", "16 connections", "stateless"))


def in_readme(readme: str, results: dict[str, Result]) -> str:
    """The README with its table of costs made anew: `tools/call` in a session and stateless, beside all others.

    Unchanged without results for sessions.
    """
    if (sessions := results.get(_FIGURES[0][0])) is None:
        return readme
    lines = []
    for server, title in figures.servers_of(sessions.rows).items():
        cells = [f"**{title}**" if server.startswith("fastsse") else title]
        for suite, setting, _ in _FIGURES:
            rows = results[suite].rows if suite in results else []
            cells.append(_cell(rows, setting, server, "cpu_us", 1, plain=True))
            for base in ("uvloop", "fastsse"):
                ratios = figures.ratios(rows, setting, server, base, "cpu_us")
                one = "1" if server == base and rows else "–"
                cells.append(f"{Spread.of(ratios).median:.1f}" if ratios else one)
        lines.append(cells)
    head = ["`tools/call`, 16 connections"]
    for _, _, name in _FIGURES:
        head += [f"{name}: server CPU µs", "÷ bare uvloop", "÷ fastsse"]
    taken = (
        f"Taken {sessions.taken[:10]} on {sessions.machine['cpu']}. `scripts/bench` makes this table, and"
        " [the rest](bench/RESULTS.md)."
    )
    before, _, rest = readme.partition(_OPEN)
    _, _, after = rest.partition(_CLOSE)
    return "\n".join([before + _OPEN, *table(head, lines), "", taken, _CLOSE]) + after
