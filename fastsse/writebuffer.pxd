cdef class WriteBuffer:
    cdef public object outlet, ending, places
    cdef public Py_ssize_t holes
    cdef public Py_ssize_t limit, size
    cdef public list frames
    cdef public bint paused, overflowed
    cdef public int logs, dropped, coalesced

    cpdef push(self, bytes frame, int kind=*, object key=*)
    cpdef bint _admit(self, bytes frame, int kind, object key)
    cpdef list take(self)
    cpdef end(self, object reason)
