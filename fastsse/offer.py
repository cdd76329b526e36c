"""What all that an app offers has in common: options, a description, and how its function is run.

Parent of the tools, resources, prompts and completions; `App` makes them at registration, when everything that can be
known is computed, so that a request costs a decode, the call and an encode. Keeps nothing between requests. Refuses
with ConfigError what can never work.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from fastsse import signature
from fastsse.content import Json
from fastsse.errors import INTERNAL_ERROR, ConfigError, McpError, ToolError
from fastsse.handler import ASYNC, LOOP, THREAD, Answer, Plan, Request, Work, new_work

if TYPE_CHECKING:
    from fastsse.revisions import Revision

Function = Callable[..., Any]


class Options(TypedDict, total=False):
    """How something is described and run, whatever it is.

    `description` replaces the docstring. `inline`: a plain function runs on the loop, for work of microseconds;
    otherwise it runs in a thread. `timeout` in seconds; `limit`: how many at once. `requires`: the ClientCapabilities
    without which 2026-07-28 clients are refused, as `{"sampling": {}}`. `meta`: the `_meta` of its list entry.
    """

    title: str | None
    description: str | None
    icons: Iterable[Json]
    inline: bool
    timeout: float | None
    limit: int | None
    requires: dict[str, Any] | None
    meta: Json | None


class Offer:
    """One thing that requests run. `key`: what they name it by; `what`: how logs and errors name it; `sequence`: its
    place in lists."""

    __slots__ = (
        "_at_once", "_call", "description", "icons", "key", "meta", "plan", "requires", "sequence", "signature",
        "title", "what",
    )  # fmt: skip

    _call: Callable[..., Any]

    def __init__(
        self,
        function: Function,
        key: str,
        what: str,
        *,
        returns: bool = False,
        title: str | None = None,
        description: str | None = None,
        icons: Iterable[Json] = (),
        requires: dict[str, Any] | None = None,
        meta: Json | None = None,
        inline: bool = False,
        timeout: float | None = None,
        limit: int | None = None,
    ) -> None:
        self.key = key
        self.what = what
        self.sequence = 0
        self.signature = signature.read(function, what, returns=returns)
        self.title = title
        self.description = self.signature.summary or None if description is None else description
        # Copies: who registers something may go on using what it was described with.
        self.icons = [dict(icon) for icon in icons]
        self.meta = None if meta is None else copy.deepcopy(dict(meta))
        self.requires = copy.deepcopy(requires)
        kind = _kind(function, inline, what)
        if timeout is not None and not timeout > 0:
            raise ConfigError(f"{what}: timeout must be a positive number of seconds, got {timeout!r}")
        if limit is not None and limit < 1:
            raise ConfigError(f"{what}: limit must be at least 1, got {limit!r}")
        self.plan = Plan(kind, what, self.encode, self.failed, timeout, limit)
        bounded = timeout is not None or limit is not None
        self._at_once = kind == LOOP and self.signature.context is None and not bounded

    def _read(self, request: Request) -> Any:
        """What `_call` is to be called with. Raises ToolError or McpError."""
        raise NotImplementedError

    def encode(self, value: Any, request: Request) -> Answer:
        """What the function returned as an encoded result. Raises TypeError for what cannot be one."""
        raise NotImplementedError

    def failed(self, error: Exception, request: Request) -> Answer | None:
        """The answer to an exception, None when it is to become a JSON-RPC error."""
        return None

    def entry(self, revision: Revision) -> dict[str, Any]:
        """Its entry in a list, as `revision` knows it."""
        raise NotImplementedError

    def answer(self, request: Request) -> Answer | Work:
        """Its encoded answer, or the work that leads to one."""
        return self._now(request) if self._at_once else self._later(request)

    def _now(self, request: Request) -> Answer | Work:
        value: Any = None
        try:
            value = self._call(self._read(request))
            return self.encode(value, request)
        except Exception as error:
            return self._unless_awaitable(value, error, request)

    def _unless_awaitable(self, value: Any, error: Exception, request: Request) -> Answer | Work:
        """A plain function may give what is to be awaited, as wrappers do: no result, but more work."""
        if hasattr(value, "__await__"):
            return Work(self.plan, lambda _: value)
        return self._answer_to(error, request)

    def _later(self, request: Request) -> Answer | Work:
        try:
            arguments = self._read(request)
        except Exception as error:
            return self._answer_to(error, request)
        return new_work(self.plan, self._call, arguments)

    def _answer_to(self, error: Exception, request: Request) -> Answer:
        answer = self.failed(error, request)
        if answer is not None:
            return answer
        if isinstance(error, ToolError):  # as dispatch does for work
            raise McpError(INTERNAL_ERROR, str(error)) from error
        raise error

    def _entry(self, revision: Revision, found: dict[str, Any], **said: Any) -> dict[str, Any]:
        """`found` and what of the rest is there and known to `revision`."""
        if self.title is not None and revision.titles:
            found["title"] = self.title
        if self.description is not None:
            found["description"] = self.description
        found.update((key, value) for key, value in said.items() if value is not None)
        if self.icons and revision.icons:
            found["icons"] = self.icons
        if self.meta is not None and revision.titles:  # `_meta` of list entries came with `title`
            found["_meta"] = self.meta
        return found


def _kind(function: Function, inline: bool, what: str) -> int:
    called = signature.called(function)
    if inspect.isasyncgenfunction(called) or inspect.isgeneratorfunction(called):
        raise ConfigError(f"{what}: a generator has no single answer; report progress through Context instead")
    if not inspect.iscoroutinefunction(called):
        return LOOP if inline else THREAD
    if inline:
        raise ConfigError(f"{what}: inline is for plain functions; an async one runs on the loop anyway")
    return ASYNC


def name_of(function: Function) -> str:
    """The function's own name. Raises ConfigError for a lambda or an object without one."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ConfigError(f"{function!r} has no name of its own; give one with name=")
    return name
