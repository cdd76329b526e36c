"""How log records become lines on stderr: text for people, or with `log_format` json one object a line for machines.

Whatever a record holds, it stays one line: what peers have sent may stand in it, and must not begin a line of its own
(only tracebacks, in text, take several). A value that JSON has no word for is written as its text. Called by
`__main__`; embedders keep the logging that they have, and may use `JsonLines` in it.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastsse.config import Config

OWN: Final = frozenset((*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"))
"""What every record has; all else came with `extra`."""
CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(0x80, 0xA0))} | {
    9: "\t", 10: "\\n", 13: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029",
}  # fmt: skip
"""What would end a line, or command a terminal."""


class TextLines(logging.Formatter):
    """Time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        return super().formatMessage(record).translate(CONTROLS)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    """Lines that nobody takes for records."""
    return "\n".join(f"  {line.translate(CONTROLS)}" for line in text.split("\n"))


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, `exception` where there is one, and every field of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            found["stack"] = self.formatStack(record.stack_info)
        for name, value in vars(record).items():
            if name not in OWN:
                found[f"{name}_" if name in found else name] = value
        try:
            return json.dumps(found, allow_nan=False, default=_text)
        except (TypeError, ValueError, RecursionError):  # keys that are no text, numbers that JSON has not, circles
            return json.dumps(
                {name: value if isinstance(value, str) else _text(value) for name, value in found.items()}
            )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: still worth a line
        return f"{_text(record.msg)} {_text(record.args)}"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"({type(value).__name__}, which raised {type(error).__name__})"


def begin(config: Config) -> None:
    """Sets up logging for a process that is ours: lines on stderr, from `log_level` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if config.log_format == "json" else TextLines())
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
    logging.captureWarnings(config.log_format == "json")
