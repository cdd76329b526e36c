"""The command line: help, config, targets, start-up lines, one sentence for what cannot work, and --reload.

What needs a real process starts one on a port from the system; every wait has a limit, none is a sleep.
"""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fastsse import __main__, __version__, sources, target
from fastsse.app import App
from fastsse.config import SETTINGS, TYPES, Config
from fastsse.errors import ConfigError
from fastsse.hosting import servable

LIMIT = 30.0

APP = """
from fastsse.app import App
app = App("mine", version="1")
other = App("other", version="2")
nested = type("Holder", (), {"app": other})
number = 7
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder and an environment without settings; what tests import is forgotten."""
    monkeypatch.chdir(tmp_path)
    aliases = {alias for setting in SETTINGS.values() for alias in setting.aliases}
    for variable in os.environ:
        if variable.startswith("FASTSSE_") or variable in aliases:
            monkeypatch.delenv(variable)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("fastsse"):
            del sys.modules[name]


def invoke(*arguments: str, **environment: str) -> Result:
    command, rest = (__main__.CONFIG, arguments[1:]) if arguments[:1] == ("config",) else (__main__.SERVE, arguments)
    return CliRunner().invoke(command, list(rest), env=environment, catch_exceptions=False)


# -- help and settings ------------------------------------------------------------------------------------------------


def test_help_names_every_flag_and_variable() -> None:
    text = invoke("--help").output
    for name, setting in SETTINGS.items():
        for word in (sources.flag(name), f"FASTSSE_{name.upper()}", *setting.aliases, f"{setting.group}:"):
            assert word in text.replace("\n", " "), word


def test_version() -> None:
    assert invoke("--version").output == f"fastsse {__version__}\n"


def test_config_shows_what_is_in_force_and_why(elsewhere: Path) -> None:
    (elsewhere / ".env").write_text("MCP_SSE_HOST=0.0.0.0\nMCP_SSE_PORT=1\n")
    result = invoke("config", "--max-body", "8MiB", "--allowed-host", "a.b", "--allowed-host", "c.d", FASTSSE_PING="5")
    rows = {words[0]: words[1:] for line in result.output.splitlines() if len(words := line.split(maxsplit=2)) == 3}
    assert result.exit_code == 0
    assert rows["host"] == ["0.0.0.0", ".env: MCP_SSE_HOST"]
    assert rows["max_body"] == ["8MiB", "--max-body"]
    assert rows["allowed_hosts"] == ["a.b,c.d", "--allowed-host"]
    assert rows["ping"] == ["5", "FASTSSE_PING"]
    assert rows["heartbeat"] == ["30", "default"]
    assert set(SETTINGS) <= set(rows)


def test_config_hides_secrets() -> None:
    output = invoke("config", FASTSSE_STATE_KEY="hunter2-hunter2-hunter2").output
    assert "hunter2" not in output
    assert "(hidden)" in output


def test_config_names_slips_of_the_pen() -> None:
    assert "FASTSSE_PROT is no setting; did you mean FASTSSE_PORT?" in invoke("config", FASTSSE_PROT="1").output


@pytest.mark.parametrize("name", [name for name in SETTINGS if TYPES[name] is bool])
def test_switches_have_an_off(name: str) -> None:
    off = f"--no-{name.replace('_', '-')}"
    result = invoke("config", off, **{f"FASTSSE_{name.upper()}": "on"})
    assert f"off        --{name.replace('_', '-')}" in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "70000"), "fastsse: port is 70000, but must be a whole number from 0 to 65535 (from --port)\n"),
        (("--env-file", "missing"), "fastsse: there is no file missing (from --env-file)\n"),
        (("--env-file", "."), "fastsse: . cannot be read: "),
    ],
)
def test_wrong_settings_end_with_one_sentence_and_code_2(arguments: tuple[str, ...], sentence: str) -> None:
    for command in ((), ("config",)):
        result = invoke(*command, *arguments)
        assert result.exit_code == 2
        assert result.output.startswith(sentence)
        assert result.output.count("\n") == 1


# -- serving, with a fake server --------------------------------------------------------------------------------------


class FakeRun:
    """Stands where `fastsse.server.run` stands; remembers what it was given."""

    def __init__(self, code: int = 0, error: Exception | None = None) -> None:
        self.code = code
        self.error = error
        self.app: Any = None
        self.config = Config()

    def __call__(self, app: Any, config: Config, *, started: Any) -> int:
        self.app, self.config = app, config
        if self.error is not None:
            raise self.error
        started(
            SimpleNamespace(
                app=app,
                config=config,
                url="http://127.0.0.1:3002",
                addresses=["http://127.0.0.1:3002", "http://[::1]:3002"],
                hosts=["localhost:*"],
                origins=[],
            )
        )
        return self.code


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun()
    monkeypatch.setattr("fastsse.server.run", fake)
    return fake


def test_start_up_lines(run: FakeRun) -> None:
    result = invoke()
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"fastsse {__version__} serves {run.app.name} {run.app.version}",
        "  listens on       http://127.0.0.1:3002 and http://[::1]:3002",
        "  doors            http://localhost:3002/mcp  http://localhost:3002/sse  http://localhost:3002/docs",
        "  accepts hosts    localhost:*",
        "  accepts origins  none",
    ]
    assert {"current_time", "echo", "add"} <= {tool["name"] for tool in run.app.tools_summary()}, "the demo"


def test_the_doors_are_those_of_the_public_url(run: FakeRun) -> None:
    assert "  https://example.com/x/sse" in invoke("--public-url", "https://example.com/x/").stderr


def test_the_exit_code_is_the_servers(run: FakeRun) -> None:
    run.code = 3
    assert invoke().exit_code == 3


def test_an_address_that_cannot_be_used_is_one_sentence(run: FakeRun) -> None:
    run.error = ConfigError("port 3002 on 127.0.0.1 is in use")
    result = invoke()
    assert (result.exit_code, result.stderr) == (1, "fastsse: port 3002 on 127.0.0.1 is in use\n")


def test_variables_of_the_env_file_reach_the_tools(
    run: FakeRun, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JIRA_HOST", "GITHUB_OWNER", "SEEN"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_OWNER", "from-outside")
    (elsewhere / ".env").write_text("JIRA_HOST=your.atlassian.net\nGITHUB_OWNER=your-org\nFASTSSE_PING=7\n")
    (elsewhere / "server.py").write_text(APP + "import os\nos.environ['SEEN'] = os.environ['JIRA_HOST']\n")
    assert invoke("server:app").exit_code == 0
    assert run.app.name == "mine"
    assert run.config.ping == 7
    assert os.environ["SEEN"] == "your.atlassian.net"
    assert os.environ["GITHUB_OWNER"] == "from-outside"
    assert "FASTSSE_PING" not in os.environ


# -- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("server:app", "mine"),
        ("server", "mine"),
        ("server:other", "other"),
        ("server:nested.app", "other"),
        ("server.py", "mine"),
        ("./server.py:other", "other"),
        ("folder/deep.py:app", "mine"),
        ("package.inner:app", "mine"),
    ],
)
def test_targets(elsewhere: Path, given: str, name: str) -> None:
    for file in ("server.py", "folder/deep.py", "package/inner.py"):
        (elsewhere / file).parent.mkdir(exist_ok=True)
        (elsewhere / file).write_text(APP)
    found = target.load(given)
    assert isinstance(found, App)
    assert found.name == name


def test_a_file_finds_its_neighbours_and_its_own_classes(elsewhere: Path) -> None:
    (elsewhere / "folder").mkdir()
    (elsewhere / "folder/neighbour.py").write_text("name = 'next door'")
    (elsewhere / "folder/server.py").write_text(
        "from __future__ import annotations\nimport dataclasses, neighbour\nfrom fastsse.app import App\n"
        "@dataclasses.dataclass\nclass Point:\n    x: dataclasses.InitVar[int]\n"
        "app = App(neighbour.name, version='1')\n"
    )
    found = target.load("folder/server.py")
    assert isinstance(found, App)
    assert found.name == "next door"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("server:none", "server has no attribute 'none'; its apps: app, other"),
        ("empty:app", "empty has no attribute 'app'; it has no app"),
        ("server:number", "server:number is of type int, but must be a fastsse App or an MCP SDK's server"),
        ("server:App", "server:App is the class App, but must be a fastsse App or an MCP SDK's server"),
        ("absent:app", "there is no module 'absent' (looked for absent in "),
        ("absent.inner:app", "there is no module 'absent' (looked for absent.inner in "),
        ("server.inner:app", "there is no module 'server.inner' (looked for server.inner in "),
        ("absent.py", "there is no file absent.py"),
        ("folder/absent.py:app", "there is no file folder/absent.py"),
        ("folder/", "there is no file folder"),
        ("not-a-name:app", "'not-a-name' is no module name"),
        (":app", "'' is no module name"),
    ],
)
def test_wrong_targets_are_one_sentence(elsewhere: Path, given: str, sentence: str) -> None:
    (elsewhere / "server.py").write_text(APP)
    (elsewhere / "empty.py").write_text("")
    result = invoke(given)
    assert result.exit_code == 1
    assert result.output.startswith(f"fastsse: {sentence}")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("given", ["broken:app", "broken.py"])
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def fail():\n    return 1 / 0\nfail()\n", ["line 3, in <module>", "line 2, in fail", "ZeroDivisionError: "]),
        ("import not_installed\n", ["line 1, in <module>", "ModuleNotFoundError: No module named 'not_installed'"]),
        ("def f(:\n", ["broken.py", "line 1", "SyntaxError: "]),
    ],
)
def test_errors_in_the_users_code_are_shown_as_theirs(
    elsewhere: Path, given: str, source: str, expected: list[str]
) -> None:
    (elsewhere / "broken.py").write_text(source)
    result = invoke(given)
    assert result.exit_code == 1
    assert "cannot be imported" in result.output.splitlines()[0]
    for part in expected:
        assert part in result.output
    for foreign in ("importlib", "target.py", "click"):
        assert foreign not in result.output


def test_an_app_is_recognised_by_what_it_does() -> None:
    assert servable(App("x", version="1"))
    assert not servable(App)


# -- real processes ---------------------------------------------------------------------------------------------------


class Process:
    """`python -m fastsse …` in the current folder, and the lines that it prints."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.seen: list[str] = []
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "fastsse", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def expect(self, part: str) -> str:
        """The next line that has this part."""
        while True:
            try:
                line = self.lines.get(timeout=LIMIT)
            except queue.Empty:
                line = None
            assert line is not None, f"waited for {part!r}, saw:\n{''.join(self.seen)}"
            self.seen.append(line)
            if part in line:
                return line

    def port(self) -> int:
        """From the next start-up lines."""
        line = self.expect("listens on")
        self.expect("accepts origins")
        return int(line.split()[2].rpartition(":")[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(LIMIT)


@contextmanager
def process(*arguments: str) -> Iterator[Process]:
    running = Process(arguments)
    try:
        yield running
    finally:
        if running.popen.poll() is None:
            running.popen.terminate()  # a reloader takes its child along
            try:
                running.popen.wait(LIMIT)
            except subprocess.TimeoutExpired:
                running.popen.kill()
        running.popen.wait()
        running.reader.join(LIMIT)
        assert running.popen.stdout is not None
        running.popen.stdout.close()


def get(port: int, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("GET", path)
    return connection, connection.getresponse()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_with_open_streams(number: int) -> None:
    with process("--port", "0") as server:
        port = server.port()
        connection, response = get(port, "/sse")
        assert response.readline() == b"event: endpoint\n"
        assert server.end(number) == 0
        assert response.read() is not None, "the stream has its end"
        connection.close()
        assert "Traceback" not in "".join(server.seen)


def test_a_port_in_use_is_named_with_the_setting_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process("--port", str(port)) as server:
            line = server.expect("fastsse: ")
            assert server.popen.wait(LIMIT) == 1
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "--port" in line
    assert server.seen == [line]


def test_reload_says_what_changed_and_serves_it_although_streams_are_open(elsewhere: Path) -> None:
    (elsewhere / "server.py").write_text(APP)
    with process("server:app", "--reload", "--port", "0") as server:
        server.expect(f"fastsse reload: watches {elsewhere}")
        server.expect("serves mine 1")
        connection, response = get(server.port(), "/sse")
        assert response.readline() == b"event: endpoint\n"

        (elsewhere / "server.py").write_text(APP.replace('"1"', '"1.1"'))
        server.expect("fastsse reload: server.py changed, starts again")
        server.expect("serves mine 1.1")
        server.port()
        connection.close()

        (elsewhere / "server.py").write_text("def f(:\n")
        server.expect("fastsse reload: server.py changed, starts again")
        server.expect("SyntaxError")
        server.expect("fastsse reload: the server ended with exit code 1; it starts again with the next change")

        (elsewhere / "server.py").write_text(APP.replace('"1"', '"1.2"'))
        server.expect("serves mine 1.2")
        port = server.port()
        assert server.end() == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT)


def test_reload_kills_a_server_that_does_not_go(elsewhere: Path) -> None:
    stubborn = "import signal, threading\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + APP
    (elsewhere / "server.py").write_text(stubborn)
    with process("server.py", "--reload", "--port", "0") as server:
        server.port()
        (elsewhere / "server.py").write_text(APP.replace('"1"', '"2"'))
        server.expect("serves mine 2")
        server.port()
        assert server.end() == 0
