"""Keep freed memory instead of handing it back to the system after every operation.

Differentiating through adaptation makes and drops large tensors all the time. With glibc's defaults each of them is
mapped, faulted in page by page and unmapped again, which costs about a third of an outer update; kept, they are
simply reused.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_ALWAYS_KEEP = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory; False where the C library has no such setting (macOS, musl)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 2**30)) and bool(mallopt(_M_TRIM_THRESHOLD, _ALWAYS_KEEP))
