"""The page behind `GET /docs`: the server as it is now, its tools and a form to call each, examples that can be copied.

A pure function from plain arguments to one self-contained HTML page; `endpoint` calls it and adds `EXTRA`. Names, texts
and schemas of tools are hostile (design §1: escaped), the Host that a client sent too: everything variable is escaped
once for where it lands (shell, JavaScript, JSON) and once for HTML. Script (`docs.js`) and style are constants, allowed
by their hashes, so that nothing that slipped in would run, and the script cannot turn text into markup (trusted types).
It is an ordinary client of `/mcp` and `/metrics`: no route is there for it, and who asks is asked there.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --key: #06c; --wrong: #b00; }
@media (prefers-color-scheme: dark) { :root { --key: #6bf; --wrong: #f88; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; } a { color: var(--key); }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } td:first-child { white-space: nowrap; }
pre { background: var(--soft); border-radius: 6px; margin: 0; overflow-x: auto; padding: .75rem; }
.text { overflow-wrap: anywhere; white-space: pre-wrap; } .copy { position: relative; }
.copy button { position: absolute; right: .5rem; top: .5rem; }
.tool { border: 1px solid var(--line); border-radius: 6px; margin: .75rem 0; padding: .75rem; }
.tool h3 { margin: 0; } .tool p { margin: .5rem 0; } summary { cursor: pointer; }
.field { margin: .75rem 0; } .field label, .field small { display: block; }
.field input, .field select, .field textarea { box-sizing: border-box; font: inherit; width: 100%; }
.wrong { color: var(--wrong); } .result { max-height: 30rem; overflow: auto; white-space: pre-wrap; }
.events, #messages { font-size: 14px; max-height: 20rem; overflow: auto; overflow-wrap: anywhere; padding: 0; }
.events, #messages { list-style: none; } #messages li { border-bottom: 1px solid var(--line); }
"""

_SCRIPT: Final = resources.files("fastsse").joinpath("docs.js").read_text("utf-8")


def _hash(source: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


POLICY: Final = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
EXTRA: Final = (
    f"Content-Security-Policy: {POLICY}\r\n"
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
).encode()
"""The header lines that belong to the page."""

_ENDPOINTS: Final = (
    ("GET", "/sse", "Opens an HTTP+SSE stream (2024-11-05); its first event says where to POST."),
    ("POST", "/message?sessionId=<id>", "One JSON-RPC message of that session: 202, the answer comes on the stream."),
    ("POST", "/mcp", "JSON-RPC in, JSON or an event stream out (2025-03-26 and later; also without a session)."),
    ("GET", "/mcp", "A session's own stream; without a session id plain events: welcome, heartbeat, broadcasts."),
    ("DELETE", "/mcp", "Ends the session named in Mcp-Session-Id."),
    ("GET", "/health", "Status, version, number of tools and sessions."),
    ("GET", "/ready", "200, or 503 while the server finishes its last calls."),
    ("GET", "/sessions", "The sessions that are open."),
    ("GET", "/metrics", "Prometheus text, or JSON for Accept: application/json."),
    ("GET", "/docs", "This page: a client of /mcp and /metrics."),
)


def page(base_url: str, tools: Sequence[Mapping[str, Any]] | None, *, name: str, version: str) -> bytes:
    """The HTML as UTF-8.

    `base_url`: scheme://host[:port][/prefix] under which this client reaches the server, without a slash at the end.
    `tools`: mappings with `name`, `description` (text or absent) and `inputSchema`; None: they are not for everybody.
    """
    base = base_url.rstrip("/")
    rows = "".join(
        f"<tr><td><code>{method} {escape(path)}</code></td><td>{escape(about)}</td></tr>"
        for method, path, about in _ENDPOINTS
    )
    shown = "".join(map(_tool, tools or ())) or "<p>None are offered.</p>"
    if tools is None:
        shown = "<p>They are listed for those who say who they are: <code>Authorization: Bearer …</code></p>"
    examples = "".join(
        f"<h3>{escape(title)}</h3>{_block(f'example-{key}', text)}"
        for key, title, text in _examples(base, tools or (), name)
    )
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(name)}</h1>
<p>Version {escape(version)}, a Model Context Protocol server at <code>{escape(base)}</code>.</p>
<div id="live" hidden>
<h2>Now</h2>
<form id="connect">
{"" if tools is not None else _TOKEN}<button>Connect</button> <span id="state" role="status"></span>
</form>
<table aria-label="State of the server"><tbody id="figures"></tbody></table>
<p id="note"></p>
</div>
<h2 id="tools">Tools<span id="number">{"" if tools is None else f" ({len(tools)})"}</span></h2>
<div id="offered">{shown}</div>
<div id="said" hidden>
<h2 id="messages-of">Messages of this page, the latest first</h2>
<ol id="messages" tabindex="0" aria-labelledby="messages-of"></ol>
</div>
<h2>Endpoints</h2>
<table><tbody>{rows}</tbody></table>
<h2 id="examples">Examples</h2>
{examples}
<script type="module">{_SCRIPT}</script>
</body>
</html>
"""
    return text.encode("utf-8", "replace")  # a description may hold half a surrogate pair


_TOKEN: Final = """<div class="field">
<label for="token">Bearer token</label>
<input id="token" type="password" autocomplete="off" spellcheck="false" aria-describedby="token-about">
<small id="token-about">It is kept in the memory of this page only.</small>
</div>
"""


def _block(key: str, text: str) -> str:
    return f'<div class="copy"><pre><code id="{key}">{escape(text)}</code></pre></div>'


def _tool(tool: Mapping[str, Any]) -> str:
    description = str(tool.get("description") or "")
    schema = json.dumps(tool.get("inputSchema", {}), indent=2, default=str, ensure_ascii=False)
    return (
        f'<div class="tool"><h3><code>{escape(str(tool.get("name", "")))}</code></h3>'
        f'<p class="text">{escape(description)}</p>'
        f"<details><summary>Input schema</summary><pre><code>{escape(schema)}</code></pre></details></div>"
    )


def _examples(base: str, tools: Sequence[Mapping[str, Any]], name: str) -> Iterable[tuple[str, str, str]]:
    """Key, title and text, not yet escaped for HTML."""
    post = f"curl {shlex.quote(base + '/mcp')}{_JSON_BODY}"
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    yield "list", "List the tools (curl)", post + shlex.quote(json.dumps(listing))
    call = _call(tools)
    if call is not None:
        yield "call", "Call a tool (curl)", post + shlex.quote(json.dumps(call))
    yield "stream", "Watch a stream (curl)", f"curl -N {shlex.quote(base + '/sse')}"
    message = shlex.quote(f"{base}/message?sessionId=")
    yield (
        "message",
        "Send a message to that stream (curl, with the id that its first event names)",
        f'SESSION_ID=…\ncurl {message}"$SESSION_ID"{_JSON_BODY}{shlex.quote(json.dumps(listing))}',
    )
    yield "fetch", "Call a tool (JavaScript)", _FETCH % (_script(f"{base}/mcp"), _script(call or listing))
    yield "events", "HTTP+SSE (JavaScript)", _EVENTS % (_script(f"{base}/sse"), _script(call or listing))
    yield "plain", "Plain events (JavaScript)", _PLAIN % _script(f"{base}/mcp")
    client = {"mcpServers": {name: {"type": "http", "url": f"{base}/mcp"}}}
    yield "client", "Settings of an MCP client", json.dumps(client, indent=2, ensure_ascii=False)


_JSON_BODY: Final = " \\\n  -H 'Content-Type: application/json' \\\n  -d "

_FETCH: Final = """const response = await fetch(%s, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(%s),
});
console.log(await response.json());"""

_EVENTS: Final = """const stream = new EventSource(%s);
stream.addEventListener("endpoint", (event) => {
  fetch(new URL(event.data, stream.url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(%s),
  });
});
stream.addEventListener("message", (event) => console.log(JSON.parse(event.data)));"""

_PLAIN: Final = """const events = new EventSource(%s);
for (const type of ["welcome", "heartbeat", "notification"]) {
  events.addEventListener(type, (event) => console.log(type, JSON.parse(event.data)));
}"""


def _script(value: object) -> str:
    """A JavaScript literal."""
    return json.dumps(value)


def _call(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """A `tools/call` that the first tool with the fewest required arguments accepts, as far as its schema tells."""
    if not tools:
        return None
    tool = min(tools, key=lambda tool: len(_required(tool)))
    properties = tool.get("inputSchema", {}).get("properties", {})
    arguments = {key: _sample(properties.get(key, {})) for key in _required(tool)}
    params = {"name": tool["name"], "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}


def _required(tool: Mapping[str, Any]) -> Sequence[str]:
    required = tool.get("inputSchema", {}).get("required", ())
    return required if isinstance(required, list) else ()


_SAMPLES: Final[dict[str, object]] = {
    "string": "text", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "null": None,
}  # fmt: skip


def _sample(schema: object) -> object:
    if not isinstance(schema, Mapping):
        return "text"
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
    return _SAMPLES.get(kind, "text") if isinstance(kind, str) else "text"
