"""The MCP Inspector's command line: one process per method; `--mode` legacy, auto or modern. Runs with any Python.

The Inspector prints results only, so there is no progress and no revision in this report.
"""

import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from driver import DEMO, arguments, report

NODE = Path(os.environ["PEERS"]) / "node" / "node_modules"
LAUNCHER = NODE / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
args = arguments()
era = {"legacy": "legacy", "auto": "auto"}.get(args.mode, "modern")


def inspect(method: str, *options: str) -> dict[str, Any]:
    command = [NODE / "node" / "bin" / "node", LAUNCHER, "--cli", args.url, "--transport", args.transport]
    command += ["--protocol-era", era, "--format", "json", "--method", method, *options]
    with tempfile.TemporaryDirectory() as home:  # it keeps a catalog and secrets there
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | {"HOME": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    printed = done.stdout.strip() or done.stderr.strip()
    try:
        result = json.loads(printed)
    except ValueError:
        raise SystemExit(f"{method}: {done.stdout}\n{done.stderr}") from None
    return dict(result)


def call(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return inspect("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(given))


with ThreadPoolExecutor(2) as pool:
    tools = pool.submit(inspect, "tools/list")
    echo = pool.submit(call, DEMO["echo"], {"text": args.payload})
    add = pool.submit(call, DEMO["add"], {"a": 2, "b": 3})
    resources = pool.submit(inspect, "resources/list")
    templates = pool.submit(inspect, "resources/templates/list")
    resource = pool.submit(inspect, "resources/read", "--uri", DEMO["resource"])
    templated = pool.submit(inspect, "resources/read", "--uri", DEMO["templated"])
    prompts = pool.submit(inspect, "prompts/list")
    prompt = pool.submit(
        inspect, "prompts/get", "--prompt-name", DEMO["prompt"], "--prompt-args", "name=" + DEMO["name"]
    )
    unknown = pool.submit(call, DEMO["unknown"], {})

seen: dict[str, Any] = {
    "tools": [item["name"] for item in tools.result()["result"]["tools"]],
    "echo": echo.result()["result"]["content"][0]["text"],
    "add": add.result()["result"]["content"][0]["text"],
    "resources": [item["uri"] for item in resources.result()["result"]["resources"]],
    "templates": [item["uriTemplate"] for item in templates.result()["result"]["resourceTemplates"]],
    "resource": resource.result()["result"]["contents"][0]["text"],
    "templated": templated.result()["result"]["contents"][0]["text"],
    "prompts": [item["name"] for item in prompts.result()["result"]["prompts"]],
    "prompt": prompt.result()["result"]["messages"][0]["content"]["text"],
    "unknown": unknown.result()["error"],  # it looks into tools/list first and does not ask the server
}
report(**seen)
