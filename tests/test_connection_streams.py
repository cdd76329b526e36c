"""Answers that are event streams: when they become one, what travels on them, how they end, and readers that are slow.

Time is a clock moved by hand; what a peer takes is up to the test.
"""

from __future__ import annotations

from typing import Any

import pytest

from fakes import MODERN, enveloped, message
from fastsse.config import KIB
from fastsse.errors import CloseReason
from fastsse.writebuffer import LOGS_WAITING
from stage import BOTH, Stage, call, modern, said
from wire import Answer, Client, World, http

SSE_HEAD = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
LISTEN = message("subscriptions/listen", enveloped({"notifications": {"toolsListChanged": True}}), "s")
LISTEN_FIELDS = {"mcp_protocol_version": MODERN, "mcp_method": "subscriptions/listen", "accept": BOTH}


def pair(world: World, piece: int = 0, **fields: Any) -> tuple[Client, Answer, str]:
    """The stream of a new /sse session, and where to post to."""
    client = world.connect(piece)
    answer = client.get("/sse", accept="text/event-stream", **fields)
    assert answer.status == 200
    return client, answer, answer.events[0]["data"]


def session(client: Client, version: str = "2025-11-25") -> dict[str, Any]:
    """The fields of a new session on /mcp."""
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = client.post(message("initialize", hello), accept=BOTH)
    fields = {"mcp_session_id": answer.fields["mcp-session-id"], "mcp_protocol_version": version, "accept": BOTH}
    assert client.post(message("notifications/initialized", id=None), **fields).status == 202
    return fields


def update(stage: Stage, client: Client) -> None:
    """Something for everybody happens."""
    with client.world.loop.running():
        stage.app.notify("notifications/tools/list_changed")
    client.run()


# --- what every stream has


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytes"])
def test_a_stream_is_chunked_and_its_first_event_leaves_with_the_head(piece: int) -> None:
    with World(Stage().app) as world:
        client, answer, uri = pair(world, piece)
        assert {name: answer.fields[name] for name in SSE_HEAD} == SSE_HEAD
        assert (answer.fields["transfer-encoding"], answer.fields["connection"]) == ("chunked", "keep-alive")
        assert uri.startswith("/message?sessionId=")
        assert len(client.transport.writes) == 1
        assert len(answer.chunks) == 1


def test_http_1_0_gets_a_stream_that_the_end_of_the_connection_ends() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        answer = client.post(call("talk", token=1), version="1.0", accept=BOTH, connection="keep-alive")
        assert "transfer-encoding" not in answer.fields
        assert answer.fields["connection"] == "close"
        assert len(answer.messages) == 1
        stage.steps.release()
        client.run()
        assert client.closed
        assert len(client.answers) == 1
        assert said(answer) == "said"
        assert answer.ended


def test_after_its_stream_has_ended_the_connection_goes_on() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        answer = client.post(call("talk", 1, token=1), accept=BOTH)
        client.send(http("POST", "/mcp", call("echo", 2, text="next")), "POST")
        assert len(client.answers) == 1
        stage.steps.release()
        client.run()
        assert answer.ended
        assert said(client.answers[1]) == "next"


@pytest.mark.parametrize("path", ["/sse", "/mcp"])
def test_a_quiet_stream_is_not_a_dead_one(path: str) -> None:
    with World(Stage().app, ping=15.0, heartbeat=1000.0) as world:
        client = world.connect()
        answer = client.get(path)
        before = len(answer.comments)
        for count in (1, 2, 3):
            world.loop.advance(16.0)
            assert client.answers == [answer]
            assert answer.comments[before:] == ["ping"] * count
        assert not client.closed


def test_a_stream_that_speaks_needs_no_ping() -> None:
    stage = Stage()
    with World(stage.app, ping=15.0) as world:
        client, answer, _ = pair(world)
        for _ in range(5):
            world.loop.advance(10.0)
            update(stage, client)
        assert len(client.answers) == 1
        assert answer.comments == []
        assert len(answer.events) == 7


@pytest.mark.parametrize(("ping", "beats"), [(15.0, 4), (100.0, 4)])
def test_the_plain_stream_has_a_heartbeat(ping: float, beats: int) -> None:
    with World(Stage().app, ping=ping, heartbeat=30.0) as world:
        client = world.connect()
        answer = client.get("/mcp")
        assert [event["event"] for event in answer.events] == ["welcome"]
        world.loop.advance(30.0 * beats + 2.0)
        assert [event["event"] for event in answer.events[1:]] == ["heartbeat"] * beats


def test_events_of_one_loop_turn_leave_in_one_write() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, answer, uri = pair(world)
        other = world.connect()
        other.send(b"".join(http("POST", uri, call("echo", n, text=f"n{n}")) for n in range(10)), "POST " * 10)
        assert [got.status for got in other.answers] == [202] * 10
        assert len(client.answers) == 1
        assert [message["id"] for message in answer.messages[1:]] == list(range(10))
        assert len(client.transport.writes) == 2
        assert len(answer.chunks) == 2


def test_what_a_call_says_at_once_leaves_in_one_write_with_its_result() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        fields = session(client)
        answer = client.post(call("fill", count=5, size=100), **fields)
        assert answer.ended
        assert len(answer.messages) == 6
        assert len(answer.chunks) == 1


# --- when an answer becomes a stream


def test_a_call_that_says_nothing_is_answered_as_json() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        answer = client.post(call("at_once", text="x"), accept=BOTH)
        assert answer.fields["content-type"] == "application/json"
        assert len(client.transport.writes) == 1


def test_the_first_notification_makes_it_a_stream() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        answer = client.post(call("talk", token="t", steps=2), accept=BOTH)
        (progress,) = answer.messages
        assert progress["params"] == {"progressToken": "t", "progress": 0, "total": 2}
        stage.steps.release()
        client.run()
        assert (len(client.answers), len(answer.messages), answer.ended) == (1, 2, False)
        stage.steps.release()
        client.run()
        assert (len(client.answers), len(answer.messages), answer.ended) == (1, 3, True)
        assert said(answer) == "said"


def test_a_function_on_the_loop_may_speak_too() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        answer = client.post(call("speak", text="hello"), accept=BOTH)
        log, result = answer.messages
        assert (log["params"]["data"], result["id"]) == ("hello", 1)
        assert answer.ended


@pytest.mark.parametrize("accept", [None, "*/*", "application/json"])
def test_who_reads_no_events_gets_json_whatever_is_said(accept: str | None) -> None:
    stage = Stage()
    with World(stage.app, sse_after=15.0) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("talk", token="t"), accept=accept), "POST")
        world.loop.advance(60.0)
        assert len(client.answers) == 0
        stage.steps.release()
        client.run()
        assert said(client.answers[0]) == "said"
        assert client.answers[0].fields["content-type"] == "application/json"


def test_who_reads_nothing_but_events_gets_events() -> None:
    with World(Stage().app) as world:
        answer = world.connect().post(call("at_once", text="x"), accept="text/event-stream")
        assert answer.fields["content-type"] == "text/event-stream"
        assert said(answer) == "x"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_that_takes_long_becomes_a_stream(era: str) -> None:
    stage = Stage()
    with World(stage.app, sse_after=15.0, ping=15.0) as world:
        client = world.connect()
        body, fields = (call("wait"), {"accept": BOTH}) if era == "legacy" else modern("wait")
        client.send(http("POST", "/mcp", body, **fields), "POST")
        world.loop.advance(14.0)
        assert len(client.answers) == 0
        world.loop.advance(3.0)
        (answer,) = client.answers
        assert answer.comments == ["ping"]
        world.loop.advance(30.0)
        assert len(answer.comments) == 2 + 1
        stage.gate.set()
        client.run()
        assert said(answer) == "done"
        assert answer.ended


def test_sse_after_0_makes_every_call_that_waits_a_stream() -> None:
    stage = Stage()
    with World(stage.app, sse_after=0.0) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", call("wait"), accept=BOTH), "POST")
        world.loop.advance(1.0)
        assert client.answers[0].fields["content-type"] == "text/event-stream"
        stage.gate.set()
        client.run()
        assert said(client.answers[0]) == "done"


def test_errors_before_the_stream_keep_their_http_status() -> None:
    with World(Stage().app) as world:
        body, fields = modern("nobody")
        answer = world.connect().post(body, **fields)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
        answer = world.connect().post(call("nobody"), accept=BOTH)
        assert (answer.status, answer.json["error"]["code"]) == (200, -32602)


# --- clients that go away, and come back


def test_a_modern_call_ends_with_its_connection() -> None:
    stage = Stage()
    with World(stage.app) as world:
        for way in ("eof", "reset"):
            client = world.connect()
            body, fields = modern("wait")
            client.send(http("POST", "/mcp", body, **fields), "POST")
            assert stage.running == 1
            getattr(client, way)()
            assert stage.running == 0
        assert stage.cancelled == 2
        assert world.server.stats.methods["tools/call"].cancelled == 2


def test_a_modern_call_that_streams_ends_with_its_connection() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        body, fields = modern("talk", token=1)
        assert len(client.post(body, **fields).messages) == 1
        client.reset()
        assert not world.server.dispatch.running


def test_a_call_in_a_session_goes_on_and_its_answer_can_be_fetched() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        fields = session(client)
        answer = client.post(call("talk", 7, token="t"), **fields)
        seen = [event["id"] for event in answer.events if "id" in event]
        client.reset()
        assert world.server.stats.streams_open["streamable"] == 0
        stage.steps.release()
        world.loop.run()
        again = world.connect().get("/mcp", last_event_id=seen[-1], **fields)
        assert again.messages[-1]["id"] == 7
        assert said(again) == "said"
        assert again.ended


def test_a_browser_that_comes_back_misses_nothing() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, _, uri = pair(world)
        poster = world.connect()
        assert poster.post(call("wait", 1), uri).status == 202
        assert poster.post(call("echo", 2, text="two"), uri).status == 202
        (stream,) = client.answers
        last = stream.events[-1]["id"]
        client.reset()
        assert poster.post(call("echo", 3, text="three"), uri).status == 202
        stage.gate.set()
        poster.run()
        again = world.connect().get("/sse", last_event_id=last)
        assert again.events[0] == {"event": "endpoint", "data": uri}
        assert [message["id"] for message in again.messages] == [3, 1]


def test_a_newer_stream_takes_the_place_of_the_old_one() -> None:
    stage = Stage()
    with World(stage.app) as world:
        first = world.connect()
        fields = session(first)
        second = world.connect()
        assert first.get("/mcp", **fields).status == second.get("/mcp", **fields).status == 200
        first.run()
        assert first.answers[-1].ended
        assert first.closed
        update(stage, second)
        assert len(second.answers) == 1
        assert len(second.answers[0].messages) == 1


def test_when_its_session_ends_so_does_the_stream() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        fields = session(client)
        answer = client.get("/mcp", **fields)
        assert world.connect().ask("DELETE", "/mcp", **fields).status == 200
        client.run()
        assert answer.ended
        assert client.closed


def test_a_client_may_cancel_a_call_in_its_first_moment() -> None:
    """The call and its cancellation come in one piece: the call has not begun to run."""
    stage = Stage()
    with World(stage.app) as world:
        client, answer, uri = pair(world)
        poster = world.connect()
        cancel = message("notifications/cancelled", {"requestId": 1, "reason": "changed my mind"}, None)
        poster.send(http("POST", uri, call("wait", 1)) + http("POST", uri, cancel), "POST POST")
        assert [got.status for got in poster.answers] == [202, 202]
        assert not world.server.dispatch.running
        stage.gate.set()
        assert poster.post(call("echo", 1, text="again"), uri).status == 202
        assert len(client.answers) == 1
        assert said(answer.messages[-1]) == "again"
        assert len(answer.messages) == 2


def test_a_cancelled_call_ends_its_http_answer() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, other = world.connect(), world.connect()
        fields = session(client)
        client.send(http("POST", "/mcp", call("wait", 1), **fields), "POST")
        cancel = message("notifications/cancelled", {"requestId": 1}, None)
        assert other.post(cancel, **fields).status == 202
        client.run()
        assert client.answers[-1].json["error"]["code"] == -32800
        assert stage.cancelled == 1
        assert client.post(call("echo", 2, text="x"), **fields).status == 200


def test_a_listener_gets_its_result_when_the_server_stops() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        answer = client.post(LISTEN, **LISTEN_FIELDS)
        assert answer.messages[0]["method"] == "notifications/subscriptions/acknowledged"
        world.stop()
        assert (answer.messages[-1]["id"], answer.messages[-1]["result"]["resultType"]) == ("s", "complete")
        assert answer.ended
        assert client.closed


# --- readers that are slow


def slow(client: Client, takes: bool = False) -> Client:
    client.transport.takes = takes
    return client


def test_what_a_full_transport_does_not_take_waits_and_leaves_in_one_write() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, answer, uri = pair(world)
        poster = world.connect()
        slow(client)
        assert poster.post(call("echo", 1, text="x" * 70 * KIB), uri).status == 202
        assert client.transport.full
        before = len(client.transport.writes)
        for number in range(2, 8):
            assert poster.post(call("echo", number, text=f"n{number}"), uri).status == 202
        assert len(client.transport.writes) == before
        slow(client, takes=True).transport.take()
        client.run()
        assert len(client.transport.writes) == before + 1
        assert len(client.answers) == 1
        assert [message["id"] for message in answer.messages[1:]] == list(range(1, 8))


def test_a_reader_that_is_behind_gets_replies_whole_and_the_rest_thinned_out() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client, answer, uri = pair(world)
        poster = world.connect()
        slow(client)
        poster.post(call("echo", 1, text="x" * 70 * KIB), uri)
        poster.post(call("fill", 2, count=LOGS_WAITING + 10, size=50, drain=False), uri)
        for _ in range(20):
            update(stage, poster)
        poster.post(call("echo", 3, text="last"), uri)
        slow(client, takes=True).transport.take()
        client.run()
        methods = [message.get("method", message.get("id")) for message in answer.messages[1:]]
        assert methods == [
            1,
            *["notifications/message"] * LOGS_WAITING,
            2,
            "notifications/tools/list_changed",
            3,
        ]
        stats = world.server.stats
        client.reset()
        assert (stats.dropped["log"], sum(stats.coalesced.values())) == (10, 19)


def test_a_slow_consumer_is_closed_and_comes_back_for_the_rest() -> None:
    stage = Stage()
    with World(stage.app, buffer_max=64 * KIB, buffer_high=32 * KIB) as world:
        client, answer, uri = pair(world)
        poster = world.connect()
        slow(client)
        texts = {number: f"{number}:".ljust(20 * KIB, "x") for number in range(1, 12)}
        for number, text in texts.items():
            assert poster.post(call("echo", number, text=text), uri).status == 202
        assert client.transport.closing
        assert world.server.stats.closed[CloseReason.SLOW_CONSUMER] == 1
        client.transport.take(25 * KIB)
        client.reset()
        got = answer.messages[1:]
        while len(got) < len(texts):  # replays are bounded too
            last = answer.events[-1]["id"]
            answer = world.connect().get("/sse", last_event_id=last)
            assert answer.messages
            got += answer.messages
        assert [said(message) for message in got] == list(texts.values())


def test_a_reader_that_stops_is_closed_at_the_deadline_and_one_that_goes_on_is_not() -> None:
    stage = Stage()
    with World(stage.app, stall_timeout=10.0) as world:
        stopped, _, first = pair(world)
        slowly, answer, second = pair(world)
        poster = world.connect()
        for uri in (first, second):
            for number in range(4):
                assert poster.post(call("echo", number, text="x" * 50 * KIB), uri).status == 202
        assert stopped.transport.held == b""
        for client, uri in ((stopped, first), (slowly, second)):
            slow(client)
            for number in range(4, 8):
                assert poster.post(call("echo", number, text="x" * 50 * KIB), uri).status == 202
            assert client.transport.full
        begun = world.clock.now
        while not stopped.closed:
            world.loop.advance(1.0)
            slowly.transport.take(KIB)
            assert world.clock.now - begun < 12.0
        assert world.clock.now - begun >= 10.0
        assert world.server.stats.closed[CloseReason.STALLED] == 1
        world.loop.advance(8.0)
        while slowly.transport.held:
            slowly.transport.take(20 * KIB)
            slowly.run()
            world.loop.advance(8.0)
            assert not slowly.closed
        assert len(slowly.answers) == 1
        assert [message["id"] for message in answer.messages[1:]] == list(range(8))


def test_after_a_pause_pings_and_heartbeats_go_on() -> None:
    stage = Stage()
    with World(stage.app, ping=15.0, heartbeat=30.0, stall_timeout=60.0) as world:
        client = world.connect()
        answer = client.get("/mcp")
        slow(client)
        with world.loop.running():
            stage.app.broadcast("notification", {"text": "x" * 70 * KIB})
        client.run()
        assert client.transport.full
        world.loop.advance(40.0)
        slow(client, takes=True).transport.take()
        world.loop.advance(16.0)
        kinds = [event["event"] for event in answer.events]
        assert kinds == ["welcome", "notification", "heartbeat"]
        world.loop.advance(62.0)
        assert [event["event"] for event in answer.events][3:] == ["heartbeat", "heartbeat"]


def test_a_call_behind_answers_that_nobody_takes_is_no_longer_than_others() -> None:
    """The stall clock of the earlier answers and the clock of the call are two."""
    stage = Stage()
    with World(stage.app, stall_timeout=10.0, sse_after=15.0) as world:
        client = slow(world.connect())
        pages = http("GET", "/health") * 9
        client.send(pages + http("POST", "/mcp", call("wait"), accept=BOTH), "GET " * 9 + "POST")
        assert client.transport.full
        world.loop.advance(5.0)
        slow(client, takes=True).transport.take()
        world.loop.advance(8.0)
        assert len(client.answers) == 9
        world.loop.advance(4.0)
        assert client.answers[-1].fields["content-type"] == "text/event-stream"
        stage.gate.set()


def test_a_handler_can_wait_for_room() -> None:
    stage = Stage()
    with World(stage.app, buffer_high=64 * KIB, buffer_max=128 * KIB) as world:
        client = slow(world.connect())
        client.send(http("POST", "/mcp", call("fill", count=100, size=10 * KIB), accept=BOTH), "POST")
        assert world.server.dispatch.running
        assert len(client.transport.held) < 128 * KIB
        while world.server.dispatch.running:
            assert client.transport.held
            client.transport.take()
            client.run()
        slow(client, takes=True).transport.take()
        client.run()
        (answer,) = client.answers
        assert len(answer.messages) == 101
        assert said(answer) == "filled"


def test_a_handler_that_waits_for_room_is_let_go_when_the_reader_goes_away() -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = slow(world.connect())
        client.send(http("POST", "/mcp", call("fill", count=100, size=10 * KIB), accept=BOTH), "POST")
        assert world.server.dispatch.running
        client.reset()
        assert not world.server.dispatch.running


def test_a_handler_that_waits_for_room_goes_on_when_its_reader_is_given_up() -> None:
    """On /sse the session outlives the reader: the rest waits for it in the ring."""
    stage = Stage()
    with World(stage.app, stall_timeout=10.0, session_lost=600.0, ring_bytes=4096 * KIB) as world:
        client, answer, uri = pair(world)
        slow(client)
        world.connect().post(call("fill", count=100, size=10 * KIB), uri)
        assert world.server.dispatch.running
        world.loop.advance(25.0)
        assert client.closed
        assert world.server.stats.closed[CloseReason.STALLED] == 1
        assert not world.server.dispatch.running
        got: list[Any] = []
        last = f"{uri.partition('=')[2]}:0"
        while len(got) < 101:  # replays are bounded too
            again = world.connect().get("/sse", last_event_id=last)
            assert again.messages
            got += again.messages
            last = again.events[-1]["id"]
        assert said(got[-1]) == "filled"
        assert len(answer.messages) == 1


def test_what_the_kernel_does_not_take_is_not_taken_for_read() -> None:
    """Though it is less than asyncio's high water: it is fetched after the connection breaks."""
    with World(Stage().app, ring_bytes=KIB) as world:
        client, answer, uri = pair(world)
        poster = world.connect()
        slow(client)
        texts = [f"{number}".ljust(300, ".") for number in range(3)]
        for number, text in enumerate(texts):
            assert poster.post(call("echo", number, text=text), uri).status == 202
        assert 0 < len(client.transport.held) < 64 * KIB
        client.reset()
        again = world.connect().get("/sse", last_event_id=f"{uri.partition('=')[2]}:0")
        assert [said(message) for message in again.messages] == texts
        assert len(answer.messages) == 1


def test_one_reader_that_stands_still_holds_up_nobody_else() -> None:
    stage = Stage()
    with World(stage.app) as world:
        readers = [pair(world) for _ in range(20)]
        stuck = slow(readers[0][0])
        poster = world.connect()
        poster.post(call("echo", 1, text="x" * 100 * KIB), readers[0][2])
        for number in range(50):
            update(stage, poster)
            assert number < 50
        for client, answer, _ in readers[1:]:
            assert len(client.answers) == 1
            assert len(answer.messages) == 51
        assert stuck.transport.full
        assert world.server.pending() < KIB
