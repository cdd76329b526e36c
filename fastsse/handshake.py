"""What a message means to the handshake revisions, 2024-11-05 to 2025-11-25, on whichever transport it came.

Shared by `httpsse` and `streamable`, which say where answers go. A message leads to an encoded response, to
a `Call`, or to nothing (it was a notification or a response). Differences between the revisions are read
from the session's row in `revisions`. Spec: basic/lifecycle, basic/utilities, server/* of each revision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import TOOLS_CALL, Message
from fastsse.config import Config
from fastsse.decision import Call, Era
from fastsse.handler import Answer, Catalog, Request, Result, new_request
from fastsse.questions import Question
from fastsse.revisions import HANDSHAKE, NEWEST_HANDSHAKE, Revision
from fastsse.session import LEVELS, Session
from fastsse.shards import Table
from fastsse.stream import EventStream

EMPTY = b"{}"
CHANGES = {kind: f"notifications/{kind}/list_changed" for kind in ("tools", "resources", "prompts")}
NAMED = {"prompts/get": "name", "resources/read": "uri"}
LISTS = frozenset(("tools/list", "resources/list", "resources/templates/list", "prompts/list"))


MOST_KEPT = 8192
"""Bytes of one thing that a session keeps of its client's: URLs are cut there (nginx large_client_header_buffers)."""


def _kept(what: str, size: int) -> None:
    if size > MOST_KEPT:
        raise errors.InvalidParams(f"{what} is too large: {size} bytes, and a session keeps at most {MOST_KEPT}")


class Handshake(Era):
    """The rules; holds what is offered and the encoded lists, no state of any client."""

    def __init__(self, config: Config, catalog: Catalog) -> None:
        super().__init__("handshake", False, errors.LEGACY_STATUS)
        self.config = config
        self.catalog = catalog
        self.lists: dict[tuple[str, str | None, str], bytes] = {}
        self.epoch = catalog.epoch
        self.own: dict[str, Callable[[bytes | None, Session | None], bytes]] = {
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    # --- messages in

    def proposed(self, message: Message) -> tuple[Revision, dict[str, Any]]:
        """What an `initialize` leads to: (revision, client capabilities). Raises InvalidParams."""
        params = jsonrpc.object_of(message.params)
        version = params.get("protocolVersion")
        if not isinstance(version, str):
            raise errors.InvalidParams(
                "params.protocolVersion must be a string", {"supported": list(HANDSHAKE), "requested": version}
            )
        capabilities = params.get("capabilities")
        if capabilities is not None and not isinstance(capabilities, dict):
            raise errors.InvalidParams("params.capabilities must be an object")
        _kept("params.capabilities", len(jsonrpc.encode(capabilities)))
        return HANDSHAKE.get(version, NEWEST_HANDSHAKE), capabilities or {}

    def initialize(self, message: Message, session: Session, head: _framing.Head) -> bytes | Request:
        """The encoded InitializeResult for a session that is settled, or the `Request` for who answers it."""
        revision = session.revision
        result: dict[str, Any] = {
            "protocolVersion": revision.name,
            "capabilities": self.catalog.capabilities(revision),
            "serverInfo": self.catalog.implementation(revision),
        }
        if self.catalog.instructions is not None:
            result["instructions"] = self.catalog.instructions
        return jsonrpc.encode(result)

    def settle(self, session: Session, revision: Revision, capabilities: dict[str, Any]) -> None:
        """Notes in a session what its handshake led to."""
        session.revision = revision
        session.capabilities = capabilities
        offered = self.catalog.capabilities(revision)
        silent = [method for kind, method in CHANGES.items() if not offered.get(kind, {}).get("listChanged")]
        session.undeclared = frozenset(silent) or None

    def request(
        self,
        message: Message,
        session: Session | None,
        revision: Revision,
        head: _framing.Head,
    ) -> bytes | Request:
        """The encoded result of a request (never `initialize`) that the rules answer themselves, or the
        `Request` for the handler. Raises McpError."""
        method = message.method
        assert method is not None
        if message.wrong is not None:
            raise message.wrong
        name = message.name
        if method is TOOLS_CALL:  # the hot path, and its handler knows best
            if name is None:
                raise errors.InvalidParams("params.name is required")
        elif method in NAMED:
            if NAMED[method] == "uri":
                name = message.uri
            if name is None:
                raise errors.InvalidParams(f"params.{NAMED[method]} is required")
            if not self.catalog.serves(method):
                raise errors.MethodNotFound(method)
        else:
            own = self.own.get(method)
            if own is not None:
                return own(message.params, session)
            if method in LISTS and self.catalog.serves(method):
                page = self.listing(method, message.cursor, revision)
                if page is not None:
                    return page
            if not self.catalog.serves(method):
                raise errors.MethodNotFound(method)
            name = ""
        request = new_request(message, name, revision, session, head)
        request.principal = head.principal
        if session is not None:
            request.capabilities = session.capabilities
        return request

    def listing(self, method: str, cursor: str | None, revision: Revision) -> bytes | None:
        """One page, encoded once for each revision."""
        if self.epoch != self.catalog.epoch:
            self.lists.clear()
            self.epoch = self.catalog.epoch
        key = (method, cursor, revision.name)
        page = self.lists.get(key)
        if page is None:
            page = self.catalog.listing(method, cursor, revision)
            if page is not None and len(self.lists) < 1000:
                self.lists[key] = page
        return page

    def notification(self, message: Message, session: Session | None, revision: Revision, head: _framing.Head) -> None:
        """Takes a notification; unknown ones are ignored."""
        if session is None:
            return
        if message.method == "notifications/initialized":
            session.ready = True
        elif message.method == "notifications/cancelled" and session.calls:
            try:
                params = jsonrpc.object_of(message.params)
            except errors.McpError:
                return
            call = session.calls.get(jsonrpc.encode(params.get("requestId")))
            if call is not None:
                call.cancel(str(params.get("reason") or "cancelled by the client"))

    def response(self, message: Message, session: Session | None) -> None:
        """Takes the client's response to a request of ours. Raises McpError when the message is no response at all."""
        result, error = message.result, message.error
        if (result is None) == (error is None):
            raise errors.McpError(errors.INVALID_REQUEST, "Invalid request: neither method, result nor error is there")
        if session is not None and message.id is not None:
            session.answered(message.id, result, error)

    # --- methods that the rules answer themselves

    def _ping(self, params: bytes | None, session: Session | None) -> bytes:
        return EMPTY

    def _set_level(self, params: bytes | None, session: Session | None) -> bytes:
        if not self.catalog.serves("logging/setLevel"):
            raise errors.MethodNotFound("logging/setLevel")
        level = jsonrpc.object_of(params).get("level")
        if not isinstance(level, str) or level not in LEVELS:
            raise errors.InvalidParams(f"params.level must be one of {', '.join(LEVELS)}", {"saw": level})
        if session is not None:
            session.log_level = LEVELS[level]
        return EMPTY

    def _uri(self, method: str, params: bytes | None) -> str:
        if not self.catalog.serves(method):
            raise errors.MethodNotFound(method)
        uri = jsonrpc.object_of(params).get("uri")
        if not isinstance(uri, str):
            raise errors.InvalidParams("params.uri must be a string")
        return uri

    def _subscribe(self, params: bytes | None, session: Session | None) -> bytes:
        uri = self._uri("resources/subscribe", params)
        if session is None:
            raise errors.McpError(errors.INVALID_REQUEST, "resources/subscribe needs a session: send initialize first")
        _kept("params.uri", len(uri.encode()))
        if session.subscriptions is None:
            session.subscriptions = set()
        if len(session.subscriptions) >= self.config.max_subscriptions and uri not in session.subscriptions:
            raise errors.McpError(
                errors.SERVER_ERROR,
                f"Too many subscriptions in this session: {len(session.subscriptions)} (setting max_subscriptions)",
            )
        session.subscriptions.add(uri)
        return EMPTY

    def _unsubscribe(self, params: bytes | None, session: Session | None) -> bytes:
        uri = self._uri("resources/unsubscribe", params)
        if session is not None and session.subscriptions is not None:
            session.subscriptions.discard(uri)
        return EMPTY

    # --- Era

    def reply(self, request: Request, answer: Answer) -> bytes:
        if isinstance(answer, Result):
            body = answer.body
            if answer.meta:
                meta = b'"_meta":' + jsonrpc.encode(answer.meta)
                body = b"{" + meta + b"}" if body == EMPTY else body[:-1] + b"," + meta + b"}"
            return _framing.result(request.id, body)
        return _framing.result(request.id, answer)

    def failure(self, request: Request, error: errors.McpError) -> bytes:
        return self.error(request.id, error)

    def error(self, id: bytes | None, error: errors.McpError) -> bytes:
        """An encoded error response; codes that these revisions do not know are turned into ones they do."""
        code, data = error.code, error.data
        if code in (errors.MISSING_CAPABILITY, errors.HEADER_MISMATCH):
            code = errors.INVALID_REQUEST
        return _framing.error(id, jsonrpc.error_object(code, error.message, data))

    def status(self, error: errors.McpError) -> int:
        return self.era_status.get(error.code, 200)

    def open_stream(self, call: Call) -> EventStream:
        """The session's stream for this POST, which can be resumed; without a session one that cannot."""
        session = call.request.session
        return EventStream(b"", None) if session is None else session.open_stream()

    def input_required(self, request: Request, open: dict[str, Question], answered: dict[str, object]) -> bytes:
        raise errors.FastsseError("the handshake revisions ask with requests, not with results")


# --- refusals that both transports share


def full_table(table: Table) -> errors.RequestRefused:
    return errors.RequestRefused(
        503,
        "too_many_sessions",
        "Too many sessions",
        saw=table.count,
        want=f"at most {table.capacity} at once",
        setting="max_sessions",
        code=errors.SERVER_ERROR,
    )


def unread(config: Config) -> errors.RequestRefused:
    return errors.RequestRefused(
        503,
        "replies_unread",
        "Replies of this session are not being read; read its event stream first",
        want=f"at most {config.ring_bytes} bytes of unread replies",
        setting="ring_bytes",
        code=errors.SERVER_ERROR,
    )


def refuse_twice(running: Collection[bytes], id: bytes, config: Config) -> None:
    """Refuses an id that is in flight already, and more calls at once than one client may have."""
    if id in running:
        raise errors.McpError(errors.INVALID_REQUEST, f"Invalid request: id {id.decode()} is in flight already")
    if len(running) >= config.max_calls:
        raise errors.RequestRefused(
            503,
            "too_many_calls",
            "Too many calls in flight",
            saw=len(running),
            want=f"at most {config.max_calls}",
            setting="max_calls",
            code=errors.SERVER_ERROR,
        )
