"""The stateless revision, 2026-07-28: every POST says all about itself, nothing is remembered.

The ladder of checks is `post`, in the order of reference §2.4; what differs between tools (mirrored headers,
capabilities that are needed) was compiled when they were registered. Questions to the client end a round
with `input_required`; the answers so far come back in `requestState`, which is signed and bound to
principal, method, arguments and time. Spec: 2026-07-28 basic/transports, basic/versioning, server/*.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from fastsse import _framing, errors, jsonrpc
from fastsse._framing import TOOLS_CALL, Head, Message
from fastsse.config import Config
from fastsse.decision import ACCEPTED, Accepts, Call, Decision, Era, Listen, Reply, answer, new_call
from fastsse.errors import McpError
from fastsse.handler import Answer, Catalog, ParamHeader, Request, Result, new_request
from fastsse.jsonrpc import ENVELOPE, UNSET, Meta
from fastsse.questions import Question
from fastsse.revisions import MODERN, R5
from fastsse.session import LEVELS, covers
from fastsse.stream import Event, EventStream
from fastsse.writebuffer import REPLY

ERA = "stateless"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
LISTS = frozenset(("tools/list", "resources/list", "resources/templates/list", "prompts/list"))
CACHED = LISTS | {"resources/read", "server/discover"}
REMOVED = frozenset(("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"))
KINDS = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
KEPT = 1000
"""Pages and tool names that are kept until what is offered changes."""
COMPLETE = b'{"resultType":"complete"'
CALLS = TOOLS_CALL.encode()
COMPLETE_MORE = COMPLETE + b","
SENTINEL = b"=?base64?"
SENTINEL_END = b"?="


class Stateless(Era):
    """The rules. `wall()` gives seconds since 1970; `key` signs requestState."""

    def __init__(
        self, config: Config, catalog: Catalog, key: bytes, wall: Callable[[], float], check_room: Callable[[], None]
    ) -> None:
        super().__init__(ERA, True, errors.MODERN_STATUS)
        self.config = config
        self.catalog = catalog
        self.key = key
        self.wall = wall
        self.check_room = check_room
        self.server_info = {ENVELOPE + "serverInfo": catalog.implementation(R5)}
        self.tail = b',"_meta":' + jsonrpc.encode(self.server_info) + b"}"
        ttl, scope = catalog.cache_hint
        self.cache = b',"ttlMs":%d,"cacheScope":"%b"' % (ttl, scope.encode())
        self.no_cache = b',"ttlMs":0,"cacheScope":"private"'
        self.lists: dict[tuple[str, str | None], bytes] = {}
        self.plain: set[str] = set()
        self.epoch = -1

    # --- the ladder

    def post(self, head: Head, message: Message, accepts: Accepts, now: float) -> Decision:
        """One message; every way out is a decision."""
        id = message.id
        try:
            if message.method is None:
                raise errors.McpError(
                    errors.INVALID_REQUEST, "Invalid request: responses are not accepted in this revision"
                )
            if id is None:
                return ACCEPTED
            self._envelope(head, message)
            return self._request(head, message, id, accepts)
        except errors.McpError as error:
            return Reply(self.status(error), self.error(id, error), failed=True)

    def _envelope(self, head: Head, message: Message) -> None:
        """`_meta`, the routing headers, the version; raises McpError."""
        meta: Meta | None = message.meta
        method = message.method
        assert method is not None
        if head.repeated:
            for name in (b"mcp-protocol-version", b"mcp-method", b"mcp-name"):
                if len(head.all(name)) > 1:
                    raise errors.McpError(errors.HEADER_MISMATCH, f"Header {name.decode()} is there more than once")
        if meta is None or meta.version is None or meta.capabilities is None:
            missing = "protocolVersion" if meta is None or meta.version is None else "clientCapabilities"
            raise errors.InvalidParams(f"params._meta[{ENVELOPE + missing!r}] is required")
        version = head.protocol_version
        if version != meta.version:
            said = "absent" if version is None else version.decode("latin-1")[:40]
            stands = meta.version.decode()[:40]
            raise errors.McpError(
                errors.HEADER_MISMATCH, f"MCP-Protocol-Version is {said}, but params._meta says {stands}"
            )
        if head.mcp_method != (CALLS if method is TOOLS_CALL else method.encode()):
            said = "absent" if head.mcp_method is None else head.mcp_method.decode("latin-1")[:80]
            raise errors.McpError(
                errors.HEADER_MISMATCH, f"Mcp-Method is {said}, but the message's method is {method[:80]}"
            )
        if meta.version != R5.wire and meta.version.decode() not in MODERN:
            requested = meta.version.decode()
            raise errors.McpError(
                errors.UNSUPPORTED_VERSION,
                f"Unsupported protocol version: {requested[:40]}",
                {"supported": list(MODERN), "requested": requested},
            )
        if meta.log_level is not UNSET:
            _check_level(meta.log_level)

    def _request(self, head: Head, message: Message, id: bytes, accepts: Accepts) -> Decision:
        method = message.method
        meta: Meta = message.meta
        assert method is not None
        name = message.name or ""
        if method is TOOLS_CALL and name in self._plain_tools():  # nearly every request
            self._name_header(head, name)
            return self._call(head, message, name, accepts)
        field = NAMED.get(method)
        if field is not None:
            name = (message.name if field == "name" else message.uri) or ""
            if name:
                self._name_header(head, name)
        if method in REMOVED or not (
            method in ("server/discover", "subscriptions/listen") or self.catalog.serves(method)
        ):
            raise errors.MethodNotFound(method, {"supported": list(MODERN)} if method == "initialize" else None)
        if message.wrong is not None:
            raise message.wrong
        if field is not None and not name:
            raise errors.InvalidParams(f"params.{field} is required")
        if method is TOOLS_CALL:
            mirrored = self.catalog.param_headers(name)
            if mirrored:
                self._param_headers(head, mirrored, message.arguments)
            elif len(self.plain) < KEPT and not self.catalog.required_capabilities(method, name):
                self.plain.add(name)
        if method == "subscriptions/listen":
            return self._listen(head, message, id)
        if method == "server/discover":
            return answer(_framing.result(id, self._discover()), accepts)
        if method in LISTS:
            page = self._listing(method, message.cursor)
            if page is not None:
                return answer(_framing.result(id, page), accepts)
        self._needs(method, name, meta.capabilities or {})
        return self._call(head, message, name, accepts)

    def _plain_tools(self) -> set[str]:
        """Names of tools that were called, mirror no argument and need nothing of the client."""
        if self.epoch != self.catalog.epoch:
            self._current()
        return self.plain

    def _call(self, head: Head, message: Message, name: str, accepts: Accepts) -> Call:
        meta: Meta = message.meta
        request = new_request(message, name, R5, None, head)
        request.capabilities = meta.capabilities
        request.principal = head.principal
        if message.request_state is not None or message.input_responses is not None:
            request.answers = self._answers(request, message)
        return new_call(request, self, accepts.sse, accepts.sse_first)

    def _name_header(self, head: Head, name: str) -> None:
        said = head.mcp_name
        if said is None:
            raise errors.McpError(errors.HEADER_MISMATCH, f"Mcp-Name is absent, but the message names {name[:80]}")
        if decoded(said) != name.encode():
            raise errors.McpError(
                errors.HEADER_MISMATCH, f"Mcp-Name is {said.decode('latin-1')[:80]}, but the message names {name[:80]}"
            )

    def _param_headers(self, head: Head, mirrored: tuple[ParamHeader, ...], arguments: bytes) -> None:
        """Every annotated argument must be mirrored, and mirrored as it is (reference §2.3)."""
        found = jsonrpc.value(arguments) if arguments else {}
        for one in mirrored:
            value: Any = found
            for key in one.path:
                value = value.get(key) if isinstance(value, dict) else None
            said = head.get(one.header)
            label = one.header.decode()
            if said is None:
                if value is not None:
                    raise errors.McpError(
                        errors.HEADER_MISMATCH, f"{label} is absent, but the argument {'.'.join(one.path)} is there"
                    )
                continue
            if value is None:
                raise errors.McpError(
                    errors.HEADER_MISMATCH, f"{label} is there, but the argument {'.'.join(one.path)} is not"
                )
            if len(head.all(one.header)) > 1 or not _mirrors(decoded(said), value, one.type):
                raise errors.McpError(
                    errors.HEADER_MISMATCH, f"{label} does not match the argument {'.'.join(one.path)}"
                )

    def _needs(self, method: str, name: str, capabilities: dict[str, Any]) -> None:
        required = self.catalog.required_capabilities(method, name)
        if required and not declares(capabilities, required):
            first = next(iter(required))
            raise errors.ClientLacks(first, required)

    # --- what the rules answer themselves

    def _discover(self) -> bytes:
        page = self._current().get(("server/discover", None))
        if page is None:
            found: dict[str, Any] = {"supportedVersions": list(MODERN), "capabilities": self.catalog.capabilities(R5)}
            if self.catalog.instructions is not None:
                found["instructions"] = self.catalog.instructions
            page = self.lists[("server/discover", None)] = self._complete("server/discover", jsonrpc.encode(found))
        return page

    def _listing(self, method: str, cursor: str | None) -> bytes | None:
        page = self._current().get((method, cursor))
        if page is None:
            body = self.catalog.listing(method, cursor, R5)
            if body is None:
                return None
            page = self._complete(method, body)
            if len(self.lists) < KEPT:
                self.lists[(method, cursor)] = page
        return page

    def _current(self) -> dict[tuple[str, str | None], bytes]:
        if self.epoch != self.catalog.epoch:
            self.lists.clear()
            self.plain.clear()
            self.epoch = self.catalog.epoch
        return self.lists

    def _complete(
        self, method: str, body: bytes, meta: dict[str, Any] | None = None, hint: bytes | None = None
    ) -> bytes:
        """A result object with what this revision adds: resultType, caching hints, serverInfo."""
        members = b"" if body == b"{}" else b"," + body[1:-1]
        cache = (self.cache if hint is None else hint) if method in CACHED else b""
        tail = self.tail if not meta else b',"_meta":' + jsonrpc.encode({**meta, **self.server_info}) + b"}"
        return COMPLETE + cache + members + tail

    # --- subscriptions/listen

    def _listen(self, head: Head, message: Message, id: bytes) -> Decision:
        wanted = jsonrpc.object_of(message.params).get("notifications")
        if not isinstance(wanted, dict):
            raise errors.InvalidParams("params.notifications must be an object that says what to listen to")
        uris = wanted.get("resourceSubscriptions")
        if uris is not None and not (isinstance(uris, list) and all(isinstance(uri, str) for uri in uris)):
            raise errors.InvalidParams("params.notifications.resourceSubscriptions must be an array of URIs")
        if uris is not None and len(uris) > self.config.max_subscriptions:
            raise errors.InvalidParams(
                f"params.notifications.resourceSubscriptions names {len(uris)} resources, at most"
                f" {self.config.max_subscriptions} are allowed (setting max_subscriptions)"
            )
        self.check_room()
        capabilities = self.catalog.capabilities(R5)
        honoured: dict[str, Any] = {}
        methods: set[str] = set()
        for kind, method in KINDS.items():
            area = "resources" if kind.startswith("resources") else kind.partition("List")[0]
            if wanted.get(kind) is True and capabilities.get(area, {}).get("listChanged"):
                honoured[kind] = True
                methods.add(method)
        if uris and capabilities.get("resources", {}).get("subscribe"):
            honoured["resourceSubscriptions"] = uris
        else:
            uris = []
        stream = EventStream(b"", None)
        listener = Listener(stream, id, frozenset(methods), frozenset(uris), self)
        return Listen(ERA, stream, [listener.acknowledgment(honoured)], audience=listener, principal=head.principal)

    # --- Era

    def reply(self, request: Request, answer: Answer) -> bytes:
        hint = self.no_cache if request.answers is not None else None
        if isinstance(answer, Result):
            return _framing.result(request.id, self._complete(request.method, answer.body, answer.meta, hint))
        if request.method is TOOLS_CALL:
            if answer == b"{}":
                return _framing.result(request.id, COMPLETE + self.tail)
            return _framing.wrapped_result(request.id, COMPLETE_MORE, answer, self.tail)
        return _framing.result(request.id, self._complete(request.method, answer, None, hint))

    def failure(self, request: Request, error: errors.McpError) -> bytes:
        return self.error(request.id, error)

    def error(self, id: bytes | None, error: errors.McpError) -> bytes:
        """An encoded error response; -32002 is -32602 here."""
        code = errors.INVALID_PARAMS if error.code == errors.RESOURCE_NOT_FOUND else error.code
        return _framing.error(id, jsonrpc.error_object(code, error.message, error.data))

    def status(self, error: errors.McpError) -> int:
        code = errors.INVALID_PARAMS if error.code == errors.RESOURCE_NOT_FOUND else error.code
        return self.era_status.get(code, 200)

    def open_stream(self, call: Call) -> EventStream:
        return EventStream(b"", None)

    def input_required(self, request: Request, open: dict[str, Question], answered: dict[str, object]) -> bytes:
        asked = {key: {"method": question.method, "params": question.params} for key, question in open.items()}
        state = self._state(request, answered)
        body = {
            "resultType": "input_required",
            "inputRequests": asked,
            "requestState": state,
            "_meta": self.server_info,
        }
        return _framing.result(request.id, jsonrpc.encode(body))

    # --- requestState

    def _seal(self, request: Request, payload: bytes) -> bytes:
        bound = (
            payload,
            request.method.encode(),
            request.name.encode(),
            jsonrpc.canonical(request.arguments),
            b"" if request.principal is None else request.principal.key.encode(),
        )
        digest = hmac.new(self.key, digestmod=hashlib.sha256)
        for part in bound:
            digest.update(b"%d:" % len(part) + part)
        return digest.digest()

    def _state(self, request: Request, answered: dict[str, object]) -> str:
        payload = jsonrpc.encode({"answers": answered, "until": self.wall() + self.config.state_ttl})
        return base64.urlsafe_b64encode(self._seal(request, payload) + payload).decode()

    def _answers(self, request: Request, message: Message) -> dict[str, Any]:
        """All answers so far: those sealed in requestState and those that came now. Raises InvalidParams."""
        answers: dict[str, Any] = {}
        if message.request_state is not None:
            try:
                sealed = base64.b64decode(message.request_state.encode(), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                sealed = b""
            payload = sealed[32:]
            if len(sealed) < 32 or not hmac.compare_digest(sealed[:32], self._seal(request, payload)):
                raise errors.InvalidParams("Invalid or expired requestState")
            state = jsonrpc.value(payload)
            if state["until"] < self.wall():
                raise errors.InvalidParams("Invalid or expired requestState")
            answers.update(state["answers"])
        if message.input_responses is not None:
            responses = jsonrpc.value(message.input_responses)
            if not isinstance(responses, dict) or not all(isinstance(answer, dict) for answer in responses.values()):
                raise errors.InvalidParams("params.inputResponses must be an object of result objects")
            answers.update(responses)
        return answers


class Listener:
    """One `subscriptions/listen`: what it asked for, and its id as the tag of every frame."""

    __slots__ = ("id", "meta", "methods", "rules", "stream", "uris")

    def __init__(
        self, stream: EventStream, id: bytes, methods: frozenset[str], uris: frozenset[str], rules: Stateless
    ) -> None:
        self.stream = stream
        self.id = id
        self.methods = methods
        self.uris = uris
        self.rules = rules
        self.meta = b'{"' + (ENVELOPE + "subscriptionId").encode() + b'":' + id + b"}"

    def acknowledgment(self, honoured: dict[str, Any]) -> bytes:
        params = b'{"notifications":' + jsonrpc.encode(honoured) + b',"_meta":' + self.meta + b"}"
        return _framing.event(_framing.notification(b'"notifications/subscriptions/acknowledged"', params), b"message")

    def offer(self, event: Event) -> None:
        if event.uri is None:
            if event.method not in self.methods:
                return
        elif not covers(self.uris, event.uri):
            return
        self.stream.send(_framing.event(_framing.tag(event.message, self.meta), b"message"), event.kind, event.key)

    def finish(self, reason: errors.CloseReason) -> None:
        """The server ends the subscription: its result, then the end of the stream."""
        rules = self.rules
        meta = (
            b',"_meta":'
            + jsonrpc.encode({ENVELOPE + "subscriptionId": jsonrpc.value(self.id), **rules.server_info})
            + b"}"
        )
        self.stream.send(_framing.result_event(self.id, COMPLETE + meta, b"message"), REPLY)
        self.stream.end(reason)


def _check_level(level: Any) -> None:
    if not isinstance(level, str) or level not in LEVELS:
        raise errors.InvalidParams(f"params._meta[{ENVELOPE + 'logLevel'!r}] must be one of {', '.join(LEVELS)}")


def decoded(value: bytes) -> bytes:
    """A header value with the base64 sentinel undone. Raises McpError -32020 when it cannot be."""
    if not (value.startswith(SENTINEL) and value.endswith(SENTINEL_END) and len(value) >= len(SENTINEL) + 2):
        return value
    encoded = value[len(SENTINEL) : -2]
    try:
        text = base64.b64decode(encoded, validate=True)
        text.decode()
    except (binascii.Error, ValueError):
        text = b""
    if base64.b64encode(text) != encoded:  # also what only a lenient decoder takes
        raise errors.McpError(errors.HEADER_MISMATCH, f"Not base64 of UTF-8: {value.decode('latin-1')[:80]}")
    return text


def _mirrors(said: bytes, value: Any, type: str) -> bool:
    if type == "boolean":
        return isinstance(value, bool) and said == (b"true" if value else b"false")
    if type == "integer":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        try:
            number = jsonrpc.value(said)
        except McpError:
            return False
        return isinstance(number, int | float) and not isinstance(number, bool) and number == value
    return isinstance(value, str) and said == value.encode()


def declares(declared: dict[str, Any], required: dict[str, Any]) -> bool:
    """Whether ClientCapabilities hold all that is required, member by member."""
    for key, detail in required.items():
        have = declared.get(key)
        if not isinstance(have, dict):
            return False
        if (
            isinstance(detail, dict)
            and not declares(have, detail)
            and not (key == "elicitation" and detail == {"form": {}} and not have)
        ):
            return False
    return True
