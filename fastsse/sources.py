"""Where settings come from: flag, then FASTSSE_<NAME>, then the guides' name for it, then `.env`, then the default.

Text may carry a unit (`64KiB`, `2m`), lists are separated by commas, empty variables count as not set. Every error
names the source of the value. Pure: `__main__` hands in what it has read.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

from fastsse.config import KIB, MIB, SETTINGS, TYPES, Config, check, choices
from fastsse.entries import refusal
from fastsse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS: Final[dict[str, dict[str, float]]] = {
    "bytes": {"": 1, "B": 1, "k": KIB, "KB": KIB, "KiB": KIB, "M": MIB, "MB": MIB, "MiB": MIB},
    "s": {"": 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
    "ms": {"": 1, "ms": 1, "s": 1000},
    "": {"": 1},
}
BUILD: Final = {"FASTSSE_DEBUG"}
"""What setup.py reads."""
_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")


def parse(name: str, text: str, *, alias: bool = False) -> Any:
    """A field's value from a flag's or variable's text; raises ConfigError. Bounds are checked by `Config`."""
    setting, kind, text = SETTINGS[name], TYPES[name], text.strip()
    if kind is bool:
        if alias and setting.truth is not None:
            return text.lower() == setting.truth
        if text.lower() not in _TRUE + _FALSE:
            raise refusal(name, repr(text), "one of " + ", ".join(_TRUE + _FALSE))
        return text.lower() in _TRUE
    if kind == tuple[str, ...]:
        return tuple(entry.strip() for entry in text.split(",") if entry.strip())
    if kind not in (int, float):
        return text.lower() if choices(name) else text
    match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", text)
    units: dict[str, float] = {unit.lower(): factor for unit, factor in _UNITS[setting.unit].items()}
    if match is None or match[2].lower() not in units:
        more = f", perhaps with a unit ({', '.join(filter(None, _UNITS[setting.unit]))})" if len(units) > 1 else ""
        hint = ". Kubernetes sets such a value for a Service of this name: rename it or set enableServiceLinks: false"
        raise refusal(name, repr(text), f"a number{more}" + (hint if "://" in text else ""))
    value = float(match[1]) * units[match[2].lower()]
    return int(value) if kind is int and value.is_integer() else value


def load(
    flags: Mapping[str, Any], environ: Mapping[str, str], dotenv: Mapping[str, str] | None = None
) -> tuple[Config, dict[str, str]]:
    """The settings in force, and for each field where its value came from.

    In order: `flags` (field name to value or text), FASTSSE_<NAME> in `environ`, its aliases there, the same two in
    `dotenv`, the default. Empty variables count as not set. Raises ConfigError, whose message names the source.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, setting in SETTINGS.items():
        found: tuple[str, Any, bool] | None = None
        if name in flags:
            found = (flag(name), flags[name], False)
        else:
            for where, variables in (("", environ), (".env: ", dotenv or {})):
                for spelled in (variable(name), *setting.aliases):
                    if found is None and variables.get(spelled, "").strip():
                        found = (where + spelled, variables[spelled], spelled in setting.aliases)
        if found is None:
            sources[name] = "default"
            continue
        sources[name], value, alias = found
        try:
            values[name] = parse(name, value, alias=alias) if isinstance(value, str) else value
            check(name, values[name])
        except ConfigError as error:
            raise ConfigError(f"{error} (from {sources[name]})") from None
    return Config(**values), sources


def unknown(environ: Mapping[str, str]) -> list[str]:
    """One sentence for each FASTSSE_* variable that is no setting: most likely a slip of the pen."""
    known = {variable(name) for name in SETTINGS}
    sentences = []
    for name in sorted(set(environ) - known - BUILD):
        if name.startswith("FASTSSE_") and not re.match(r"FASTSSE_(PORT|SERVICE)_", name):  # Kubernetes' own
            near = difflib.get_close_matches(name, known, 1)
            sentences.append(f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else ""))
    return sentences


def flag(name: str) -> str:
    """The command-line spelling; lists are given one entry at a time, so theirs is singular."""
    if TYPES[name] == tuple[str, ...]:
        name = re.sub("ies$", "y", name).removesuffix("s")
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return f"FASTSSE_{name.upper()}"


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value`, `export` and quotes allowed, `#` begins a comment after a blank."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*", line)
        if match is None:
            continue
        name, value = match.groups()
        if quoted := re.fullmatch(r"(?s)(['\"`])(.*?)\1\s*(?:#.*)?", value):
            value = quoted[2].replace("\\n", "\n") if quoted[1] == '"' else quoted[2]
        else:
            value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
        found[name] = value
    return found
