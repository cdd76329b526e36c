"""The pages of examples/browser in Chromium, against the demo's tools in this process: they show what they say."""

import json
import socket
from typing import Any

import pytest

from driving import DRIVERS, scripted
from fastsse import App, demo
from real import served

pytestmark = pytest.mark.clients

TOOLS = ["add", "echo", "countdown", "announce"]


def browse(url: str) -> dict[str, Any]:
    """What a person saw on the pages; `nobody` is where no server is."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    return scripted(DRIVERS / "pages.mjs", "--url", url, "--nobody", nobody)


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
