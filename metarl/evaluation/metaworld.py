"""Meta-World's own protocol of evaluation, beside what the same policy does in every episode that was started.

    result = evaluate_metaworld("runs/ml10")
    result.published                       # 0.36, as published success rates are counted
    result.every                           # Estimate(value=0.31, low=0.25, high=0.38)

In each test environment 40 of its 50 test goals, in ten rounds of four: 10 episodes of sampled actions to adapt from,
then episodes of mean actions. Meta-World (`metaworld.evaluation`) ends such an episode as soon as it succeeds, begins
another of the same goal, and counts the first three that end in each environment and round. Failures take their 500
steps, so three fast successes of one goal hide the failures of the other three. `every` counts each goal once instead,
and has an interval over goals, the environments being given.

All begin with the same state in Meta-World, and mean actions are the same in each of them from the same adapted state:
so one episode tells when those after it would end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl.agents import Adapter
from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.sampling import Step, collect
from metarl.envs import BatchEnv, Tasks
from metarl.envs.metaworld.tasks import GoalSpace, name_of
from metarl.evaluation.evaluate import tasks_digest
from metarl.evaluation.statistics import Estimate, estimate, mean
from metarl.runs.run import Run, open_run, threads
from metarl.util.errors import UserError
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads

GOALS, TOGETHER = 40, 4  # test goals of an environment, and those of a round
ADAPTATION, COUNTED = 10, 3  # episodes to adapt from, and episodes of an environment and round that are counted
_STREAM = 2  # of the "evaluation" streams


@dataclass(frozen=True)
class MetaWorldResult:
    """Success after adaptation in C environments, G goals each.

    Attributes:
        environments: (C,) names.
        first: (C, G) the step at which an episode is first solved, counted from 1; 0 where it is not.
        horizon: steps of an episode that is not solved.
    """

    environments: tuple[str, ...]
    first: np.ndarray
    horizon: int

    @property
    def shares(self) -> np.ndarray:
        """(C, rounds) of the first COUNTED episodes to end, the share that was solved."""
        rounds = self.first.reshape(len(self.first), -1, TOGETHER)
        return np.array([[_share(goals, self.horizon) for goals in of_one] for of_one in rounds])

    @property
    def published(self) -> float:
        """Success rate as Meta-World counts it."""
        return float(self.shares.mean())

    @property
    def every(self) -> Estimate:
        """Share of all goals that are solved in the episode after adaptation."""
        solved = (self.first > 0).astype(float)
        groups = np.repeat(np.arange(len(solved)), solved.shape[1])
        return estimate(mean, solved.reshape(1, -1), rng=np.random.default_rng(0), groups=groups)

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.environments, self.shares.mean(1), (self.first > 0).mean(1), strict=True)
        return {
            "protocol": "metaworld",
            "success_as_metaworld_counts": self.published,
            "success_of_every_episode": self.every.to_json(),
            "goals": int(self.first.shape[1]), "adaptation_episodes": ADAPTATION, "horizon": self.horizon,
            "environments": {name: {"as_metaworld_counts": float(a), "of_every_episode": float(b)}
                             for name, a, b in rows},
        }  # fmt: skip


def evaluate_metaworld(run: Run | str | Path) -> MetaWorldResult:
    """Evaluate the newest intact checkpoint of a run on Meta-World by Meta-World's protocol.

    Raises:
        UserError: no such run or checkpoint, or a run on something else.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    space = run.load_family().space
    if not isinstance(space, GoalSpace):
        raise UserError(f"evaluate: {run.config.env.family} is not of Meta-World; leave out --metaworld")
    saved = run.checkpoint()
    with torch_threads(threads(run.config)):
        result, tasks = measure_metaworld(
            load_adapter(run, saved), lambda n: make_env(run.config, n), space, run.config.seed
        )
    run.looked("evaluate --metaworld", "held_out", tasks_digest(tasks), saved.iteration)
    return result


def measure_metaworld(
    adapter: Adapter, make_env: Callable[[int], BatchEnv], space: GoalSpace, seed: int
) -> tuple[MetaWorldResult, Tasks]:
    """As `evaluate_metaworld`, of an adapter; and the tasks, environment by environment."""
    goals = space.goals["held_out"][:, :GOALS]
    tasks = Tasks(space, goals.reshape(-1, space.dim))
    episodes = ADAPTATION if adapter.shares_experience else 1
    size = TOGETHER * len(goals) * (1 if adapter.shares_experience else GOALS // TOGETHER)
    first = []
    for number, start in enumerate(range(0, len(tasks), size)):
        part = tasks[start : start + size]

        def draws(i: int, number: int = number) -> np.random.SeedSequence:
            return stream(seed, "evaluation", _STREAM, number, i)

        env, state = make_env(len(part) * episodes), adapter.start(len(part))
        env.set_tasks(part.repeat(episodes))
        for i in range(ADAPTATION // episodes):
            state = adapter.adapt(state, collect(env, adapter, state, episodes, draws(i)))
        if episodes > 1:
            env = make_env(len(part))
            env.set_tasks(part)
        solved_at = np.zeros(len(part), np.int64)

        def note(step: Step, solved_at: np.ndarray = solved_at) -> None:
            new = step.info["success"] & (solved_at == 0)
            solved_at[new] = step.number + 1

        collect(env, adapter, state, 1, draws(ADAPTATION), deterministic=True, on_step=note)
        first.append(solved_at)
    found = np.concatenate(first).reshape(goals.shape[:2])
    return MetaWorldResult(tuple(name_of(c[0, 0]) for c in goals), found, env.horizon), tasks


def print_metaworld(result: MetaWorldResult) -> None:
    """The result in words."""
    from rich.console import Console
    from rich.table import Table

    table = Table("test environment", "as Meta-World counts", "of every episode")
    document = result.to_json()
    for name, row in document["environments"].items():
        table.add_row(name, f"{row['as_metaworld_counts']:.0%}", f"{row['of_every_episode']:.0%}")
    every = result.every.times(100)
    table.add_row("all", f"{result.published:.0%}", f"{every} %")
    console = Console()
    console.print(table)
    console.print(
        f"Success rates after {ADAPTATION} episodes in each of {document['goals']} test goals of an environment. As"
        f" Meta-World counts: the first {COUNTED} episodes to end, of {TOGETHER} goals at a time, an episode ending"
        " when it is solved. Of every episode: each goal once, with a 95 % interval over goals."
    )


def _share(first: np.ndarray, horizon: int) -> float:
    """Of goals whose episodes end by success at step first (TOGETHER,), or else at the horizon, one after the other."""
    length = np.where(first > 0, first, horizon)
    ends = sorted((k * steps, goal) for goal, steps in enumerate(length) for k in range(1, COUNTED + 1))
    return float(np.mean([first[goal] > 0 for _, goal in ends[:COUNTED]]))
