"""The coroutines of a call's task: await the work and tell the `Runner` how it has ended.

A room of its own because it stays interpreted: CPython's coroutines await each other for less than half of what a
compiled one costs them.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from fastsse.context import Context, InputRequired

if TYPE_CHECKING:
    from fastsse._framing import Waiting
    from fastsse.handler import Work
    from fastsse.tasks import Runner, Spare

ENDINGS = (Exception, SystemExit, asyncio.CancelledError, InputRequired, BaseExceptionGroup)
"""How work may fail. SystemExit too: what takes itself for a program must not end the server. CancelledError, without
being cancelled: it asked for the result of something that was. A group: a TaskGroup's, of these."""


async def run(runner: Runner, context: Context, work: Work) -> None:
    try:
        value = await runner.begin(context, work)
    except ENDINGS as error:
        runner.failed(context, work, error)
    else:
        runner.ended(context, work, value)


async def awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def stand_by(runner: Runner, spare: Spare) -> None:
    """Waits until a call takes the task over, and goes on with it. Woken without one, it ends."""
    spare.ready = True
    try:
        await spare.wake
    except asyncio.CancelledError:
        if spare.taken is None:
            raise
        cancelled = True  # by the call, or since
    else:
        cancelled = False
    if spare.taken is None:
        return
    context, work, variables, waiting = spare.taken
    try:
        value = await _rest(variables, waiting, cancelled)
    except ENDINGS as error:
        variables.run(runner.failed, context, work, error)
    else:
        variables.run(runner.ended, context, work, value)


@types.coroutine
def _rest(variables: contextvars.Context, waiting: Waiting, cancelled: bool) -> Generator[Any, None, Any]:
    """What comes after a first step."""
    coroutine, future = waiting.coroutine, waiting.future
    thrown: BaseException | None = None
    if cancelled and (future is None or not future.cancel()):  # what a task does that is cancelled while it runs
        thrown = asyncio.CancelledError()
    while True:
        if thrown is None:
            try:
                yield future
            except BaseException as error:
                thrown = error
        try:
            if thrown is None:
                future = variables.run(coroutine.send, None)
            else:
                into, thrown = thrown, None
                future = variables.run(coroutine.throw, into)
        except StopIteration as end:
            return end.value
