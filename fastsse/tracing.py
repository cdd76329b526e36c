"""A `Dispatch` that gives every call a span, named and described as OpenTelemetry's conventions for MCP have it.

`server` makes it in the place of the plain one when `traces` is on; while that is off, nothing is asked or added. A
call's parent is what its `_meta` says (SEP-414), else what the HTTP request says; when both speak, the latter is
linked. What a handler starts, in a task or a thread too, is a child of its call's span. What the rules answer by
themselves (handshake, lists, ping) has no span. Refuses to tell session ids: they are credentials, spans have the
beginning that /sessions shows to strangers. Provider, sampler and exporter are the application's.
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md (in development).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from fastsse import jsonrpc
from fastsse.dispatch import Dispatch
from fastsse.handler import Result

if TYPE_CHECKING:
    from opentelemetry.context import Context as Around

    from fastsse.context import Context, InputRequired, Line
    from fastsse.decision import Call
    from fastsse.errors import McpError
    from fastsse.handler import Answer, Request

TARGETS: Final = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
"""Methods whose spans are named after what is asked for, too."""


class Tracing(Dispatch):
    """Runs calls, each in its span."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tracer = trace.get_tracer("fastsse")
        self._spans: dict[Call, Span] = {}

    def run(self, call: Call, line: Line | None, now: float) -> bytes | None:
        request = call.request
        parent, links = origin(request)
        span = self._tracer.start_span(title(request), parent, SpanKind.SERVER, described(request), links)
        self._spans[call] = span
        before = contexts.attach(trace.set_span_in_context(span, parent))
        try:
            body = super().run(call, line, now)
        finally:
            contexts.detach(before)
        if body is not None:
            self._end(call)
        return body

    def _end(self, call: Call, error: str = "", code: str = "", message: str | None = None) -> None:
        """The call's outcome is known, the first time: of what comes after it nobody hears."""
        span = self._spans.pop(call, None)
        if span is None:
            return
        if error:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR, message)
        if code:
            span.set_attribute("rpc.response.status_code", code)
        span.end()

    # --- where `Dispatch` knows an outcome

    def _reply(self, call: Call, answer: Answer, started: float) -> bytes:
        body = super()._reply(call, answer, started)
        self._end(call, "tool_error" if isinstance(answer, Result) and answer.failed else "")
        return body

    def _failed(self, call: Call, error: McpError, started: float) -> bytes:
        code = str(error.code)
        self._end(call, code, code, error.message)
        return super()._failed(call, error, started)

    def _asking(self, context: Context, asked: InputRequired) -> bytes:
        body = super()._asking(context, asked)
        self._end(context._call)
        return body

    def _forget(self, context: Context) -> None:
        super()._forget(context)
        span = self._spans.get(context._call)
        if span is not None:  # no error: it ended as somebody wished
            span.add_event("cancelled")
            self._end(context._call)


def origin(request: Request) -> tuple[Around, list[Link]]:
    """The context that a call goes on with, and what else it has to do with."""
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.head.fields}
    carried = propagate.extract(fields, contexts.Context())
    meta = request.meta
    if meta is None or meta.traceparent is None:
        return carried, []
    said = {"traceparent": meta.traceparent, "tracestate": meta.tracestate, "baggage": meta.baggage}
    parent = propagate.extract({key: text for key, text in said.items() if text}, contexts.Context())
    if not trace.get_current_span(parent).get_span_context().is_valid:
        return carried, []
    transport = trace.get_current_span(carried).get_span_context()
    return parent, [Link(transport)] if transport.is_valid else []


def title(request: Request) -> str:
    return f"{request.method} {request.name}" if request.name and request.method in TARGETS else request.method


def described(request: Request) -> dict[str, str]:
    method = request.method
    found = {
        "mcp.method.name": method,
        "mcp.protocol.version": request.revision.name,
        "jsonrpc.request.id": str(jsonrpc.value(request.id)),
        "network.transport": "tcp",  # whatever carries HTTP/1.1: so the conventions
        "network.protocol.name": "http",
        "network.protocol.version": f"1.{request.head.minor}",
    }
    if request.session is not None:
        found["mcp.session.id"] = f"{request.session.id[:8].decode()}…"
    if method == "tools/call":
        found["gen_ai.operation.name"] = "execute_tool"
    if request.name:
        target = TARGETS.get(method, "mcp.resource.uri" if method.startswith("resources/") else "")
        if target:
            found[target] = request.name
    return found
