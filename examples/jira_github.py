"""Sprints and issues from Jira, pull requests and repositories from GitHub: python -m fastsse examples/jira_github.py

Needs httpx, and in the environment or in .env: JIRA_HOST, JIRA_EMAIL, JIRA_API_TOKEN, GITHUB_TOKEN, GITHUB_OWNER and
GITHUB_REPO. It starts without them too; tools that miss one say which. JIRA_HOST may be a whole URL, and GITHUB_API_URL
is that of a GitHub Enterprise. It reads only, and whoever may call its tools reads what the tokens may.
"""

import base64
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import httpx

from fastsse import App, Context, ToolError

SECONDS = 10.0  # that one answer of a service may take
PAGE, PAGES = 100, 10  # entries of a page, and how many pages are read at most


# --- the two services


class NotFound(ToolError):
    """The service has no such thing, or hides it."""


class Rest:
    """One service. Whatever it does instead of answering becomes a ToolError that says what to do about it."""

    name: str
    needs: tuple[str, ...]
    login: str
    headers: ClassVar[dict[str, str]]

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    def base(self) -> str:
        raise NotImplementedError

    def authorization(self) -> str:
        raise NotImplementedError

    def setting(self, name: str) -> str:
        """A variable that is needed."""
        value = os.environ.get(name, "").strip()
        if not value:
            raise ToolError(f"{name} is not set; {self.name} needs it, in the environment or in .env")
        if not re.fullmatch("[!-~]+", value):
            raise ToolError(f"{name} holds a blank or a letter that cannot be in it")
        return value

    async def get(self, path: str, what: str, **params: Any) -> Any:
        """The JSON of GET `path`; `what` names it for people."""
        for name in self.needs:
            self.setting(name)
        base, headers = self.base(), {**self.headers, "Authorization": self.authorization()}
        try:
            answer = await self.client.get(base + path, params=params, headers=headers)
            if answer.is_success:
                return answer.json()
        except httpx.TimeoutException:
            raise ToolError(f"{self.name} did not answer within {SECONDS:g} s; try again later") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ToolError(f"{self.name} cannot be reached at {base}: {error}") from None
        except ValueError:
            raise ToolError(f"{self.name} sent no JSON for {what}; is {base} its address?") from None
        refused = NotFound if answer.status_code == 404 else ToolError
        raise refused(self.reason(answer, what) + said(answer))

    def reason(self, answer: httpx.Response, what: str) -> str:
        status, fields = answer.status_code, answer.headers
        limited = fields.get("x-ratelimit-remaining") == "0" or "retry-after" in fields
        if status == 429 or (status == 403 and limited):
            return f"{self.name} takes no more requests for now ({status}); try again {when(fields)}"
        if status == 401:
            return f"{self.name} does not accept the credentials (401); check {self.login}"
        if status == 403:
            return f"{self.name} does not let these credentials read {what} (403)"
        if status == 404:
            return f"{self.name} has no {what}, or hides it from these credentials (404)"
        if status >= 500:
            return f"{self.name} has failed ({status}); try again {when(fields)}"
        return f"{self.name} refused to give {what} ({status})"


def when(fields: httpx.Headers) -> str:
    """When a service wants to be asked again."""
    wait, reset = fields.get("retry-after", ""), fields.get("x-ratelimit-reset", "")
    if wait.isdigit():
        return f"in {wait} s"
    return f"at {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC" if reset.isdigit() else "later"


def said(answer: httpx.Response) -> str:
    """What the service itself said about an error."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return ""
    text = " ".join(map(str, body.get("errorMessages") or [body.get("message") or ""]))
    return f": {text[:300]}" if text else ""


class Jira(Rest):
    name = "Jira"
    needs = ("JIRA_HOST", "JIRA_EMAIL", "JIRA_API_TOKEN")
    login = "JIRA_EMAIL and JIRA_API_TOKEN"
    headers: ClassVar = {"Accept": "application/json"}

    def base(self) -> str:
        host = self.setting("JIRA_HOST").rstrip("/")
        return host if "://" in host else f"https://{host}"

    def authorization(self) -> str:
        pair = f"{self.setting('JIRA_EMAIL')}:{self.setting('JIRA_API_TOKEN')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


class GitHub(Rest):
    name = "GitHub"
    needs = ("GITHUB_TOKEN", "GITHUB_OWNER")
    login = "GITHUB_TOKEN"
    headers: ClassVar = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

    def base(self) -> str:
        return os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")

    def authorization(self) -> str:
        return f"Bearer {self.setting('GITHUB_TOKEN')}"

    def repo(self, name: str | None) -> str:
        """`owner/name` of a repository, by default of GITHUB_REPO."""
        return f"{segment(self.setting('GITHUB_OWNER'))}/{segment(name or self.setting('GITHUB_REPO'))}"


def segment(text: str) -> str:
    """A name as one segment of a path, and nothing that leads elsewhere."""
    if not re.fullmatch(r"(?!\.+$)[\w.-]+", text, re.ASCII):
        raise ToolError(f"{text!r} is no name: letters, digits, and . _ - only")
    return text


@dataclass
class Services:
    jira: Jira
    github: GitHub


@asynccontextmanager
async def services(app: App) -> AsyncIterator[Services]:
    async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=True) as client:
        yield Services(Jira(client), GitHub(client))


app = App("jira-github", version="1.0.0", lifespan=services)
READS = {"readOnlyHint": True, "openWorldHint": True}


# --- Jira: sprints and issues


@dataclass
class Sprint:
    id: int
    name: str
    state: str
    goal: str
    start: str | None
    end: str | None


@dataclass
class Issue:
    key: str
    summary: str
    status: str
    done: bool
    assignee: str | None
    type: str


@dataclass
class IssueDetails(Issue):
    description: str
    labels: list[str]
    updated: str


@dataclass
class SprintReport:
    sprint: Sprint
    issues: int
    done: int
    by_status: dict[str, int]
    by_assignee: dict[str, int]
    open: list[Issue]
    complete: bool


def sprint_of(found: dict[str, Any]) -> Sprint:
    times = found.get("startDate"), found.get("completeDate") or found.get("endDate")
    return Sprint(found["id"], found["name"], found["state"], found.get("goal") or "", *times)


def issue_of(found: dict[str, Any]) -> Issue:
    fields = found["fields"]
    status, assignee = fields["status"], fields.get("assignee") or {}
    done = status["statusCategory"]["key"] == "done"
    name = assignee.get("displayName")
    return Issue(found["key"], fields["summary"], status["name"], done, name, fields["issuetype"]["name"])


FIELDS = "summary,status,assignee,issuetype"


@app.tool(annotations=READS, timeout=30)
async def list_sprints(
    context: Context,
    boardId: int,  # noqa: N803 -- the guide's spelling
    state: Literal["active", "future", "closed"] = "active",
) -> list[Sprint]:
    """The sprints of a Jira board."""
    path, what = f"/rest/agile/1.0/board/{boardId}/sprint", f"board {boardId}"
    jira: Jira = context.lifespan.jira
    found = await jira.get(path, what, state=state, maxResults=50)
    return [sprint_of(one) for one in found["values"]]


@app.tool(annotations=READS, timeout=60)
async def get_sprint_report(
    context: Context,
    boardId: int,  # noqa: N803 -- the guide's spelling
    sprintId: int,  # noqa: N803
) -> SprintReport:
    """How far a sprint is: its issues by status and by person, and those that are not done."""
    jira: Jira = context.lifespan.jira
    sprint = sprint_of(await jira.get(f"/rest/agile/1.0/sprint/{sprintId}", f"sprint {sprintId}"))
    issues: list[Issue] = []
    total = 1
    path, what = f"/rest/agile/1.0/board/{boardId}/sprint/{sprintId}/issue", f"sprint {sprintId} on board {boardId}"
    for _ in range(PAGES):
        page = await jira.get(path, what, startAt=len(issues), maxResults=PAGE, fields=FIELDS)
        issues += [issue_of(one) for one in page["issues"]]
        total = page["total"]
        context.progress(len(issues), total)
        if len(issues) >= total or not page["issues"]:
            break
    by_status: dict[str, int] = {}
    by_assignee: dict[str, int] = {}
    for issue in issues:
        by_status[issue.status] = by_status.get(issue.status, 0) + 1
        name = issue.assignee or "nobody"
        by_assignee[name] = by_assignee.get(name, 0) + 1
    left = [issue for issue in issues if not issue.done]
    return SprintReport(
        sprint, total, len(issues) - len(left), by_status, by_assignee, left, complete=len(issues) >= total
    )


@app.tool(annotations=READS, timeout=30)
async def search_issues(
    context: Context, jql: Annotated[str, "for example: project = ABC AND status != Done"], most: int = 25
) -> list[Issue]:
    """Jira issues that a JQL query finds."""
    asked = {"jql": jql, "fields": FIELDS, "maxResults": min(most, PAGE)}
    jira: Jira = context.lifespan.jira
    found = await jira.get("/rest/api/2/search/jql", "answer to that query", **asked)
    return [issue_of(one) for one in found["issues"]]


@app.tool(annotations=READS, timeout=30)
async def get_issue(context: Context, issueKey: Annotated[str, "for example ABC-123"]) -> IssueDetails:  # noqa: N803
    """One Jira issue, with its description."""
    jira: Jira = context.lifespan.jira
    found = await jira.get(f"/rest/api/2/issue/{segment(issueKey)}", f"issue {issueKey}")
    issue, fields = issue_of(found), found["fields"]
    return IssueDetails(**vars(issue), description=fields.get("description") or "", labels=fields["labels"],
                        updated=fields["updated"])  # fmt: skip


# --- GitHub: pull requests and repositories


@dataclass
class PullRequest:
    number: int
    title: str
    state: str
    draft: bool
    author: str
    source: str
    target: str
    updated: str
    url: str


@dataclass
class PullRequestDetails(PullRequest):
    body: str
    merged: bool
    additions: int
    deletions: int
    changed_files: int
    reviews: dict[str, str]


@dataclass
class Repository:
    name: str
    description: str
    private: bool
    language: str | None
    default_branch: str
    open_issues: int
    pushed: str | None
    url: str


def pull_request_of(found: dict[str, Any]) -> PullRequest:
    return PullRequest(
        found["number"], found["title"], found["state"], found["draft"], (found["user"] or {"login": ""})["login"],
        found["head"]["ref"], found["base"]["ref"], found["updated_at"], found["html_url"],
    )  # fmt: skip


def repository_of(found: dict[str, Any]) -> Repository:
    return Repository(
        found["name"], found["description"] or "", found["private"], found["language"], found["default_branch"],
        found["open_issues_count"], found["pushed_at"], found["html_url"],
    )  # fmt: skip


@app.tool(annotations=READS, timeout=30)
async def list_pull_requests(
    context: Context, repo: str | None = None, state: Literal["open", "closed", "all"] = "open", most: int = 30
) -> list[PullRequest]:
    """Pull requests of a repository, by default of GITHUB_REPO, those changed last first."""
    github: GitHub = context.lifespan.github
    where = github.repo(repo)
    asked = {"state": state, "sort": "updated", "direction": "desc", "per_page": min(most, PAGE)}
    return [pull_request_of(one) for one in await github.get(f"/repos/{where}/pulls", f"repository {where}", **asked)]


@app.tool(annotations=READS, timeout=30)
async def get_pull_request(context: Context, number: int, repo: str | None = None) -> PullRequestDetails:
    """One pull request, with what each reviewer said last."""
    github: GitHub = context.lifespan.github
    where = github.repo(repo)
    path, what = f"/repos/{where}/pulls/{number}", f"pull request {number} in {where}"
    found = await github.get(path, what)
    reviews = await github.get(f"{path}/reviews", what, per_page=PAGE)
    return PullRequestDetails(
        **vars(pull_request_of(found)),
        body=found["body"] or "", merged=found["merged"], additions=found["additions"], deletions=found["deletions"],
        changed_files=found["changed_files"],
        reviews={review["user"]["login"]: review["state"] for review in reviews if review["user"]},
    )  # fmt: skip


@app.tool(annotations=READS, timeout=30)
async def list_repositories(context: Context, most: int = 30) -> list[Repository]:
    """Repositories of GITHUB_OWNER, an organization or a person, those pushed to last first."""
    github: GitHub = context.lifespan.github
    owner = segment(github.setting("GITHUB_OWNER"))
    asked = {"sort": "pushed", "per_page": min(most, PAGE)}
    try:
        found = await github.get(f"/orgs/{owner}/repos", f"organization {owner}", **asked)
    except NotFound:
        found = await github.get(f"/users/{owner}/repos", f"owner {owner}", **asked)
    return [repository_of(one) for one in found]


@app.tool(annotations=READS, timeout=30)
async def get_repository(context: Context, repo: str | None = None) -> Repository:
    """One repository, by default GITHUB_REPO."""
    github: GitHub = context.lifespan.github
    where = github.repo(repo)
    return repository_of(await github.get(f"/repos/{where}", f"repository {where}"))
