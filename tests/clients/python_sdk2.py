"""The Python SDK 2.x client; `--mode` legacy, auto or a modern revision."""

import asyncio
from typing import Any

from mcp import Client, MCPError
from mcp.client.sse import sse_client

from driver import COUNTDOWN, DEMO, arguments, report


async def main() -> None:
    args = arguments()
    seen: dict[str, Any] = {}
    target = sse_client(args.url) if args.transport == "sse" else args.url
    async with Client(target, mode=args.mode, read_timeout_seconds=20) as connected:
        client: Any = connected
        seen["revision"] = client.protocol_version
        seen["server"] = client.server_info.name if client.server_info else None
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
        seen["templates"] = [item.uri_template for item in templates.resource_templates]
        seen["resource"] = (await client.read_resource(DEMO["resource"])).contents[0].text
        seen["templated"] = (await client.read_resource(DEMO["templated"])).contents[0].text
        seen["prompts"] = [item.name for item in (await client.list_prompts()).prompts]
        prompt = await client.get_prompt(DEMO["prompt"], {"name": DEMO["name"]})
        seen["prompt"] = prompt.messages[0].content.text
        try:
            outcome = await client.call_tool(DEMO["unknown"], {})
            seen["unknown"] = {"isError": outcome.is_error}
        except MCPError as error:
            seen["unknown"] = {"code": error.code, "message": error.message}
    report(**seen)


asyncio.run(main())
