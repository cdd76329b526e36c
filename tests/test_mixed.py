"""A mixed run: clients of all five revisions at once against one process, and each sees only its own.

Request ids and progress tokens are the same everywhere, so that nothing but the server keeps clients apart; a tool
lets nobody go on before everybody's call has begun, so that all of them are open at once. Every message is checked
against the schema of the revision it was said to, and kept. One message is exempt, by name: `notifications/initialized`
as the first on /sse, which the clients of guide N wait for.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from jsonschema.exceptions import ValidationError

import schemas
from fakes import MODERN
from fastsse import App, Audio, Context
from fastsse.jsonrpc import ENVELOPE
from fastsse.server import Server
from real import (
    EVERY,
    PAIR,
    STREAMABLE,
    WAIT,
    Answer,
    Client,
    Pair,
    Session,
    Stateless,
    ask,
    client,
    port,
    served,
    strip,
)

requirement = pytest.mark.requirement

EACH = 3
ROUNDS = 4
STEPS = 3
TOKEN = "the same everywhere"
CHANGED = "notifications/tools/list_changed"
SINCE = {
    '"audio"': "2025-03-26",
    '"annotations"': "2025-03-26",
    '"structuredContent"': "2025-06-18",
    '"outputSchema"': "2025-06-18",
    '"resultType"': MODERN,
    '"ttlMs"': MODERN,
    '"cacheScope"': MODERN,
    "io.modelcontextprotocol/": MODERN,
}
"""Words that no client of an older revision may read; text never holds them here."""


class Meeting:
    """An app whose tool `meet` goes on, step by step, when `size` calls of it have come as far."""

    def __init__(self, size: int) -> None:
        self.barrier = asyncio.Barrier(size)
        self.grown = 0
        self.app = app = App("mixed", version="1.0")
        app.add_tool(self.echo, inline=True, annotations={"readOnlyHint": True})
        for tool in (self.add, self.sound, self.meet, self.tell, self.grow):
            app.add_tool(tool)
        app.add_resource("test://text", lambda: "some text", name="text")
        app.add_prompt(self.greet)

    def echo(self, text: str) -> str:
        return text

    def add(self, a: int, b: int) -> int:
        return a + b

    def sound(self) -> Audio:
        return Audio(b"RIFF")

    async def meet(self, mark: int, context: Context) -> str:
        async with asyncio.timeout(WAIT):
            for step in range(1, STEPS + 1):
                context.progress(mark + step)
                await self.barrier.wait()
        return f"met {mark}"

    async def tell(self, mark: int, context: Context) -> str:
        for step in range(1, STEPS + 1):
            context.progress(mark + step)
            context.log("error", mark)
        return f"told {mark}"

    def grow(self) -> str:
        self.grown += 1
        self.app.add_tool(self.echo, name=f"grown_{self.grown}", inline=True)
        return "grown"

    def greet(self, who: str) -> str:
        return f"Greet {who}"


class Said(NamedTuple):
    revision: str
    message: Any


@pytest.fixture
def transcript(monkeypatch: pytest.MonkeyPatch) -> list[Said]:
    """Everything that was said to anybody, after it was checked."""
    kept: list[Said] = []
    check = schemas.check

    def checked(revision: str, message: dict[str, Any], method: str | None = None) -> None:
        check(revision, message, method)
        kept.append(Said(revision, message))

    monkeypatch.setattr(schemas, "check", checked)
    return kept


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Closes what enters it, when the test is over."""
    with ExitStack() as entered:
        yield entered


def text(message: Any) -> str:
    return str(message["result"]["content"][0]["text"])


def meta(caller: Client) -> dict[str, Any]:
    """What asks for progress, and at 2026-07-28 for log messages."""
    return {"progressToken": TOKEN} | ({ENVELOPE + "logLevel": "error"} if caller.revision == MODERN else {})


def take(caller: Client, *methods: str) -> list[Any]:
    """What the caller was told since the last time; of changes only the pair may be told on the stream of answers."""
    heard, caller.heard = caller.heard, []
    changes = [said for said in heard if said["method"] == CHANGED]
    assert not changes or isinstance(caller, Pair)
    others = [said for said in heard if said["method"] != CHANGED]
    assert {said["method"] for said in others} == set(methods)
    return others


def converse(caller: Client, number: int) -> int:
    """One client's part of the run; how many changes it was told beside answers."""
    changes = 0
    for round in range(ROUNDS):
        mark = (number * ROUNDS + round + 1) * 100
        steps = [mark + step for step in range(1, STEPS + 1)]
        assert text(caller.call("meet", {"mark": mark}, _meta=meta(caller))) == f"met {mark}"
        changes += sum(said["method"] == CHANGED for said in caller.heard)
        progress = [said["params"] for said in take(caller, "notifications/progress")]
        assert all(said["progressToken"] == TOKEN for said in progress)
        assert [said["progress"] for said in progress] == steps

        assert text(caller.call("tell", {"mark": mark}, _meta=meta(caller))) == f"told {mark}"
        changes += sum(said["method"] == CHANGED for said in caller.heard)
        told = [said["params"] for said in take(caller, "notifications/progress", "notifications/message")]
        assert {said["data"] for said in told if "data" in said} == {mark}
        assert {said["progress"] for said in told if "progress" in said} <= set(steps)

        if number % EACH == 0:
            assert text(caller.call("grow")) == "grown"
        assert text(caller.call("echo", {"text": f"{mark}"})) == f"{mark}"
        assert text(caller.call("add", {"a": mark, "b": 1})) == f"{mark + 1}"
        for method in ("tools/list", "resources/list", "prompts/list"):
            assert caller.request(method)["result"]
        assert caller.call("sound")["result"]["content"]
        assert caller.call("nope").get("error", {}).get("code") == -32602
        changes += sum(said["method"] == CHANGED for said in caller.heard)
        take(caller)
    return changes


def take_turns(server: Server, callers: list[Client]) -> None:
    """All revisions on one connection that is kept; answers of the pair come on its stream."""
    with socket.create_connection(("127.0.0.1", port(server)), WAIT) as line:
        for round in range(ROUNDS):
            for place, caller in enumerate([*callers, *reversed(callers)]):
                mark = 100_000 + (round * 100 + place) * 100
                params = {"name": "tell", "arguments": {"mark": mark}, "_meta": meta(caller)}
                caller.asked["1"] = "tools/call"
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": caller.envelope(params)}
                target = caller.uri if isinstance(caller, Pair) else "/mcp"
                answer = ask(server, "POST", target, strip(request), caller.fields("tools/call", params), on=line)
                assert answer.status == (202 if isinstance(caller, Pair) else 200)
                if isinstance(caller, Pair):
                    assert text(caller.finish(1, answer)) == f"told {mark}"
                else:  # read to its end, for the next request comes on the same connection
                    *caller.heard, last = caller.messages(answer)
                    assert text(last) == f"told {mark}"
                for said in take(caller, "notifications/progress", "notifications/message"):
                    assert mark <= said["params"].get("progress", mark) <= mark + STEPS
                    assert said["params"].get("data", mark) == mark


def check_words(transcript: list[Said]) -> None:
    """Each revision reads its own words, and none that came after it."""
    assert {said.revision for said in transcript} == set(EVERY)
    for revision in EVERY:
        whole = "\n".join(json.dumps(said.message) for said in transcript if said.revision == revision)
        found = {word for word in SINCE if word in whole}
        assert found == {word for word, since in SINCE.items() if since <= revision}, revision
    for said in transcript:
        if "result" in said.message:
            assert ("resultType" in said.message["result"]) is (said.revision == MODERN)


@requirement("N-23", "S-08")
def test_all_revisions_at_once(transcript: list[Said], clients: ExitStack) -> None:
    meeting = Meeting(len(EVERY) * EACH)
    standing: list[tuple[Session, Answer]] = []
    wanting: list[tuple[Any, Iterator[Any]]] = []
    with served(meeting.app) as server:
        callers = [clients.enter_context(client(server, revision)) for revision in EVERY for _ in range(EACH)]
        turning = [clients.enter_context(client(server, revision)) for revision in EVERY]
        for place, caller in enumerate(callers):
            if isinstance(caller, Session) and place % EACH:
                standing.append((caller, caller.listen()))
            elif isinstance(caller, Stateless):
                # The last of them listens, but not to tools.
                wants = {"promptsListChanged": True} if place % EACH == 2 else {"toolsListChanged": True}
                id, arriving, _ = caller.listen(f"listener {place}", **wants)
                first = next(arriving)
                assert first["method"] == "notifications/subscriptions/acknowledged"
                assert first["params"]["notifications"] == wants
                wanting.append((id, arriving))
        with ThreadPoolExecutor(len(callers) + 1) as threads:
            turns = threads.submit(take_turns, server, turning)
            parts = [threads.submit(converse, caller, number) for number, caller in enumerate(callers)]
            told = [part.result(6 * WAIT) for part in parts]
            turns.result(6 * WAIT)
    # The server has stopped: what is left of the streams can be read to the end.
    grown = len(EVERY) * ROUNDS
    assert meeting.grown == grown
    for caller, changes in zip(callers, told, strict=True):
        assert isinstance(caller, Pair) or changes == 0
        if isinstance(caller, Pair):
            rest = list(caller.messages(caller.stream))
            assert {said["method"] for said in rest} <= {CHANGED}
            assert 0 < changes + len(rest) <= grown
    for session, answer in standing:
        heard = list(session.messages(answer))
        assert {said["method"] for said in heard} == {CHANGED}
        assert len(heard) <= grown
    assert {session.revision for session, _ in standing} == set(STREAMABLE)
    for place, (id, arriving) in enumerate(wanting):
        *changed, last = arriving
        assert last["id"] == id
        assert {said["method"] for said in changed} == (set() if place == EACH - 1 else {CHANGED})
        assert all(said["params"]["_meta"] == {ENVELOPE + "subscriptionId": id} for said in changed)
        assert len(changed) <= grown
    check_words(transcript)
    assert {said.revision for said in transcript if said.message.get("method") == CHANGED} == set(EVERY)


@requirement("S-08")
def test_one_message_is_exempt_from_the_schema(transcript: list[Said]) -> None:
    """By name, on the pair only, once: the schema does refuse it, and nobody else is told it."""
    with served(Meeting(1).app) as server:
        for revision in EVERY:
            with client(server, revision) as caller:
                assert caller.request("tools/list")["result"]
                if isinstance(caller, Pair):
                    assert caller.revision == PAIR
                    assert set(caller.welcome) == {"jsonrpc", "method", "params"}
                    assert caller.welcome["method"] == "notifications/initialized"
                    with pytest.raises(ValidationError):
                        schemas.check(PAIR, caller.welcome)
                assert caller.heard == []
    assert {said.revision for said in transcript} == set(EVERY)
    assert "notifications/initialized" not in {said.message.get("method") for said in transcript}
