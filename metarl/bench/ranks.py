"""One run over several ranks, against the same run in one process with as many threads.

    result = run(ranks=2)
    result["rank_efficiency"]["promp"]       # 1 would be ranks that cost nothing

Environment steps per second of N ranks with a thread each, over those of one rank with N threads; updates included. The
two are started in turn, several times, and the medians of their fastest iterations are compared: each rank of each
launch does the same work, so that only the way of sharing it differs. Messages between ranks are counted as well, with
their bytes and the time they took, waiting for the slowest rank included.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_learner, training_env
from metarl.config import load_config
from metarl.runs.run import threads
from metarl.util.errors import UserError
from metarl.util.ranks import current, joined
from metarl.util.torch_runtime import keep_freed_memory, torch_threads

CONFIGS = {"promp": ("half_cheetah_dir/promp",), "rl2": ("half_cheetah_mass/rl2",)}
LAUNCHES, ITERATIONS = 3, 4


def run(ranks: int, launches: int = LAUNCHES, iterations: int = ITERATIONS, overrides: tuple[str, ...] = ()) -> dict:
    """{"rank_efficiency": {name: ratio}, "rank_iteration": {name: its messages}, ...}; see the module."""
    efficiency, of_iteration, speeds = {}, {}, {}
    for name, config in CONFIGS.items():
        shared, alone = [], []
        for _ in range(launches):
            shared.append(_launch(ranks, 1, iterations, [*config, *overrides]))
            alone.append(_launch(1, ranks, iterations, [*config, *overrides]))
        fast, slow = (statistics.median(one["steps_per_second"] for one in each) for each in (shared, alone))
        efficiency[name], of_iteration[name] = fast / slow, shared[-1]["iteration"]
        speeds[name] = {f"{ranks} ranks x 1 thread": fast, f"1 rank x {ranks} threads": slow}
    return {
        "ranks": ranks, "rank_efficiency": efficiency, "rank_steps_per_second": speeds,
        "rank_iteration": of_iteration,
    }  # fmt: skip


def _launch(ranks: int, thread_count: int, iterations: int, settings: list[str]) -> dict[str, Any]:
    """What the first of so many processes measured."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks),
            "-m", "metarl.bench.ranks", str(result), str(iterations), *settings, f"threads={thread_count}",
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": str(thread_count)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{ranks} ranks could not be started: {done.stderr.strip().splitlines()[-1]}")
        return json.loads(result.read_text())


def measure(iterations: int, settings: list[str]) -> dict[str, Any]:
    """Speed of this rank's learner in its fastest iteration, and what one consists of."""
    config = load_config(settings[0], settings[1:])
    keep_freed_memory()
    with torch_threads(threads(config)):
        env = training_env(config)
        learner, speeds = make_learner(config, Spec.of(env)), []
        for i in range(iterations + 1):
            start = time.perf_counter()
            with counted() as sent:
                steps = learner.iterate(env, i)["env_steps"]
            if i:  # the first warms up
                speeds.append(steps / (time.perf_counter() - start))
        env.close()
    return {"steps_per_second": max(speeds), "iteration": {"env_steps": steps} | sent}


@contextmanager
def counted() -> Iterator[dict[str, float]]:
    """Messages between ranks: how many, their bytes, and the seconds until they had arrived."""
    total = {"messages": 0, "bytes": 0, "seconds": 0.0}
    whole = {name: getattr(dist, name) for name in ("all_reduce", "all_gather")}

    def watched(send: Any) -> Any:
        def message(*tensors: Any) -> Any:
            start = time.perf_counter()
            result = send(*tensors)
            total["seconds"] += time.perf_counter() - start
            total["messages"] += 1
            total["bytes"] += tensors[-1].numel() * tensors[-1].element_size()
            return result

        return message

    for name, send in whole.items():
        setattr(dist, name, watched(send))
    try:
        yield total
    finally:
        for name, send in whole.items():
            setattr(dist, name, send)


def print_table(result: dict[str, Any]) -> None:
    """The result in words."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "promise")
    for name, ratio in result["rank_efficiency"].items():
        table.add_row(f"{name}: {result['ranks']} ranks against one with as many threads", f"{ratio:.2f}", ">= 0.95")
        sent = result["rank_iteration"][name]
        words = f"{sent['messages']:.0f}, {sent['bytes'] / 1e6:.1f} MB, {sent['seconds']:.2f} s"
        table.add_row(f"{name}: messages of an iteration", words, "")
    Console().print(table)


if __name__ == "__main__":
    with joined():
        found = measure(int(sys.argv[2]), sys.argv[3:])
        if current().first:
            Path(sys.argv[1]).write_text(json.dumps(found))
        sys.stdout.flush()
        os._exit(0)  # as `metarl train` does over ranks
