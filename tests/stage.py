"""The app that floor 4 is tested with: tools that wait until they are let go, that speak, and that fail."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fakes import MODERN, enveloped, message
from fastsse.app import App
from fastsse.context import Context
from fastsse.errors import McpError, ToolError

BOTH = "application/json, text/event-stream"


class Stage:
    """An app, and what lets its waiting tools go on: `gate` once for all that wait, `step` one step at a time."""

    def __init__(self) -> None:
        self.app = App("stage", version="1.0")
        self.gate = asyncio.Event()
        self.steps = asyncio.Semaphore(0)
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self.contexts: list[Context] = []
        self.app.add_tool(self.echo, inline=True)
        self.app.add_tool(self.speak, inline=True)
        self.app.add_tool(self.thread)
        self.app.add_tool(self.thread_speaks)
        for tool in (self.wait, self.talk, self.fill, self.at_once):
            self.app.add_tool(tool)
        self.app.add_tool(self.fail, inline=True)
        self.app.add_tool(self.wait, name="one_by_one", limit=1)
        self.app.add_tool(self.wait, name="hurried", timeout=5.0)

    def echo(self, text: str) -> str:
        return text

    async def at_once(self, text: str) -> str:
        return text

    async def wait(self, context: Context) -> str:
        self.contexts.append(context)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return "done"

    async def talk(self, context: Context, steps: int = 1) -> str:
        """Reports progress whenever it is let go on, and once more before it ends."""
        self.contexts.append(context)
        for number in range(steps):
            context.progress(number, steps)
            await self.steps.acquire()
        return "said"

    async def fill(self, context: Context, count: int, size: int, drain: bool = True) -> str:
        """Sends `count` log messages of `size` bytes, as fast as it may."""
        for number in range(count):
            context.log("error", f"{number}:".ljust(size, "."))
            if drain:
                await context.drain()
        return "filled"

    def speak(self, context: Context, text: str) -> str:
        context.info(text)
        return text

    def thread(self) -> str:
        return f"main: {threading.current_thread() is threading.main_thread()}"

    def thread_speaks(self, context: Context) -> str:
        for number in range(3):
            context.progress(number + 1, 3, f"step {number + 1}")
        context.warning("from a thread")
        return f"main: {threading.current_thread() is threading.main_thread()}"

    def fail(self, how: str) -> str:
        raise {
            "tool": ToolError("said to the model"),
            "mcp": McpError(-1, "said to the client", {"why": "it was asked"}),
            "crash": RuntimeError("said to nobody"),
        }[how]


def call(name: str, id: Any = 1, token: Any = None, **arguments: Any) -> bytes:
    """A `tools/call`; `token` asks for progress."""
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    return message("tools/call", params, id)


def modern(name: str, id: Any = 1, token: Any = None, **arguments: Any) -> tuple[bytes, dict[str, Any]]:
    """The same at 2026-07-28: the body, and the fields that go with it."""
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    fields: dict[str, Any] = {
        "mcp_protocol_version": MODERN,
        "mcp_method": "tools/call",
        "mcp_name": name,
        "accept": BOTH,
    }
    return message("tools/call", enveloped(params), id), fields


def said(answer: Any) -> Any:
    """The text of a tool result: of a JSON-RPC response, or of an HTTP answer or the last event that holds one."""
    if not isinstance(answer, dict):
        answer = answer.messages[-1] if answer.fields["content-type"] == "text/event-stream" else answer.json
    return answer["result"]["content"][0]["text"]
