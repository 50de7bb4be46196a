"""The machine that a process runs on.

    available_threads()        # 2 of 16 cores, say, under `taskset` or in a container
    threads_of_each_rank(16)   # 4, where torchrun started four processes here
    gpu_of_rank(8)             # 3, where it started this one as the fourth
    alive(1234)                # whether that process is there
"""

import os
from collections.abc import Mapping


def available_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_each_rank(available: int) -> int:
    """Of so many threads, those of this process, where torchrun started several on this machine."""
    return max(1, available // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def gpu_of_rank(count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Which of so many GPUs of this machine is this process's: each that torchrun started here has one of its own.

    Raises:
        ValueError: there are fewer GPUs than such processes.
    """
    if "MASTER_ADDR" not in environment:
        return 0
    ranks = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    if ranks > count:
        raise ValueError(f"got {ranks} ranks on this machine, expected {count} at most: a GPU for each")
    return int(environment.get("LOCAL_RANK", "0"))


def number_of_ranks() -> int:
    """Processes that torchrun started for one run, on all machines; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1


def alive(pid: int) -> bool:
    """Whether this machine has a process of this number, of whatever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
