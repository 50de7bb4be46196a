"""What many ranks would cost: a model with measured messages, computing and drawing, and a network that is assumed.

    metarl bench --ranks 2 --json > docs/results/ranks_bench.json
    python docs/results/ranks.py > docs/results/ranks.json

Each rank has as many tasks as the config, so that N ranks live N times the experience in an iteration (weak scaling).
Time of an iteration = computing, as one rank on a core of this machine took, the messages included
                     + drawing noise for the simulations of all ranks, of which each keeps its own part
                     + messages * 2 log2(N) * latency + 2 (N - 1) / N * bytes / bandwidth
Not in it: waiting for the slowest of N ranks, and moments and weights that all ranks gather.
"""

import json
import math
import time
from pathlib import Path

import numpy as np

NETWORK = {"latency_seconds": 50e-6, "bytes_per_second": 1.25e9}  # 10 Gbit/s Ethernet, a socket's round trip
ACTIONS = 6  # of HalfCheetah: normal numbers of a step


def seconds_of_a_normal(count: int = 2_000_000) -> float:
    """float32, drawn by NumPy."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    rng.standard_normal(count, np.float32)
    return (time.perf_counter() - start) / count


def main() -> None:
    bench = json.loads((Path(__file__).parent / "ranks_bench.json").read_text())
    normal, rows = seconds_of_a_normal(), {}
    for name, one in bench["rank_iteration"].items():
        speed = bench["rank_steps_per_second"][name][f"{bench['ranks']} ranks x 1 thread"] / bench["ranks"]
        steps = one["env_steps"]  # of all tasks of the config
        alone = steps / speed
        rows[name] = {}
        for ranks in (1, 8, 64, 512):
            drawing = normal * ACTIONS * steps * (ranks - 1)
            sending = one["messages"] * 2 * math.log2(ranks) * NETWORK["latency_seconds"]
            sending += 2 * (ranks - 1) / ranks * one["bytes"] / NETWORK["bytes_per_second"]
            whole = alone + drawing + sending
            rows[name][ranks] = {
                "seconds": round(whole, 3), "drawing": round(drawing, 3), "sending": round(sending, 3),
                "efficiency": round(alone / whole, 3),
            }  # fmt: skip
    print(
        json.dumps(
            {"command": "python docs/results/ranks.py", "network": NETWORK, "normal_seconds": normal} | rows, indent=1
        )
    )


if __name__ == "__main__":
    main()
