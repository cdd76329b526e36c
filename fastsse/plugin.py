"""The fixtures that pytest finds where fastsse is installed: `testing.serve` and `testing.wire`, ended with the test.

def test_add(fastsse_wire):
    assert fastsse_wire(app).call_tool("add", a=1, b=2)["structuredContent"] == {"result": 3}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from fastsse.server import Server
from fastsse.testing import Client, serve, wire


@pytest.fixture
def fastsse_serve() -> Iterator[Callable[..., Server]]:
    """Starts servers on free ports: `fastsse_serve(app, **settings).url`."""
    with ExitStack() as stack:
        yield lambda *given, **settings: stack.enter_context(serve(*given, **settings))


@pytest.fixture
def fastsse_wire() -> Iterator[Callable[..., Client]]:
    """Makes clients whose connections are in memory: `fastsse_wire(app, revision, **settings)`."""
    with ExitStack() as stack:
        yield lambda *given, **settings: stack.enter_context(wire(*given, **settings))
