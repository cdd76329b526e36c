"""The Python SDK 2.x client where people have to say who they are: `--token` in a header, with `--issuer` by its own
OAuth client, which finds the authorization server by itself.
"""

import asyncio
import sys
from typing import Any

from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from driver import arguments, report


class Memory:
    """Keeps tokens for as long as it lives."""

    def __init__(self) -> None:
        self.tokens: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return None

    async def set_client_info(self, info: Any) -> None:
        """It is always the same."""


async def main() -> None:
    args = arguments()
    memory = Memory()
    headers = {"Authorization": f"Bearer {args.token}"}
    auth: Any = None
    if args.issuer:
        headers = {}
        who: Any = ("robot", "its secret", "client_secret_post", None, args.issuer)
        auth = ClientCredentialsOAuthProvider(args.url, memory, *who)
    async with create_mcp_http_client(headers, auth=auth) as http:
        if args.transport == "sse":
            target: Any = sse_client(args.url, headers=headers, auth=auth)
        else:
            target = streamable_http_client(args.url, http_client=http)
        async with Client(target, mode=args.mode, read_timeout_seconds=20) as connected:
            client: Any = connected
            answers = [(await client.call_tool("who", {})).content[0].text for _ in range(2)]
            revision = client.protocol_version
    report(who=answers, revision=revision)


sys.exit(asyncio.run(main()))
