"""A call whose first step is taken in a spare task cannot tell: every story ends as it does in a task of its own."""

import asyncio
import contextvars
import gc
import json
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvloop

from fakes import message
from fastsse import App, Config, Principal, Server
from fastsse.context import Context
from fastsse.handler import ASYNC, Plan, Work
from fastsse.principal import Credentials
from fastsse.tasks import Runner
from stage import call, modern
from wire import http

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Story = Callable[[], Any]
name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


class Calls(Runner):
    """Runs stories as calls, each begun by the loop as a connection's bytes are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.plan = Plan(ASYNC, "story", lambda value, request: value, lambda error, request: None)
        self.outcomes: dict[Context, asyncio.Future[Any]] = {}

    def begin(self, context: Context, work: Work) -> Coroutine[Any, Any, Any]:
        coroutine: Coroutine[Any, Any, Any] = work.run(context)
        return coroutine

    def ended(self, context: Context, work: Work, value: Any) -> None:
        assert asyncio.current_task() is not None
        self.outcomes[context].set_result(("ended", value))

    def failed(self, context: Context, work: Work, error: BaseException) -> None:
        assert asyncio.current_task() is not None
        self.outcomes[context].set_result(("failed", (type(error), name.get())))

    def enter(self, story: Story) -> tuple[Context, asyncio.Future[Any]]:
        """Now, and from here."""
        context = Context.__new__(Context)
        context._task = None
        outcome = self.outcomes[context] = self.loop.create_future()
        self.start(context, Work(self.plan, lambda _: story()))
        return context, outcome

    async def call(self, story: Story) -> Any:
        outcome: asyncio.Future[Any] = self.loop.create_future()
        self.loop.call_soon(lambda: outcome.set_result(self.enter(story)[1]))
        async with asyncio.timeout(10):
            return await (await outcome)

    @property
    def spare(self) -> Any:
        """The task that stands by, ready to be lent."""
        spare = self._kinds["story"].spare
        return spare.task if spare is not None and spare.ready else None

    async def prepare(self) -> None:
        if self._kinds:
            self._kinds["story"].patience = 0
        assert await self.call(nothing) == ("ended", None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert self.spare is not None


async def nothing() -> None: ...


@pytest.fixture(params=LOOPS)
def within(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[Calls], Any]], Any]]:
    """Runs a test's coroutine with calls, on either loop; nothing is left of them."""

    async def whole(test: Callable[[Calls], Any]) -> Any:
        before = asyncio.all_tasks()
        calls = Calls(asyncio.get_running_loop())
        result = await test(calls)
        await calls.close()
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == before
        return result

    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda test: runner.run(whole(test))


# --- stories: what a handler may do. They give what can be compared.


async def at_once() -> Any:
    task = asyncio.current_task()
    assert task is not None
    return type(task).__name__, task.get_name(), task.done(), task.cancelling(), task in asyncio.all_tasks()


async def next_turn() -> Any:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    return asyncio.current_task() is before


async def several_turns() -> Any:
    tasks = {asyncio.current_task()}
    for delay in (0, 0.001, 0, 0, 0.001):
        await asyncio.sleep(delay)
        tasks.add(asyncio.current_task())
    return len(tasks)


async def a_future() -> Any:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, 7)
    return await future


async def a_future_that_is_done() -> Any:
    future = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()
    loop.call_soon(future.set_result, 8)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return await future


async def a_future_that_fails() -> Any:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_exception, KeyError("no"))
    return await future


async def another_task() -> Any:
    return await asyncio.create_task(several_turns())


async def gathered() -> Any:
    found = await asyncio.gather(several_turns(), fails(), nothing(), return_exceptions=True)
    return [type(one) for one in found]


async def fails() -> Any:
    raise LookupError


async def fails_later() -> Any:
    await asyncio.sleep(0.001)
    raise LookupError


class Outcome(BaseException):
    """As pytest.fail() has it."""


async def fails_as_tests_do() -> Any:
    raise Outcome


async def fails_later_as_tests_do() -> Any:
    await asyncio.sleep(0)
    raise Outcome


async def leaves() -> Any:
    raise SystemExit(3)


async def leaves_later() -> Any:
    await asyncio.sleep(0)
    raise SystemExit(3)


async def a_group_fails() -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails_later())
        await asyncio.sleep(10)


async def a_group() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(several_turns()) for _ in range(3)]
    return [task.result() for task in tasks]


async def a_group_of_nothing() -> Any:
    async with asyncio.TaskGroup():
        return "done"


async def out_of_time() -> Any:
    try:
        async with asyncio.timeout(0.005):
            await asyncio.sleep(10)
    except TimeoutError:
        task = asyncio.current_task()
        assert task is not None
        return "timed out", task.cancelling()


async def out_of_time_already() -> Any:
    try:
        async with asyncio.timeout(-1):
            await asyncio.sleep(10)
    except TimeoutError:
        await asyncio.sleep(0)
        return "timed out"


async def in_time() -> Any:
    async with asyncio.timeout(10):
        return await at_once()


async def waits_for_too_long() -> Any:
    return await asyncio.wait_for(asyncio.sleep(10), 0.005)


async def anyio_moves_on() -> Any:
    with anyio.move_on_after(0.005) as scope:
        await anyio.sleep_forever()
    return scope.cancelled_caught


async def anyio_moves_on_at_once() -> Any:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep_forever()
    return scope.cancelled_caught


async def anyio_group() -> Any:
    found = []

    async def one() -> None:
        await anyio.lowlevel.checkpoint()
        found.append(1)

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        group.start_soon(one)
    return found


async def anyio_at_once() -> Any:
    with anyio.fail_after(10):
        return await at_once()


async def cancels_itself_and_returns() -> Any:
    task = asyncio.current_task()
    assert task is not None
    return task.cancel(), task.cancelling()


async def cancels_itself() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    future = asyncio.get_running_loop().create_future()
    try:
        await future
    except asyncio.CancelledError:
        return "cancelled", future.cancelled(), task.cancelling(), task.uncancel(), await next_turn()


async def cancels_itself_before_a_turn() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.sleep(0.001)
        return "cancelled"


async def cancelled_in_what_it_waits_for() -> Any:
    task = asyncio.current_task()
    assert task is not None
    inner = asyncio.create_task(asyncio.sleep(10))
    task.cancel("enough")
    try:
        await inner
    except asyncio.CancelledError:
        return inner.cancelled()


async def sees_its_caller() -> Any:
    before = name.get()
    name.set("changed")
    await asyncio.sleep(0)
    return before, name.get()


async def takes_it_back() -> Any:
    token = name.set("for a while")
    await asyncio.sleep(0.001)
    inner = await asyncio.create_task(asyncio.to_thread(name.get))
    name.reset(token)
    return inner, name.get()


class Rubbish:
    def __await__(self) -> Generator[Any, Any, None]:
        yield 5


async def yields_rubbish() -> Any:
    await Rubbish()


class Told(Exception):
    pass


async def takes_what_is_thrown() -> Any:
    loop = asyncio.get_running_loop()
    seen = []
    for _ in range(3):
        future = loop.create_future()
        loop.call_soon(future.set_exception, ValueError())
        try:
            await future
        except ValueError:
            seen.append(name.get())
    return seen


async def cancels_itself_with_a_word() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("why")
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as error:
        return error.args


async def takes_its_cancellation_back() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    task.uncancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return "cancelled"
    return "not"  # since 3.13


async def cancels_itself_and_yields_rubbish() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await Rubbish()
    except BaseException as error:
        return type(error)


async def shares_what_it_waits_for() -> Any:
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def other() -> Any:
        return await future

    others = [asyncio.ensure_future(other()) for _ in range(2)]
    loop.call_later(0.002, future.set_result, 9)
    return await future, await asyncio.gather(*others)


async def fails_with_what_it_set() -> Any:
    name.set("set here")
    raise Told


async def fails_later_with_what_it_set() -> Any:
    name.set("set here")
    await asyncio.sleep(0)
    raise Told


async def an_async_generator() -> Any:
    async def numbers() -> Any:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    return [number async for number in numbers()]


STORIES = [
    at_once, next_turn, several_turns, a_future, a_future_that_is_done, a_future_that_fails, another_task, gathered,
    fails, fails_later, leaves, leaves_later, a_group_fails, a_group, a_group_of_nothing, out_of_time,
    out_of_time_already, in_time, waits_for_too_long, anyio_moves_on, anyio_moves_on_at_once, anyio_group,
    anyio_at_once, cancels_itself_and_returns, cancels_itself, cancels_itself_before_a_turn,
    cancelled_in_what_it_waits_for, sees_its_caller, takes_it_back, yields_rubbish, takes_what_is_thrown,
    an_async_generator, cancels_itself_with_a_word, takes_its_cancellation_back, cancels_itself_and_yields_rubbish,
    shares_what_it_waits_for, fails_with_what_it_set, fails_later_with_what_it_set, fails_as_tests_do,
    fails_later_as_tests_do,
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_it_ends_as_in_a_task_of_its_own(story: Story, within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        calls._kinds["story"].spare, spare = None, calls._kinds["story"].spare
        calls._kinds["story"].patience = 1000
        own = await calls.call(story)
        calls._kinds["story"].spare = spare
        for _ in range(3):
            assert await calls.call(story) == own
            assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))
            await calls.prepare()

    within(test)


# --- what nobody sees


def test_calls_that_end_at_once_share_a_task(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        spare = id(calls.spare)  # who holds it would be one who knows it
        for _ in range(5):
            assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))
            assert id(calls.spare) == spare

    within(test)


def test_a_call_that_has_to_wait_keeps_the_task(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        spare = calls.spare
        context, outcome = calls.enter(several_turns)
        assert context._task is spare is not None
        assert calls.spare is None
        assert calls._kinds["story"].patience > 0
        assert await calls.call(nothing) == ("ended", None)
        assert calls.spare is None  # the next ones are likely to wait, too
        assert await outcome == ("ended", 1)
        await asyncio.sleep(0)
        assert spare.done()

    within(test)


async def keeps_its_task(kept: list[Any]) -> None:
    kept.append(asyncio.current_task())


async def watches_its_task(kept: list[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda task: kept.append(task.get_name()))


async def names_its_task(kept: list[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.set_name("mine")


async def cancels_its_task_later(kept: list[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(0.002, task.cancel)


@pytest.mark.parametrize("story", [keeps_its_task, watches_its_task, names_its_task, cancels_its_task_later])
def test_a_task_that_somebody_knows_is_not_lent_again(story: Callable[[list[Any]], Any], within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        kept: list[Any] = []
        spare: Any = calls._kinds["story"].spare  # not its task: who holds that would be one who knows it
        assert await calls.call(lambda: story(kept)) == ("ended", None)
        assert calls.spare is None
        assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))
        await asyncio.sleep(0.01)
        assert spare.task.done()  # as if it had been the call's own
        assert not spare.task.cancelled()
        assert kept in ([], [spare.task], ["story"])
        assert bool(kept) == (story in (keeps_its_task, watches_its_task))
        await calls.prepare()
        assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))

    within(test)


def test_contexts_do_not_mix(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()

        async def sets() -> str:
            before = name.get()
            name.set("left behind")
            return before

        for who in ("one", "two"):
            around = contextvars.copy_context()
            around.run(name.set, who)
            _, outcome = around.run(calls.enter, sets)
            assert await outcome == ("ended", who)
        _, outcome = calls.enter(sets)
        assert await outcome == ("ended", "nobody")

    within(test)


def test_a_call_that_waits_is_cancelled_from_outside(within: Any) -> None:
    async def test(calls: Calls) -> None:
        for turns in range(6):
            await calls.prepare()
            context, outcome = calls.enter(lambda: asyncio.sleep(10))
            for _ in range(turns):
                await asyncio.sleep(0)
            task: Any = context._task
            assert task.cancel()
            assert await outcome == ("failed", (asyncio.CancelledError, "nobody"))

    within(test)


def test_a_first_step_within_another_task(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        mine = asyncio.current_task()
        spare = calls.spare
        _, outcome = calls.enter(lambda: nested(calls))
        assert asyncio.current_task() is mine
        assert await outcome == ("ended", True)
        assert spare.done()

    async def nested(calls: Calls) -> Any:
        own = asyncio.current_task()
        await asyncio.sleep(0)
        await calls.prepare()
        _, outcome = calls.enter(next_turn)
        assert asyncio.current_task() is own
        assert await outcome == ("ended", True)
        return asyncio.current_task() is own

    within(test)


def test_whoever_cancels_all_tasks_takes_the_spare_one_too(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.prepare()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        _, outcome = calls.enter(next_turn)
        assert await outcome == ("ended", True)
        for _ in range(3):
            assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))
        assert await calls.call(next_turn) == ("ended", True)

    within(test)


def test_an_interrupt_goes_to_whoever_fed_the_call(within: Any) -> None:
    async def odd() -> None:
        raise KeyboardInterrupt

    async def test(calls: Calls) -> None:
        await calls.prepare()
        mine = asyncio.current_task()
        with pytest.raises(KeyboardInterrupt):
            calls.enter(odd)
        assert asyncio.current_task() is mine
        assert await calls.call(next_turn) == ("ended", True)

    within(test)


def test_kinds_without_end_are_not_kept(within: Any) -> None:
    async def test(calls: Calls) -> None:
        before = asyncio.all_tasks()
        for number in range(1100):
            calls.plan = Plan(ASYNC, f"story {number}", calls.plan.encode, calls.plan.failed)
            assert await calls.call(nothing) == ("ended", None)
        assert len(asyncio.all_tasks() - before) == len(calls._kinds) == 1000

    within(test)


def test_two_calls_wait_for_the_same(within: Any) -> None:
    """What the first has begun to wait for, others may wait for before the first call's task has seen it."""

    async def test(calls: Calls) -> None:
        loop = asyncio.get_running_loop()
        first, second = calls.plan, Plan(ASYNC, "second", calls.plan.encode, calls.plan.failed)
        await calls.prepare()
        calls.plan = second
        assert await calls.call(nothing) == ("ended", None)
        await asyncio.sleep(0)
        shared = loop.create_future()

        async def waits() -> Any:
            return await shared

        outcomes = []
        for calls.plan in (first, second):
            outcomes.append(calls.enter(waits)[1])
        innocent = asyncio.ensure_future(waits())
        loop.call_later(0.002, shared.set_result, "shared")
        assert [await outcome for outcome in outcomes] == [("ended", "shared")] * 2
        assert await innocent == "shared"

    within(test)


@pytest.mark.parametrize("how", ["cancelled", "failed", "expired", "done"])
def test_a_call_that_took_a_task_over_leaves_no_cycle(how: str, within: Any) -> None:
    class Thing: ...

    async def test(calls: Calls) -> None:
        loop = asyncio.get_running_loop()
        await calls.prepare()
        future = loop.create_future()
        futures = [future]
        alive: list[Any] = []

        async def holds() -> Any:
            thing = Thing()
            alive.append(weakref.ref(thing))
            result = await futures.pop()
            alive.append(weakref.ref(result))
            del result
            await asyncio.sleep(0)
            if how == "expired":
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(10)
            alive.append(alive[1]())
            return thing is not None

        context, outcome = calls.enter(holds)
        if how == "cancelled":
            task: Any = context._task
            loop.call_later(0.002, task.cancel)
            del task
        elif how == "failed":
            loop.call_later(0.002, future.set_exception, Told())
        else:
            loop.call_later(0.002, future.set_result, Thing())
        del future
        await outcome
        calls.outcomes.clear()
        del outcome, context
        await asyncio.sleep(0.01)
        if how == "done":
            assert alive[2] is None
        assert alive[0]() is None

    gc.collect()
    gc.disable()
    try:
        within(test)
    finally:
        gc.enable()


def test_a_spare_task_that_is_cancelled_before_it_stands_by(within: Any) -> None:
    async def test(calls: Calls) -> None:
        assert await calls.call(nothing) == ("ended", None)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)
        await calls.prepare()
        assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))

    within(test)


def test_calls_after_the_end_leave_nothing(within: Any) -> None:
    async def test(calls: Calls) -> None:
        await calls.close()
        for _ in range(3):
            assert await calls.call(next_turn) == ("ended", True)
            assert await calls.call(at_once) == ("ended", ("Task", "story", False, 0, True))

    within(test)


# --- on one connection


async def answers(reader: asyncio.StreamReader, count: int) -> list[tuple[bytes, Any]]:
    found = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        found.append((head, json.loads(body) if body else None))
    return found


def application() -> App:
    app = App("tasks")

    @app.tool
    async def who(me: str, wait: bool) -> str:
        before = name.get()
        name.set(me)
        if wait:
            await asyncio.sleep(0.001)
        return before

    @app.tool(inline=True)
    def at_once(text: str) -> str:
        return text

    return app


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("known", [True, False], ids=["authenticated", "open"])
@pytest.mark.parametrize("loop", LOOPS)
def test_pipelined_calls_do_not_see_each_others_variables(loop: str, known: bool, wait: bool) -> None:
    async def main() -> None:
        app = application()
        if known:
            app.authenticate = somebody
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            for number in range(4):
                body, fields = modern("who", number, me=f"client {number}", wait=wait)
                writer.write(http("POST", "/mcp", body, host="127.0.0.1", **fields))
            for _, answer in await answers(reader, 4):
                assert answer["result"]["content"][0]["text"] == "nobody"
            writer.close()

    async def somebody(credentials: Credentials) -> Principal | None:
        await asyncio.sleep(0)
        return Principal("somebody")

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_an_array_behind_authentication_is_answered_once(loop: str) -> None:
    async def somebody(credentials: Credentials) -> Principal | None:
        await asyncio.sleep(0)
        return Principal("somebody")

    async def main() -> None:
        app = application()
        app.authenticate = somebody
        async with Server(app, Config(host="127.0.0.1", port=0)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
            hello = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            writer.write(http("POST", "/mcp", message("initialize", hello), host="127.0.0.1"))
            ((head, _),) = await answers(reader, 1)
            session = head.lower().partition(b"mcp-session-id: ")[2].partition(b"\r\n")[0].decode()
            array = b"[" + call("at_once", 1, text="a") + b"," + call("at_once", 2, text="b") + b"]"
            ready = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
            for body in (ready, array, call("who", 3, me="c", wait=True)):
                writer.write(http("POST", "/mcp", body, host="127.0.0.1", mcp_session_id=session))
            _, (_, first), (_, second) = await answers(reader, 3)
            assert [answer["id"] for answer in first] == [1, 2]
            assert second["id"] == 3
            writer.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
