"""A server whose clock stands still until it is told to go on: what the guides' clients are held open against.

Its app has the tool that guide N's examples call, `reports` to see what that was called with, `advance` to let seconds
pass (one sweep of the whole table per second, as a server at rest does it) and `broadcast` for guide C's typed events.
Prints its address, ends with SIGTERM. Run by tests/test_guides.py; binds localhost, as the guides' settings say.
"""

import asyncio
import os
import signal
import sys

import uvloop

from fastsse import App, Config, Server
from fastsse.pages import timestamp

EPOCH = 1_760_178_600.0  # 2025-10-11T10:30:00Z
app = App("clocked", version="1.0.0")
called: list[list[int]] = []


class Clocked(Server):
    """Seconds pass only through `advance`."""

    def __init__(self) -> None:
        super().__init__(app, Config(port=0, shed_lag=0))  # a clock that leaps is no lag
        self.passed = 0.0
        self.clock = lambda: 1000.0 + self.passed

    def wall(self) -> float:
        return EPOCH + self.passed

    def timestamp(self) -> str:
        return timestamp(self.wall())


server = Clocked()


@app.tool
def get_sprint_report(boardId: int, sprintId: int) -> str:  # noqa: N803 -- the guide's spelling
    """A report, remembered."""
    called.append([boardId, sprintId])
    return f"Sprint {sprintId} of board {boardId}"


@app.tool(inline=True)
def reports() -> list[list[int]]:
    """What `get_sprint_report` was called with."""
    return called


@app.tool
async def advance(seconds: int) -> str:
    """Lets time pass for this server."""
    for _ in range(seconds):
        server.passed += 1.0
        for shard in range(len(server.table.shards)):
            server.table.sweep(shard, server.clock())
        await asyncio.sleep(0)  # what was pushed leaves at the end of the turn
        await asyncio.sleep(0)
    return timestamp(server.wall())


@app.tool(inline=True)
def broadcast(event: str, text: str) -> str:
    """Says something to the plain event streams."""
    app.broadcast(event, {"text": text})
    return "said"


async def main() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 60  # a test of what the server says on stderr, not of how busy the machine is
    loop.add_signal_handler(signal.SIGTERM, told.set)
    async with server:
        print(f"http://localhost:{server.url.rpartition(':')[2]}")
        sys.stdout.flush()
        await told.wait()


factory = asyncio.new_event_loop if os.environ.get("FASTSSE_LOOP") == "asyncio" else uvloop.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
