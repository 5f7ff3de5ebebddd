"""Environment variables that change with every task, in a process that runs for weeks.

`os.environ` sets them by setenv(3), and glibc keeps each value that it was ever given, since somebody may
still point to it: about 200 bytes a task here. putenv(3) takes the caller's memory as it is, so two buffers
a name are enough: the one that the environment shows, and the one that the next value is written to.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, TypeAlias

_ROOM_BYTES = 64
_Text: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def reuse_memory() -> None:
    """From now on `os.environ` keeps no values of before. For processes of our own: it replaces os.putenv.

    A C library without putenv keeps what it had.
    """
    try:
        putenv = ctypes.CDLL(None, use_errno=True).putenv
    except (AttributeError, OSError):
        return
    os.putenv = _Places(putenv).put


class _Places:
    def __init__(self, putenv: Any) -> None:
        putenv.argtypes, putenv.restype = [ctypes.c_char_p], ctypes.c_int
        self._putenv = putenv
        self._shown: dict[bytes, ctypes.Array[ctypes.c_char]] = {}
        self._spare: dict[bytes, ctypes.Array[ctypes.c_char]] = {}

    def put(self, name: _Text, value: _Text, /) -> None:
        """As os.putenv; raises ValueError for what no environment can have, OSError without memory."""
        key, content = os.fsencode(name), os.fsencode(value)
        if b"=" in key or b"\0" in key + content:
            raise ValueError("illegal environment variable name or value")
        entry = key + b"=" + content
        place = self._spare.pop(key, None)
        if place is None or len(place) <= len(entry):
            place = ctypes.create_string_buffer(len(entry) + _ROOM_BYTES)
        place.value = entry
        if self._putenv(place):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        if key in self._shown:
            self._spare[key] = self._shown[key]
        self._shown[key] = place
