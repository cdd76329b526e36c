"""What is promised, where it was promised, and what shows it: the requirements manifest (design §5).

An entry is shown by tests that name it, `@pytest.mark.requirement("H-13", ...)`, or by those of another room in
`ELSEWHERE`; otherwise it stands in `NOT_MET`, `LATER` or `GAPS` with its reason. `test_requirements.py` fails for an
entry without a test and for a test that names no entry. Revisions: R1 2024-11-05, R2 2025-03-26, R3 2025-06-18,
R4 2025-11-25, 5 2026-07-28; L = R1 to R4, H = R2 to R4, * = all, ext = extensions.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """`source`: where it was promised; `revisions` that it concerns; `text`: the promise."""

    source: str
    revisions: str
    text: str


CHECKLIST = {
    "4.1 transport security, generic HTTP": """
        T-01 | * | foreign Origin refused; R4/R5 exactly 403
        T-02 | * | missing Origin accepted
        T-03 | * | allowed Origin accepted
        T-04 | R4,5 | foreign Host refused on localhost bind
        T-05 | R4,5 | any body on the 403 has no usable id
        T-06 | * | oversized body refused without parsing
        T-07 | * | wrong request content type refused
        T-08 | * | charset parameter accepted
        T-09 | * | Accept wildcards accepted
        T-10 | * | unsupported verb: 405 with Allow
        T-11 | * | `/mcp` and `/mcp/` both answer without losing POST
        T-12 | * | CORS preflight before auth
        T-13 | * | syntax error: 400/-32700 without an id
        T-14 | * | not JSON-RPC: 400/-32600
        T-15 | * | id echoed with type
        T-16 | * | null/bool/array/fractional id not a valid request; request method without id never executed
        T-17 | * | unknown members tolerated
        T-18 | * | SSE framing: every data is one JSON message, heartbeats are comments
        T-19 | 5 | `X-Accel-Buffering: no` on SSE
        T-20 | * | no message duplication across streams
    """,
    "4.2 HTTP+SSE of 2024-11-05": """
        S-01 | R1 | first event is `endpoint` with a URI
        S-02 | R1 | POST reply arrives as `message` event, not in POST body
        S-03 | R1 | server messages use `event: message`
        S-04 | R1 | unknown/absent session param: 404/400
        S-05 | R1 | POST after stream closed: no hang, and 404 when session_lost has passed
        S-06 | R1 | endpoint respects mount prefix
        S-07 | R1 | two SSE clients isolated
        S-08 | R1 | R1 sessions never carry R5-only fields
    """,
    "4.3 lifecycle": """
        L-01 | L | echo supported version
        L-02 | L | unsupported version → a supported handshake version
        L-03 | L | result has protocolVersion, capabilities, serverInfo{name,version}
        L-04 | L | initialize accepted with any version header value
        L-05 | L | ping → `{}`
        L-06 | L | `notifications/initialized` → 202 empty
        L-07 | L | unknown method → -32601 with id
        L-08 | L | capability not offered → -32601
        L-09 | L | unknown notification → 202 ignored
        L-10 | L | no server requests before `initialized`
        L-11 | L | initialize not cancellable
        L-12 | L | only declared features used
        L-13 | L | second initialize inside a session
    """,
    "4.4 Streamable HTTP": """
        H-01 | H | request answered with JSON or SSE content type
        H-02 | H | notification or response POST → 202, zero-length body
        H-03 | H | GET → SSE or 405 only
        H-04 | H | GET stream carries no responses
        H-05 | H | POST stream closes after the response
        H-06 | H | session id chars 0x21–0x7E
        H-07 | H | id unpredictable, distinct per INIT
        H-08 | H | missing session header → 400
        H-09 | H | unknown session → 404
        H-10 | H | after DELETE → 404
        H-11 | H | 404/400 bodies are JSON-RPC errors
        H-12 | H | session of user A unusable by user B
        H-13 | R3,R4 | bad version header → 400
        H-14 | R3,R4 | missing version header tolerated
        H-15 | R3,R4 | other *supported* legacy version header tolerated
        H-16 | R2 | batch of requests+notification
        H-17 | R2 | batch of notifications/responses → 202
        H-18 | R2 | initialize inside array refused
        H-19 | R3,R4 | arrays refused
        H-20 | R2 | empty array → -32600
        H-21 | H | dropping the POST stream doesn't cancel
        H-22 | H | `notifications/cancelled` stops work
        H-23 | H | cancel of unknown id ignored
        H-24 | H | concurrent POSTs independent (conformance: 3 at once)
        H-25 | H | server request on POST stream answered by separate POST
        H-26 | H | same id in flight twice
        H-27 | H | id `1` and `"1"` concurrently
    """,
    "4.5 resumability and polling": """
        P-01 | H | ids unique within the session over all streams
        P-02 | H | replay only that stream, only later events
        P-03 | H | response delivered on the resumed GET
        P-04 | R4 | priming event: id + empty data first
        P-05 | R2,R3 | no priming event
        P-06 | R4 | `retry:` precedes early close
        P-07 | R4 | resume honours id even when stream began as POST
        P-08 | H | garbage `Last-Event-ID`
        P-09 | H | foreign session's event id
    """,
    "4.6 envelope and headers of 2026-07-28": """
        M-01 | 5 | `server/discover` works cold
        M-02 | 5 | discover fields: resultType, supportedVersions∋R5, capabilities, ttlMs, cacheScope
        M-03 | 5 | serverInfo in result `_meta`
        M-04 | 5 | no `_meta` → 400/-32602, id echoed
        M-05 | 5 | no protocolVersion → 400/-32602
        M-06 | 5 | no clientCapabilities → 400/-32602
        M-07 | 5 | missing clientInfo served
        M-08 | 5 | header≠`_meta` version → 400/-32020
        M-09 | 5 | header absent, envelope present → 400/-32020
        M-10 | 5 | both `1900-01-01` → 400/-32022, data.supported ⊆ discover, data.requested echoed
        M-11 | 5 | `Mcp-Method` absent → 400/-32020
        M-12 | 5 | `Mcp-Method` different → 400/-32020
        M-13 | 5 | value case-sensitive
        M-14 | 5 | names case-insensitive
        M-15 | 5 | surrounding spaces trimmed
        M-16 | 5 | `Mcp-Name` absent on tools/call, prompts/get, resources/read → 400/-32020
        M-17 | 5 | `Mcp-Name` different → 400/-32020
        M-18 | 5 | base64 name decoded
        M-19 | 5 | broken base64 → 400/-32020
        M-20 | 5 | `=?BASE64?…?=` or missing suffix literal → mismatch
        M-21 | 5 | `Mcp-Param-*` equal → 200; unequal → 400/-32020
        M-22 | 5 | value in body, header missing → 400/-32020
        M-23 | 5 | null/absent argument, no header → 200
        M-24 | 5 | header without argument
        M-25 | 5 | integer `42` vs header `42.0` equal
        M-26 | 5 | boolean rendering `true/false`
        M-27 | 5 | undeclared `Mcp-Param-X` ignored
        M-28 | 5 | duplicate routing header
        M-29 | 5 | error id equals request id on every 4xx
        M-30 | 5 | responses posted by clients refused
        M-31 | 5 | arrays refused
        M-32 | 5 | accepted notification → 202 empty
        M-33 | 5 | header-mismatch check also applies in legacy-session presence
        M-34 | 5 | no `Mcp-Session-Id` in any R5 response
        M-35 | 5 | GET → 405 for who says this revision (dual-era: others are served)
        M-36 | 5 | `Last-Event-ID` ignored; no SSE `id:` lines
        M-37 | 5 | tool list advertises only valid `x-mcp-header`
    """,
    "4.7 behaviour of 2026-07-28": """
        N-01 | 5 | unknown method → 404/-32601
        N-02 | 5 | initialize, ping, setLevel, subscribe, unsubscribe with envelope → 404/-32601
        N-03 | 5 | every result has `resultType`
        N-04 | 5 | ttlMs int ≥0 & cacheScope on the six methods
        N-05 | 5 | same cacheScope on all pages
        N-06 | 5 | no cache fields on input_required
        N-07 | 5 | no log messages without logLevel
        N-08 | 5 | level filter, same stream, before response
        N-09 | 5 | invalid logLevel → -32602
        N-10 | 5 | progress only with token, increasing, before response
        N-11 | 5 | no server requests on any stream
        N-12 | 5 | disconnect cancels
        N-13 | 5 | capabilities judged per request
        N-14 | 5 | undeclared capability → 400/-32021 with object requiredCapabilities
        N-15 | 5 | resource missing → -32602, not -32002, not empty contents
        N-16 | 5 | -32002/-32042 never emitted
        N-17 | 5 | codes in −32020…−32099 only the three
        N-18 | 5 | list results identical over connections
        N-19 | 5 | tools order stable
        N-20 | 5 | same id concurrently from two connections both served
        N-21 | 5 | final response ends the SSE stream
        N-22 | 5 | 4xx errors are `application/json`, never SSE
        N-23 | dual | R5 and legacy interleaved on one endpoint/socket
    """,
    "4.8 listening": """
        Q-01 | 5 | content type SSE, first frame acknowledged
        Q-02 | 5 | ack lists only honoured kinds
        Q-03 | 5 | subscriptionId on all frames, equal & same type as request id
        Q-04 | 5 | only requested kinds
        Q-05 | 5 | change delivered when listChanged advertised
        Q-06 | 5 | updated only for listed URIs
        Q-07 | 5 | two concurrent listens independently tagged
        Q-08 | 5 | no progress/log frames on listen
        Q-09 | 5 | graceful shutdown sends result with subscriptionId
        Q-10 | 5 | comment heartbeats
        Q-11 | 5 | missing `notifications` → -32602
        Q-12 | 5 | listen without SSE in Accept
        Q-13 | 5 | closing frees the slot
        Q-14 | 5 | stalled reader does not block others
    """,
    "4.9 rounds": """
        R-01 | 5 | input_required has inputRequests or requestState
        R-02 | 5 | entries lack jsonrpc/id; method in allowed three
        R-03 | 5 | retry with new id completes
        R-04 | 5 | never on list/complete/discover
        R-05 | 5 | tampered requestState rejected
        R-06 | 5 | state bound to method+params+user, expires
        R-07 | 5 | missing responses → asked again
        R-08 | 5 | extra keys ignored
        R-09 | 5 | malformed responses → error
        R-10 | 5 | url-mode not sent to form-only client
        R-11 | 5 | works across workers
        R-12 | 5 | prompts/get & resources/read also do rounds, final result has their own shape
        R-13 | 5 | decline/cancel handled
    """,
    "4.10 features": """
        F-01 | * | every tool inputSchema root type object, valid schema
        F-02 | * | unknown tool → -32602 protocol error
        F-03 | * | tool failure → result isError:true
        F-04 | R4,5 | bad arguments → isError:true
        F-05 | R3+ | outputSchema ⇒ conforming structuredContent
        F-06 | R3+ | structuredContent mirrored as text
        F-07 | R3,R4 | structuredContent is an object
        F-08 | * | bad cursor → -32602
        F-09 | * | pagination covers all, no dup, ends without nextCursor
        F-10 | L | missing resource → -32002 + uri
        F-11 | * | blob is base64
        F-12 | * | unknown prompt / missing argument → -32602
        F-13 | * | completion ≤100 values
        F-14 | L | setLevel bad → -32602; filter works
        F-15 | L | subscribe → updated arrives; unsubscribe stops
        F-16 | L | list_changed only if declared
        F-17 | L | progress type/monotonic
        F-18 | R2+ | audio block only ≥R2; resource_link only ≥R3
        F-19 | R3+ | elicitation schema flat primitives
        F-20 | R4 | url elicitation carries elicitationId; R5 doesn't
        F-21 | R4 | taskSupport required w/o task → -32601; undeclared tasks ignored
        F-22 | R4 | tasks/result blocks, related-task meta; cancel terminal → -32602
        F-23 | ext | CreateTaskResult only to declaring request
        F-24 | ext | tasks/get immediately resolvable; unknown id -32602; non-declaring -32021
        F-25 | ext | isError tool → completed, not failed
        F-26 | * | traversal blocked
        F-27 | R5 | network `$ref` not fetched
    """,
    "4.11 authorization": """
        A-01 | R2+ | no token → 401 on POST, GET, DELETE, SSE, discover
        A-02 | R3+ | 401 has WWW-Authenticate with resource_metadata (R4/R5: this or well-known)
        A-03 | R3+ | PRM reachable unauthenticated, `resource` equals URL, ≥1 AS
        A-04 | R4,5 | scope in challenge
        A-05 | R3+ | wrong audience → 401
        A-06 | R2+ | expired → 401, `error="invalid_token"`
        A-07 | R4,5 | low scope → 403 insufficient_scope with all scopes
        A-08 | R2+ | query token ignored
        A-09 | R5 | no offline_access advertised
        A-10 | * | session id alone never authorizes
        A-11 | R5 | requestState/task id of other principal refused
        A-12 | none | auth disabled ⇒ no well-known documents (404)
    """,
}
"""Sections of reference mcp-http.md §4: id | revisions | text."""

DESIGN = {
    "1 routes": """
        D-sse-route | * | GET /sse: the endpoint event, then a message with notifications/initialized and the session id
        D-message-route | * | POST /message: 202, answer on the stream; both spellings; 400 without id, 404 unknown
        D-mcp-post | * | POST /mcp serves plain curl with neither session nor Accept list
        D-mcp-get | * | GET /mcp without a session: 405 for SDK clients, guide C's stream for everybody else
        D-guide-c-stream | * | welcome, heartbeats, broadcasts with their type, and a filter
        D-delete | H | DELETE /mcp ends the session and what runs in it
        D-cors | * | OPTIONS: preflight 200 before anything else, complete header lists
        D-health | * | GET /health has the keys of both guides
        D-ready | * | GET /ready turns 503 while draining
        D-sessions-page | * | GET /sessions shows whole ids only at home
        D-docs | * | GET /docs: self-contained, escaped, examples with the real address that work
        D-docs-live | * | GET /docs calls tools from forms, shows what they say, figures and refusals, all of it as text
        D-metrics | * | GET /metrics: Prometheus text, guide C's JSON on request
        D-routes | * | 404 for unknown paths, 405 with Allow for wrong methods
        D-one-door | * | /mcp/ and /mcp are the same, never a redirect
    """,
    "1 event streams": """
        D-sse-framing | * | one data line per message, LF, no BOM; heartbeats are comments
        D-sse-headers | * | Content-Type exactly, Cache-Control, Connection, X-Accel-Buffering; chunked on HTTP/1.1
        D-first-bytes | * | the first bytes leave with the head
        D-ping | * | a comment on every quiet stream
        D-endpoint-first | * | endpoint is the very first event, once, a bare URI
        D-endpoint-json | * | GET /sse?endpoint=json for guide N's letter
        D-progress-gap | * | on /sse a result waits until the progress before it can have been read
        D-accept | * | events only for those who list them; always for those who list nothing else
        D-probe | * | server/discover where it is not served: -32601 at once, nothing is created
    """,
    "1 settings and errors": """
        D-settings | * | every setting by flag and by variable, with the guides' names
        D-guards | * | a loopback bind takes loopback hosts and origins; others are listed; refusals name the setting
        D-error-codes | * | parse, invalid request, method, params, internal; nothing internal leaks
        D-too-many-streams | * | too many streams or sessions: 503 and Retry-After
        D-limits | * | body 413, head 431, slow head and slow body 408
        D-refusals | * | a refusal says what was seen, wanted and which setting changes it; tersely for strangers
        D-methods | * | all methods of the handshake revisions and of the stateless one
        D-before-initialize | L | on /sse and without a session requests are served before initialize
        D-sessionless | H | without a session: the header's version, or 2025-03-26
        D-mistakes | * | the guides' mistakes are not copied
    """,
    "1 stopping": """
        D-drain | * | told to stop: nobody new, streams end, calls finish for a while, the rest gets an error
        D-exit-code | * | the exit code says how many calls were cut; a second signal does not wait
    """,
    "1 listening": """
        D-proxies | * | forwarded headers are believed from trusted proxies alone, and read from the right
        D-tls | * | TLS 1.2 and newer, client certificates required or optional; who cannot speak it is one debug line
        D-sockets | * | beside addresses: a Unix socket, an inherited socket, the sockets of a systemd unit
    """,
    "1 the command": """
        D-demo | * | without an argument: the demo app, with all that benchmarks and guides call
        D-target | * | module:app and path/file.py:app serve yours
        D-http-h11 | * | h11 reads everything on request, and means the same by it
    """,
    "2 doors": """
        D-in-loop | * | servers in a loop that is there already: several at once, beside others, and nothing is left
        D-testing | * | a server inside your test: ready at once, on a free port, by context manager and by fixture
        D-examples | * | every example does what it says
        D-wire | * | a client of any revision without sockets, on the same code paths
    """,
    "2 hosting servers of other SDKs": """
        EMB-01 | * | a guest sees every request and notification as it was sent, and its answers go out as they are
        EMB-02 | L | the guest negotiates; its sessions are told when they end
        EMB-03 | * | a server of the Python SDK serves all revisions and both transports, and its lifespan runs once
        EMB-04 | * | progress, logging, sampling, elicitation, roots and cancelling work through the hosted server
        EMB-05 | * | resource subscriptions and listen streams work through the hosted server
        EMB-06 | * | errors of the hosted server reach the client as its own transport would send them
        EMB-07 | * | what the hosted server has and we do not carry stops the start with one sentence
        EMB-08 | * | `python -m fastsse module:server` and `run(server)` recognize what they are given
        EMB-09 | R4,5 | the SDK's own conformance server passes the suite on our wire as on its own
        EMB-11 | * | a guest answers in bytes, or hands requests to a program in another language
        EMB-10 | * | FastMCP 4 servers are hosted like those of the SDK
    """,
    "3 sessions and streams": """
        D-five-revisions | * | all revisions at once on one port, each by its own schema
        D-era-table | * | the body decides the era, the header is a cross-check
        D-session-ids | H | ids route, carry 90 random bits, and stay dead
        D-session-clocks | L | the clocks of sessions
        D-full-table | L | a full table: who was lost longest ago gives way; otherwise 503
        D-standing-stream | H | a newer GET takes the place of the older one
        D-sse-resume | L | a browser that comes back to /sse finds its session and what it missed; or a new session
        D-no-silent-gap | H | an event id that cannot be resumed is told
        D-exactly-once | L | what a client reads is what was sent, in order, once each
        D-unread-replies | L | unread replies are never evicted; who does not read them gets no further work done
        D-slow-consumer | * | a slow consumer is closed, and holds nobody up
        D-asks-in-one-round | L | several questions at once under their keys
        D-process-bytes | * | bytes are bounded per process: rings, buffers and inbound bodies together
    """,
    "3 seeing it": """
        D-metrics-calls | * | every request is counted by method and outcome, whoever answered it
        D-metrics-lifetimes | * | how long streams and sessions last has histograms of its own, and is in no call
        D-metrics-sessions | * | sessions are counted by state: attached, detached, never used
        D-logs | * | JSON lines on request: every record is one line, whatever it holds
        D-logs-connection | * | one line for each closed connection with its reason; at debug, or at info on request
        D-traces | * | on request a span for each call, as OpenTelemetry has it for MCP; its parent stands in _meta
        D-dashboard | * | a Grafana dashboard whose every query names a metric that is there
    """,
    "3 what holds under load": """
        D-auth | * | with authentication all routes but health, ready, docs and metadata ask first: 401, 403
        D-auth-jwt | * | JWTs by the issuer's keys, which are fetched off the loop, once for all and at most so often
        D-auth-hook | * | the application may say who asks, from headers and cookies; the request waits, bounded
        D-auth-expiry | * | a stream ends when its token does, unless a later request of its session renews it
        D-rates | * | sessions are opened, and requests asked, at most at a rate: 429, and Retry-After says when
        D-depth | * | how deep JSON may be nested is a setting, the same on every interpreter
        D-dead-peers | * | a peer whose machine is gone is given up by the kernel
        D-strict | * | what Node's HTTP server refuses is refused; what is taken it reads the same
        D-fuzz | * | any bytes are read, or refused with an error of our own; what is written others read
        D-injection | * | text stays text: no client writes a line of its own into a head or an event stream
        D-guessing | * | who does not know an id finds nothing: not by guessing, not by event ids of others
        D-soak | * | however long clients of all eras come and go: memory does not grow with what was done
        D-floods | * | whoever floods it: those who do nothing wrong are served, and in the end nothing is left
        D-shedding | * | while the event loop lags, nothing new is taken: 503; what runs goes on
    """,
}
"""Sections of the design: id | revisions | text."""

ELSEWHERE = {
    "D-health": ["test_pages.py::test_health_has_the_keys_of_both_guides"],
    "D-docs": ["test_docs.py::test_what_is_copied_works", "test_docs.py::test_what_tools_say_stays_text"],
    "D-metrics": [
        "test_metrics.py::test_a_prometheus_parser_reads_back_what_was_counted",
        "test_metrics.py::test_json_metrics_have_the_guides_keys",
    ],
    "D-settings": [
        "test_config.py::test_every_field_can_be_set_by_its_variable",
        "test_config.py::test_the_guides_names",
        "test_main.py::test_help_names_every_flag_and_variable",
    ],
    "D-limits": [
        "test_connection.py::test_a_body_that_is_too_large_is_refused_before_it_is_read",
        "test_connection.py::test_a_head_that_cannot_be_served",
        "test_connection.py::test_a_head_that_dribbles_is_given_up",
        "test_connection.py::test_a_body_that_dribbles_is_given_up",
    ],
    "D-demo": [
        "test_demo.py::test_the_demo_has_one_of_everything",
        "test_demo.py::test_the_demo_echoes_and_adds_at_once",
    ],
    "D-target": ["test_main.py::test_targets"],
    "D-http-h11": ["test_http11.py::test_any_requests_read_the_same_in_every_way"],
}
"""Entries that tests of other rooms show without naming them."""

_TASKS = "tasks are an extension that is not served"

NOT_MET = {
    "H-08": "use without a session is first class: many real clients never repeat the id, curl has none (design §1)",
}
"""Entries that are deliberately not met."""

LATER = {
    **dict.fromkeys(("F-21", "F-22", "F-23", "F-24", "F-25"), _TASKS),
}
"""Entries of what is not there yet."""

GAPS: dict[str, str] = {}
"""Known gaps; this list may only shrink."""


def parse(source: str, tables: dict[str, str]) -> dict[str, Requirement]:
    """The entries of some tables by id; an id that stands there twice is an error."""
    found: dict[str, Requirement] = {}
    for section, table in tables.items():
        for line in table.strip().splitlines():
            id, revisions, text = (part.strip() for part in line.split("|", 2))
            assert id not in found, id
            found[id] = Requirement(f"{source} §{section}", revisions, text)
    return found


REQUIREMENTS = parse("mcp-http.md", CHECKLIST) | parse("design.md", DESIGN)
