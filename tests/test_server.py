"""A server's life: it starts, ticks, spreads events and stops; several in one process; out of files; told by signals.

What needs no socket has none. What does has a limit for every wait, and ends only what it has started.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import MODERN, enveloped, message
from fastsse.app import App
from fastsse.connection import Connection
from fastsse.context import Context
from fastsse.errors import CloseReason, RequestRefused
from real import port, served
from stage import BOTH, Stage, call, modern, said
from wire import Client, Reader, World, http

ROOT = Path(__file__).resolve().parent.parent
WAIT = 20.0
LISTEN = message("subscriptions/listen", enveloped({"notifications": {"toolsListChanged": True}}), "s")
LISTEN_FIELDS = {"mcp_protocol_version": MODERN, "mcp_method": "subscriptions/listen", "accept": BOTH}
CHANGED = "notifications/tools/list_changed"

both_loops = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


# --- starting and stopping


def test_what_the_lifespan_yields_is_there_as_long_as_the_server_runs() -> None:
    said: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[str]:
        said.append("begins")
        yield "the database"
        said.append("ends")

    app = App("spanning", lifespan=lifespan)

    @app.tool(inline=True)
    def which(context: Context) -> str:
        return str(context.lifespan)

    with World(app) as world:
        assert said == ["begins"]
        answer = world.connect().post(call("which"))
        assert answer.json["result"]["content"][0]["text"] == "the database"
    assert said == ["begins", "ends"]


def test_stopping_ends_every_connection_and_every_stream() -> None:
    stage = Stage()
    with World(stage.app) as world:
        idle, half, pair, plain, listener = (world.connect() for _ in range(5))
        idle.get("/ready")
        half.send(b"GET /re", "GET")
        streams = [pair.get("/sse"), plain.get("/mcp"), listener.post(LISTEN, **LISTEN_FIELDS)]
        assert world.stop() == 0
        for client in (idle, half, pair, plain, listener):
            assert client.closed
        assert all(answer.ended for answer in streams)
        assert ["retry" in answer.events[-1] for answer in streams] == [True, True, False]
        assert streams[2].messages[-1]["result"]["resultType"] == "complete"
        assert world.server.table.count == 0
        assert world.server.dispatch.running == set()


def test_stopping_twice_is_stopping_once() -> None:
    with World(Stage().app) as world:
        assert world.stop() == 0
        assert world.stop() == 0


def test_after_its_end_a_server_hears_nothing_of_its_app() -> None:
    stage = Stage()
    with World(stage.app) as world:
        world.stop()
        stage.app.notify(CHANGED)
        world.loop.run()


@pytest.mark.parametrize("door", ["json", "stream", "pair", "modern"])
def test_running_calls_may_finish(door: str) -> None:
    stage = Stage()
    with World(stage.app, drain_timeout=10.0) as world:
        client = world.connect()
        if door == "pair":
            answer = client.get("/sse")
            world.connect().post(call("wait"), answer.events[0]["data"])
        elif door == "modern":
            body, fields = modern("wait")
            client.send(http("POST", "/mcp", body, **fields), "POST")
        elif door == "stream":
            answer = client.post(call("talk", token=1), accept=BOTH)
        else:
            client.send(http("POST", "/mcp", call("wait")), "POST")
        with world.loop.running():
            stopping = world.loop.create_task(world.server.stop())
        world.loop.advance(5.0)
        assert not stopping.done()
        stage.gate.set()
        stage.steps.release()
        world.loop.advance(0.0)
        world.loop.advance(3.0)
        assert stopping.result() == 0
        world.stopped = True
        assert said(client.answers[0]) == ("said" if door == "stream" else "done")
        assert client.answers[0].ended
        assert client.closed


def test_who_does_not_finish_is_cut_and_counted() -> None:
    stage = Stage()
    with World(stage.app, drain_timeout=10.0) as world:
        clients = [world.connect() for _ in range(3)]
        for client in clients:
            client.send(http("POST", "/mcp", call("wait")), "POST")
        body, fields = modern("wait")
        modern_client = world.connect().send(http("POST", "/mcp", body, **fields), "POST")
        stream, pair = world.connect(), world.connect()
        streamed = stream.post(call("talk", token=1), accept=BOTH)
        answers = pair.get("/sse")
        world.connect().post(call("wait"), answers.events[0]["data"])
        begun = world.clock.now
        assert world.stop() == 6
        assert 10.0 <= world.clock.now - begun <= 11.0
        told = [client.answers[0].json for client in (*clients, modern_client)]
        told += [answer.messages[-1] for answer in (streamed, answers)]
        for response in told:
            assert response["error"]["code"] == -32000
            assert response["error"]["message"] == "The server is stopping, and this call was not done in time"
        for client in (*clients, modern_client, stream, pair):
            assert client.closed
            assert client.answers[0].ended
        assert stage.cancelled == 5


def test_what_is_cut_may_clean_up_but_holds_up_nobody() -> None:
    app = App("stubborn")
    cleaned: list[str] = []

    @app.tool
    async def tidy() -> None:
        import asyncio

        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            cleaned.append("tidy")

    @app.tool
    async def deaf() -> None:
        import asyncio

        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    world = World(app, drain_timeout=1.0)
    for name in ("tidy", "deaf"):
        world.connect().send(http("POST", "/mcp", call(name)), "POST")
    begun = world.clock.now
    assert world.stop() == 2
    assert world.clock.now - begun < 3.0
    assert cleaned == ["tidy"]


def test_a_peer_that_takes_nothing_does_not_hold_up_the_end() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.transport.takes = False
        client.send(http("GET", "/docs"), "GET")
        begun = world.clock.now
        assert world.stop() == 0
        assert world.clock.now - begun < 2.0
        assert client.transport.aborted
        assert client.closed


def test_several_servers_share_an_app_and_nothing_else() -> None:
    stage = Stage()
    with World(stage.app) as first, World(stage.app) as second:
        one, two = first.connect(), second.connect()
        streams = one.get("/sse"), two.get("/sse")
        stage.app.notify(CHANGED)
        first.loop.run()
        second.loop.run()
        assert [answer.messages[-1]["method"] for answer in streams] == [CHANGED, CHANGED]
        uri = streams[0].events[0]["data"]
        assert second.connect().post(call("echo", text="x"), uri).status == 404
        first.stop()
        assert one.closed
        assert not two.closed
        assert second.connect().post(call("echo", text="x")).status == 200
        assert (first.server.stats.requests, second.server.stats.requests) == (1, 3)


# --- events for everybody


def streams(world: World, count: int, path: str = "/sse") -> list[Client]:
    clients = [world.connect() for _ in range(count)]
    for client in clients:
        assert client.get(path).status == 200
    return clients


def changes(client: Client) -> list[str]:
    return [found["method"] for found in client.answers[0].messages if found["method"] != "notifications/initialized"]


def test_a_notification_reaches_whom_it_concerns() -> None:
    stage = Stage()
    with World(stage.app) as world:
        pairs, plain = streams(world, 5), streams(world, 2, "/mcp")
        listener, deaf = world.connect(), world.connect()
        heard = listener.post(LISTEN, **LISTEN_FIELDS)
        wants = message("subscriptions/listen", enveloped({"notifications": {"promptsListChanged": True}}), "d")
        unheard = deaf.post(wants, **LISTEN_FIELDS)
        stage.app.notify(CHANGED)
        world.loop.run()
        assert [changes(client) for client in pairs] == [[CHANGED]] * 5
        assert [found["method"] for found in heard.messages[1:]] == [CHANGED]
        assert len(unheard.messages) == 1
        assert all(not client.answers[0].messages for client in plain)


def test_a_broadcast_reaches_plain_streams_that_want_its_type() -> None:
    stage = Stage()
    with World(stage.app) as world:
        (pair,) = streams(world, 1)
        every, some = streams(world, 2, "/mcp")[0], streams(world, 1, "/mcp?events=other")[0]
        stage.app.broadcast("notification", {"n": 1})
        world.loop.run()
        event = every.answers[0].events[-1]
        assert (event["event"], json.loads(event["data"])) == ("notification", {"type": "notification", "n": 1})
        assert some.answers[0].events == []
        assert changes(pair) == []


def test_an_event_for_many_leaves_room_for_the_others() -> None:
    """The loop breathes: no more streams in one turn than `fanout` and the shard that it ends in."""
    stage = Stage()
    with World(stage.app, fanout=4, shards=16) as world:
        clients = streams(world, 64)
        with world.loop.running():
            stage.app.notify(CHANGED)
        counts = []
        while True:
            counts.append(sum(len(client.transport.writes) > 1 for client in clients))
            if counts[-1] == 64:
                break
            world.loop.turn()
        steps = [after - before for before, after in itertools.pairwise(counts)]
        assert max(steps) <= 8
        assert len(steps) >= 8
        world.loop.run()
        assert all(changes(client) == [CHANGED] for client in clients)


def test_events_keep_their_order_however_many_they_are() -> None:
    stage = Stage()
    with World(stage.app, fanout=1, shards=4) as world:
        clients = streams(world, 12, "/mcp")
        for number in range(10):
            with world.loop.running():
                stage.app.broadcast("notification", {"n": number})
            world.loop.turn()
        world.loop.run()
        for client in clients:
            data = [json.loads(event["data"]) for event in client.answers[0].events[1:]]
            assert [event["n"] for event in data] == list(range(10))


def test_receivers_may_come_and_go_while_an_event_is_spread() -> None:
    stage = Stage()
    with World(stage.app, fanout=1, shards=8) as world:
        clients = streams(world, 16)
        with world.loop.running():
            stage.app.notify(CHANGED)
        for client in clients[::2]:
            world.loop.turn()
            with world.loop.running():
                client.gone = True
                client.transport.lose(None)
        world.loop.run()
        assert all(changes(client) == [CHANGED] for client in clients[1::2])


def test_a_receiver_that_is_broken_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def offer(self, event: Any) -> None:
            raise RuntimeError("broken receiver")

    stage = Stage()
    with World(stage.app) as world:
        clients = streams(world, 8)
        broken = Broken()
        for shard in world.server.table.shards:
            shard.audience.add(broken)
        for _ in range(2):
            stage.app.notify(CHANGED)
            world.loop.run()
        assert all(changes(client) == [CHANGED] * 2 for client in clients)
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["broken receiver"] * 4
        for shard in world.server.table.shards:
            shard.audience.discard(broken)


def test_threads_may_publish() -> None:
    stage = Stage()
    with World(stage.app) as world:
        pairs, plain = streams(world, 3), streams(world, 3, "/mcp")

        def work(number: int) -> None:
            for step in range(20):
                stage.app.notify("notifications/resources/list_changed")
                stage.app.broadcast("notification", {"thread": number, "step": step})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        world.loop.run()
        assert all(len(changes(client)) == 80 for client in pairs)
        for client in plain:
            data = [json.loads(event["data"]) for event in client.answers[0].events[1:]]
            for number in range(4):
                assert [event["step"] for event in data if event["thread"] == number] == list(range(20))


# --- the tick


class Visited:
    """A member of a shard that is always due, and notes when it is visited."""

    deadline = 0.0
    weight = 0

    def __init__(self, shard: int, seen: list[tuple[int, float]]) -> None:
        self.shard = shard
        self.seen = seen

    def tick(self, now: float) -> None:
        self.seen.append((self.shard, now))

    def close(self, reason: object) -> None:
        """The server stops."""

    def give_way(self, refused: RequestRefused) -> None: ...


@contextlib.contextmanager
def visits(world: World) -> Iterator[list[tuple[int, float]]]:
    """(shard, time) of every visit in the block."""
    found: list[tuple[int, float]] = []
    members = [Visited(shard.index, found) for shard in world.server.table.shards]
    for shard, member in zip(world.server.table.shards, members, strict=True):
        shard.members.add(member)
    yield found
    for shard, member in zip(world.server.table.shards, members, strict=True):
        shard.members.discard(member)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.4, 0.9])
def test_each_shard_is_visited_once_a_second_however_late_the_loop_is(
    delay: float,
) -> None:
    with World(Stage().app, shards=16) as world, visits(world) as seen:
        begun = world.clock.now
        while world.clock.now < begun + 20.0:
            if delay:
                world.loop.leap(delay)
            else:
                world.loop.advance(1 / 32)
        for shard in range(16):
            times = [now for index, now in seen if index == shard]
            gaps = [after - before for before, after in itertools.pairwise([begun, *times])]
            assert max(gaps) <= 1.0 + max(delay, 1 / 16) + 1e-6


def test_a_machine_that_slept_catches_up_with_one_visit_each() -> None:
    with World(Stage().app, shards=16) as world, visits(world) as seen:
        world.loop.leap(3600.0)
        assert sorted(index for index, _ in seen) == list(range(16))
        assert world.server.stats.loop_lag == pytest.approx(3600.0, abs=1.0)


def test_ticks_go_on_when_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        deadline = 0.0
        weight = 0

        def tick(self, now: float) -> None:
            raise RuntimeError("broken member")

        def give_way(self, refused: RequestRefused) -> None: ...

    with World(Stage().app, shards=4, keep_alive=5.0) as world:
        client = world.connect()
        client.get("/ready")
        broken = Broken()
        for shard in world.server.table.shards:
            if client.protocol not in shard.members:
                shard.members.add(broken)
        world.loop.advance(7.0)
        assert client.closed
        assert "broken member" in caplog.text
        for shard in world.server.table.shards:
            shard.members.discard(broken)


def test_a_connection_that_cannot_be_written_to_keeps_nothing_from_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    with World(stage.app) as world:
        first, second, third = streams(world, 3)

        def write(data: bytes) -> None:
            raise RuntimeError("broken transport")

        monkeypatch.setattr(second.transport, "write", write)
        for _ in range(2):
            stage.app.notify(CHANGED)
            world.loop.run()
        assert changes(first) == changes(third) == [CHANGED] * 2
        assert "broken transport" in caplog.text
        assert second.closed
        assert world.server.stats.closed[CloseReason.FAILED] == 1


def test_the_date_goes_on() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        world.server.heads.date(b"long ago")
        assert client.get("/ready").fields["date"] == "long ago"
        world.loop.advance(2.5)
        assert client.get("/ready").fields["date"] != "long ago"


def test_a_connection_belongs_to_one_shard_and_they_share_evenly() -> None:
    with World(Stage().app, shards=8) as world:
        clients = [world.connect() for _ in range(32)]
        assert [len(shard.members) for shard in world.server.table.shards] == [4] * 8
        assert all(isinstance(client.protocol, Connection) for client in clients)


# --- processes


SCRIPT = """
import asyncio, os, resource, sys
files = int(sys.argv[2])
if files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files // 2, files))
from fastsse import App, Config, Context, run

app = App("process")
hoard = []

@app.tool(inline=True)
def hog() -> int:
    "Takes every file descriptor that is left."
    try:
        while True:
            hoard.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return len(hoard)

@app.tool(inline=True)
def release() -> int:
    while hoard:
        os.close(hoard.pop())
    return 0

@app.tool(inline=True)
def limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

@app.tool
async def forever(context: Context) -> None:
    context.progress(1)
    await asyncio.Event().wait()

config = Config(host="127.0.0.1", port=0, loop=sys.argv[1], drain_timeout=float(sys.argv[3]))
sys.exit(run(app, config, started=lambda server: print(server.url.rpartition(":")[2], flush=True)))
"""


class Process:
    """The script above as a process of its own."""

    def __init__(self, loop: str, files: int = 0, drain: float = 10.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, loop, str(files), str(drain)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with selectors.DefaultSelector() as selector:
            assert self.process.stdout is not None
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(WAIT), "it does not start"
        self.port = int(self.process.stdout.readline() or 0)
        self.socks: list[socket.socket] = []

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), WAIT)
        self.socks.append(sock)
        return sock

    def ask(self, sock: socket.socket, method: str, target: str, body: bytes = b"", **fields: Any) -> Any:
        """Its answer, whole or, of a stream, with the first chunk."""
        reader = Reader()
        reader.asked.append(method)
        sock.sendall(http(method, target, body, **fields))
        while not (reader.answers and (reader.answers[0].ended or reader.answers[0].chunks)):
            data = sock.recv(65536)
            if not data:
                return None
            reader.feed(data)
        return reader.answers[0]

    def call(self, sock: socket.socket, name: str, **fields: Any) -> str:
        return str(said(self.ask(sock, "POST", "/mcp", call(name), **fields)))

    def wait(self) -> tuple[int, str]:
        """Exit code, and what it said on the way."""
        _, stderr = self.process.communicate(timeout=WAIT)
        return self.process.returncode, stderr.decode()

    def end(self) -> None:
        for sock in self.socks:
            sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT)


@contextlib.contextmanager
def process(*arguments: Any, **options: Any) -> Iterator[Process]:
    made = Process(*arguments, **options)
    try:
        yield made
    finally:
        made.end()


def read_to_end(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@both_loops
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_at_once_though_streams_are_open(loop: str, number: int) -> None:
    with process(loop) as server:
        pair, plain, listener, idle = (server.connect() for _ in range(4))
        assert server.ask(pair, "GET", "/sse").status == 200
        assert server.ask(plain, "GET", "/mcp").status == 200
        assert server.ask(listener, "POST", "/mcp", LISTEN, **LISTEN_FIELDS).status == 200
        assert server.ask(idle, "GET", "/ready").status == 200
        server.process.send_signal(number)
        code, stderr = server.wait()
        assert (code, stderr) == (0, "")
        for stream, word in ((pair, b"retry: "), (plain, b"retry: "), (listener, b"complete")):
            rest = read_to_end(stream)
            assert word in rest
            assert rest.endswith(b"0\r\n\r\n")
        assert read_to_end(idle) == b""


@pytest.mark.requirement("D-exit-code")
@both_loops
def test_the_exit_code_is_the_number_of_calls_that_were_cut(loop: str) -> None:
    with process(loop, drain=0.0) as server:
        for _ in range(3):
            answer = server.ask(server.connect(), "POST", "/mcp", call("forever", token=1), accept=BOTH)
            assert answer.messages
        server.process.send_signal(signal.SIGTERM)
        code, stderr = server.wait()
        assert (code, stderr) == (3, "")
        assert all(read_to_end(sock).endswith(b"0\r\n\r\n") for sock in server.socks)


@pytest.mark.requirement("D-exit-code")
@both_loops
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_does_not_wait(loop: str, number: int) -> None:
    with process(loop, drain=3600.0) as server:
        sock, other = server.connect(), server.connect()
        assert server.ask(sock, "POST", "/mcp", call("forever", token=1), accept=BOTH).messages
        server.process.send_signal(number)
        with contextlib.suppress(ConnectionError):  # connections without a request are closed
            while server.ask(other, "GET", "/ready") is not None:
                pass
        refused = False
        limit = time.monotonic() + WAIT
        while not refused:  # one that came just before is taken, and closed
            assert time.monotonic() < limit, "new connections are taken"
            try:
                socket.create_connection(("127.0.0.1", server.port), WAIT).close()
            except ConnectionRefusedError:
                refused = True
            except ConnectionError:
                pass
        assert server.process.poll() is None
        server.process.send_signal(number)
        code, stderr = server.wait()
        assert code == 128 + number
        # asyncio's debug mode tells that its own server was closed while it took that last connection.
        assert not stderr or stderr.startswith("Error on transport creation for incoming connection\n")


@both_loops
def test_connections_beyond_the_limit_on_files_are_refused_politely(loop: str) -> None:
    with process(loop, files=160) as server:
        first = server.connect()
        assert server.call(first, "limit") == "160"
        found = []
        for _ in range(150):
            try:
                answer = server.ask(server.connect(), "GET", "/ready")
            except ConnectionError:
                answer = None
            found.append(answer and answer.status)
        assert found == [200] * 95 + [503] * 32 + [None] * 23
        assert server.call(first, "limit") == "160"
        for sock in server.socks[1:]:
            sock.close()
        while server.ask(server.connect(), "GET", "/ready").status != 200:
            pass


@both_loops
def test_out_of_files_is_not_the_end(loop: str) -> None:
    with process(loop, files=120) as server:
        first = server.connect()
        assert int(server.call(first, "hog")) > 10
        waiting = [server.connect() for _ in range(5)]  # the kernel takes them, the process cannot
        assert server.call(first, "limit") == "120"
        server.call(first, "release")
        for sock in waiting:  # some kernels and loops drop them, none leaves them hanging
            with contextlib.suppress(ConnectionError):
                answer = server.ask(sock, "GET", "/ready")
                assert answer is None or answer.status == 200
        assert server.ask(server.connect(), "GET", "/ready").status == 200
        assert server.call(first, "limit") == "120"


@pytest.mark.requirement("D-dead-peers")
@pytest.mark.parametrize(("seconds", "set"), [(60.0, [1, 30, 10, 3, 60_000]), (7.0, [1, 4, 1, 3, 7000]), (0.0, [0])])
def test_accepted_sockets_give_up_peers_whose_machine_is_gone(seconds: float, set: list[int]) -> None:
    """What the listening socket was told is inherited: to accept costs no further system call."""
    with served(Stage().app, peer_timeout=seconds) as server:
        client = socket.create_connection(("127.0.0.1", port(server)), 10.0)
        client.sendall(http("GET", "/ready"))
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        (connection,) = server.connections()
        assert connection.transport is not None
        accepted = connection.transport.get_extra_info("socket")
        found = [accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        if seconds:
            found += [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        assert found == set
        client.close()
