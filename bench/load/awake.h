/* Waiting for sockets without sleeping, for closed loops.
 *
 * A server that answers wakes the generator up when it sleeps: an interrupt of another core, in the server's own time
 * (1 to 2 us of 13 where the core is a virtual one). A server that keeps the generator busy is hardly ever billed for
 * it, a slightly slower one often is, which is no property of either: on a network nobody pays it. So nobody does. */
#ifndef BENCH_AWAKE_H
#define BENCH_AWAKE_H

#include <sched.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

static uint64_t waiting_ns; /* CPU time that went into waiting: not what keeps a generator busy */

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* As epoll_wait, until `until` (of now_ns) at the latest. Gives the core to whoever else wants it. */
static int wait_awake(int poll_fd, struct epoll_event *ready, int most, uint64_t until) {
    int n = epoll_pwait(poll_fd, ready, most, 0, NULL);
    if (n) return n;
    uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    while (now_ns() < until && !(n = epoll_pwait(poll_fd, ready, most, 0, NULL))) sched_yield();
    waiting_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
    return n;
}
#endif
