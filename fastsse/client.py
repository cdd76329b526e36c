"""Small blocking clients for tests, one class for each way of speaking MCP over HTTP.

A `Client` speaks one revision: `Pair` the HTTP+SSE of 2024-11-05, `Session` Streamable HTTP, `Stateless` 2026-07-28.
They are none for production: one connection per request, no reconnection, nothing in parallel. Called by `testing` and
by our own tests. Where they wait, the line has the limit.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from fastsse.errors import McpError
from fastsse.given import ParamHeader, param_headers
from fastsse.jsonrpc import ENVELOPE
from fastsse.peer import Answer, Fields, Line, ask

BOTH = "application/json, text/event-stream"
PAIR = "2024-11-05"
MODERN = "2026-07-28"

Respond = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Answers what the server asks: (method, params) → result."""

POST: Fields = [("Content-Type", "application/json")]
LIST: Fields = [*POST, ("Accept", BOTH)]


class Client:
    """A client of one revision. `dial` gives a new line, `host` is what it calls the server.

    `capabilities` are the ones it declares. What the server asks is answered by `respond`; without that it is only
    heard. `heard`: everything it was told beside answers. `status`: of its last HTTP answer. `headers` go with every
    request.
    """

    def __init__(
        self,
        dial: Callable[[], Line],
        host: str,
        revision: str,
        capabilities: dict[str, Any],
        respond: Respond | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.dial = dial
        self.host = host
        self.revision = revision
        self.capabilities = capabilities
        self.respond_with = respond
        self.headers: Fields = list((headers or {}).items())
        self.ids = itertools.count(1)
        self.asked: dict[str, str] = {}
        self.heard: list[Any] = []
        self.status = 0
        self.open: list[Answer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for answer in self.open:
            answer.close()

    # --- what tests of an app need

    def call_tool(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The CallToolResult. Raises McpError for a JSON-RPC error; a tool's own error is a result with `isError`."""
        return self.result("tools/call", {"name": name, "arguments": arguments})

    def list_tools(self) -> list[dict[str, Any]]:
        return self._pages("tools/list", "tools")

    def list_resources(self) -> list[dict[str, Any]]:
        return self._pages("resources/list", "resources")

    def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents."""
        return self.result("resources/read", {"uri": uri})["contents"]  # type: ignore[no-any-return]

    def list_prompts(self) -> list[dict[str, Any]]:
        return self._pages("prompts/list", "prompts")

    def get_prompt(self, name: str, /, **arguments: str) -> list[dict[str, Any]]:
        """The messages."""
        return self.result("prompts/get", {"name": name, "arguments": arguments})["messages"]  # type: ignore[no-any-return]

    def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of any request, with its progress in `heard`. Raises McpError for a JSON-RPC error."""
        meta = {"progressToken": next(self.ids)} | (params or {}).get("_meta", {})
        response = self.request(method, {**(params or {}), "_meta": meta})
        if "error" in response:
            error = response["error"]
            raise McpError(error["code"], error["message"], error.get("data"))
        return response["result"]  # type: ignore[no-any-return]

    def _pages(self, method: str, member: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.result(method, cursor)
            found += page[member]
            if "nextCursor" not in page:
                return found
            cursor = {"cursor": page["nextCursor"]}

    def get(self, target: str, fields: Fields | None = None) -> Answer:
        """Any GET: a page, or the events of `GET /mcp`."""
        return self.ask("GET", target, None, fields or [])

    def notifications(self) -> Iterator[Any]:
        """What the server says to everybody, as it comes: its standing stream is open when this returns."""
        raise NotImplementedError

    # --- what differs

    def fields(self, method: str, params: Any) -> Fields:
        raise NotImplementedError

    def envelope(self, params: Any) -> Any:
        return params

    # --- what it says

    def ask(self, method: str, target: str, body: bytes | None, fields: Fields) -> Answer:
        answer = ask(self.dial(), self.host, method, target, body, [*fields, *self.headers], True)
        self.status = answer.status
        self.open.append(answer)
        return answer

    def start(
        self, method: str, params: Any = None, id: Any = None, fields: Fields | None = None
    ) -> tuple[Any, Answer]:
        """Sends a request; its id, and the answer that has begun."""
        id = next(self.ids) if id is None else id
        self.asked[json.dumps(id)] = method
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": self.envelope(params)}
        return id, self.post(message, self.fields(method, params) if fields is None else fields)

    def request(self, method: str, params: Any = None, id: Any = None, fields: Fields | None = None) -> Any:
        """Sends a request and reads to its response, which has the key `result` or `error`."""
        id, answer = self.start(method, params, id, fields)
        return self.finish(id, answer)

    def notify(self, method: str, params: Any = None) -> Answer:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        return self.post(message, self.fields(method, params))

    def respond(self, id: Any, result: Any) -> Answer:
        return self.post({"jsonrpc": "2.0", "id": id, "result": result}, self.fields("", None))

    def post(self, message: Any, fields: Fields) -> Answer:
        return self.ask("POST", "/mcp", strip(message), fields)

    # --- what it hears

    def see(self, message: Any) -> Any:
        """Takes one message."""
        return message

    def messages(self, answer: Answer) -> Iterator[Any]:
        if answer.type == "application/json":
            yield self.see(answer.json())
            return
        for event in answer.events():
            if event.get("data"):
                assert event.get("event", "message") == "message"
                yield self.see(json.loads(event["data"]))

    def finish(self, id: Any, answer: Answer) -> Any:
        for message in self.messages(answer):
            if "method" not in message and message.get("id", id) == id and type(message.get("id", id)) is type(id):
                return message
            if self.respond_with is not None and "id" in message:
                self.respond(message["id"], self.respond_with(message["method"], message.get("params", {})))
            else:
                self.heard.append(message)
        raise AssertionError(f"no response to {id!r}, but {self.heard}")


def strip(message: Any) -> bytes:
    """A message without params that are None."""
    if isinstance(message, dict) and message.get("params", 0) is None:
        message = {key: value for key, value in message.items() if key != "params"}
    return json.dumps(message).encode()


def hello(revision: str, capabilities: Any) -> Any:
    return {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "tests", "version": "1"}}


def spelled(value: Any) -> str:
    """As a field value at 2026-07-28: text as it is, or in base64 when it is not plain ASCII."""
    text = value if isinstance(value, str) else json.dumps(value)
    if re.fullmatch("[!-~]([ -~]*[!-~])?", text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


class Session(Client):
    """Streamable HTTP: `initialize`, then everything with the session id. `hello`: the answer to initialize."""

    def __init__(self, *given: Any, ready: bool = True) -> None:
        super().__init__(*given)
        self.id = ""
        id, answer = self.start("initialize", hello(self.revision, self.capabilities), fields=LIST)
        self.hello = self.finish(id, answer)
        assert answer.status == 200, f"initialize was answered {answer.status}: {self.hello}"
        self.id = answer.fields["mcp-session-id"]
        if ready:
            assert self.notify("notifications/initialized").status == 202

    def fields(self, method: str, params: Any) -> Fields:
        version = [("MCP-Protocol-Version", self.revision)] if self.revision >= "2025-06-18" else []
        return [*LIST, ("Mcp-Session-Id", self.id), *version]

    def listen(self, last: str | None = None) -> Answer:
        """The standing stream, or the rest of another."""
        more = [] if last is None else [("Last-Event-ID", last)]
        return self.get("/mcp", [("Accept", "text/event-stream"), *self.fields("", None)[2:], *more])

    def notifications(self) -> Iterator[Any]:
        return self.messages(self.listen())


class Pair(Client):
    """HTTP+SSE: a stream that is the session, and POSTs to where it says. `last`: the event id to go on from."""

    def __init__(self, *given: Any, last: str | None = None) -> None:
        super().__init__(*given)
        fields = [("Accept", "text/event-stream")] + ([] if last is None else [("Last-Event-ID", last)])
        self.stream = self.get("/sse", fields)
        self.incoming = self.stream.events()
        first = next(self.incoming)
        assert first["event"] == "endpoint"
        self.uri = first["data"]
        self.last = ""
        if last is None:
            # The one message that no schema knows: guide N's clients wait for it.
            self.welcome = json.loads(next(self.incoming)["data"])
            self.hello = self.request("initialize", hello(self.revision, self.capabilities))
            assert self.notify("notifications/initialized").status == 202

    def fields(self, method: str, params: Any) -> Fields:
        return POST

    def post(self, message: Any, fields: Fields) -> Answer:
        answer = self.ask("POST", self.uri, strip(message), fields)
        assert answer.status != 202 or answer.body == b"Accepted"
        return answer

    def messages(self, answer: Answer) -> Iterator[Any]:
        for event in self.incoming:
            if "data" in event:
                assert event["event"] == "message"
                self.last = event["id"]
                yield self.see(json.loads(event["data"]))

    def notifications(self) -> Iterator[Any]:
        """Those that came while an answer was waited for come first: there is one stream for both."""
        while (message := self.heard.pop(0) if self.heard else next(self.messages(self.stream), None)) is not None:
            yield message


class Stateless(Client):
    """2026-07-28: every request says all about itself. `mirrored`: what `call_tool` has learned of tools."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.mirrored: dict[str, tuple[ParamHeader, ...]] = {}

    def call_tool(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        if name not in self.mirrored:
            self.mirrored = {tool["name"]: param_headers(tool["inputSchema"], name) for tool in self.list_tools()}
        return super().call_tool(name, **arguments)

    def fields(self, method: str, params: Any) -> Fields:
        found = [*LIST, ("MCP-Protocol-Version", self.revision), ("Mcp-Method", method)]
        name = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
        if name is not None and isinstance(params, dict) and isinstance(params.get(name), str):
            found.append(("Mcp-Name", spelled(params[name])))
        if method == "tools/call" and isinstance(params, dict):
            for one in self.mirrored.get(str(params.get("name")), ()):
                value: Any = params.get("arguments")
                for key in one.path:
                    value = value.get(key) if isinstance(value, dict) else None
                if value is not None:
                    found.append((one.header.decode(), spelled(value)))
        return found

    def envelope(self, params: Any) -> Any:
        declared = {
            ENVELOPE + "protocolVersion": self.revision,
            ENVELOPE + "clientCapabilities": self.capabilities,
        }
        return {**(params or {}), "_meta": declared | (params or {}).get("_meta", {})}

    def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        meta = {ENVELOPE + "logLevel": "info"} | (params or {}).get("_meta", {})  # the level of a new session
        params = {**(params or {}), "_meta": meta}
        found = super().result(method, params)
        while found.get("resultType") == "input_required" and self.respond_with is not None:
            answers = {
                key: self.respond_with(asked["method"], asked.get("params", {}))
                for key, asked in found["inputRequests"].items()
            }
            again = {**params, "inputResponses": answers, "requestState": found["requestState"]}
            found = super().result(method, again)
        return found

    def listen(self, id: Any = None, **wanted: Any) -> tuple[Any, Iterator[Any], Answer]:
        """Subscribes; the id, what comes (the acknowledgment first), and the answer."""
        id, answer = self.start("subscriptions/listen", {"notifications": wanted}, id)
        return id, self.messages(answer), answer

    def notifications(self) -> Iterator[Any]:
        _, found, _ = self.listen(toolsListChanged=True, resourcesListChanged=True, promptsListChanged=True)
        next(found)
        return found
