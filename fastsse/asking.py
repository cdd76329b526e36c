"""A request of ours to a client of the handshake revisions: sent on a stream of its session, answered by a POST.

Keeps its id and the future of its answer; one that is no longer wanted is withdrawn with `notifications/cancelled`.
Called by `context` for questions and by `embed` for what guests ask. MCP basic/utilities/cancellation, client/*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastsse import _framing, jsonrpc
from fastsse.session import Session
from fastsse.stream import MESSAGE, EventStream
from fastsse.writebuffer import NOTICE


class Asking:
    """One such request; its `id` is known before it is sent."""

    __slots__ = ("answer", "id", "session", "stream")

    def __init__(self, session: Session, stream: EventStream, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self.stream = stream
        self.answer: asyncio.Future[tuple[bytes | None, bytes | None]] = loop.create_future()
        self.id = session.ask(self._answered)

    def _answered(self, result: bytes | None, error: bytes | None) -> None:
        if not self.answer.done():
            self.answer.set_result((result, error))

    async def send(
        self, method: str, params: Mapping[str, Any] | None, timeout: float
    ) -> tuple[bytes | None, bytes | None]:
        """(result, error) as raw JSON, one of them None; both when the session ends first. Raises TimeoutError."""
        number, name = b"%d" % self.id, jsonrpc.encode(method)
        self._tell(_framing.request(number, name, jsonrpc.encode(params) if params else None))
        try:
            async with asyncio.timeout(timeout):
                return await self.answer
        except (TimeoutError, asyncio.CancelledError):
            self.session.forget(self.id)
            withdrawn = jsonrpc.encode({"requestId": self.id, "reason": "no longer needed"})
            self._tell(_framing.notification(b'"notifications/cancelled"', withdrawn))
            raise

    def _tell(self, message: bytes) -> None:
        self.stream.send(_framing.event(message, MESSAGE), NOTICE)
