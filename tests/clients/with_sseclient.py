"""The package sseclient, which opens its stream itself through `session.get` (and would reconnect for ever)."""

from collections.abc import Iterator
from typing import Any

import requests
from sseclient import SSEClient

from driver import arguments, report
from raw import Event, Reply, talk


class Posted:
    """Stands in for a session whose GET was a POST already answered, so that sseclient reads that answer."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response

    def get(self, url: str, **options: Any) -> requests.Response:
        return self.response


def read(events: SSEClient) -> Iterator[Event]:
    for event in events:
        yield event.event, event.data


def as_utf8(response: requests.Response, **options: Any) -> None:
    """requests takes text/* without a charset for Latin-1; event streams are always UTF-8."""
    response.encoding = "utf-8"


with requests.Session() as session:
    session.hooks["response"].append(as_utf8)

    def listen(url: str, headers: dict[str, str]) -> Iterator[Event]:
        return read(SSEClient(url, session=session, headers=headers, timeout=20))

    def post(url: str, body: bytes, headers: dict[str, str]) -> Reply:
        response = session.post(url, data=body, headers=headers, stream=True, timeout=20)
        reply = Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()})
        if reply.is_stream:
            reply.events = read(SSEClient(url, session=Posted(response)))
        else:
            reply.body = response.content
        return reply

    seen = talk(arguments(), listen, post)
report(**seen)
