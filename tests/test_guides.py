"""Whoever follows one of the two guides gets what it promises: their client code, held open for 90 s of server clock.

Each test runs with our re-enactment and, where the guides are, with their own code, taken from them here and now. Ports
are the only thing that is changed in it. The server is `clients/guides/clocked.py`; what must not break is the first
column of design §1.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any

import pytest

import seeds
from driving import scripted
from serving import ROOT

OURS = ROOT / "tests" / "clients" / "guides"
HELD = 90
TOOLS = ["get_sprint_report", "reports", "advance", "broadcast"]
REPORT = [123, 456]

whose = pytest.mark.parametrize(
    "whose", ["ours", *([pytest.param("guide", marks=pytest.mark.clients)] if seeds.WANTED else [])]
)
CODE = {  # ours, and where the guide has its own: guide, language, place
    "pair.py": ("node", "python", 0),
    "pair.ts": ("node", "typescript", 0),
    "hook.ts": ("node", "typescript", -1),
    "plain.js": ("crystal", "javascript", 0),
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
JSON = "-H 'Content-Type: application/json'"
OUR_CURLS = {
    "node": [
        "curl http://localhost:3002/health",
        "curl http://localhost:3002/sessions",
        "curl -N http://localhost:3002/sse",
        f"curl 'http://localhost:3002/message?sessionId=<SESSION_ID>' {JSON} -d '{json.dumps(LIST)}'",
    ],
    "crystal": [
        "curl -N -H 'Accept: text/event-stream' http://localhost:8080/mcp",
        f"curl http://localhost:8080/mcp {JSON} -d '{json.dumps(INITIALIZE)}'",
    ],
}
OUR_SAMPLES: list[dict[str, Any]] = [
    {"status": "healthy", "mode": "sse", "timestamp": "2025-10-11T10:30:00.000Z", "tools": 1, "activeSessions": 1},
    {"count": 0, "sessions": []},
]


@pytest.fixture
def clocked() -> Iterator[str]:
    """The address of a server whose seconds pass only through its tool `advance`."""
    command = [sys.executable, str(OURS / "clocked.py")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)
            _, wrong = process.communicate(timeout=20)
            assert (process.returncode, wrong) == (0, "")
        finally:
            if process.poll() is None:
                process.kill()


def placed(text: str, base: str) -> str:
    """The code with our port for the guides'."""
    return re.sub(r"http://localhost:(3002|8080)\b", base, text)


def code(name: str, whose: str, base: str, folder: Path) -> Path:
    """The file to run."""
    guide, language, place = CODE[name]
    text = (OURS / name).read_text() if whose == "ours" else seeds.blocks(guide, language)[place]
    path = folder / name
    path.write_text(placed(text, base))
    return path


def post(base: str, message: dict[str, Any], path: str = "/mcp") -> tuple[int, bytes]:
    """A POST as guide C's Crystal client makes it: one header."""
    connection = HTTPConnection(base.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", path, json.dumps(message), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call(base: str, name: str, **arguments: Any) -> Any:
    """The text of a tool's answer."""
    params = {"name": name, "arguments": arguments}
    status, body = post(base, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert status == 200
    return json.loads(body)["result"]["content"][0]["text"]


def reports(base: str) -> Any:
    return json.loads(call(base, "reports"))


def sessions(base: str) -> list[str]:
    with urllib.request.urlopen(f"{base}/sessions", timeout=20) as answer:
        found: list[str] = json.load(answer)["sessions"]
    return found


# --- guide N's Python client


def replayed(base: str, session: str, number: int) -> list[Any]:
    """The messages of a session whose stream was lost, read by coming back to it."""
    connection = HTTPConnection(base.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", "/sse", headers={"Last-Event-ID": f"{session}:0"})
        lines = iter(connection.getresponse().readline, b"")
        found = (json.loads(line[6:]) for line in lines if line.startswith(b"data: {"))
        return [next(found) for _ in range(number)]
    finally:
        connection.close()


@whose
def test_the_python_client_may_drop_its_stream_and_post(whose: str, clocked: str, tmp_path: Path) -> None:
    script = code("pair.py", whose, clocked, tmp_path)
    script.write_text(script.read_text() + "\nprint(client.session_id)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    session = done.stdout.split()[-1]
    assert reports(clocked) == [REPORT]
    listed, called = replayed(clocked, session, 2)
    assert (listed["id"], [tool["name"] for tool in listed["result"]["tools"]]) == (1, TOOLS)
    assert (called["id"], called["result"]["content"][0]["text"]) == (2, "Sprint 456 of board 123")


# --- the browser


def browse(kind: str, source: Path, base: str) -> dict[str, Any]:
    return scripted(OURS / "browser.mjs", "--kind", kind, "--source", source, "--url", base)


def messages(seen: dict[str, Any]) -> list[Any]:
    return [json.loads(data) for type, data in seen["heard"] if type == "message"]


def types(seen: dict[str, Any]) -> list[str]:
    return [type for type, _ in seen["heard"]]


@pytest.mark.clients
@whose
def test_the_typescript_class(whose: str, clocked: str, tmp_path: Path) -> None:
    seen = browse("typescript", code("pair.ts", whose, clocked, tmp_path), clocked)
    assert seen["wrong"] == []
    # It takes the endpoint event for JSON: an exception that the browser logs, once a stream (design §1).
    assert seen["thrown"] == ["SyntaxError"] * 2
    whole, held = seen["whole"], seen["held"]
    assert whole["posts"] == [["/message", 202]] * 2
    assert types(whole)[:2] == ["endpoint", "message"]
    assert messages(whole)[0]["method"] == "notifications/initialized"
    assert reports(clocked) == [REPORT] * 3
    hello, listed, *called = messages(held)
    assert set(hello["params"]) == {"sessionId"}
    assert [tool["name"] for tool in listed["result"]["tools"]] == TOOLS
    assert [answer["result"]["content"][0]["text"] for answer in called] == ["Sprint 456 of board 123"] * 2
    assert types(held) == ["endpoint"] + ["message"] * 4, "no error, no reconnection"
    assert held["states"] == [1], "open to the end"


@pytest.mark.clients
@whose
def test_the_react_hook(whose: str, clocked: str, tmp_path: Path) -> None:
    seen = browse("react", code("hook.ts", whose, clocked, tmp_path), clocked)
    assert (seen["wrong"], seen["thrown"]) == ([], [])
    hello, *listed = messages(seen["held"])
    assert hello["params"] == {"sessionId": seen["session"]}
    assert [[tool["name"] for tool in answer["result"]["tools"]] for answer in listed] == [TOOLS] * 2
    assert seen["posts"] == [["/message", 202]] * 2
    assert seen["held"]["states"] == [1]
    call(clocked, "advance", seconds=31)
    assert seen["session"] not in sessions(clocked), "it left when the page did"


@pytest.mark.clients
@whose
def test_the_plain_javascript(whose: str, clocked: str, tmp_path: Path) -> None:
    seen = browse("javascript", code("plain.js", whose, clocked, tmp_path), clocked)
    assert (seen["wrong"], seen["thrown"]) == ([], [])
    assert (seen["answer"]["id"], seen["answer"]["result"]["protocolVersion"]) == (1, "2024-11-05")
    held = seen["held"]
    assert types(held) == ["welcome", *["heartbeat"] * (HELD // 30), "response"]
    heard = [json.loads(data) for _, data in held["heard"]]
    assert [event["type"] for event in heard] == types(held)
    assert "clocked" in heard[0]["message"]
    assert heard[-1]["text"] == "for everybody"
    assert held["states"] == [1]


# --- curl


def shell(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def watching(command: str) -> Iterator[IO[str]]:
    """What a curl that does not end prints, as it comes; 60 s at most."""
    timed = ["bash", "-c", f"exec {command.replace('curl', 'curl --max-time 60', 1)}"]
    with subprocess.Popen(timed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()


def commands(guide: str, whose: str, base: str) -> dict[str, str]:
    """The curl lines by the path that they ask for; a POST by "POST" and its path."""
    found = {}
    for command in OUR_CURLS[guide] if whose == "ours" else seeds.curls(guide):
        path = re.search(r"localhost:\d+(/\w+)", command)
        assert path is not None
        found[f"{'POST ' if ' -d ' in command else ''}{path[1]}"] = placed(command, base)
    return found


def next_message(lines: IO[str]) -> Any:
    return json.loads(next(line for line in lines if line.startswith("data: {")).removeprefix("data: "))


def like(sample: Any, answer: Any) -> None:
    """The answer has what the sample has, of the same types."""
    assert sample.keys() <= answer.keys()
    assert {key: type(answer[key]) for key in sample} == {key: type(value) for key, value in sample.items()}


@pytest.mark.clients
@whose
def test_the_node_guides_curl_lines(whose: str, clocked: str) -> None:
    lines = commands("node", whose, clocked)
    assert lines.keys() == {"/health", "/sessions", "/sse", "POST /message"}
    health, listed = (json.loads(text) for text in seeds.blocks("node", "json")) if whose == "guide" else OUR_SAMPLES
    with watching(lines["/sse"]) as stream:
        assert stream.readline() == "event: endpoint\n"
        session = next_message(stream)["params"]["sessionId"]
        like(health, json.loads(shell(lines["/health"])))
        like(listed, json.loads(shell(lines["/sessions"])))
        assert json.loads(shell(lines["/sessions"])) == {"count": 1, "sessions": [session]}
        assert json.loads(shell(lines["/health"]))["activeSessions"] == 1
        post = lines["POST /message"].replace("<SESSION_ID>", session)
        assert shell(post) == "Accepted"
        assert [tool["name"] for tool in next_message(stream)["result"]["tools"]] == TOOLS
        call(clocked, "advance", seconds=HELD)
        assert shell(post) == "Accepted"
        later = []
        for line in stream:
            later.append(line)
            if line.startswith("data: {"):
                break
        assert json.loads(later[-1].removeprefix("data: "))["id"] == 1
        assert len([line for line in later if line.startswith(":")]) == HELD // 15


@pytest.mark.clients
@whose
def test_the_crystal_guides_curl_lines(whose: str, clocked: str) -> None:
    lines = commands("crystal", whose, clocked)
    assert lines.keys() == {"/mcp", "POST /mcp"}
    answer = json.loads(shell(lines["POST /mcp"]))
    assert (answer["id"], answer["result"]["protocolVersion"]) == (1, "2024-11-05")
    with watching(lines["/mcp"]) as stream:
        assert stream.readline() == "event: welcome\n"
        assert next_message(stream)["type"] == "welcome"
        call(clocked, "advance", seconds=HELD)
        beats = [next_message(stream) for _ in range(HELD // 30)]
        assert [beat["timestamp"][14:19] for beat in beats] == ["30:30", "31:00", "31:30"]


# --- guide C's Crystal client, which is re-enacted only: it looks at `data: ` lines and at "type" in them


class Watch:
    """A stream and what it has said, read without waiting for more."""

    def __init__(self, base: str, path: str, **headers: str) -> None:
        host, _, port = base.removeprefix("http://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{fields}\r\n".encode())
        self.text = ""

    def until(self, part: str) -> str:
        """Reads until `part` was said; what was said up to there is forgotten and given back."""
        while part not in self.text:
            more = self.socket.recv(65536)
            assert more, f"the stream ended without {part!r}: {self.text!r}"
            self.text += more.decode()
        before, found, self.text = self.text.partition(part)
        return before + found

    def silent(self) -> bool:
        """Nothing was said since."""
        self.socket.setblocking(False)
        try:
            self.text += self.socket.recv(65536).decode()
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(20)
        return not self.text.strip("\r\n0123456789abcdef")  # chunk sizes

    def close(self) -> None:
        self.socket.close()


def test_the_crystal_client(clocked: str) -> None:
    stream = HTTPConnection(clocked.removeprefix("http://"), timeout=20)
    stream.request("GET", "/mcp")
    lines = stream.getresponse()
    events = (json.loads(line[6:]) for line in iter(lines.readline, b"") if line.startswith(b"data: "))
    welcome = next(events)
    assert (welcome["type"], type(welcome["message"])) == ("welcome", str)
    status, body = post(clocked, INITIALIZE)
    assert (status, json.loads(body)["result"]["serverInfo"]["name"]) == (200, "clocked")
    call(clocked, "advance", seconds=HELD)
    call(clocked, "broadcast", event="notification", text="news")
    assert [next(events)["type"] for _ in range(4)] == ["heartbeat"] * 3 + ["notification"]
    stream.close()


# --- the clock


def quiet_until(streams: list[Watch], base: str, seconds: int) -> None:
    """Lets all but the last of these seconds pass, which nobody hears; then the last."""
    call(base, "advance", seconds=seconds - 1)
    assert [stream.silent() for stream in streams] == [True] * len(streams)
    call(base, "advance", seconds=1)


def test_what_is_heard_in_90_seconds(clocked: str) -> None:
    connection = HTTPConnection(clocked.removeprefix("http://"), timeout=20)
    reads = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", json.dumps(INITIALIZE), reads)
    session = connection.getresponse().headers["Mcp-Session-Id"]
    connection.close()

    pair, plain, beats, none = (
        Watch(clocked, path) for path in ("/sse", "/mcp", "/mcp?events=heartbeat", "/mcp?events=notification")
    )
    standing = Watch(clocked, "/mcp", Accept="text/event-stream", Mcp_Session_Id=session)
    streams = [pair, plain, beats, none, standing]
    pair.until('"}}\n\n\r\n')
    plain.until('"}\n\n\r\n')
    for stream in (beats, none, standing):
        stream.until("\n\n\r\n")
    for second in range(15, HELD + 1, 15):
        quiet_until(streams, clocked, 15)
        for stream in (pair, standing, none):
            assert re.fullmatch(r"\w+\r\n: ping\n\n\r\n", stream.until("\n\n\r\n"))
        for stream in (plain, beats):
            said = stream.until("\n\n\r\n")
            if second % 30:
                assert ": ping\n" in said
            else:
                assert "event: heartbeat\n" in said
                minute, rest = divmod(second, 60)
                assert f'"timestamp":"2025-10-11T10:{30 + minute}:{rest:02}.000Z"' in said
    assert len(sessions(clocked)) == 2, "a session with a stream lives"
    for stream in streams:
        stream.close()
