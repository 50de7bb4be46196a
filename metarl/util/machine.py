"""The machine that a process runs on.

    available_threads()        # 2 of 16 cores, say, under `taskset` or in a container
"""

import os


def available_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
