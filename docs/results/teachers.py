"""Of runs of RMA and distillation: what the student returns, and what its teacher does in the same held-out tasks.

    python docs/results/teachers.py RUNS... > docs/results/rma/FAMILY.json

Mean actions, 20 trials in each of the first run's held-out tasks. Runs of other algorithms have their own return only.
"""

import json
import sys
from pathlib import Path

from metarl.agents import Adapter
from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.restore import restore, spec_of
from metarl.algorithms.rma import RMA
from metarl.config import Config, changed
from metarl.envs import Tasks
from metarl.evaluation.adaptation_curve import measure
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run


def returns(adapter: Adapter, config: Config, tasks: Tasks) -> list[float]:
    """Mean return of each episode of a trial."""
    result = measure(
        adapter, lambda count: make_env(config, count), tasks, steps=config.adaptation_steps,
        episodes=config.evaluation.episodes, seed=0, deterministic=True, env=config.env, split="held_out",
    )  # fmt: skip
    return [round(point.mean.value, 1) for point in result.curve]


def row(folder: Path, tasks: Tasks) -> dict:
    run = open_run(folder)
    config, last = run.config, run.metrics()[-1]
    learner = make_learner(config, spec_of(run))
    restore(learner, run.checkpoint())
    found = {"method": config.algorithm.title(config), "seed": config.seed, "env_steps": last["env_steps"]}
    found |= {name: last[name] for name in ("teacher_env_steps", "student_env_steps") if name in last}
    found["returns"] = returns(learner.adapter(), config, tasks)
    if isinstance(learner, RMA) and not config.algorithm.oracle:
        told = changed(config, {"algorithm.oracle": True})
        found["teacher_returns"] = returns(learner.teacher.adapter(), told, tasks)
        found["kept_of_the_teacher"] = round(found["returns"][0] / found["teacher_returns"][0], 3)
    found["wall_minutes"] = round(sum(each["seconds"] for each in read_lines(folder / "timings.jsonl")) / 60, 1)
    found["config"] = config.model_dump(mode="json", exclude_unset=True, exclude={"seed", "wandb", "threads"})
    return found


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:]]
    tasks = open_run(folders[0]).tasks("held_out")
    print(json.dumps([row(folder, tasks) for folder in folders], indent=1))
