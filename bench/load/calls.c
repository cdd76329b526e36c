/* Calls a tool over and over on a number of lanes, checks every answer and measures its latency.
 *
 *   calls HOST PORT WIRE PATH LANES TOOL ARGUMENTS EXPECT
 *
 * A lane is one caller with one call at a time. WIRE says how it calls: `session` (POST with a session of its own),
 * `stateless` (2026-07-28), `plain` (older revision without a session), `sse` (HTTP+SSE: one GET stream and one
 * keep-alive POST connection; a call is over when the 202 and the event are both there). An answer is wrong when it is
 * not 2xx, lacks the id or the text EXPECT, or holds an error; an empty EXPECT (floor servers) checks the status alone.
 *
 * Once the lanes stand it prints `ready` and obeys standard input; each command prints one line of JSON:
 *   closed SECONDS        the next call of a lane starts when its last one is over; never sleeps
 *   open RATE SECONDS     call i is meant to start at i/RATE whether or not a lane is free then; latency counts from
 *                         there, and calls that never got a turn count too (no coordinated omission) */
#include "http.h"
#include <sys/prctl.h>

typedef struct {
    Conn call, stream;
    char *request; /* rendered once; the nine digits of the id stand at id_at */
    size_t request_len, id_at;
    uint64_t id, meant; /* the call under way: id (0: none) and when it was meant to start */
    int accepted, answered;
} Lane;

static Server server;
static const char *wire, *path, *tool, *arguments, *expect;
static Lane *lanes, **idle;
static int lane_count, idle_count, poll_fd;
static uint64_t next_id = 100000000, calls, wrong, broken;
static char first_wrong[300];
static Histogram latency;

static int is_pair(void) { return !strcmp(wire, "sse"); }

static void watch(Conn *c, Lane *lane) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    c->owner = lane;
    blocking(c, 0);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl: %s", strerror(errno));
}

static void render(Lane *lane, const char *target) {
    char extra[1024] = "", meta[300] = "", *body;
    size_t n;
    if (!strcmp(wire, "stateless")) {
        snprintf(extra, sizeof extra,
                 "MCP-Protocol-Version: " STATELESS "\r\nMcp-Method: tools/call\r\nMcp-Name: %s\r\n", tool);
        snprintf(meta, sizeof meta,
                 ",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"" STATELESS
                 "\",\"io.modelcontextprotocol/clientCapabilities\":{}}");
    } else if (!is_pair()) {
        session_headers(lane->call.session, extra, sizeof extra);
    }
    if (asprintf(&body,
                 "{\"jsonrpc\":\"2.0\",\"id\":#########,\"method\":\"tools/call\","
                 "\"params\":{\"name\":\"%s\",\"arguments\":%s%s}}",
                 tool, arguments, meta) < 0)
        die("out of memory");
    lane->request = post(&server, target, extra, body, &n);
    lane->request_len = n;
    lane->id_at = (size_t)(strstr(lane->request, "#########") - lane->request);
    free(body);
}

static void open_lane(Lane *lane) {
    char target[512];
    snprintf(target, sizeof target, "%s", path);
    if (is_pair()) {
        if (open_stream(&lane->stream, &server, path, "", 1) != 200) die("GET %s: status %d", path, lane->stream.status);
        endpoint_path(&lane->stream, target, sizeof target);
    }
    if (dial(&lane->call, &server)) die("connect: %s", strerror(errno));
    if (is_pair() && expect[0]) { /* a floor server knows no handshake */
        if (post_once(&lane->call, &server, target, "", INITIALIZE) / 100 != 2) die("initialize refused");
        /* The answer may come after an event of the server's own accord. */
        while (!lane->stream.last.at || !strstr(lane->stream.last.at, "\"result\""))
            if (await_events(&lane->stream, lane->stream.events + 1) != 200) die("no answer to initialize");
        if (post_once(&lane->call, &server, target, "", INITIALIZED) / 100 != 2) die("initialized refused");
    } else if (!strcmp(wire, "session") && expect[0]) {
        handshake(&lane->call, &server, target);
    }
    render(lane, target);
    watch(&lane->call, lane);
    if (is_pair()) watch(&lane->stream, lane);
    idle[idle_count++] = lane;
}

static void redial(Lane *lane) {
    close(lane->call.fd);
    if (dial(&lane->call, &server)) die("reconnect: %s", strerror(errno));
    watch(&lane->call, lane);
}

static void start(Lane *lane, uint64_t meant) {
    char digits[16];
    lane->id = next_id++;
    lane->meant = meant;
    lane->accepted = 0;
    lane->answered = !is_pair();
    snprintf(digits, sizeof digits, "%09llu", (unsigned long long)lane->id);
    memcpy(lane->request + lane->id_at, digits, 9);
    next_answer(&lane->call);
    if (send_all(&lane->call, lane->request, lane->request_len)) {
        redial(lane); /* the server had closed an idle connection */
        if (send_all(&lane->call, lane->request, lane->request_len)) die("send: %s", strerror(errno));
    }
}

static void note_wrong(int status, const char *what) {
    if (!wrong++) snprintf(first_wrong, sizeof first_wrong, "%d %s", status, what ? what : "");
}

static void check(const Lane *lane, const char *text, int status) {
    char digits[16];
    if (!expect[0]) return;
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)lane->id);
    if (!text || !strstr(text, digits) || !strstr(text, expect) || strstr(text, "\"error\"") ||
        strstr(text, "\"isError\":true"))
        note_wrong(status, text);
}

static void finish_if_over(Lane *lane) {
    if (!lane->id || !lane->accepted || !lane->answered) return;
    record(&latency, now_ns() - lane->meant);
    calls++;
    lane->id = 0;
    idle[idle_count++] = lane;
}

static void on_event(Conn *c) {
    Lane *lane = c->owner;
    if (!lane->id || strstr(c->last.at, "\"method\"")) return; /* a notification or a request of the server's own */
    check(lane, c->last.at, 200);
    lane->answered = 1;
}

static void on_readable(Conn *c) {
    static char block[65536];
    Lane *lane = c->owner;
    ssize_t got = recv(c->fd, block, sizeof block, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        if (c->is_stream) die("the server closed an event stream");
        int until_close = c->state == UNTIL_CLOSE;
        if (lane->id && !lane->accepted && !until_close) {
            broken++; /* the call is lost: its lane is free again */
            lane->id = 0;
            idle[idle_count++] = lane;
        }
        redial(lane);
        if (!until_close) return;
        c->state = COMPLETE;
    } else {
        feed(c, block, (size_t)got, on_event);
    }
    if (!c->is_stream && c->state == COMPLETE && lane->id && !lane->accepted) {
        lane->accepted = 1;
        if (c->status / 100 != 2) {
            note_wrong(c->status, c->body.at);
            lane->answered = 1;
        } else if (!is_pair()) {
            check(lane, c->body.at, c->status);
        }
    }
    finish_if_over(lane);
}

/* Rate 0 is the closed loop. */
static void run(double rate, double seconds) {
    struct epoll_event ready[256];
    for (int n; (n = epoll_wait(poll_fd, ready, 256, 0)) > 0;) /* connections the server closed while they were idle */
        for (int i = 0; i < n; i++) on_readable(ready[i].data.ptr);
    memset(&latency, 0, sizeof latency);
    calls = wrong = broken = 0;
    first_wrong[0] = 0;
    double cpu = cpu_seconds();
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), started = 0, now = begin;
    uint64_t due = rate > 0 ? (uint64_t)(rate * seconds) : UINT64_MAX;
    while (now < end) {
        uint64_t rest = end - now;
        struct timespec wait = {0, rest < 100000000u ? (long)rest : 100000000};
        while (idle_count && started < due) {
            uint64_t meant = rate > 0 ? begin + (uint64_t)((double)started * 1e9 / rate) : now;
            if (meant > now) {
                if (meant - now < (uint64_t)wait.tv_nsec) wait.tv_nsec = (long)(meant - now);
                break;
            }
            started++;
            start(idle[--idle_count], meant);
        }
        int n = rate > 0 ? epoll_pwait2(poll_fd, ready, 256, &wait, NULL) : wait_awake(poll_fd, ready, 256, end);
        for (int i = 0; i < n; i++) on_readable(ready[i].data.ptr);
        now = now_ns();
    }
    double wall = (double)(now_ns() - begin) / 1e9, spent = cpu_seconds() - cpu;
    uint64_t done = calls, limit = now_ns() + 2000000000u;
    while (idle_count < lane_count && now_ns() < limit) { /* let what is under way arrive, uncounted in `calls` */
        int n = epoll_wait(poll_fd, ready, 256, 100);
        for (int i = 0; i < n; i++) on_readable(ready[i].data.ptr);
    }
    if (rate > 0)
        for (uint64_t i = started; i < due; i++) record(&latency, end - (begin + (uint64_t)((double)i * 1e9 / rate)));
    printf("{\"calls\":%llu,\"all_calls\":%llu,\"due\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"wrong\":%llu,"
           "\"broken\":%llu,",
           (unsigned long long)done, (unsigned long long)calls, (unsigned long long)(rate > 0 ? due : done), wall,
           spent, (unsigned long long)wrong, (unsigned long long)broken);
    print_latency(&latency);
    printf(",\"first_wrong\":\"");
    for (const char *p = first_wrong; *p; p++)
        if (*p == '"' || *p == '\\') printf("\\%c", *p);
        else putchar((unsigned char)*p < ' ' ? ' ' : *p);
    printf("\"}\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 9) die("usage: calls HOST PORT WIRE PATH LANES TOOL ARGUMENTS EXPECT");
    server.host = argv[1];
    server.port = atoi(argv[2]);
    wire = argv[3];
    path = argv[4];
    lane_count = atoi(argv[5]);
    tool = argv[6];
    arguments = argv[7];
    expect = argv[8];
    resolve(&server);
    prctl(PR_SET_TIMERSLACK, 1); /* an open loop waits for times between two milliseconds */
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    lanes = calloc((size_t)lane_count, sizeof *lanes);
    idle = calloc((size_t)lane_count, sizeof *idle);
    for (int i = 0; i < lane_count; i++) open_lane(&lanes[i]);
    puts("ready");
    fflush(stdout);
    for (char *command; (command = next_command());) {
        double rate, seconds;
        if (sscanf(command, "closed %lf", &seconds) == 1) run(0, seconds);
        else if (sscanf(command, "open %lf %lf", &rate, &seconds) == 2) run(rate, seconds);
        else die("unknown command: %s", command);
    }
    return 0;
}
