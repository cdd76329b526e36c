"""What the sdist and the wheel hold, and that the sdist alone gives a package that works in a fresh environment."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

import fastsse

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
LEFTOVERS = shutil.ignore_patterns("__pycache__", "*.c", "*.so", "*.egg-info", "node_modules", ".*")


def bare() -> dict[str, str]:
    """Neither this environment nor this checkout may lend anything to the fresh one."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FASTSSE_"))}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=bare(), capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def prove_that_it_works(python: Path, cwd: Path) -> None:
    """The one place that says what an installed fastsse must be able to do."""
    path = run(python, "-c", "import fastsse._framing as framing; print(framing.__file__)", cwd=cwd).strip()
    assert Path(path).is_relative_to(python.parent.parent)
    assert run(python.parent / "fastsse", "--version", cwd=cwd) == f"fastsse {fastsse.__version__}\n"
    with subprocess.Popen(
        [python, "-m", "fastsse", "--port", "0"], cwd=cwd, env=bare(), stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            listens = next((line for line in server.stderr if "listens on" in line), "")
            assert call(listens.split()[2], "echo", text="é") == "é"
            assert call(listens.split()[2], "current_time", timezone="Europe/Vienna")[-6:] in ("+01:00", "+02:00")
            server.terminate()
            assert server.wait(20) == 0
            assert "Traceback" not in server.stderr.read()
        finally:
            server.kill()


def call(base: str, tool: str, **arguments: str) -> str:
    """The text of a tool's answer."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/mcp", json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(json.load(answer)["result"]["content"][0]["text"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clean copy, its sdist, and the wheel that pip makes of that sdist alone, before it installs it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    for path in ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md", "CHANGELOG.md"):
        if (ROOT / path).exists():
            shutil.copy(ROOT / path, source)
    for path in ("fastsse", "tests", "bench", "examples"):
        shutil.copytree(ROOT / path, source / path, ignore=LEFTOVERS)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, source, cwd=out)
    (sdist,) = out.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", sdist, cwd=out)
    (wheel,) = out.glob("*.whl")
    return {"source": source, "sdist": sdist, "wheel": wheel}


def rooms(source: Path) -> set[str]:
    return {f"fastsse/{path.name}" for path in (source / "fastsse").glob("*.py")}


def test_the_sdist_holds_sources_only(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    compiled = {"fastsse/_framing.pyx", "fastsse/_framing.pxd", "fastsse/_framing.pyi", "fastsse/py.typed"}
    others = {
        "fastsse/docs.js",
        "pyproject.toml",
        "setup.py",
        "LICENSE",
        "tests/oracle.py",
        "examples/hello.py",
        "examples/browser/plain.html",
    }
    assert rooms(built["source"]) | compiled | others <= names
    assert not {name for name in names if name.endswith((".c", ".so", ".pyc"))}
    assert not {name for name in names if name.endswith(".html") and not name.startswith("examples/")}


def test_the_wheel_holds_what_runs(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
        (metadata,) = (BytesParser().parsebytes(archive.read(n)) for n in names if n.endswith("dist-info/METADATA"))
        (entries,) = (archive.read(n).decode() for n in names if n.endswith("dist-info/entry_points.txt"))
    beside = {"fastsse/_framing.pyi", "fastsse/_framing.pxd", "fastsse/py.typed", "fastsse/docs.js"}
    assert rooms(built["source"]) | beside <= names
    assert len({name for name in names if name.startswith("fastsse/_framing.") and name.endswith((".so", ".pyd"))}) == 1
    assert not {name for name in names if name.endswith((".c", ".pyx", ".pyc"))}
    assert {name.partition("/")[0].rpartition(".")[2] for name in names} == {"fastsse", "dist-info"}
    assert any(name.endswith("/LICENSE") for name in names)
    assert "[pytest11]\nfastsse.plugin = fastsse.plugin\n" in entries
    assert metadata["Requires-Python"] == ">=3.11"
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in required} == {
        "uvloop", "h11", "msgspec", "orjson", "click", "tzdata",
    }  # fmt: skip


def test_it_works_in_a_fresh_environment(built: dict[str, Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "-q", built["wheel"], cwd=tmp_path)
    prove_that_it_works(python, tmp_path)
