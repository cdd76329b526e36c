"""A real server in a thread, and clients that speak to it over plain sockets, one for each revision.

Every message that a client sees is checked against the official schema of its revision. Every wait has a limit.
"""

import asyncio
import contextlib
import itertools
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import schemas
from fakes import MODERN, enveloped
from fastsse.app import App
from fastsse.config import Config
from fastsse.server import Server

WAIT = 10.0
BOTH = "application/json, text/event-stream"
PAIR = "2024-11-05"
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STREAMABLE = HANDSHAKE[1:]
EVERY = (*HANDSHAKE, MODERN)

Fields = list[tuple[str, str]]


@contextlib.contextmanager
def served(app: App, **settings: Any) -> Iterator[Server]:
    """A server on a free port; FASTSSE_LOOP and FASTSSE_HTTP choose as they do for the command line."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if os.environ.get("FASTSSE_LOOP") != "asyncio":
        import uvloop

        factory = uvloop.new_event_loop
    whole: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "http": os.environ.get("FASTSSE_HTTP", "auto")} | settings
    server = Server(app, Config(**whole))
    started: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()
    over = asyncio.Event()

    async def serve() -> None:
        async with server:
            started.put(asyncio.get_running_loop())
            await over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    loop = started.get(timeout=WAIT)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(WAIT)
        assert not thread.is_alive()


def port(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


class Answer:
    """The HTTP response on one connection: whole, or an event stream that is read as it comes.

    `last`: its connection is closed when it has been read.
    """

    def __init__(self, sock: socket.socket, last: bool) -> None:
        self.sock = sock
        self.last = last
        self.reading: Iterator[dict[str, str]] | None = None
        self.data = b""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        self.chunked = self.fields.get("transfer-encoding") == "chunked"
        self.type = self.fields.get("content-type", "").partition(";")[0]
        self.body = b""
        if self.type != "text/event-stream":
            self.body = b"".join(self._pieces())

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.data += data
        return bool(data)

    def _until(self, end: bytes) -> bytes:
        while end not in self.data:
            if not self._more():
                raise EOFError(self.data)
        found, _, self.data = self.data.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self.data) < size:
            if not self._more():
                raise EOFError(self.data)
        found, self.data = self.data[:size], self.data[size:]
        return found

    def _pieces(self) -> Iterator[bytes]:
        if not self.chunked:
            yield self._exactly(int(self.fields["content-length"]))
        else:
            while size := int(self._until(b"\r\n"), 16):
                yield self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        if self.last:
            self.close()

    def json(self) -> Any:
        assert self.type == "application/json", (self.status, self.fields)
        return json.loads(self.body)

    def events(self) -> Iterator[dict[str, str]]:
        """Events as they come; a comment is an event with the key "". Ends with the stream."""
        assert self.type == "text/event-stream", (self.status, self.fields, self.body)
        rest = ""
        for piece in self._pieces():
            rest += piece.decode()
            while "\n\n" in rest:
                block, _, rest = rest.partition("\n\n")
                lines = [line.partition(": ") for line in block.split("\n")]
                assert all(colon for _, colon, _ in lines), block
                assert [name for name, _, _ in lines].count("data") <= 1, block
                yield {name: value for name, _, value in lines}
        assert not rest

    def take(self, count: int) -> list[dict[str, str]]:
        """That many events with data; those behind them can still be read."""
        if self.reading is None:
            self.reading = (event for event in self.events() if "data" in event)
        return list(itertools.islice(self.reading, count))

    def close(self) -> None:
        self.sock.close()


def ask(
    server: Server,
    method: str,
    target: str,
    body: bytes | None = None,
    fields: Fields | None = None,
    on: socket.socket | None = None,
) -> Answer:
    """One request, to the letter, on a connection of its own or on the given one; its answer as far as the head."""
    sock = on or socket.create_connection(("127.0.0.1", port(server)), WAIT)
    given = fields or []
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in given):
        lines.append(f"Host: localhost:{port(server)}")
    lines += [f"{name}: {value}" for name, value in given]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))
    return Answer(sock, last=on is None)


class Client:
    """A client of one revision: the pair, a session on /mcp, or the stateless revision.

    `heard`: everything it was told beside answers. `status`: of its last HTTP answer.
    """

    def __init__(self, server: Server, revision: str, **capabilities: Any) -> None:
        self.server = server
        self.revision = revision
        self.capabilities = capabilities
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

    # what differs

    def fields(self, method: str, params: Any) -> Fields:
        raise NotImplementedError

    def envelope(self, params: Any) -> Any:
        return params

    # what it says

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

    def call(self, tool: str, arguments: Any = None, **more: Any) -> Any:
        return self.request("tools/call", {"name": tool, "arguments": arguments or {}, **more})

    def notify(self, method: str, params: Any = None) -> Answer:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        return self.post(message, self.fields(method, params))

    def respond(self, id: Any, result: Any) -> Answer:
        return self.post({"jsonrpc": "2.0", "id": id, "result": result}, self.fields("", None))

    def post(self, message: Any, fields: Fields) -> Answer:
        answer = ask(self.server, "POST", "/mcp", strip(message), fields)
        self.status = answer.status
        self.open.append(answer)
        return answer

    # what it hears

    def see(self, message: Any) -> Any:
        """Takes one message, and checks it against the schema."""
        schemas.check(self.revision, message, self.asked.get(json.dumps(message.get("id"))))
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
            self.heard.append(message)
        raise AssertionError(f"no response to {id!r}, but {self.heard}")


def strip(message: Any) -> bytes:
    """A message without params that are None."""
    if isinstance(message, dict) and message.get("params", 0) is None:
        message = {key: value for key, value in message.items() if key != "params"}
    return json.dumps(message).encode()


LIST: Fields = [("Content-Type", "application/json"), ("Accept", BOTH)]


class Session(Client):
    """Streamable HTTP: `initialize`, then everything with the session id. `hello`: the answer to initialize."""

    def __init__(self, server: Server, revision: str, ready: bool = True, **capabilities: Any) -> None:
        super().__init__(server, revision, **capabilities)
        self.id = ""
        id, answer = self.start("initialize", hello(revision, capabilities), fields=LIST)
        self.hello = self.finish(id, answer)
        self.id = answer.fields["mcp-session-id"]
        if ready:
            assert self.notify("notifications/initialized").status == 202

    def fields(self, method: str, params: Any) -> Fields:
        version = [("MCP-Protocol-Version", self.revision)] if self.revision >= "2025-06-18" else []
        return [*LIST, ("Mcp-Session-Id", self.id), *version]

    def listen(self, last: str | None = None) -> Answer:
        """The standing stream, or the rest of another."""
        more = [] if last is None else [("Last-Event-ID", last)]
        fields = [("Accept", "text/event-stream"), *self.fields("", None)[2:], *more]
        answer = ask(self.server, "GET", "/mcp", None, fields)
        self.open.append(answer)
        return answer


class Pair(Client):
    """HTTP+SSE: a stream that is the session, and POSTs to where it says."""

    def __init__(self, server: Server, revision: str = PAIR, last: str | None = None, **capabilities: Any) -> None:
        super().__init__(server, revision, **capabilities)
        fields = [("Accept", "text/event-stream")] + ([] if last is None else [("Last-Event-ID", last)])
        self.stream = ask(server, "GET", "/sse", None, fields)
        self.open.append(self.stream)
        self.incoming = self.stream.events()
        first = next(self.incoming)
        assert first["event"] == "endpoint"
        self.uri = first["data"]
        self.last = ""
        if last is None:
            # The one message that no schema knows: guide N's clients wait for it.
            self.welcome = json.loads(next(self.incoming)["data"])
            self.hello = self.request("initialize", hello(revision, capabilities))
            assert self.notify("notifications/initialized").status == 202

    def fields(self, method: str, params: Any) -> Fields:
        return LIST[:1]

    def post(self, message: Any, fields: Fields) -> Answer:
        answer = ask(self.server, "POST", self.uri, strip(message), fields)
        self.status = answer.status
        self.open.append(answer)
        assert answer.status != 202 or answer.body == b"Accepted"
        return answer

    def messages(self, answer: Answer) -> Iterator[Any]:
        for event in self.incoming:
            if "data" in event:
                assert event["event"] == "message"
                self.last = event["id"]
                yield self.see(json.loads(event["data"]))


class Stateless(Client):
    """2026-07-28: every request says all about itself."""

    def __init__(self, server: Server, revision: str = MODERN, **capabilities: Any) -> None:
        super().__init__(server, revision, **capabilities)

    def fields(self, method: str, params: Any) -> Fields:
        found = [*LIST, ("MCP-Protocol-Version", self.revision), ("Mcp-Method", method)]
        name = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
        if name is not None and isinstance(params, dict) and isinstance(params.get(name), str):
            found.append(("Mcp-Name", params[name]))
        return found

    def envelope(self, params: Any) -> Any:
        return enveloped(params, **self.capabilities)

    def listen(self, id: Any = None, **wanted: Any) -> tuple[Any, Iterator[Any], Answer]:
        """Subscribes; the id, what comes (the acknowledgment first), and the answer."""
        id, answer = self.start("subscriptions/listen", {"notifications": wanted}, id)
        return id, self.messages(answer), answer


def hello(revision: str, capabilities: Any) -> Any:
    return {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "tests", "version": "1"}}


def client(server: Server, revision: str, **capabilities: Any) -> Client:
    """A client of that revision on its own transport; the oldest on the pair."""
    kind: type[Client] = {PAIR: Pair, MODERN: Stateless}.get(revision, Session)
    return kind(server, revision, **capabilities)
