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
    from fastsse.handler import Plan

ENDINGS = (Exception, SystemExit, asyncio.CancelledError, InputRequired)
"""How work may fail. SystemExit too: what takes itself for a program must not end the server. CancelledError, without
being cancelled: it asked for the result of something that was."""


class Runner(Protocol):
    """What `dispatch` is to the coroutine."""

    def ended(self, context: Context, plan: Plan, value: Any) -> None:
        """The work has come to this value."""
        ...

    def failed(self, context: Context, plan: Plan, error: BaseException) -> None:
        """The work has failed, in one of ENDINGS. Raises the error again when the loop is being closed."""
        ...


async def run(runner: Runner, context: Context, plan: Plan, work: Awaitable[Any]) -> None:
    try:
        value = await work
    except ENDINGS as error:
        runner.failed(context, plan, error)
    else:
        runner.ended(context, plan, value)
