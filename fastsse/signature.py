"""What a callable says about itself: its parameters with resolved types, where its Context goes, its docstring.

Keeps nothing. Called by `offer` at registration, never per request; `schema` reads what it found. Refuses with
ConfigError what cannot be filled from named JSON arguments: `*args`, positional-only parameters, annotations that do
not resolve.
String annotations are resolved one by one, so that a name imported only under TYPE_CHECKING harms nobody but itself.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections import ChainMap
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import fastsse
from fastsse.context import Context
from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOTHING: Final = inspect.Parameter.empty


class Parameter(NamedTuple):
    """One parameter: its type (Any without annotation), its default (NOTHING without), what the docstring says."""

    name: str
    type: Any
    default: Any
    keyword_only: bool
    description: str | None


class Signature(NamedTuple):
    """`parameters` without the Context one, which is named by `context`; `returns` is NOTHING without annotation.

    `open`: the function takes `**keywords`. `summary`: the docstring without its sections.
    """

    parameters: tuple[Parameter, ...]
    context: str | None
    returns: Any
    open: bool
    summary: str


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What runs when `function` is called: itself, what a partial holds, the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _is_context(hint: Any) -> bool:
    if get_origin(hint) in (Annotated, Union, types.UnionType):
        return any(_is_context(part) for part in get_args(hint))
    return isinstance(hint, type) and issubclass(hint, Context)


def _names(function: Callable[..., Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Where a string annotation looks: module and closure, then what is often imported for type checkers only."""
    inner: Any = inspect.unwrap(called(function))
    known: dict[str, Any] = getattr(inner, "__globals__", {})
    code = getattr(inner, "__code__", None)
    closure: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars if code else (), getattr(inner, "__closure__", None) or (), strict=False):
        try:
            closure[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return known, ChainMap(closure, known, {"Context": Context, "fastsse": fastsse})


def read(function: Callable[..., Any], what: str, *, returns: bool = True) -> Signature:
    """Reads `function`; `what` names it in errors. Without `returns` its return annotation is left alone."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {function!r} has no readable signature: {error}") from None
    spaces = _names(function)

    def resolve(name: str, annotation: Any) -> Any:
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            return get_type_hints(holder, spaces[0], spaces[1], include_extras=True)[name]
        except Exception as error:
            raise ConfigError(f"{what}: the annotation {annotation!r} of {name!r} does not resolve: {error}") from None

    summary, said = read_docstring(inspect.getdoc(called(function)) or "")
    parameters = []
    context = None
    is_open = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"{what}: parameter {parameter.name!r} cannot be given by name; arguments arrive as named JSON members"
            )
        hint = Any if parameter.annotation is NOTHING else resolve(parameter.name, parameter.annotation)
        if _is_context(hint):
            if context is not None:
                raise ConfigError(f"{what}: {context!r} and {parameter.name!r} are both annotated Context")
            context = parameter.name
            continue
        text = _annotated_text(hint) or said.get(parameter.name)
        parameters.append(
            Parameter(parameter.name, hint, parameter.default, parameter.kind is parameter.KEYWORD_ONLY, text)
        )
    answer = signature.return_annotation
    if returns and answer is not NOTHING:
        answer = _awaited(resolve("return", answer))
    return Signature(tuple(parameters), context, answer, is_open, summary)


def _awaited(hint: Any) -> Any:
    """What is there in the end when a plain function returns an awaitable of it."""
    origin = get_origin(hint)
    return get_args(hint)[-1] if isinstance(origin, type) and issubclass(origin, Awaitable) else hint


def _annotated_text(hint: Any) -> str | None:
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, str):
                return extra
    return None


# --- docstrings

_SECTION = re.compile(
    r"(args|arguments|parameters|params|other parameters|returns?|yields?|raises|examples?|notes?|warnings?|see also|"
    r"references|todo|attributes)\s*:?\s*$",
    re.IGNORECASE,
)
_ARGUMENTS = frozenset({"args", "arguments", "parameters", "params", "other parameters"})
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_SPHINX = re.compile(r":(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*?\s)?\*{0,2}(\w+)\s*:\s*(.*)")


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's prose and what it says of each parameter, in Google, NumPy or Sphinx spelling."""
    said: dict[str, list[str]] = {}
    prose: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        underlined = at < len(lines) and set(lines[at].strip()) == {"-"}
        if (heading := _SECTION.match(line)) and (underlined or line.rstrip().endswith(":")):
            at += underlined
            start = at
            while at < len(lines) and not _ends_section(lines, at, numpy=underlined):
                at += 1
            if heading[1].lower() in _ARGUMENTS:
                _read_section(lines[start:at], _NUMPY if underlined else _GOOGLE, said)
        elif line.startswith(":") and re.match(r":\w+[^:]*:", line):
            found = _SPHINX.match(line)
            target = said.setdefault(found[1], [found[2]]) if found else []
            while at < len(lines) and lines[at][:1].isspace():
                target.append(lines[at].strip())
                at += 1
        else:
            prose.append(line)
    return "\n".join(prose).strip(), {name: " ".join(filter(None, parts)).strip() for name, parts in said.items()}


def _ends_section(lines: list[str], at: int, *, numpy: bool) -> bool:
    line = lines[at]
    if not line.strip() or line[:1].isspace():
        return False
    if not numpy:
        return True
    return at + 1 < len(lines) and set(lines[at + 1].strip()) == {"-"}


def _read_section(lines: list[str], pattern: re.Pattern[str], said: dict[str, list[str]]) -> None:
    indent = next((len(line) - len(line.lstrip()) for line in lines if line.strip()), 0)
    target: list[str] = []
    for line in lines:
        if not line.strip():
            continue
        found = pattern.match(line.strip()) if len(line) - len(line.lstrip()) <= indent else None
        if found is None:
            target.append(line.strip())
            continue
        target = [found[2]] if pattern is _GOOGLE else []
        for name in found[1].split(","):
            said[name.strip()] = target
