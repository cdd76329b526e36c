"""requests with sseclient-py, which reads the events of any iterable of bytes."""

from collections.abc import Iterator

import requests
from sseclient import SSEClient

from driver import arguments, report
from raw import Event, Reply, talk


def read(response: requests.Response) -> Iterator[Event]:
    for event in SSEClient(response).events():
        yield event.event, event.data


with requests.Session() as session:

    def listen(url: str, headers: dict[str, str]) -> Iterator[Event]:
        response = session.get(url, headers=headers, stream=True, timeout=20)
        response.raise_for_status()
        return read(response)

    def post(url: str, body: bytes, headers: dict[str, str]) -> Reply:
        response = session.post(url, data=body, headers=headers, stream=True, timeout=20)
        reply = Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()})
        if reply.is_stream:
            reply.events = read(response)
        else:
            reply.body = response.content
        return reply

    seen = talk(arguments(), listen, post)
report(**seen)
