"""The docs page of a running server in Chromium: tools are listed, what is copied works, what tools say stays text."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from driving import DRIVERS, scripted
from serving import serving

pytestmark = pytest.mark.clients

HOSTILE = "<img src=x onerror=alert(1)></code></pre><script>alert(2)</script> & \"'"


def look(url: str) -> dict[str, Any]:
    """Opens the page and gives back what a person would have seen and copied."""
    return scripted(DRIVERS / "docs.mjs", "--url", url)


def own(base: str) -> set[str]:
    return {f"{base}{path}" for path in ("/docs", "/mcp", "/metrics")} | {"data:,"}


def shell(command: str) -> Any:
    """What a shell prints, read as JSON."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_is_copied_works() -> None:
    with serving() as base:
        seen = look(f"{base}/docs")
        assert seen["wrong"] == [], "nothing was blocked, nothing failed"
        assert set(seen["loaded"]) <= own(base), "the page asks nobody else"
        assert {"current_time", "echo", "add"} <= set(seen["tools"])
        assert seen["schema"]["type"] == "object"
        listed = shell(seen["copied"]["list"])["result"]["tools"]
        assert [tool["name"] for tool in listed] == seen["tools"]
        called = shell(seen["copied"]["call"])["result"]
        assert not called.get("isError", False)
        assert seen["ran"]["fetch"][0]["result"]["content"][0]["type"] == "text"
        assert seen["ran"]["events"][0]["result"]["content"][0]["type"] == "text"
        assert seen["ran"]["plain"][0] == "welcome"
        assert json.loads(seen["copied"]["client"])["mcpServers"]["fastsse-demo"]["url"] == f"{base}/mcp"


def test_a_message_to_the_stream_that_curl_watches() -> None:
    with serving() as base:
        copied = look(f"{base}/docs")["copied"]
        watch = ["bash", "-c", f"exec {copied['stream']}"]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watching:
            assert watching.stdout is not None
            try:
                assert watching.stdout.readline() == "event: endpoint\n"
                session = watching.stdout.readline().strip().rpartition("sessionId=")[2]
                posted = copied["message"].replace("SESSION_ID=…", f"SESSION_ID={session}")
                subprocess.run(["bash", "-c", posted], check=True, timeout=30, capture_output=True)
                answer = next(line for line in watching.stdout if '"tools"' in line)
                assert json.loads(answer.removeprefix("data: "))["result"]["tools"]
            finally:
                watching.terminate()


def test_what_tools_say_stays_text(tmp_path: Path) -> None:
    app = tmp_path / "hostile.py"
    app.write_text(
        "from fastsse.app import App\n"
        f"app = App({HOSTILE!r}, version='1')\n"
        f"@app.tool(description={HOSTILE!r})\n"
        "def tool() -> str:\n    return 'fine'\n"
    )
    with serving(str(app)) as base:
        seen = look(f"{base}/docs")
        assert seen["wrong"] == []
        assert set(seen["loaded"]) <= own(base)
        assert seen["texts"] == [HOSTILE]
        assert shell(seen["copied"]["call"])["result"]["content"] == [{"type": "text", "text": "fine"}]
        assert seen["ran"]["fetch"][0]["result"]["content"] == [{"type": "text", "text": "fine"}]
