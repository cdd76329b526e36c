from fastsse.stats cimport Stats

cdef class Budget:
    cdef public Py_ssize_t limit, tight, used
    cdef public Stats stats
    cdef public object exceeded
