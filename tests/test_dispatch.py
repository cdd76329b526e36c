"""How calls are run and how they end: on the loop, in a task, in a thread; every way to fail; cancelled at any moment.

`Dispatch` is the real one, and so are the eras; handlers are a few lines, loop and clock are the test's.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from fakes import BUDGET, Clock, FakeCatalog, Gauges, Outlet, events
from fakes import head as request_head
from fastsse import jsonrpc
from fastsse._framing import Message
from fastsse.config import Config
from fastsse.context import Context, InputRequired
from fastsse.decision import ACCEPTED, Call, new_call
from fastsse.dispatch import CANCELLED, FAST_CALLS, Dispatch
from fastsse.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    InvalidParams,
    McpError,
    MethodNotFound,
    ResourceNotFound,
    ToolError,
)
from fastsse.handler import ASYNC, LOOP, THREAD, Answer, Plan, Request, Result, Work, new_request
from fastsse.handshake import Handshake
from fastsse.questions import sample
from fastsse.revisions import R1, R2, R4, R5, Revision
from fastsse.session import Clocks, Session
from fastsse.shards import Table
from fastsse.stateless import Stateless
from fastsse.stats import Calls, Stats
from fastsse.stream import EventStream, RingLimits
from fastsse.writebuffer import WriteBuffer
from wire import Loop

Run = Callable[[Context], Any]


class Line:
    """A connection that remembers what it was told."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.hung_up = 0
        self.waits: list[Context] = []
        self.buffer: WriteBuffer | None = None

    def begin_stream(self, stream: EventStream, extra: bytes) -> None:
        self.buffer = WriteBuffer(Outlet(), 1 << 20, BUDGET)
        stream.attach(self.buffer)

    def pending(self, context: Context) -> None:
        self.waits.append(context)

    def answer(self, call: Call, body: bytes) -> None:
        self.answers.append(json.loads(body))

    def hang_up(self) -> None:
        self.hung_up += 1

    def messages(self) -> list[Any]:
        """What has travelled on the stream since this was asked last."""
        assert self.buffer is not None
        return [json.loads(event["data"]) for event in events(self.buffer.take()) if event.get("data")]


class Desk:
    """A dispatch, and a handler that does what it was told last."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.stats = Stats(0.0)
        self.does: Callable[[Request], Answer | Work] = lambda request: b"{}"
        config = Config(**settings)
        catalog = FakeCatalog()
        self.legacy = Handshake(config, catalog)
        self.modern = Stateless(config, catalog, b"k" * 32, Gauges().wall, lambda: None)
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.dispatch = Dispatch(self, config, self.stats, loop, cast("Any", None), self.clock)
        self.line = Line()
        self.ids = itertools.count(1)
        self.session: Session | None = None
        self.pair: EventStream | None = None

    def handle(self, request: Request) -> Answer | Work:
        return self.does(request)

    def call(
        self, revision: Revision = R4, *, method: str = "tools/call", sse: bool = True, token: bytes | None = None
    ) -> Call:
        message = Message.of(b"%d" % next(self.ids), method, meta=jsonrpc.Meta(token))
        request = new_request(message, "name", revision, self.session, request_head())
        accepted = None if self.pair is None else ACCEPTED
        return new_call(
            request, self.modern if revision.modern else self.legacy, sse, stream=self.pair, accepted=accepted
        )

    def run(self, call: Call | None = None, line: Line | None = None) -> Any:
        """The response if it is there at once, else None."""
        with self.loop.running():
            body = self.dispatch.run(call or self.call(), line or self.line, self.clock.now)
        return None if body is None else json.loads(body)

    def outcome(self, work: Work, revision: Revision = R4) -> Any:
        """The response in the end, however it comes."""
        self.does = lambda request: work
        line = Line()
        at_once = self.run(self.call(revision), line)
        self.loop.run()
        assert not self.dispatch.running
        if line.buffer is not None:
            return line.messages()[-1]
        return at_once or line.answers[-1]

    @property
    def calls(self) -> Calls:
        return self.stats.methods["tools/call"]

    def counted(self) -> dict[str, int]:
        calls = self.calls
        found = {
            "result": calls.results,
            "error": calls.errors,
            "tool": calls.tool_errors,
            "cancelled": calls.cancelled,
        }
        return {name: number for name, number in found.items() if number}


def plan(
    kind: int, timeout: float | None = None, limit: int | None = None, failed: Callable[..., Any] | None = None
) -> Plan:
    def encode(value: Any, request: Request) -> Answer:
        return json.dumps({"value": value}).encode()

    return Plan(kind, "It", encode, failed or (lambda error, request: None), timeout, limit)


def work(kind: int, run: Run, **options: Any) -> Work:
    return Work(plan(kind, **options), run)


def later(value: Any, gate: asyncio.Event | None = None) -> Run:
    async def run(context: Context) -> Any:
        if gate is not None:
            await gate.wait()
        return value

    return run


KINDS = {
    "loop": lambda run: work(LOOP, run),
    "async": lambda run: work(ASYNC, as_coroutine(run)),
    "thread": lambda run: work(THREAD, run),
    "bounded loop": lambda run: work(LOOP, run, limit=2, timeout=9.0),
    "bounded async": lambda run: work(ASYNC, as_coroutine(run), limit=2, timeout=9.0),
    "bounded thread": lambda run: work(THREAD, run, limit=2, timeout=9.0),
    "awaitable from the loop": lambda run: work(LOOP, as_coroutine(run)),
    "awaitable from a thread": lambda run: work(THREAD, as_coroutine(run)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_era = pytest.mark.parametrize("revision", [R4, R5], ids=["legacy", "modern"])


def as_coroutine(run: Run) -> Run:
    async def coroutine(context: Context) -> Any:
        return run(context)

    return coroutine


# --- results


def test_an_answer_that_is_there_needs_nothing_else() -> None:
    desk = Desk()
    assert desk.run() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert not desk.loop.ready
    assert desk.counted() == {"result": 1}


def test_a_result_that_failed_is_counted_as_such() -> None:
    desk = Desk()
    desk.does = lambda request: Result(b'{"isError":true}', {"a": 1}, failed=True)
    assert desk.run()["result"] == {"isError": True, "_meta": {"a": 1}}
    assert desk.counted() == {"tool": 1}


@every_kind
@every_era
def test_every_kind_of_work_leads_to_its_result(kind: str, revision: Revision) -> None:
    desk = Desk()
    response = desk.outcome(KINDS[kind](lambda context: 42), revision)
    assert (response["id"], response["result"]["value"]) == (1, 42)
    assert desk.counted() == {"result": 1}


def test_work_on_the_loop_needs_no_task() -> None:
    desk = Desk()
    desk.does = lambda request: work(LOOP, lambda context: 1)
    assert desk.run()["result"] == {"value": 1}
    assert not desk.loop.ready
    assert not desk.line.waits


def test_how_long_it_took_is_counted() -> None:
    desk = Desk()
    gate = asyncio.Event()
    desk.does = lambda request: work(ASYNC, later(1, gate))
    desk.run()
    desk.loop.advance(3.0)
    gate.set()
    desk.loop.run()
    assert desk.calls.seconds.sum == 3.0


def a_session() -> Session:
    table = Table(1, 1, Clocks(60.0, 30.0, 120.0, 1800.0), RingLimits(1000, 10, 300.0, BUDGET), lambda: 1)
    session = table.open(False, 0.0)
    assert session is not None
    return session


def test_a_call_that_waits_is_known_to_its_line_and_to_its_session() -> None:
    desk = Desk()
    desk.session = a_session()
    gate = asyncio.Event()
    desk.does = lambda request: work(ASYNC, later(1, gate))
    call = desk.call()
    assert desk.run(call) is None
    (context,) = desk.line.waits
    assert desk.dispatch.running == {context}
    assert desk.session.calls == {call.request.id: context}
    gate.set()
    desk.loop.run()
    assert (desk.dispatch.running, desk.session.calls) == (set(), {})
    assert desk.line.answers == [{"jsonrpc": "2.0", "id": 1, "result": {"value": 1}}]


# --- errors


class Outcome(BaseException):
    """As pytest.fail() has it."""


@pytest.mark.parametrize(
    ("error", "legacy", "modern"),
    [
        (MethodNotFound("x/y"), (200, METHOD_NOT_FOUND), (404, METHOD_NOT_FOUND)),
        (InvalidParams("no"), (200, INVALID_PARAMS), (400, INVALID_PARAMS)),
        (ResourceNotFound("a://b"), (200, RESOURCE_NOT_FOUND), (400, INVALID_PARAMS)),
        (McpError(-1, "own", {"a": [1]}), (200, -1), (200, -1)),
        (RuntimeError("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
        (SystemExit("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
        (Outcome("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
        (asyncio.CancelledError("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
        (StopIteration("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
        (RecursionError("secret"), (200, INTERNAL_ERROR), (200, INTERNAL_ERROR)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("kind", [*KINDS, "at once"])
def test_exceptions_become_codes(
    kind: str,
    error: BaseException,
    legacy: tuple[int, int],
    modern: tuple[int, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(context: Context) -> Any:
        raise error

    for revision, wanted in ((R4, legacy), (R5, modern)):
        desk = Desk()
        call = desk.call(revision)

        def does(request: Request) -> Answer | Work:
            if kind == "at once":
                raise error
            return KINDS[kind](fail)

        desk.does = does
        response = desk.run(call)
        desk.loop.run()
        response = response or desk.line.answers[0]
        assert (call.status, response["error"]["code"]) == wanted
        assert "secret" not in json.dumps(response)
        if isinstance(error, McpError) and error.data:
            assert response["error"]["data"] == error.data
        assert desk.counted() == {"error": 1}
        assert not desk.dispatch.running
        assert not desk.loop.errors
    assert ("tools/call name failed" in caplog.text) == (not isinstance(error, McpError))


@every_kind
def test_a_plan_may_turn_exceptions_into_answers(kind: str) -> None:
    def fail(context: Context) -> Any:
        raise ToolError("said to the model")

    def failed(error: Exception, request: Request) -> Answer | None:
        return Result(json.dumps({"isError": True, "said": str(error)}).encode(), failed=True)

    desk = Desk()
    made = KINDS[kind](fail)
    made.plan.failed = failed
    assert desk.outcome(made)["result"] == {"isError": True, "said": "said to the model"}
    assert desk.counted() == {"tool": 1}


@pytest.mark.parametrize("turned", [InvalidParams("better said"), KeyError("worse")])
def test_turning_an_exception_may_fail_as_well(turned: Exception) -> None:
    def failed(error: Exception, request: Request) -> Answer | None:
        raise turned

    def fail(context: Context) -> Any:
        raise ValueError

    response = Desk().outcome(work(ASYNC, as_coroutine(fail), failed=failed))
    assert response["error"]["code"] == (INVALID_PARAMS if isinstance(turned, InvalidParams) else INTERNAL_ERROR)


def test_a_tool_error_without_a_plan_for_it_keeps_its_words() -> None:
    def fail(context: Context) -> Any:
        raise ToolError("what went wrong")

    response = Desk().outcome(work(LOOP, fail))
    assert response["error"] == {"code": INTERNAL_ERROR, "message": "what went wrong"}


@every_kind
def test_a_result_that_cannot_be_encoded_is_a_crash(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    response = Desk().outcome(KINDS[kind](lambda context: object()))
    assert response["error"] == {"code": INTERNAL_ERROR, "message": "Internal error"}
    assert "not JSON serializable" in caplog.text


NO_JSON = {
    "data": McpError(1, "m", {"x": object()}),
    "message": McpError(1, "\udcff"),
    "tool": ToolError("\udcff"),
}


@every_kind
@every_era
@pytest.mark.parametrize("spoke", [False, True])
@pytest.mark.parametrize("error", NO_JSON)
def test_an_error_that_has_no_json_is_a_crash(
    kind: str, revision: Revision, spoke: bool, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    def run(context: Context) -> Any:
        if spoke:
            context.log("error", "before")
        raise NO_JSON[error]

    caplog.set_level(logging.CRITICAL, "fastsse.dispatch")  # pytest-xdist cannot carry such a text
    desk = Desk()
    response = desk.outcome(KINDS[kind](run), revision)
    assert response["error"] == {"code": INTERNAL_ERROR, "message": "Internal error"}
    assert desk.counted() == {"error": 1}


def test_an_error_that_has_no_json_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(request: Request) -> Any:
        raise NO_JSON["data"]

    desk = Desk()
    desk.does = refuse
    assert desk.run()["error"]["code"] == INTERNAL_ERROR
    assert "there is no JSON for how" in caplog.text


# --- threads


def test_plain_functions_see_the_context_variables_of_their_call() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    desk = Desk()

    def get(context: Context) -> str:
        found = variable.get()
        variable.set("changed")
        return found

    desk.does = lambda request: work(THREAD, get)
    variable.set("inside")
    desk.run()
    variable.set("later")
    desk.loop.run()
    assert desk.line.answers[0]["result"] == {"value": "inside"}
    assert variable.get() == "later"


@pytest.mark.parametrize(("seconds", "told"), [(50e-6, 1), (200e-6, 0)])
def test_who_never_needed_a_thread_is_told_once(
    seconds: float, told: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr(desk.loop, "run_threads", lambda: run_here(desk))
    caplog.set_level(logging.INFO)

    def takes(context: Context) -> None:
        desk.clock.now += seconds

    same = work(THREAD, takes)
    desk.does = lambda request: same
    for _ in range(FAST_CALLS + 5):
        desk.run()
        desk.loop.run()
    assert caplog.text.count("inline=True") == told


def run_here(desk: Desk) -> None:
    while desk.loop.jobs:
        future, job = desk.loop.jobs.popleft()
        future.set_result(job())


def test_one_slow_call_is_enough_to_need_a_thread(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk()
    monkeypatch.setattr(desk.loop, "run_threads", lambda: run_here(desk))
    caplog.set_level(logging.INFO)
    times = itertools.chain([0.0, 1.0], itertools.repeat(0.0))

    def takes(context: Context) -> None:
        desk.clock.now += next(times)

    same = work(THREAD, takes)
    desk.does = lambda request: same
    for _ in range(FAST_CALLS + 5):
        desk.run()
        desk.loop.run()
    assert "inline=True" not in caplog.text


# --- time limits and how many at once


@pytest.mark.parametrize("kind", [ASYNC, THREAD])
def test_who_takes_too_long_is_told(kind: int) -> None:
    desk = Desk()
    desk.loop.hold_threads = True
    run = later(1, asyncio.Event()) if kind == ASYNC else (lambda context: 1)
    desk.does = lambda request: work(kind, run, timeout=2.5)
    desk.run()
    desk.loop.advance(2.4)
    assert desk.line.answers == []
    desk.loop.advance(0.2)
    (response,) = desk.line.answers
    assert response["error"]["message"] == "It did not finish within 2.5 s"
    desk.loop.hold_threads = False
    desk.loop.run()
    assert len(desk.line.answers) == 1
    assert not desk.loop.timers


def test_a_functions_own_timeout_is_not_ours() -> None:
    def fail(context: Context) -> Any:
        raise TimeoutError("the database is slow")

    def failed(error: Exception, request: Request) -> Answer | None:
        return json.dumps({"said": str(error)}).encode()

    response = Desk().outcome(work(ASYNC, as_coroutine(fail), timeout=60.0, failed=failed))
    assert response["result"] == {"said": "the database is slow"}


@pytest.mark.parametrize("timeout", [None, 100.0])
def test_only_so_many_run_at_once_and_in_their_order(timeout: float | None) -> None:
    desk = Desk()
    running: list[int] = []
    most = 0
    begun: list[int] = []
    gate = asyncio.Semaphore(0)
    shared = plan(ASYNC, timeout=timeout, limit=2)

    def waits(number: int) -> Run:
        async def run(context: Context) -> int:
            nonlocal most
            begun.append(number)
            running.append(number)
            most = max(most, len(running))
            await gate.acquire()
            running.remove(number)
            return number

        return run

    for number in range(6):
        desk.does = lambda request, number=number: Work(shared, waits(number))  # type: ignore[misc]
        desk.run()
    desk.loop.run()
    assert begun == [0, 1]
    (waiting,) = [context for context in desk.line.waits if context.request.id == b"4"]
    with desk.loop.running():
        waiting.cancel("not any more")
    for _ in range(6):
        gate.release()
    desk.loop.run()
    assert begun == [0, 1, 2, 4, 5]
    assert most == 2
    values = [answer["result"]["value"] for answer in desk.line.answers if "result" in answer]
    assert values == [0, 1, 2, 4, 5]
    assert not desk.dispatch.running


# --- cancelling


@every_era
@pytest.mark.parametrize("begun", [False, True], ids=["before it begins", "while it runs"])
@pytest.mark.parametrize("kind", [ASYNC, THREAD])
def test_a_cancelled_call_comes_to_its_end(revision: Revision, begun: bool, kind: int) -> None:
    desk = Desk()
    desk.loop.hold_threads = True
    desk.session = None if revision.modern else a_session()
    desk.does = lambda request: work(kind, later(1, asyncio.Event()) if kind == ASYNC else (lambda context: 1))
    desk.run(desk.call(revision))
    if begun:
        desk.loop.run()
    (context,) = desk.line.waits
    for _ in range(2):
        with desk.loop.running():
            context.cancel("the client changed its mind")
    desk.loop.run()
    assert not desk.dispatch.running
    assert desk.session is None or not desk.session.calls
    assert desk.counted() == {"cancelled": 1}
    if revision.modern:
        assert (desk.line.answers, desk.line.hung_up) == ([], 1)
    else:
        assert [answer["error"]["code"] for answer in desk.line.answers] == [CANCELLED]
    desk.loop.hold_threads = False
    desk.loop.run()
    assert len(desk.line.answers) == (0 if revision.modern else 1)


def test_a_cancelled_call_on_the_pair_gets_no_answer() -> None:
    desk = Desk()
    desk.pair = EventStream(b"", None)
    buffer = WriteBuffer(Outlet(), 1 << 20, BUDGET)
    desk.pair.attach(buffer)
    desk.does = lambda request: work(ASYNC, later(1, asyncio.Event()))
    desk.run()
    desk.loop.run()
    with desk.loop.running():
        desk.line.waits[0].cancel("changed my mind")
    desk.loop.run()
    assert buffer.take() == []
    assert desk.line.answers == []
    assert buffer.ending is None


def test_a_cancelled_call_that_streams_ends_its_stream() -> None:
    desk = Desk()

    async def run(context: Context) -> None:
        context.progress(1)
        await asyncio.Event().wait()

    desk.does = lambda request: work(ASYNC, run)
    desk.run(desk.call(token=b"1"))
    desk.loop.run()
    with desk.loop.running():
        desk.line.waits[0].cancel("changed my mind")
    desk.loop.run()
    assert [message["method"] for message in desk.line.messages()] == ["notifications/progress"]
    assert desk.line.buffer is not None
    assert desk.line.buffer.ending is not None


@pytest.mark.parametrize("how", ["answers", "fails", "goes on for a while"])
def test_nobody_hears_of_a_call_that_was_cancelled_whatever_it_does(how: str) -> None:
    desk = Desk()
    more = asyncio.Event()

    async def run(context: Context) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            context.progress(1)
            if how == "goes on for a while":
                await more.wait()
            if how == "fails":
                raise RuntimeError("while cleaning up") from None
        return "too late"

    desk.does = lambda request: work(ASYNC, run)
    desk.run()
    desk.loop.run()
    with desk.loop.running():
        desk.line.waits[0].cancel("changed my mind")
    desk.loop.run()
    more.set()
    desk.loop.run()
    assert [answer["error"]["code"] for answer in desk.line.answers] == [CANCELLED]
    assert desk.counted() == {"cancelled": 1}


def test_a_question_that_has_no_json_is_an_error() -> None:
    async def run(context: Context) -> Any:
        raise InputRequired({"q": sample("hi", 10, metadata={"x": object()})})

    desk = Desk()
    assert desk.outcome(work(ASYNC, run), R5)["error"] == {"code": -32603, "message": "Internal error"}
    assert desk.counted() == {"error": 1}


async def asks(key: str) -> None:
    raise InputRequired({key: sample("hi", 10)})


def test_what_tasks_of_a_group_ask_is_asked_in_one_round() -> None:
    async def run(context: Context) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(asks("a"))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(asks("b"))
                inner.create_task(asks("c"))

    desk = Desk()
    result = desk.outcome(work(ASYNC, run), R5)["result"]
    assert result["resultType"] == "input_required"
    assert set(result["inputRequests"]) == {"a", "b", "c"}


def test_a_group_that_failed_otherwise_too_is_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise RuntimeError("for a reason of its own")

    async def run(context: Context) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(asks("a"))
            group.create_task(fails())

    desk = Desk()
    assert desk.outcome(work(ASYNC, run), R5)["error"] == {"code": INTERNAL_ERROR, "message": "Internal error"}
    assert "for a reason of its own" in caplog.text


def test_a_call_that_is_cancelled_while_it_begins_comes_to_its_end() -> None:
    desk = Desk()

    async def run(context: Context) -> Any:
        context.cancel("at once")
        await asyncio.Event().wait()

    desk.does = lambda request: work(ASYNC, run)
    desk.run()
    desk.loop.run()
    assert not desk.dispatch.running
    assert desk.counted() == {"cancelled": 1}


def test_what_has_ended_cannot_be_cancelled() -> None:
    desk, gate = Desk(), asyncio.Event()
    desk.does = lambda request: work(ASYNC, later(1, gate))
    desk.run()
    desk.loop.run()
    with desk.loop.running():
        gate.set()
    desk.loop.run()
    with desk.loop.running():
        desk.line.waits[0].cancel("too late")
    desk.loop.run()
    assert desk.counted() == {"result": 1}
    assert len(desk.line.answers) == 1


def test_a_task_that_others_cancel_ends_its_call_and_stays_cancelled() -> None:
    desk = Desk()
    desk.does = lambda request: work(ASYNC, later(1, asyncio.Event()))
    desk.run()
    desk.loop.run()
    task = desk.line.waits[0]._task
    assert task is not None
    with desk.loop.running():
        task.cancel()
    desk.loop.run()
    assert task.cancelled()
    assert not desk.dispatch.running
    assert [answer["error"]["code"] for answer in desk.line.answers] == [INTERNAL_ERROR]
    assert desk.counted() == {"error": 1}


# --- speaking


def test_progress_needs_a_token_and_grows() -> None:
    desk = Desk()

    def run(context: Context) -> str:
        for value in (1, 1, 3, 2, 4.5):
            context.progress(value, 10, "m")
        return "x"

    desk.does = lambda request: work(LOOP, run)
    assert desk.run(desk.call())["result"] == {"value": "x"}
    assert desk.line.buffer is None
    assert desk.run(desk.call(token=b'"t"')) is None
    *progress, result = desk.line.messages()
    assert [message["params"] for message in progress] == [
        {"progressToken": "t", "progress": value, "total": 10, "message": "m"} for value in (1, 3, 4.5)
    ]
    assert result["result"] == {"value": "x"}


def test_after_its_end_a_context_is_silent() -> None:
    desk = Desk()
    kept: list[Context] = []

    async def run(context: Context) -> None:
        kept.append(context)
        context.info("while it runs")

    desk.does = lambda request: work(ASYNC, run)
    desk.run(desk.call(token=b"1"))
    desk.loop.run()
    assert len(desk.line.messages()) == 2
    with desk.loop.running():
        kept[0].progress(1)
        kept[0].info("after its end")
        kept[0].cancel("after its end")
    desk.loop.run()
    assert desk.line.messages() == []
    assert not desk.loop.errors


def test_from_a_thread_everything_arrives_in_order_and_before_the_result() -> None:
    desk = Desk()

    def run(context: Context) -> str:
        for number in range(50):
            context.progress(number)
            context.info(number)
        return "done"

    desk.does = lambda request: work(THREAD, run)
    desk.run(desk.call(token=b"1"))
    desk.loop.run()
    messages = desk.line.messages()
    numbers = [message["params"].get("progress", message["params"].get("data")) for message in messages[:-1]]
    assert numbers == [number for number in range(50) for _ in range(2)]
    assert messages[-1]["result"] == {"value": "done"}


def test_log_levels() -> None:
    desk = Desk()

    def run(context: Context) -> None:
        for level in ("debug", "info", "warning", "error"):
            context.log(level, level, "here")

    desk.does = lambda request: work(LOOP, run)
    desk.run()
    assert [message["params"]["level"] for message in desk.line.messages()[:-1]] == ["info", "warning", "error"]
    call = desk.call(R5)
    call.request.meta = jsonrpc.Meta(log_level="error")
    desk.run(call)
    assert [message["params"] for message in desk.line.messages()[:-1]] == [
        {"level": "error", "logger": "here", "data": "error"}
    ]
    assert desk.run(desk.call(R5)) is not None  # a modern client that asks for no log gets none


def test_older_revisions_know_no_message_in_progress() -> None:
    desk = Desk()
    desk.does = lambda request: work(LOOP, lambda context: context.progress(1, message="m"))
    for revision, known in ((R1, False), (R2, True), (R5, True)):
        desk.run(desk.call(revision, token=b"1"))
        assert ("message" in desk.line.messages()[0]["params"]) == known


@pytest.mark.parametrize(("pair", "spoke", "waits"), [(True, True, True), (True, False, False), (False, True, False)])
def test_on_the_pair_a_result_keeps_its_distance_from_progress(pair: bool, spoke: bool, waits: bool) -> None:
    """TypeScript clients lose progress that comes back to back with its result (design §1)."""
    desk = Desk(progress_gap=0.005)
    buffer = WriteBuffer(Outlet(), 1 << 20, BUDGET)
    if pair:
        desk.pair = EventStream(b"", None)
        desk.pair.attach(buffer)

    async def run(context: Context) -> str:
        if spoke:
            context.progress(1)
        return "x"

    desk.does = lambda request: work(ASYNC, run)
    desk.run(desk.call(token=b"1"))
    desk.loop.run()
    buffer = buffer if pair else cast("WriteBuffer", desk.line.buffer)
    assert len(buffer.take()) == (1 if waits else 2 if spoke else 1)
    desk.loop.advance(0.004)
    assert buffer.take() == []
    desk.loop.advance(0.002)
    assert len(buffer.take()) == (1 if waits else 0)
    assert not desk.dispatch.running


def test_a_result_that_is_late_anyway_waits_no_longer() -> None:
    desk = Desk(progress_gap=0.005)
    desk.pair = EventStream(b"", None)
    buffer = WriteBuffer(Outlet(), 1 << 20, BUDGET)
    desk.pair.attach(buffer)

    async def run(context: Context) -> None:
        context.progress(1)
        await asyncio.sleep(0.006)

    desk.does = lambda request: work(ASYNC, run)
    desk.run(desk.call(token=b"1"))
    desk.loop.advance(0.0061)
    assert len(buffer.take()) == 2
    assert not desk.loop.timers


# --- what was not awaited


def test_an_awaitable_that_a_plain_function_gives_is_awaited() -> None:
    desk = Desk()

    class Odd:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return 5

    def run(context: Context) -> Awaitable[int]:
        return Odd()

    for kind in (LOOP, THREAD):
        assert desk.outcome(work(kind, run))["result"] == {"value": 5}
