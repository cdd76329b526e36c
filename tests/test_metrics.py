"""What `/metrics` says: text that an independent parser takes and Prometheus' own linter would, and what it counts.

The dashboard in `examples/deploy` asks for nothing that is not there.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from fakes import MODERN, Gauges, enveloped, message, table
from fastsse import metrics
from fastsse.errors import CloseReason
from fastsse.stats import BOUNDS, ERAS, LIFETIMES, Stats
from serving import ROOT
from stage import Stage, call, modern
from wire import Client, World

STATES = {"attached": 3, "detached": 2, "unused": 1}


def busy() -> Stats:
    """Everything that can be counted has been."""
    stats = Stats(1000.0)
    stats.requests = 7
    stats.connections_open = 3
    stats.connections_opened = 5
    stats.sessions_open = 2
    stats.streams_open["httpsse"] = 2
    stats.streams_lasted["httpsse"].observe(7200.0)
    stats.refused["host"] += 4
    stats.closed[CloseReason.SLOW_CONSUMER] += 1
    stats.dropped["log"] += 1
    stats.coalesced["progress"] += 1
    stats.sessions_ended['quote " backslash \\ line\nend'] += 1
    stats.sessions_lasted["2025-11-25"].observe(60.0)
    stats.responded("/mcp", 200)
    stats.responded("/mcp", 404)
    stats.ruled("initialize", False)
    stats.ruled("tools/list", True)
    calls = stats.calls("tools/call")
    for seconds in (0.00001, 0.003, 400.0):
        calls.seconds.observe(seconds)
    calls.errors += 1
    return stats


def text(stats: Stats | None = None) -> str:
    return metrics.text(stats or busy(), Gauges(), version="1.0", tools=4, sessions=STATES).decode()


def families(said: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(said)}


def samples(said: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(said).values()
        for sample in family.samples
    }


def test_json_metrics_have_the_guides_keys() -> None:
    gauges = Gauges()
    gauges.wall.now = 1090.9
    body = json.loads(metrics.as_json(busy(), gauges))
    assert body["active_connections"] == 3
    assert body["total_requests"] == 7
    assert body["uptime"] == 90
    assert body["memory_usage"] == 1 << 20
    assert body["active_streams"]["httpsse"] == 2
    assert body["total_calls"] == 5
    assert body["total_errors"] == 2


def test_a_prometheus_parser_reads_back_what_was_counted() -> None:
    found = samples(text())
    assert found["fastsse_info", (("version", "1.0"),)] == 1
    assert found["process_start_time_seconds", ()] == 1000
    assert found["process_resident_memory_bytes", ()] == 1 << 20
    assert found["process_cpu_seconds_total", ()] == 1.5
    assert found["fastsse_pending_bytes", ()] == 0
    assert found["fastsse_tools", ()] == 4
    assert found["fastsse_streams_limit", ()] == 1000
    assert found["fastsse_http_requests_total", ()] == 7
    assert found["fastsse_http_responses_total", (("class", "4xx"), ("route", "/mcp"))] == 1
    assert found["fastsse_refused_total", (("reason", "host"),)] == 4
    assert found["fastsse_connections_closed_total", (("reason", "slow consumer"),)] == 1
    assert found["fastsse_events_dropped_total", (("class", "log"),)] == 1
    assert found["fastsse_events_coalesced_total", (("class", "progress"),)] == 1
    assert found["fastsse_sessions_ended_total", (("reason", 'quote " backslash \\ line\nend'),)] == 1
    assert {
        dict(labels)["state"]: found[key, labels] for key, labels in found if key == "fastsse_sessions_open"
    } == STATES
    assert found["fastsse_streams_open", (("era", "httpsse"),)] == 2
    assert found["fastsse_calls_total", (("method", "tools/call"), ("outcome", "result"))] == 2
    assert found["fastsse_calls_total", (("method", "tools/call"), ("outcome", "error"))] == 1
    assert found["fastsse_calls_total", (("method", "initialize"), ("outcome", "result"))] == 1
    assert found["fastsse_calls_total", (("method", "tools/list"), ("outcome", "error"))] == 1


@pytest.mark.parametrize(
    ("name", "label", "bounds", "total"),
    [
        ("mcp_server_operation_duration_seconds", ("mcp_method_name", "tools/call"), BOUNDS, 400.00301),
        ("mcp_server_session_duration_seconds", ("mcp_protocol_version", "2025-11-25"), LIFETIMES, 60.0),
        ("fastsse_stream_duration_seconds", ("era", "httpsse"), LIFETIMES, 7200.0),
    ],
)
def test_a_histogram_is_cumulative_and_ends_in_its_count(
    name: str, label: tuple[str, str], bounds: tuple[float, ...], total: float
) -> None:
    family = families(text())[name]
    assert family.type == "histogram"
    mine = [sample for sample in family.samples if sample.labels[label[0]] == label[1]]
    buckets = {float(sample.labels["le"]): sample.value for sample in mine if sample.name.endswith("_bucket")}
    assert list(buckets) == [*bounds, float("inf")]
    assert list(buckets.values()) == sorted(buckets.values())
    totals = {sample.name.rpartition("_")[2]: sample.value for sample in mine if "le" not in sample.labels}
    assert totals == {"count": buckets[float("inf")], "sum": pytest.approx(total)}
    assert totals["count"] > 0


def test_durations_have_the_buckets_of_opentelemetry() -> None:
    theirs = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300}
    assert theirs <= set(BOUNDS)
    assert theirs <= set(LIFETIMES)
    assert families(text())["mcp_server_operation_duration_seconds"].samples[0].labels["le"] == "1e-05"


# --- what promtool's linter asks for (prometheus/common promlint)


@pytest.mark.parametrize("stats", [busy(), Stats(0.0)], ids=["busy", "fresh"])
def test_the_text_is_as_prometheus_wants_it(stats: Stats) -> None:
    said = text(stats)
    assert said.endswith("\n")
    seen: set[str] = set()
    lines: set[str] = set()
    current = kind = ""
    for line in said.splitlines():
        if line.startswith("# HELP "):
            current, _, about = line.removeprefix("# HELP ").partition(" ")
            assert about.endswith("."), line
            assert current not in seen, f"{current} is there twice"
            seen.add(current)
        elif line.startswith("# TYPE "):
            name, _, kind = line.removeprefix("# TYPE ").partition(" ")
            assert name == current, "HELP, TYPE and samples of a family stand together"
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
            assert kind in ("counter", "gauge", "histogram")
            assert name.endswith("_total") == (kind == "counter"), name
            assert not re.search(
                r"_(counter|gauge|histogram|summary|milliseconds|ms|minutes|kb|count|sum|bucket)$", name
            )
        else:
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            assert name.removeprefix(current) in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)), line
            assert series not in lines, f"{series} is there twice"
            lines.add(series)
            assert float(value) >= 0
    assert seen == {name for family in families(said).values() for name in (family.name, f"{family.name}_total")} & seen
    assert len(families(said)) == len(seen)


# --- what a server counts


def scraped(client: Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = client.get("/metrics")
    assert answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.body.decode())


def outcomes(found: dict[Any, float]) -> dict[tuple[str, str], float]:
    return {
        (dict(labels)["method"], dict(labels)["outcome"]): value
        for (name, labels), value in found.items()
        if name == "fastsse_calls_total" and value
    }


@pytest.mark.requirement("D-metrics-calls")
def test_every_request_is_counted_by_method_and_outcome() -> None:
    with World(Stage().app) as world:
        client = world.connect()
        client.post(message("ping"))
        client.post(message("tools/list"))
        client.post(message("resources/none"))
        client.post(call("echo", text="x"))
        client.post(call("fail", how="tool"))
        client.post(call("fail", how="mcp"))
        body, fields = modern("echo", text="y")
        client.post(body, **fields)
        client.post(message("server/discover", enveloped()), mcp_protocol_version=MODERN, mcp_method="server/discover")
        client.post(message("ping", enveloped()), mcp_protocol_version=MODERN, mcp_method="ping")
        client.post(message("notifications/initialized", id=None))
        stream = world.connect().get("/sse")
        path = stream.events[0]["data"]
        client.post(message("ping"), path)
        client.post(message("prompts/get", {"name": 5}), path)
        found = scraped(client)
    assert outcomes(found) == {
        ("ping", "result"): 2,
        ("ping", "error"): 1,
        ("tools/list", "result"): 1,
        ("other", "error"): 1,
        ("tools/call", "result"): 2,
        ("tools/call", "tool_error"): 1,
        ("tools/call", "error"): 1,
        ("server/discover", "result"): 1,
        ("prompts/get", "error"): 1,
    }
    counted = "mcp_server_operation_duration_seconds_count"
    assert {dict(labels)["mcp_method_name"]: found[name, labels] for name, labels in found if name == counted} == {
        "tools/call": 4
    }


@pytest.mark.requirement("D-metrics-lifetimes")
def test_how_long_streams_and_sessions_last_is_in_no_calls_duration() -> None:
    with World(Stage().app) as world:
        reader, plain = world.connect(), world.connect()
        reader.get("/sse")
        plain.get("/mcp")
        before = scraped(world.connect())
        world.loop.advance(3600.0)
        reader.reset()
        world.loop.advance(40.0)
        found = scraped(world.connect())

    def count(said: dict[Any, float], name: str, **labels: str) -> float:
        return said.get((name, tuple(sorted(labels.items()))), 0)

    assert count(before, "fastsse_streams_open", era="httpsse") == 1
    assert count(before, "fastsse_sessions_open", state="attached") == 1
    assert count(found, "fastsse_stream_duration_seconds_count", era="httpsse") == 1
    assert count(found, "fastsse_stream_duration_seconds_sum", era="httpsse") == pytest.approx(3600.0, abs=2)
    assert count(found, "fastsse_stream_duration_seconds_count", era="events") == 0, "it is still open"
    assert count(found, "mcp_server_session_duration_seconds_sum", mcp_protocol_version="2025-11-25") >= 3600.0
    assert count(found, "mcp_server_operation_duration_seconds_sum", mcp_method_name="tools/call") == 0


@pytest.mark.requirement("D-metrics-sessions")
def test_sessions_by_state() -> None:
    made = table(capacity=8)
    unused, lost, here = (made.open(False, 100.0) for _ in range(3))
    pair = made.open(True, 100.0)
    assert unused is not None
    assert lost is not None
    assert here is not None
    assert pair is not None
    for session in (lost, here):
        session.accept(101.0)
    here.attached()
    assert made.states() == {"attached": 2, "detached": 1, "unused": 1}
    for session in (unused, lost, here, pair):
        made.end(session, CloseReason.SHUTDOWN)
    assert made.states() == {"attached": 0, "detached": 0, "unused": 0}


# --- the dashboard

FUNCTIONS = {"rate", "sum", "histogram_quantile", "max", "clamp_min", "time", "increase", "vector"}
WORDS = {"by", "le", "or", "on", "and"}


def queries(node: Any) -> list[str]:
    """Every PromQL expression in a dashboard."""
    if isinstance(node, dict):
        own = [node["expr"]] if isinstance(node.get("expr"), str) else []
        return own + [found for value in node.values() for found in queries(value)]
    return [found for value in node for found in queries(value)] if isinstance(node, list) else []


@pytest.mark.requirement("D-dashboard")
def test_the_dashboard_asks_for_what_is_there() -> None:
    board = json.loads((ROOT / "examples/deploy/grafana-dashboard.json").read_text())
    labels: dict[str, set[str]] = {}
    for name, pairs in samples(text()):
        labels.setdefault(name, {"instance", "job"}).update(label for label, _ in pairs)
    used: set[str] = set()
    assert queries(board)
    for query in queries(board):
        bare = re.sub(r'"[^"]*"', '""', query.replace("$__rate_interval", "5m").replace("$__range", "1h"))
        for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", bare):
            assert name in labels, f"{name} in {query}"
            used.add(name)
            asked = set(re.findall(r"(\w+)\s*[=!]", matchers))
            assert {"instance", "job"} <= asked <= labels[name], query
        names = re.findall(r"([a-z_]+)\{", bare)
        for grouped in re.findall(r"by \(([^)]*)\)", bare):
            assert set(grouped.replace(" ", "").split(",")) <= set.union(*(labels[name] for name in names)), query
        rest = re.sub(r"by \([^)]*\)|\{[^}]*\}|\[\w+\]", " ", bare)
        assert set(re.findall(r"[a-z_]{2,}", rest)) <= FUNCTIONS | WORDS | set(names), query
        assert rest.count("(") == rest.count(")"), query
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in used}
    there = {re.sub("_(bucket|sum|count)$", "", name) for name in labels}
    assert there - shown == {"fastsse_http_requests_total", "fastsse_info", "fastsse_tools"}


def test_the_docs_page_shows_what_is_there() -> None:
    script = (ROOT / "fastsse" / "docs.js").read_text()
    asked = set(re.findall(r'^  \["[^"]*", "(\w+)"', script, re.MULTILINE))
    assert {"fastsse_streams_open", "fastsse_sessions_open", "fastsse_loop_lag_seconds"} <= asked
    assert asked <= set(re.findall(r"^# TYPE (\w+) ", text(), re.MULTILINE))


def test_the_dashboard_can_be_imported() -> None:
    board = json.loads((ROOT / "examples/deploy/grafana-dashboard.json").read_text())
    assert board["title"]
    assert board["uid"]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job", "instance"}
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    for era in ERAS:
        assert era.isidentifier(), "legends show it as it is"
