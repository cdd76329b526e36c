"""The HTTP+SSE pair of 2024-11-05: `GET /sse` is the session, `POST /message?sessionId=` feeds it.

Every answer travels on the stream, the POST gets 202 (or, for a message that cannot be taken, a refusal).
Any handshake revision may be negotiated here. A lost stream leaves its session for a while: a browser that
reconnects with `Last-Event-ID` gets the same session and what it missed; event ids carry the session's id,
which is its secret. Spec: 2024-11-05 basic/transports; the two guides; design §1 and §3.
"""

from __future__ import annotations

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import TOOLS_CALL, Head, Message
from fastsse.config import Config
from fastsse.decision import TEXT, Decision, Listen, Reply, new_call
from fastsse.handshake import Handshake, full_table, refuse_twice, unread
from fastsse.session import Session
from fastsse.shards import Table
from fastsse.stream import MESSAGE, EventStream
from fastsse.writebuffer import REPLY

ERA = "httpsse"
ACCEPTED = Reply(202, b"Accepted", TEXT, constant=True)
REFUSED = Reply(202, b"Accepted", TEXT, constant=True, failed=True)
"""The same for the client, who reads of the error on its stream."""


class HttpSse:
    """The rules of the pair. `prefix`: what the public URL puts before `/message`."""

    def __init__(self, config: Config, table: Table, rules: Handshake, prefix: bytes) -> None:
        self.config = config
        self.table = table
        self.rules = rules
        self.endpoint = prefix + b"/message?sessionId="

    def open(self, head: Head, now: float) -> Decision:
        """GET /sse: a new session, or with `Last-Event-ID` the one that was lost."""
        if head.last_event_id is not None:
            again = self._resume(head.last_event_id, head)
            if again is not None:
                return again
        session = self.table.open(True, now)
        if session is None:
            raise full_table(self.table)
        session.principal = head.principal
        session.stream = EventStream(session.id + b":", session.ring, session)
        session.ready = True
        frames = [self._endpoint(session, head)]
        params = jsonrpc.encode({"sessionId": session.id.decode()})
        frames.append(_framing.event(_framing.notification(b'"notifications/initialized"', params), MESSAGE))
        return Listen(ERA, session.stream, frames, session=session)

    def _endpoint(self, session: Session, head: Head) -> bytes:
        """The `endpoint` event: a bare URI, as JSON text only for `?endpoint=json` (guide N's letter)."""
        uri = self.endpoint + session.id
        if b"endpoint=json" in head.query.split(b"&"):
            uri = jsonrpc.encode({"endpoint": uri.decode(), "sessionId": session.id.decode()})
        return _framing.event(uri, b"endpoint")

    def _resume(self, event_id: bytes, head: Head) -> Listen | None:
        id, colon, seq = event_id.partition(b":")
        session = self.table.find(id, head.principal) if colon and seq.isdigit() and len(seq) < 20 else None
        if session is None or not session.pair or session.stream is None or not session.stream.holds(int(seq)):
            return None
        session.attached()
        return Listen(ERA, session.stream, [self._endpoint(session, head)], after=int(seq), session=session)

    def find(self, head: Head) -> Session:
        """The session that `?sessionId=` (or `session_id=`) names. Raises RequestRefused 400 or 404."""
        query = head.query
        if len(query) == 46 and query.startswith(b"sessionId="):  # as we said it
            session = self.table.find(_framing.part(query, 10, 46), head.principal)
            if session is not None and session.pair:
                return session
        for part in query.split(b"&"):
            name, _, id = part.partition(b"=")
            if name in (b"sessionId", b"session_id"):
                session = self.table.find(id if len(id) == 36 else _dashed(id), head.principal)
                if session is None or not session.pair:
                    raise errors.RequestRefused(
                        404,
                        "unknown_session",
                        "Session not found: it has ended or never was",
                        want="a session id from the endpoint event of a GET /sse stream that is open",
                        setting="session_lost",
                        code=errors.SESSION_NOT_FOUND,
                    )
                return session
        raise errors.RequestRefused(
            400,
            "no_session",
            "Missing session id",
            saw=head.target.decode("latin-1")[:200],
            want="/message?sessionId=<id>",
        )

    def post(self, head: Head, session: Session, message: Message, now: float) -> Decision:
        """One message for this session. Raises RequestRefused when the session takes no further work."""
        rules = self.rules
        if message.method is None:
            rules.response(message, session)
            session.accept(now)
            return ACCEPTED
        id = message.id
        if id is None:
            session.accept(now)
            rules.notification(message, session, session.revision, head)
            return ACCEPTED
        stream = session.stream
        assert stream is not None
        if stream.full():
            raise unread(self.config)
        try:
            if message.method is not TOOLS_CALL and message.method == "initialize":
                revision, capabilities = rules.proposed(message)
                rules.settle(session, revision, capabilities)
                found = rules.initialize(message, session, head)
            else:
                if session.calls:
                    refuse_twice(session.calls, id, self.config)
                found = rules.request(message, session, session.revision, head)
            if not isinstance(found, bytes):
                session.accept(now)
                return new_call(found, rules, True, False, stream, ACCEPTED)  # by name it would be a Python call
        except errors.McpError as error:
            session.accept(now)
            stream.send(_framing.event(rules.error(id, error), MESSAGE), REPLY)
            return REFUSED
        session.accept(now)
        stream.send(_framing.result_event(id, found, MESSAGE), REPLY)
        return ACCEPTED


def _dashed(id: bytes) -> bytes:
    """The Python SDK's spelling of a UUID, 32 hex digits, as ours."""
    if len(id) != 32:
        return b""
    return b"-".join((id[:8], id[8:12], id[12:16], id[16:20], id[20:]))
