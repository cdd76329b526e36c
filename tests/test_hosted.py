"""Servers written with other SDKs, hosted by us, and strangers that use them: they notice nothing.

The SDK's own conformance server has to do on our wire what it does on its own; client stacks walk through a server of
the Python SDK and one of FastMCP as through our demo app, are asked, and cancel. What is not installed fails here:
`scripts/peers` installs it all.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.servers import free_port
from driving import PEERS
from fastsse.client import MODERN, PAIR, Client, Pair, Session, Stateless
from fastsse.errors import METHOD_NOT_FOUND
from fastsse.jsonrpc import ENVELOPE
from real import EVERY
from serving import END, ROOT, START, serving, started
from test_clients import DEMO, SESSIONS, STATELESS, Case, drive, node, python, random_payload
from test_conformance import checks, extensions, run

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

EVERYTHING = PEERS / "everything" / "mcp_everything_server" / "server.py"
FASTMCP = PEERS / "fastmcp" / "bin" / "python"


@pytest.fixture(scope="module")
def sdk() -> Iterator[str]:
    with serving("tests/hosted_sdk.py:server") as base:
        yield base


@pytest.fixture(scope="module")
def fastmcp() -> Iterator[str]:
    if not FASTMCP.exists():
        pytest.fail(f"{FASTMCP} is missing: run scripts/peers")
    with serving("tests/hosted_fastmcp.py:server", python=FASTMCP, PYTHONPATH=str(ROOT)) as base:
        yield base


# --- conformance


@contextmanager
def on_its_own() -> Iterator[str]:
    """The conformance server of the SDK on the SDK's transport."""
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, EVERYTHING, "--port", str(port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + START
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    log.seek(0)
                    assert process.poll() is None, log.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(END)


def outcome(revision: str, base: str, folder: Path) -> dict[str, Counter[str]]:
    """How often each status was found in each scenario, extensions aside."""
    folder.mkdir()
    aside = extensions(run(revision, base, folder))
    found = checks(folder)
    return {name: Counter(one["status"] for one in found[name]) for name in sorted(found) if name not in aside}


# Where the suite puts event streams first, the SDK answers JSON at 2026-07-28, which is noted as INFO; on our wire the
# answer comes as it is asked for, which is one check more (test_conformance.py).
@pytest.mark.requirement("EMB-09")
@pytest.mark.parametrize(("revision", "on_ours", "on_its"), [("2025-11-25", 84, 84), ("2026-07-28", 153, 152)])
def test_the_sdks_conformance_server_passes_what_it_passes_on_its_own(
    revision: str, on_ours: int, on_its: int, tmp_path: Path
) -> None:
    if not EVERYTHING.exists():
        pytest.fail(f"{EVERYTHING} is missing: run scripts/peers")
    with serving(f"{EVERYTHING}:mcp") as base:
        hosted = outcome(revision, base, tmp_path / "hosted")
    with on_its_own() as base:
        own = outcome(revision, base, tmp_path / "own")
    assert set(hosted) == set(own)
    assert not {name: (hosted[name], own[name]) for name in own if hosted[name]["SUCCESS"] < own[name]["SUCCESS"]}
    ours, its = sum(hosted.values(), Counter()), sum(own.values(), Counter())
    assert (ours["SUCCESS"], its["SUCCESS"]) == (on_ours, on_its)
    assert set(ours) <= {"SUCCESS", "INFO"}


# --- client stacks

WALKS = [
    python("python_sdk2", "mcp2", "sse"),
    python("python_sdk2", "mcp2", "sse", "auto"),
    python("python_sdk2", "mcp2", "http"),
    python("python_sdk2", "mcp2", "http", "auto", STATELESS),
    python("python_sdk2", "mcp2", "http", STATELESS, STATELESS),
    python("python_sdk1", "mcp1", "sse"),
    python("python_sdk1", "mcp1", "http"),
    python("fastmcp4", "fastmcp", "http"),
    python("fastmcp4", "fastmcp", "http", "auto", STATELESS),
    node("typescript1", "sse", runs=10),
    node("typescript1", "http"),
    node("typescript2", "http", "auto", STATELESS),
]


def check(case: Case, report: dict[str, Any], payload: str) -> None:
    """The report tells of a whole walk through the twin of the demo app."""
    assert report["echo"] == payload
    assert float(report["add"]) == 5
    assert {DEMO["echo"], DEMO["add"], DEMO["progress"]} <= set(report["tools"])
    assert DEMO["resource"] in report["resources"]
    assert DEMO["template"] in report["templates"]
    assert report["resource"] == "Hello from a hosted server!"
    assert DEMO["name"] in report["templated"]
    assert DEMO["prompt"] in report["prompts"]
    assert DEMO["name"] in report["prompt"]
    assert report["unknown"].get("isError") or report["unknown"]["code"] == -32602
    once = [[step, DEMO["steps"]] for step in range(1, DEMO["steps"] + 1)]
    assert report["progress"] == [once] * case.runs
    assert report.get("revision") == case.revision
    assert report["closed"] is True


@pytest.mark.requirement("EMB-03", "EMB-04")
@pytest.mark.parametrize("case", WALKS, ids=lambda case: case.id)
def test_a_client_stack_walks_through_a_server_of_the_sdk(case: Case, sdk: str) -> None:
    payload = random_payload(case)
    check(case, drive(case, sdk, payload), payload)


@pytest.mark.requirement("EMB-10")
@pytest.mark.parametrize("case", WALKS, ids=lambda case: case.id)
def test_a_client_stack_walks_through_a_fastmcp_server(case: Case, fastmcp: str) -> None:
    payload = random_payload(case)
    check(case, drive(case, fastmcp, payload), payload)


HOSTED = pytest.mark.parametrize("hosted", ["sdk", "fastmcp"])

ASKED = [
    python("asks_python", "mcp2", "http"),
    python("asks_python", "mcp2", "sse"),
    node("asks_typescript", "http"),
    node("asks_typescript", "sse"),
]


def asked(payload: str) -> dict[str, Any]:
    """What the user of a client is shown when the hosted server asks with the payload."""
    return {"sampling": f"prompt {payload}", "elicitation": f"message {payload}", "fields": ["email", "username"]}


@pytest.mark.requirement("EMB-04", "EMB-10")
@HOSTED
@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.id)
def test_a_client_is_asked_through_the_hosted_server_and_resumes(
    case: Case, hosted: str, request: pytest.FixtureRequest
) -> None:
    payload = f"{secrets.token_hex(16)} é😀"
    report = drive(case, request.getfixturevalue(hosted), payload)
    assert report["revision"] == SESSIONS
    assert report["asked"] == asked(payload)
    assert report["sampling"] == f"LLM response: model {payload}"
    assert report["elicitation"] == f"'accept' 'user {payload}'"
    assert report["reconnection"] == "Reconnection test completed"
    assert len(report["resumed"]) == (1 if case.transport == "http" else 0)
    assert report["closed"] is True


ROUNDS = [
    python("asks_python", "mcp2", "http", STATELESS, STATELESS),
    node("asks_typescript2", "http", STATELESS, STATELESS),
]


@pytest.mark.requirement("EMB-04", "EMB-10")
@HOSTED
@pytest.mark.parametrize("case", ROUNDS, ids=lambda case: case.id)
def test_a_client_is_asked_in_rounds_at_the_stateless_revision(
    case: Case, hosted: str, request: pytest.FixtureRequest
) -> None:
    payload = f"{secrets.token_hex(16)} é😀"
    report = drive(case, request.getfixturevalue(hosted), payload)
    assert report["revision"] == STATELESS
    assert report["asked"] == asked(payload)
    assert report["rounds"] == f"LLM response: model {payload}, 'accept' 'user {payload}'"
    assert report["closed"] is True


CANCELS = [
    python("cancels_python", "mcp2", "http"),
    python("cancels_python", "mcp2", "sse"),
    python("cancels_python", "mcp2", "http", "auto", STATELESS),
    python("cancels_python", "mcp2", "http", STATELESS, STATELESS),
    node("cancels_typescript", "http"),
    node("cancels_typescript", "sse"),
    node("cancels_typescript2", "http"),
    node("cancels_typescript2", "http", STATELESS, STATELESS),
]


@pytest.mark.requirement("EMB-04", "EMB-10")
@HOSTED
@pytest.mark.parametrize("case", CANCELS, ids=lambda case: case.id)
def test_a_call_that_a_client_gives_up_is_cancelled_in_the_hosted_server(
    case: Case, hosted: str, request: pytest.FixtureRequest
) -> None:
    report = drive(case, request.getfixturevalue(hosted), secrets.token_hex(16))
    assert (report["told"], report["revision"]) == ("true", case.revision)


# --- the examples


def greeted(base: str) -> str:
    params = {"name": "greet", "arguments": {"name": "Ada", "times": 2}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    asked = urllib.request.Request(f"{base}/mcp", json.dumps(message).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(json.load(answer)["result"]["content"][0]["text"])


PROGRAM = """
import functools, runpy, sys
import fastsse
from fastsse.__main__ import greet
fastsse.run = functools.partial(fastsse.run, config=fastsse.Config(host="127.0.0.1", port=0), started=greet)
runpy.run_path(sys.argv[1], run_name="__main__")
"""
EXAMPLES = [("hosted_sdk.py", sys.executable), ("hosted_fastmcp.py", str(FASTMCP))]


@pytest.mark.requirement("EMB-08")
@pytest.mark.parametrize(("name", "python"), EXAMPLES, ids=["sdk", "fastmcp"])
def test_the_examples_greet(name: str, python: str) -> None:
    with serving(f"examples/{name}:server", python=python, PYTHONPATH=str(ROOT)) as base:
        assert greeted(base) == "Hello, Ada! Hello, Ada!"
    # and with the line that the SDK's user changes
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with started(python, "-c", PROGRAM, f"examples/{name}", env=environment) as found:
        assert greeted(found.line("listens on")) == "Hello, Ada! Hello, Ada!"
        assert found.stop() == 0


# --- what FastMCP has of its own


@pytest.mark.requirement("EMB-10")
def test_a_fastmcp_tool_sees_its_transport_headers_and_lifespan(fastmcp: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "inside", "arguments": {}}}
    fields = {"Content-Type": "application/json", "X-Mine": "mine"}
    asked = urllib.request.Request(f"{fastmcp}/mcp", json.dumps(message).encode(), fields)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert json.load(answer)["result"]["content"][0]["text"] == "streamable-http mine 42 1"


def speaking(base: str, revision: str) -> Client:
    port = int(base.rpartition(":")[2])
    kind: Any = {PAIR: Pair, MODERN: Stateless}.get(revision, Session)
    client: Client = kind(lambda: socket.create_connection(("127.0.0.1", port), END), f"localhost:{port}", revision, {})
    return client


@pytest.mark.requirement("EMB-10")
@pytest.mark.parametrize("revision", EVERY)
def test_a_fastmcp_tool_logs_and_tells_what_has_changed(revision: str, fastmcp: str) -> None:
    meta: dict[str, str] = {f"{ENVELOPE}logLevel": "info"} if revision == MODERN else {}
    with speaking(fastmcp, revision) as who:
        if revision != MODERN:
            assert who.request("logging/setLevel", {"level": "info"})["result"] == {}
        done = who.request("tools/call", {"name": "changes", "arguments": {}, "_meta": meta})
        assert done["result"]["content"][0]["text"] == "changed"
        logged = [one["params"] for one in who.heard if one["method"] == "notifications/message"]
        assert [(one["level"], one["logger"], one["data"]) for one in logged] == [
            ("info", "mine", {"msg": "almost", "extra": {"of": "it"}})
        ]
        changed = [one for one in who.heard if one["method"] == "notifications/tools/list_changed"]
        assert len(changed) == 1


@pytest.mark.requirement("EMB-10")
@pytest.mark.parametrize("revision", EVERY)
def test_fastmcp_has_no_subscriptions_and_says_so(revision: str, fastmcp: str) -> None:
    method: str = "resources/subscribe"
    params: dict[str, Any] = {"uri": "demo://greeting"}
    if revision == MODERN:
        method, params = "subscriptions/listen", {"notifications": {}}
    with speaking(fastmcp, revision) as who:
        assert who.request(method, params)["error"]["code"] == METHOD_NOT_FOUND


REFUSED = [
    ("server.custom_route('/extra', ['GET'])(lambda request: None)", "has routes that fastsse does not carry: /extra"),
    (
        "import fastmcp.server.auth.providers.jwt as j; server.auth = j.StaticTokenVerifier({'t': {'client_id': 'c'}})",
        "brings its own authentication",
    ),
    ("import fastmcp; fastmcp.settings.stateless_http = True", "FASTMCP_STATELESS_HTTP is True"),
    (
        """
from functools import partial
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
server.http_app = partial(server.http_app, middleware=[Middleware(GZipMiddleware)])
""",
        "FastMCP 'mine' has HTTP middleware that fastsse does not carry: GZipMiddleware",
    ),
]


@pytest.mark.requirement("EMB-07", "EMB-10")
@pytest.mark.parametrize(("more", "sentence"), REFUSED)
def test_what_fastmcp_has_and_we_do_not_carry_stops_the_start(more: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"from fastmcp import FastMCP\nserver = FastMCP('mine')\n{more}\n")
    done = subprocess.run(
        [FASTMCP, "-m", "fastsse", f"{tmp_path}/mine.py:server", "--port", "0"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_servers_of_sdks_that_are_too_old_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from mcp.server.fastmcp import FastMCP\nserver = FastMCP('old')\n")
    old = PEERS / "mcp1" / "bin" / "python"
    site = next((PEERS / "fastmcp" / "lib").glob("python*/site-packages"))
    for name in ("msgspec", "orjson", "uvloop"):
        (tmp_path / name).symlink_to(site / name)
    done = subprocess.run(
        [old, "-m", "fastsse", f"{tmp_path}/mine.py:server", "--port", "0"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "comes from an SDK that cannot be hosted" in done.stderr
