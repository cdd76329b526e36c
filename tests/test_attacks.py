"""Attacks on what is written: text that wants to be a line of its own, ids that want to be somebody else's, JSON that
two readers read differently. Floods, slow peers and large bombs are `test_floods`'s, how requests are told apart is
`test_http11`'s and `test_llhttp`'s.

Answers are read by readers that are not ours: h11 for heads, `eventsource` for streams, `json` for messages.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from typing import Any

import h11
import pytest

import eventsource
from fakes import MODERN, enveloped, message
from fastsse.context import Context
from fastsse.errors import ToolError
from stage import BOTH, Stage, call, said
from wire import Answer, Client, World, http

NASTY = [
    "\n", "\r", "\r\n", "\n\n", "\0", "\x0b\x0c", "\u2028\u2029\x85", "\ufeff", ":", "data", "data: evil", ": evil",
    "a\n\ndata: evil\n\n", "a\r\rdata: evil\r\r", "a\nevent: endpoint\ndata: http://evil/\n\n", "a\nid: evil\nretry: 1",
    "a\r\n\r\nHTTP/1.1 200 OK\r\nX-Evil: evil\r\n\r\n", "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", '"},"evil":{"a":"',
    "\\n\\r",
    "</script><script>evil()</script>", "\x7f\x80\xa0", "\U0001f642\u0301", "%0d%0aevil: 1", "č\u010a",
]  # fmt: skip
NAMES = {"message", "endpoint", "welcome", "heartbeat", "greeting"}


def events(answer: Answer, ids: str = r"|[0-9a-f-]{36}:\d+|\d+-\d+") -> list[eventsource.Event]:
    """The events of an answer; none has a name or an id that somebody sneaked in, and each is JSON or an address."""
    found, retry = eventsource.read(answer.body)
    assert retry in (None, 1000)
    for event in found:
        assert event.name in NAMES, event
        assert re.fullmatch(ids, event.id), event
        if event.name == "endpoint":
            assert re.fullmatch(r"/message\?sessionId=[0-9a-f-]{36}", event.data)
        elif event.data:  # else it is there for its id
            json.loads(event.data)
    assert answer.body.count(b"\n\n") == len(found) + len(answer.comments)
    assert b"\r" not in answer.body
    return found


def check(answer: Answer) -> None:
    """All that was said is JSON."""
    if answer.fields.get("content-type") == "text/event-stream":
        answer.body.decode()
        for line in answer.body.splitlines():
            if line.startswith(b"data: {"):
                json.loads(line[6:], parse_int=str)
    elif answer.body:
        json.loads(answer.body, parse_int=str)


def messages(answer: Answer) -> list[Any]:
    return [json.loads(event.data) for event in events(answer) if event.name == "message" and event.data]


class Echoing(Stage):
    """A stage that says back what it is given, in every place where something is said."""

    def __init__(self) -> None:
        super().__init__()
        self.app.add_tool(self.all_over, inline=True)
        self.app.add_tool(self.refuse, inline=True)
        self.app.add_resource("x://{name}", lambda name: f"it is {name}", name="x")

    def all_over(self, text: str, context: Context) -> dict[str, str]:
        context.progress(1, 2, text)
        context.log("error", text, logger=text)
        context.log("error", {text: [text]})
        return {"text": text}

    def refuse(self, text: str) -> str:
        raise ToolError(text)


# --- SSE injection


def doors(world: World) -> list[tuple[str, Client, str, dict[str, Any]]]:
    """Where a message can be sent: its name, a connection, the target, and fields."""
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    session = world.connect().post(message("initialize", hello)).fields["mcp-session-id"]
    pair = world.connect()
    uri = pair.get("/sse").events[0]["data"]
    return [
        ("nobody's", world.connect(), "/mcp", {"accept": "text/event-stream"}),
        ("session", world.connect(), "/mcp", {"accept": BOTH, "mcp_session_id": session}),
        ("events first", world.connect(), "/mcp", {"accept": "text/event-stream", "mcp_session_id": session}),
        ("pair", world.connect(), uri, {}),
    ]


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_text_of_tools_progress_and_log_stays_text(text: str) -> None:
    with World(Echoing().app) as world:
        for door, client, target, fields in doors(world):
            before = len(events(world.clients[1].answers[0]))
            body = call("all_over", 1, token=text, text=text)
            answer = client.post(body, target, **fields)
            if door == "pair":
                world.loop.advance(1.0)
                said_there = [json.loads(event.data) for event in events(world.clients[1].answers[0])[before:]]
            else:
                said_there = messages(answer)
            progress, first, second, result = said_there
            assert progress["params"] == {"progressToken": text, "progress": 1, "total": 2, "message": text}
            assert first["params"] == {"level": "error", "logger": text, "data": text}
            assert second["params"]["data"] == {text: [text]}
            assert json.loads(said(result)) == {"text": text}


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize("text", NASTY, ids=ascii)
@pytest.mark.parametrize(
    "method", ["tools/call", "resources/read", "resources/subscribe", "prompts/get", "completion/complete", "*"]
)
def test_ids_names_and_addresses_stay_what_they_are(method: str, text: str) -> None:
    params: dict[str, Any] = {"name": text, "uri": text, "arguments": {"text": text}, "level": text, "cursor": text}
    with World(Echoing().app) as world:
        for door, client, target, fields in doors(world):
            before = len(events(world.clients[1].answers[0]))
            answer = client.post(message(text if method == "*" else method, params, text), target, **fields)
            if door == "pair":
                assert answer.status == 202
                (event,) = events(world.clients[1].answers[0])[before:]
                heard = json.loads(event.data)
            elif answer.fields["content-type"] == "text/event-stream":
                (heard,) = messages(answer)
            else:
                heard = answer.json
            assert heard["id"] == text
            assert set(heard) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_a_resource_is_read_and_told_about_by_its_whole_address(text: str) -> None:
    stage = Echoing()
    with World(stage.app) as world:
        pair = world.connect()
        uri = pair.get("/sse").events[0]["data"]
        other = world.connect()
        other.post(message("resources/subscribe", {"uri": f"x://{text}"}), uri)
        other.post(message("resources/read", {"uri": f"x://{text}"}, 2), uri)
        stage.app.resource_updated(f"x://{text}")
        world.loop.run()
        told = messages(pair.answers[0])
        assert told[-1]["params"]["uri"] == f"x://{text}"
        listener = world.connect()
        wanted = {"notifications": {"resourceSubscriptions": [f"x://{text}"]}}
        listener.post(
            message("subscriptions/listen", enveloped(wanted), text),
            mcp_protocol_version=MODERN,
            mcp_method="subscriptions/listen",
            accept=BOTH,
        )
        stage.app.resource_updated(f"x://{text}")
        world.loop.run()
        for heard in messages(listener.answers[0]):
            assert heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == text


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_a_broadcast_has_the_name_that_it_was_given_or_none_at_all(text: str) -> None:
    stage = Stage()
    with World(stage.app) as world:
        client = world.connect()
        client.get("/mcp")
        stage.app.broadcast("greeting", {"text": text, text: "x"})
        if re.search("[\r\n\0]", text):
            with pytest.raises(ValueError, match="CR, LF or NUL"):
                stage.app.broadcast(text, {})
        world.loop.run()
        welcome, greeting = events(client.answers[0])
        assert (welcome.name, greeting.name) == ("welcome", "greeting")
        assert json.loads(greeting.data) == {"type": "greeting", "text": text, text: "x"}


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize(
    "query",
    [
        "events=a%0aevil",
        "events=heartbeat,%0d%0aevent:evil",
        "endpoint=json&sessionId=%0aevil",
        "endpoint=%0aevil",
        "x" * 999,
    ],
)
def test_what_a_query_says_is_nowhere_in_a_stream(query: str) -> None:
    with World(Stage().app) as world:
        for path in ("/sse", "/mcp"):
            answer = world.connect().get(f"{path}?{query}")
            assert "evil" not in answer.body.decode().replace(query, "") or answer.status == 400
            if answer.status == 200 and "json" not in query:
                events(answer)


# --- header injection

HEADS = [
    b"Origin", b"Host", b"Mcp-Session-Id", b"MCP-Protocol-Version", b"Mcp-Method", b"Mcp-Name", b"Last-Event-ID",
    b"Accept",
    b"Content-Type", b"Content-Encoding", b"Authorization", b"Cookie", b"Forwarded", b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Forwarded-Proto", b"Access-Control-Request-Headers", b"Access-Control-Request-Method", b"Connection", b"Expect",
    b"Referer", b"Via", b"X-Request-Id", b"Traceparent", b"Upgrade", b"TE", b"Trailer", b"Mcp-Param-X",
]  # fmt: skip
VALUES = [
    b"evil", b"http://localhost/evil", b"evil\r\nX-Evil: evil", b"evil\nX-Evil: evil", b"evil\rX-Evil: evil",
    b"evil\x00",
    b"evil%0d%0aX-Evil:%20evil", b"evil\xc4\x8d\xc4\x8aX-Evil: evil", b"evil\xe2\x80\xa8X-Evil: evil",
    b"evil\x85X-Evil: evil",
    b"evil\xff", b'evil", error="evil', b"evil<script>", b"http://localhost:1/\xc4\x8aevil",
    b"http://[::1]/evil\"'<>", b"evil" * 500,
    b"mcp-param-evil, mcp-param-a\tb, Mcp-Param-\xc4\x8a",
]  # fmt: skip
KNOWN = {
    b"date", b"content-type", b"content-length", b"connection", b"transfer-encoding", b"cache-control",
    b"x-accel-buffering",
    b"allow", b"retry-after", b"vary", b"mcp-session-id", b"www-authenticate", b"access-control-allow-origin",
    b"access-control-allow-methods", b"access-control-allow-headers", b"access-control-expose-headers",
    b"access-control-max-age", b"content-security-policy", b"x-content-type-options", b"referrer-policy",
    b"x-frame-options",
}  # fmt: skip
ECHOED = {b"access-control-allow-origin", b"access-control-allow-headers"}


def heads(received: bytes, methods: list[str]) -> list[tuple[int, list[tuple[bytes, bytes]]]]:
    """Status and fields of each answer, as h11 reads them."""
    found = []
    while received:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=methods.pop(0), target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(received)
        reader.receive_data(b"")
        event = reader.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = reader.next_event()
        assert isinstance(event, h11.Response)
        found.append((event.status_code, list(event.headers)))
        while not isinstance(reader.next_event(), h11.EndOfMessage | h11.PAUSED | h11.NEED_DATA):
            pass
        received = reader.trailing_data[0]
    return found


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize("settings", [{}, {"allowed_origins": ["*"], "allowed_hosts": ["*"]}, {"production": True}])
@pytest.mark.parametrize("name", HEADS, ids=bytes.decode)
def test_nothing_that_a_client_sends_becomes_a_header(name: bytes, settings: dict[str, Any]) -> None:
    body = message("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "evil"}})
    requests = {
        "POST": b"POST /mcp HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (b"%b", len(body)) + body.replace(b"%", b"%%"),
        "GET": b"GET /docs HTTP/1.1\r\n%b\r\n",
        "DELETE": b"DELETE /mcp HTTP/1.1\r\n%b\r\n",
        "OPTIONS": b"OPTIONS /mcp HTTP/1.1\r\n%b\r\n",
        "PUT": b"PUT /mcp HTTP/1.1\r\n%b\r\n",
        "EVIL": b"EVIL /evil HTTP/1.1\r\n%b\r\n",
    }
    usual = {b"Host": b"localhost:3002", b"Content-Type": b"application/json", b"Origin": b"http://localhost:3002"}
    with World(Stage().app, **settings) as world:
        for value in VALUES:
            for method, request in requests.items():
                client = world.connect()
                fields = b"".join(b"%b: %b\r\n" % pair for pair in (usual | {name: value}).items())
                client.send(request % fields, method)
                for status, told in heads(bytes(client.transport.received), [method]):
                    assert {known for known, _ in told} <= KNOWN, (status, told)
                    for known, said_there in told:
                        assert known in ECHOED or b"evil" not in said_there, (status, known, said_there)
                        assert known != b"access-control-allow-origin" or (usual | {name: value})[b"Origin"].startswith(
                            said_there
                        )
                client.reset()


@pytest.mark.requirement("D-injection")
@pytest.mark.parametrize(
    "target", ["/evil", "/mcp/evil", "/docs?evil", "/message?sessionId=evil", "/%0d%0aX-Evil:evil", "//evil/mcp"]
)
def test_nothing_of_a_target_becomes_a_header(target: str) -> None:
    with World(Stage().app) as world:
        for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
            client = world.connect()
            client.send(http(method, target), method)
            ((_, told),) = heads(bytes(client.transport.received), [method])
            assert {known for known, _ in told} <= KNOWN
            assert b"evil" not in b"".join(value for _, value in told)


@pytest.mark.requirement("D-injection")
def test_the_page_that_shows_a_host_shows_it_as_text() -> None:
    with World(Stage().app, allowed_hosts=["*"]) as world:
        for host in ("a');evil();('", "a&lt;evil", "a'onload='evil", "a`${evil}`"):
            answer = world.connect().get("/docs", host=host)
            if answer.status == 200:
                assert f"'{host}" not in answer.body.decode()
                assert "');evil()" not in answer.body.decode()
                assert "'onload='" not in answer.body.decode()
                assert "${evil}" not in answer.body.decode()
            else:
                assert answer.status == 400


# --- session guessing


def session_of(client: Client) -> str:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return client.post(message("initialize", hello)).fields["mcp-session-id"]


def near(id: str) -> list[str]:
    """What somebody may try who knows where a session lives, but not its secret."""
    place, secret = id[:8], id[8:]
    other = "".join("0" if digit == "f" else "f" if digit in "0123456789abcde" else digit for digit in secret)
    changed = [id[:at] + ("1" if id[at] == "0" else "0") + id[at + 1 :] for at in (9, 13, 19, 24, 35)]
    zero = "-0000-0000-0000-000000000000"
    return [
        place + other, place + zero, "00000000" + secret, "ffffffff" + secret, *changed, id[:-1], id + "0", id.upper(),
        id.replace("-", ""), id.replace("-", "_"), id + ":0", place, "", "*", "null", "g" + id[1:], "0" * 36,
    ]  # fmt: skip


@pytest.mark.requirement("D-guessing")
def test_an_id_that_is_nearly_right_is_as_unknown_as_any_other() -> None:
    with World(Stage().app) as world:
        id = session_of(world.connect())
        client = world.connect()
        assert client.post(call("echo", text="x"), mcp_session_id=id).status == 200
        for method, body in (("POST", call("echo", text="x")), ("GET", b""), ("DELETE", b"")):
            seen = set()
            for guess in near(id):
                if guess == id:
                    continue
                answer = client.ask(method, "/mcp", body, mcp_session_id=guess)
                seen.add((answer.status, answer.body))
            assert len(seen) == 1, "what is told does not tell how near a guess was"
            assert {status for status, _ in seen} == {404}
        assert client.post(call("echo", text="x"), mcp_session_id=id).status == 200


@pytest.mark.requirement("D-guessing")
def test_the_pair_takes_no_id_that_is_nearly_right_and_no_session_of_the_other_kind() -> None:
    with World(Stage().app) as world:
        streamed = session_of(world.connect())
        pair = world.connect()
        id = pair.get("/sse").events[0]["data"].partition("=")[2]
        client = world.connect()
        guesses = [*(guess for guess in near(id) if guess.replace("-", "") != id.replace("-", "")), streamed]
        seen = {
            (answer.status, answer.body)
            for answer in (client.post(call("echo", text="x"), f"/message?sessionId={guess}") for guess in guesses)
        }
        assert {status for status, _ in seen} == {404}
        assert len(seen) == 1
        assert len(pair.answers[0].events) == 2
        answer = client.post(call("echo", text="x"), mcp_session_id=id)
        assert answer.status == 404, "a stream's session is not one for /mcp"
        assert client.post(call("echo", text="x"), f"/message?sessionId={id}").status == 202


@pytest.mark.requirement("D-guessing")
def test_every_character_of_an_id_counts() -> None:
    with World(Stage().app) as world:
        table = world.server.table
        id = session_of(world.connect()).encode()
        for at in range(len(id)):
            wrong = id[:at] + (b"1" if id[at : at + 1] == b"0" else b"0") + id[at + 1 :]
            assert table.find(wrong, None) is None
        assert table.find(id, None) is not None
        assert table.find(id + b"\0", None) is None


@pytest.mark.requirement("D-guessing")
def test_nothing_tells_ids_to_strangers() -> None:
    with World(Stage().app) as world:
        ids = [session_of(world.connect()) for _ in range(5)]
        ids.append(world.connect().get("/sse").events[0]["data"].partition("=")[2])
        stranger = world.connect(peer=("203.0.113.5", 50000))
        for path in ("/sessions", "/metrics", "/health", "/ready", "/docs", "/mcp", "/message?sessionId=", "/nowhere"):
            for method in ("GET", "POST", "DELETE", "PUT"):
                answer = stranger.ask(method, path, content_length=0)
                for id in ids:
                    assert id.encode() not in answer.body
                    assert id[9:].encode() not in answer.body
                if "text/event-stream" in answer.fields.get("content-type", ""):
                    stranger.reset()
                    stranger = world.connect(peer=("203.0.113.5", 50000))


# --- replay of foreign event ids


@pytest.mark.requirement("D-guessing")
def test_event_ids_of_others_replay_nothing() -> None:
    stage = Stage()
    with World(stage.app) as world:
        mine, theirs = session_of(world.connect()), session_of(world.connect())
        stream = world.connect()
        answer = stream.post(call("talk", token=1), accept=BOTH, mcp_session_id=theirs)
        world.loop.run()
        stage.steps.release()
        world.loop.run()
        last = events(answer)[0].id
        assert "said" in answer.body.decode()
        client = world.connect()
        for id in (
            last,
            last.partition("-")[0] + "-0",
            "0-0",
            "1-0",
            "1-1",
            "99-0",
            "0-99",
            f"{theirs}:0",
            "-1-0",
            "1--1",
        ):
            answer = client.get("/mcp", mcp_session_id=mine, last_event_id=id, accept="text/event-stream")
            if answer.status == 200:  # the beginning of our own standing stream
                assert id == "0-0"
                assert events(answer) == []
                client.reset()
                client = world.connect()
            else:
                assert (answer.status, answer.json["error"]["data"]["reason"]) == (400, "event_gone")
        for id in (last, "0-0"):
            answer = world.connect().get("/mcp", last_event_id=id)
            assert "said" not in answer.body.decode(), "without a session it is guide C's stream"


@pytest.mark.requirement("D-guessing")
def test_a_stream_of_the_pair_is_resumed_by_its_secret_alone() -> None:
    with World(Stage().app, max_sessions=1000) as world:
        streamed = session_of(world.connect())
        pair = world.connect()
        id = pair.get("/sse").events[0]["data"].partition("=")[2]
        world.connect().post(call("echo", 7, text="secret"), f"/message?sessionId={id}")
        world.loop.run()
        last = events(pair.answers[0])[-1].id
        assert last.startswith(id)
        for guess in [*near(id), streamed, id[:8]]:
            if guess == id:
                continue
            for seq in ("0", "1", "2", "-1", "²", "9" * 30, "1 ", "+1", ""):
                fresh = world.connect()
                answer = fresh.get("/sse", last_event_id=f"{guess}:{seq}")
                assert "secret" not in answer.body.decode()
                assert answer.events[0]["data"] != f"/message?sessionId={id}"
                fresh.reset()
        again = world.connect().get("/sse", last_event_id=f"{id}:0")
        assert again.events[0]["data"] == f"/message?sessionId={id}"
        assert "secret" in again.body.decode()


# --- JSON that is read differently elsewhere

ECHO = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":%b}}}'
NO_TEXT = {
    "0xff": b'"\xff"', "overlong": b'"\xc0\xaf"', "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "half a character": b'"\xe2\x82"',
    "past the end": b'"\xf4\x90\x80\x80"', "five bytes": b'"\xf8\x88\x80\x80\x80"', "latin-1": b'"\xe4"',
    "continuation": b'"\x80"',
}  # fmt: skip
PLACES = {
    "argument": ECHO,
    "unknown argument": ECHO % b'"x","other":%b',
    "argument's name": ECHO % b'"x",%b:1',
    "method": b'{"jsonrpc":"2.0","id":1,"method":%b}',
    "id": b'{"jsonrpc":"2.0","id":%b,"method":"ping"}',
    "unknown member": b'{"jsonrpc":"2.0","id":1,"method":"ping","x":%b}',
    "member's name": b'{"jsonrpc":"2.0","id":1,"method":"ping",%b:1}',
    "unread params": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":[%b]}}',
    "progress token": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"speak",'
    b'"arguments":{"text":"x"},"_meta":{"progressToken":%b}}}',
    "log level": b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":%b}}',
    "result": b'{"jsonrpc":"2.0","id":1,"result":{"x":%b}}',
    "in a batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping","x":%b}]',
}


@pytest.mark.requirement("D-error-codes")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", NO_TEXT)
def test_what_is_no_utf_8_is_no_json_wherever_it_stands(text: str, place: str) -> None:
    """Readers replace it, drop it or stop at it: it must not come out of here again, least of all in a stream."""
    with World(Stage().app) as world:
        for fields in ({"accept": BOTH}, {"accept": "text/event-stream"}):
            answer = world.connect().post(
                PLACES[place].replace(b"%b", NO_TEXT[text]), mcp_protocol_version="2025-03-26", **fields
            )
            answer.body.decode()
            if place == "in a batch":
                assert (answer.status, [one["error"]["code"] for one in answer.json]) == (200, [-32700])
            else:
                assert (answer.status, answer.json["error"]["code"]) == (400, -32700)


@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'"\udc00\ud800"', rb'"\ud83d"', rb'"\ud83dx"', rb'"\ud83d\n"', rb'"\ude00"']
)
def test_half_a_surrogate_pair_is_no_text(text: bytes) -> None:
    with World(Stage().app) as world:
        for place, body in PLACES.items():
            answer = world.connect().post(body.replace(b"%b", text), accept=BOTH, mcp_protocol_version="2025-03-26")
            check(answer)
            assert answer.status in (200, 202, 400), place
            assert b"\\ud8" not in answer.body.lower()


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"fail","arguments":{"how":"tool"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fail","name":"echo","arguments":{"text":"y"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fail"},"params":{"name":"echo","arguments":{"text":"y"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x","text":"y"}}}',
        rb'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"na\u006de":"fail","name":"echo","arguments":{"text":"y"}}}',
    ],
)
def test_of_two_equal_keys_the_last_counts_as_everywhere(body: bytes) -> None:
    with World(Stage().app) as world:
        once = json.dumps(json.loads(body)).encode()
        assert world.connect().post(body).json == world.connect().post(once).json


@pytest.mark.parametrize(
    "number",
    [
        b"1e999999",
        b"-1e999999",
        b"1e-999999",
        b"9" * 400,
        b"-" + b"9" * 5000,
        b"0." + b"0" * 5000 + b"1",
        b"1E+308",
        b"1e309",
    ],
)
def test_numbers_beyond_all_bounds(number: bytes) -> None:
    with World(Stage().app) as world:
        for place, body in PLACES.items():
            answer = world.connect().post(body.replace(b"%b", number), accept=BOTH, mcp_protocol_version="2025-03-26")
            check(answer)
            assert answer.status in (200, 202, 400), place


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("declared", ["gzip", "deflate", "br", "zstd", "x-gzip", "identity", None])
def test_a_compressed_body_is_told_so(declared: str | None, level: int) -> None:
    body = call("echo", text="x" * 1000)
    with World(Stage().app) as world:
        uri = world.connect().get("/sse").events[0]["data"]
        for target in ("/mcp", uri):
            for packed in (gzip.compress(body, level), zlib.compress(body, level)):
                answer = world.connect().post(packed, target, content_encoding=declared)
                assert (answer.status, answer.json["error"]["data"]["reason"]) == (415, "content_encoding")
            if declared is not None and declared != "identity":
                answer = world.connect().post(b"\x0b\x02\x80" + body, target, content_encoding=declared)
                assert answer.status == 415
        assert said(world.connect().post(body)) == "x" * 1000
