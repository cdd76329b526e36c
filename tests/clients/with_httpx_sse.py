"""httpx with httpx-sse: one `connect_sse` for the stream and for every POST."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
from httpx_sse import EventSource, connect_sse

from driver import arguments, report
from raw import Event, Reply, talk

with ExitStack() as stack:
    client = stack.enter_context(httpx.Client(timeout=20))

    def read(source: EventSource) -> Iterator[Event]:
        for event in source.iter_sse():
            yield event.event, event.data

    def listen(url: str, headers: dict[str, str]) -> Iterator[Event]:
        source = stack.enter_context(connect_sse(client, "GET", url, headers=headers))
        source.response.raise_for_status()
        return read(source)

    def post(url: str, body: bytes, headers: dict[str, str]) -> Reply:
        # Whatever the conversation says, `connect_sse` accepts nothing but event streams: every answer must be one.
        with connect_sse(client, "POST", url, content=body, headers=headers) as source:
            reply = Reply(source.response.status_code, source.response.headers)
            if reply.is_stream:
                reply.events = iter(list(read(source)))
            else:
                reply.body = source.response.read()
        return reply

    seen = talk(arguments(), listen, post)
report(**seen)
