"""The official conformance suite against `conformance_server.py`, for both revisions that it has a frozen list of.

A tick of the suite hides warnings and what was skipped, so its `checks.json` files are read: nothing but successes, and
their exact number, lest one is silently left out. That includes the scenarios which the suite runs without scoring them
yet, except those of extensions that we do not have. Source: the npm package in `peers.json`.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driving import NODE, PEERS
from serving import serving

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PACKAGES = PEERS / "node" / "node_modules"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving("tests/conformance_server.py:app") as base:
        yield base


def run(revision: str, server: str, output: Path) -> str:
    """What the suite prints; one `checks.json` per scenario lands under `output`."""
    if not (PEERS / "node.stamp").exists():
        pytest.fail(f"{PEERS} is missing: run scripts/peers")
    suite = PACKAGES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [NODE, suite, "server", "--url", f"{server}/mcp"]
    done = subprocess.run(
        [*map(str, command), "--requirements", revision, "--output-dir", str(output)],
        cwd=output,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    # It ends with 1 when a scored check failed, which the checks below tell better.
    assert done.returncode in (0, 1), done.stdout
    return done.stdout


def checks(output: Path) -> dict[str, list[dict[str, Any]]]:
    """All checks by scenario; a folder is named server-<scenario>-<time>."""
    found = {}
    for file in output.glob("*/checks.json"):
        name = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)
        assert name is not None, file
        found[name[1]] = json.loads(file.read_text())
    return found


def extensions(printed: str) -> set[str]:
    """The scenarios of protocol extensions, which the suite runs whether a server has them or not."""
    _, _, listed = printed.partition("Not scored for ")
    return set(re.findall(r"^\s+[✓✗] (\S+) \(extension\)", listed, re.MULTILINE))


# What the suite counts with its own reference server is 84 and 152. It puts event streams first in one scenario, where
# that server answers JSON at 2026-07-28, which is noted as INFO; ours answers as it is asked, which is one check more.
@pytest.mark.parametrize(("revision", "passed"), [("2025-11-25", 84), ("2026-07-28", 153)])
def test_every_check_passes(revision: str, passed: int, server: str, tmp_path: Path) -> None:
    printed = run(revision, server, tmp_path)
    aside = extensions(printed)
    found = {scenario: listed for scenario, listed in checks(tmp_path).items() if scenario not in aside}
    bad = [
        f"{scenario} {check['id']}: {check['status']} {check.get('errorMessage', '')}"
        for scenario, listed in found.items()
        for check in listed
        if check["status"] not in ("SUCCESS", "INFO")
    ]
    assert not bad, "\n".join(bad)
    assert all(listed for listed in found.values()), printed
    assert sum(check["status"] == "SUCCESS" for listed in found.values() for check in listed) == passed
