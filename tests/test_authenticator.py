"""Requests that wait until somebody has said who asks, and streams that end when that is no longer true.

The server and its connections are real, the loop and the wire are not; the issuer's keys come over a real socket.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from fakes import MODERN, enveloped, message
from fastsse.app import App
from fastsse.config import Config
from fastsse.context import Context
from fastsse.errors import CloseReason, ConfigError
from fastsse.principal import Credentials, Principal
from fastsse.server import Server
from fastsse.signed import COOLDOWN, MAX_AGE
from issuer import ISSUER, Issuer, publishing
from stage import BOTH, Stage, call, said
from wire import START, Client, World, http

both_ways = pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytes"])
HELLO = message(
    "initialize",
    {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
)
EVENTS = "text/event-stream"


def echo(text: str = "x", id: Any = 1) -> bytes:
    return call("echo", id, text=text)


class Porter:
    """An application's `authenticate`: knows people by their cookie, once it is let go on."""

    def __init__(self, waits: bool = False) -> None:
        self.gate = asyncio.Event()
        if not waits:
            self.gate.set()
        self.asked: list[Credentials] = []
        self.left = 0
        self.expires = float("inf")

    async def __call__(self, credentials: Credentials) -> Principal | None:
        self.asked.append(credentials)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
        name = credentials.cookies.get("sid")
        return None if name is None else Principal(name, expires=self.expires)


def stage(porter: Any) -> App:
    found = Stage().app
    found.authenticate = porter

    @found.tool(inline=True)
    def who(context: Context) -> str:
        assert context.principal is not None
        return context.principal.name

    return found


# --- the application is asked


@pytest.mark.requirement("D-auth-hook")
@both_ways
def test_a_request_waits_and_what_is_behind_it_too(piece: int) -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        client = world.connect(piece)
        ann, bob = (http("POST", "/mcp", call("who", name), cookie=f"sid={name}") for name in ("ann", "bob"))
        client.send(ann + http("GET", "/ready") + bob, "POST GET POST")
        assert len(client.answers) == 0
        assert len(porter.asked) == 1
        porter.gate.set()
        client.run()
        assert (said(client.answers[0]), client.answers[1].status, said(client.answers[2])) == ("ann", 200, "bob")
        assert len(porter.asked) == 2
        assert world.server.stats.requests == 3


@pytest.mark.requirement("D-auth-hook", "D-process-bytes")
def test_what_waits_for_the_application_is_counted() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", echo("x" * 50_000), cookie="sid=ann"), "POST")
        assert 50_000 <= world.server.budget.used <= 51_000
        porter.gate.set()
        client.run()
        assert said(client.answers[0]) == "x" * 50_000
        assert world.server.budget.used == 0


@pytest.mark.requirement("A-01", "D-auth-hook")
def test_whom_nobody_knows_is_refused_and_the_connection_goes_on() -> None:
    porter = Porter()
    with World(stage(porter)) as world:
        client = world.connect()
        refused = client.post(echo())
        assert (refused.status, refused.fields["www-authenticate"]) == (401, 'Bearer realm="mcp"')
        assert said(client.post(echo("y"), cookie="sid=ann")) == "y"
        assert not client.closed


def test_the_body_may_come_before_or_after_the_answer() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        client = world.connect()
        whole = http("POST", "/mcp", echo("x" * 100), cookie="sid=ann")
        client.send(whole[:-50], "POST")
        porter.gate.set()
        client.run()
        assert len(client.answers) == 0
        client.send(whole[-50:])
        assert said(client.answers[0]) == "x" * 100


@pytest.mark.requirement("D-auth-hook")
def test_a_body_is_asked_for_only_from_those_who_may_come_in() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        for cookie, interim in (("sid=ann", [100]), ("", [])):
            porter.gate.clear()
            client = world.connect()
            whole = http("POST", "/mcp", echo(), cookie=cookie, expect="100-continue")
            at = whole.index(b"\r\n\r\n") + 4
            client.send(whole[:at], "POST")
            assert client.reader.interim == []
            porter.gate.set()
            client.run()
            assert client.reader.interim == interim
            if interim:
                client.send(whole[at:])
                assert said(client.answers[0]) == "x"
            else:
                assert client.answers[0].status == 401


def test_too_much_behind_a_request_that_waits_is_not_read() -> None:
    porter = Porter(waits=True)
    with World(stage(porter), max_pipelined=2048) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", echo(), cookie="sid=ann"), "POST")
        sent = 1
        while client.reads():
            client.send(http("POST", "/mcp", echo("y" * 500), cookie="sid=ann"), "POST")
            sent += 1
            assert sent < 20
        porter.gate.set()
        client.run()
        assert client.reads()
        assert [answer.status for answer in client.answers] == [200] * sent


def test_a_client_that_sends_no_more_gets_its_answer() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", echo(), cookie="sid=ann"), "POST").eof()
        porter.gate.set()
        client.run()
        assert said(client.answers[0]) == "x"
        assert client.closed


def test_for_a_client_that_is_gone_nobody_is_asked_any_longer() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        world.connect().send(http("POST", "/mcp", echo(), cookie="sid=ann"), "POST").reset()
        assert porter.left == 1


@pytest.mark.requirement("D-auth-hook")
def test_nobody_waits_for_ever() -> None:
    porter = Porter(waits=True)
    with World(stage(porter), auth_timeout=5.0) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", echo(), cookie="sid=ann"), "POST")
        world.loop.advance(5.0)
        (answer,) = client.answers
        assert (answer.status, answer.fields["retry-after"]) == (503, "1")
        assert answer.json["error"]["data"]["setting"] == "auth_timeout"
        assert porter.left == 1


async def breaks(credentials: Credentials) -> Principal | None:
    raise RuntimeError("the password is hunter2")


async def gives_up(credentials: Credentials) -> Principal | None:
    raise TimeoutError


async def says_true(credentials: Credentials) -> Any:
    return True


@pytest.mark.requirement("D-auth-hook")
@pytest.mark.parametrize("broken", [breaks, gives_up, says_true])
def test_an_application_that_fails_lets_nobody_in(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    with World(stage(broken)) as world, caplog.at_level(logging.ERROR, "fastsse.auth"):
        answer = world.connect().post(echo(), cookie="sid=ann")
        assert answer.status == 500
        assert b"hunter2" not in answer.body
        assert "authenticate failed" in caplog.text


@pytest.mark.requirement("H-12", "D-auth-hook")
def test_an_event_source_comes_in_by_its_cookie_and_the_session_is_its_own() -> None:
    with World(stage(Porter())) as world:
        browser, poster = world.connect(), world.connect()
        stream = browser.get("/sse", cookie="sid=ann", accept=EVENTS)
        target = stream.events[0]["data"]
        assert poster.post(call("who", 7), target).status == 401
        foreign = poster.post(call("who", 7), target, cookie="sid=bob")
        dead = poster.post(call("who", 7), target.replace("-8", "-9"), cookie="sid=bob")
        assert (foreign.status, foreign.body) == (dead.status, dead.body) == (404, dead.body)
        assert poster.post(call("who", 8), target, cookie="sid=ann").status == 202
        assert [said(one) for one in stream.messages[1:]] == ["ann"]
        browser.reset()
        again = world.connect().get("/sse", cookie="sid=bob", accept=EVENTS, last_event_id=stream.events[-1]["id"])
        assert again.events[0]["data"] != target
        back = world.connect().get("/sse", cookie="sid=ann", accept=EVENTS, last_event_id=stream.events[-1]["id"])
        assert back.events[0]["data"] == target


def test_a_server_that_stops_waits_for_nobody_who_is_asked() -> None:
    porter = Porter(waits=True)
    with World(stage(porter)) as world:
        client = world.connect()
        client.send(http("POST", "/mcp", echo(), cookie="sid=ann"), "POST")
        assert world.stop() == 0
        assert client.closed
        assert porter.left == 1


# --- the issuer's keys


def signed(url: str, **more: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "audience": "us", "jwks_url": url, **more}


def token(world: World, issuer: Issuer, seconds: float = 600, **claims: Any) -> str:
    """A token that is good for so long, and the thirty seconds that clocks may differ."""
    return "Bearer " + issuer.token(exp=int(START + world.clock.now + seconds), **claims)


@pytest.mark.requirement("D-auth-jwt")
def test_all_who_wait_for_the_keys_wait_for_one_fetch() -> None:
    issuer = Issuer()
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        world.loop.hold_threads = True
        clients = [world.connect() for _ in range(5)]
        for client in clients:
            client.send(http("POST", "/mcp", call("who"), authorization=token(world, issuer)), "POST")
        clients[0].reset()
        assert published.asked == 0
        world.loop.hold_threads = False
        world.loop.run()
        assert published.asked == 1
        assert [said(client.answers[0]) for client in clients[1:]] == ["ann"] * 4
        assert said(clients[1].post(call("who"), authorization=token(world, issuer, sub="bob"))) == "bob"
        assert published.asked == 1
        assert clients[1].post(echo(), authorization="Bearer a.b.c").status == 401


@pytest.mark.requirement("D-auth-jwt")
def test_keys_are_rotated_and_forgers_cannot_have_them_fetched_over_and_over() -> None:
    issuer = Issuer(old="ES256")
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        client = world.connect()
        assert said(client.post(call("who"), authorization=token(world, issuer))) == "ann"
        for _ in range(10):
            forged = token(world, Issuer(unheard_of="ES256"))
            assert client.post(echo(), authorization=forged).status == 401
        assert published.asked == 1
        issuer.add("new")
        published.body = issuer.document
        world.loop.advance(COOLDOWN)
        fresh = "Bearer " + issuer.token("new", exp=int(START + world.clock.now + 60))
        assert said(client.post(call("who"), authorization=fresh)) == "ann"
        assert published.asked == 2


@pytest.mark.requirement("D-auth-jwt")
@pytest.mark.parametrize(
    ("status", "body"),
    [(0, b""), (500, b"{}"), (302, b""), (200, b"<html>"), (200, b'{"keys":5}'), (200, b" " * (1 << 20 | 1))],
)
def test_without_keys_nobody_comes_in_and_it_is_not_the_clients_fault(
    status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    with publishing(body) as published, World(stage(None), **signed(published.url)) as world:
        published.status = status
        client = world.connect()
        with caplog.at_level(logging.WARNING, "fastsse.auth"):
            for _ in range(3):
                answer = client.post(echo(), authorization=token(world, issuer))
                assert (answer.status, answer.fields["retry-after"]) == (503, "30")
        assert published.asked == 1
        assert f"the keys at {published.url} cannot be used" in caplog.text
        published.status, published.body = 200, issuer.document
        world.loop.advance(COOLDOWN)
        assert said(client.post(call("who"), authorization=token(world, issuer))) == "ann"


@pytest.mark.requirement("D-auth-jwt")
def test_whose_key_is_known_does_not_suffer_when_the_issuer_falls_silent() -> None:
    issuer = Issuer()
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        client = world.connect()
        assert said(client.post(call("who"), authorization=token(world, issuer))) == "ann"
        world.loop.advance(MAX_AGE)
        client = world.connect()
        world.loop.hold_threads = True
        client.send(http("POST", "/mcp", call("who"), authorization=token(world, issuer)), "POST")
        assert not client.answers
        world.loop.advance(world.server.config.auth_timeout - 0.1)
        assert said(client.answers[0]) == "ann"
        world.loop.hold_threads = False
        world.loop.run()


def test_an_issuer_that_cannot_be_reached() -> None:
    with publishing(b"") as published:
        pass
    with World(stage(None), **signed(published.url)) as world:
        assert world.connect().post(echo(), authorization=token(world, Issuer())).status == 503


def test_the_keys_of_a_server_that_stops_are_not_waited_for() -> None:
    issuer = Issuer()
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        world.loop.hold_threads = True
        client = world.connect()
        client.send(http("POST", "/mcp", echo(), authorization=token(world, issuer)), "POST")
        assert world.stop() == 0
        assert client.closed
        world.loop.jobs.clear()


# --- streams end when what proved their owner does


def until(world: World, issuer: Issuer, seconds: float) -> str:
    """A token whose time ends after so many seconds."""
    return token(world, issuer, seconds - 30)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def opened(client: Client, authorization: str) -> dict[str, str]:
    answer = client.post(HELLO, authorization=authorization)
    return {"mcp_session_id": answer.fields["mcp-session-id"]}


@pytest.mark.requirement("D-auth-expiry")
def test_a_stream_ends_with_its_token(issuer: Issuer) -> None:
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        bearer = until(world, issuer, 100)
        session = opened(world.connect(), bearer)
        streams = [
            world.connect().get("/mcp", accept=EVENTS, authorization=bearer, **session),
            world.connect().get("/mcp", accept=EVENTS, authorization=bearer),
            world.connect().get("/sse", accept=EVENTS, authorization=bearer),
        ]
        asked = enveloped({"notifications": {"toolsListChanged": True}})
        listening = world.connect().post(
            message("subscriptions/listen", asked, "sub"),
            accept=BOTH, authorization=bearer, mcp_protocol_version=MODERN, mcp_method="subscriptions/listen",
        )  # fmt: skip
        world.loop.advance(98.0)
        assert not any(stream.ended for stream in (*streams, listening))
        world.loop.advance(4.0)
        assert all(stream.ended for stream in (*streams, listening))
        assert world.server.stats.closed[CloseReason.EXPIRED] == 4
        assert listening.messages[-1]["id"] == "sub"
        assert "result" in listening.messages[-1]
        again = world.connect().get("/mcp", accept=EVENTS, authorization=bearer, **session)
        assert (again.status, "expired" in again.fields["www-authenticate"]) == (401, True)


@pytest.mark.requirement("D-auth-expiry")
def test_a_later_request_with_a_fresh_token_renews_the_stream(issuer: Issuer) -> None:
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        first = until(world, issuer, 100)
        client = world.connect()
        session = opened(client, first)
        standing = world.connect().get("/mcp", accept=EVENTS, authorization=first, **session)
        pair = world.connect().get("/sse", accept=EVENTS, authorization=first)
        plain = world.connect().get("/mcp", accept=EVENTS, authorization=first)
        world.loop.advance(50.0)
        fresh = until(world, issuer, 200)
        assert said(client.post(call("who"), authorization=fresh, **session)) == "ann"
        assert client.post(call("who"), pair.events[0]["data"], authorization=fresh).status == 202
        world.loop.advance(60.0)
        assert (standing.ended, pair.ended, plain.ended) == (False, False, True)
        assert said(client.post(call("who"), authorization=fresh, **session)) == "ann"
        assert client.post(call("who"), authorization=first, **session).status == 401
        world.loop.advance(150.0)
        assert (standing.ended, pair.ended) == (True, True)


@pytest.mark.requirement("D-auth-expiry")
def test_a_strangers_fresh_token_renews_nothing(issuer: Issuer) -> None:
    with publishing(issuer.document) as published, World(stage(None), **signed(published.url)) as world:
        session = opened(world.connect(), until(world, issuer, 100))
        stream = world.connect().get("/mcp", accept=EVENTS, authorization=until(world, issuer, 100), **session)
        bobs = token(world, issuer, 600, sub="bob")
        assert world.connect().post(call("who"), authorization=bobs, **session).status == 404
        world.loop.advance(102.0)
        assert stream.ended


@pytest.mark.requirement("D-auth-expiry")
def test_a_call_that_was_let_in_is_answered_although_its_token_ends(issuer: Issuer) -> None:
    on_stage = Stage()
    with publishing(issuer.document) as published, World(on_stage.app, **signed(published.url)) as world:
        client = world.connect()
        bearer = until(world, issuer, 100)
        client.send(http("POST", "/mcp", call("wait"), accept=BOTH, authorization=bearer), "POST")
        world.loop.advance(200.0)
        on_stage.gate.set()
        client.run()
        assert said(client.answers[0]) == "done"


def test_what_the_application_says_ends_too() -> None:
    porter = Porter()
    with World(stage(porter)) as world:
        porter.expires = START + world.clock.now + 20
        stream = world.connect().get("/sse", cookie="sid=ann", accept=EVENTS)
        world.loop.advance(22.0)
        assert stream.ended
        porter.expires = START + world.clock.now - 1
        assert world.connect().get("/sse", cookie="sid=ann", accept=EVENTS).status == 401


@pytest.mark.requirement("D-auth-expiry")
def test_a_reader_that_hardly_reads_keeps_no_stream_beyond_its_token() -> None:
    porter = Porter()
    app = stage(porter)
    with World(app, stall_timeout=30.0) as world:
        porter.expires = START + world.clock.now + 40
        client = world.connect()
        client.get("/mcp", cookie="sid=ann", accept=EVENTS)
        client.transport.takes = False
        for _ in range(5):
            with world.loop.running():
                app.broadcast("notification", {"text": "x" * 1000})
            world.loop.run()
        for _ in range(3):
            client.transport.take(10)
            world.loop.advance(31.0)
        closed = world.server.stats.closed
        assert (closed[CloseReason.EXPIRED], closed[CloseReason.STALLED]) == (1, 0)
        assert world.server.stats.dropped == {"unsent": 4}, "one was under way"


# --- the token file


def test_tokens_from_a_file(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may come in\n\nann: 0123456789abcdef tools\n  # nobody else\n")
    file.chmod(0o600)
    with World(stage(None), token_file=str(file)) as world:
        client = world.connect()
        assert client.post(echo()).status == 401
        assert said(client.post(call("who"), authorization="Bearer 0123456789abcdef")) == "ann"
    assert not caplog.records
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING, "fastsse.auth"):
        Server(stage(None), Config(token_file=str(file)))._admit(True)
    assert "can be read by everybody" in caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "which cannot be read: No such file or directory"),
        (b"\xff", "which cannot be read: it is no UTF-8"),
        (b"ann: 0123456789abcdef\nbob secret-secret-secret\n", "whose line 2 must be name: token [scopes]"),
    ],
)
def test_a_token_file_that_cannot_work(tmp_path: Any, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        Server(stage(None), Config(token_file=str(file)))._admit(True)
    assert str(refused.value).startswith(f"token_file is {str(file)!r}, {sentence}")
    assert "secret" not in str(refused.value)
