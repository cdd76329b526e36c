"""The Python SDK 1.x client: a `ClientSession` over the streams of a transport."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import mcp
from mcp.client import sse, streamable_http
from pydantic import AnyUrl

from driver import COUNTDOWN, DEMO, arguments, report


async def main() -> None:
    args = arguments()
    seen: dict[str, Any] = {}
    one: Any = mcp  # 1.x: types are checked against the SDK that fastsse hosts
    connect: Any = sse.sse_client if args.transport == "sse" else streamable_http.streamable_http_client
    async with AsyncExitStack() as stack:
        read, write, *_ = await stack.enter_async_context(connect(args.url))
        client = await stack.enter_async_context(one.ClientSession(read, write, timedelta(seconds=20)))
        hello = await client.initialize()
        seen["revision"] = hello.protocolVersion
        seen["server"] = hello.serverInfo.name
        await client.send_ping()
        seen["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        seen["echo"] = (await client.call_tool(DEMO["echo"], {"text": args.payload})).content[0].text
        seen["add"] = (await client.call_tool(DEMO["add"], {"a": 2, "b": 3})).content[0].text
        seen["progress"] = []
        for _ in range(args.runs):
            events: list[list[float | None]] = []

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:
                events.append([progress, total])  # noqa: B023

            await client.call_tool(DEMO["progress"], COUNTDOWN, progress_callback=on_progress)
            seen["progress"].append(events)
        seen["resources"] = [str(item.uri) for item in (await client.list_resources()).resources]
        templates = await client.list_resource_templates()
        seen["templates"] = [item.uriTemplate for item in templates.resourceTemplates]
        seen["resource"] = (await client.read_resource(AnyUrl(DEMO["resource"]))).contents[0].text
        seen["templated"] = (await client.read_resource(AnyUrl(DEMO["templated"]))).contents[0].text
        seen["prompts"] = [item.name for item in (await client.list_prompts()).prompts]
        prompt = await client.get_prompt(DEMO["prompt"], {"name": DEMO["name"]})
        seen["prompt"] = prompt.messages[0].content.text
        try:
            outcome = await client.call_tool(DEMO["unknown"], {})
            seen["unknown"] = {"isError": outcome.isError}
        except one.McpError as error:
            seen["unknown"] = {"code": error.error.code, "message": error.error.message}
    report(**seen)


asyncio.run(main())
