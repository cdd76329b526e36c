"""The rules for guests, servers that answer for themselves (`handler.Guest`): what is theirs is passed through.

A guest sees every request and notification as it was sent, and what it answers goes out as it is. The rules keep what
belongs to the wire: the headers that must match the body, versions, sessions, what is in flight. They follow the
handshake only so far as to know the revision that was agreed on. Made by `endpoint`.
"""

from __future__ import annotations

from collections.abc import Callable

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import Head, Message
from fastsse.config import Config
from fastsse.decision import Accepts, Decision, new_call
from fastsse.handler import Answer, Catalog, Client, Guest, Notification, Request, Result, new_request
from fastsse.handshake import Handshake
from fastsse.revisions import HANDSHAKE, R5, Revision
from fastsse.session import Session
from fastsse.stateless import NAMED, REMOVED, Stateless


class Visitor:
    """Whose request the guest is about to see; told by `endpoint` before each."""

    __slots__ = ("client",)

    def __init__(self) -> None:
        self.client: Client | None = None


def whole(request: Request, answer: Answer) -> bytes:
    """The response that holds this result, and nothing more."""
    return _framing.result(request.id, answer.body if isinstance(answer, Result) else answer)


def failure(id: bytes | None, error: errors.McpError) -> bytes:
    return _framing.error(id, jsonrpc.error_object(error.code, error.message, error.data))


class GuestHandshake(Handshake):
    """2024-11-05 to 2025-11-25."""

    def __init__(self, config: Config, guest: Guest, visitor: Visitor) -> None:
        super().__init__(config, guest)
        self.guest = guest
        self.visitor = visitor

    def initialize(self, message: Message, session: Session, head: Head) -> bytes | Request:
        return self.request(message, session, session.revision, head)

    def request(self, message: Message, session: Session | None, revision: Revision, head: Head) -> bytes | Request:
        if message.wrong is not None:
            raise message.wrong
        request = new_request(message, message.name or message.uri or "", revision, session, head)
        request.principal = head.principal
        request.client = self.visitor.client
        if session is not None:
            request.capabilities = session.capabilities
        return request

    def notification(self, message: Message, session: Session | None, revision: Revision, head: Head) -> None:
        super().notification(message, session, revision, head)
        assert message.method is not None
        client = self.visitor.client
        self.guest.notified(Notification(message.method, message.params or b"", revision, session, head, client))

    def reply(self, request: Request, answer: Answer) -> bytes:
        session = request.session
        if request.method == "initialize" and session is not None:
            said = jsonrpc.object_of(answer.body if isinstance(answer, Result) else answer)
            agreed = HANDSHAKE.get(str(said.get("protocolVersion")))
            if agreed is not None:
                session.revision = agreed
        return whole(request, answer)

    def error(self, id: bytes | None, error: errors.McpError) -> bytes:
        return failure(id, error)


class GuestStateless(Stateless):
    """2026-07-28."""

    def __init__(
        self,
        config: Config,
        guest: Guest,
        key: bytes,
        wall: Callable[[], float],
        check_room: Callable[[], None],
        visitor: Visitor,
    ) -> None:
        super().__init__(config, guest, key, wall, check_room)
        self.visitor = visitor

    def _request(self, head: Head, message: Message, id: bytes, accepts: Accepts) -> Decision:
        method = message.method
        assert method is not None
        name = (message.uri if NAMED.get(method) == "uri" else message.name) or ""
        if name and method in NAMED:
            self._name_header(head, name)
        if method in REMOVED:
            raise errors.MethodNotFound(method)
        if message.wrong is not None:
            raise message.wrong
        if method == "subscriptions/listen":
            self.check_room()
        request = new_request(message, name, R5, None, head)
        request.capabilities = None if message.meta is None else message.meta.capabilities
        request.principal = head.principal
        request.client = self.visitor.client
        return new_call(request, self, accepts.sse, accepts.sse_first)

    def reply(self, request: Request, answer: Answer) -> bytes:
        return whole(request, answer)

    def error(self, id: bytes | None, error: errors.McpError) -> bytes:
        return failure(id, error)

    def status(self, error: errors.McpError) -> int:
        return self.era_status.get(error.code, 200)


def rules_for(
    config: Config, offered: Catalog, key: bytes, wall: Callable[[], float], check_room: Callable[[], None]
) -> tuple[Handshake, Stateless, Visitor | None]:
    """The rules of both eras for what is offered, and, for a guest, who is to be told whose request comes next."""
    if not isinstance(offered, Guest):
        return Handshake(config, offered), Stateless(config, offered, key, wall, check_room), None
    visitor = Visitor()
    return (
        GuestHandshake(config, offered, visitor),
        GuestStateless(config, offered, key, wall, check_room, visitor),
        visitor,
    )
