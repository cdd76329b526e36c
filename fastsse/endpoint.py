"""The ladder that every request climbs, in two steps: its head, then its body.

The head: Host, Origin, path, method, content type, declared size; first failure wins, and nothing of the
body has been read yet. The body: one JSON-RPC message, where the eras part: the `_meta` envelope of
2026-07-28 first, the version header as a cross-check (reference §2.5), everything else is a handshake
client's. Returns decisions; refusals are raised as RequestRefused and turned into replies by `refusal`.
Called by `connection`; knows no socket and no clock.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from fastsse import docs, errors, events, jsonrpc, metrics, pages
from fastsse._framing import TOOLS_CALL, Head, Message, depth, error
from fastsse.admission import Admission, Busy, Peer
from fastsse.auth import Authentication, Denied
from fastsse.config import Config
from fastsse.decision import (
    HTML,
    PROMETHEUS,
    Accepts,
    Authenticate,
    Batch,
    Decision,
    Listen,
    Reply,
    accepts,
    wants_events,
)
from fastsse.forwarded import Proxies
from fastsse.guest import rules_for
from fastsse.handler import Catalog
from fastsse.httpsse import HttpSse
from fastsse.jsonrpc import Meta
from fastsse.principal import Principal
from fastsse.responses import JSON
from fastsse.revisions import MODERN
from fastsse.security import Guard
from fastsse.shards import Table
from fastsse.stats import Stats
from fastsse.streamable import Streamable

MCP, SSE, MESSAGE, HEALTH, READY, SESSIONS, DOCS, METRICS, METADATA = range(9)
ROUTES = {
    b"/mcp": MCP,
    b"/sse": SSE,
    b"/message": MESSAGE,
    b"/messages": MESSAGE,
    b"/health": HEALTH,
    b"/ready": READY,
    b"/sessions": SESSIONS,
    b"/docs": DOCS,
    b"/metrics": METRICS,
}
NAMES = {route: path.decode() for path, route in ROUTES.items() if path != b"/messages"}
OPEN = (HEALTH, READY, DOCS, METADATA)
"""What is there for everybody: for load balancers, and for those who want to know how to come in."""
PRIVATE = (SESSIONS, METRICS)
"""What is there for administrators, once people have to say who they are."""
(MODERN_NAME,) = (name.encode() for name in MODERN)
PATH, MESSAGE_PATH = b"/mcp", b"/message"
NAME = NAMES[MESSAGE]
ALLOWED = {MCP: b"GET, HEAD, POST, DELETE, OPTIONS", MESSAGE: b"POST, OPTIONS"}
READING = b"GET, HEAD, OPTIONS"
FORWARDING = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via")
"""One of these, whoever sends it, takes away what is for clients on this machine alone."""
VERBS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"))
"""RFC 9110 §9.1, RFC 5789. Any other may be the end of a body whose length somebody in between reads otherwise."""
KEPT = 256
"""Accept headers whose meaning is kept; there are about a dozen clients."""


class Gauges(metrics.Gauges, Protocol):
    """What only the server knows."""

    draining: bool

    def check_room(self) -> None:
        """Raises RequestRefused 503 when no further event stream is taken."""
        ...


class Endpoint:
    """The ladder of one server."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        table: Table,
        stats: Stats,
        guard: Guard,
        gauges: Gauges,
        key: bytes,
        max_body: int,
        auth: Authentication | None = None,
    ) -> None:
        self.config = config
        self.catalog = catalog
        self.table = table
        self.stats = stats
        self.guard = guard
        self.gauges = gauges
        self.max_body = max_body
        self.max_depth = config.max_depth
        self.public = (config.public_url or "").rstrip("/")
        self.prefix = urlsplit(self.public).path.rstrip("/").encode()
        rules, self.stateless, self.visitor = rules_for(config, catalog, key, gauges.wall, gauges.check_room)
        self.httpsse = HttpSse(config, table, rules, self.prefix)
        self.streamable = Streamable(config, table, rules)
        self.rules = rules
        self.admission = Admission(config)
        self.scheme = "http" if config.tls_cert is None else "https"
        self.proxies = Proxies(config.trusted_proxies) if config.trusted_proxies else None
        self.auth = auth
        self.gate: Admission | None = None  # whom requests have to ask; usually nobody
        self.set_busy(None)
        self._accepts: dict[bytes | None, Accepts] = {}
        self._accept: bytes | None = None  # the Accept that was there last
        self._reads = accepts(None)
        self._routes = dict(ROUTES)
        for path, route in ROUTES.items():
            self._routes[path + b"/"] = route
            if self.prefix:
                self._routes[self.prefix + path] = self._routes[self.prefix + path + b"/"] = route
        self._names = {path: NAMES[route] for path, route in self._routes.items()}
        self._resources = {} if auth is None else auth.resources(self.prefix.decode())
        self._routes.update(dict.fromkeys(self._resources, METADATA))

    def set_busy(self, busy: Busy | None) -> None:
        """From now on nothing new is taken, and why; None: again it is."""
        self.admission.busy = busy
        self.gate = self.admission if self.admission.asked else None

    # --- first step: the head

    def head(self, head: Head, peer: Peer, now: float) -> Decision | None:
        """What the head alone leads to; None when the body is to be read. Raises RequestRefused."""
        self.guard.check_host(head.host)
        if head.origin is not None:
            self.guard.cors(head.origin, head.host)
        route = self._where(head.path)
        method = head.method
        if method == b"OPTIONS":
            return self._preflight(head)
        if route is None:
            raise errors.RequestRefused(
                404,
                "unknown_path",
                "Not Found",
                saw=head.path.decode("latin-1")[:200],
                want="/mcp, /sse, /docs",
                setting="public_url",
            )
        if self.auth is not None and route not in OPEN:
            waits = self._recognise(self.auth, head, route, peer, now)
            if waits is not None:
                return waits
        if method == b"POST" and route in (MCP, MESSAGE):
            self._check_body(head)
            return None
        if method == b"GET" or method == b"HEAD":
            if route == MCP:
                return self._get_mcp(head, peer, now)
            if route == SSE:
                if method == b"HEAD":
                    return Reply(200, b"", b"text/event-stream")
                self._check_events(head)
                self.admission.open(self.client(head, peer), head.principal, now)
                return self.httpsse.open(head, now)
            if route != MESSAGE:
                return self._page(route, head, peer)
        if method == b"DELETE" and route == MCP:
            return self.streamable.delete(head)
        raise errors.RequestRefused(
            405, "method", "Method Not Allowed", saw=method.decode("latin-1")[:40], want=self._allowed(head).decode()
        )

    def _allowed(self, head: Head) -> bytes:
        return ALLOWED.get(self._routes.get(head.path, DOCS), READING)

    def _check_body(self, head: Head) -> None:
        if head.content_length > self.max_body:
            raise errors.RequestRefused(
                413,
                "body_too_large",
                "Request body too large",
                saw=head.content_length,
                want=f"at most {self.max_body} bytes",
                setting="max_body",
            )
        type = head.content_type
        if type == b"application/json":
            return
        media = b"" if type is None else type.partition(b";")[0].strip().lower()
        if media != b"application/json":
            raise errors.RequestRefused(
                415,
                "content_type",
                "Unsupported Media Type",
                saw=None if type is None else type.decode("latin-1")[:80],
                want="Content-Type: application/json",
            )

    def _check_depth(self, body: bytes) -> None:
        """The same limit on every interpreter, and below that of each: what readers recurse into is no larger."""
        found = depth(body)
        if found > self.max_depth:
            raise errors.RequestRefused(
                400,
                "json_depth",
                "Invalid request: JSON is nested too deeply",
                saw=found,
                want=f"at most {self.max_depth} levels",
                setting="max_depth",
            )

    def _check_events(self, head: Head) -> None:
        self.gauges.check_room()
        self.admission.check()
        if not wants_events(head):
            accept = head.accept or b""
            raise errors.RequestRefused(
                406, "accept", "Not Acceptable", saw=accept.decode("latin-1")[:80], want="Accept: text/event-stream"
            )

    def _get_mcp(self, head: Head, peer: Peer, now: float) -> Decision:
        """A session's stream, or guide C's: EventSource cannot send MCP-Protocol-Version, every SDK client does."""
        if head.method == b"HEAD":
            return Reply(200, b"", b"text/event-stream")
        if head.session_id is None or (_modern(head.protocol_version) and not self._lives(head)):
            if head.protocol_version is not None:
                raise errors.RequestRefused(
                    405,
                    "no_session",
                    "No event stream without a session at this revision",
                    want="POST, or Mcp-Session-Id",
                )
            self._check_events(head)
            self.admission.open(self.client(head, peer), head.principal, now)
            return events.listen(head, self.catalog, pages.timestamp(self.gauges.wall()))
        self._check_events(head)
        return self.streamable.get(head, now)

    def _preflight(self, head: Head) -> Reply:
        if head.origin is None:
            return Reply(200, b"", b"", b"Allow: " + self._allowed(head) + b"\r\n")
        lines = self.guard.preflight(b"", head.get(b"access-control-request-headers"))
        return Reply(200, b"", b"", lines)

    # --- who asks, and where

    def _recognise(self, auth: Authentication, head: Head, route: int, peer: Peer, now: float) -> Authenticate | None:
        """Notes in the head who asks, or says what to wait for. Raises Denied."""
        wall = self.gauges.wall()
        try:
            who = head.principal
            if who is None:
                found = auth.recognise(head, self.client(head, peer).address(), now, wall)
                if isinstance(found, Authenticate):
                    return found
                who = head.principal = found
            auth.check(who, route in PRIVATE, wall)
        except Denied as denied:
            self._challenge(auth, denied, head, peer)
            raise
        return None

    def recognised(
        self, asked: Authenticate, principal: Principal | None, head: Head, peer: Peer, now: float
    ) -> Decision | None:
        """What the head leads to, once there is what `asked` says: whom the application knows, or the issuer's keys."""
        assert self.auth is not None
        if principal is None and not asked.keys:
            denied = self.auth.unknown(head)
            self._challenge(self.auth, denied, head, peer)
            raise denied
        head.principal = principal
        return self.head(head, peer, now)

    def _challenge(self, auth: Authentication, denied: Denied, head: Head, peer: Peer) -> None:
        resource = "/sse" if self._routes.get(head.path) in (SSE, MESSAGE) else "/mcp"
        denied.metadata = auth.metadata_url(self.base(head, peer), resource)

    def client(self, head: Head, peer: Peer) -> Peer:
        """Whose request it is: of what trusted proxies bring, that of whom they name. For limits and logs."""
        return peer if self.proxies is None else self.proxies.client(head, peer)

    def base(self, head: Head, peer: Peer) -> str:
        """The URL under which the server is reached, without a path; `public_url` goes before all that is said."""
        if self.public:
            return self.public
        scheme, host = (None, None) if self.proxies is None else self.proxies.base(head, peer)
        return f"{scheme or self.scheme}://{host or (head.host or b'localhost').decode('latin-1')}"

    # --- pages

    def _page(self, route: int, head: Head, peer: Peer) -> Reply:
        catalog = self.catalog
        wall = self.gauges.wall()
        tools = catalog.tools_summary()
        if route == HEALTH:
            body = pages.health(
                name=catalog.name, version=catalog.version, tools=len(tools), sessions=self.table.count, now=wall
            )
            return Reply(200, body)
        if route == READY:
            status, body = pages.ready(self.gauges.draining)
            return Reply(status, body)
        if route == SESSIONS:
            own = self.guard.loopback and peer.local and not any(head.get(name) is not None for name in FORWARDING)
            full = own or self.auth is not None  # then it is an administrator
            ids = [id.decode() for id in self.table.ids()]
            return Reply(200, pages.sessions(self.table.count, ids, full))
        if route == METRICS:
            if head.accept is not None and b"application/json" in head.accept.lower():
                return Reply(200, metrics.as_json(self.stats, self.gauges))
            states = self.table.states()
            text = metrics.text(self.stats, self.gauges, version=catalog.version, tools=len(tools), sessions=states)
            return Reply(200, text, PROMETHEUS)
        if route == METADATA:
            assert self.auth is not None
            return Reply(200, self.auth.metadata(self.base(head, peer), self._resources[head.path]))
        page = docs.page(
            self.base(head, peer), None if self.auth else tools, name=catalog.name, version=catalog.version
        )
        return Reply(200, page, HTML, docs.EXTRA)

    # --- second step: the body

    def body(self, head: Head, body: bytes, peer: Peer, now: float) -> Decision:
        """What the message in the body leads to. Raises RequestRefused and McpError (both become replies)."""
        if len(body) > self.max_depth:
            self._check_depth(body)
        if self.visitor is not None:
            self.visitor.client = self.client(head, peer)
        if head.path != PATH and self._where(head.path) == MESSAGE:
            return self._message(head, body, peer, now)
        accept = head.accept
        reads = self._reads
        if accept != self._accept:  # most have the same
            known = self._accepts.get(accept)
            reads = accepts(accept) if known is None else known
            if known is None and len(self._accepts) < KEPT:
                self._accepts[accept] = reads
            self._accept = accept
            self._reads = reads
        if (not body or body[0] != 0x7B) and body.lstrip()[:1] == b"[":
            if _modern(head.protocol_version):
                raise errors.RequestRefused(400, "array", "Invalid request: one message per POST", want="a JSON object")
            decision = self.streamable.post_array(head, body, now)
            if self.gate is not None and isinstance(decision, Batch):
                self._ask(head, peer, len(decision.calls) + len(decision.replies), now)
            return decision
        message = jsonrpc.decode(body)
        if self.gate is not None and message.method is not None and message.id is not None:
            self._ask(head, peer, 1, now)
        if self._is_modern(head, message):
            decision = self.stateless.post(head, message, reads, now)
            if type(decision) is Listen:
                self.admission.open(self.client(head, peer), head.principal, now)
        else:
            if message.method is not TOOLS_CALL and message.method == "initialize":
                self.admission.open(self.client(head, peer), head.principal, now)
            decision = self.streamable.post(head, message, reads, now)
        if type(decision) is Reply:
            self._ruled(message, decision)
        return decision

    def _ruled(self, message: Message, reply: Reply) -> None:
        """Counts a request that the rules have answered themselves."""
        if message.id is not None and message.method is not None:
            self.stats.ruled(message.method, reply.failed)

    def _is_modern(self, head: Head, message: Message) -> bool:
        """The decision table of reference §2.5: body first, header as cross-check."""
        meta: Meta | None = message.meta
        if meta is not None and meta.version is not None:
            return True  # enveloped: whatever the header says is checked there
        if not _modern(head.protocol_version):
            return False
        # A modern header without envelope: initialize is a handshake whatever its header says, a live session
        # knows its revision (clients that never downgrade the header), everything else lacks its envelope.
        return not (message.method == "initialize" or self._lives(head))

    def _lives(self, head: Head) -> bool:
        return head.session_id is not None and self.table.find(head.session_id, head.principal) is not None

    def _ask(self, head: Head, peer: Peer, count: int, now: float) -> None:
        """Whether so many requests are served now. Raises RequestRefused."""
        session = None if head.session_id is None else self.table.find(head.session_id, head.principal)
        client = self.client(head, peer)
        self.admission.request(client, None if session is None else session.id, head.principal, count, now)

    def _message(self, head: Head, body: bytes, peer: Peer, now: float) -> Decision:
        session = self.httpsse.find(head)
        if body.startswith(b"["):
            raise errors.RequestRefused(400, "array", "Invalid request: one message per POST", want="a JSON object")
        message = jsonrpc.decode(body)
        if self.gate is not None and message.method is not None and message.id is not None:
            self.admission.request(self.client(head, peer), session.id, head.principal, 1, now)
        decision = self.httpsse.post(head, session, message, now)
        if type(decision) is Reply:
            self._ruled(message, decision)
        return decision

    # --- what every answer carries, and refusals

    def route(self, head: Head | None) -> str:
        """The route that a request is counted for."""
        if head is None:
            return "other"
        return NAME if head.path == MESSAGE_PATH else self._names.get(head.path, "other")

    def _where(self, path: bytes) -> int | None:
        """The route of a path. Nearly all requests are for two of them: those need no look-up."""
        return MCP if path == PATH else MESSAGE if path == MESSAGE_PATH else self._routes.get(path)

    def extra(self, head: Head) -> bytes:
        """The CORS lines of any answer to this request; b"" when there is no Origin or it may not come."""
        if head.origin is None:
            return b""
        try:
            return self.guard.cors(head.origin, head.host)
        except errors.RequestRefused:
            return b""

    def refusal(self, refused: errors.RequestRefused, head: Head | None, local: bool) -> Reply:
        """The reply for a refusal: a JSON-RPC error without id; what was seen and wanted is for those who may know."""
        data = refused.data()
        if (
            self.config.production
            or not local
            or (head is not None and any(head.get(name) is not None for name in FORWARDING))
        ):
            data = {"reason": refused.reason}
        extra = b""
        if refused.status == 405 and head is not None:
            extra = b"Allow: " + self._allowed(head) + b"\r\n"
        elif refused.status in (429, 503):
            extra = b"Retry-After: %d\r\n" % refused.retry_after
        elif isinstance(refused, Denied):
            extra = refused.challenge()
        body = error(None, jsonrpc.error_object(refused.code, refused.message, data))
        close = head is not None and head.method not in VERBS
        return Reply(refused.status, body, JSON, extra, close, refused.reason)

    def broken(self, wrong: errors.McpError, head: Head) -> Reply:
        """The reply for a body that is no message."""
        encoding = head.get(b"content-encoding")
        if encoding is not None:
            refused = errors.RequestRefused(
                415,
                "content_encoding",
                "Unsupported Content-Encoding",
                saw=encoding.decode("latin-1")[:80],
                want="an uncompressed body",
            )
            return self.refusal(refused, head, True)
        return Reply(400, error(None, jsonrpc.error_object(wrong.code, wrong.message, wrong.data)), reason="message")


def _modern(version: bytes | None) -> bool:
    """A version header that is not a handshake revision's: known modern, or newer than we know."""
    return version == MODERN_NAME
