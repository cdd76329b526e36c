"""One call through `Connection` on a fake transport, over each wire: what is left of a call without a socket's cost.

`pytest bench/bench_connection.py --benchmark-enable` measures and prints 1,000 calls at a time. An absolute time means
little on a shared machine: bench/instructions.py counts the same calls for CI. Without the option each runs once.
"""

import asyncio

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.call_path import Caller
from fastsse.config import Config
from fastsse.demo import app
from fastsse.server import Server

CALLS = 1000


@pytest.mark.parametrize("wire", ["session", "stateless", "sse"])
def bench_calls(benchmark: BenchmarkFixture, wire: str) -> None:
    benchmark.group = f"{CALLS} calls"
    with asyncio.Runner() as runner:
        server = runner.run(Server(app, Config(host="127.0.0.1", port=0)).start())
        callers: list[Caller] = []

        async def open() -> None:
            callers.append(Caller(server, wire))
            await asyncio.sleep(0)  # what was said to a pair so far leaves

        runner.run(open())
        (caller,) = callers
        benchmark(lambda: runner.run(caller.call(CALLS)))
        caller.close()
        assert runner.run(server.stop()) == 0
