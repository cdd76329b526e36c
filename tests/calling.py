"""Requests to an App without a server: what dispatch does with work, in a few lines."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from fastsse._framing import Message
from fastsse.app import App
from fastsse.handler import ASYNC, Request, Result, Work, new_request
from fastsse.revisions import R5, REVISIONS, Revision

EVERY = tuple(REVISIONS.values())
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
every_revision = pytest.mark.parametrize("revision", EVERY, ids=lambda revision: revision.name)


def make(method: str, name: str = "", arguments: object = None, revision: Revision = R5, **params: Any) -> Request:
    raw = b"" if arguments is None else json.dumps(arguments).encode()
    whole = json.dumps(params).encode() if params else None
    message = Message.of(b"1", method, whole, arguments=raw, cursor=params.get("cursor"))
    return new_request(message, name, revision, None, cast("Any", None))


class Speaker:
    """A context that remembers what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def progress(self, *said: Any) -> None:
        self.said.append(said)

    def info(self, *said: Any) -> None:
        self.said.append(said)


def run(app: App, request: Request, context: object = None) -> dict[str, Any]:
    """The decoded result; does with work what dispatch does."""
    answer = app.handle(request)
    if isinstance(answer, Work):
        plan = answer.plan
        try:
            value = answer.run(context)
            if plan.kind == ASYNC:
                value = asyncio.run(value)
            answer = plan.encode(value, request)
        except Exception as error:
            failed = plan.failed(error, request)
            if failed is None:
                raise
            answer = failed
    if isinstance(answer, Result):
        return {**json.loads(answer.body), **({} if answer.meta is None else {"_meta": answer.meta})}
    return cast("dict[str, Any]", json.loads(answer))


def call(app: App, name: str, revision: Revision = R5, context: object = None, /, **arguments: Any) -> dict[str, Any]:
    return run(app, make("tools/call", name, arguments, revision), context)


def listed(app: App, method: str, revision: Revision = R5) -> list[dict[str, Any]]:
    page = app.listing(method, None, revision)
    assert page is not None
    (found,) = json.loads(page).values()
    return cast("list[dict[str, Any]]", found)


class Recorder:
    """A publisher."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def publish(self, method: str, params: dict[str, Any] | None) -> None:
        self.said.append((method, params))

    def broadcast(self, event: str, data: dict[str, Any]) -> None:
        self.said.append((event, data))


def fill(app: App, count: int) -> None:
    for n in range(count):
        app.add_tool(lambda: "", name=f"n{n}")
        app.add_prompt(lambda: "", name=f"n{n}")
        app.add_resource(f"demo://n{n}", lambda: "", name=f"n{n}")
        app.add_resource(f"demo://n{n}/{{x}}", lambda x: x, name=f"n{n}")
