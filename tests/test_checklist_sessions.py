"""The external checklist over a real socket (reference mcp-http.md §4.4 and §4.5): sessions, broken streams."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from checklist_app import WAIT, Fixture
from fakes import message
from fastsse import Server
from real import HANDSHAKE, LIST, STREAMABLE, Answer, Fields, Pair, Session, ask, served

requirement = pytest.mark.requirement
every = pytest.mark.parametrize("revision", STREAMABLE)


@pytest.fixture(scope="module")
def fixture() -> Fixture:
    return Fixture()


@pytest.fixture(scope="module")
def server(fixture: Fixture) -> Iterator[Server]:
    with served(fixture.app, retry_ms=1234) as running:
        yield running


def text(said: Any) -> str:
    return str(said["result"]["content"][0]["text"])


# --- §4.4 Streamable HTTP


@requirement("H-01", "H-05")
@every
def test_a_request_is_answered_in_json_or_events(server: Server, revision: str) -> None:
    with Session(server, revision) as caller:
        _, plain = caller.start("tools/list")
        assert plain.type == "application/json"
        id, streamed = caller.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": 1}})
        assert streamed.type == "text/event-stream"
        assert [said.get("id") for said in caller.messages(streamed)][-1] == id  # and then the stream ends


@requirement("H-02")
@every
@pytest.mark.parametrize(
    "said",
    [{"id": 99, "result": {}}, {"id": 99, "error": {"code": -1, "message": "no"}}, {"method": "notifications/foo"}],
)
def test_what_needs_no_answer(server: Server, revision: str, said: Any) -> None:
    with Session(server, revision) as caller:
        answer = caller.post({"jsonrpc": "2.0", **said}, caller.fields("", None))
        assert (answer.status, answer.body, answer.fields["content-length"]) == (202, b"", "0")


@requirement("H-03", "D-mcp-get")
@pytest.mark.parametrize(
    ("fields", "status"),
    [([("MCP-Protocol-Version", "2025-11-25")], 405), ([("MCP-Protocol-Version", "2026-07-28")], 405), ([], 200)],
)
def test_a_get_is_a_stream_or_405(server: Server, fields: Fields, status: int) -> None:
    answer = ask(server, "GET", "/mcp", None, [("Accept", "text/event-stream"), *fields])
    assert answer.status == status
    if status == 405:
        assert "POST" in answer.fields["allow"]
    answer.close()


@requirement("H-04", "D-standing-stream")
@every
def test_the_standing_stream_carries_no_responses_and_gives_way(server: Server, revision: str) -> None:
    with Session(server, revision) as caller:
        old = caller.messages(caller.listen())
        assert text(caller.call("echo", {"text": "x"})) == "x"
        caller.call("change")
        assert next(old)["method"] == next(old)["method"] == "notifications/tools/list_changed"
        new = caller.messages(caller.listen())
        assert list(old) == []  # ended, cleanly
        caller.call("change")
        assert next(new)["method"] == "notifications/tools/list_changed"


@requirement("H-06", "H-07")
@every
def test_session_ids(server: Server, revision: str) -> None:
    ids = [Session(server, revision).id for _ in range(5)]
    assert len(set(ids)) == 5
    assert all(re.fullmatch(r"[\x21-\x7e]{36}", id) for id in ids)


@requirement("D-sessionless")
@pytest.mark.parametrize("version", [None, *HANDSHAKE])
def test_without_a_session_everything_but_push_is_served(server: Server, version: str | None) -> None:
    fields = LIST + ([] if version is None else [("MCP-Protocol-Version", version)])

    def post(method: str, params: Any) -> Any:
        return ask(server, "POST", "/mcp", message(method, params), fields).json()

    assert post("tools/list", {})["result"]["tools"]
    said = post("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert text(said) == "3.0"
    assert ("structuredContent" in said["result"]) is ((version or "2025-03-26") >= "2025-06-18")
    asked = post("tools/call", {"name": "ask_name", "arguments": {}})
    assert "error" in asked or asked["result"]["isError"]


@requirement("H-09", "H-11")
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("id", ["bogus", "00000000-0000-8000-8000-000000000000"])
def test_an_unknown_session(server: Server, method: str, id: str) -> None:
    body = message("tools/list") if method == "POST" else None
    answer = ask(server, method, "/mcp", body, [*LIST, ("Mcp-Session-Id", id)])
    said = answer.json()
    assert (answer.status, said["error"]["code"], said["jsonrpc"]) == (404, -32001, "2.0")


@requirement("H-10", "D-delete")
@every
def test_a_session_that_was_ended(server: Server, fixture: Fixture, revision: str) -> None:
    with Session(server, revision) as caller:
        standing = caller.listen()
        answer = ask(server, "DELETE", "/mcp", None, caller.fields("", None))
        assert (answer.status, answer.body) == (200, b"")
        assert list(caller.messages(standing)) == []
        for method in ("POST", "GET", "DELETE"):
            body = message("ping") if method == "POST" else None
            assert ask(server, method, "/mcp", body, caller.fields("", None)).status == 404


@requirement("H-13", "H-14", "H-15")
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 200),
        ("2025-11-25", 200),
        ("2025-03-26", 200),
        ("2026-07-28", 200),
        ("nonsense", 400),
        ("1999-01-01", 400),
    ],
)
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
def test_the_version_header_in_a_session(server: Server, revision: str, header: str | None, status: int) -> None:
    with Session(server, revision) as caller:
        fields = [*LIST, ("Mcp-Session-Id", caller.id)] + ([] if header is None else [("MCP-Protocol-Version", header)])
        said = caller.request("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}}, fields=fields)
        assert caller.status == status
        assert ("structuredContent" in said.get("result", {})) is (status == 200)  # whatever the header says


def array(caller: Session, *said: Any) -> Answer:
    return ask(caller.server, "POST", "/mcp", json.dumps(said).encode(), caller.fields("", None))


def entry(method: str, id: Any = None, **params: Any) -> Any:
    return {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})


@requirement("H-16", "H-17", "H-18", "H-20")
def test_batches(server: Server) -> None:
    with Session(server, "2025-03-26") as caller:
        echo = entry("tools/call", 2, name="echo", arguments={"text": "x"})
        audio = entry("tools/call", 3, name="audio", arguments={})
        said = array(caller, entry("ping", "a"), entry("notifications/foo"), echo, audio, entry("nope", 4)).json()
        for one in said:
            caller.asked |= {'"a"': "ping", "2": "tools/call", "3": "tools/call", "4": "nope"}
            caller.see(one)
        assert {one["id"]: "result" in one for one in said} == {"a": True, 2: True, 3: True, 4: False}
        quiet = array(caller, entry("notifications/foo"), {"jsonrpc": "2.0", "id": 9, "result": {}})
        assert (quiet.status, quiet.body) == (202, b"")
        (refused,) = array(caller, entry("initialize", 5, protocolVersion="2025-03-26")).json()
        assert refused["error"]["code"] == -32600
        empty = array(caller)
        assert (empty.status, empty.json()["error"]["code"]) == (400, -32600)


@requirement("H-19")
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
def test_arrays_are_gone(server: Server, revision: str) -> None:
    with Session(server, revision) as caller:
        answer = array(caller, entry("ping", 1))
        assert (answer.status, answer.json()["error"]["code"]) == (400, -32600)


@requirement("H-21")
@every
def test_a_dropped_stream_is_no_cancellation(server: Server, fixture: Fixture, revision: str) -> None:
    with Session(server, revision) as caller:
        key = f"dropped {revision}"
        params = {"name": "speak", "arguments": {"key": key}, "_meta": {"progressToken": 1}}
        _, answer = caller.start("tools/call", params)
        assert fixture.begun.get(timeout=WAIT) == key
        answer.close()
        assert caller.request("ping")["result"] == {}
        fixture.let(key)
        assert fixture.ended.get(timeout=WAIT) == (key, "done")


@requirement("H-22", "H-23")
@every
def test_a_cancelled_call_stops_and_has_no_result(server: Server, fixture: Fixture, revision: str) -> None:
    with Session(server, revision) as caller:
        key = f"cancelled {revision}"
        id, answer = caller.start(
            "tools/call", {"name": "speak", "arguments": {"key": key}, "_meta": {"progressToken": 1}}
        )
        assert fixture.begun.get(timeout=WAIT) == key
        for unknown in (77, str(id), None):
            assert caller.notify("notifications/cancelled", {"requestId": unknown}).status == 202
        assert caller.notify("notifications/cancelled", {"requestId": id, "reason": "enough"}).status == 202
        assert fixture.ended.get(timeout=WAIT) == (key, "cancelled")
        assert all("result" not in said for said in caller.messages(answer))  # and the stream ends
        assert caller.request("ping")["result"] == {}


@requirement("H-24", "H-26", "H-27")
@every
def test_calls_at_once_are_independent(server: Server, fixture: Fixture, revision: str) -> None:
    with Session(server, revision) as caller:
        begun = {}
        for id in (10, "10", 11):
            params = {"name": "speak", "arguments": {"key": f"{revision} {id!r}"}, "_meta": {"progressToken": id}}
            begun[id] = caller.start("tools/call", params, id)[1]
            assert fixture.begun.get(timeout=WAIT) == f"{revision} {id!r}"
        again = caller.request("tools/call", {"name": "echo", "arguments": {"text": "x"}}, 10)
        assert (caller.status, again["error"]["code"]) == (400, -32600)
        for id in (11, 10, "10"):
            fixture.let(f"{revision} {id!r}")
            said = list(caller.messages(begun[id]))
            assert (said[-1]["id"], text(said[-1])) == (id, "spoken")
            assert [one["params"]["progressToken"] for one in said[:-1]] == [id] * 3
            assert fixture.ended.get(timeout=WAIT)[1] == "done"


@requirement("H-25", "L-12")
@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
@pytest.mark.parametrize(
    ("tool", "method", "reply", "said"),
    [
        ("ask_name", "elicitation/create", {"action": "accept", "content": {"name": "Ann"}}, "accept: Ann"),
        ("ask_name", "elicitation/create", {"action": "decline"}, "decline: None"),
        (
            "ask_model",
            "sampling/createMessage",
            {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}},
            "hi",
        ),
        ("ask_roots", "roots/list", {"roots": [{"uri": "file:///a"}]}, "['file:///a']"),
    ],
)
def test_a_question_is_answered_by_another_post(
    server: Server, revision: str, tool: str, method: str, reply: Any, said: str
) -> None:
    with Session(server, revision, elicitation={}, sampling={}, roots={}) as caller:
        id, answer = caller.start("tools/call", {"name": tool, "arguments": {}})
        arriving = caller.messages(answer)
        question = next(arriving)
        assert question["method"] == method
        assert caller.respond(question["id"], reply).status == 202
        last = next(arriving)
        assert (last["id"], text(last)) == (id, said)


@requirement("H-25")
def test_a_question_that_is_refused_is_an_error_of_the_tool(server: Server) -> None:
    with Session(server, "2025-11-25", elicitation={}) as caller:
        _, answer = caller.start("tools/call", {"name": "ask_name", "arguments": {}})
        arriving = caller.messages(answer)
        question = next(arriving)
        error = {"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "not now"}}
        assert caller.post(error, caller.fields("", None)).status == 202
        last = next(arriving)
        assert last["result"]["isError"]
        assert "not now" in text(last)


# --- §4.5 streams that break


@requirement("P-01")
def test_event_ids_are_unique_over_all_streams(server: Server) -> None:
    with Session(server, "2025-11-25") as caller:
        standing = caller.listen()
        caller.call("change")
        ids = [event["id"] for event in standing.take(2)]
        for _ in range(3):
            _, answer = caller.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": 1}})
            ids += [event["id"] for event in answer.events() if "data" in event]
        assert len(ids) == len(set(ids)) > 12


@requirement("P-02", "P-03", "P-07")
@every
def test_the_rest_of_a_broken_stream(server: Server, fixture: Fixture, revision: str) -> None:
    with Session(server, revision) as caller:
        key = f"broken {revision}"
        other = caller.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": "other"}})
        caller.finish(*other)
        id, answer = caller.start(
            "tools/call", {"name": "speak", "arguments": {"key": key}, "_meta": {"progressToken": 1}}
        )
        assert fixture.begun.get(timeout=WAIT) == key
        seen = [event for event in answer.take(3) if event["data"]][:2]
        answer.close()
        again = caller.listen(last=seen[0]["id"])
        rest = again.take(2)
        fixture.let(key)
        rest += again.take(2)
        said = [caller.see(json.loads(event["data"])) for event in rest]
        assert [one.get("params", {}).get("progress") for one in said] == [2, 3, None]
        assert (said[-1]["id"], text(said[-1])) == (id, "spoken")
        assert rest[0]["id"] == seen[1]["id"]
        assert fixture.ended.get(timeout=WAIT) == (key, "done")


@requirement("P-04", "P-05")
@every
def test_a_priming_event_comes_first_where_clients_know_it(server: Server, revision: str) -> None:
    with Session(server, revision) as caller:
        _, answer = caller.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": 1}})
        (event,) = answer.take(1)
        if revision == "2025-11-25":
            assert (event["data"], event["retry"], bool(event["id"])) == ("", "1234", True)
        else:
            assert json.loads(event["data"])["method"] == "notifications/progress"
        answer.close()


@requirement("P-06", "P-07")
def test_a_closed_stream_is_polled(server: Server, fixture: Fixture) -> None:
    with Session(server, "2025-11-25") as caller:
        id, answer = caller.start("tools/call", {"name": "poll", "arguments": {"key": "poll"}})
        events = [event for event in answer.events() if "" not in event]  # to the end: it is closed while the call runs
        assert fixture.begun.get(timeout=WAIT) == "poll"
        assert [event.get("data") for event in events] == ["", None]
        assert events[-1] == {"retry": "1"}
        fixture.let("poll")
        assert text(caller.finish(id, caller.listen(last=events[0]["id"]))) == "poll done"
        assert fixture.ended.get(timeout=WAIT) == ("poll", "done")


@requirement("P-08", "P-09", "D-no-silent-gap")
@pytest.mark.parametrize("last", ["garbage", "9999-1", "0-77", ""])
def test_what_cannot_be_resumed(server: Server, last: str) -> None:
    with Session(server, "2025-11-25") as other, Session(server, "2025-11-25") as caller:
        other.call("speak", _meta={"progressToken": 1})
        answer = caller.listen(last=last)
        assert (answer.status, answer.json()["error"]["data"]["reason"]) == (400, "event_gone")


@requirement("P-09")
def test_another_sessions_event_ids_reveal_nothing(server: Server) -> None:
    with Session(server, "2025-11-25") as other, Session(server, "2025-11-25") as caller:
        _, answer = other.start("tools/call", {"name": "speak", "arguments": {}, "_meta": {"progressToken": 1}})
        assert caller.listen(last=answer.take(1)[0]["id"]).status == 400


@requirement("D-sse-resume", "D-exactly-once")
def test_the_pair_is_taken_up_again(server: Server, fixture: Fixture) -> None:
    with Pair(server) as caller:
        assert text(caller.call("echo", {"text": "seen"})) == "seen"
        id, _ = caller.start("tools/call", {"name": "wait", "arguments": {"key": "pair"}})
        assert fixture.begun.get(timeout=WAIT) == "pair"
        caller.stream.close()
        with Pair(server, last=caller.last) as again:
            assert again.uri == caller.uri
            again.asked = caller.asked
            fixture.let("pair")
            assert text(again.finish(id, again.stream)) == "pair done"
            assert fixture.ended.get(timeout=WAIT) == ("pair", "done")
    with Pair(server, last="gone:1") as fresh:
        assert fresh.uri != caller.uri
