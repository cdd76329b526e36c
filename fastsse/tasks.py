"""The tasks that calls run in.

asyncio wants a current task where a coroutine runs: timeouts, task groups and anyio ask for it. To make one costs as
much as half a call, and many calls end with their first step. So that step is taken in the name of a spare task, which
the call takes over if it has to wait; otherwise the next call may have it. Nobody can tell: every call has a context of
its own, and a task that somebody could know again (a reference, a callback, a cancellation, a name) is not lent twice.
Steps outside of tasks: https://docs.python.org/3/library/asyncio-extending.html (`_enter_task`, `_leave_task`).
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from fastsse import _framing
from fastsse._framing import Waiting
from fastsse.handler import ASYNC
from fastsse.running import ENDINGS, run, stand_by

if TYPE_CHECKING:
    from fastsse.context import Context
    from fastsse.handler import Work

KEPT = 1000
"""Names of tasks that are kept."""

PATIENCE = 64
"""Calls that get tasks of their own after one that had to wait, as the next ones are likely to."""

EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}

# Names of the room: since 3.12 a look-up of a module's global has no short cut.
_Task = asyncio.Task
_copy_context = contextvars.copy_context
_current_task = asyncio.current_task
_enter_task = asyncio._enter_task
_leave_task = asyncio._leave_task
_weak_references = getweakrefcount


class Spare:
    """A task that stands by until a call takes it over. `ready`: it does by now; `taken`: what it is to go on with;
    `woken()`: it has been told, or somebody has cancelled it; `called()`: its name now."""

    __slots__ = ("called", "ready", "taken", "task", "wake", "woken")

    def __init__(self, wake: asyncio.Future[None]) -> None:
        self.ready = False
        self.taken: tuple[Context, Work, contextvars.Context, Waiting] | None = None
        self.task: Any = None
        self.called: Any = None
        self.wake = wake
        self.woken = wake.done

    def release(self) -> None:
        if not self.woken():
            self.wake.set_result(None)


class Name:
    """What tasks of one name are made with, and the one to spare."""

    __slots__ = ("options", "patience", "spare", "text")

    def __init__(self, text: str, options: dict[str, Any]) -> None:
        self.options = options
        self.patience = 0
        self.spare: Spare | None = None
        self.text = text


class Runner:
    """Runs work in tasks. What is awaited, and what becomes of it, is for subclasses to say."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._begin = self.begin
        self._names: dict[str, Name] = {}

    def begin(self, context: Context, work: Work) -> Coroutine[Any, Any, Any]:
        """The work as a coroutine. Within the task: what a wrapper does before it gives that belongs there too."""
        raise NotImplementedError

    def ended(self, context: Context, work: Work, value: Any) -> None:
        """The work has come to this value."""
        raise NotImplementedError

    def failed(self, context: Context, work: Work, error: BaseException) -> None:
        """The work has failed, in one of ENDINGS. Raises the error again when the task itself was cancelled."""
        raise NotImplementedError

    def start(self, context: Context, work: Work) -> None:
        """Runs it as far as it goes; `context._task` is the task of work that has to wait."""
        plan = work.plan
        name = self._names.get(plan.label)
        if name is None:
            name = Name(plan.label, {"loop": self.loop, "name": plan.label, **EAGER})
            if len(self._names) < KEPT:
                self._names[plan.label] = name
        spare = name.spare
        if spare is not None and spare.ready:
            name.spare = None
            if not spare.woken():
                if self._lend(spare, name.text, context, work):
                    name.spare = spare
                else:
                    name.patience = PATIENCE
                    spare.release()
                return
        context._task = _framing.called(_Task, (run(self, context, work),), name.options)
        if name.spare is not None or plan.kind != ASYNC:
            return
        if name.patience > 0:
            name.patience -= 1
        elif plan.label in self._names:
            spare = name.spare = Spare(self.loop.create_future())
            spare.task = _Task(stand_by(self, spare), loop=self.loop, name=name.text, context=contextvars.Context())
            spare.called = spare.task.get_name

    def _lend(self, spare: Spare, name: str, context: Context, work: Work) -> bool:
        """Takes the first step. True when the task may be lent again."""
        task, value, failure = spare.task, None, None
        before = _framing.references(task)
        variables = _copy_context()
        outer = _current_task(self.loop)
        if outer is not None:  # its work has let the next request begin
            _leave_task(self.loop, outer)
        _enter_task(self.loop, task)
        try:
            value = _framing.first_step(variables, self._begin, context, work)
        except ENDINGS as error:
            failure = error
        except BaseException:
            spare.release()
            raise
        finally:
            _leave_task(self.loop, task)
            if outer is not None:
                _enter_task(self.loop, outer)
        if type(value) is Waiting:
            context._task = task
            spare.taken = (context, work, variables, value)
        elif failure is not None:
            self.failed(context, work, failure)
        else:
            self.ended(context, work, value)
        return (
            spare.taken is None
            and not spare.woken()
            and _framing.references(task) == before
            and _weak_references(task) == 1  # the loop's
            and task._callbacks is None
            and spare.called() is name
        )

    async def close(self) -> None:
        """Ends the tasks that stand by."""
        spares = [name.spare.task for name in self._names.values() if name.spare is not None]
        self._names.clear()
        for task in spares:
            task.cancel()
        await asyncio.gather(*spares, return_exceptions=True)
