cimport cython

from fastsse cimport _framing
from fastsse._framing cimport Waiting
from fastsse.context cimport Context
from fastsse.handler cimport Plan, Work

cdef int ASYNC, PATIENCE, KEPT
cdef object _Task, _copy_context, _current_task, _enter_task, _leave_task, _weak_references

cdef class Spare:
    cdef public bint ready
    cdef public object called, task, wake, woken
    cdef public tuple taken

    cpdef release(self)

cdef class Name:
    cdef public str text
    cdef public dict options
    cdef public int patience
    cdef public Spare spare

cdef class Runner:
    cdef public object loop, _begin
    cdef public dict _names

    cpdef begin(self, Context context, Work work)
    cpdef ended(self, Context context, Work work, object value)
    cpdef failed(self, Context context, Work work, object error)
    @cython.locals(plan=Plan, name=Name, spare=Spare)
    cpdef start(self, Context context, Work work)
    @cython.locals(before=Py_ssize_t)
    cpdef bint _lend(self, Spare spare, str name, Context context, Work work) except -1
