"""A server that answers for itself: everything is passed through, in every revision, and the wire stays ours."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from driving import NODE
from fakes import MODERN
from fastsse import Guest, McpError, MethodNotFound, Notification, Plan, Request, Result, Work
from fastsse.handler import ASYNC, LOOP, Answer
from real import EVERY, HANDSHAKE, STREAMABLE, Pair, Session, Stateless, ask, client, served
from serving import ROOT

REVISIONS = pytest.mark.parametrize("revision", EVERY)
TOOL = {"name": "upper", "description": "Shouts", "inputSchema": {"type": "object"}}


class Visit:
    """What a guest keeps for a session."""

    def __init__(self, over: list[str]) -> None:
        self.over = over

    def ended(self) -> None:
        self.over.append("ended")


class Upper(Guest):
    """Answers with bytes, in each way that there is."""

    name = "upper"
    version = "1.5.0"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.heard: list[tuple[str, Any]] = []
        self.over: list[str] = []
        self.where: set[str] = set()
        self.later = Work(Plan(ASYNC, "upper", self.encode, self.failed), self.shout)
        self.said = Work(Plan(LOOP, "upper", self.encode, self.failed), self.tell)

    def handle(self, request: Request) -> Answer | Work:
        self.seen.append((request.method, request.revision.name))
        assert request.client is not None
        self.where.add(request.client.address())
        complete: dict[str, Any] = {"resultType": "complete"} if request.revision.modern else {}
        if request.method == "initialize":
            if request.session is not None:
                request.session.kept = Visit(self.over)
            said = json.loads(request.params)
            # It speaks no revision newer than 2025-06-18.
            version = min(said["protocolVersion"], "2025-06-18")
            info = {"name": "upper", "version": "1.5.0"}
            found = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            return json.dumps(found).encode()
        if request.method == "tools/list":
            if complete:
                complete |= {"ttlMs": 0, "cacheScope": "private"}
            return json.dumps({"tools": [TOOL], **complete}).encode()
        if request.method == "tools/call":
            return self.later if request.name == "upper" else self.said
        if request.method == "custom/echo":
            return Result(request.params)
        if request.method == "custom/refuses":
            raise McpError(-32042, "Not so", {"why": "because"})
        raise MethodNotFound(request.method)

    async def shout(self, context: Any) -> Any:
        text = json.loads(context.request.arguments)["text"].upper()
        return {"content": [{"type": "text", "text": text}]}

    def tell(self, context: Any) -> Any:
        context.notify("notifications/message", {"level": "debug", "data": "so it begins"})
        return {"content": [{"type": "text", "text": "told"}]}

    def encode(self, value: Any, request: Request) -> Answer:
        return json.dumps(value | ({"resultType": "complete"} if request.revision.modern else {})).encode()

    def failed(self, error: Exception, request: Request) -> Answer | None:
        return None

    def notified(self, notification: Notification) -> None:
        self.heard.append((notification.method, json.loads(notification.params or b"null")))

    def tools_summary(self) -> list[dict[str, Any]]:
        return [TOOL]


@pytest.mark.requirement("EMB-01")
@REVISIONS
def test_everything_is_passed_through(revision: str) -> None:
    guest = Upper()
    with served(guest) as server, client(server, revision) as who:
        assert [tool["name"] for tool in who.request("tools/list")["result"]["tools"]] == ["upper"]
        assert who.call("upper", {"text": "hey"})["result"]["content"] == [{"type": "text", "text": "HEY"}]
        assert who.call("tells")["result"]["content"] == [{"type": "text", "text": "told"}]
        assert [message["params"]["data"] for message in who.heard] == ["so it begins"]
        unknown = who.request("resources/list")
        assert unknown["error"]["code"] == -32601
    methods = [method for method, _ in guest.seen]
    assert methods == (
        ["tools/list", "tools/call", "tools/call", "resources/list"]
        if revision == MODERN
        else ["initialize", "tools/list", "tools/call", "tools/call", "resources/list"]
    )
    assert guest.where == {"127.0.0.1"}


@pytest.mark.requirement("EMB-01")
@REVISIONS
def test_methods_that_nobody_knows_and_their_errors_are_the_guests(revision: str) -> None:
    with served(Upper()) as server, client(server, revision) as who:
        who.see = lambda message: message  # type: ignore[method-assign]  # no schema knows these
        given = {"a": [1, {"b": None}], "name": "x"}
        if revision == MODERN:
            given["_meta"] = who.envelope({})["_meta"]
        assert who.request("custom/echo", given)["result"] == given
        assert who.request("custom/refuses")["error"] == {
            "code": -32042,
            "message": "Not so",
            "data": {"why": "because"},
        }


@pytest.mark.requirement("EMB-02")
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_the_guest_negotiates_and_its_sessions_end(revision: str) -> None:
    guest = Upper()
    with served(guest) as server, client(server, revision) as who:
        assert isinstance(who, Session | Pair)
        agreed = min(revision, "2025-06-18")
        assert who.hello["result"]["protocolVersion"] == agreed
        assert who.hello["result"]["serverInfo"]["name"] == "upper"
        who.notify("notifications/roots/list_changed")
        who.call("upper", {"text": ""})
        assert guest.seen[-1] == ("tools/call", agreed)
        assert [method for method, _ in guest.heard] == [
            "notifications/initialized",
            "notifications/roots/list_changed",
        ]
        assert not guest.over
    assert guest.over == ["ended"]


def test_initialize_that_says_nothing_of_a_version_does_not_reach_the_guest() -> None:
    guest = Upper()
    with served(guest) as server, Stateless(server) as who:
        answer = who.post(
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}, [("Content-Type", "application/json")]
        )
        assert answer.json()["error"]["code"] == -32602
    assert not guest.seen


@pytest.mark.parametrize("revision", STREAMABLE)
def test_without_a_session_it_is_asked_too(revision: str) -> None:
    guest = Upper()
    fields = [("Content-Type", "application/json"), ("MCP-Protocol-Version", revision)]
    with served(guest) as server, Stateless(server) as who:
        answer = who.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, fields)
        assert [tool["name"] for tool in answer.json()["result"]["tools"]] == ["upper"]
        assert who.post({"jsonrpc": "2.0", "method": "notifications/x"}, fields).status == 202
    assert guest.seen == [("tools/list", revision)]
    assert guest.heard == [("notifications/x", None)]


def test_what_the_stateless_revision_has_not_stays_away_from_the_guest() -> None:
    guest = Upper()
    with served(guest) as server, Stateless(server) as who:
        for method in ("initialize", "ping", "logging/setLevel"):
            answer = who.request(method)
            assert (who.status, answer["error"]["code"]) == (404, -32601)
        assert who.request("server/discover")["error"]["code"] == -32601
    assert guest.seen == [("server/discover", MODERN)]


def test_pages_know_the_guest() -> None:
    from real import ask

    with served(Upper()) as server:
        health = ask(server, "GET", "/health").json()
        assert (health["server"], health["version"], health["tools"]) == ("upper", "1.5.0", 1)
        assert b"Shouts" in ask(server, "GET", "/docs").body


def test_calls_of_a_guest_are_cancelled() -> None:
    import asyncio

    class Sleeper(Upper):
        def __init__(self) -> None:
            super().__init__()
            self.ends: list[str] = []

        async def shout(self, context: Any) -> Any:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ends.append("cancelled")
                raise

    guest = Sleeper()
    with served(guest) as server, Pair(server) as who:
        id, _ = who.start("tools/call", {"name": "upper"})
        who.notify("notifications/cancelled", {"requestId": id})
        assert who.request("tools/list")["result"]
        assert guest.ends == ["cancelled"]
        assert guest.heard[-1][0] == "notifications/cancelled"


# --- the examples


@pytest.mark.requirement("EMB-11")
def test_the_example_that_shouts() -> None:
    guest = runpy.run_path(str(ROOT / "examples" / "shout.py"))["guest"]
    for revision in HANDSHAKE:
        with served(guest) as server, client(server, revision) as who:
            assert isinstance(who, Session | Pair)
            assert who.hello["result"]["protocolVersion"] == revision
            assert [tool["name"] for tool in who.request("tools/list")["result"]["tools"]] == ["shout"]
            assert who.call("shout", {"text": "hey"})["result"]["content"] == [{"type": "text", "text": "HEY"}]
            assert who.request("ping")["error"]["code"] == -32601


@pytest.mark.requirement("EMB-11")
@pytest.mark.clients
@pytest.mark.parametrize("revision", HANDSHAKE)
def test_the_example_with_a_program_in_another_language(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER", f"{NODE} {ROOT / 'examples' / 'worker.mjs'}")
    guest = runpy.run_path(str(ROOT / "examples" / "worker.py"))["guest"]
    with served(guest) as server, client(server, revision) as who:
        assert isinstance(who, Session | Pair)
        assert who.hello["result"]["serverInfo"] == {"name": "worker", "version": "1.0.0"}
        assert who.call("reverse", {"text": "stressed"})["result"]["content"] == [{"type": "text", "text": "desserts"}]
        assert who.request("resources/list")["error"]["code"] == -32601


WORKER = """
import json, os, sys
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "worker", "version": "1"}}
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "tools/call":
        given = asked["params"]["arguments"]
        how = given["how"]
        if how == "dies":
            os._exit(1)
        if how == "babbles":
            print("no JSON", flush=True)
            continue
        print(json.dumps({"id": asked["id"], "result": {"content": [], "said": "x" * given["size"]}}))
    else:
        print(json.dumps({"id": asked["id"], "result": HELLO}))
    sys.stdout.flush()
"""


@pytest.mark.requirement("EMB-11")
@pytest.mark.parametrize("how", ["dies", "babbles"])
def test_calls_of_a_worker_that_is_gone_end(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker").write_text(WORKER)
    monkeypatch.setenv("WORKER", f"{sys.executable} {tmp_path / 'worker'}")
    guest = runpy.run_path(str(ROOT / "examples" / "worker.py"))["guest"]
    with served(guest) as server, Session(server, "2025-11-25") as who:
        assert len(who.call("x", {"how": "says", "size": 1 << 20})["result"]["said"]) == 1 << 20
        params = {"name": "x", "arguments": {"how": "says", "size": 3}}
        spread = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, indent=2).encode()
        fields = [("Content-Type", "application/json"), ("Mcp-Session-Id", who.id)]
        answer = ask(server, "POST", "/mcp", spread, fields)
        assert answer.json()["result"]["said"] == "xxx"
        for _ in range(2):
            assert who.call("x", {"how": how})["error"]["message"] == "The worker has ended"
