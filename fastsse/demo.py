"""The app that `python -m fastsse` serves without an argument: one of everything, nothing that needs a network.

Benchmarks call `echo` and `add`, which is why they run inline. `current_time` reads the system's time zone data; where
there is none (some containers), install the package `tzdata`.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastsse.app import App
from fastsse.context import Context
from fastsse.errors import ToolError

app = App(
    "fastsse-demo",
    version="1.0.0",
    title="fastsse demo",
    instructions="Tools to try a connection with: the time, an echo, a sum, a countdown that reports progress.",
)


@app.tool(title="Current time", annotations={"readOnlyHint": True, "openWorldHint": False})
def current_time(
    timezone: Annotated[str | None, "IANA time zone such as Europe/Vienna; UTC when left out"] = None,
) -> str:
    """The current date and time, as ISO 8601 with the offset of the time zone."""
    if timezone is None:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):  # unknown; not a relative path; a directory of the database
        raise ToolError(f"Unknown time zone: {timezone!r}. Use an IANA name such as 'Europe/Vienna'.") from None
    return datetime.now(zone).isoformat(timespec="seconds")


@app.tool(inline=True, annotations={"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False})
def echo(text: Annotated[str, "What to say back"]) -> str:
    """Says back what it is told."""
    return text


@app.tool(inline=True, annotations={"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False})
def add(a: Annotated[float, "First summand"], b: Annotated[float, "Second summand"]) -> float:
    """Adds two numbers."""
    return a + b


@app.tool(title="Countdown", annotations={"readOnlyHint": True, "openWorldHint": False})
async def countdown(
    context: Context,
    steps: Annotated[int, "How many steps"] = 3,
    delay: Annotated[float, "Seconds between two steps"] = 0.05,
) -> str:
    """Takes its time and reports progress after every step: at most 100 steps of 10 seconds."""
    if not (1 <= steps <= 100 and 0 <= delay <= 10):
        raise ToolError(f"steps must be 1 to 100 and delay 0 to 10 seconds, got {steps} and {delay}")
    context.info(f"Counting down from {steps}")
    for step in range(1, steps + 1):
        await asyncio.sleep(delay)
        context.progress(step, steps, f"Step {step} of {steps}")
    return f"Counted down from {steps}"


@app.resource("demo://greeting", title="Greeting", mime_type="text/plain")
def greeting() -> str:
    """A greeting for everybody."""
    return "Hello from fastsse!"


@app.resource("demo://greeting/{name}", title="Greeting for somebody", mime_type="text/plain")
def greeting_for(name: str) -> str:
    """A greeting for the one who is named in the URI."""
    return f"Hello, {name}, from fastsse!"


@app.prompt(title="Greet somebody")
def greet(name: Annotated[str, "Whom to greet"]) -> str:
    """Asks for a warm greeting."""
    return f"Write a short and warm greeting for {name}."
