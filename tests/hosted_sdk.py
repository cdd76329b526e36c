"""The demo app again, as a server of the Python SDK 2: what clients find in `fastsse.demo`, and tools that ask them.

Served by `python -m fastsse tests/hosted_sdk.py:server`, and by the SDK itself to compare. Tools named `test_*` are
those that the drivers `clients/asks_*` call; `wait` and `interrupted` are for `clients/cancels_*`.
"""

from collections import defaultdict
from typing import Annotated, Any

import anyio
import mcp_types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel, Field

Ctx = Context[Any, Any]

server: MCPServer[Any] = MCPServer("hosted-sdk", version="1.0.0")
cancelled: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)


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


@server.tool()
async def wait(ctx: Ctx, name: str) -> str:
    """Waits until it is cancelled."""
    try:
        await ctx.report_progress(1)
        await anyio.sleep(60)
    except anyio.get_cancelled_exc_class():
        cancelled[name].set()
        raise
    return "nobody cancelled"


@server.tool()
async def interrupted(name: str) -> bool:
    """Whether that call was cancelled, soon."""
    with anyio.move_on_after(10):
        await cancelled[name].wait()
    return cancelled[name].is_set()


class User(BaseModel):
    username: Annotated[str, Field(description="User's name")]
    email: Annotated[str, Field(description="User's address")]


@server.tool()
async def test_sampling(prompt: str, ctx: Ctx) -> str:
    """Asks the client's model."""
    text = mcp_types.TextContent(type="text", text=prompt)
    message = mcp_types.SamplingMessage(role="user", content=text)
    found = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    assert isinstance(found.content, mcp_types.TextContent)
    return f"LLM response: {found.content.text}"


@server.tool()
async def test_elicitation(message: str, ctx: Ctx) -> str:
    """Asks the client's user."""
    found = await ctx.elicit(message, User)
    return f"{found.action!r} {found.data.username!r}" if found.action == "accept" else repr(found.action)


@server.tool()
async def test_reconnection(ctx: Ctx) -> str:
    """Loses the stream of its call."""
    await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    return "Reconnection test completed"


@server.tool()
def test_simple_text() -> str:
    """One text."""
    return "This is a simple text response for testing."


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
