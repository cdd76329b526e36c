"""Installs the strangers that the tests talk to: third-party clients, the conformance suite, Debian packages.

Keeps everything but the Debian packages in the git-ignored `.peers/`: `.peers/node` (npm packages, among them a newer
Node than the machine may have), one Python environment per entry of "python", and one folder of a package's source
archive per entry of "sources". Every version is pinned in `tests/peers.json`, the only place to change one. What is
installed is remembered by a stamp per part, so a second run takes a moment. Refuses to go on with half of it: the first
thing that cannot be had ends the run with one sentence.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
PINS = json.loads((ROOT / "tests" / "peers.json").read_text())


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nscripts/peers: this failed: {' '.join(map(str, command))}")


def debian(commands: dict[str, str]) -> None:
    """Installs the packages whose command is not on the PATH; only root can."""
    missing = [package for command, package in commands.items() if shutil.which(command, path=search_path()) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"scripts/peers: the tests need {', '.join(missing)}; install them, or run this as root on Debian")
    run("apt-get", "update", "-q")
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing, DEBIAN_FRONTEND="noninteractive")


def search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # nginx lives in sbin


def npm(target: Path, versions: dict[str, str]) -> None:
    if shutil.which("npm") is None:
        sys.exit("scripts/peers: npm is not on the PATH; install Node 20 or newer with npm")
    target.mkdir(parents=True)
    (target / "package.json").write_text(json.dumps({"private": True, "dependencies": versions}, indent=2))
    # Exact versions, so that an older Node gives engine warnings rather than older packages.
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts=false", cwd=target)
    run(target / "node_modules" / "node" / "bin" / "node", "--version")


def environment(target: Path, requirements: list[str]) -> None:
    uv = PEERS / "uv" / "bin" / "uv"
    if not uv.exists():
        run(sys.executable, "-m", "venv", PEERS / "uv")
        run(PEERS / "uv" / "bin" / "python", "-m", "pip", "install", "-q", f"uv=={PINS['uv']}")
    run(uv, "venv", "-q", "--python", sys.executable, target)
    # The machine's certificates, as pip and npm use them: a registry may be behind a company's own.
    run(uv, "pip", "install", "-q", "--system-certs", "--python", target / "bin" / "python", *requirements)


def source(target: Path, pin: dict[str, str]) -> None:
    """A folder of a package's source archive: examples are in no wheel."""
    name = pin["package"].partition("=")[0]
    with tempfile.TemporaryDirectory() as folder:
        chosen = ("--no-deps", "--no-binary", name, "--dest", folder)
        run(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", *chosen, pin["package"])
        [archive] = Path(folder).glob("*.tar.gz")
        shutil.unpack_archive(archive, folder)
        shutil.copytree(Path(folder) / archive.name.removesuffix(".tar.gz") / pin["folder"], target)


def main() -> None:
    started = time.monotonic()
    debian(PINS["debian"])
    parts: dict[str, Any] = {"node": (npm, PINS["npm"])} | {
        name: (environment, pins) for name, pins in PINS["python"].items()
    }
    parts |= {name: (source, pin) for name, pin in PINS["sources"].items()}
    made = []
    for name, (install, pins) in parts.items():
        target, stamp = PEERS / name, PEERS / f"{name}.stamp"
        wanted = json.dumps([sys.version, pins])
        if stamp.exists() and stamp.read_text() == wanted:
            continue
        stamp.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        install(target, pins)
        stamp.write_text(wanted)
        made.append(name)
    if made:
        print(f"scripts/peers: installed {', '.join(made)} in {time.monotonic() - started:.0f} s")


main()
