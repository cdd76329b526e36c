"""The examples under examples/deploy do what they say: nginx in front of a server, with streams; the unit; the image.

A real nginx runs on its own prefix. Its configuration is the example's with other ports and paths, or guide C's snippet
(ours, and where the guides are, their own). That events are not held back is shown without a clock: the tool goes on
only when the client says that it has read the last one.
"""

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

import seeds
from bench.servers import free_port
from serving import ROOT, healthy, serving

DEPLOY = ROOT / "examples" / "deploy"
NAME = "mcp.example.com"
START = 20.0
APP = """
import asyncio
from fastsse import App, Context

app = App("gated", version="1")
gate: asyncio.Queue[None] = asyncio.Queue()

@app.tool
async def steps(context: Context) -> str:
    for step in (1, 2, 3):
        context.progress(step, 3)
        await gate.get()
    return "done"

@app.tool(inline=True)
def go() -> str:
    gate.put_nowait(None)
    return "went"
"""
OUR_SNIPPET = """
location /mcp {
    proxy_pass http://localhost:8080;
    proxy_http_version 1.1;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $host;
    proxy_buffering off;
}
"""

clients = pytest.mark.clients


# --- nginx


@contextmanager
def nginx(site: str, folder: Path, port: int) -> Iterator[None]:
    """An nginx of our own, with `site` in its http block, until the end of the block."""
    command = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert command is not None, "run scripts/peers"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{site}\n}}\n"
    )
    process = subprocess.Popen([command, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        deadline = time.monotonic() + START
        while True:
            assert process.poll() is None, (folder / "error.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, f"nginx does not listen on {port}"
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(20)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for NAME."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30)
    return key, cert


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Every change must have something to change, or the example is not what the tests think."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Site:
    """What clients know of a published server; `secure` is the certificate to trust, None without TLS."""

    def __init__(self, port: int, secure: Path | None) -> None:
        self.port = port
        self.secure = secure
        self.context = None if secure is None else ssl.create_default_context(cafile=str(secure))

    def connect(self) -> HTTPConnection:
        connection = HTTPConnection(NAME, self.port, timeout=30)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sock = raw if self.context is None else self.context.wrap_socket(raw, server_hostname=NAME)
        return connection

    def post(self, message: dict[str, Any], path: str = "/mcp", **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of an answer."""
        connection = self.connect()
        fields = {"Host": NAME, "Content-Type": "application/json"} | headers
        connection.request("POST", path, json.dumps({"jsonrpc": "2.0", "id": 1} | message), fields)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        told = json.loads(body) if "json" in answer.headers.get("Content-Type", "") else body.decode()
        return answer.status, dict(answer.headers), told

    def call(self, tool: str) -> Any:
        status, _, told = self.post({"method": "tools/call", "params": {"name": tool}})
        assert status == 200
        return told["result"]["content"][0]["text"]

    @contextmanager
    def stream(self, path: str, message: dict[str, Any] | None = None, **headers: str) -> Iterator[HTTPResponse]:
        connection = self.connect()
        body = None if message is None else json.dumps({"jsonrpc": "2.0", "id": 7} | message)
        fields = {"Host": NAME, "Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        connection.request("GET" if body is None else "POST", path, body, fields | headers)
        try:
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
            yield answer
        finally:
            connection.close()


def data(stream: HTTPResponse) -> str:
    """The data of the next event."""
    for line in iter(stream.readline, b""):
        if line.startswith(b"data: "):
            return line[6:].decode().strip()
    pytest.fail("the stream ended")


@contextmanager
def published(folder: Path, *settings: str, read_timeout: str = "1h") -> Iterator[Site]:
    """A server behind the example's nginx."""
    (folder / "gated.py").write_text(APP)
    key, cert = certificate(folder)
    port = free_port()
    with serving(str(folder / "gated.py"), *settings) as base:
        site = replaced(
            (DEPLOY / "nginx.conf").read_text(),
            ("127.0.0.1:3002", base.removeprefix("http://")),
            ("listen 443 ", f"listen 127.0.0.1:{port} "),
            (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(cert)),
            (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(key)),
            ("proxy_read_timeout 1h;", f"proxy_read_timeout {read_timeout};"),
        )
        with nginx(site, folder, port):
            yield Site(port, cert)


STEPS = {"method": "tools/call", "params": {"name": "steps", "_meta": {"progressToken": "t"}}}


@clients
def test_calls_and_streams_go_through_nginx(tmp_path: Path) -> None:
    with published(tmp_path, "--public-url", f"https://{NAME}") as site:
        assert site.call("go") == "went"
        assert site.call("go") == "went", "over a connection that nginx kept, or a new one"
        pages_of_its_address(site)
        over_http2(site)
        one_by_one_on_mcp(site)
        one_by_one_on_sse(site)
        for hidden in ("/metrics", "/sessions"):
            assert site.post({"method": "ping"}, hidden)[0] == 404


def pages_of_its_address(site: Site) -> None:
    """A page of the public address may come, and sees the public address."""
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    origin = f"https://{NAME}"
    status, headers, told = site.post({"method": "initialize", "params": hello}, Origin=origin)
    assert (status, told["result"]["serverInfo"]["name"]) == (200, "gated")
    assert headers["Access-Control-Allow-Origin"] == origin
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["Mcp-Session-Id"])
    assert site.post({"method": "ping"}, Origin="https://stranger.example")[0] == 403
    connection = site.connect()
    connection.request("GET", "/docs", headers={"Host": NAME})
    assert f"https://{NAME}/mcp" in connection.getresponse().read().decode()
    connection.close()


def over_http2(site: Site) -> None:
    """As browsers come."""
    assert site.secure is not None
    command = ["curl", "--silent", "--show-error", "--max-time", "20", "--http2", "--cacert", str(site.secure)]
    address = ["--resolve", f"{NAME}:{site.port}:127.0.0.1", f"https://{NAME}:{site.port}/health"]
    told = subprocess.run([*command, "--write-out", " %{http_version}", *address], capture_output=True, check=True)
    body, _, version = told.stdout.rpartition(b" ")
    assert (json.loads(body)["status"], version) == ("healthy", b"2")


def one_by_one_on_mcp(site: Site) -> None:
    drained(site)
    with site.stream("/mcp", STEPS) as stream:
        for step in (1, 2, 3):
            assert json.loads(data(stream))["params"] == {"progressToken": "t", "progress": step, "total": 3}
            site.call("go")
        assert json.loads(data(stream))["result"]["content"][0]["text"] == "done"


def one_by_one_on_sse(site: Site) -> None:
    with site.stream("/sse") as stream:
        endpoint = data(stream)
        assert endpoint.startswith("/message?sessionId=")
        assert json.loads(data(stream))["method"] == "notifications/initialized"
        assert site.post(STEPS, endpoint)[0] == 202
        for step in (1, 2, 3):
            assert json.loads(data(stream))["params"]["progress"] == step
            site.call("go")
        assert json.loads(data(stream))["result"]["content"][0]["text"] == "done"


def drained(site: Site) -> None:
    """Takes back what earlier calls of `go` have left in the gate."""
    with site.stream("/mcp", STEPS) as stream:
        site.call("go")
        while "result" not in json.loads(data(stream)):
            pass


@clients
def test_pings_keep_an_idle_stream_longer_than_nginx_waits(tmp_path: Path) -> None:
    # Each shard is visited once a second; nginx gives up after three seconds of silence.
    settings = ("--public-url", f"https://{NAME}", "--ping", "0.5")
    with published(tmp_path, *settings, read_timeout="3s") as site, site.stream("/sse") as stream:
        pings = (line for line in iter(stream.readline, b"") if line == b": ping\n")
        begun = time.monotonic()
        while time.monotonic() < begun + 4:
            assert next(pings, None) is not None, "nginx has closed the stream"


# --- guide C's snippet


@pytest.fixture(params=["ours", *(["guide"] if seeds.WANTED else [])])
def snippet(request: pytest.FixtureRequest) -> str:
    (theirs,) = seeds.blocks("crystal", "nginx") if request.param == "guide" else (OUR_SNIPPET,)
    return theirs


@contextmanager
def snipped(snippet: str, folder: Path, *settings: str) -> Iterator[Site]:
    """A server behind guide C's snippet."""
    port = free_port()
    with serving(*settings) as base:
        location = replaced(snippet, ("localhost:8080", base.removeprefix("http://")))
        site = f"server {{\nlisten 127.0.0.1:{port};\nserver_name {NAME};\n{location}\n}}"
        with nginx(site, folder, port):
            yield Site(port, None)


@clients
@pytest.mark.parametrize("setting", [("--public-url", f"http://{NAME}"), ("--allowed-host", NAME)])
def test_the_crystal_guides_snippet_works_with_one_setting(
    snippet: str, setting: tuple[str, str], tmp_path: Path
) -> None:
    with snipped(snippet, tmp_path, *setting, "--ping", "0.5") as site:
        hello = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        status, _, told = site.post({"method": "initialize", "params": hello})
        assert (status, told["result"]["protocolVersion"]) == (200, "2024-11-05")
        with site.stream("/mcp", Accept="text/event-stream") as stream:
            assert json.loads(data(stream))["type"] == "welcome"
            assert next(line for line in iter(stream.readline, b"") if line.startswith(b":")) == b": ping\n"


@clients
def test_without_a_setting_the_refusal_names_it(snippet: str, tmp_path: Path) -> None:
    with snipped(snippet, tmp_path) as site:
        status, _, told = site.post({"method": "ping"})
        assert status == 403
        assert told["error"]["data"]["saw"] == NAME
        for name in ("--public-url", "--allowed-host"):
            assert name in told["error"]["data"]["setting"]


# --- systemd


def unit() -> dict[str, str]:
    """The [Service] section; of what is there several times, the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "fastsse.service")
    return dict(parser["Service"])


@clients
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = unit()["ExecStart"].split()[0]
    path = tmp_path / "fastsse.service"
    path.write_text(replaced((DEPLOY / "fastsse.service").read_text(), (f"ExecStart={program}", "ExecStart=/bin/true")))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shutil.copy(DEPLOY / "fastsse.socket", tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "fastsse.socket"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    exposure = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]  # 2.0 of 10
    assert subprocess.run(exposure, capture_output=True, timeout=60, check=False).returncode == 0


@clients
@pytest.mark.requirement("D-sockets")
def test_systemd_starts_it_with_its_socket(tmp_path: Path) -> None:
    """systemd's own tool passes what the unit lists, and starts the server with the first connection."""
    lines = (DEPLOY / "fastsse.socket").read_text().splitlines()
    (path,) = (line.partition("=")[2] for line in lines if line.startswith("ListenStream="))
    ours = tmp_path / Path(path).name
    activate = shutil.which("systemd-socket-activate")
    assert activate is not None, "run scripts/peers"
    process = subprocess.Popen(
        [activate, f"--listen={ours}", "--setenv=PYTHONPATH", "--setenv=FASTSSE_HOST=systemd",
         sys.executable, "-m", "fastsse"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START
        while True:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(START)
                with suppress(FileNotFoundError, ConnectionRefusedError):
                    sock.connect(str(ours))
                    sock.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        process.terminate()
        assert process.wait(START) == 0
        assert ours.exists(), "the socket is systemd's"
    finally:
        process.kill()
        process.wait()


def test_what_the_unit_starts_is_what_it_says(tmp_path: Path) -> None:
    """Its command with its variables gives the settings it names, and time enough to stop."""
    text = (DEPLOY / "fastsse.service").read_text()
    variables = dict(found.split("=", 1) for found in re.findall(r"^Environment=(.*)$", text, re.MULTILINE))
    program, *words = shlex.split(unit()["ExecStart"])
    assert (Path(program).name, words) == ("fastsse", ["server.py:app"])
    done = subprocess.run(
        [sys.executable, "-m", "fastsse", "config"],
        cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    rows = {row[0]: row[1:] for line in done.stdout.splitlines() if len(row := line.split()) > 2}
    for variable, value in variables.items():
        assert rows[variable.removeprefix("FASTSSE_").lower()] == [value, variable]
    assert float(unit()["TimeoutStopSec"]) > float(rows["drain_timeout"][0])


# --- the image


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions, as [NAME, rest]; comments are gone, continued lines are one."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [re.split(r"\s+", line.strip(), maxsplit=1) for line in text.splitlines() if line.strip()]


def stages() -> list[list[list[str]]]:
    found: list[list[list[str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def all_of(stage: list[list[str]], name: str) -> list[str]:
    return [rest for one, rest in stage if one == name]


def test_the_image_has_no_build_tools_and_no_root() -> None:
    _, final = stages()
    assert not any("apt-get" in command or "gcc" in command for command in all_of(final, "RUN"))
    assert all_of(final, "USER")[-1] not in ("root", "0")
    assert all_of(final, "COPY") == [], "it comes from the wheels alone"


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_images_commands_give_a_server(tmp_path: Path) -> None:
    """What the Dockerfile does, with folders of ours for its own: there is no container engine in the tests."""
    build, final = stages()
    wheels, source = tmp_path / "wheels", tmp_path / "src"
    source.mkdir()
    for copy in all_of(build, "COPY"):
        *sources, target = copy.split()
        for pattern in sources:
            paths = list(ROOT.glob(pattern))
            assert paths or "*" in pattern, pattern
            for path in paths:
                if path.is_dir():
                    ignore = shutil.ignore_patterns("*.so", "*.c", "__pycache__")
                    shutil.copytree(path, source / target, ignore=ignore)
                else:
                    shutil.copy(path, source)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FASTSSE_"))}
    quick = bare | {"FASTSSE_DEBUG": "1"}  # test_packaging.py makes the release build

    def pip(commands: list[str], cwd: Path) -> Path:
        """Runs the one pip command of a stage in an environment of its own."""
        (command,) = (found[0] for line in commands if (found := re.search(r"\bpip .*", line)))
        home = tmp_path / f"venv-{cwd.name}"
        venv.create(home, with_pip=True)
        words = shlex.split(command.replace("/wheels", str(wheels)))
        done = subprocess.run(
            [home / "bin" / "python", "-m", *words],
            cwd=cwd, env=quick, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return home / "bin"

    pip(all_of(build, "RUN"), source)
    place = tmp_path / "app"
    place.mkdir()
    programs = pip(all_of(final, "RUN"), place)

    port = free_port()
    settings = dict(word.split("=", 1) for line in all_of(final, "ENV") for word in line.split())
    assert settings["FASTSSE_HOST"] == "0.0.0.0", "reachable from outside the container"
    assert all_of(final, "EXPOSE") == [settings["FASTSSE_PORT"]]
    (entry,) = (json.loads(found) for found in all_of(final, "ENTRYPOINT"))
    (check,) = (json.loads(found.partition("CMD")[2]) for found in all_of(final, "HEALTHCHECK"))
    environment = bare | settings | {"FASTSSE_PORT": str(port), "FASTSSE_HOST": "127.0.0.1"}
    server = subprocess.Popen([programs / entry[0], *entry[1:]], cwd=place, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START
        while not healthy(f"http://127.0.0.1:{port}"):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        probe = [programs / check[0], *(word.replace(settings["FASTSSE_PORT"], str(port)) for word in check[1:])]
        assert subprocess.run(probe, env=bare, timeout=20, check=False).returncode == 0
        server.terminate()
        assert server.wait(20) == 0
        assert subprocess.run(probe, env=bare, timeout=20, capture_output=True, check=False).returncode != 0
    finally:
        server.kill()
        server.wait()
