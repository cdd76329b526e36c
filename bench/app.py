"""The app that fastsse serves in the suites that the demo app cannot serve: `python -m fastsse bench/app.py:app`.

`echo_async` is the async tool that does not suspend. `fan_events` and `fan_sessions` send one event with 200 bytes of
data to every plain event stream (no event ids) and to every session (event ids and replay ring).
"""

from bench.floor.answers import MARKER
from fastsse import App

app = App("bench")
_PADDING = MARKER.ljust(97, ".")


@app.tool(inline=True)
def echo(text: str) -> str:
    """Returns the text."""
    return text


@app.tool
async def echo_async(text: str) -> str:
    """Returns the text without ever waiting."""
    return text


@app.tool(inline=True)
def fan_events() -> str:
    """One event to every plain event stream."""
    app.broadcast(
        "notification", {"jsonrpc": "2.0", "level": "info", "logger": "bench", "data": _PADDING.ljust(119, ".")}
    )
    return "sent"


@app.tool(inline=True)
def fan_sessions() -> str:
    """One log message to every session."""
    app.notify("notifications/message", {"level": "info", "logger": "bench", "data": _PADDING})
    return "sent"
