"""Tools of `hosted_sdk` and `hosted_fastmcp`: clients are asked by them, and give them up.

The context of both SDKs has these names. Tools named `test_*` are those that the drivers `clients/asks_*` call; `wait`
and `interrupted` are for `clients/cancels_*`. Imports only what the environments of both have.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Annotated, Any

import anyio
import mcp_types
from pydantic import BaseModel, Field

cancelled: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)


async def wait(ctx: Any, name: str) -> str:
    """Waits until it is cancelled."""
    try:
        await ctx.report_progress(1)
        await anyio.sleep(60)
    except anyio.get_cancelled_exc_class():
        cancelled[name].set()
        raise
    return "nobody cancelled"


async def interrupted(name: str) -> bool:
    """Whether that call was cancelled, soon."""
    with anyio.move_on_after(10):
        await cancelled[name].wait()
    return cancelled[name].is_set()


class User(BaseModel):
    username: Annotated[str, Field(description="User's name")]
    email: Annotated[str, Field(description="User's address")]


def told(prompt: str) -> list[mcp_types.SamplingMessage]:
    text = mcp_types.TextContent(type="text", text=prompt)
    return [mcp_types.SamplingMessage(role="user", content=text)]


def said(found: Any) -> str:
    """What the client's model answered."""
    assert isinstance(found, mcp_types.CreateMessageResult)
    assert isinstance(found.content, mcp_types.TextContent)
    return f"LLM response: {found.content.text}"


async def test_sampling(prompt: str, ctx: Any) -> str:
    """Asks the client's model."""
    return said(await ctx.session.create_message(told(prompt), max_tokens=100, related_request_id=ctx.request_id))


async def test_elicitation(message: str, ctx: Any) -> str:
    """Asks the client's user."""
    found = await ctx.elicit(message, User)
    return f"{found.action!r} {found.data.username!r}" if found.action == "accept" else repr(found.action)


async def test_rounds(prompt: str, message: str, ctx: Any) -> str | mcp_types.InputRequiredResult:
    """Asks both at 2026-07-28, where a call ends with its questions and comes again with their answers."""
    answers = ctx.input_responses
    if answers is None:
        schema = User.model_json_schema()
        asked: dict[str, mcp_types.InputRequest] = {
            "model": mcp_types.CreateMessageRequest(
                params=mcp_types.CreateMessageRequestParams(messages=told(prompt), max_tokens=100)
            ),
            "user": mcp_types.ElicitRequest(
                params=mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema)
            ),
        }
        return mcp_types.InputRequiredResult(input_requests=asked, request_state="asked")
    assert ctx.request_state == "asked"
    found = answers["user"]
    return f"{said(answers['model'])}, {found.action!r} {found.content['username']!r}"


async def test_reconnection(ctx: Any) -> str:
    """Loses the stream of its call."""
    await ctx.close_sse_stream()
    await anyio.sleep(0.2)
    return "Reconnection test completed"


def test_simple_text() -> str:
    """One text."""
    return "This is a simple text response for testing."


TOOLS = (wait, interrupted, test_sampling, test_elicitation, test_rounds, test_reconnection, test_simple_text)


def tools(context: Any) -> tuple[Callable[..., Any], ...]:
    """The tools, with this class of contexts: an SDK knows by the annotation what to hand in."""
    for tool in TOOLS:
        if "ctx" in tool.__annotations__:
            tool.__annotations__["ctx"] = context
    return TOOLS
