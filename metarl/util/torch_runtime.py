"""How PyTorch uses the machine: threads, and freed memory.

    keep_freed_memory()             # once, before training
    with torch_threads(1):          # and as before afterwards
        ...
    with side_by_side() as work:    # parts of one computation
        results = list(work.map(function, parts))
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_ALWAYS_KEEP = 2**31 - 1


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch on `count` threads, and afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Work(NamedTuple):
    """`map` runs a function over parts of the work, `count` of them at a time, in the order of the parts."""

    map: Callable
    count: int


ONE_BY_ONE = Work(map, 1)


@contextlib.contextmanager
def side_by_side(device: str = "cpu") -> Iterator[Work]:
    """Threads of Python's, as many as PyTorch has, each with one of PyTorch's, for operations too small to be shared.

    A step of a memory is: on two threads it takes longer than on one. PyTorch holds no lock while it computes. A GPU
    does one part after the other.
    """
    count = torch.get_num_threads() if device == "cpu" else 1
    with torch_threads(1):
        if count == 1:
            yield ONE_BY_ONE
            return
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Work(pool.map, count)


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory; False where the C library has no such setting (macOS, musl).

    Differentiating through adaptation makes and drops large tensors all the time. With glibc's defaults each of them is
    mapped, faulted in page by page and unmapped again, which took a fifth to a third of the time of an outer update.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 2**30)) and bool(mallopt(_M_TRIM_THRESHOLD, _ALWAYS_KEEP))
