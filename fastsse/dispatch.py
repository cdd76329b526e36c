"""Message → handler → reply: runs what rules have decided to call.

A handler that answers at once costs no task, no context and no timer. Work on the loop, in a thread or in a
task gets a `Context`; its answer goes to the connection, or onto the stream that the call has become.
Exceptions become error responses here and nowhere else; what is not meant for strangers is logged. How work
gets its task is said in `tasks`. Cancelling: `notifications/cancelled` in the session eras, a closed response at
2026-07-28.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from threading import get_ident
from types import CoroutineType
from typing import Any

from fastsse import _framing, errors
from fastsse.config import Config
from fastsse.context import Context, InputRequired, Line, asked_in, new_context
from fastsse.decision import Call
from fastsse.handler import ASYNC, LOOP, THREAD, Answer, Handler, Plan, Result, Work, new_work
from fastsse.running import STRAY, awaited
from fastsse.stats import Stats
from fastsse.stream import MESSAGE, EventStream
from fastsse.tasks import Runner
from fastsse.writebuffer import REPLY

log = logging.getLogger("fastsse.dispatch")

CANCELLED = -32800
"""The code of a response that only says that the call was cancelled (unspecified; the Python SDK's, from LSP)."""

PAGE = 4096
"""Bytes of arguments up to which a call costs more than they do."""

FAST_CALLS = 1000
FAST_SECONDS = 100e-6
"""A threaded function that stayed under 100 µs for 1,000 calls would save a thread hop with inline=True."""


class Dispatch(Runner):
    """Runs calls. `clock()` gives monotonic seconds; `pool` runs plain functions."""

    def __init__(
        self,
        handler: Handler,
        config: Config,
        stats: Stats,
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(loop)
        self.handle = handler.handle
        self.stats = stats
        self.pool = pool
        self.now = clock
        self.thread = get_ident()
        self.lifespan: Any = None
        self.ask_timeout = config.ask_timeout
        self.retry_ms = config.retry_ms
        self.progress_gap = config.progress_gap
        self.running: set[Context] = set()
        self.late = 0  # responses on /sse that wait for `progress_gap`
        self._limits: dict[Plan, asyncio.Semaphore] = {}
        self._fast: dict[Plan, int] = {}

    # --- starting

    def run(self, call: Call, line: Line | None, now: float) -> bytes | None:
        """The encoded response if it is there at once; otherwise None, and the line gets it later."""
        request = call.request
        try:
            answer = self.handle(request)
            if type(answer) is bytes:
                body = call.era.reply(request, answer)
                self.stats.calls(request.method).seconds.observe(_framing.seconds(self.now) - now)
                return body
            if not isinstance(answer, Work):
                return self._reply(call, answer, now)
        except errors.McpError as error:
            return self._failed(call, error, now)
        except STRAY:
            raise
        except BaseException as error:
            return self._crashed(call, error, now)
        return self._start(call, answer, line, now)

    def _start(self, call: Call, work: Work, line: Line | None, now: float) -> bytes | None:
        context = new_context(call, line, self, now)
        plan = work.plan
        if plan.kind == LOOP and plan.timeout is None and plan.limit is None:
            body: bytes | None = None
            try:
                value = work.run(context)
                if hasattr(value, "__await__"):
                    work = new_work(plan, _given, value)
                else:
                    body = self._reply(call, plan.encode(value, call.request), now)
            except STRAY:
                raise
            except BaseException as error:
                body = self._error_body(context, plan, error)
            if body is not None:
                context._ended = True
                if call.stream is None:
                    return body
                self.deliver(call, body)
                return None
        self.start(context, work)
        done = context._body
        if done is None:
            self._note(context)
            return None
        if done and call.stream is None:
            context._ended = True
            return done
        self._conclude(context, done)
        return None

    def _note(self, context: Context) -> None:
        """The call goes on: now others have to know of it. While a task begins, they do not."""
        if context._cancelled:  # then its task could not be told
            self._stop(context)
        self.running.add(context)
        if context._line is not None:
            context._line.pending(context)
        session = context.request.session
        if session is not None:
            if session.calls is None:
                session.calls = {}
            session.calls[context.request.id] = context
        call = context._call
        if call.accepted is not None and call.stream is not None:  # its connection is free for the next message already
            self._charge(context, call.stream)

    def _charge(self, context: Context, stream: EventStream) -> None:
        """Counts a large message until its call has ended."""
        size = context.request.size
        if size > PAGE and stream.limits is not None:
            budget = context._budget = stream.limits.budget
            budget.used += size
            if budget.used > budget.limit:
                budget.exceeded()

    # --- running: what a `Runner` asks for and tells

    def begin(self, context: Context, work: Work) -> Coroutine[Any, Any, Any]:
        plan = work.plan
        if plan.limit is not None or plan.timeout is not None:
            return self._bounded(context, work)
        if plan.kind != ASYNC:
            return self._called(context, work)
        coroutine = work.run(context)
        return coroutine if type(coroutine) is CoroutineType else awaited(coroutine)

    def ended(self, context: Context, work: Work, value: Any) -> None:
        if context._cancelled:
            self._finish(context, b"")
            return
        call = context._call
        try:
            body = self._reply(call, work.plan.encode(value, call.request), context._started)
        except STRAY:
            raise
        except BaseException as error:
            self.failed(context, work, error)
        else:
            self._finish(context, body)

    def failed(self, context: Context, work: Work, error: BaseException) -> None:
        cancelled, task = context._cancelled, context._task
        self._finish(context, b"" if cancelled else self._error_body(context, work.plan, error))
        if not cancelled and isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error  # somebody has cancelled the task itself

    async def _bounded(self, context: Context, work: Work) -> Any:
        plan = work.plan
        if plan.limit is None:
            return await self._timed(context, work)
        limit = self._limits.get(plan)
        if limit is None:
            limit = self._limits[plan] = asyncio.Semaphore(plan.limit)
        async with limit:
            return await self._timed(context, work)

    async def _timed(self, context: Context, work: Work) -> Any:
        plan = work.plan
        try:
            async with asyncio.timeout(plan.timeout) as limit:
                return await self._called(context, work)
        except TimeoutError:
            if not limit.expired():  # the function's own
                raise
            raise errors.ToolError(f"{plan.label} did not finish within {plan.timeout:g} s") from None

    async def _called(self, context: Context, work: Work) -> Any:
        """What the function gives in the end: a plain one may give what is to be awaited, as wrappers do."""
        value = await self._threaded(context, work) if work.plan.kind == THREAD else work.run(context)
        return await value if hasattr(value, "__await__") else value

    async def _threaded(self, context: Context, work: Work) -> Any:
        variables = contextvars.copy_context()
        plan = work.plan
        count = self._fast.get(plan, 0)
        if count < 0:
            return await self.loop.run_in_executor(self.pool, _in_thread, variables, work, context)
        spent = 0.0

        def measured() -> Any:
            nonlocal spent
            begun = self.now()
            try:
                return _in_thread(variables, work, context)
            finally:
                spent = self.now() - begun

        try:
            return await self.loop.run_in_executor(self.pool, measured)
        finally:
            if spent >= FAST_SECONDS:
                self._fast[plan] = -1
            else:
                self._fast[plan] = count + 1
                if count + 1 == FAST_CALLS:
                    self._fast[plan] = -1
                    log.info(
                        "%s stayed under %.0f µs for %d calls: inline=True would save a thread (about 30 µs)",
                        plan.label, FAST_SECONDS * 1e6, FAST_CALLS,
                    )  # fmt: skip

    # --- ending

    def _reply(self, call: Call, answer: Answer, started: float) -> bytes:
        """The encoded response, counted."""
        body = call.era.reply(call.request, answer)
        calls = self.stats.calls(call.request.method)
        calls.seconds.observe(_framing.seconds(self.now) - started)
        if isinstance(answer, Result) and answer.failed:
            calls.tool_errors += 1
        return body

    def _asking(self, context: Context, asked: InputRequired) -> bytes:
        """The response that ends a round with questions."""
        call = context._call
        body = call.era.input_required(call.request, asked.questions, context._answered or {})
        self.stats.calls(call.request.method).seconds.observe(self.now() - context._started)
        return body

    def _forget(self, context: Context) -> None:
        context._ended = True
        self.running.discard(context)
        budget, context._budget = context._budget, None
        if budget is not None:
            budget.used -= context.request.size
        session = context.request.session
        if session is not None and session.calls is not None and session.calls.get(context.request.id) is context:
            del session.calls[context.request.id]

    def _finish(self, context: Context, body: bytes) -> None:
        """`body` is the response, b"" for a call that was cancelled."""
        if context._task is None:  # it began at once and never waited: who started it takes the answer
            context._body = body
        else:
            self._conclude(context, body)

    def _conclude(self, context: Context, body: bytes) -> None:
        if not body:
            self._withdraw(context)
            return
        self._forget(context)
        call = context._call
        if call.stream is None:
            line = context._line
            if line is not None:
                line.answer(call, body)
            return
        gap = self.progress_gap - (self.now() - context._progressed_at)
        if context._progressed_at and gap > 0 and call.accepted is not None:
            # TypeScript clients on /sse lose progress that comes back to back with its result (design §1).
            self.late += 1
            self.loop.call_later(gap, self._deliver_late, call, body)
        else:
            self.deliver(call, body)

    def _deliver_late(self, call: Call, body: bytes) -> None:
        self.late -= 1
        self.deliver(call, body)

    def deliver(self, call: Call, body: bytes) -> None:
        """Puts the response onto the call's stream."""
        stream = call.stream
        assert stream is not None
        stream.send(_framing.event(body, MESSAGE), REPLY)
        if call.accepted is None:
            stream.end()

    def _withdraw(self, context: Context) -> None:
        """A cancelled call gets no response; its HTTP answer has to end somehow all the same."""
        if context._ended:  # it was cut: answered before it ended
            return
        self._forget(context)
        call = context._call
        calls = self.stats.calls(call.request.method)
        calls.cancelled += 1
        calls.seconds.observe(self.now() - context._started)
        if call.accepted is not None:
            return
        if call.stream is not None:
            call.stream.end()
        elif context._line is not None:
            if call.era.modern:
                context._line.hang_up()
            else:
                error = errors.McpError(CANCELLED, "Request cancelled")
                context._line.answer(call, call.era.failure(call.request, error))

    def cancel(self, context: Context, reason: str) -> None:
        """Ends a call without an answer; a thread that runs goes on, but nobody hears of it."""
        if context._ended or context._cancelled:
            return
        context._cancelled = True
        log.debug("%s %s cancelled: %s", context.request.method, context.request.name, reason)
        self._stop(context)

    def _stop(self, context: Context) -> None:
        task = context._task
        if task is not None:  # not now: a task that has not begun would never come to its end
            self.loop.call_soon(task.cancel if context._stop is None else context._stop)

    def cut(self, context: Context, error: errors.McpError) -> None:
        """Ends a call with an error, at once; of what it does afterwards nobody hears."""
        if context._ended:
            return
        context._cancelled = True
        self._stop(context)
        self._finish(context, self._failed(context._call, error, context._started))

    # --- errors

    def _error_body(self, context: Context, plan: Plan, error: BaseException) -> bytes:
        call = context._call
        if isinstance(error, BaseExceptionGroup):
            error = asked_in(error) or error
        if isinstance(error, InputRequired):
            try:
                return self._asking(context, error)
            except Exception as broken:  # there is no JSON for what it asks
                error = broken
        if not isinstance(error, Exception):
            error, cause = RuntimeError(f"it ended with {type(error).__name__}"), error
            error.__cause__ = cause
        try:
            answer: Answer | None = None if isinstance(error, errors.McpError) else plan.failed(error, call.request)
            if answer is not None:
                return self._reply(call, answer, context._started)
        except errors.McpError as turned:
            error = turned
        except Exception as broken:
            error = broken
        if isinstance(error, errors.McpError):
            return self._failed(call, error, context._started)
        if isinstance(error, errors.ToolError):
            return self._failed(call, errors.McpError(errors.INTERNAL_ERROR, str(error)), context._started)
        return self._crashed(call, error, context._started)

    def _failed(self, call: Call, error: errors.McpError, started: float) -> bytes:
        try:
            body = call.era.failure(call.request, error)
        except Exception:
            log.exception("%s %s failed, and there is no JSON for how", call.request.method, call.request.name)
            error = errors.McpError(errors.INTERNAL_ERROR, "Internal error")
            body = call.era.failure(call.request, error)
        call.status = call.era.status(error)
        calls = self.stats.calls(call.request.method)
        calls.errors += 1
        calls.seconds.observe(self.now() - started)
        return body

    def _crashed(self, call: Call, error: BaseException, started: float) -> bytes:
        log.error("%s %s failed", call.request.method, call.request.name, exc_info=error)
        return self._failed(call, errors.McpError(errors.INTERNAL_ERROR, "Internal error"), started)


def _given(value: Any, context: Context) -> Any:
    return value


def _in_thread(variables: contextvars.Context, work: Work, context: Context) -> Any:
    try:
        return variables.run(work.run, context)
    except StopIteration as error:  # no future takes one (python/cpython#112182): the call would never end
        raise RuntimeError("the function raised StopIteration") from error
