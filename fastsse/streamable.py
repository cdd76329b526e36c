"""Streamable HTTP with sessions: 2025-03-26, 2025-06-18, 2025-11-25, and the same without a session.

POST answers as JSON, or as an event stream when the handler speaks first; GET is the session's standing
stream or, with `Last-Event-ID`, the rest of a stream that broke; DELETE ends the session. Requests without a
session are first class: many clients never repeat the session id, and guide C's curl knows none. Spec:
basic/transports of the three revisions; deviations (a POST without session id is served, a second GET
replaces the first) are design §1.
"""

from __future__ import annotations

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import TOOLS_CALL, Head, Message
from fastsse.config import Config
from fastsse.decision import ACCEPTED, Accepts, Batch, Call, Decision, Listen, Reply, answer, new_call
from fastsse.handshake import Handshake, full_table, refuse_twice, unread
from fastsse.revisions import HANDSHAKE, REVISIONS, WITHOUT_HEADER, Revision
from fastsse.session import Session
from fastsse.shards import Table

ERA = "streamable"


class Streamable:
    """The rules of `/mcp` for clients that shake hands."""

    def __init__(self, config: Config, table: Table, rules: Handshake) -> None:
        self.config = config
        self.table = table
        self.rules = rules

    # --- POST

    def session(self, head: Head) -> Session | None:
        """The session that the header names; None without the header. Raises RequestRefused 404."""
        id = head.session_id
        if id is None:
            return None
        session = self.table.find(id, head.principal)
        if session is None or session.pair:
            raise errors.RequestRefused(
                404,
                "unknown_session",
                "Session not found: it has ended or never was",
                want="send initialize without Mcp-Session-Id to open a new one",
                setting="session_idle",
                code=errors.SESSION_NOT_FOUND,
            )
        return session

    def revision(self, head: Head, session: Session | None) -> Revision:
        """What the message is served as. Raises RequestRefused 400 for a version that we do not know."""
        version = head.protocol_version
        if version is None:
            return WITHOUT_HEADER if session is None else session.revision
        if session is not None and version == session.revision.wire:
            return session.revision
        named = REVISIONS.get(version.decode("latin-1"))
        if named is None:
            raise errors.RequestRefused(
                400,
                "unsupported_version",
                f"Bad Request: Unsupported protocol version: {version.decode('latin-1')[:40]}",
                saw=version.decode("latin-1")[:40],
                want=f"MCP-Protocol-Version: one of {', '.join(HANDSHAKE)}",
            )
        if session is not None:
            return session.revision  # a supported value that is not the negotiated one is tolerated
        return HANDSHAKE.get(named.name, WITHOUT_HEADER)

    def post(self, head: Head, message: Message, accepts: Accepts, now: float) -> Decision:
        """One message. Raises RequestRefused; errors of the message itself are replies."""
        method = message.method
        rules = self.rules
        if method is not TOOLS_CALL and method == "initialize":
            return self._initialize(head, message, accepts, now)
        session = self.session(head)
        revision = self.revision(head, session)
        if method is None:
            rules.response(message, session)
            if session is not None:
                session.accept(now)
            return ACCEPTED
        id = message.id
        if id is None:
            if session is not None:
                session.accept(now)
            rules.notification(message, session, revision, head)
            return ACCEPTED
        try:
            if session is not None:
                if session.streams is not None and session.full:
                    raise unread(self.config)
                if session.calls:
                    refuse_twice(session.calls, id, self.config)
                session.accept(now)
                session.ready = True
            found = rules.request(message, session, revision, head)
        except errors.McpError as error:
            return answer(rules.error(id, error), accepts, rules.status(error), failed=True)
        if isinstance(found, bytes):
            return answer(_framing.result(id, found), accepts)
        return new_call(found, rules, accepts.sse, accepts.sse_first)

    def _initialize(self, head: Head, message: Message, accepts: Accepts, now: float) -> Decision:
        """Opens a session (an id that is dead, or still lives, does not matter); the version header is ignored here."""
        id = message.id
        if id is None:
            return ACCEPTED
        rules = self.rules
        try:
            revision, capabilities = rules.proposed(message)
        except errors.McpError as error:
            return answer(rules.error(id, error), accepts, rules.status(error), failed=True)
        session = self.table.open(False, now)
        if session is None:
            raise full_table(self.table)
        session.principal = head.principal
        rules.settle(session, revision, capabilities)
        named = b"Mcp-Session-Id: " + session.id + b"\r\n"
        found = rules.initialize(message, session, head)
        if isinstance(found, bytes):
            reply = answer(_framing.result(id, found), accepts)
            reply.extra += named
            return reply
        call = new_call(found, rules, accepts.sse, accepts.sse_first)
        call.extra = named
        return call

    def post_array(self, head: Head, body: bytes, now: float) -> Decision:
        """A batch, which only 2025-03-26 has. Raises RequestRefused."""
        session = self.session(head)
        revision = self.revision(head, session)
        if not revision.batches:
            raise errors.RequestRefused(
                400,
                "array",
                f"Invalid request: arrays are not part of revision {revision.name}",
                want="one message per POST",
            )
        items = jsonrpc.decode_array(body)
        if not items:
            raise errors.RequestRefused(
                400, "array", "Invalid request: the array is empty", want="at least one message"
            )
        if len(items) > self.config.max_calls:
            raise errors.RequestRefused(
                400,
                "array",
                "Invalid request: too many messages in one array",
                saw=len(items),
                want=f"at most {self.config.max_calls}",
                setting="max_calls",
            )
        replies: list[bytes] = []
        calls: list[Call] = []
        taken = set(session.calls or ()) if session is not None else set()
        for item in items:
            id: bytes | None = None
            try:
                message = jsonrpc.decode(item)
                id = message.id
                if message.method == "initialize":
                    raise errors.McpError(
                        errors.INVALID_REQUEST, "Invalid request: initialize must not be part of a batch"
                    )
                if message.method is None:
                    self.rules.response(message, session)
                    continue
                if id is None:
                    self.rules.notification(message, session, revision, head)
                    continue
                refuse_twice(taken, id, self.config)
                found = self.rules.request(message, session, revision, head)
            except errors.McpError as error:
                replies.append(self.rules.error(id, error))
                continue
            if isinstance(found, bytes):
                replies.append(_framing.result(id, found))
            else:
                calls.append(new_call(found, self.rules, False))
                taken.add(id)
        if session is not None:
            session.accept(now)
            session.ready = True
        if not replies and not calls:
            return ACCEPTED
        return Batch(replies, calls)

    # --- GET and DELETE

    def get(self, head: Head, now: float) -> Decision:
        """The standing stream of a session, or the rest of one that broke. Raises RequestRefused."""
        session = self.session(head)
        if session is None:
            raise errors.RequestRefused(
                405,
                "no_session",
                "This endpoint offers no event stream without a session",
                want="Mcp-Session-Id, or POST",
            )
        self.revision(head, session)
        session.touched = now
        if head.last_event_id is None:
            stream = session.standing()
            session.attached()
            return Listen(ERA, stream, [_framing.comment(b"open")], session=session)
        point = session.resume_point(head.last_event_id)
        if point is None or not point[0].holds(point[1]):
            raise errors.RequestRefused(
                400,
                "event_gone",
                "Cannot resume: this event id is not, or no longer, kept in this session",
                saw=head.last_event_id.decode("latin-1")[:80],
                want="a Last-Event-ID of this session that is recent; without one, GET opens the standing stream",
                setting="ring_bytes, ring_events, ring_age",
            )
        stream, after = point
        if stream is session.stream:
            session.attached()
        return Listen(ERA, stream, [_framing.comment(b"resumed")], after=after, session=session)

    def delete(self, head: Head) -> Decision:
        """Ends the session and what runs in it. Raises RequestRefused."""
        session = self.session(head)
        if session is None:
            raise errors.RequestRefused(
                400, "no_session", "DELETE ends a session: name it", want="the header Mcp-Session-Id"
            )
        self.table.end(session, errors.CloseReason.SESSION_ENDED)
        return Reply(200, b"", b"")
