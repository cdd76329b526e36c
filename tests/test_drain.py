"""How a server stops: in which order, what is still answered, what is cut, and what is left behind. On a loop that is a
list; `test_stopping` does the same to real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from fakes import MODERN, enveloped, message
from fastsse.app import App
from fastsse.context import Context
from fastsse.errors import CloseReason
from fastsse.principal import Credentials, Principal
from fastsse.server import Server
from stage import BOTH, Stage, call, modern, said
from wire import Client, World, http

LISTEN = message("subscriptions/listen", enveloped({"notifications": {"toolsListChanged": True}}), "s")
LISTEN_FIELDS = {"mcp_protocol_version": MODERN, "mcp_method": "subscriptions/listen", "accept": BOTH}


@contextlib.contextmanager
def stopping(world: World, cut: int = 0) -> Iterator[asyncio.Task[int]]:
    """The server has been told to stop inside the block, and has stopped at its end."""
    with world.loop.running():
        task = world.loop.create_task(world.server.stop())
    world.loop.run()
    yield task
    for _ in range(100):
        if not task.done():
            world.loop.advance(0.5)
    assert task.result() == cut
    world.stopped = True


@pytest.mark.requirement("D-drain")
def test_connections_without_a_request_end_at_once() -> None:
    stage = Stage()
    with World(stage.app) as world:
        busy, fresh, used = world.connect(), world.connect(), world.connect()
        busy.send(http("POST", "/mcp", call("wait")), "POST")
        assert used.get("/ready").status == 200
        with stopping(world):
            assert (fresh.closed, used.closed, busy.closed) == (True, True, False)
            assert world.server.stats.closed[CloseReason.SHUTDOWN] == 2
            stage.gate.set()
        assert said(busy.answers[0]) == "done"
        assert busy.answers[0].fields["connection"] == "close"


@pytest.mark.requirement("D-drain", "D-ready")
def test_who_has_begun_to_ask_is_answered_and_no_more() -> None:
    stage = Stage()
    with World(stage.app) as world:
        busy, half, eager = world.connect(), world.connect(), world.connect()
        busy.send(http("POST", "/mcp", call("wait")), "POST")
        half.send(http("GET", "/ready")[:10], "GET")
        eager.send(http("GET", "/sse")[:10], "GET")
        with stopping(world):
            half.send(http("GET", "/ready")[10:] + http("GET", "/ready"))
            assert half.answers[0].json == {"status": "draining"}
            assert (half.answers[0].status, half.answers[0].fields["connection"]) == (503, "close")
            assert len(half.answers) == 1
            assert half.transport.ended
            eager.send(http("GET", "/sse")[10:])
            assert eager.answers[0].status == 503
            stage.gate.set()


def test_what_was_pipelined_behind_a_call_is_not_begun() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("wait")) + http("POST", "/mcp", call("wait", 2)), "POST POST")
        with stopping(world):
            stage.gate.set()
        assert [answer.json["id"] for answer in client.answers] == [1]
        assert client.closed


def test_a_body_on_its_way_is_waited_for() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        request = http("POST", "/mcp", call("echo", text="x" * 1000))
        client.send(request[:-500], "POST")
        with stopping(world) as task:
            world.loop.advance(3.0)
            assert not task.done()
            client.send(request[-500:])
            assert said(client.answers[0]) == "x" * 1000
            world.loop.advance(0.2)
            assert task.done()


def test_who_waits_to_be_recognised_is_waited_for() -> None:
    stage, known = Stage(), asyncio.Event()

    async def authenticate(credentials: Credentials) -> Principal:
        await known.wait()
        return Principal("ann")

    stage.app.authenticate = authenticate
    with World(stage.app) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("echo", text="x")), "POST")
        with stopping(world) as task:
            world.loop.advance(3.0)
            assert not task.done()
            with world.loop.running():
                known.set()
            client.run()
            assert said(client.answers[0]) == "x"
            world.loop.advance(0.2)
            assert task.done()


def test_a_body_that_never_comes_is_not_waited_for_longer_than_calls() -> None:
    with World(Stage().app, drain_timeout=5.0) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("echo", text="x"))[:-1], "POST")
        begun = world.clock.now
        with stopping(world):
            pass
        assert 5.0 <= world.clock.now - begun <= 6.5
        assert client.closed


@pytest.mark.requirement("D-drain")
def test_streams_are_told_to_come_back_each_at_another_moment() -> None:
    with World(Stage().app, retry_ms=1000) as world:
        clients = [world.connect() for _ in range(40)]
        streams = [client.get("/mcp" if n % 2 else "/sse") for n, client in enumerate(clients)]
        with stopping(world):
            pass
        times = [int(stream.events[-1]["retry"]) for stream in streams]
        assert all(1000 <= one <= 2000 for one in times)
        assert len(set(times)) > 20
        assert all(stream.ended for stream in streams)


@pytest.mark.requirement("D-drain", "Q-09")
def test_streams_end_first_and_those_with_calls_after_their_answers() -> None:
    stage = Stage()
    with World(stage.app) as world:
        pair, quiet, plain, listener = (world.connect() for _ in range(4))
        streams = [pair.get("/sse"), quiet.get("/sse"), plain.get("/mcp"), listener.post(LISTEN, **LISTEN_FIELDS)]
        world.connect().post(call("wait"), streams[0].events[0]["data"])
        with stopping(world):
            assert [stream.ended for stream in streams] == [False, True, True, True]
            assert streams[3].messages[-1]["result"]["resultType"] == "complete"
            assert pair.answers[0].events[-1].keys() == {"retry"}
            stage.gate.set()
            world.loop.run()
            assert said(streams[0]) == "done"
            assert streams[0].ended


@pytest.mark.parametrize("over", [True, False], ids=["before", "after"])
def test_an_answer_that_waits_for_its_progress_to_be_read_is_not_lost(over: bool) -> None:
    """On /sse a result comes `progress_gap` after the call's last progress: the call is over, its answer is not out."""
    stage = Stage()
    with World(stage.app, progress_gap=2.0) as world:
        stream = world.connect().get("/sse")
        world.connect().post(call("talk", token=1), stream.events[0]["data"])
        if over:
            stage.steps.release()
            world.loop.run()
            assert world.server.dispatch.late == 1
        with stopping(world):
            if not over:
                stage.steps.release()
        assert said(stream) == "said"
        assert stream.ended


def test_what_is_cut_in_the_gap_is_told_all_the_same() -> None:
    stage = Stage()
    with World(stage.app, progress_gap=2.0, drain_timeout=0.0) as world:
        stream = world.connect().get("/sse")
        world.connect().post(call("talk", token=1), stream.events[0]["data"])
        with stopping(world, 1):
            pass
        assert stream.messages[-1]["error"]["code"] == -32000


# --- readers that are slow, and those that read nothing


def laden(world: World, size: int = 400_000) -> Client:
    """A client that has not taken an answer of that size yet."""
    client = world.connect()
    client.transport.takes = False
    client.send(http("POST", "/mcp", call("echo", text="x" * size)), "POST")
    assert not client.answers
    return client


@pytest.mark.requirement("D-drain")
def test_slow_readers_may_go_on_as_long_as_they_read() -> None:
    with World(Stage().app, drain_timeout=10.0) as world:
        client = laden(world)
        with stopping(world) as task:
            for _ in range(16):
                client.transport.take(25_000)
                assert not task.done()
                world.loop.advance(0.5)
            client.transport.take()
        assert len(said(client.answers[0])) == 400_000


def test_slow_readers_of_streams_too() -> None:
    """What waits in our own buffer leaves when the transport takes more."""
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        stream = client.get("/sse")
        client.transport.takes = False
        for id in range(4):
            world.connect().post(call("echo", id, text="x" * 60_000), stream.events[0]["data"])
        with stopping(world) as task:
            for _ in range(8):
                client.transport.take(30_000)
                assert not task.done()
                world.loop.advance(0.4)
            client.transport.takes = True
            client.transport.take()
        assert [found["id"] for found in stream.messages if "id" in found] == [0, 1, 2, 3]
        assert stream.ended


def test_slow_readers_may_not_go_on_for_ever() -> None:
    with World(Stage().app, drain_timeout=3.0) as world:
        client = laden(world)
        client.gone = True  # what it got so far is nothing whole
        begun = world.clock.now
        with stopping(world) as task:
            while not task.done():
                client.transport.take(1)
                world.loop.advance(0.25)
        assert 3.0 <= world.clock.now - begun <= 5.0
        assert client.transport.aborted


@pytest.mark.requirement("D-drain")
def test_who_reads_nothing_holds_up_nobody() -> None:
    stage = Stage()
    with World(stage.app, drain_timeout=10.0) as world:
        stalled = laden(world)
        stream = world.connect()
        events = stream.get("/mcp")
        stream.transport.takes = False
        for number in range(200):
            stage.app.broadcast("notification", {"n": number, "pad": "x" * 1000})
        world.loop.run()
        busy = world.connect()
        busy.send(http("POST", "/mcp", call("echo", text="x")), "POST")
        begun = world.clock.now
        with stopping(world):
            pass
        assert world.clock.now - begun <= 2.5
        assert said(busy.answers[0]) == "x"
        assert stalled.transport.aborted
        assert stream.transport.aborted
        assert not events.ended


# --- inside a program


def test_stopping_again_waits_for_the_first() -> None:
    stage = Stage()
    with World(stage.app, drain_timeout=2.0) as world:
        world.connect().send(http("POST", "/mcp", call("wait")), "POST")
        with world.loop.running():
            second = None
            with stopping(world, 1):
                second = world.loop.create_task(world.server.stop())
                world.loop.run()
                assert not second.done()
        assert second.result() == 1
        assert world.stop() == 1


def test_what_never_began_need_not_stop() -> None:
    assert asyncio.run(Server(Stage().app).stop()) == 0


@pytest.mark.requirement("D-drain")
def test_a_stop_that_is_cancelled_leaves_nothing_behind() -> None:
    """An embedding program that has no time left."""
    told: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        yield
        told.append("closed")

    app = App("hurried", lifespan=lifespan)

    @app.tool
    async def forever() -> None:
        await asyncio.Event().wait()

    with World(app) as world:
        busy, stream = world.connect(), world.connect()
        busy.send(http("POST", "/mcp", call("forever")), "POST")
        stream.get("/sse")
        with world.loop.running():
            task = world.loop.create_task(world.server.stop())
        world.loop.advance(1.0)
        assert not task.done()
        task.cancel()
        world.loop.run()
        assert task.cancelled()
        assert busy.closed
        assert stream.closed
        assert told == ["closed"]
        assert not world.server.dispatch.running
        world.stopped = True


def test_calls_of_the_stop_hear_of_it_while_the_lifespan_lasts() -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        yield "database"
        seen.append("closed")

    app = App("tidy", lifespan=lifespan)

    @app.tool
    async def work(context: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(f"rolls back in the {context.lifespan}")

    with World(app, drain_timeout=1.0) as world:
        world.connect().send(http("POST", "/mcp", call("work")), "POST")
        with stopping(world, 1):
            pass
        assert seen == ["rolls back in the database", "closed"]


# --- everything at once


def outcome(client: Client, id: int) -> str:
    """What became of a request: result, error, closed (the connection, without an answer), or still open."""
    for answer in client.answers:
        if answer.fields.get("content-type") == "text/event-stream":
            messages = answer.messages
        else:
            whole = json.loads(answer.body) if answer.ended else []
            messages = whole if isinstance(whole, list) else [whole]
        for one in messages:
            if one.get("id") == id:
                return "error" if "error" in one else "result"
    return "closed" if client.closed else "open"


@pytest.mark.requirement("D-drain")
@pytest.mark.parametrize("seed", range(5))
def test_every_id_ends_within_the_drain_time_and_a_second(seed: int) -> None:
    """All eras, calls of all lengths in flight, some of them for ever, and requests that come all the time."""
    chance = random.Random(seed)
    app = App("mixed")

    @app.tool
    async def sleep(context: Context, seconds: float) -> str:
        for step in range(3):
            context.progress(step, 3)
            await asyncio.sleep(seconds / 3)
        return "slept"

    with World(app, drain_timeout=5.0, max_sessions=256) as world:
        asked: list[tuple[Client, int, float]] = []
        for id in range(1, 81):
            seconds = chance.choice([0.1, 1.0, 3.0, 4.5, 60.0, 3600.0])
            door = chance.choice(["json", "stream", "pair", "modern", "modern stream", "batch"])
            client = world.connect()
            token = id if "stream" in door or door == "pair" else None
            if door == "pair":
                answer = client.get("/sse")
                body = call("sleep", id, token, seconds=seconds)
                assert world.connect().post(body, answer.events[0]["data"]).status == 202
            elif door.startswith("modern"):
                body, fields = modern("sleep", id, token, seconds=seconds)
                client.send(http("POST", "/mcp", body, **fields), "POST")
            elif door == "batch":
                array = b"[" + call("sleep", id, seconds=seconds) + b"]"
                client.send(http("POST", "/mcp", array, mcp_protocol_version="2025-03-26"), "POST")
            else:
                body = call("sleep", id, token, seconds=seconds)
                client.send(http("POST", "/mcp", body, accept=BOTH if token else "application/json"), "POST")
            asked.append((client, id, seconds))
            world.loop.advance(chance.choice([0.0, 0.01, 0.1]))
        open = [id for client, id, _ in asked if outcome(client, id) == "open"]
        assert len(open) > 20
        begun = world.clock.now
        with world.loop.running():
            task = world.loop.create_task(world.server.stop())
        world.loop.advance(6.0)
        assert task.done()
        ends = [outcome(client, id) for client, id, _ in asked]
        assert "open" not in ends
        assert all(end == "result" for end, (_, _, seconds) in zip(ends, asked, strict=True) if seconds <= 4.5)
        assert 0 < task.result() < len(open)
        assert task.result() == ends.count("error") + ends.count("closed")
        assert world.clock.now - begun <= 6.0
        world.stopped = True
