"""Every client stack we know of, each in its own environment, against one running server (design §5).

What a stack does is in `tests/clients`, one driver per stack; a driver reports and this module asserts. A stack that is
not installed fails here: `scripts/peers` installs them all.
"""

import http.server
import json
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from driving import DRIVERS, PEERS, report, scripted
from serving import serving

pytestmark = pytest.mark.clients

DEMO: dict[str, Any] = json.loads((DRIVERS / "demo.json").read_text())
SESSIONS, STATELESS = "2025-11-25", "2026-07-28"
FRIEND, STRANGER = "friend.example", "stranger.example"


@dataclass(frozen=True)
class Case:
    """One stack on one transport. `revision` is what it has to negotiate, None for those that do not tell."""

    driver: str
    environment: str
    transport: str
    mode: str = "legacy"
    revision: str | None = SESSIONS
    runs: int = 2

    @property
    def id(self) -> str:
        return f"{Path(self.driver).stem}-{self.transport}-{self.mode}"


def python(
    driver: str, environment: str, transport: str, mode: str = "legacy", revision: str | None = SESSIONS
) -> Case:
    return Case(f"{driver}.py", environment, transport, mode, revision)


def node(driver: str, transport: str, mode: str = "legacy", revision: str = SESSIONS, runs: int = 2) -> Case:
    return Case(f"{driver}.mjs", "node", transport, mode, revision, runs)


CASES = [
    python("python_sdk2", "mcp2", "sse"),
    python("python_sdk2", "mcp2", "sse", "auto"),
    python("python_sdk2", "mcp2", "http"),
    python("python_sdk2", "mcp2", "http", "auto", STATELESS),
    python("python_sdk2", "mcp2", "http", STATELESS, STATELESS),
    python("python_sdk1", "mcp1", "sse"),
    python("python_sdk1", "mcp1", "http"),
    python("fastmcp4", "fastmcp", "sse"),
    python("fastmcp4", "fastmcp", "sse", "auto"),
    python("fastmcp4", "fastmcp", "http"),
    python("fastmcp4", "fastmcp", "http", "auto", STATELESS),
    python("fastmcp4", "fastmcp", "http", STATELESS, STATELESS),
    # They lose progress that comes together with its result (design §1), so they count down more often.
    node("typescript1", "sse", runs=10),
    node("typescript1", "http"),
    node("typescript2", "sse", runs=10),
    node("typescript2", "sse", "auto", runs=10),
    node("typescript2", "http"),
    node("typescript2", "http", "auto", STATELESS),
    node("typescript2", "http", STATELESS, STATELESS),
    python("inspector", "node", "sse", revision=None),
    python("inspector", "node", "sse", "auto", revision=None),
    python("inspector", "node", "http", revision=None),
    python("inspector", "node", "http", "auto", revision=None),
    python("inspector", "node", "http", STATELESS, revision=None),
    python("with_curl", "sse", "sse"),
    python("with_curl", "sse", "http"),
    python("with_curl", "sse", "http", "plain", revision=None),
    python("with_sseclient", "sseclient", "sse"),
    python("with_sseclient", "sseclient", "http"),
    python("with_sseclient_py", "sse", "sse"),
    python("with_sseclient_py", "sse", "http"),
    python("with_httpx_sse", "sse", "sse"),
    python("with_httpx_sse", "sse", "http"),
    node("eventsource", "sse"),
    node("eventsource", "http"),
    node("chromium", "sse"),
    node("chromium", "http"),
]
BY_HAND = ("with_", "eventsource", "chromium")


@pytest.fixture(scope="session")
def page() -> Iterator[int]:
    """The port of a web server with an empty page: what a foreign origin is made of."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def server(page: int) -> Iterator[str]:
    # A TypeScript client that gets no processor for longer than the gap loses progress after all: 5 ms is too short
    # for a machine that runs tests beside it (16 of 600 lost with three busy loops on two processors; 25 ms: none).
    with serving("--allowed-origin", f"http://{FRIEND}:{page}") as base:
        yield base


def drive(case: Case, server: str, payload: str, *options: str) -> dict[str, Any]:
    """Runs the driver of a case to its end and gives back its report."""
    home = PEERS / case.environment
    if not (PEERS / f"{case.environment}.stamp").exists():
        pytest.fail(f"{home} is missing: run scripts/peers")
    script = DRIVERS / case.driver
    url = f"{server}/{'sse' if case.transport == 'sse' else 'mcp'}"
    given = ("--url", url, "--transport", case.transport, "--mode", case.mode, "--runs", str(case.runs))
    if script.suffix == ".mjs":
        return scripted(script, *given, "--payload", payload, *options)
    python = sys.executable if case.environment == "node" else home / "bin" / "python"
    return report(python, script, *given, "--payload", payload, *options)


def random_payload(case: Case) -> str:
    odd = "" if case.environment == "sseclient" else "\u2028\u0085"  # it takes them for line ends
    return f'{secrets.token_hex(16)} "quoted" <b>é😀{odd}</b>\r\n\ttwo lines'


def check(case: Case, report: dict[str, Any], payload: str) -> None:
    """Asserts that the report tells of a whole and correct walk through the demo app."""
    assert report["echo"] == payload
    assert float(report["add"]) == 5
    assert {DEMO["echo"], DEMO["add"], DEMO["progress"]} <= set(report["tools"])
    assert len(report["tools"]) == len(set(report["tools"]))
    assert DEMO["resource"] in report["resources"]
    assert DEMO["template"] in report["templates"]
    assert report["resource"]
    assert DEMO["name"] in report["templated"]
    assert DEMO["prompt"] in report["prompts"]
    assert DEMO["name"] in report["prompt"]
    assert report["closed"] is True
    assert report.get("revision") == case.revision
    if case.driver == "inspector.py":  # it asks for the list of tools and refuses by itself
        assert report["unknown"]["code"] == "tool_not_found"
        return
    assert report["unknown"]["code"] == -32602
    assert DEMO["unknown"] in report["unknown"]["message"]
    once = [[step, DEMO["steps"]] for step in range(1, DEMO["steps"] + 1)]
    assert report["progress"] == [once if case.mode != "plain" else []] * case.runs
    if case.driver.startswith(BY_HAND) and case.mode != "plain":
        assert report["accepted"] == 202
    if case.driver.startswith(BY_HAND) and case.transport == "sse":
        assert "notifications/initialized" in report["notifications"]  # what the guides' clients wait for


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_client_stack_walks_through_the_demo_app(case: Case, server: str) -> None:
    payload = random_payload(case)
    check(case, drive(case, server, payload), payload)


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_page_of_an_allowed_origin_gets_everything(transport: str, server: str, page: int) -> None:
    case = node("chromium", transport)
    payload = random_payload(case)
    address = f"http://{FRIEND}:{page}"
    report = drive(case, server, payload, "--page", f"{address}/", "--map", f"MAP {FRIEND} 127.0.0.1")
    assert report["origin"] == address
    check(case, report, payload)


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_page_of_a_foreign_origin_gets_nothing(transport: str, server: str, page: int) -> None:
    case = node("chromium", transport)
    address = f"http://{STRANGER}:{page}"
    report = drive(case, server, "ping", "--page", f"{address}/", "--map", f"MAP {STRANGER} 127.0.0.1")
    assert report["origin"] == address
    assert "EventSource: error" in report["error"]
    assert "tools" not in report
