"""How well runs of QuadrotorWind follow the figure of eight, by the wind, and how soon.

    python docs/results/quadrotor.py RUN ... > docs/results/quadrotor.json

In winds of each speed from 16 directions, a lap with mean actions: the distance from where it should be, in cm, second
by second, averaged over those that still fly, and how many were lost.
"""

import json
import sys
from pathlib import Path

import numpy as np

from metarl import load_adapter
from metarl.algorithms.learners import make_env
from metarl.algorithms.sampling import collect
from metarl.runs.run import open_run
from metarl.util.rng import stream

SPEEDS = (0.0, 3.0, 6.1, 8.5, 12.1)  # m/s; trained up to 6.1
DIRECTIONS = 16


def measure(folder: str) -> dict:
    run = open_run(Path(folder))
    env, adapter, result = make_env(run.config, DIRECTIONS), load_adapter(run), {}
    for number, speed in enumerate(SPEEDS):
        directions = np.linspace(-np.pi, np.pi, DIRECTIONS, endpoint=False)
        env.set_tasks(env.space.tasks(speed=np.full(DIRECTIONS, speed), direction=directions))
        distances, flying = [], []

        def note(step, distances=distances, flying=flying) -> None:
            distances.append(np.linalg.norm(step.following[:, 0, :3], axis=1))
            flying.append(step.running[:, 0] & ~step.terminated[:, 0])

        seed = stream(0, "evaluation", number)
        collect(env, adapter, adapter.start(DIRECTIONS), 1, seed, deterministic=True, on_step=note)
        cm, alive = 100 * np.array(distances), np.array(flying)
        second = round(1 / env.dt)
        of_second = [
            float(cm[t : t + second][alive[t : t + second]].mean()) if alive[t : t + second].any() else None
            for t in range(0, len(cm) - second + 1, second)
        ]
        result[f"{speed:g} m/s"] = {
            "cm_by_second": [None if value is None else round(value, 1) for value in of_second],
            "lost": int(DIRECTIONS - alive[-1].sum()) if len(alive) == env.horizon else DIRECTIONS,
        }
    env.close()
    return {"config": run.config.algorithm.title(run.config), "seed": run.config.seed, "winds": result}


if __name__ == "__main__":
    print(json.dumps({folder.rstrip("/").rpartition("/")[2]: measure(folder) for folder in sys.argv[1:]}, indent=1))
