"""examples/jira_github.py against a stub of the two services: the answers that their documentation shows, and failures.

Sources: Jira Software Cloud REST API (agile 1.0: board, sprint), Jira Cloud platform REST API v2 (issue, JQL search),
GitHub REST API 2022-11-28 (pulls, reviews, repos, rate limits, errors).
"""

from __future__ import annotations

import base64
import json
import runpy
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from fastsse import testing
from fastsse.client import Client
from serving import ROOT, serving

requirement = pytest.mark.requirement

WAIT = 20.0
SECRETS = {"JIRA_API_TOKEN": "jira-secret-0123", "GITHUB_TOKEN": "ghp_secret0123"}

Given = tuple[int, dict[str, str], bytes]


def given(body: Any, status: int = 200, **fields: str) -> Given:
    return status, {name.replace("_", "-"): value for name, value in fields.items()}, json.dumps(body).encode()


class Stub:
    """An HTTP server that says what stands in `answers` for a path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Given | list[Given]] = {}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.release = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                stub.asked.append((url.path, dict(parse_qsl(url.query)), self.headers.get("Authorization", "")))
                found = stub.answers.get(url.path, given({"message": "Not Found"}, 404))
                if isinstance(found, list):
                    found = found.pop(0)
                status, fields, body = found
                if status == 0:  # never answers
                    stub.release.wait(WAIT)
                    return
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **fields}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(WAIT)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The services, and the variables that lead to them."""
    made = Stub()
    for name, value in environment(made).items():
        monkeypatch.setenv(name, value)
    try:
        yield made
    finally:
        made.close()


def environment(stub: Stub) -> dict[str, str]:
    return {
        "JIRA_HOST": f"{stub.url}/jira/",
        "JIRA_EMAIL": "fred@example.com",
        "GITHUB_OWNER": "octocat",
        "GITHUB_REPO": "Hello-World",
        "GITHUB_API_URL": f"{stub.url}/github",
        **SECRETS,
    }


@pytest.fixture
def example() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "jira_github.py"))


@pytest.fixture
def client(example: dict[str, Any]) -> Iterator[Client]:
    with testing.wire(example["app"]) as made:
        yield made


def value(result: dict[str, Any]) -> Any:
    assert not result.get("isError"), result
    structured = result["structuredContent"]
    return structured["result"] if set(structured) == {"result"} else structured


def failure(client: Client, tool: str, **arguments: Any) -> str:
    result = client.call_tool(tool, **arguments)
    assert result.get("isError") is True, result
    text: str = result["content"][0]["text"]
    assert not [secret for secret in SECRETS.values() if secret in json.dumps(result)], text
    return text


# --- what the documentation shows

SPRINT = {
    "id": 37,
    "self": "https://your-domain.atlassian.net/rest/agile/1.0/sprint/37",
    "state": "closed",
    "name": "sprint 1",
    "startDate": "2015-04-11T15:22:00.000+10:00",
    "endDate": "2015-04-20T01:22:00.000+10:00",
    "completeDate": "2015-04-20T11:04:00.000+10:00",
    "createdDate": "2015-04-10T11:04:00.000+10:00",
    "originBoardId": 5,
    "goal": "sprint 1 goal",
}
FUTURE = {
    "id": 72,
    "self": "https://your-domain.atlassian.net/rest/agile/1.0/sprint/72",
    "state": "future",
    "name": "2",
}


def issue(key: str, status: str, category: str, assignee: str | None, **more: Any) -> dict[str, Any]:
    who = None if assignee is None else {"accountId": "5b10a2844c20165700ede21g", "displayName": assignee}
    fields = {
        "summary": f"Summary of {key}",
        "status": {"name": status, "statusCategory": {"id": 2, "key": category, "name": category}},
        "assignee": who,
        "issuetype": {"id": "3", "name": "Task", "subtask": False},
        **more,
    }
    return {"expand": "", "id": "10001", "self": f"https://x/rest/agile/1.0/issue/{key}", "key": key, "fields": fields}


ISSUES = [
    issue("HSP-1", "Done", "done", "Fred"),
    issue("HSP-2", "In Progress", "indeterminate", "Fred"),
    issue("HSP-3", "To Do", "new", None),
]
PULL = {
    "id": 1,
    "url": "https://api.github.com/repos/octocat/Hello-World/pulls/1347",
    "html_url": "https://github.com/octocat/Hello-World/pull/1347",
    "number": 1347,
    "state": "open",
    "locked": True,
    "title": "Amazing new feature",
    "user": {"login": "octocat", "id": 1},
    "body": "Please pull these awesome changes in!",
    "created_at": "2011-01-26T19:01:12Z",
    "updated_at": "2011-01-26T19:01:12Z",
    "closed_at": None,
    "merged_at": None,
    "head": {"label": "octocat:new-topic", "ref": "new-topic", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e"},
    "base": {"label": "octocat:master", "ref": "master", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e"},
    "draft": False,
}
WHOLE = PULL | {"merged": False, "mergeable": True, "comments": 10, "commits": 3, "additions": 100, "deletions": 3,
                "changed_files": 5}  # fmt: skip
REVIEWS = [
    {"id": 80, "user": {"login": "octocat"}, "body": "This is close", "state": "CHANGES_REQUESTED"},
    {"id": 81, "user": {"login": "octocat"}, "body": "Here it is", "state": "APPROVED"},
    {"id": 82, "user": None, "body": "a ghost", "state": "COMMENTED"},
]
REPOSITORY = {
    "id": 1296269,
    "name": "Hello-World",
    "full_name": "octocat/Hello-World",
    "private": False,
    "html_url": "https://github.com/octocat/Hello-World",
    "description": None,
    "language": None,
    "default_branch": "master",
    "open_issues_count": 0,
    "pushed_at": "2011-01-26T19:06:43Z",
}


@requirement("D-examples")
def test_a_sprint_report_of_several_pages(stub: Stub, client: Client) -> None:
    """The call that guide N shows."""
    stub.answers["/jira/rest/agile/1.0/sprint/456"] = given(SPRINT)
    stub.answers["/jira/rest/agile/1.0/board/123/sprint/456/issue"] = [
        given({"expand": "names,schema", "startAt": at, "maxResults": 2, "total": 3, "issues": ISSUES[at : at + 2]})
        for at in (0, 2)
    ]
    report = value(client.call_tool("get_sprint_report", boardId=123, sprintId=456))
    assert report["sprint"] == {
        "id": 37,
        "name": "sprint 1",
        "state": "closed",
        "goal": "sprint 1 goal",
        "start": "2015-04-11T15:22:00.000+10:00",
        "end": "2015-04-20T11:04:00.000+10:00",
    }
    assert (report["issues"], report["done"], report["complete"]) == (3, 1, True)
    assert report["by_status"] == {"Done": 1, "In Progress": 1, "To Do": 1}
    assert report["by_assignee"] == {"Fred": 2, "nobody": 1}
    assert [one["key"] for one in report["open"]] == ["HSP-2", "HSP-3"]
    assert [asked["startAt"] for path, asked, _ in stub.asked if path.endswith("/issue")] == ["0", "2"]
    assert [message["params"]["progress"] for message in client.heard] == [2, 3]
    basic = base64.b64encode(b"fred@example.com:jira-secret-0123").decode()
    assert {who for _, _, who in stub.asked} == {f"Basic {basic}"}


@requirement("D-examples")
def test_a_sprint_without_end_is_read_so_far(stub: Stub, client: Client, example: dict[str, Any]) -> None:
    stub.answers["/jira/rest/agile/1.0/sprint/1"] = given(FUTURE)
    stub.answers["/jira/rest/agile/1.0/board/1/sprint/1/issue"] = given({"total": 10**6, "issues": ISSUES})
    report = value(client.call_tool("get_sprint_report", boardId=1, sprintId=1))
    assert (report["issues"], report["complete"]) == (10**6, False)
    assert len(report["open"]) == 2 * example["PAGES"]
    stub.answers["/jira/rest/agile/1.0/board/1/sprint/1/issue"] = given({"total": 0, "issues": []})
    assert value(client.call_tool("get_sprint_report", boardId=1, sprintId=1))["complete"] is True


@requirement("D-examples")
def test_sprints_and_issues(stub: Stub, client: Client) -> None:
    stub.answers["/jira/rest/agile/1.0/board/5/sprint"] = given(
        {"maxResults": 50, "startAt": 0, "total": 2, "isLast": True, "values": [SPRINT, FUTURE]}
    )
    sprints = value(client.call_tool("list_sprints", boardId=5, state="closed"))
    assert [(one["id"], one["goal"], one["start"]) for one in sprints] == [
        (37, "sprint 1 goal", "2015-04-11T15:22:00.000+10:00"),
        (72, "", None),
    ]
    stub.answers["/jira/rest/api/2/search/jql"] = given({"isLast": True, "issues": ISSUES})
    found = value(client.call_tool("search_issues", jql="project = HSP & status != Done", most=1000))
    assert [one["key"] for one in found] == ["HSP-1", "HSP-2", "HSP-3"]
    assert stub.asked[-1][1]["jql"] == "project = HSP & status != Done"
    assert stub.asked[-1][1]["maxResults"] == "100"
    more = {"description": None, "labels": ["bugfix"], "updated": "2015-04-11T15:22:00.000+1000"}
    stub.answers["/jira/rest/api/2/issue/HSP-1"] = given(issue("HSP-1", "Done", "done", "Fred", **more))
    one = value(client.call_tool("get_issue", issueKey="HSP-1"))
    assert (one["summary"], one["description"], one["labels"]) == ("Summary of HSP-1", "", ["bugfix"])


@requirement("D-examples")
def test_pull_requests(stub: Stub, client: Client) -> None:
    stub.answers["/github/repos/octocat/Hello-World/pulls"] = given([PULL])
    (found,) = value(client.call_tool("list_pull_requests"))
    assert (found["number"], found["author"], found["source"], found["target"]) == (
        1347,
        "octocat",
        "new-topic",
        "master",
    )
    _, asked, who = stub.asked[-1]
    assert (asked["state"], asked["per_page"], who) == ("open", "30", "Bearer ghp_secret0123")
    stub.answers["/github/repos/octocat/other/pulls/1347"] = given(WHOLE | {"body": None})
    stub.answers["/github/repos/octocat/other/pulls/1347/reviews"] = given(REVIEWS)
    one = value(client.call_tool("get_pull_request", number=1347, repo="other"))
    assert (one["body"], one["changed_files"], one["reviews"]) == ("", 5, {"octocat": "APPROVED"})


@requirement("D-examples")
def test_repositories(stub: Stub, client: Client) -> None:
    """Of an organization, and of a person, which is no organization; one that has another name now."""
    for path in ("/github/users/octocat/repos", "/github/orgs/octocat/repos"):
        stub.answers[path] = given([REPOSITORY])
        (found,) = value(client.call_tool("list_repositories", most=5))
        assert (found["name"], found["description"], found["default_branch"]) == ("Hello-World", "", "master")
        assert stub.asked[-1][0] == path
    stub.answers["/github/repositories/1296269"] = given(REPOSITORY)
    stub.answers["/github/repos/octocat/Hello-World"] = given({}, 301, Location="/github/repositories/1296269")
    assert value(client.call_tool("get_repository"))["url"] == "https://github.com/octocat/Hello-World"


# --- what can go wrong


@requirement("D-examples")
@pytest.mark.parametrize(
    ("tool", "arguments", "names"),
    [
        ("get_sprint_report", {"boardId": 1, "sprintId": 2}, ["JIRA_HOST", "JIRA_EMAIL", "JIRA_API_TOKEN"]),
        ("get_issue", {"issueKey": "A-1"}, ["JIRA_HOST", "JIRA_EMAIL", "JIRA_API_TOKEN"]),
        ("list_pull_requests", {}, ["GITHUB_TOKEN", "GITHUB_OWNER", "GITHUB_REPO"]),
        ("list_repositories", {}, ["GITHUB_TOKEN", "GITHUB_OWNER"]),
    ],
)
def test_a_missing_credential_is_named(
    stub: Stub, client: Client, monkeypatch: pytest.MonkeyPatch, tool: str, arguments: dict[str, Any], names: list[str]
) -> None:
    for name in names:
        for value in (None, "", "  "):
            with monkeypatch.context() as changed:
                changed.delenv(name) if value is None else changed.setenv(name, value)
                assert f"{name} is not set" in failure(client, tool, **arguments)
        with monkeypatch.context() as changed:
            changed.setenv(name, "wrong\nsecret: x")
            assert f"{name} holds a blank" in failure(client, tool, **arguments)
    assert stub.asked == []


DOCUMENTED = [
    (given({"message": "Bad credentials", "status": "401"}, 401), "does not accept the credentials (401)"),
    (given({"message": "Resource not accessible by personal access token"}, 403), "does not let these credentials"),
    (given({"message": "x"}, 403, x_ratelimit_remaining="0", x_ratelimit_reset="1372700873"), "again at 17:47 UTC"),
    (given({"message": "secondary rate limit"}, 403, Retry_After="60"), "again in 60 s: secondary"),
    (given({"message": "Not Found"}, 404), "hides it from these credentials (404): Not Found"),
    (given({"errorMessages": ["Rate limit exceeded."], "errors": {}}, 429, Retry_After="7"), "in 7 s: Rate limit"),
    (given([], 429), "takes no more requests for now (429); try again later"),
    (given({"errorMessages": ["The value 'X' does not exist"]}, 400), "(400): The value 'X' does not exist"),
    ((500, {"Content-Type": "text/html"}, b"<h1>oh</h1>"), "has failed (500); try again later"),
    (given({"message": "no server"}, 503, Retry_After="120"), "has failed (503); try again in 120 s"),
    ((200, {"Content-Type": "text/html"}, b"<h1>Log in</h1>"), "sent no JSON"),
    ((200, {}, b"\xff"), "sent no JSON"),
]


@requirement("D-examples")
@pytest.mark.parametrize(("answer", "text"), DOCUMENTED, ids=[f"{given[0]} {text}" for given, text in DOCUMENTED])
def test_a_refusal_says_what_to_do(stub: Stub, client: Client, answer: Given, text: str) -> None:
    stub.answers["/jira/rest/agile/1.0/sprint/2"] = stub.answers["/github/repos/octocat/Hello-World"] = answer
    for service, said in (
        ("Jira", failure(client, "get_sprint_report", boardId=1, sprintId=2)),
        ("GitHub", failure(client, "get_repository")),
    ):
        assert said.startswith(service)
        assert text in said
    if answer[0] == 401:
        assert "check JIRA_EMAIL and JIRA_API_TOKEN" in failure(client, "get_sprint_report", boardId=1, sprintId=2)


@requirement("D-examples")
def test_a_service_that_is_not_there(stub: Stub, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for host in (nobody, "no//host:x", "ftp://host"):
        monkeypatch.setenv("JIRA_HOST", host)
        assert "Jira cannot be reached at" in failure(client, "list_sprints", boardId=1)


@requirement("D-examples")
def test_a_service_that_never_answers_is_given_up(stub: Stub, example: dict[str, Any]) -> None:
    stub.answers["/github/repos/octocat/Hello-World"] = 0, {}, b""
    example["services"].__wrapped__.__globals__["SECONDS"] = 0.2
    with testing.wire(example["app"]) as client:
        assert "GitHub did not answer within 0.2 s" in failure(client, "get_repository")


@requirement("D-examples")
def test_a_name_leads_nowhere_else(stub: Stub, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("..", ".", "../../user", "a/b", "a?b", "a%2fb", "ä"):
        assert "is no name" in failure(client, "get_repository", repo=name)
        assert "is no name" in failure(client, "get_issue", issueKey=name)
        monkeypatch.setenv("GITHUB_OWNER", name)
        failure(client, "list_repositories")
        monkeypatch.setenv("GITHUB_OWNER", "octocat")
    assert stub.asked == []


@requirement("D-examples")
def test_it_is_served_with_the_guides_dotenv(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.answers["/jira/rest/agile/1.0/sprint/456"] = given(SPRINT)
    stub.answers["/jira/rest/agile/1.0/board/123/sprint/456/issue"] = given({"total": 3, "issues": ISSUES})
    lines = [f"{name}={value}" for name, value in environment(stub).items()]
    for name in environment(stub):
        monkeypatch.delenv(name)
    dotenv = tmp_path / ".env"
    dotenv.write_text("\n".join(lines) + "\n")
    with serving("examples/jira_github.py", "--env-file", str(dotenv)) as base:
        params = {"name": "get_sprint_report", "arguments": {"boardId": 123, "sprintId": 456}}
        message = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        answer = httpx.post(f"{base}/mcp", json=message, timeout=WAIT).json()
        assert json.loads(answer["result"]["content"][0]["text"])["done"] == 1
