from fastsse.handler cimport Work

cdef class Offer:
    cdef public object _call, answer, description, icons, meta, plan, requires, signature, title
    cdef public str key, what
    cdef public long long sequence
