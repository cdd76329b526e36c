/* The physical limit: a C epoll server that writes constant bytes, without parsing.
 *
 *   epoll PORT ANSWER STREAM_HEAD EVENT     (the last three name files with the bytes)
 *
 * A GET keeps its connection and gets STREAM_HEAD; `POST /fan` writes EVENT to every kept connection; anything else gets
 * ANSWER. A stream whose socket is full loses the event: a closed-loop receiver never lets it come to that. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536

typedef struct {
    char bytes[4096];
    size_t len;
} Prepared;

static Prepared load(const char *path) {
    Prepared p;
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    p.len = fread(p.bytes, 1, sizeof p.bytes, f);
    fclose(f);
    return p;
}

static int place[MOST], streams[MOST], stream_count; /* place: index + 1 of a descriptor in streams */

static void forget(int fd) {
    if (place[fd]) {
        int last = streams[--stream_count];
        streams[place[fd] - 1] = last;
        place[last] = place[fd];
        place[fd] = 0;
    }
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: epoll PORT ANSWER STREAM_HEAD EVENT\n");
        return 1;
    }
    Prepared answer = load(argv[2]), head = load(argv[3]), event = load(argv[4]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll_fd = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 4096)) {
        perror("listen");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[512];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e);
    static char block[65536];
    for (;;) {
        int n = epoll_wait(poll_fd, ready, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (fd >= MOST) {
                        close(fd);
                        continue;
                    }
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    struct epoll_event c = {.events = EPOLLIN, .data.fd = fd};
                    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &c);
                }
                continue;
            }
            ssize_t got = recv(fd, block, sizeof block, 0);
            if (got <= 0) {
                if (got == 0 || (errno != EAGAIN && errno != EINTR)) forget(fd);
                continue;
            }
            if (block[0] == 'G') {
                streams[stream_count++] = fd;
                place[fd] = stream_count;
                send(fd, head.bytes, head.len, MSG_NOSIGNAL);
                continue;
            }
            if (got > 9 && !memcmp(block, "POST /fan", 9))
                for (int s = 0; s < stream_count; s++) send(streams[s], event.bytes, event.len, MSG_NOSIGNAL);
            send(fd, answer.bytes, answer.len, MSG_NOSIGNAL);
        }
    }
}
