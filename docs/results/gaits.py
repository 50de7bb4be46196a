"""How runs on HalfCheetahDir run forward and backward: docs/results/rl2/half_cheetah_dir_gaits.json and .png.

    python docs/results/gaits.py RUNS...      # run folders; the first and the last are drawn, running forward

The first episode of a trial, mean actions, in 20 lives of each direction: its return, and how far the trunk is tilted
from the horizontal in its last 150 steps (radians; at pi / 2 it stands upright).
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from references import command

from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.evaluation.methods import group, open_runs
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run
from metarl.visual.replay import Replay, record
from metarl.visual.stills import write_stills
from metarl.visual.video import find_backend

FILE = Path(__file__).parent / "rl2" / "half_cheetah_dir_gaits.json"
LIVES, SETTLED = 20, 50
STRIDE = range(60, 68)  # the steps that are drawn
PITCH = 2  # of qpos: rooty


def first_episodes(run: Run, saved: Checkpoint) -> Replay:
    """LIVES of each direction; forward comes first."""
    tasks = run.tasks("held_out")
    directions = sorted({float(x): i for i, x in enumerate(tasks.values[:, 0])}.items(), reverse=True)
    both = tasks[[i for _, i in directions]].repeat(LIVES)
    seed = run.config.seed
    return record(load_adapter(run, saved), lambda n: make_env(run.config, n), both, steps=0, episodes=1, seed=seed)


def gaits(replay: Replay) -> dict:
    tilt = np.abs(replay.qpos[0, :, SETTLED:, PITCH]).mean(axis=1)
    returns = replay.rewards[0].sum(axis=1)
    return {
        direction: {"return": round(float(r.mean()), 1), "tilt": round(float(t.mean()), 2)}
        for direction, r, t in zip(("forward", "backward"), np.split(returns, 2), np.split(tilt, 2), strict=True)
    }


def main(paths: list[str]) -> None:
    found, poses, texts, models = [], [], [], []
    runs = open_runs(paths)
    drawn = {run.path: m.name for m in group([runs[0], runs[-1]]) for run in m.runs}  # what tells these two apart
    for method in group(runs):
        for run in method.runs:
            saved = run.checkpoint()
            replay, steps = first_episodes(run, saved), saved.meta["env_steps"]
            about = {"seed": run.config.seed, "env_steps": steps, **gaits(replay)}
            trained = command(method).split(";")[0].replace("SEED", str(run.config.seed))
            found.append({"command": trained, **about})
            print(json.dumps(found[-1]))
            if run.path in drawn:
                forward = about["forward"]
                models.append(replay.models[0])
                poses.append(replay.qpos[0, 0, STRIDE])
                texts.append(f"{drawn[run.path]}, {steps / 1e6:.0f} M steps: returns {forward['return']:.0f}")
    FILE.write_text(json.dumps(found, indent=1) + "\n")
    path = write_stills(models, np.stack(poses), "track", texts, FILE.with_suffix(".png"), find_backend())
    picture = Image.open(path)
    picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS).quantize(256).save(path)


if __name__ == "__main__":
    main(sys.argv[1:])
