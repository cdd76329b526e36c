"""Results as files: one JSON file per suite in bench/results, with everything needed to say how it came about.

Written by bench.__main__ as soon as a suite is over, read back by the report. A file of an unknown layout is refused.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from bench.machine import ROOT
from bench.suites import Row

FOLDER = ROOT / "bench/results"
_LAYOUT = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One suite's run. `plan` is what was asked for; `versions` names the peers' versions by server."""

    suite: str
    about: str
    taken: str  # UTC, ISO 8601
    took_seconds: float
    machine: dict[str, str]
    versions: dict[str, str]
    plan: dict[str, object]
    notes: list[str]
    rows: list[Row]


def write(result: Result, folder: Path = FOLDER) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [
        {**dataclasses.asdict(row), "figures": {name: float(f"{value:.6g}") for name, value in row.figures.items()}}
        for row in result.rows
    ]
    whole = {"layout": _LAYOUT, **{f.name: getattr(result, f.name) for f in dataclasses.fields(result)}, "rows": rows}
    # One row a line: readable, and a diff shows which measurement changed.
    text = json.dumps({**whole, "rows": []}, indent=1, ensure_ascii=False)
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = folder / f"{result.suite}.json"
    path.write_text(text.replace('"rows": []', f'"rows": [\n  {lines}\n ]') + "\n")
    return path


def read_all(folder: Path = FOLDER) -> dict[str, Result]:
    """Suite → its result, in the order of the files' names. Raises ValueError for a layout that is not ours."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        whole = json.loads(path.read_text())
        if whole.pop("layout", None) != _LAYOUT:
            raise ValueError(f"{path} has a layout that this version does not read")
        whole["rows"] = [Row(**row) for row in whole["rows"]]
        found[str(whole["suite"])] = Result(**whole)
    return found
