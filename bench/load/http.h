/* What the two load programs share: an HTTP/1.1 client connection, an event-stream reader and a latency histogram.
 *
 * A connection is fed whatever bytes arrive and says when an answer is complete or an event has been read. It accepts
 * Content-Length, chunked and close-delimited bodies, because the peers differ; it refuses nothing else, since it only
 * talks to servers under test on this machine. Handshakes are done in blocking mode, measured traffic without. */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#define _GNU_SOURCE
#include "awake.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HANDSHAKE_TIMEOUT 30 /* seconds a server may take for one step of a handshake */

static void die(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    exit(1);
}

/* What this process has used, without what went into waiting awake. */
static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6
           - (double)waiting_ns / 1e9;
}

/* ---- growing bytes -------------------------------------------------------------------------------------------- */

typedef struct {
    char *at;
    size_t len, cap;
} Bytes;

static void put(Bytes *b, const char *from, size_t n) {
    if (b->len + n + 1 > b->cap) {
        b->cap = (b->len + n + 1) * 2;
        b->at = realloc(b->at, b->cap);
        if (!b->at) die("out of memory");
    }
    memcpy(b->at + b->len, from, n);
    b->len += n;
    b->at[b->len] = 0;
}

static void empty(Bytes *b) {
    b->len = 0;
    if (b->at) b->at[0] = 0;
}

/* ---- one connection ------------------------------------------------------------------------------------------- */

enum { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE, COMPLETE };

typedef struct {
    int fd, state, status, is_stream; /* is_stream: the body is read as events, not collected */
    size_t left;                      /* bytes of the body or of the chunk still to come */
    uint64_t events;                  /* events with data read so far */
    Bytes head, body;                 /* the head, and the body or the data of the event being read */
    Bytes line, data, first, last;    /* event stream: partial line, data so far, data of the first and last event */
    char event[32], first_event[32];
    char session[256]; /* Mcp-Session-Id of the last head that had one */
    void *owner;
} Conn;

typedef struct {
    const char *host;
    int port;
    struct sockaddr_storage address;
    socklen_t length;
} Server;

static void resolve(Server *s) {
    struct addrinfo want = {.ai_socktype = SOCK_STREAM}, *found;
    char port[16];
    snprintf(port, sizeof port, "%d", s->port);
    int error = getaddrinfo(s->host, port, &want, &found);
    if (error) die("%s: %s", s->host, gai_strerror(error));
    /* localhost may name an address nobody listens on: take the first that answers. */
    for (struct addrinfo *a = found; a; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM, 0);
        int refused = connect(fd, a->ai_addr, a->ai_addrlen);
        close(fd);
        if (refused && a->ai_next) continue;
        memcpy(&s->address, a->ai_addr, a->ai_addrlen);
        s->length = a->ai_addrlen;
        break;
    }
    freeaddrinfo(found);
}

static void blocking(Conn *c, int yes) {
    int flags = fcntl(c->fd, F_GETFL);
    fcntl(c->fd, F_SETFL, yes ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* Connects in blocking mode; 0 or -1 with errno. A reset on close keeps thousands of ports out of TIME_WAIT. */
static int dial(Conn *c, const Server *s) {
    struct linger reset = {1, 0};
    struct timeval limit = {HANDSHAKE_TIMEOUT, 0};
    int one = 1;
    c->fd = socket(s->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    c->state = HEAD;
    empty(&c->head);
    empty(&c->body);
    if (connect(c->fd, (const struct sockaddr *)&s->address, s->length)) {
        int why = errno;
        close(c->fd);
        c->fd = -1;
        errno = why;
        return -1;
    }
    return 0;
}

static const char *header(const Conn *c, const char *name) {
    size_t n = strlen(name);
    for (const char *line = strstr(c->head.at, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, n) && line[n] == ':') {
            line += n + 1;
            while (*line == ' ') line++;
            return line;
        }
    }
    return NULL;
}

static void read_head(Conn *c) {
    c->status = atoi(c->head.at + 9);
    const char *session = header(c, "mcp-session-id"), *length = header(c, "content-length");
    const char *coding = header(c, "transfer-encoding");
    if (session) {
        size_t n = strcspn(session, "\r\n ");
        if (n >= sizeof c->session) die("session id of %zu bytes", n);
        memcpy(c->session, session, n);
        c->session[n] = 0;
    }
    c->left = length ? strtoull(length, NULL, 10) : 0;
    if (coding && !strncasecmp(coding, "chunked", 7)) c->state = CHUNK_SIZE;
    else if (length || c->status == 204 || c->status == 304) c->state = c->left ? LENGTH : COMPLETE;
    else c->state = UNTIL_CLOSE;
}

static void read_line(Conn *c) {
    char *line = c->line.at ? c->line.at : "";
    size_t n = c->line.len;
    if (n && line[n - 1] == '\r') line[--n] = 0;
    if (n == 0) {
        if (c->data.len) {
            Bytes was = c->last;
            c->last = c->data;
            c->data = was;
            empty(&c->data);
            if (!c->events++) {
                put(&c->first, c->last.at, c->last.len);
                memcpy(c->first_event, c->event, sizeof c->event);
            }
        }
        c->event[0] = 0;
    } else if (!strncmp(line, "data:", 5)) {
        size_t from = line[5] == ' ' ? 6 : 5;
        put(&c->data, line + from, n - from);
    } else if (!strncmp(line, "event:", 6)) {
        snprintf(c->event, sizeof c->event, "%s", line + (line[6] == ' ' ? 7 : 6));
    }
    empty(&c->line);
}

typedef void (*OnEvent)(Conn *);

static void take_body(Conn *c, const char *at, size_t n, OnEvent on_event) {
    if (!c->is_stream || c->status != 200) {
        put(&c->body, at, n);
        return;
    }
    while (n) {
        const char *end = memchr(at, '\n', n);
        size_t part = end ? (size_t)(end - at) : n;
        put(&c->line, at, part);
        if (!end) return;
        uint64_t before = c->events;
        read_line(c);
        if (c->events != before && on_event) on_event(c);
        at += part + 1;
        n -= part + 1;
    }
}

/* Takes n bytes. Stops after one complete answer (state COMPLETE) and returns how many bytes it used. */
static size_t feed(Conn *c, const char *at, size_t n, OnEvent on_event) {
    const char *start = at, *end = at + n;
    while (at < end && c->state != COMPLETE) {
        size_t room = (size_t)(end - at), part;
        switch (c->state) {
        case HEAD: {
            size_t before = c->head.len;
            put(&c->head, at, room);
            char *blank = strstr(c->head.at + (before > 3 ? before - 3 : 0), "\r\n\r\n");
            if (!blank) return n;
            size_t whole = (size_t)(blank - c->head.at) + 4;
            at += whole - before;
            c->head.len = whole;
            c->head.at[whole] = 0;
            read_head(c);
            if (c->status == 100) {
                empty(&c->head);
                c->state = HEAD;
            }
            break;
        }
        case LENGTH:
        case CHUNK_DATA:
            part = room < c->left ? room : c->left;
            take_body(c, at, part, on_event);
            at += part;
            c->left -= part;
            if (!c->left) c->state = c->state == LENGTH ? COMPLETE : CHUNK_END;
            break;
        case UNTIL_CLOSE:
            take_body(c, at, room, on_event);
            at = end;
            break;
        case CHUNK_SIZE: {
            char digit = *at++;
            if (digit == '\n') c->state = c->left ? CHUNK_DATA : TRAILER;
            else if (digit >= '0' && digit <= '9') c->left = c->left * 16 + (size_t)(digit - '0');
            else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') c->left = c->left * 16 + (size_t)((digit | 32) - 'a' + 10);
            else if (digit != '\r') die("chunk size with byte %d", digit);
            break;
        }
        case CHUNK_END:
            if (*at++ == '\n') c->state = CHUNK_SIZE;
            break;
        case TRAILER: /* nobody here sends trailers: the next line is the blank one */
            if (*at++ == '\n') c->state = COMPLETE;
            break;
        }
    }
    return (size_t)(at - start);
}

static void next_answer(Conn *c) {
    c->state = HEAD;
    empty(&c->head);
    empty(&c->body);
}

static int send_all(Conn *c, const char *at, size_t n) {
    while (n) {
        ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return -1;
        at += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Blocking: sends a request and reads the whole answer. Status, or -1 when the connection failed. */
static int exchange(Conn *c, const char *request, size_t n) {
    static char block[65536];
    next_answer(c);
    if (send_all(c, request, n)) return -1;
    while (c->state != COMPLETE) {
        ssize_t got = recv(c->fd, block, sizeof block, 0);
        if (got == 0 && c->state == UNTIL_CLOSE) break;
        if (got <= 0) return -1;
        feed(c, block, (size_t)got, NULL);
    }
    return c->status;
}

/* Blocking: reads until the head is there and `events` events have been read. Status, or -1. */
static int await_events(Conn *c, uint64_t events) {
    static char block[65536];
    while (c->state == HEAD || (c->status == 200 && c->events < events)) {
        ssize_t got = recv(c->fd, block, sizeof block, 0);
        if (got <= 0) return -1;
        feed(c, block, (size_t)got, NULL);
        if (c->state == COMPLETE) break;
    }
    return c->status;
}

/* ---- MCP requests --------------------------------------------------------------------------------------------- */

#define REVISION "2025-11-25"
#define STATELESS "2026-07-28"
#define INITIALIZE \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"" REVISION \
    "\",\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}"
#define INITIALIZED "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"

/* Renders a POST; `extra` is a list of whole header lines. The caller frees it. (Inlined, gcc 12 warns without cause.) */
__attribute__((noinline)) static char *post(const Server *s, const char *path, const char *extra, const char *body, size_t *n) {
    char *out = NULL;
    int length = asprintf(&out,
                          "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                          "Accept: application/json, text/event-stream\r\n%sContent-Length: %zu\r\n\r\n%s",
                          path, s->host, s->port, extra, strlen(body), body);
    if (length < 0) die("out of memory");
    *n = (size_t)length;
    return out;
}

static int post_once(Conn *c, const Server *s, const char *path, const char *extra, const char *body) {
    size_t n;
    char *request = post(s, path, extra, body, &n);
    int status = exchange(c, request, n);
    free(request);
    return status;
}

static void session_headers(const char *session, char *out, size_t room) {
    if (session[0])
        snprintf(out, room, "Mcp-Session-Id: %s\r\nMCP-Protocol-Version: " REVISION "\r\n", session);
    else
        snprintf(out, room, "MCP-Protocol-Version: " REVISION "\r\n");
}

/* Blocking: opens a session over an open POST connection; its id is in c->session afterwards (empty: none given). */
static void handshake(Conn *c, const Server *s, const char *path) {
    char extra[512];
    c->session[0] = 0;
    int status = post_once(c, s, path, "", INITIALIZE);
    if (status != 200) die("initialize answered %d %s", status, c->body.at ? c->body.at : "");
    session_headers(c->session, extra, sizeof extra);
    status = post_once(c, s, path, extra, INITIALIZED);
    if (status < 200 || status > 299) die("notifications/initialized answered %d", status);
}

/* Blocking: GETs an event stream on a new connection and waits for its head and `events` events. Status, or -1. */
static int open_stream(Conn *c, const Server *s, const char *path, const char *extra, uint64_t events) {
    char request[1024];
    if (dial(c, s)) return -1;
    c->is_stream = 1;
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n%s\r\n",
                     path, s->host, s->port, extra);
    if (send_all(c, request, (size_t)n)) return -1;
    return await_events(c, events);
}

/* The path to POST to, out of the first event of an HTTP+SSE stream (a path, a full URL, or guide N's JSON). */
static void endpoint_path(const Conn *c, char *out, size_t room) {
    const char *uri = c->first.at ? c->first.at : "";
    if (strcmp(c->first_event, "endpoint")) die("the first event was %s: %s", c->first_event, uri);
    const char *scheme = strstr(uri, "://");
    if (scheme) uri = strchr(scheme + 3, '/');
    if (!uri) die("endpoint without a path");
    snprintf(out, room, "%s", uri);
}

/* ---- latency -------------------------------------------------------------------------------------------------- */

#define SUB 64 /* buckets per power of two: 1.6 % wide */
typedef struct {
    uint64_t count[64 * SUB], total, max;
    double sum;
} Histogram;

static void record(Histogram *h, uint64_t ns) {
    unsigned bucket;
    if (ns < SUB) bucket = (unsigned)ns;
    else {
        unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
        bucket = (shift + 1) * SUB + (unsigned)((ns >> shift) - SUB);
    }
    h->count[bucket]++;
    h->total++;
    h->sum += (double)ns;
    if (ns > h->max) h->max = ns;
}

static double percentile_us(const Histogram *h, double p) {
    uint64_t rank = (uint64_t)((double)h->total * p / 100.0), seen = 0;
    if (rank >= h->total) return (double)h->max / 1e3;
    for (unsigned bucket = 0; bucket < 64 * SUB; bucket++) {
        seen += h->count[bucket];
        if (seen > rank) {
            if (bucket < SUB) return bucket / 1e3;
            unsigned shift = bucket / SUB - 1;
            return (double)((uint64_t)(bucket % SUB + SUB) << shift) / 1e3;
        }
    }
    return (double)h->max / 1e3;
}

static void print_latency(const Histogram *h) {
    printf("\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
           h->total ? h->sum / (double)h->total / 1e3 : 0.0, percentile_us(h, 50), percentile_us(h, 90),
           percentile_us(h, 99), percentile_us(h, 99.9), (double)h->max / 1e3);
}

/* Reads one command line from standard input without blocking twice; NULL at its end. */
static char *next_command(void) {
    static char line[256];
    if (!fgets(line, sizeof line, stdin)) return NULL;
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

#endif
