"""MCP by hand, for client stacks that know HTTP and event streams but not MCP.

A driver brings two functions of its library: `listen(url, headers)` yields the events of a GET as (name, data), and
`post(url, body, headers)` yields a `Reply`. `talk` walks through the demo app with them. On `/sse` answers are taken
from the stream that was opened first; on `/mcp` from the reply, JSON or event stream. In mode "plain" nothing is said
that the bare curl line of a guide does not say: no session, no `Accept`, no version.
"""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urljoin

from driver import COUNTDOWN, DEMO

REVISION = "2025-11-25"
Event = tuple[str, str]
Message = dict[str, Any]


@dataclass
class Reply:
    """An answer to a POST. `headers` have lower-case names; an event stream is in `events`, anything else in `body`."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    events: Iterator[Event] = field(default_factory=lambda: iter(()))

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


Listen = Callable[[str, dict[str, str]], Iterator[Event]]
Post = Callable[[str, bytes, dict[str, str]], Reply]


class Conversation:
    """Sends requests and gives back everything that was heard up to the answer, the answer last."""

    def __init__(self, args: Namespace, listen: Listen, post: Post) -> None:
        self.post = post
        self.ids = count(1)
        self.notifications: list[str] = []
        self.headers = {"Content-Type": "application/json"}
        self.stream: Iterator[Event] | None = None
        self.target = args.url
        if args.transport == "sse":
            self.stream = listen(args.url, {"Accept": "text/event-stream"})
            name, data = next(self.stream)
            if name != "endpoint":
                raise SystemExit(f"the first event is {name!r}, not endpoint")
            self.target = urljoin(args.url, data)
        elif args.mode != "plain":
            self.headers["Accept"] = "application/json, text/event-stream"

    def send(self, message: Message) -> Reply:
        reply = self.post(self.target, json.dumps({"jsonrpc": "2.0"} | message).encode(), self.headers)
        if "mcp-session-id" in reply.headers:
            self.headers |= {"Mcp-Session-Id": reply.headers["mcp-session-id"], "MCP-Protocol-Version": REVISION}
        return reply

    def notify(self, method: str) -> int:
        return self.send({"method": method}).status

    def ask(self, method: str, params: Message | None = None) -> list[Message]:
        number = next(self.ids)
        reply = self.send({"id": number, "method": method} | ({"params": params} if params is not None else {}))
        if self.stream is None and not reply.is_stream:
            return [json.loads(reply.body)]
        heard = []
        for name, data in self.stream or reply.events:
            if name == "message" and data:
                heard.append(json.loads(data))
                if heard[-1].get("id") == number:
                    self.notifications += [message["method"] for message in heard[:-1]]
                    return heard
        raise SystemExit(f"the stream ended without an answer to {method}")

    def result(self, method: str, params: Message | None = None) -> Message:
        answer = self.ask(method, params)[-1]
        if "result" not in answer:
            raise SystemExit(f"{method}: {answer}")
        return dict(answer["result"])


def talk(args: Namespace, listen: Listen, post: Post) -> dict[str, Any]:
    """The walk through the demo app; the report of a driver without `closed`."""
    peer = Conversation(args, listen, post)
    seen: dict[str, Any] = {"progress": []}
    if args.mode != "plain":
        client = {"name": "by hand", "version": "1"}
        hello = peer.result("initialize", {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client})
        seen["revision"], seen["server"] = hello["protocolVersion"], hello["serverInfo"]["name"]
        seen["accepted"] = peer.notify("notifications/initialized")
    seen["tools"] = [tool["name"] for tool in peer.result("tools/list")["tools"]]
    called = peer.result("tools/call", {"name": DEMO["echo"], "arguments": {"text": args.payload}})
    seen["echo"] = called["content"][0]["text"]
    called = peer.result("tools/call", {"name": DEMO["add"], "arguments": {"a": 2, "b": 3}})
    seen["add"] = called["content"][0]["text"]
    for run in range(args.runs):
        meta = {"progressToken": f"run-{run}"}
        heard = peer.ask("tools/call", {"name": DEMO["progress"], "arguments": COUNTDOWN, "_meta": meta})
        own = [message["params"] for message in heard if message.get("params", {}).get("progressToken") == f"run-{run}"]
        seen["progress"].append([[params["progress"], params.get("total")] for params in own])
    seen["resources"] = [item["uri"] for item in peer.result("resources/list")["resources"]]
    templates = peer.result("resources/templates/list")["resourceTemplates"]
    seen["templates"] = [item["uriTemplate"] for item in templates]
    seen["resource"] = peer.result("resources/read", {"uri": DEMO["resource"]})["contents"][0]["text"]
    seen["templated"] = peer.result("resources/read", {"uri": DEMO["templated"]})["contents"][0]["text"]
    seen["prompts"] = [item["name"] for item in peer.result("prompts/list")["prompts"]]
    prompt = peer.result("prompts/get", {"name": DEMO["prompt"], "arguments": {"name": DEMO["name"]}})
    seen["prompt"] = prompt["messages"][0]["content"]["text"]
    answer = peer.ask("tools/call", {"name": DEMO["unknown"], "arguments": {}})[-1]
    seen["unknown"] = answer.get("error") or {"isError": answer["result"].get("isError")}
    return seen | {"notifications": sorted(set(peer.notifications))}
