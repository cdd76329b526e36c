"""An event stream as a browser reads it, WHATWG HTML §9.2.5 and §9.2.6 to the letter: what is written by our own
frames has to come out of it again. Knows nothing of how they are written."""

import re
from typing import NamedTuple


class Event(NamedTuple):
    """`id`: the last event ID when it was dispatched. `name`: "message" unless another was said."""

    name: str
    data: str
    id: str


def read(body: bytes) -> tuple[list[Event], int | None]:
    """The events of a stream so far, and its reconnection time; UnicodeDecodeError for what is no UTF-8."""
    found: list[Event] = []
    retry: int | None = None
    name = data = last = ""
    *lines, _ = re.split("\r\n|\r|\n", body.decode().removeprefix("\ufeff"))
    for line in lines:
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append(Event(name or "message", data.removesuffix("\n"), last))
            name = data = ""
        elif not field and colon:
            continue
        elif field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last = value
        elif field == "retry" and value.isascii() and value.isdigit():
            retry = int(value)
    return found, retry
