cdef class Heads:
    cdef public bytes _date, ok
    cdef public dict _kept

    cpdef bytes of(self, int status, bytes type, bytes extra, int persistence)
