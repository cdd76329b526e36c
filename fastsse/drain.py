"""How a server stops: nobody new, the running calls to their end, the rest with an error, and then nothing is left.

In order: connections without a request are closed, event streams are told when to come back (each at another moment)
and those without calls end; calls have `drain_timeout` to finish; what is not done then is answered with an error; what
peers are still taking they may take as long as they go on. Called by `Server.stop`, which has closed the doors before;
design §1 (ready) and §3, MCP 2026-07-28 subscriptions (a listen stream ends with its result).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Protocol

from fastsse.connection import Home
from fastsse.errors import SERVER_ERROR, CloseReason, McpError
from fastsse.stateless import Listener

if TYPE_CHECKING:
    from fastsse.context import Context

log = logging.getLogger("fastsse.server")

FAREWELL = 0.5
"""Seconds that calls that were cut may take to clean up, and peers to take their last bytes."""
GLANCE = 0.05
"""Seconds between looks at what tells nobody when it is done: request bodies on their way."""
TURNS = 3
"""Turns of the loop that it takes from a connection that waits to be accepted to its first bytes."""


class Draining(Protocol):
    """What is needed of the server."""

    gone: asyncio.Event

    def flush(self) -> None: ...


class Drain:
    """One stop of one server. `cut`: how many calls had to be ended."""

    def __init__(self, home: Home, server: Draining) -> None:
        self.home = home
        self.server = server
        self.cut = 0
        self.stuck: list[str] = []  # names of calls that do not end although they were told to

    async def run(self) -> None:
        home = self.home
        end = home.clock() + home.config.drain_timeout
        for connection in self.home.connections():
            connection.wind_up()
        self._end_streams()
        log.info(
            "stops: %d calls run, %d connections are open", len(home.dispatch.running), len(self.home.connections())
        )
        await self._finished(end)
        tasks = self._cut()
        if home.dispatch.late:
            await asyncio.sleep(home.config.progress_gap)
        self._end_sessions()
        if tasks:
            _, deaf = await asyncio.wait(tasks, timeout=FAREWELL)
            self.stuck = sorted(name for task, name in tasks.items() if task in deaf)
        await self._taken(end)
        for connection in self.home.connections():
            connection.close(CloseReason.SHUTDOWN)
        await self._gone()
        log.info("stopped: %d calls were cut", self.cut)

    # --- streams

    def _end_streams(self) -> None:
        """Streams that wait for events have nothing to wait for any more."""
        home = self.home
        for shard in home.table.shards:
            for member in list(shard.audience):
                if isinstance(member, Listener):
                    member.finish(CloseReason.SHUTDOWN)
        retry = home.config.retry_ms
        for connection in self.home.connections():
            if connection.listen is not None and connection.buffer is not None:
                connection.buffer.push(b"retry: %d\n\n" % (retry + secrets.randbelow(retry + 1)))
        self._end_idle_streams()

    def _end_idle_streams(self) -> None:
        """All but those on which answers are still to come."""
        for connection in self.home.connections():
            listen, buffer = connection.listen, connection.buffer
            if listen is not None and buffer is not None:
                session = listen.session
                if session is None or not session.pair or not (session.calls or self.home.dispatch.late):
                    buffer.end(CloseReason.SHUTDOWN)
        self.server.flush()

    def _end_sessions(self) -> None:
        table = self.home.table
        for shard in table.shards:
            for session in shard.slots:
                if session is not None:
                    table.end(session, CloseReason.SHUTDOWN)
        self.server.flush()

    # --- calls

    async def _finished(self, end: float) -> None:
        """Until everything that was asked is answered, or the time is over."""
        home = self.home
        dispatch = home.dispatch
        while (left := end - home.clock()) > 0:
            arriving = dispatch.late or any(one.arriving for one in home.connections())
            running = [context._task for context in dispatch.running]
            tasks = [task for task in running if task is not None and not task.done()]
            if not tasks and not arriving:
                return
            wait = min(left, GLANCE) if arriving else left
            if tasks:
                await asyncio.wait(tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(wait)
            self._end_idle_streams()

    def _cut(self) -> dict[asyncio.Task[None], str]:
        """Ends what runs, with an error each; the tasks that have to come to their end, and what they are."""
        dispatch = self.home.dispatch
        running: list[Context] = list(dispatch.running)
        error = McpError(SERVER_ERROR, "The server is stopping, and this call was not done in time")
        for context in running:
            log.info("cut: %s %s", context.request.method, context.request.name or "")
            dispatch.cut(context, error)
        self.cut += len(running)
        return {context._task: context.request.name or "" for context in running if context._task is not None}

    # --- connections

    def _held(self) -> int:
        """Bytes that wait for peers."""
        found = 0
        for connection in self.home.connections():
            if connection.buffer is not None:
                found += connection.buffer.size
            if connection.transport is not None:
                found += connection.transport.get_write_buffer_size()
        return found

    async def _taken(self, end: float) -> None:
        """As long as peers take what waits for them, and there is time, they may go on."""
        held = self._held()
        while held:
            await self._wait()
            left = self._held()
            if left >= held or self.home.clock() >= end:
                break
            held = left

    async def _gone(self) -> None:
        """Waits until the transports are gone; those that hold bytes nobody takes are cut after a moment."""
        if self.home.stats.connections_open:
            await self._wait()
            self.abort()
            await self._wait()

    async def _wait(self) -> None:
        """A moment, or until nobody is left."""
        if self.home.stats.connections_open:
            self.server.gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.server.gone.wait(), FAREWELL)

    def abort(self) -> None:
        """Nothing is waited for any more: everything ends now."""
        self._cut()
        self._end_sessions()
        for connection in self.home.connections():
            connection.close(CloseReason.SHUTDOWN)
            if connection.transport is not None:
                connection.transport.abort()
