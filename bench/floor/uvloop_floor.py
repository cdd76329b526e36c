"""The floor: a bare uvloop Protocol that writes a constant answer to whatever arrives, without parsing it.

Every ratio of a call is to this server, measured in the same run. One read, one write, nothing else.
"""

import argparse
import asyncio
from typing import cast

import uvloop

from bench.floor.answers import ANSWER


class Floor(asyncio.Protocol):
    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports have no asyncio base class

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    uvloop.run(serve(options.parse_args().port))
