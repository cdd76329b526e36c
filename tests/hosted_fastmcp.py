"""The demo app again, as a FastMCP 4 server; runs in the environment of FastMCP that `scripts/peers` makes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers
from mcp_types import ToolListChangedNotification

from hosted_tools import tools

begun: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(server: Any) -> AsyncIterator[dict[str, int]]:
    begun.append("once")
    yield {"answer": 42}


# Of a class of its own, as applications have them.
server: Any = type("Hosted", (FastMCP,), {})("hosted-fastmcp", version="1.0.0", lifespan=lifespan)


def echo(text: str) -> str:
    """Says back what it is told."""
    return text


def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b


async def countdown(ctx: Context, steps: int = 3, delay: float = 0.05) -> str:
    """Reports progress after every step."""
    for step in range(1, steps + 1):
        await asyncio.sleep(delay)
        await ctx.report_progress(step, steps, f"Step {step} of {steps}")
    return f"Counted down from {steps}"


async def inside(ctx: Context) -> str:
    """What it sees around itself."""
    answer = ctx.lifespan_context["answer"]
    return f"{ctx.transport} {get_http_headers()['x-mine']} {answer} {len(begun)}"


def greeting() -> str:
    """A greeting for everybody."""
    return "Hello from a hosted server!"


def greeting_for(name: str) -> str:
    """A greeting for the one who is named in the URI."""
    return f"Hello, {name}!"


def greet(name: str) -> str:
    """Asks for a warm greeting."""
    return f"Write a short and warm greeting for {name}."


async def changes(ctx: Context) -> str:
    """Logs, and tells that the tools have changed."""
    await ctx.info("almost", logger_name="mine", extra={"of": "it"})
    await ctx.debug("nobody wants to know")
    await ctx.send_notification(ToolListChangedNotification())
    return "changed"


for tool in (echo, add, countdown, inside, changes, *tools(Context)):
    server.tool(tool)
server.resource("demo://greeting")(greeting)
server.resource("demo://greeting/{name}")(greeting_for)
server.prompt(greet)
