"""The floor of streams: a bare uvloop Protocol that keeps connections and writes prepared bytes to them.

A GET keeps its connection as an event stream; `POST /fan` writes one prepared event to every stream; any other POST is
one call over the HTTP+SSE pair: 202 on its own connection and a prepared event on its stream. Nothing is parsed beyond
the first bytes. Ratios of fan-out, of memory per idle stream and of pairs are to this server.
"""

import argparse
import asyncio
import resource
from typing import cast

import uvloop

from bench.floor.answers import ACCEPTED, BODY, EVENT, STREAM_HEAD, event

RESULT = event(BODY.decode())
PATH = b"POST /message?sessionId="
streams: dict[int, asyncio.Transport] = {}
opened = 0


class Floor(asyncio.Protocol):
    __slots__ = ("number", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports have no asyncio base class
        self.number = 0

    def data_received(self, data: bytes) -> None:
        global opened
        if data.startswith(PATH):
            end = data.index(b" ", len(PATH))
            streams[int(data[len(PATH) : end])].write(RESULT)
            self.transport.write(ACCEPTED)
        elif data.startswith(b"POST"):
            for stream in streams.values():
                stream.write(EVENT)
            self.transport.write(ACCEPTED)
        else:
            opened += 1
            self.number = opened
            streams[opened] = self.transport
            self.transport.write(STREAM_HEAD + event(f"/message?sessionId={opened}", "endpoint"))

    def connection_lost(self, exc: Exception | None) -> None:
        streams.pop(self.number, None)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    uvloop.run(serve(options.parse_args().port))
