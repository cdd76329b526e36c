"""Context: what a handler may do while it runs, and what the house knows of a call that runs.

A handler gets one as its parameter. Speaking (progress, log, questions) turns the call's answer into an
event stream where the client reads such; plain calls are safe from any thread. `dispatch` makes contexts
and ends them. Rules: MCP basic/utilities (progress, cancellation), server/utilities/logging, client/*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from fastsse import _framing, jsonrpc
from fastsse.asking import Asking
from fastsse.errors import AskError
from fastsse.questions import Question, check, elicit, elicit_url, roots, sample
from fastsse.session import LEVELS
from fastsse.stream import MESSAGE, EventStream
from fastsse.writebuffer import LOG, NOTICE, PROGRESS

if TYPE_CHECKING:
    from fastsse.budget import Budget
    from fastsse.decision import Call
    from fastsse.handler import Request
    from fastsse.principal import Principal


LOWEST = float("-inf")


class InputRequired(BaseException):
    """Ends a round at 2026-07-28: these questions are open. Not an Exception, so that handlers do not swallow it."""

    def __init__(self, questions: dict[str, Question]) -> None:
        super().__init__("the client is asked first")
        self.questions = questions


def asked_in(group: BaseExceptionGroup[BaseException]) -> InputRequired | None:
    """All that was asked in one round by tasks of a TaskGroup; None if some of them failed otherwise."""
    questions: dict[str, Question] = {}
    for error in group.exceptions:
        asked = asked_in(error) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(asked, InputRequired):
            return None
        questions |= asked.questions
    return InputRequired(questions)


class Line(Protocol):
    """The connection of a call, as far as a context needs it."""

    def begin_stream(self, stream: EventStream, extra: bytes) -> None:
        """Turns the pending answer into an event stream that reads `stream`; its head has these lines more."""
        ...

    def pending(self, context: Context) -> None:
        """The answer will come later."""
        ...

    def answer(self, call: Call, body: bytes) -> None:
        """The call is done; `body` is its JSON-RPC response."""
        ...

    def hang_up(self) -> None:
        """The call ended without any answer."""
        ...


class Host(Protocol):
    """What contexts need of `dispatch`."""

    loop: asyncio.AbstractEventLoop
    thread: int
    lifespan: Any
    ask_timeout: float
    retry_ms: int

    def cancel(self, context: Context, reason: str) -> None: ...

    def now(self) -> float: ...


class Context:
    """Given to handlers that have a parameter annotated with it."""

    __slots__ = (
        "_answered", "_body", "_budget", "_call", "_cancelled", "_ended", "_host", "_line", "_progress",
        "_progressed_at", "_started", "_stop", "_task", "request",
    )  # fmt: skip

    request: Request
    _answered: dict[str, Any] | None
    _body: bytes | None  # the answer of a task that has ended before anybody knew of it
    _budget: Budget | None  # which counts the arguments
    _call: Call
    _cancelled: bool
    _ended: bool
    _host: Host
    _line: Line | None
    _progress: float
    _progressed_at: float
    _started: float
    _stop: Callable[[], object] | None  # what ends the work, instead of cancelling its task
    _task: asyncio.Task[None] | None

    # --- who asks

    @property
    def request_id(self) -> str | int:
        """The request's JSON-RPC id."""
        return jsonrpc.value(self.request.id)  # type: ignore[no-any-return]

    @property
    def session_id(self) -> str | None:
        """The session's id; None without a session and at 2026-07-28."""
        return None if self.request.session is None else self.request.session.id.decode()

    @property
    def revision(self) -> str:
        """The protocol revision this request is served under, e.g. "2025-11-25"."""
        return self.request.revision.name

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP request's header fields: lower-case names, repeated ones joined with a comma."""
        found: dict[str, str] = {}
        for name, value in self.request.head.fields:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    @property
    def client_capabilities(self) -> Mapping[str, Any]:
        """ClientCapabilities, as declared in `initialize` or in this request's `_meta`."""
        return self.request.capabilities or {}

    @property
    def principal(self) -> Principal | None:
        """Who asks; None without authentication."""
        return self.request.principal

    @property
    def lifespan(self) -> Any:
        """What the application's lifespan yielded."""
        return self._host.lifespan

    # --- speaking

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Reports progress, if the client asked for it. Values that do not increase are left out: the protocol forbids
        them."""
        meta = self.request.meta
        token = None if meta is None else meta.progress_token
        if token is None:
            return
        params: dict[str, Any] = {"progressToken": jsonrpc.Raw(token), "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None and self.request.revision.message_in_progress:
            params["message"] = message
        if get_ident() != self._host.thread:
            self._host.loop.call_soon_threadsafe(self._report, progress, params, token)
        else:
            self._report(progress, params, token)

    def _report(self, progress: float, params: dict[str, Any], token: bytes) -> None:
        if self._ended or progress <= self._progress:
            return
        self._progress = progress
        self._progressed_at = self._host.now()
        self._send(b'"notifications/progress"', jsonrpc.encode(params), PROGRESS, token)

    def log(self, level: str, data: Any, logger: str | None = None) -> None:
        """Sends a log message to the client, if it wants that level. `data`: any JSON value, usually a text."""
        rank = LEVELS[level]
        if rank < self._wanted_level():
            return
        params = {"level": level, "data": data} if logger is None else {"level": level, "logger": logger, "data": data}
        encoded = jsonrpc.encode(params)
        if get_ident() != self._host.thread:
            self._host.loop.call_soon_threadsafe(self._send, b'"notifications/message"', encoded, LOG, None)
        else:
            self._send(b'"notifications/message"', encoded, LOG, None)

    def _wanted_level(self) -> int:
        request = self.request
        if request.revision.modern:
            meta = request.meta
            if meta is None or meta.log_level is jsonrpc.UNSET:
                return len(LEVELS)
            return LEVELS[meta.log_level]
        return LEVELS["info"] if request.session is None else request.session.log_level

    def debug(self, data: Any) -> None:
        self.log("debug", data)

    def info(self, data: Any) -> None:
        self.log("info", data)

    def warning(self, data: Any) -> None:
        self.log("warning", data)

    def error(self, data: Any) -> None:
        self.log("error", data)

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Sends any notification on this call's stream, as it is: for guests, which speak for themselves."""
        kind, key = NOTICE, None
        if method == "notifications/progress":
            kind, key = PROGRESS, None if params is None else params.get("progressToken")
            self._progressed_at = self._host.now()
        elif method == "notifications/message":
            kind = LOG
        self._send(jsonrpc.encode(method), b"{}" if params is None else jsonrpc.encode(params), kind, key)

    def _send(self, method: bytes, params: bytes, kind: int, key: object) -> None:
        if self._ended:
            return
        stream = self._stream()
        if stream is not None:
            stream.send(_framing.event(_framing.notification(method, params), MESSAGE), kind, key)

    def _stream(self) -> EventStream | None:
        """The stream of this call; None when the client reads none, or is gone."""
        call = self._call
        if call.stream is None:
            if not call.sse or self._line is None:
                return None
            call.stream = stream = call.era.open_stream(call)
            self._line.begin_stream(stream, call.extra)
            if stream.limits is not None and self.request.revision.priming:
                stream.prime(self._host.retry_ms)
        return call.stream

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was sent that there is room for more."""
        stream = self._call.stream
        while stream is not None and stream.buffer is not None:
            waiting = stream.buffer.outlet.room()
            if waiting is None:
                break
            await asyncio.shield(waiting)  # others on this connection wait for the same

    def close_stream(self, retry_ms: int | None = None) -> None:
        """Closes the connection of this call's stream while the call goes on; the client fetches the rest with
        `Last-Event-ID` after `retry_ms` (2025-11-25, in a session; otherwise nothing happens)."""
        stream = self._stream()
        if stream is not None and stream.limits is not None and self.request.revision.priming and not self._on_pair():
            stream.pause(self._host.retry_ms if retry_ms is None else retry_ms)

    def _on_pair(self) -> bool:
        return self.request.session is not None and self.request.session.pair

    # --- asking

    async def ask(self, **questions: Question) -> dict[str, Any]:
        """Asks the client several things in one round; returns the answers under the same keys.

        Up to 2025-11-25 the handler waits here. At 2026-07-28 it is ended, and run again from its beginning
        when the answers are there: code before an `ask` may run several times, so keep it free of effects.
        Raises AskError when there is no answer, ClientLacks (an McpError) when the client cannot be asked.
        """
        request = self.request
        for question in questions.values():
            check(
                question, request.capabilities if request.session or request.revision.modern else {}, request.revision
            )
        if request.revision.modern:
            return self._ask_in_rounds(questions)
        if request.session is None:
            raise AskError(
                "The client has no session, so it cannot be asked: send initialize and repeat Mcp-Session-Id"
            )
        stream = self._stream()
        if stream is None:
            raise AskError(
                "The client reads no event stream for this request, so it cannot be asked: Accept: text/event-stream"
            )
        keys = list(questions)
        answers = await asyncio.gather(*(self._ask_one(stream, questions[key]) for key in keys))
        return dict(zip(keys, answers, strict=True))

    def _ask_in_rounds(self, questions: dict[str, Question]) -> dict[str, Any]:
        answers = self.request.answers or {}
        if self._answered is None:
            self._answered = {}
        for key in questions:
            if key in answers:
                self._answered[key] = answers[key]
        open = {key: question for key, question in questions.items() if key not in answers}
        if open:
            raise InputRequired(open)
        return {key: answers[key] for key in questions}

    async def _ask_one(self, stream: EventStream, question: Question) -> Any:
        asked = self.asking(stream)
        params = dict(question.params)
        if "url" in params and self.request.revision.elicitation_id:
            params.setdefault("elicitationId", f"{asked.id}")
        try:
            result, error = await asked.send(question.method, params, self._host.ask_timeout)
        except TimeoutError:
            limit = f"{self._host.ask_timeout:g} s (setting ask_timeout)"
            raise AskError(f"The client did not answer {question.method} within {limit}") from None
        if error is not None:
            found = jsonrpc.value(error)
            text = found.get("message") if isinstance(found, dict) else None
            raise AskError(f"The client refused {question.method}: {text or 'no reason given'}")
        if result is None:
            raise AskError("The session ended before the client answered")
        return jsonrpc.value(result)

    def asking(self, stream: EventStream) -> Asking:
        """A request to the client, about to be sent on this stream."""
        session = self.request.session
        assert session is not None
        return Asking(session, stream, self._host.loop)

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Asks the user to fill a form: `{"action", "content"?}`. See `questions.elicit` and `ask`."""
        return (await self.ask(elicitation=elicit(message, schema)))["elicitation"]  # type: ignore[no-any-return]

    async def elicit_url(self, message: str, url: str) -> dict[str, Any]:
        """Asks the user to visit a page: `{"action"}`. See `questions.elicit_url` and `ask`."""
        return (await self.ask(elicitation_url=elicit_url(message, url)))["elicitation_url"]  # type: ignore[no-any-return]

    async def sample(
        self, messages: str | Sequence[Mapping[str, Any]], max_tokens: int = 1000, **more: Any
    ) -> dict[str, Any]:
        """Asks the client's model: a CreateMessageResult. See `questions.sample` and `ask`."""
        return (await self.ask(sampling=sample(messages, max_tokens, **more)))["sampling"]  # type: ignore[no-any-return]

    async def roots(self) -> list[dict[str, Any]]:
        """Asks for the client's roots: `[{"uri", "name"?}, ...]`."""
        return (await self.ask(roots=roots()))["roots"].get("roots", [])  # type: ignore[no-any-return]

    # --- for the session and the connection

    def open_stream(self) -> bool:
        """The call takes long: its answer becomes an event stream, if the client reads such."""
        return self._stream() is not None

    def cancel(self, reason: str) -> None:
        """Ends the call without an answer; called when the client cancels, or is gone where that means cancelling."""
        self._host.cancel(self, reason)


def new_context(call: Call, line: Line | None, host: Host, started: float) -> Context:
    """The `Context` of a call. No constructor: compiled, this costs a fifth of one."""
    context = Context.__new__(Context)
    context.request = call.request
    context._call = call
    context._line = line
    context._host = host
    context._started = started
    context._task = None
    context._stop = None
    context._body = None
    context._ended = False
    context._cancelled = False
    context._progress = LOWEST
    context._progressed_at = 0.0
    context._budget = None
    context._answered = None
    return context
