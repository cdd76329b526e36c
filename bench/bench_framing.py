"""Every `_framing` function beside its readable twin, on the bytes it meets in a running server.

`pytest bench/bench_framing.py --benchmark-enable` measures and prints, per case, how many times faster the compiled one
is. Absolute times mean little on a shared machine; the ratio is taken in one run. Without the option each runs once.
"""

from types import ModuleType
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import oracle
from fastsse import _framing

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Mcp-Session-Id: 0123abcd-1234-4321-8abc-0123456789ab\r\nContent-Length: "
)
RESULT = b'{"content":[{"type":"text","text":"hello world"}],"isError":false}'
NOTIFICATION = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"%b"}}' % (
    b"x" * 114
)
SESSION_ID = b"0123abcd-1234-4321-8abc-0123456789ab"
EVENT_ID = SESSION_ID + b"/1234"
EVENT = oracle.event(NOTIFICATION, b"message", EVENT_ID)

CASES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "event": ("event", (NOTIFICATION,)),
    "event, named, with id": ("event", (NOTIFICATION, b"message", EVENT_ID)),
    "event of 10 lines": ("event", (b"\n".join([NOTIFICATION] * 10), b"message")),
    "event of 64 KiB": ("event", (b"x" * 65536, b"message")),
    "comment": ("comment", ()),
    "chunk of 1 frame": ("chunk", ([EVENT],)),
    "chunk of 20 frames": ("chunk", ([EVENT] * 20,)),
    "join of 20 frames": ("join", ([EVENT] * 20,)),
    "result": ("result", (b"17", RESULT)),
    "error": ("error", (b"17", b'{"code":-32601,"message":"Method not found"}')),
    "notification": ("notification", (b'"notifications/message"', b'{"level":"info"}')),
    "request": ("request", (b"17", b'"roots/list"', b"{}")),
    "tag": ("tag", (NOTIFICATION, b'{"io.modelcontextprotocol/subscriptionId":"1"}')),
    "response": ("response", (HEAD, RESULT)),
    "result_response": ("result_response", (HEAD, b"17", RESULT)),
    "result_event": ("result_event", (b"17", RESULT, b"message", EVENT_ID)),
    "place": ("place", (SESSION_ID,)),
    "text": ("text", (memoryview(b"12345"),)),
    "equal": ("equal", (SESSION_ID, SESSION_ID[:35] + b"c")),
}


class Ratios:
    """Medians in seconds by case and module, printed when the session ends."""

    def __init__(self) -> None:
        self.medians: dict[str, dict[str, float]] = {}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.medians:
            terminalreporter.section("_framing and its twin")
        for case, medians in self.medians.items():
            if len(medians) == 2:
                compiled, twin = medians["fastsse._framing"], medians["oracle"]
                terminalreporter.write_line(
                    f"{case:24}{compiled * 1e9:10,.0f} ns{twin * 1e9:10,.0f} ns{twin / compiled:9.1f} times"
                )


@pytest.fixture(scope="module")
def ratios(request: pytest.FixtureRequest) -> Ratios:
    printed = Ratios()
    request.config.pluginmanager.register(printed)
    return printed


@pytest.mark.benchmark(min_time=0.0005)  # per round: long against the timer
@pytest.mark.parametrize("module", [_framing, oracle], ids=["compiled", "twin"])
@pytest.mark.parametrize("case", CASES)
def bench_framing(benchmark: BenchmarkFixture, ratios: Ratios, case: str, module: ModuleType) -> None:
    name, arguments = CASES[case]
    benchmark.group = case
    benchmark(getattr(module, name), *arguments)
    if benchmark.stats is not None:
        ratios.medians.setdefault(case, {})[module.__name__] = benchmark.stats.stats.median
