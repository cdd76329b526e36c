"""The pages of examples/browser in Chromium, against the demo's tools in this process: they show what they say."""

import json
import os
import shutil
import socket
import subprocess
from typing import Any

import pytest

from fastsse import App, demo
from real import served
from serving import ROOT

pytestmark = pytest.mark.clients

PEERS = ROOT / ".peers"
TOOLS = ["add", "echo", "countdown", "announce"]


def browse(url: str) -> dict[str, Any]:
    """What a person saw on the pages; `nobody` is where no server is."""
    node, drivers = PEERS / "node" / "node_modules" / "node" / "bin" / "node", ROOT / "tests" / "clients"
    assert node.exists(), "run scripts/peers"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    done = subprocess.run(
        [node, "--import", drivers / "resolve.mjs", drivers / "pages.mjs", "--url", url, "--nobody", nobody],
        env=os.environ | {"PEERS": str(PEERS), "CHROMIUM": shutil.which("chromium") or "chromium"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.mark.requirement("D-examples")
def test_what_the_pages_show() -> None:
    app = App("pages")
    app.add_tool(demo.add, inline=True)
    app.add_tool(demo.echo, inline=True)
    app.add_tool(demo.countdown)
    app.add_tool(lambda: app.broadcast("notification", {"type": "notification", "text": "<i>"}), name="announce")
    with served(app) as server:
        seen = browse(server.url)
    assert seen["wrong"] == []
    assert seen["react"]["tools"] == seen["class"]["tools"] == TOOLS
    assert seen["react"]["sum"] == "23.0"
    assert "`$.b`" in seen["react"]["wrong"]
    assert (seen["class"]["progress"], seen["class"]["result"]) == ("3 of 3", "Counted down from 3")
    assert "pages" in seen["plain"]["state"]
    assert seen["plain"]["said"] == "<b>Grüße</b>"
    (event,) = seen["plain"]["events"]
    assert json.loads(event)["text"] == "<i>"
    assert set(seen["nobody"]) == {"react", "class"}
