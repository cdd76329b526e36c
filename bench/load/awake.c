/* Keeps wrk awake: LD_PRELOAD this and its event loop polls where it would sleep. At the end the CPU seconds that
 * went into that are printed to standard error as `WAITING seconds`. For programs with one thread that waits. */
#include "awake.h"
#include <stdio.h>

int epoll_wait(int poll_fd, struct epoll_event *ready, int most, int timeout_ms) {
    uint64_t until = timeout_ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)timeout_ms * 1000000u;
    return wait_awake(poll_fd, ready, most, until);
}

__attribute__((destructor)) static void report(void) { fprintf(stderr, "WAITING %.6f\n", (double)waiting_ns / 1e9); }
