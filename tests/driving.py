"""Runs a client's driver (a program in tests/clients) to its end, and gives back what it reports."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from serving import ROOT

PEERS = ROOT / ".peers"
DRIVERS = ROOT / "tests" / "clients"
NODE = PEERS / "node" / "node_modules" / "node" / "bin" / "node"


def report(*command: str | Path) -> dict[str, Any]:
    """The JSON object that the command prints. Fails with all that it printed when it fails."""
    done = subprocess.run(
        [*map(str, command)],
        env=os.environ | {"PEERS": str(PEERS), "CHROMIUM": shutil.which("chromium") or "chromium"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def scripted(script: Path, *arguments: str | Path) -> dict[str, Any]:
    """What a driver in JavaScript reports."""
    assert NODE.exists(), "run scripts/peers"
    return report(NODE, "--import", DRIVERS / "resolve.mjs", script, *arguments)
