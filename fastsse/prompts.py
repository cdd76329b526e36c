"""Prompt: a function that gives messages to begin with. Completion: one that completes an argument while it is typed.

Keep nothing between requests. Arguments arrive as strings and are converted to the parameters' types; what does not fit
or is missing is InvalidParams. Called by `App`. MCP server/prompts, server/utilities/completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastsse import jsonrpc, schema, signature
from fastsse.content import Block, Message
from fastsse.errors import ConfigError, InvalidParams
from fastsse.offer import Function, Offer, Options, name_of
from fastsse.schema import UNREADABLE, Arguments, Completing

if TYPE_CHECKING:
    from fastsse.handler import Answer, Request
    from fastsse.revisions import Revision

MOST_VALUES: Final = 100
"""What one completion may hold (MCP server/utilities/completion)."""


class PromptOptions(Options, total=False):
    """A prompt's name is that of its function unless another is given."""

    name: str | None


class Prompt(Offer):
    """The function returns a str, a block, a Message, or a list of them; a str or block is said by the user."""

    __slots__ = ("_arguments",)

    def __init__(self, function: Function, *, name: str | None = None, **options: Any) -> None:
        name = name_of(function) if name is None else name
        what = f"Prompt {name!r}"
        super().__init__(function, name, what, **options)
        self._arguments = Arguments(function, self.signature, what)
        self._call = self._arguments.call

    def _read(self, request: Request) -> Any:
        given = schema.members(request.arguments)
        for name, text in given.items():
            if not isinstance(text, str):
                raise InvalidParams(f"Invalid arguments for prompt {self.key!r}: {name!r} is no string")
        try:
            return self._arguments.convert(given)
        except UNREADABLE as error:
            raise InvalidParams(f"Invalid arguments for prompt {self.key!r}: {error}") from None

    def encode(self, value: Any, request: Request) -> Answer:
        items = value if isinstance(value, list | tuple) else [value]
        found: dict[str, Any] = {} if self.description is None else {"description": self.description}
        found["messages"] = [_message(item).render(request.revision) for item in items]
        return jsonrpc.encode(found)

    def entry(self, revision: Revision) -> dict[str, Any]:
        arguments = []
        for parameter in self.signature.parameters:
            argument: dict[str, Any] = {"name": parameter.name}
            if parameter.description:
                argument["description"] = parameter.description
            argument["required"] = parameter.default is signature.NOTHING
            arguments.append(argument)
        return self._entry(revision, {"name": self.key}, arguments=arguments or None)


def _message(value: object) -> Message:
    if isinstance(value, Message):
        return value
    if isinstance(value, str | Block):
        return Message(value)
    raise TypeError(f"a prompt returns str, blocks and Messages, not {type(value).__name__}")


class Completion(Offer):
    """The function is called with the text so far and, if it takes a second parameter, with a dict of the arguments
    that are chosen already; it returns a list of str, the best first."""

    __slots__ = ("_function", "_width")

    def __init__(self, function: Function, of: str, argument: str, **options: Any) -> None:
        what = f"Completion of {argument!r} of {of!r}"
        super().__init__(function, f"{of} {argument}", what, **options)
        self._width = len(self.signature.parameters)
        if self._width not in (1, 2):
            raise ConfigError(f"{what}: takes the text so far and, if it likes, the arguments chosen already")
        self._function = function
        self._call = self._complete

    def _complete(self, given: tuple[Any, ...], context: Any = None) -> Any:
        if self.signature.context is None:
            return self._function(*given)
        named = dict(zip((p.name for p in self.signature.parameters), given, strict=True))
        return self._function(**named, **{self.signature.context: context})

    def _read(self, request: Request) -> Any:
        params = read_completing(request.params)
        chosen = params.context.arguments if params.context is not None else {}
        return (params.argument.value, chosen)[: self._width]

    def encode(self, value: Any, request: Request) -> Answer:
        values = [] if isinstance(value, str) else list(value)
        if isinstance(value, str) or not all(isinstance(item, str) for item in values):
            raise TypeError("a completion returns a list of str")
        return encode_completion(values)


def read_completing(params: bytes) -> Completing:
    """The params of `completion/complete`. Raises InvalidParams."""
    try:
        return schema.completing(params or b"{}")
    except UNREADABLE as error:
        raise InvalidParams(f"Invalid params: {error}") from None


def encode_completion(values: list[str]) -> bytes:
    """The result with the first hundred of `values`, and how many there are."""
    found = {"values": values[:MOST_VALUES], "total": len(values), "hasMore": len(values) > MOST_VALUES}
    return jsonrpc.encode({"completion": found})
