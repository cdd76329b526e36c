"""The coroutines of a call's task: await the work and tell the `Runner` how it has ended.

A room of its own because it stays interpreted: CPython's coroutines await each other for less than half of what a
compiled one costs them.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastsse.context import Context
    from fastsse.handler import Work
    from fastsse.tasks import Runner, Spare

STRAY = (KeyboardInterrupt, GeneratorExit)
"""What is no failure of the work: somebody ends the process, or the coroutine. Everything else is an answer. SystemExit
too: what takes itself for a program must not end the server. CancelledError, without being cancelled: it asked for the
result of something that was. And what tests fail or are skipped with."""


FORGIVING = sys.version_info >= (3, 13)
"""A cancellation that is taken back before it was delivered is not delivered."""


async def run(runner: Runner, context: Context, work: Work) -> None:
    try:
        value = await runner.begin(context, work)
    except STRAY:
        raise
    except BaseException as error:
        runner.failed(context, work, error)
    else:
        runner.ended(context, work, value)


async def awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def stand_by(runner: Runner, spare: Spare) -> None:
    """Waits until a call takes the task over, and goes on with it. Woken without one, it ends."""
    spare.ready = True
    cancelled: tuple[Any, ...] | None = None
    try:
        await spare.wake
    except asyncio.CancelledError as error:
        if spare.taken is None:
            raise
        if not FORGIVING or spare.task.cancelling():
            cancelled = error.args
    if spare.taken is None:
        return
    context, work, variables = spare.taken[:3]
    try:
        value = await _rest(spare, cancelled)
    except STRAY:
        raise
    except BaseException as error:
        variables.run(runner.failed, context, work, error)
    else:
        variables.run(runner.ended, context, work, value)


@types.coroutine
def _rest(spare: Spare, cancelled: tuple[Any, ...] | None) -> Generator[Any, None, Any]:
    """What comes after a first step. Keeps neither what was waited for nor what was thrown."""
    assert spare.taken is not None
    (_, _, variables, coroutine, future, awaited), spare.taken = spare.taken, None
    thrown: BaseException | None = None
    # What a task does that is cancelled while it runs.
    if cancelled is not None and not (awaited and future.cancel(*cancelled)):
        thrown = asyncio.CancelledError(*cancelled)
    elif awaited:
        future._asyncio_future_blocking = True
    while True:
        if thrown is None:
            try:
                yield future
            except BaseException as error:
                thrown = error
        future = None
        try:
            future = variables.run(coroutine.send, None) if thrown is None else variables.run(coroutine.throw, thrown)
        except StopIteration as end:
            return end.value
        finally:
            thrown = None
