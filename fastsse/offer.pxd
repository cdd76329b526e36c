from fastsse.handler cimport Request, Work, new_work

cdef class Offer:
    cdef public object _call, description, icons, meta, plan, requires, signature, title
    cdef public str key, what
    cdef public long long sequence
    cdef public bint _at_once

    cpdef answer(self, Request request)
    cpdef _read(self, Request request)
    cpdef _now(self, Request request)
    cpdef _later(self, Request request)
