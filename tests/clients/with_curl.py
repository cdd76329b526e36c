"""curl: one process for the stream, one for every POST; runs with any Python."""

import subprocess
from collections.abc import Iterable, Iterator

from driver import arguments, report
from raw import Event, Reply, talk

CURL = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "30"]


def flags(headers: dict[str, str]) -> list[str]:
    return [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]


def read(lines: Iterable[str]) -> Iterator[Event]:
    """As much of the event stream format as one needs to read what curl prints."""
    name, data = "message", []
    for line in lines:
        field, _, value = line.rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not field and not value and data:
            yield name, "\n".join(data)
            name, data = "message", []


streams: list[subprocess.Popen[str]] = []


def listen(url: str, headers: dict[str, str]) -> Iterator[Event]:
    streams.append(subprocess.Popen([*CURL, *flags(headers), url], stdout=subprocess.PIPE, text=True, encoding="utf-8"))
    assert streams[-1].stdout is not None
    return read(streams[-1].stdout)


def post(url: str, body: bytes, headers: dict[str, str]) -> Reply:
    command = [*CURL, "--include", *flags(headers), "--data-binary", "@-", url]
    answer = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True, timeout=40).stdout
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    reply = Reply(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, content)
    if reply.is_stream:
        reply.events = read(content.decode().split("\n"))
    return reply


try:
    seen = talk(arguments(), listen, post)
finally:
    for stream in streams:
        stream.terminate()
        stream.wait(10)
report(**seen)
