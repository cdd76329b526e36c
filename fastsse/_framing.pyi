from typing import Final

LAST_CHUNK: Final[bytes]

def result(id: bytes, value: bytes) -> bytes: ...
