"""The Python SDK 2.x client against `tests/conformance_server.py`: tools ask it, and it loses a stream amid a call.

The model and the user of this client answer with the payload. `asked` is what they were asked, `resumed` the
`Last-Event-ID` of every GET that had one: without it nobody could tell a resumed call from one never interrupted.
At a modern revision a call ends with its questions, and the client calls again with the answers: `rounds`.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CreateMessageResult, ElicitResult, TextContent

from driver import arguments, report


async def main() -> None:
    args = arguments()
    asked: dict[str, Any] = {}
    resumed: list[str] = []
    seen: dict[str, Any] = {"asked": asked, "resumed": resumed}

    async def note(request: Any) -> None:
        if request.method == "GET" and "last-event-id" in request.headers:
            resumed.append(request.headers["last-event-id"])

    async def model(context: Any, params: Any) -> Any:
        asked["sampling"] = params.messages[0].content.text
        text = TextContent(type="text", text=f"model {args.payload}")
        return CreateMessageResult(role="assistant", content=text, model="a model", stop_reason="endTurn")

    async def user(context: Any, params: Any) -> Any:
        asked["elicitation"] = params.message
        asked["fields"] = sorted(params.requested_schema["properties"])
        return ElicitResult(action="accept", content={"username": f"user {args.payload}", "email": "a@b.example"})

    async with AsyncExitStack() as stack:
        if args.transport == "sse":
            target: Any = sse_client(args.url)
        else:
            http = httpx2.AsyncClient(timeout=20, event_hooks={"request": [note]})
            target = streamable_http_client(args.url, http_client=await stack.enter_async_context(http))
        asking: dict[str, Any] = {"sampling_callback": model, "elicitation_callback": user}
        client: Any = await stack.enter_async_context(Client(target, mode=args.mode, read_timeout_seconds=20, **asking))
        seen["revision"] = client.protocol_version

        async def call(tool: str, **given: str) -> str:
            return str((await client.call_tool(tool, given)).content[0].text)

        prompt, message = f"prompt {args.payload}", f"message {args.payload}"
        if seen["revision"] == args.mode:  # a modern one: the server cannot ask while a call runs
            seen["rounds"] = await call("test_rounds", prompt=prompt, message=message)
        else:
            seen["sampling"] = await call("test_sampling", prompt=prompt)
            seen["elicitation"] = await call("test_elicitation", message=message)
            resumed.clear()
            seen["reconnection"] = await call("test_reconnection")
            seen["after"] = await call("test_simple_text")
    report(**seen)


asyncio.run(main())
