"""The Python SDK 2.x client against the hosted servers: it gives a call up, and asks whether the tool was told."""

from typing import Any

import anyio
from mcp import Client
from mcp.client.sse import sse_client

from driver import arguments, report


async def main() -> None:
    args = arguments()
    target: Any = sse_client(args.url) if args.transport == "sse" else args.url
    async with Client(target, mode=args.mode, read_timeout_seconds=20) as connected:
        client: Any = connected
        async with anyio.create_task_group() as group:

            async def begun(progress: float, total: float | None, message: str | None) -> None:
                group.cancel_scope.cancel()

            await client.call_tool("wait", {"name": args.payload}, progress_callback=begun)
        told = (await client.call_tool("interrupted", {"name": args.payload})).content[0].text
        revision = client.protocol_version
    report(told=told, revision=revision)


anyio.run(main)
