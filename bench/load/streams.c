/* Holds many idle event streams, and receives what is fanned out to them.
 *
 *   streams HOST PORT WIRE PATH COUNT [TRIGGER MARKER]
 *
 * WIRE: `sse` (GET, waits for the `endpoint` event), `session` (initialize, then GET with the session), `events` (a GET
 * without a handshake). TRIGGER is a file with one whole HTTP request that makes the server send one event to every
 * stream; an event counts when its data contain MARKER, so heartbeats and greetings do not.
 *
 * Prints `ready` with the opening time once all stand, then obeys standard input; each command prints one line of JSON:
 *   fan SECONDS           the next trigger goes out when every stream has the event of the last one; never sleeps
 *   paced RATE SECONDS    RATE triggers a second, whatever has arrived
 *   hold SECONDS          only reads */
#include "http.h"

#define LOST_AFTER 10000000000u /* ns without a single event in a closed loop: something was lost */

static Server server;
static Conn *conns, control;
static int count, alive, poll_fd;
static const char *marker = "";
static Bytes trigger;
static uint64_t arrived, refused;
static Histogram latency; /* trigger sent → event read, per event; in a closed loop */
static uint64_t sent_at;

static void watch(Conn *c) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    blocking(c, 0);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &e)) die("epoll_ctl: %s", strerror(errno));
}

static void open_one(Conn *c, const char *wire, const char *path, Conn *post_conn) {
    char extra[512] = "";
    int status;
    if (!strcmp(wire, "session")) {
        handshake(post_conn, &server, path);
        session_headers(post_conn->session, extra, sizeof extra);
    }
    status = open_stream(c, &server, path, extra, !strcmp(wire, "sse") ? 1 : 0);
    if (status != 200) die("stream %d of %d: GET %s answered %d (%s)", alive + 1, count, path, status, strerror(errno));
    alive++;
    watch(c);
}

static void on_event(Conn *c) {
    if (marker[0] && !strstr(c->last.at, marker)) return;
    arrived++;
    record(&latency, now_ns() - sent_at);
}

static void on_readable(Conn *c) {
    static char block[65536];
    ssize_t got = recv(c->fd, block, sizeof block, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (c == &control) {
        if (got <= 0) { /* closed while idle, or it fell: the next trigger dials again */
            if (c->state != COMPLETE && c->head.len) refused++;
            close(c->fd);
            c->fd = -1;
            c->state = COMPLETE;
            return;
        }
        feed(c, block, (size_t)got, NULL);
        if (c->state == COMPLETE && c->status / 100 != 2) {
            if (!refused++) fprintf(stderr, "trigger answered %d: %s\n", c->status, c->body.at ? c->body.at : "");
        }
        return;
    }
    if (got <= 0) {
        epoll_ctl(poll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        close(c->fd);
        alive--;
        return;
    }
    feed(c, block, (size_t)got, on_event);
}

static void send_trigger(void) {
    if (control.fd < 0) {
        if (dial(&control, &server)) die("connect: %s", strerror(errno));
        watch(&control);
    }
    next_answer(&control);
    sent_at = now_ns();
    if (send_all(&control, trigger.at, trigger.len)) die("send: %s", strerror(errno));
}

/* Rate > 0: paced; 0: closed loop; < 0: only reads. */
static void run(double rate, double seconds) {
    struct epoll_event ready[512];
    double cpu = cpu_seconds();
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), now = begin, triggers = 0, progress = begin;
    uint64_t before = 0;
    arrived = refused = 0;
    memset(&latency, 0, sizeof latency);
    control.state = COMPLETE;
    for (;;) {
        int wait_ms = 50;
        int answered = control.state == COMPLETE;
        if (rate == 0 && answered && arrived >= triggers * (uint64_t)alive) {
            if (now >= end) break;
            triggers++;
            send_trigger();
        } else if (rate > 0 && answered && now < end) {
            uint64_t meant = begin + (uint64_t)((double)triggers * 1e9 / rate);
            if (meant <= now) {
                triggers++;
                send_trigger();
            } else if ((meant - now) / 1000000u < 50) {
                wait_ms = (int)((meant - now) / 1000000u) + 1;
            }
        }
        if (rate != 0 && now >= end) break;
        int n = rate == 0 ? wait_awake(poll_fd, ready, 512, now + 50000000u) : epoll_wait(poll_fd, ready, 512, wait_ms);
        for (int i = 0; i < n; i++) on_readable(ready[i].data.ptr);
        now = now_ns();
        if (arrived != before) {
            before = arrived;
            progress = now;
        }
        if (rate == 0 && now - progress > LOST_AFTER)
            die("%llu of %llu events arrived, then none for 10 s", (unsigned long long)arrived,
                (unsigned long long)(triggers * (uint64_t)alive));
    }
    printf("{\"streams\":%d,\"alive\":%d,\"triggers\":%llu,\"events\":%llu,\"refused\":%llu,\"seconds\":%.6f,"
           "\"cpu_seconds\":%.6f,",
           count, alive, (unsigned long long)triggers, (unsigned long long)arrived, (unsigned long long)refused,
           (double)(now_ns() - begin) / 1e9, cpu_seconds() - cpu);
    print_latency(&latency);
    puts("}");
    fflush(stdout);
}

/* Waits for a command and keeps reading the streams meanwhile, so that pings do not pile up in them. */
static int command_waits(void) {
    struct epoll_event ready[512];
    for (;;) {
        int n = epoll_wait(poll_fd, ready, 512, -1), waits = 0;
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr) on_readable(ready[i].data.ptr);
            else waits = 1;
        if (waits) return 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 6 && argc != 8) die("usage: streams HOST PORT WIRE PATH COUNT [TRIGGER MARKER]");
    server.host = argv[1];
    server.port = atoi(argv[2]);
    count = atoi(argv[5]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    resolve(&server);
    if (argc == 8) {
        char block[4096];
        FILE *f = fopen(argv[6], "rb");
        if (!f) die("%s: %s", argv[6], strerror(errno));
        for (size_t n; (n = fread(block, 1, sizeof block, f));) put(&trigger, block, n);
        fclose(f);
        marker = argv[7];
    }
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc((size_t)count, sizeof *conns);
    control.fd = -1;
    Conn post_conn = {.fd = -1};
    if (!strcmp(argv[3], "session") && dial(&post_conn, &server)) die("connect: %s", strerror(errno));
    uint64_t begin = now_ns();
    for (int i = 0; i < count; i++) open_one(&conns[i], argv[3], argv[4], &post_conn);
    if (post_conn.fd >= 0) close(post_conn.fd);
    printf("ready %.6f\n", (double)(now_ns() - begin) / 1e9);
    fflush(stdout);
    /* Unbuffered, so that one readable standard input is one command line (they are written one at a time). */
    setvbuf(stdin, NULL, _IONBF, 0);
    struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &in);
    while (command_waits()) {
        double rate, seconds;
        char *command = next_command();
        if (!command) break;
        epoll_ctl(poll_fd, EPOLL_CTL_DEL, 0, NULL);
        if (sscanf(command, "fan %lf", &seconds) == 1) run(0, seconds);
        else if (sscanf(command, "paced %lf %lf", &rate, &seconds) == 2) run(rate, seconds);
        else if (sscanf(command, "hold %lf", &seconds) == 1) run(-1, seconds);
        else die("unknown command: %s", command);
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &in);
    }
    return 0;
}
