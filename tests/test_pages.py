"""What health, ready, sessions and docs say: both guides' keys, text that parsers take, nothing that runs."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from base64 import b64encode
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsse import docs, pages
from fastsse.config import KIB
from stage import Stage
from wire import World


def test_health_has_the_keys_of_both_guides() -> None:
    body = pages.health(name="demo", version="1.2.3", tools=15, sessions=2, now=1760178600.0)
    assert json.loads(body) == {
        "status": "healthy",
        "mode": "sse",
        "timestamp": "2025-10-11T10:30:00.000Z",
        "tools": 15,
        "activeSessions": 2,
        "server": "demo",
        "version": "1.2.3",
        "mcp_version": "2026-07-28",
        "mcp_versions": ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"],
    }


def test_ready_turns_503_while_draining() -> None:
    assert pages.ready(False) == (200, b'{"status":"ready"}')
    assert pages.ready(True) == (503, b'{"status":"draining"}')


def test_session_ids_are_cut_unless_the_reader_may_see_them() -> None:
    ids = ["00400007-1111-8222-9333-444444444444", "00400008-5555-8666-9777-888888888888"]
    assert json.loads(pages.sessions(2, ids, full=True)) == {"count": 2, "sessions": ids}
    cut = pages.sessions(2, ids, full=False)
    assert json.loads(cut) == {"count": 2, "sessions": ["00400007…", "00400008…"]}
    assert b"1111" not in cut


# -- docs -------------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Remembers every element with its attributes, and the text of every element with an id, of scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: dict[str, str] = {}
        self.all = ""
        self.key = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attributes)))
        self.key = dict(attributes).get("id") or (tag if tag in ("script", "style") else "")

    def handle_endtag(self, tag: str) -> None:
        self.key = ""

    def handle_data(self, data: str) -> None:
        self.all += data
        if self.key:
            self.texts[self.key] = self.texts.get(self.key, "") + data


def tool(name: str = "echo", description: str = "Says it again.", /, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "inputSchema": schema}


def read(base: str = "http://localhost:3002", tools: list[dict[str, Any]] | None = None, name: str = "demo") -> Reader:
    offered = [tool(text={"type": "string"})] if tools is None else tools
    return Reader(docs.page(base, offered, name=name, version="1.0"))


def test_the_page_names_endpoints_tools_and_schemas() -> None:
    page = read(tools=[tool("one", "First."), tool("two", "Second.", text={"type": "string"})])
    for expected in ("GET /sse", "POST /message?sessionId=<id>", "POST /mcp", "DELETE /mcp", "GET /metrics",
                     "one", "First.", "two", "Second.", '"required": [\n    "text"\n  ]', "Tools (2)"):  # fmt: skip
        assert expected in page.all


def test_a_server_without_tools_has_a_page_too() -> None:
    page = read(tools=[])
    assert "Tools (0)" in page.all
    assert "example-call" not in page.texts
    assert "tools/list" in page.texts["example-fetch"]


def test_nothing_is_loaded_from_anywhere() -> None:
    urls = [value for _, attributes in read().elements for name, value in attributes if name in ("href", "src")]
    assert urls == ["data:,"]


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other() -> None:
    page = read()
    for key in ("script", "style"):
        digest = b64encode(hashlib.sha256(page.texts[key].encode()).digest()).decode()
        assert f"{key}-src 'sha256-{digest}'" in docs.POLICY
    assert "unsafe" not in docs.POLICY
    assert docs.POLICY.startswith("default-src 'none'")
    assert docs.EXTRA.startswith(b"Content-Security-Policy: " + docs.POLICY.encode() + b"\r\n")
    assert docs.EXTRA.endswith(b"\r\n")
    names = {name for _, attributes in page.elements for name, _ in attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)


def test_the_script_cannot_turn_text_into_markup_or_keep_anything() -> None:
    script = read().texts["script"]
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "srcdoc", "DOMParser", "createContextual",
                "eval(", "Function(", "import(", "localStorage", "sessionStorage", "cookie", "indexedDB", "http:",
                "https:", "<"):  # fmt: skip
        assert way not in script.replace("<=", "").replace(" < ", ""), way
    for rule in ("require-trusted-types-for 'script'", "trusted-types 'none'", "connect-src 'self'"):
        assert rule in docs.POLICY.split("; ")


@pytest.mark.requirement("D-docs-live")
def test_a_token_is_asked_for_where_people_have_to_say_who_they_are() -> None:
    fields = [dict(attributes) for tag, attributes in read().elements if tag == "input"]
    assert fields == []
    page = Reader(docs.page("http://localhost:3002", None, name="demo", version="1.0"))
    (field,) = (dict(attributes) for tag, attributes in page.elements if tag == "input")
    assert (field["type"], field["autocomplete"]) == ("password", "off")
    assert "name" not in field, "no form could send it"
    (label,) = (dict(attributes) for tag, attributes in page.elements if tag == "label")
    assert label["for"] == field["id"]


def test_every_place_that_the_script_looks_for_is_there() -> None:
    page = Reader(docs.page("http://localhost:3002", None, name="demo", version="1.0"))
    ids = [dict(attributes)["id"] for _, attributes in page.elements if "id" in dict(attributes)]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'find\("([^"]*)"\)', page.texts["script"])) <= set(ids)


def test_the_page_is_one_answer() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        page, head = client.get("/docs"), client.ask("HEAD", "/docs")
        assert (page.status, head.status) == (200, 200)
        assert page.fields["content-type"] == "text/html; charset=utf-8"
        assert page.fields["content-security-policy"] == docs.POLICY
        assert page.fields["cache-control"] == "no-store"
        assert page.fields["content-length"] == str(len(page.body))
        assert len(page.body) < 64 * KIB
        assert head.body == b""
        assert head.fields == page.fields
        assert client.get("/docs", origin="https://elsewhere.example").status == 403
        assert client.get("/docs", host="elsewhere.example").status == 403


HOSTILE = st.sampled_from(
    ["<script>alert(1)</script>", "</code></pre><img src=x onerror=alert(1)>", "\" onload='x'", "&lt;b&gt;", "'", "\\",
     "$(touch /tmp/x)", "`id`", "%s%%", "</script><script>", "<!--", "\ud800", "\u2028", "\x00"]
) | st.text(max_size=40)  # fmt: skip


@given(name=HOSTILE, description=HOSTILE, key=HOSTILE, value=HOSTILE)
def test_what_tools_say_stays_text(name: str, description: str, key: str, value: str) -> None:
    plain = read(tools=[tool("t", "d", key={"default": "v"})], name="n")
    hostile = read(tools=[tool(name, description, **{key: {"default": value}})], name=name)
    assert hostile.elements == plain.elements
    assert hostile.texts["script"] == plain.texts["script"]


def split(command: str) -> list[str]:
    """As a shell does, which knows (and shlex does not) that a backslash joins lines."""
    return shlex.split(command.replace(" \\\n  -", " -"))


@given(name=HOSTILE, key=HOSTILE, value=HOSTILE, host=st.sampled_from(["localhost:3002", "a'b", 'a"b', "$(id)", "<b>"]))
def test_the_curl_examples_survive_shell_and_json(name: str, key: str, value: str, host: str) -> None:
    page = read(f"http://{host}", [tool(name, "", **{key: {"default": value}})])
    for example in ("list", "call"):
        words = split(page.texts[f"example-{example}"])
        assert words[:5] == ["curl", f"http://{host}/mcp", "-H", "Content-Type: application/json", "-d"]
        assert len(words) == 6
    assert json.loads(split(page.texts["example-list"])[5])["method"] == "tools/list"
    called = json.loads(split(page.texts["example-call"])[5])
    assert called["params"] == {"name": name, "arguments": {key: value}}


def test_the_example_call_takes_the_simplest_tool_and_fits_its_schema() -> None:
    many = tool("many", a={"type": "integer"}, b={"enum": ["x", "y"]}, c={"type": ["number", "null"]}, d=True)
    assert docs._call([many])["params"]["arguments"] == {"a": 1, "b": "x", "c": 1, "d": "text"}  # type: ignore[index]
    simple = tool("simple")
    assert docs._call([many, simple])["params"] == {"name": "simple", "arguments": {}}  # type: ignore[index]


def test_the_public_prefix_is_in_every_example() -> None:
    page = read("https://mcp.example.com/tools/")
    for key, text in page.texts.items():
        if key.startswith("example-"):
            assert "https://mcp.example.com/tools/" in text, key
            assert "tools//" not in text, key
