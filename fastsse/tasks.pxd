cimport cython

from fastsse cimport _framing
from fastsse._framing cimport Waiting
from fastsse.context cimport Context
from fastsse.handler cimport Plan, Work

cdef int ASYNC, PATIENCE, KEPT
cdef object _Task, _copy_context, _current_task, _enter_task, _leave_task, _weak_references

cdef class Spare:
    cdef public bint ready
    cdef public object named, task, wake, woken
    cdef public str label
    cdef public tuple taken
    cdef public Py_ssize_t known

    cpdef bint again(self)
    cpdef release(self)

cdef class Kind:
    cdef public dict options
    cdef public int patience
    cdef public Spare spare

cdef class Runner:
    cdef public object loop
    cdef public dict _kinds
    cdef public int _most

    cpdef begin(self, Context context, Work work)
    cpdef ended(self, Context context, Work work, object value)
    cpdef failed(self, Context context, Work work, object error)
    @cython.locals(plan=Plan, kind=Kind, spare=Spare)
    cpdef start(self, Context context, Work work)
    @cython.locals(waiting=Waiting)
    cpdef _lend(self, Spare spare, Context context, Work work)
    cpdef _take_back(self, Kind kind, Spare spare)
