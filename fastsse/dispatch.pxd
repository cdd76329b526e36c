cimport cython

from fastsse cimport _framing
from fastsse.decision cimport Call
from fastsse.context cimport Context, new_context
from fastsse.handler cimport Plan, Request, Result, Work, new_work
from fastsse.session cimport Session
from fastsse.stats cimport Calls, Stats
from fastsse.tasks cimport Runner

# Constants of the room: since 3.12 a look-up of a module's global has no short cut.
cdef int ASYNC, LOOP, THREAD, PAGE

cdef class Dispatch(Runner):
    cdef public object handle, pool, now, thread, lifespan
    cdef public Stats stats
    cdef public double ask_timeout, progress_gap
    cdef public int retry_ms, late
    cdef public set running
    cdef public dict _limits, _fast

    @cython.locals(request=Request)
    cpdef run(self, Call call, object line, double now)
    @cython.locals(context=Context, plan=Plan, body=bytes, done=bytes)
    cpdef _start(self, Call call, Work work, object line, double now)
    @cython.locals(call=Call, session=Session)
    cpdef _note(self, Context context)
    @cython.locals(plan=Plan)
    cpdef begin(self, Context context, Work work)
    @cython.locals(call=Call, plan=Plan, body=bytes)
    cpdef ended(self, Context context, Work work, object value)
    cpdef bytes _reply(self, Call call, object answer, double started)
    @cython.locals(session=Session)
    cpdef _forget(self, Context context)
    cpdef _finish(self, Context context, bytes body)
    @cython.locals(call=Call, gap=double)
    cpdef _conclude(self, Context context, bytes body)
    cpdef deliver(self, Call call, bytes body)
