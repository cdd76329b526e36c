"""What every Python driver of a client stack shares: its command line, the demo app's names, and its report.

A driver is a small program that uses one client stack as its documentation says, walks through the demo app and prints
one JSON object. It asserts nothing: `tests/test_clients.py` does. Runs in the environment of its stack, so only the
standard library may be imported here.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEMO: dict[str, Any] = json.loads((HERE / "demo.json").read_text())
COUNTDOWN = {"steps": DEMO["steps"], "delay": DEMO["delay"]}


def arguments() -> argparse.Namespace:
    """`--url` of the endpoint, `--transport` of it, how to negotiate, the text to echo, how often to count down; a
    bearer token, or who gives tokens."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--transport", choices=["sse", "http"], required=True)
    parser.add_argument("--mode", default="legacy")
    parser.add_argument("--payload", default="ping")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--token", default="")
    parser.add_argument("--issuer", default="")
    return parser.parse_args()


def report(**fields: Any) -> None:
    """Prints the report. Called after the client was closed: reaching this line is the proof of a clean close."""
    json.dump(fields | {"closed": True}, sys.stdout)
