"""MCP beside a FastAPI application, in one process and one loop: uvicorn --app-dir examples beside_fastapi:web

The web application is on uvicorn's port, MCP on 3002 (MCP_PORT names another). Both know the same orders; what happens
in one is told to the clients of the other.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import fastsse

orders: list[str] = []
mcp = fastsse.App("orders", version="1.0.0")


@mcp.tool(inline=True)
def list_orders() -> list[str]:
    """The orders so far."""
    return orders


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    async with fastsse.Server(mcp, fastsse.Config(port=int(os.environ.get("MCP_PORT", "3002")))) as server:
        web.state.mcp = server
        yield


web = FastAPI(lifespan=lifespan)


@web.post("/orders")
async def order(what: str) -> int:
    orders.append(what)
    mcp.broadcast("notification", {"type": "notification", "ordered": what})  # to the event streams of GET /mcp
    return len(orders)


@web.get("/mcp-address")
async def address() -> str:
    """Where agents find the tools."""
    url: str = web.state.mcp.url
    return f"{url}/mcp"
