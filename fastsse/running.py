"""The coroutine of a call's task: awaits the work and tells `dispatch` how it has ended.

A room of its own because it stays interpreted: CPython's coroutines await each other for less than half of what a
compiled one costs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

from fastsse.context import Context, InputRequired

if TYPE_CHECKING:
    from fastsse.handler import Work

ENDINGS = (Exception, SystemExit, asyncio.CancelledError, InputRequired, BaseExceptionGroup)
"""How work may fail. SystemExit too: what takes itself for a program must not end the server. CancelledError, without
being cancelled: it asked for the result of something that was. A group: a TaskGroup's, of these."""


class Runner(Protocol):
    """What `dispatch` is to the coroutine."""

    def begin(self, context: Context, work: Work) -> Awaitable[Any]:
        """What is to be awaited. Within the task: what a wrapper does before it gives that belongs there too."""
        ...

    def ended(self, context: Context, work: Work, value: Any) -> None:
        """The work has come to this value."""
        ...

    def failed(self, context: Context, work: Work, error: BaseException) -> None:
        """The work has failed, in one of ENDINGS. Raises the error again when the task itself was cancelled."""
        ...


async def run(runner: Runner, context: Context, work: Work) -> None:
    try:
        value = await runner.begin(context, work)
    except ENDINGS as error:
        runner.failed(context, work, error)
    else:
        runner.ended(context, work, value)
