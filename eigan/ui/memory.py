"""Memory for large pictures: what one picture leaves free is kept for the next, not given back to the system."""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # mallopt's names for them (malloc.h)
GIB = 2**30


def keep_pages() -> bool:
    """Have this process keep the memory that it frees; whether that could be arranged (Linux with glibc).

    glibc asks the system for every large tensor and gives it back when it is freed; the system hands out zeroed pages,
    one by one as they are touched. At 1024 px that is more than half of a picture's time. With one heap for all
    threads (the others' heaps end at 64 MiB) that is not cut down, a picture finds the pages of the one before. The
    process stays as large as it ever was. To be called before threads are started.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another system, or another C library
        return False
    return all(mallopt(*setting) for setting in ((ARENA_MAX, 1), (MMAP_THRESHOLD, GIB), (TRIM_THRESHOLD, 2 * GIB - 1)))
