cimport cython

from fastsse.budget cimport Budget

cdef class Outlet:
    cpdef wake(self)

cdef class WriteBuffer:
    cdef public Budget budget
    cdef public Outlet outlet
    cdef public object ending, places
    cdef public Py_ssize_t holes
    cdef public Py_ssize_t limit, size
    cdef public list frames
    cdef public bint paused, overflowed
    cdef public int logs, lost

    cpdef bint refuses(self)
    @cython.locals(budget=Budget, size=Py_ssize_t)
    cpdef push(self, bytes frame, int kind=*, object key=*)
    cpdef bint _admit(self, bytes frame, int kind, object key)
    cpdef list take(self)
    cpdef end(self, object reason)
