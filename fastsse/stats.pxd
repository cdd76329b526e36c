cimport cython

cdef tuple _bounds
cdef str TOOLS_CALL

cdef class Histogram:
    cdef public list counts
    cdef public double sum

    @cython.locals(place=Py_ssize_t, bound=double)
    cpdef observe(self, double seconds)

cdef class Calls:
    cdef public Histogram seconds
    cdef public long long cancelled, errors, ruled, tool_errors

cdef class Stats:
    cdef public double started_at, loop_lag
    cdef public long long requests, connections_opened, connections_open, sessions_opened, sessions_open, events
    cdef public list _calls
    cdef public Calls _tools
    cdef public dict responses, methods, closed, streams_opened, streams_open, streams_lasted
    cdef public object refused, sessions_ended, sessions_lasted, dropped, coalesced

    cpdef Calls calls(self, str method)
    cpdef responded(self, str route, int status)
    cpdef answered(self, int status)
