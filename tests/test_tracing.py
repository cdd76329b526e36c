"""Spans, as OpenTelemetry's own SDK records them: of calls on a server without sockets, and on a real one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import fastsse.testing
from fakes import MODERN, enveloped, message
from fastsse.app import App
from fastsse.context import Context
from fastsse.dispatch import Dispatch
from fastsse.handler import Guest, Request
from fastsse.questions import elicit
from serving import ROOT
from stage import BOTH, Stage, call, modern, said
from wire import World, http

HELLO = {
    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
}  # fmt: skip
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"


class Recorder:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def ended(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def one(self) -> ReadableSpan:
        """The only span that has ended since."""
        (found,) = self.exporter.get_finished_spans()
        self.exporter.clear()
        return found


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorder.provider)  # the true one can be set but once
    return recorder


def traced(name: str, meta: dict[str, Any], id: Any = 1, **arguments: Any) -> bytes:
    return message("tools/call", {"name": name, "arguments": arguments, "_meta": meta}, id)


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """The trace, and the parent."""
    assert span.context is not None
    parent = None if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", parent


# --- what a span says


@pytest.mark.requirement("D-traces")
def test_a_span_describes_its_call(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        client = world.connect()
        opened = client.post(message("initialize", HELLO))
        assert not spans.ended()
        session = opened.fields["mcp-session-id"]
        client.post(call("echo", id="a\n1", text="x"), mcp_session_id=session)
        span = spans.one()
        assert (span.name, span.kind, span.status.status_code) == ("tools/call echo", SpanKind.SERVER, StatusCode.UNSET)
        assert dict(span.attributes or {}) == {
            "mcp.method.name": "tools/call",
            "mcp.protocol.version": "2025-11-25",
            "mcp.session.id": f"{session[:8]}…",
            "jsonrpc.request.id": "a\n1",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "echo",
            "network.transport": "tcp",
            "network.protocol.name": "http",
            "network.protocol.version": "1.1",
        }
        body, fields = modern("echo", text="x")
        client.post(body, **fields)
        attributes = spans.one().attributes or {}
        assert attributes["mcp.protocol.version"] == MODERN
        assert "mcp.session.id" not in attributes


def test_prompts_and_resources_have_spans_of_their_own(spans: Recorder) -> None:
    app = App("offers")
    app.add_prompt(lambda: "hello", name="greeting")
    app.add_resource("memo://1", lambda: "text", name="memo")
    with World(app, traces=True) as world:
        client = world.connect()
        client.post(message("prompts/get", {"name": "greeting"}))
        world.loop.run()
        span = spans.one()
        assert (span.name, (span.attributes or {})["gen_ai.prompt.name"]) == ("prompts/get greeting", "greeting")
        client.post(message("resources/read", {"uri": "memo://1"}))
        world.loop.run()
        span = spans.one()
        assert (span.name, (span.attributes or {})["mcp.resource.uri"]) == ("resources/read", "memo://1")
        client.post(message("tools/list"))
        client.post(message("ping"))
        assert not spans.ended(), "the rules answer these"


class Ready(Guest):
    def handle(self, request: Request) -> bytes:
        return b"{}"


def test_a_guest_has_spans_for_whatever_it_is_asked(spans: Recorder) -> None:
    with World(Ready(), traces=True) as world:
        world.connect().post(message("strange/method", {"a": 1}))
        assert spans.one().name == "strange/method"


# --- whose child it is


@pytest.mark.requirement("D-traces")
def test_the_parent_stands_in_meta(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        client = world.connect()
        client.post(traced("echo", {"traceparent": PARENT, "tracestate": "rojo=1"}, text="x"))
        span = spans.one()
        assert ids(span) == (TRACE, SPAN)
        assert span.context is not None
        assert span.context.trace_state["rojo"] == "1"
        assert not span.links
        body, fields = modern("echo", text="x")
        params = json.loads(body)["params"]
        params["_meta"]["traceparent"] = PARENT
        client.post(message("tools/call", params), **fields)
        assert ids(spans.one()) == (TRACE, SPAN)


def test_the_http_request_is_the_parent_where_meta_says_nothing(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        client = world.connect()
        client.post(call("echo", text="x"), traceparent=PARENT)
        assert ids(spans.one()) == (TRACE, SPAN)
        client.post(traced("echo", {"traceparent": "nonsense"}, text="x"), traceparent=PARENT)
        assert ids(spans.one()) == (TRACE, SPAN)
        client.post(traced("echo", {"traceparent": PARENT}, text="x"), traceparent=OTHER)
        span = spans.one()
        assert ids(span) == (TRACE, SPAN)
        assert [f"{link.context.trace_id:032x}" for link in span.links] == ["a" * 32]


def test_without_a_parent_it_begins_a_trace(spans: Recorder) -> None:
    around = spans.provider.get_tracer("test").start_as_current_span("whoever started the server")
    with around, World(Stage().app, traces=True) as world:
        client = world.connect()
        client.post(call("echo", text="x"))
        assert ids(spans.one())[1] is None
        client.post(traced("echo", {"traceparent": "00-0-0-0", "baggage": ";;="}, text="x"), traceparent="\xff")
        assert ids(spans.one())[1] is None


# --- what happens in it


@pytest.mark.requirement("D-traces")
@pytest.mark.parametrize("kind", ["inline", "thread", "task", "timed"])
def test_the_span_is_current_in_the_handler(spans: Recorder, kind: str) -> None:
    app = App("inner")
    seen: list[object] = []

    def look() -> str:
        seen.append(baggage.get_baggage("user"))
        with spans.provider.get_tracer("test").start_as_current_span("inner"):
            return "done"

    async def look_later() -> str:
        await asyncio.sleep(0)
        return look()

    app.add_tool(
        look if kind in ("inline", "thread") else look_later,
        name="look",
        inline=kind == "inline",
        timeout=5.0 if kind == "timed" else None,
    )
    with World(app, traces=True) as world:
        answer = world.connect().post(traced("look", {"traceparent": PARENT, "baggage": "user=ada"}))
        assert said(answer) == "done"
        inner, outer = spans.ended()
        assert (inner.name, outer.name) == ("inner", "tools/call look")
        assert outer.context is not None
        assert ids(inner) == (TRACE, f"{outer.context.span_id:016x}")
        assert seen == ["ada"]
        assert not trace.get_current_span().get_span_context().is_valid, "and no longer behind it"


@pytest.mark.requirement("D-traces")
def test_a_span_lasts_as_long_as_its_call(spans: Recorder) -> None:
    stage = Stage()
    with World(stage.app, traces=True) as world:
        world.connect().send(http("POST", "/mcp", call("wait")), "POST")
        world.connect().post(call("echo", text="x"))
        assert spans.one().name == "tools/call echo"
        stage.gate.set()
        world.loop.run()
        assert spans.one().name == "tools/call wait"


def test_a_call_that_has_become_a_stream_ends_its_span_too(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        world.connect().post(call("speak", text="x"), accept=BOTH)
        assert spans.one().name == "tools/call speak"
        stream = world.connect()
        path = stream.get("/sse").events[0]["data"]
        world.connect().post(call("at_once", text="x"), path)
        assert spans.one().name == "tools/call at_once"


# --- how it ends


@pytest.mark.requirement("D-traces")
@pytest.mark.parametrize(
    ("tool", "error", "code", "text"),
    [
        ("tool", "tool_error", None, None),
        ("crash", "tool_error", None, None),
        ("mcp", "-1", "-1", "said to the client"),
    ],
)
def test_an_error_is_the_status(spans: Recorder, tool: str, error: str, code: str | None, text: str | None) -> None:
    with World(Stage().app, traces=True) as world:
        world.connect().post(call("fail", how=tool))
        span = spans.one()
        attributes = span.attributes or {}
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, text)
        assert (attributes["error.type"], attributes.get("rpc.response.status_code")) == (error, code)


def test_an_unknown_tool_is_an_error_of_the_request(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        world.connect().post(call("nothing"))
        assert (spans.one().attributes or {})["error.type"] == "-32602"


def test_what_was_cancelled_is_no_error(spans: Recorder) -> None:
    with World(Stage().app, traces=True) as world:
        clients = [world.connect(), world.connect()]  # the second one's call has to wait for the first one's
        for client in clients:
            body, fields = modern("one_by_one")
            client.send(http("POST", "/mcp", body, **fields), "POST")
        assert not spans.ended()
        for client in reversed(clients):
            client.reset()
            span = spans.one()
            assert (span.status.status_code, [event.name for event in span.events]) == (StatusCode.UNSET, ["cancelled"])


def test_what_was_cut_has_its_error(spans: Recorder) -> None:
    with World(Stage().app, traces=True, drain_timeout=1.0) as world:
        world.connect().send(http("POST", "/mcp", call("wait")), "POST")
        assert world.stop() == 1
        assert spans.one().status.status_code is StatusCode.ERROR


def test_a_round_that_ends_with_questions_ends_its_span(spans: Recorder) -> None:
    app = App("asks")

    @app.tool
    async def ask(context: Context) -> str:
        await context.ask(name=elicit("Who?", {"type": "object", "properties": {}}))
        return "never"

    params = enveloped({"name": "ask", "arguments": {}}, elicitation={"form": {}})
    fields = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": "ask", "accept": BOTH}
    with World(app, traces=True) as world:
        answer = world.connect().post(message("tools/call", params), **fields)
        assert answer.json["result"]["resultType"] == "input_required"
        assert spans.one().status.status_code is StatusCode.UNSET


# --- off, and on for real


@pytest.mark.requirement("D-traces")
def test_off_there_is_nothing(spans: Recorder) -> None:
    with World(Stage().app) as world:
        assert type(world.server.dispatch) is Dispatch
        world.connect().post(call("echo", text="x"), traceparent=PARENT)
    assert not spans.ended()
    code = "import sys, fastsse.server; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)


def test_without_the_library_the_start_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError\n")
    done = subprocess.run(
        [sys.executable, "-m", "fastsse", "--traces", "--port", "0"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "fastsse: traces is on, but opentelemetry-api is not installed; pip install 'fastsse[otel]'\n",
    )


def test_a_real_server(spans: Recorder) -> None:
    with fastsse.testing.serve(Stage().app, traces=True) as server:
        for tool in ("echo", "at_once", "thread"):
            body = traced(tool, {"traceparent": PARENT}, **({} if tool == "thread" else {"text": "x"}))
            fields = {"content-type": "application/json", "accept": BOTH}
            assert httpx.post(f"{server.url}/mcp", content=body, headers=fields).status_code == 200
    assert [(span.name, ids(span)) for span in spans.ended()] == [
        (f"tools/call {tool}", (TRACE, SPAN)) for tool in ("echo", "at_once", "thread")
    ]
