"""Our HTTP layer and nothing above it: every method and every path is answered with 200 and the body that was read.

For suites that judge how HTTP/1.1 is read (and for `test_llhttp.py`). The listener, `Connection`, `Requests`, limits
and refusals are those of the product; only the rules are not: no Host, Origin, path or content type is turned away.
What is no request to a server is refused as ever: CONNECT gets 501.

    python tests/echo_server.py --port 8080 [--http h11] [--loop asyncio]

Prints its URL when it listens. The header `Request-Line` says what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fastsse._framing import Head
from fastsse.admission import Peer
from fastsse.app import App
from fastsse.config import Config
from fastsse.decision import Decision, Reply
from fastsse.endpoint import Endpoint
from fastsse.server import Server

BYTES = b"application/octet-stream"


class Echo(Endpoint):
    """Takes everything that can be read."""

    def head(self, head: Head, peer: Peer, now: float) -> Decision | None:
        return None

    def body(self, head: Head, body: bytes, peer: Peer, now: float) -> Decision:
        return Reply(200, body, BYTES, b"Request-Line: %b %b\r\n" % (head.method, head.target))


class EchoServer(Server):
    def _admit(self, loopback: bool) -> None:
        super()._admit(loopback)
        usual = self.endpoint
        self.endpoint = Echo(
            usual.config, usual.catalog, usual.table, usual.stats, usual.guard, self, bytes(32), usual.max_body
        )


async def main(config: Config) -> None:
    async with EchoServer(App("echo", version="1.0"), config) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free (0)")
    parser.add_argument("--http", choices=["auto", "h11"], default="auto", help="who reads heads (auto)")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="the event loop (uvloop)")
    options = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if options.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(Config(host=options.host, port=options.port, http=options.http)))
