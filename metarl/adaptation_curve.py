"""Return after 0, 1, 2, ... adaptation steps in tasks that were never trained on.

The protocol of the MAML and ProMP papers: in each task, K fresh episodes with the policy adapted s times are both the
measurement of its return after s steps and the experience that step s + 1 learns from. Returns are undiscounted,
actions are sampled. Nothing here changes the adapter, and every random draw comes from the "evaluation" streams of the
seed, which training never uses.

    from metarl.evaluation import evaluate
    result = evaluate(adapter, lambda n: make_env(config, n), tasks, steps=3, episodes=20, seed=0)
    result.returns                    # (S + 1, M, K): adaptation steps, tasks, episodes; NaN where the physics diverged
    print(result.sentence)            # After 1 step (20 episodes, 100 s of experience in each task) the return rose ...
    result.save(path)                 # JSON with every episode's return and a digest; load_evaluation(path) checks it

Averages and intervals are over tasks (`metarl.statistics`), and always recomputed from the returns of the episodes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metarl.agents import Adapter
from metarl.envs import BatchEnv, Tasks, make_family
from metarl.errors import UserError
from metarl.sampling import collect
from metarl.schema import EnvConfig
from metarl.seeding import stream
from metarl.statistics import (
    METHOD,
    METHOD_GROUPED,
    Summary,
    bootstrap_interval,
    format_interval,
    format_number,
    summarise,
)

FORMAT = "metarl-evaluation-1"
EPISODES, RESAMPLING = 0, 1  # the two kinds of "evaluation" streams
MAX_SIMULATIONS = 1600
"""Simulations stepped at once: more tasks are measured in chunks, which bounds memory."""


@dataclass(frozen=True)
class Point:
    """One row of the table: what `episodes` of experience in each task are worth."""

    step: int
    episodes: int  # of experience in each task before this measurement
    seconds: float  # the same experience as simulated time, mean over tasks
    summary: Summary | None  # of the mean return of each task; None when every episode diverged
    worst: float | None  # mean return in the worst task
    diverged: int  # episodes left out because the physics broke down


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and all that is needed to compute it again.

    Attributes:
        env: settings of the environment.
        returns: (S + 1, M, K) undiscounted return of each episode after s steps; NaN where the physics diverged.
        env_steps: (S + 1, M) environment steps lived in each task while measuring step s.
        dt: seconds in an environment step.
        split: "held_out", "extrapolation" or "train", or the name of the file that the tasks came from.
        disjoint: whether none of the tasks was trained on, and why (not).
        origin: the checkpoint (iteration, digest), versions and commit, where known.
    """

    env: EnvConfig
    tasks: Tasks
    returns: np.ndarray
    env_steps: np.ndarray
    dt: float
    seed: int
    deterministic: bool = False
    split: str = "held_out"
    disjoint: bool = True
    disjoint_reason: str = ""
    confidence: float = 0.95
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return self.returns.shape[0] - 1

    @property
    def episodes(self) -> int:
        return self.returns.shape[2]

    @cached_property
    def per_task(self) -> np.ndarray:
        """(S + 1, M) mean return of each task; NaN where all of its episodes diverged."""
        finite = np.isfinite(self.returns)
        sums, counts = np.where(finite, self.returns, 0.0).sum(-1), finite.sum(-1)
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    @cached_property
    def curve(self) -> tuple[Point, ...]:
        """A point for each number of adaptation steps."""
        lived = np.cumsum(self.env_steps, axis=0) - self.env_steps
        points = []
        for s, scores in enumerate(self.per_task):
            known = np.isfinite(scores)
            options = {"confidence": self.confidence, "groups": self._groups(known)}
            points.append(
                Point(
                    step=s,
                    episodes=s * self.episodes,
                    seconds=float(lived[s].mean() * self.dt),
                    summary=summarise(scores[known], self._resampling(s), **options) if known.any() else None,
                    worst=float(scores[known].min()) if known.any() else None,
                    diverged=int(np.isnan(self.returns[s]).sum()),
                )
            )
        return tuple(points)

    def gain(self, step: int) -> tuple[float, tuple[float, float] | None] | None:
        """Mean over tasks of the return after `step` steps less that before any, paired by task, and its interval."""
        gains = self.per_task[step] - self.per_task[0]
        known = np.isfinite(gains)
        if not known.any():
            return None
        interval = bootstrap_interval(
            gains[known],
            self._resampling(self.steps + step),
            confidence=self.confidence,
            groups=self._groups(known),
        )
        return float(gains[known].mean()), interval

    @property
    def method(self) -> str:
        """How the intervals are computed."""
        return (METHOD_GROUPED if self.tasks.space.exhaustive else METHOD).format(unit="task")

    def _groups(self, known: np.ndarray) -> np.ndarray | None:
        """Where all tasks that there are were measured, each several times, chance is only within each of them."""
        return np.array(self.tasks.digests)[known] if self.tasks.space.exhaustive else None

    def _resampling(self, position: int) -> np.random.Generator:
        return np.random.default_rng(stream(self.seed, "evaluation", RESAMPLING, position))

    @property
    def where(self) -> str:
        """Which tasks, in words."""
        count = len(self.tasks)
        if self.tasks.space.exhaustive and self.split == "held_out":
            return f"{count} draws of the family's only {len(set(self.tasks.digests))} tasks"
        plural = "s" if count != 1 else ""
        kinds = {
            "held_out": f"{count} held-out task{plural}",
            "extrapolation": f"{count} task{plural} outside the training range",
            "train": f"{count} training task{plural}",
        }
        return kinds.get(self.split, f"{count} task{plural} from {self.split}")

    @property
    def sentence(self) -> str:
        """What the evaluation shows, in one sentence."""
        before = self.curve[0].summary
        if before is None:
            return f"The physics diverged in every episode before adaptation, on {self.where}."
        if not self.steps:
            return f"Without adaptation the return is {_score(before)} on {self.where}."
        parts = [self._change(1)]
        if self.steps > 1:
            last = self.curve[self.steps]
            parts.append(f"after {self.steps} steps ({_experience(last)}) it was {_score(last.summary)}")
        return "; ".join(parts) + "."

    def _change(self, step: int) -> str:
        point, gain = self.curve[step], self.gain(step)
        start = f"After {step} step{'s' if step > 1 else ''} ({_experience(point)} of experience in each task)"
        if gain is None:
            return f"{start} the physics diverged in every episode on {self.where}"
        change, interval = gain
        before, after = format_number(self.curve[0].summary.mean), _score(point.summary)
        if interval is not None and interval[0] <= 0.0 <= interval[1]:
            return f"{start} the return did not change beyond noise, from {before} to {after} on {self.where}"
        return f"{start} the return {'rose' if change > 0 else 'fell'} from {before} to {after} on {self.where}"

    @property
    def caption(self) -> str:
        """How to read the table."""
        actions = "mean actions" if self.deterministic else "sampled actions"
        lines = [
            f"Undiscounted return of {self.episodes} episodes in each task, {actions}; mean and interquartile mean"
            f" (IQM) over tasks with {100 * self.confidence:g} % intervals ({self.method})."
        ]
        notes = dict.fromkeys(p.summary.note for p in self.curve if p.summary and p.summary.note)
        lines += [f"Note: {note}." for note in notes]
        if not self.disjoint:
            lines.append(f"Not disjoint from the training tasks: {self.disjoint_reason}.")
        diverged = sum(p.diverged for p in self.curve)
        if diverged:
            lines.append(f"{diverged} of {self.returns.size} episodes diverged and are left out of the averages.")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; `digest` covers all the rest."""
        document = {
            "format": FORMAT,
            "sentence": self.sentence,
            "caption": self.caption,
            "env": self.env.model_dump(mode="json"),
            "split": self.split,
            "where": self.where,
            "disjoint": self.disjoint,
            "disjoint_reason": self.disjoint_reason,
            "steps": self.steps,
            "episodes": self.episodes,
            "deterministic": self.deterministic,
            "seed": self.seed,
            "dt": self.dt,
            "confidence": self.confidence,
            "interval_method": self.method,
            "curve": [
                {
                    "step": p.step,
                    "episodes": p.episodes,
                    "seconds": p.seconds,
                    "worst_task": p.worst,
                    "diverged": p.diverged,
                    **(p.summary.to_json() if p.summary else {}),
                }
                for p in self.curve
            ],
            "tasks": self.tasks.to_json(),
            "task_digests": list(self.tasks.digests),
            "env_steps": self.env_steps.tolist(),
            "returns": [[[_plain(x) for x in row] for row in task] for task in self.returns.tolist()],
            "origin": dict(self.origin),
        }
        return document | {"digest": document_digest(document)}

    def save(self, path: str | Path) -> Path:
        """Write the JSON to a temporary name beside `path`, then rename it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(self.to_json(), file, allow_nan=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return path


def evaluate(
    adapter: Adapter,
    make_env: Callable[[int], BatchEnv],
    tasks: Tasks,
    *,
    steps: int,
    episodes: int,
    seed: int,
    deterministic: bool = False,
    max_simulations: int = MAX_SIMULATIONS,
    progress: Callable[[int, int], None] | None = None,
    **labels,
) -> Evaluation:
    """Measure the return in each of the tasks after 0, 1, ..., `steps` adaptation steps.

    Args:
        adapter: whoever was trained; its state is a value, so it comes out as it went in.
        make_env: from a number of simulations to an environment with autoreset disabled.
        tasks: M tasks.
        steps: S, adaptation steps.
        episodes: K, in each task for each number of steps.
        seed: of initial states, actions and bootstrap samples.
        deterministic: take mean actions instead of sampled ones.
        max_simulations: tasks are taken in chunks of at most so many episodes at once (but one task at least).
        progress: called with (rounds of episodes done, rounds in all).
        labels: `env`, `split`, `disjoint`, `disjoint_reason`, `origin` of the Evaluation.
    """
    size = max(1, max_simulations // episodes)
    starts = range(0, len(tasks), size)
    returns = np.empty((steps + 1, len(tasks), episodes))
    env_steps = np.empty((steps + 1, len(tasks)), np.int64)
    env = None
    for number, first in enumerate(starts):
        part = tasks[first : first + size]
        rows = slice(first, first + len(part))
        if env is None or env.num_envs != len(part) * episodes:
            env = make_env(len(part) * episodes)
        env.set_tasks(part.repeat(episodes))
        state = adapter.start(len(part))
        for step in range(steps + 1):
            draws = stream(seed, "evaluation", EPISODES, step, number)
            rollout = collect(env, adapter, state, episodes, draws, deterministic=deterministic)
            returns[step, rows] = rollout.returns
            env_steps[step, rows] = rollout.valid.sum((1, 2))
            if step < steps:
                state = adapter.adapt(state, rollout)
            if progress:
                progress(number * (steps + 1) + step + 1, len(starts) * (steps + 1))
    labels.setdefault("env", EnvConfig(family=tasks.space.family))
    return Evaluation(
        tasks=tasks,
        returns=returns,
        env_steps=env_steps,
        dt=env.dt,
        seed=seed,
        deterministic=deterministic,
        **labels,
    )


def document_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of all of an evaluation's JSON but the digest itself and where it is kept."""
    rest = {key: value for key, value in document.items() if key not in ("digest", "path")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def load_evaluation(path: str | Path) -> Evaluation:
    """Read an evaluation that `Evaluation.save` wrote; one that was edited or cut short is refused."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such evaluation; run `metarl evaluate RUN` first") from None
    except ValueError as error:
        raise UserError(f"{path}: not an evaluation ({error}); run `metarl evaluate RUN` again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        got = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise UserError(f"{path}: got format {got!r}, expected {FORMAT!r}; run `metarl evaluate RUN` again")
    if document.get("digest") != document_digest(document):
        raise UserError(f"{path}: edited, its digest does not fit its content; run `metarl evaluate RUN` again")
    try:
        return _from_document(document)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: this version cannot read it ({error!r}); run `metarl evaluate RUN` again") from error


def _from_document(document: Mapping[str, Any]) -> Evaluation:
    env = EnvConfig.model_validate(document["env"])
    returns = [[[math.nan if x is None else x for x in row] for row in task] for task in document["returns"]]
    labels = ("dt", "seed", "deterministic", "split", "disjoint", "disjoint_reason", "confidence", "origin")
    return Evaluation(
        env=env,
        tasks=Tasks.from_json(document["tasks"], make_family(env.family, **env.options).space),
        returns=np.array(returns),
        env_steps=np.array(document["env_steps"]),
        **{label: document[label] for label in labels},
    )


def _experience(point: Point) -> str:
    return f"{point.episodes} episode{'s' if point.episodes != 1 else ''}, {format_number(point.seconds)} s"


def _score(summary: Summary | None) -> str:
    if summary is None:
        return "unknown (every episode diverged)"
    return format_interval(summary.mean, summary.mean_interval)


def _plain(x: float) -> float | None:
    return None if math.isnan(x) else x
