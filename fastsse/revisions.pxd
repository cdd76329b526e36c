cdef class Revision:
    cdef readonly str name
    cdef readonly bytes wire
    cdef readonly int index
    cdef readonly bint array_sampling, audio, batches, completions_capability, elicitation, elicitation_id, elicitation_url
    cdef readonly bint extended_enums, icons, message_in_progress, modern, priming, resource_link, structured
    cdef readonly bint structured_any, titles, tool_annotations
