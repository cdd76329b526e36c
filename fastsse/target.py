"""What `python -m fastsse TARGET` means: `module:app`, `path/file.py:app`, either without `:app`, or the demo.

Imports the user's code and refuses, in one sentence, what is not there or is no app. An exception inside the user's
code is shown with the part of its traceback that is theirs. Called by `__main__`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from fastsse.errors import FastsseError
from fastsse.hosting import servable

if TYPE_CHECKING:
    from fastsse.hosting import Servable

DEMO = "fastsse.demo:app"


class TargetError(FastsseError):
    """The target cannot be served; the message says why, and may hold the traceback of the user's code."""


def split(target: str) -> tuple[str, str]:
    """Module name or path, and attribute; the attribute is `app` when none is given."""
    source, colon, attribute = target.rpartition(":")
    if not colon or target.endswith(".py") or "/" in attribute or "\\" in attribute:  # C:\folder has a colon too
        return target, "app"
    return source, attribute


def is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source or "\\" in source


def folder(target: str) -> Path:
    """Where the target's sources lie: the file's folder, or the current one."""
    source, _ = split(target)
    return Path(source).resolve().parent if is_file(source) else Path.cwd()


def load(target: str = DEMO) -> Servable:
    """The app that `target` names. Raises TargetError."""
    source, attribute = split(target)
    home = str(folder(target))
    if home not in sys.path:
        sys.path.insert(0, home)
    found: object = _file(Path(source)) if is_file(source) else _module(source)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise TargetError(f"{source} has no attribute {attribute!r}; {_offers(found)}")
        found = getattr(found, name)
    if not servable(found):
        raise TargetError(f"{source}:{attribute} is {_kind(found)}, but must be a fastsse App or an MCP SDK's server")
    return cast("Servable", found)


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"of type {type(found).__name__}"


def _offers(found: object) -> str:
    apps = [name for name, value in vars(found).items() if servable(value)] if isinstance(found, ModuleType) else []
    return f"its apps: {', '.join(apps)}" if apps else "it has no app"


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is no Python source; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TargetError(f"{path} cannot be imported:\n{_theirs(error)}") from error
    return module


def _module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is no module name; a target is module:app or path/file.py:app")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(f"there is no module {error.name!r} (looked for {name} in {sys.path[0]})") from None
        raise TargetError(f"{name} cannot be imported:\n{_theirs(error)}") from error
    except Exception as error:
        raise TargetError(f"{name} cannot be imported:\n{_theirs(error)}") from error


def _theirs(error: Exception) -> str:
    """The traceback without our frames and those of the import machinery."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    shown = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    return "".join([*shown, *traceback.format_exception_only(error)]).rstrip()
