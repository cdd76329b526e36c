"""The benchmark's own tests: that it runs and prints figures, that its checks can fail, that its sums are right.

Nothing here asserts a time. The servers and generators are the real ones, for a second each.
"""

import contextlib
import json
import re
import resource
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import capacity, figures, instructions, machine, report, results, servers, svg
from bench.floor.answers import BODY, EVENT, MARKER
from bench.generators import Call, Cost, GeneratorError, Load, Wrk, closed, cost, fan_out, lanes, open_loop, streams
from bench.servers import Running, Server
from bench.suites import Row


def run(*arguments: str, seconds: float = 100) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=machine.ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(**cpu: list[float]) -> list[Row]:
    return [
        Row("calls-session", "16 connections", server, server.title(), turn, {"cpu_us": value, "load_busy": 0.5})
        for server, values in cpu.items()
        for turn, value in enumerate(values)
    ]


class _Handler(socketserver.BaseRequestHandler):
    """Takes requests and answers each with the server's bytes; with none, never."""

    def handle(self) -> None:
        while self.request.recv(65536):
            if answer := getattr(self.server, "answer", b""):
                self.request.sendall(answer)


class _Stub(socketserver.ThreadingTCPServer):
    daemon_threads = True
    answer = b""


@contextlib.contextmanager
def stub(answer: bytes) -> Iterator[Running]:
    with _Stub(("127.0.0.1", 0), _Handler) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        wires = {"plain": "/mcp", "session": "/mcp"}
        try:
            yield Running(Server("stub", "stub", (), wires, expect=""), 0, server.server_address[1])
        finally:
            server.shutdown()
            thread.join(5)


def test_quick_run_prints_both_costs_and_their_ratio() -> None:
    printed = run("-m", "bench.quick", "--seconds", "1", "--pairs", "1", "--connections", "4")
    pair = re.search(r"^pair 1 +([\d.]+) +([\d.]+) +([\d.]+) +([\d,]+)", printed, re.MULTILINE)
    assert pair is not None, printed
    floor, ours, ratio = (float(pair[i]) for i in (1, 2, 3))
    assert floor > 0
    assert ratio == pytest.approx(ours / floor, abs=0.02)
    assert "server CPU per call ÷ floor: " in printed


@pytest.mark.parametrize("wire", ["session", "stateless", "plain", "sse"])
def test_every_call_over_every_wire_gets_its_own_answer(wire: str) -> None:
    with servers.running(servers.FASTSSE, wire) as target, lanes(target, wire, 4) as caller:
        spent = cost(target, lambda: closed(caller, 0.3))
        assert spent.load.work > 0
        assert spent.load.wrong == 0, spent.load.first_wrong
        assert spent.server_cpu > 0


def test_events_fanned_out_reach_every_stream() -> None:
    trigger = b"POST /fan HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    with (
        servers.running(servers.STREAMS_FLOOR, "events") as target,
        streams(target, "events", 20, trigger, MARKER) as receiver,
    ):
        load = fan_out(receiver, 0.2)
    assert load.work == 20 * load.detail["triggers"] > 0
    assert load.wrong == 0


def test_streams_of_a_running_server_stay_open_and_their_memory_is_seen() -> None:
    with servers.running(servers.FASTSSE, "sse") as target, streams(target, "sse", 50) as holder:
        assert holder.command("hold 0.1", 0.1)["alive"] == 50
        assert machine.private_bytes(target.pid) > 2**20
        assert machine.listener(target.port) == target.pid


@pytest.mark.parametrize(
    ("allowed", "siblings", "chosen", "said"),
    [
        ({0, 1}, "0\n", (0, 1), "server on 0, load generator on 1"),
        ({0, 1, 2, 3}, "0-1\n", (0, 2), "server on 0, load generator on 2"),
        ({0, 1, 2, 3}, "0,2\n", (0, 1), "server on 0, load generator on 1"),
        ({0, 1}, "0-1\n", (0, 1), "server on 0, load generator on 1, which is the same core's other thread"),
        ({4, 9}, "", (4, 9), "server on 4, load generator on 9"),
        ({3}, "3\n", (3, 3), "one core for both"),
    ],
)
def test_server_and_generator_share_no_core_if_they_need_not(
    allowed: set[int], siblings: str, chosen: tuple[int, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = machine._read
    topology = f"/sys/devices/system/cpu/cpu{min(allowed)}/topology/thread_siblings_list"
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: allowed)
    monkeypatch.setattr(machine, "_read", lambda path: siblings if path == topology else read(path))
    assert machine.cores() == machine.Cores(*chosen)
    assert machine.describe()["cores"] == said


WRONG = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    ("body", "expect"),
    [
        pytest.param(BODY.replace(b"100000000", b"1"), "hello world", id="another id"),
        pytest.param(BODY, "good-bye world", id="another text"),
        pytest.param(b'{"jsonrpc":"2.0","id":100000000,"error":{"message":"hello world"}}', "hello world", id="error"),
    ],
)
def test_wrong_answers_are_counted(body: bytes, expect: str) -> None:
    with stub(WRONG % (len(body), body)) as target, lanes(target, "plain", 1, Call(expect=expect)) as caller:
        load = closed(caller, 0.1)
    assert load.wrong == load.work > 0


def test_wrk_refuses_a_server_whose_answers_are_wrong() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error"}}'
    with stub(WRONG % (len(body), body)) as target:
        wrk = Wrk(target, "plain", 1, Call(expect="hello world"))
        with pytest.raises(GeneratorError, match="wrong answers"):
            wrk.warm_up(1)


def test_waiting_awake_for_answers_is_not_being_busy() -> None:
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    with stub(b"") as target:
        before = used()
        with lanes(target, "plain", 1) as caller:
            load = closed(caller, 0.5)
        assert -0.01 < load.cpu_seconds < (used() - before) / 2
        before = used()
        load = Wrk(target, "plain", 1).measure(1)
        assert -0.01 < load.cpu_seconds < (used() - before) / 2


def test_an_open_loop_counts_calls_that_never_got_a_turn() -> None:
    with stub(b"") as target, lanes(target, "plain", 1) as caller:
        load = open_loop(caller, 100, 0.5)
    assert load.detail == {"due": 50, "in_time": 0}
    assert load.latency["p50_us"] > 0  # 49 calls waited for their turn until the end


FOREIGN = """
import sys
sys.path.insert(0, "tests")
from hosted_sdk import server
server.run("sse" if sys.argv[2] == "sse" else "streamable-http", port=int(sys.argv[1]))
"""
SDK = replace(servers.PYTHON_SDK, command=(sys.executable, "-c", FOREIGN, "{port}", "{transport}"))


@pytest.mark.parametrize(
    ("server", "wire"),
    [
        (servers.FASTSSE, "session"),
        (servers.FASTSSE, "sse"),
        (SDK, "session"),
        (SDK, "sse"),
    ],
    ids=["session", "sse", "SDK's session", "SDK's sse"],
)
def test_capacity_shows_its_progress_and_a_knee(server: Server, wire: str, tmp_path: Path) -> None:
    with servers.running(server, wire) as target:
        url = f"http://127.0.0.1:{target.port}{'/sse' if wire == 'sse' else '/mcp'}"
        picture, steps = tmp_path / "knee.svg", tmp_path / "steps.json"
        short = ("--streams", "5", "--seconds", "0.3", "--callers", "4", "--p99-ms", "60000")
        printed = run("-m", "bench.capacity", url, *short, "--svg", str(picture), "--json", str(steps))
    assert re.search(r"^opening 5 streams … 5 stand, -?[\d.]+ KB each$", printed, re.MULTILINE), printed
    (found,) = json.loads(steps.read_text())
    assert found["streams"] == 5
    assert all(step["due"] > 0 for step in found["steps"])
    assert len(re.findall(r"^ +[\d,]+ +[\d,]+ +[\d.]+ +[\d.]+ ", printed, re.MULTILINE)) == len(found["steps"]) > 0
    held = any(step["held"] for step in found["steps"])
    assert ("no rate held" in printed) is not held, printed
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_capacity_refuses_https_in_one_sentence() -> None:
    with pytest.raises(SystemExit, match="only http:// URLs"):
        capacity.by_url("https://localhost/mcp", "", None)


@pytest.mark.parametrize(
    ("busy", "foreign", "limit"),
    [(0.5, 0.0, ""), (0.99, 0.0, "the generator was the limit"), (0.5, 0.5, "other processes")],
)
def test_capacity_says_what_the_limit_was(busy: float, foreign: float, limit: str) -> None:
    def step(rate: float, held: bool) -> capacity.Step:
        load = Load(100, 1.0, busy, 0, {}, {})
        return capacity.Step(rate, Cost(load, 0.5, 1.0, foreign), held)

    found = capacity.Sweep(0, None, [step(100, True), step(200, True), step(400, False)])
    assert found.knee is not None
    assert found.knee.rate == 200
    assert found.limit.startswith(limit)
    assert bool(found.limit) == bool(limit)


def test_ratios_are_taken_within_a_round() -> None:
    measured = rows(uvloop=[10, 20, 40], fastsse=[15, 20, 80])
    assert figures.ratios(measured, "16 connections", "fastsse", "uvloop", "cpu_us") == [1.5, 1.0, 2.0]
    assert figures.Spread.of([1.5, 1.0, 2.0]) == figures.Spread(1.5, 1.0, 2.0, 3)


def test_the_report_is_made_of_the_results_alone(tmp_path: Path) -> None:
    measured = rows(uvloop=[10.0] * 7, fastsse=[16.0] * 7, go=[80.0] * 7)
    for row in measured[7:14]:
        row.figures["load_busy"] = 0.99
    plan: dict[str, object] = {"pairs": 7}
    machine_words = {"cpu": "one", "fastsse": "abc"}
    results.write(
        results.Result(
            "calls-session", "About.", "2026-11-21", 3.0, machine_words, {"go": "go 1"}, plan, ["odd"], measured
        ),
        tmp_path,
    )
    read = results.read_all(tmp_path)
    assert read["calls-session"].rows == measured
    report.render(read, tmp_path / "RESULTS.md", tmp_path / "pictures")
    page = (tmp_path / "RESULTS.md").read_text()
    assert "session ÷ floor, 16 connections | ≤ 1.5 (aim 1.3) | 1.60 (1.60–1.60) | 7 | **not met** |" in page
    go = "Go SDK ÷ fastsse, server CPU per call, in a session, 16 connections"
    assert f"{go} | measured | 5.00 (5.00–5.00) | 7 |  |" in page
    assert "The load generator was the bottleneck (more than 95% busy) for: Fastsse (16 connections)." in page
    assert "* odd" in page
    assert "pictures/cost-per-call.svg" in page
    readme = report.in_readme("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n", read)
    assert "old" not in readme
    assert "| **Fastsse** | 16.0 | 1.6 | 1 | – | – | – |" in readme
    assert "| Go | 80.0 | 8.0 | 5.0 | – | – | – |" in readme
    assert readme.startswith("before\n<!-- figures -->\n")
    assert readme.endswith("<!-- /figures -->\nafter\n")
    assert report.in_readme("as it was", {}) == "as it was"


def test_a_picture_holds_its_words_and_numbers() -> None:
    drawn = ET.fromstring(svg.bars("Cost <per> call", "µs", [svg.Bar("a & b", 6.84), svg.Bar("c", 400, "ours")]))
    words = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Cost <per> call", "a & b", "6.84 µs", "400 µs"} <= set(words)


@pytest.mark.parametrize("wire", instructions.WIRES)
def test_the_counted_path_answers_every_call(wire: str) -> None:
    run("bench/call_path.py", str(machine.ROOT), wire, "5")


def test_the_counted_path_refuses_another_tree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "bench/call_path.py", str(tmp_path), "session", "5"],
        cwd=machine.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "fastsse came from" in done.stderr


def test_more_instructions_need_a_reason_in_a_commit_since_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, timeout=30)

    monkeypatch.setattr(instructions, "ROOT", tmp_path)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("commit", "-q", "--allow-empty", "-m", "second")
    base = instructions.base()
    assert base == instructions.git("rev-parse", "HEAD^")
    assert instructions.explanation(base) == ""
    assert instructions.refusal(0.029, "") == ""
    assert instructions.refusal(0.031, "").startswith("+3.1% instructions per call; 3% more are allowed")
    assert instructions.refusal(float("inf"), "").startswith("the merge base cannot be compared")
    git("commit", "-q", "--allow-empty", "-m", "third\n\nInstructions: answers are checked twice now")
    assert instructions.explanation(base) == "answers are checked twice now"
    assert instructions.refusal(0.5, instructions.explanation(base)) == ""
    (tmp_path / "README.md").write_text("No call runs through this.")
    git("add", "README.md")
    assert instructions.unchanged(base)
    (tmp_path / "setup.py").write_text("But this builds what it runs through.")
    git("add", "setup.py")
    assert not instructions.unchanged(base)
    assert not instructions.unchanged("")


def test_floors_send_as_much_as_a_real_answer() -> None:
    assert 150 <= len(BODY) <= 170
    assert MARKER.encode() in EVENT
    assert 200 <= len(EVENT) <= 240
