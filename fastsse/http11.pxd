cimport cython

from fastsse cimport _framing
from fastsse._framing cimport Head, again, scan

cdef int KEPT

cdef class Requests:
    cdef Py_ssize_t _max_head, _max_body, _at, _checked, _missing
    cdef bint _plain, _ended
    cdef object _data
    cdef Head _head, _last
    cdef bytes _body
    cdef list _parts
    cdef object _chunks

    @cython.locals(missing=Py_ssize_t)
    cpdef receive(self, bytes data)
    cpdef bint idle(self)
    @cython.locals(held=Py_ssize_t)
    cpdef Py_ssize_t held(self) except -1
    @cython.locals(at=Py_ssize_t, head=Head)
    cpdef Head head(self)
    @cython.locals(length=Py_ssize_t)
    cpdef bytes body(self)
    cpdef done(self)
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t)
    cpdef bytes _declared(self, Py_ssize_t length)
