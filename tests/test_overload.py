"""When there is too much to do or to keep: who gives way, who is refused, who is served, and when it is over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import BUDGET, MODERN, enveloped, message
from fastsse.config import KIB, Config
from fastsse.errors import CloseReason
from fastsse.overload import Overload
from stage import BOTH, Stage, call, said
from wire import Answer, Client, World, http

HELLO = message(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
)


def pair(world: World) -> tuple[Client, Answer, str]:
    """The stream of a new /sse session, and where to post to."""
    client = world.connect()
    answer = client.get("/sse", accept="text/event-stream")
    return client, answer, answer.events[0]["data"]


def used(world: World) -> int:
    return world.server.budget.used


def setting(answer: Answer) -> tuple[int, Any, str]:
    return answer.status, answer.json["error"]["data"]["setting"], answer.fields["retry-after"]


# --- too much to do


def lagging(overload: Overload, *lags: float, each: int = 10) -> bool:
    """Ticks that come so late, with so many requests before each; whether nothing new is taken then."""
    for lag in lags:
        overload.tick(lag, overload.requests + each)
    return overload.busy is not None


@pytest.mark.requirement("D-shedding")
def test_a_loop_that_is_late_again_and_again_is_overloaded_until_it_is_not() -> None:
    overload = Overload(Config(shed_lag=1.0), BUDGET)
    assert not lagging(overload, 1.5, 1.5)
    assert lagging(overload, 1.5)
    assert lagging(overload, 0.9, 0.6, each=0), "it has to be late by less than half"
    assert not lagging(overload, 0.4)
    assert not lagging(overload, 1.5, 1.5)


def test_a_loop_that_was_late_once_is_not_overloaded() -> None:
    overload = Overload(Config(shed_lag=1.0), BUDGET)
    for _ in range(10):
        assert not lagging(overload, 30.0, 0.0)


def test_one_slow_function_after_the_other_is_no_load() -> None:
    overload = Overload(Config(shed_lag=1.0), BUDGET)
    assert not lagging(overload, *[5.0] * 10, each=1)
    assert lagging(overload, *[5.0] * 3, each=2)


def test_shedding_can_be_off() -> None:
    assert not lagging(Overload(Config(shed_lag=0.0), BUDGET), *[100.0] * 10)


def test_a_change_is_told_once() -> None:
    overload = Overload(Config(shed_lag=1.0), BUDGET)
    told = [overload.tick(lag, number * 10) for number, lag in enumerate([2, 2, 2, 2, 0, 0], 1)]
    assert told == [False, False, True, False, True, False]


def test_a_server_that_lags_refuses_what_is_new_and_is_back_when_it_does_not() -> None:
    stage = Stage()
    with World(stage.app, shed_lag=1.0) as world:
        reader, stream, uri = pair(world)
        client = world.connect()
        for _ in range(3):
            for _ in range(2):
                assert said(client.post(call("echo", text="x"))) == "x"
            world.loop.leap(2.0)
        assert setting(client.post(call("echo", text="x"))) == (503, "shed_lag", "1")
        assert setting(client.post(HELLO)) == (503, "shed_lag", "1")
        assert setting(world.connect().get("/sse")) == (503, "shed_lag", "1")
        assert client.get("/health").status == 200
        assert client.post(message("notifications/initialized", id=None), uri).status == 202
        with world.loop.running():
            stage.app.notify("notifications/tools/list_changed")
        reader.run()
        assert len(stream.messages) == 2
        assert world.server.stats.refused["overloaded"] == 3
        world.loop.advance(2.0)
        assert said(client.post(call("echo", text="x"))) == "x"
        assert client.post(HELLO).status == 200


# --- too much to keep


@pytest.mark.requirement("D-process-bytes")
def test_what_is_kept_is_counted_and_in_the_end_nothing_is() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, _, uri = pair(world)
        ring = used(world)
        client.transport.takes = False
        poster = world.connect()
        for number in range(3):
            assert poster.post(call("echo", number, text="x" * 10 * KIB), uri).status == 202
        frames = 3 * 10 * KIB
        assert 2 * frames < used(world) - ring < 2 * frames + 2 * KIB, "each once in the ring and once on its way"
        client.transport.takes = True
        client.transport.take()
        client.run()
        assert frames < used(world) - ring < frames + KIB
        before = used(world)
        body = http("POST", uri, call("echo", 9, text="y" * 20 * KIB))
        poster.send(body[:100])
        assert used(world) - before == 100
        poster.send(body[100 : 10 * KIB])
        assert 9 * KIB < used(world) - before <= 10 * KIB
        poster.reset()
        assert used(world) == before
        metrics = world.connect().get("/metrics").body.decode()
        assert f"fastsse_held_bytes {before}" in metrics
        client.reset()
        world.loop.leap(100.0)
        assert used(world) == 0


@pytest.mark.parametrize("how", ["json", "pair", "pair, not in its arguments", "batch", "chunked"])
@pytest.mark.requirement("D-process-bytes")
def test_large_arguments_of_a_running_call_are_counted_until_it_has_ended(how: str) -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        body = call("wait", 1, padding="p" * 50 * KIB)
        before = 0
        if how.startswith("pair"):
            _, _, uri = pair(world)
            before = used(world)
            if how == "pair, not in its arguments":
                params = {"name": "wait", "arguments": {}, "padding": "p" * 50 * KIB}
                body = message("tools/call", params)
            client.send(http("POST", uri, body), "POST")
        elif how == "batch":
            client.send(http("POST", "/mcp", b"[" + body + b"]", mcp_protocol_version="2025-03-26"), "POST")
        elif how == "chunked":
            chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            client.send(http("POST", "/mcp", content_length=None, transfer_encoding="chunked") + chunked, "POST")
        else:
            client.send(http("POST", "/mcp", body), "POST")
        assert len(world.server.dispatch.running) == 1
        assert 50 * KIB <= used(world) - before <= 51 * KIB
        stage.gate.set()
        client.run()
        assert len(client.answers) == 1
        assert 0 <= used(world) - before < KIB


@pytest.mark.parametrize("http_by", ["auto", "h11"])
@pytest.mark.requirement("D-process-bytes")
def test_a_large_head_is_counted_as_long_as_it_is_needed(http_by: str) -> None:
    stage = Stage()
    with World(stage.app, http=http_by) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("wait", 1), x_cookie="c" * 20 * KIB), "POST")
        assert 20 * KIB <= used(world) <= 21 * KIB
        stage.gate.set()
        client.run()
        assert len(client.answers) == 1
        assert used(world) == 0
        client.get("/mcp", accept="text/event-stream", x_cookie="c" * 20 * KIB)
        assert 20 * KIB <= used(world) <= 21 * KIB
        client.reset()
        assert used(world) == 0


@pytest.mark.requirement("D-process-bytes")
def test_what_a_stream_was_asked_for_with_is_counted_as_long_as_it_lives() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        wanted = {"notifications": {"toolsListChanged": True}, "padding": "p" * 50 * KIB}
        fields = {"mcp_protocol_version": MODERN, "mcp_method": "subscriptions/listen", "accept": BOTH}
        client.post(message("subscriptions/listen", enveloped(wanted)), **fields)
        assert 50 * KIB <= used(world) <= 51 * KIB
        client.reset()
        assert used(world) == 0


@pytest.mark.requirement("D-process-bytes")
def test_what_comes_at_once_with_a_call_that_waits_is_counted() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        behind = http("POST", "/mcp", call("echo", 2, text="x" * 50 * KIB))
        client.send(http("POST", "/mcp", call("wait", 1)) + behind, "POST POST")
        assert 50 * KIB <= used(world) <= 51 * KIB
        stage.gate.set()
        client.run()
        assert len(client.answers) == 2
        assert used(world) == 0


@pytest.mark.requirement("D-process-bytes")
def test_calls_that_stream_do_not_give_way() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=256 * KIB) as world:
        clients = [world.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            body = call("talk", number, number, padding="p" * 30 * KIB)
            client.send(http("POST", "/mcp", body, accept=BOTH), "POST")
        open = [client for client in clients if client.answers and client.answers[0].status == 200]
        assert 8 <= len(open) < 20
        for _ in clients:
            stage.steps.release()
        for client in open:
            client.run()
            assert said(client.answers[0]) == "said"
        assert world.server.stats.closed[CloseReason.OVERLOAD] == 0


@pytest.mark.requirement("D-process-bytes")
def test_streams_with_large_heads_give_way() -> None:
    with World(Stage().app, max_bytes=256 * KIB) as world:
        clients = [world.connect() for _ in range(20)]
        plain = world.connect()
        plain.get("/mcp", accept="text/event-stream")
        for client in clients:
            client.get("/mcp", accept="text/event-stream", x_cookie="c" * 30 * KIB)
        world.loop.run()
        assert used(world) <= 256 * KIB
        assert world.server.stats.closed[CloseReason.OVERLOAD] > 0
        assert sum(world.server.stats.streams_open.values()) >= 5
        assert not plain.closed


@pytest.mark.requirement("D-process-bytes")
def test_the_largest_request_on_its_way_gives_way_and_the_others_are_served() -> None:
    with World(Stage().app, max_bytes=256 * KIB) as world:
        bodies = [http("POST", "/mcp", call("echo", text="x" * size * KIB)) for size in (10, 30, 90, 120, 60)]
        clients = [world.connect() for _ in bodies]
        for client, body in zip(clients, bodies, strict=True):
            client.send(body[:-1], "POST")
        answered = [client.answers[0] for client in clients if client.answers]
        assert [setting(answer) for answer in answered] == [(503, "max_bytes", "1")]
        assert clients[3].answers == answered
        assert world.server.stats.refused["memory"] == 1
        assert used(world) <= 192 * KIB
        for client, body in zip(clients, bodies, strict=True):
            if client is not clients[3]:
                client.send(body[-1:])
                assert client.answers[0].status == 200
        assert used(world) == 0


@pytest.mark.requirement("D-process-bytes", "D-slow-consumer")
def test_readers_that_do_not_read_give_way_and_come_back_for_what_they_missed() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=512 * KIB, ring_bytes=64 * KIB) as world:
        readers = [pair(world) for _ in range(8)]
        poster = world.connect()
        for client, _, _ in readers[:4]:
            client.transport.takes = False
        most = 0
        for number in range(40):
            for _, _, uri in readers:
                poster.post(call("echo", number, text=f"{number}:".ljust(5 * KIB, ".")), uri)
                most = max(most, used(world))
        assert most <= 512 * KIB + 16 * KIB
        for client, answer, _ in readers[4:]:
            assert len(client.answers) == 1
            assert [one["id"] for one in answer.messages[1:]] == list(range(40))
        gone = [reader for reader in readers if reader[0].closed]
        assert world.server.stats.closed[CloseReason.OVERLOAD] == len(gone) > 0
        assert not world.server.stats.dropped, "everything can be fetched"
        for client, answer, uri in gone:
            assert client in [reader[0] for reader in readers[:4]]
            again = world.connect().get("/sse", last_event_id=f"{uri.partition('=')[2]}:0")
            ids = [one["id"] for one in again.messages]
            assert ids[0] == 0
            assert ids == sorted(ids)
            assert not answer.messages[1:]


@pytest.mark.requirement("D-process-bytes")
def test_rings_keep_less_when_there_is_less_room() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=256 * KIB, ring_bytes=64 * KIB) as world:
        readers = [pair(world) for _ in range(6)]
        for number in range(100):
            with world.loop.running():
                stage.app.notify("notifications/message", {"level": "info", "data": f"{number}".ljust(KIB, ".")})
            world.loop.run()
            assert used(world) <= 256 * KIB
        for client, answer, _ in readers:
            assert not client.closed
            assert len(answer.messages) == 101
        weights = [session.weight for shard in world.server.table.shards for session in shard.slots if session]
        assert max(weights) <= 64 * KIB
        assert min(weights) <= 8 * KIB


@pytest.mark.requirement("D-process-bytes")
def test_large_requests_that_fill_the_budget_cost_nobody_else_what_is_kept_for_them() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=512 * KIB, ring_bytes=64 * KIB) as world:
        poster = world.connect()
        readers = [pair(world) for _ in range(3)]
        for number in range(4):
            for _, _, uri in readers:
                poster.post(call("echo", number, text="x" * 5 * KIB), uri)
        kept = used(world)
        flood = [world.connect() for _ in range(20)]
        for client in flood:
            client.send(http("POST", "/mcp", call("echo", text="y" * 60 * KIB))[:-1], "POST")
        assert world.server.stats.refused["memory"] >= 3
        for client, _, uri in readers:
            client.reset()
            again = world.connect().get("/sse", last_event_id=f"{uri.partition('=')[2]}:0")
            assert [one["id"] for one in again.messages] == [0, 1, 2, 3]
        for client in flood:
            client.reset()
        assert used(world) == kept


@pytest.mark.requirement("D-process-bytes")
def test_when_rings_alone_are_too_much_nobody_but_they_pays_for_it() -> None:
    """So many sessions that even an eighth of a ring for each is more than there may be."""
    stage = Stage()
    with World(stage.app, max_bytes=128 * KIB, ring_bytes=64 * KIB) as world:
        readers = [pair(world) for _ in range(40)]
        gone, _, uri = pair(world)
        gone.reset()
        for number in range(60):
            with world.loop.running():
                stage.app.notify("notifications/message", {"level": "info", "data": f"{number}".ljust(900, ".")})
            world.loop.run()
            assert used(world) <= 128 * KIB
            assert world.server.endpoint.gate is None
        for client, answer, _ in readers:
            assert not client.closed
            assert len(answer.messages) == 61
        assert world.connect().post(call("echo", text="x"), uri).status == 202
        assert set(world.server.stats.dropped) == {"notice"}, "the one that is gone has missed some"


@pytest.mark.requirement("D-process-bytes")
def test_when_nobody_can_give_way_nothing_new_is_taken_until_there_is_room() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=128 * KIB) as world:
        uris = [pair(world)[2] for _ in range(3)]
        poster = world.connect()
        for number, uri in enumerate(uris):
            assert poster.post(call("wait", number, padding="p" * 50 * KIB), uri).status == 202
        world.loop.advance(2.0)
        assert setting(poster.post(call("echo", text="x"))) == (503, "max_bytes", "1")
        assert setting(world.connect().get("/sse")) == (503, "max_bytes", "1")
        assert setting(poster.post(HELLO)) == (503, "max_bytes", "1")
        assert poster.get("/health").status == 200
        stage.gate.set()
        world.loop.advance(2.0)
        assert said(poster.post(call("echo", text="x"))) == "x"


@pytest.mark.requirement("D-process-bytes")
def test_a_session_whose_client_is_gone_gives_way_with_the_replies_that_it_left_unread() -> None:
    stage = Stage()
    with World(stage.app, max_bytes=128 * KIB, ring_bytes=256 * KIB) as world:
        poster = world.connect()
        gone, _, uri = pair(world)
        gone.reset()
        for number in range(3):
            assert poster.post(call("echo", number, text="x" * 40 * KIB), uri).status == 202
        _, answer, other = pair(world)
        assert poster.post(call("echo", 3, text="y" * 60 * KIB), other).status == 202
        assert poster.post(call("echo", 4, text="z"), uri).status == 404
        assert world.server.table.ended[CloseReason.OVERLOAD] == 1
        assert [json.dumps(one["id"]) for one in answer.messages[1:]] == ["3"]
        world.loop.advance(2.0)
        assert world.server.endpoint.gate is None


def test_a_plain_answer_that_nobody_takes_is_counted() -> None:
    with World(Stage().app, max_bytes=256 * KIB) as world:
        clients = [world.connect() for _ in range(6)]
        for client in clients:
            client.transport.takes = False
            client.send(http("POST", "/mcp", call("echo", text="x" * 60 * KIB)), "POST")
            assert used(world) <= 256 * KIB
        assert world.server.stats.closed[CloseReason.OVERLOAD] > 0
        for client in clients:
            client.transport.takes = True
            client.transport.take()
        world.loop.run()
        assert used(world) == 0


# --- every drop is counted


def test_what_a_slow_consumer_without_ids_never_got_is_counted() -> None:
    stage = Stage()
    with World(stage.app, buffer_max=64 * KIB, buffer_high=32 * KIB) as world:
        client = world.connect()
        client.get("/mcp")
        client.transport.takes = False
        for _ in range(10):
            with world.loop.running():
                stage.app.broadcast("notification", {"text": "x" * 10 * KIB})
            world.loop.run()
        stats = world.server.stats
        assert stats.closed[CloseReason.SLOW_CONSUMER] == 1
        assert stats.dropped == {"unsent": 7}, "one was under way, six waited, the seventh was too much"
