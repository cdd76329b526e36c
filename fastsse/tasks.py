"""The tasks that calls run in.

asyncio wants a current task where a coroutine runs: timeouts, task groups and anyio ask for it. To make one costs as
much as half a call, and many calls end with their first step. So that step is taken in the name of a spare task, which
the call takes over if it has to wait; otherwise the next call may have it. A call cannot tell (but for the task's
`get_context()`, which is not the call's): it has a context of its own, and a task that somebody could know again, by a
reference, a callback, a cancellation or a name, is not lent twice.
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
from fastsse.handler import ASYNC
from fastsse.running import STRAY, run, stand_by

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
    """A task that stands by until a call takes it over. `ready`: it does by now; `woken()`: it has been told, or
    somebody has cancelled it; `known`: how many references there are while nobody else has one."""

    __slots__ = ("known", "label", "named", "ready", "taken", "task", "wake", "woken")

    def __init__(self, runner: Runner, label: str) -> None:
        self.label = label
        self.ready = False
        self.taken: tuple[Context, Work, contextvars.Context, Coroutine[Any, Any, Any], Any, bool] | None = None
        self.wake: asyncio.Future[None] = runner.loop.create_future()
        self.woken = self.wake.done
        self.task: Any = _Task(stand_by(runner, self), loop=runner.loop, name=label, context=contextvars.Context())
        self.named = self.task.get_name
        self.known = _framing.references(self.task)

    def again(self) -> bool:
        """Whether it may be lent again, unless it has been cancelled."""
        return (
            self.taken is None
            and _framing.references(self.task) == self.known
            and _weak_references(self.task) == 1  # the loop's
            and self.task._callbacks is None
            and self.named() is self.label
        )

    def release(self) -> None:
        if not self.woken():
            self.wake.set_result(None)


class Kind:
    """What tasks of one name are made with, and the one to spare."""

    __slots__ = ("options", "patience", "spare")

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.patience = 0
        self.spare: Spare | None = None


class Runner:
    """Runs work in tasks. What is awaited, and what becomes of it, is for subclasses to say."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._kinds: dict[str, Kind] = {}
        self._most = KEPT

    def begin(self, context: Context, work: Work) -> Coroutine[Any, Any, Any]:
        """The work as a coroutine. Within the task: what a wrapper does before it gives that belongs there too."""
        raise NotImplementedError

    def ended(self, context: Context, work: Work, value: Any) -> None:
        """The work has come to this value."""
        raise NotImplementedError

    def failed(self, context: Context, work: Work, error: BaseException) -> None:
        """The work has failed. Raises the error again when the task itself was cancelled."""
        raise NotImplementedError

    def start(self, context: Context, work: Work) -> None:
        """Runs it as far as it goes; `context._task` is the task of work that has to wait."""
        plan = work.plan
        kind = self._kinds.get(plan.label)
        if kind is None:
            kind = Kind({"loop": self.loop, "name": plan.label, **EAGER})
            if len(self._kinds) < self._most:
                self._kinds[plan.label] = kind
        spare = kind.spare
        if spare is not None and spare.ready:
            kind.spare = None
            if not spare.woken():
                self._lend(spare, context, work)
                self._take_back(kind, spare)
                return
        context._task = _framing.called(_Task, (run(self, context, work),), kind.options)
        if plan.kind != ASYNC:
            return
        if kind.patience > 0:
            kind.patience -= 1
        elif (kind.spare is None or kind.spare.task.done()) and plan.label in self._kinds:
            kind.spare = Spare(self, plan.label)

    def _lend(self, spare: Spare, context: Context, work: Work) -> None:
        """Takes the first step in the spare task's name."""
        variables = _copy_context()
        outer = _current_task(self.loop)
        if outer is not None:  # whose call has let this one begin
            _leave_task(self.loop, outer)
        _enter_task(self.loop, spare.task)
        _framing.enter(variables)
        try:
            value = _framing.first_step(self.begin(context, work))
            if type(value) is not _framing.Waiting:
                self.ended(context, work, value)
            else:
                waiting: _framing.Waiting = value
                context._task = spare.task
                # A task would have seen by now that it is awaited; others may await it until ours sees it.
                future = waiting.future
                awaited = getattr(future, "_asyncio_future_blocking", None) is True
                if awaited:
                    future._asyncio_future_blocking = False
                spare.taken = (context, work, variables, waiting.coroutine, future, awaited)
        except STRAY:
            spare.release()
            raise
        except BaseException as error:
            try:
                self.failed(context, work, error)
            except BaseException:
                spare.release()
                raise
        finally:
            _framing.leave(variables)
            _leave_task(self.loop, spare.task)
            if outer is not None:
                _enter_task(self.loop, outer)

    def _take_back(self, kind: Kind, spare: Spare) -> None:
        if kind.spare is None and spare.again():
            kind.spare = spare
        else:
            kind.patience = PATIENCE
            spare.release()

    async def close(self) -> None:
        """Ends the tasks that stand by."""
        spares = [kind.spare.task for kind in self._kinds.values() if kind.spare is not None]
        self._kinds.clear()
        self._most = 0
        for task in spares:
            task.cancel()
        await asyncio.gather(*spares, return_exceptions=True)
