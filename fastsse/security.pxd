cdef class Guard:
    cdef public bint production, loopback, any_host, any_origin, cookies
    cdef public object public_host, public_origin
    cdef public tuple allowed_hosts
    cdef public frozenset allowed_origins
    cdef public bytes _last
    cdef public dict _hosts, _origins

    cpdef check_host(self, bytes host)
    cpdef bytes cors(self, bytes origin, bytes host)
