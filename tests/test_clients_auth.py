"""The official Python client where people have to say who they are, against real servers.

With a token in a header, and by its own OAuth client: it is refused, reads the challenge and the metadata (RFC 9728),
finds the authorization server's (RFC 8414), gets a token there and comes in. A stack that is not installed fails here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from issuer import Issuer, Published, publishing
from serving import ROOT, serving
from test_clients import STATELESS, Case, drive, python

APP = "tests/auth_app.py:app"
TOKEN = "a-token-for-the-tests"
CASES = [
    python("auth_python", "mcp2", "http"),
    python("auth_python", "mcp2", "http", STATELESS, STATELESS),
    python("auth_python", "mcp2", "http", "auto", STATELESS),
    python("auth_python", "mcp2", "sse"),
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with serving(APP, FASTSSE_TOKENS=f"ann: {TOKEN} tools") as base:
        yield base


@pytest.fixture(scope="module")
def authorizing() -> Iterator[tuple[str, Published]]:
    """A server that takes tokens of one issuer, and that issuer."""
    issuer = Issuer()
    with publishing(issuer.document, issuer) as published:
        settings = ["--issuer", published.base, "--jwks-url", published.url, "--audience", "us"]
        with serving(APP, *settings, "--required-scope", "tools") as base:
            yield base, published


@pytest.mark.clients
@pytest.mark.requirement("D-auth")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_client_with_a_token(case: Case, guarded: str) -> None:
    report = drive(case, guarded, "", "--token", TOKEN)
    assert report == {"who": ["ann tools"] * 2, "revision": case.revision, "closed": True}


@pytest.mark.clients
@pytest.mark.requirement("A-02", "A-03", "A-04", "D-auth-jwt")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_client_that_gets_its_token_by_itself(case: Case, authorizing: tuple[str, Published]) -> None:
    base, published = authorizing
    published.requests.clear()
    report = drive(case, base, "", "--issuer", published.base)
    assert report == {"who": ["robot tools"] * 2, "revision": case.revision, "closed": True}
    assert published.requests
    for request in published.requests:
        assert request["resource"] == f"{base}/{'sse' if case.transport == 'sse' else 'mcp'}"
        assert request["scope"] == "tools"


def asked(base: str, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    request = urllib.request.Request(base + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@pytest.mark.requirement("A-01", "A-02", "A-03", "D-auth", "D-auth-jwt")
def test_a_real_server_and_a_real_issuer(authorizing: tuple[str, Published]) -> None:
    base, published = authorizing
    status, fields, _ = asked(base, "/metrics")
    assert status == 401
    url = fields["WWW-Authenticate"].partition('resource_metadata="')[2].removesuffix('"')
    status, _, document = asked(url, "")
    assert (status, json.loads(document)["authorization_servers"]) == (200, [published.base])
    body = b"grant_type=client_credentials&client_id=prometheus&scope=admin"
    with urllib.request.urlopen(f"{published.base}/token", body, timeout=10) as answer:
        token = json.load(answer)["access_token"]
    status, _, text = asked(base, "/metrics", Authorization=f"Bearer {token}")
    assert (status, b"fastsse_info" in text) == (200, True)
    assert asked(base, "/metrics", Authorization=f"Bearer {token}x")[0] == 401
    assert asked(base, "/health")[0] == 200


@pytest.mark.requirement("D-auth-jwt")
def test_without_pyjwt_the_start_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "jwt.py").write_text("raise ImportError\n")
    settings = ["--issuer", "https://a.b", "--jwks-url", "https://a.b/jwks", "--audience", "us", "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "fastsse", *settings],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "fastsse: jwks_url is set, but PyJWT is not installed; pip install 'fastsse[jwt]'\n",
    )
