"""The demo app again, as a server of the Python SDK 2: what clients find in `fastsse.demo`, and tools that ask them.

Served by `python -m fastsse tests/hosted_sdk.py:server`.
"""

from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer

from hosted_tools import tools

Ctx = Context[Any, Any]

server: MCPServer[Any] = MCPServer("hosted-sdk", version="1.0.0")


@server.tool()
def echo(text: str) -> str:
    """Says back what it is told."""
    return text


@server.tool()
def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b


@server.tool()
async def countdown(ctx: Ctx, steps: int = 3, delay: float = 0.05) -> str:
    """Reports progress after every step."""
    for step in range(1, steps + 1):
        await anyio.sleep(delay)
        await ctx.report_progress(step, steps, f"Step {step} of {steps}")
    return f"Counted down from {steps}"


for tool in tools(Ctx):
    server.tool()(tool)


@server.resource("demo://greeting")
def greeting() -> str:
    """A greeting for everybody."""
    return "Hello from a hosted server!"


@server.resource("demo://greeting/{name}")
def greeting_for(name: str) -> str:
    """A greeting for the one who is named in the URI."""
    return f"Hello, {name}!"


@server.prompt()
def greet(name: str) -> str:
    """Asks for a warm greeting."""
    return f"Write a short and warm greeting for {name}."
