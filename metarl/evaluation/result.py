"""What one run returned after 0, 1, 2, ... adaptation steps: every episode, what follows from them, and their file.

    evaluation = Evaluation.load("runs/first/evaluations/held_out-100-1a2b3c4d.json")
    evaluation.returns                # (S + 1, M, K): adaptation steps, tasks, episodes; NaN where the physics diverged
    evaluation.curve[1].mean          # Estimate(value=212.0, low=190.2, high=230.0), over tasks
    print(evaluation.sentence)        # After 1 step (20 episodes, 100 s of experience in each task) the return rose ...
    evaluation.save(path)             # JSON, written under a temporary name and renamed

Averages and intervals are always computed anew from the returns of the episodes. The file also has a digest over all of
it: one that was edited or cut short is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from metarl.config.robots import with_absolute_path, with_relative_path
from metarl.config.schema import EnvConfig
from metarl.envs.task import Tasks
from metarl.evaluation.statistics import Estimate, estimate, few_note, format_number, interval_method, iqm, mean
from metarl.runs.run import kept_space
from metarl.util.errors import UserError
from metarl.util.files import read_json, replace
from metarl.util.plain import plain
from metarl.util.rng import stream
from metarl.util.text import first_line, show

FORMAT = "metarl-evaluation-1"
MOST = 1e30  # of a return: squares of larger ones are infinite
RESAMPLING = 1  # the "evaluation" streams of bootstrap samples
LABELS = ("split", "disjoint", "disjoint_reason", "deterministic", "pooled", "seed", "dt", "confidence", "origin")
"""Fields that stand in the file as they are."""


class _Checkpoint(BaseModel, extra="allow", strict=True):
    iteration: int
    sha256: str


class _Origin(BaseModel, extra="allow", strict=True):
    checkpoint: _Checkpoint | None = None
    versions: dict[str, Any] = {}
    definition: dict[str, Any] = {}


class _Labels(BaseModel, strict=True, allow_inf_nan=False):
    """What `LABELS` are in a file."""

    split: str
    disjoint: bool
    disjoint_reason: str
    deterministic: bool
    pooled: bool
    seed: int = Field(ge=0)
    dt: float = Field(gt=0, le=1e6)
    confidence: float = Field(gt=0, lt=1)
    origin: _Origin


@dataclass(frozen=True)
class Step:
    """A row of the table: the return after `step` adaptation steps.

    Attributes:
        episodes: of experience in each task (in each trial, if not pooled) before this measurement.
        seconds: the same experience as simulated time, mean over tasks.
        mean, iqm: over the mean returns of the tasks; None where every episode diverged.
        worst_task: mean return in the worst task.
        diverged: episodes left out because the physics broke down.
        success: success rate, the share of all started episodes with success at any step; None if the environment
            reports none.
        count: tasks that have a return.
    """

    step: int
    episodes: int
    seconds: float
    mean: Estimate | None
    iqm: Estimate | None
    worst_task: float | None
    diverged: int
    success: float | None
    count: int

    @property
    def note(self) -> str | None:
        return few_note(self.count, "task") if self.count else None

    def summary(self, confidence: float) -> dict[str, Any] | None:
        """The averages over tasks as plain data; None without one."""
        if self.mean is None or self.iqm is None:
            return None
        return plain({
            "mean": self.mean.value, "mean_interval": self.mean.interval,
            "iqm": self.iqm.value, "iqm_interval": self.iqm.interval,
            "count": self.count, "unit": "task", "confidence": confidence, "note": self.note,
        })  # fmt: skip

    def to_json(self, confidence: float) -> dict[str, Any]:
        """All that is known, as plain data."""
        row = {name: getattr(self, name) for name in ("step", "episodes", "seconds", "worst_task", "diverged")}
        return row | ({} if self.success is None else {"success": self.success}) | (self.summary(confidence) or {})


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured, and all that is needed to compute it again.

    Attributes:
        env: settings of the environment.
        returns: (S + 1, M, K) undiscounted return of each episode after s steps; NaN where the physics diverged.
        env_steps: (S + 1, M) environment steps in each task that step s + 1 learns from; of the last, those measured.
        dt: seconds in an environment step.
        split: "held_out", "validation", "extrapolation" or "train", or the file that the tasks came from.
        disjoint: whether none of the tasks was trained on, and why (not).
        pooled: whether the K episodes of a step are one experience (`metarl.agents.Adapter`).
        origin: the checkpoint (iteration, digest), versions and commit, where known.
        successes: (S + 1, M, K) 1 for success, 0 for none or where the physics diverged; None if the environment
            reports no success.
        rates: (S + 1, M, B) reward per second in each of B equal parts of the horizon, over the K episodes, those that
            ended before and not those that diverged included; NaN where all did. None: not kept (older files).
        path: the file, where there is one.
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
    pooled: bool = True
    origin: Mapping[str, Any] = field(default_factory=dict)
    successes: np.ndarray | None = None
    rates: np.ndarray | None = None
    path: Path | None = None

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

    @property
    def trials(self) -> int:
        """In each task: 1, or K for an adapter with a memory."""
        return 1 if self.pooled else self.episodes

    @property
    def episodes_before(self) -> np.ndarray:
        """(S + 1,) episodes of experience in a trial before each measurement."""
        return np.arange(self.steps + 1) * (self.episodes // self.trials)

    @property
    def env_steps_before(self) -> np.ndarray:
        """(S + 1, M) environment steps of experience in a trial before each measurement."""
        return (np.cumsum(self.env_steps, axis=0) - self.env_steps) / self.trials

    @cached_property
    def curve(self) -> tuple[Step, ...]:
        """A row for each number of adaptation steps."""
        return tuple(self._step(s) for s in range(self.steps + 1))

    def _step(self, s: int) -> Step:
        scores = self.per_task[s]
        average, middle = self._estimates(scores, s, mean, iqm)
        return Step(
            step=s,
            episodes=int(self.episodes_before[s]),
            seconds=float(self.env_steps_before[s].mean() * self.dt),
            mean=average,
            iqm=middle,
            worst_task=float(np.nanmin(scores)) if average else None,
            diverged=int(np.isnan(self.returns[s]).sum()),
            success=None if self.successes is None else float(self.successes[s].mean()),
            count=int(np.isfinite(scores).sum()),
        )

    def gain(self, step: int) -> Estimate | None:
        """Mean over tasks of the return after `step` steps less that before any, paired by task."""
        return self._estimates(self.per_task[step] - self.per_task[0], self.steps + step, mean)[0]

    def _estimates(self, scores: np.ndarray, position: int, *statistics) -> Sequence[Estimate | None]:
        """Of the tasks (M,) that have a score; None where none has."""
        known = np.isfinite(scores)
        if not known.any():
            return [None] * len(statistics)
        rng = np.random.default_rng(stream(self.seed, "evaluation", RESAMPLING, position))
        options = {"rng": rng, "confidence": self.confidence, "groups": self.groups(known)}
        return [estimate(statistic, scores[None, known], **options) for statistic in statistics]

    def groups(self, known: np.ndarray) -> np.ndarray | None:
        """Within which the tasks that are `known` (M,) are resampled; None where all are one group."""
        labels = resampled(self.tasks)[0]
        return None if labels is None else np.array(labels)[known]

    @property
    def _interval_method(self) -> str:
        return interval_method(resampled(self.tasks)[1], 1)

    @property
    def where(self) -> str:
        return tasks_in_words(self.tasks, self.split)

    @property
    def sentence(self) -> str:
        """What the evaluation shows."""
        before, last = self.curve[0].mean, self.curve[-1]
        if before is None:
            return f"The physics diverged in every episode before adaptation, on {self.where}."
        if not self.steps:
            when = "Without adaptation" if self.pooled else "In the first episode of a trial"
            return f"{when} the return is {before} on {self.where}."
        text = self._change(self.curve[1])
        if self.steps > 1:
            text += f"; after {self._amount(last)} ({self._experience(last)}) it was {_score(last)}"
        return text + "."

    def _change(self, row: Step) -> str:
        start = f"After {self._amount(row)} ({self._experience(row)} of experience in each task)"
        gain = self.gain(row.step)
        if gain is None:
            return f"{start} the physics diverged in every episode on {self.where}"
        verb = "did not change beyond noise," if gain.holds(0.0) else "rose" if gain.value > 0 else "fell"
        before = "" if self.curve[0].mean is None else format_number(self.curve[0].mean.value)
        return f"{start} the return {verb} from {before} to {_score(row)} on {self.where}"

    def _amount(self, row: Step) -> str:
        return _plural(row.step, "step" if self.pooled else "episode")

    def _experience(self, row: Step) -> str:
        return f"{_plural(row.episodes, 'episode')}, " * self.pooled + f"{format_number(row.seconds)} s"

    @property
    def caption(self) -> str:
        """How to read the table."""
        actions = "mean actions" if self.deterministic else "sampled actions"
        measured = f"{self.episodes} episodes in each task"
        if not self.pooled:
            measured = f"an episode in each of {self.episodes} trials per task"
        lines = [
            f"Undiscounted return of {measured}, {actions}; mean and interquartile mean (IQM) over tasks with"
            f" {100 * self.confidence:g} % intervals ({self._interval_method})."
        ]
        if self.successes is not None:
            lines.append("success rate: share of episodes with success at any step.")
        lines += [f"Note: {note}." for note in dict.fromkeys(row.note for row in self.curve if row.note)]
        if not self.disjoint:
            lines.append(f"Not disjoint from the training tasks: {self.disjoint_reason}.")
        if diverged := sum(row.diverged for row in self.curve):
            lines.append(f"{diverged} of {self.returns.size} episodes diverged and are left out of the averages.")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data; `digest` covers all the rest but the path."""
        document = plain({
            "format": FORMAT,
            "sentence": self.sentence,
            "caption": self.caption,
            "env": self.env.model_dump(mode="json"),
            "where": self.where,
            "steps": self.steps,
            "episodes": self.episodes,
            "interval_method": self._interval_method,
            "curve": [row.to_json(self.confidence) for row in self.curve],
            "tasks": self.tasks,
            "task_digests": self.tasks.digests,
            "env_steps": self.env_steps,
            "returns": self.returns,
            "successes": None if self.successes is None else self.successes.astype(int),
            "rates": self.rates,
        } | {label: getattr(self, label) for label in LABELS})  # fmt: skip
        document["digest"] = document_digest(document)
        return document if self.path is None else document | {"path": str(self.path)}

    def save(self, path: Path) -> Evaluation:
        """Write `path`, or leave what is there as it was; returns the evaluation that has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = dataclasses.replace(self, env=with_relative_path(self.env, path.parent), path=None)
        replace(path, json.dumps(kept.to_json(), allow_nan=False, indent=1).encode())
        return dataclasses.replace(self, path=path)

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what `save` wrote.

        Raises:
            UserError: there is no such file, it was edited or cut short, or this version cannot read it.
        """
        path = Path(path)
        again = "remove it and run `metarl evaluate RUN` again"
        try:
            document = read_json(path, dict)
        except FileNotFoundError:
            raise UserError(f"{path}: no such evaluation; run `metarl evaluate RUN` first") from None
        except ValueError as error:
            raise UserError(f"{path}: not an evaluation ({error}); {again}") from None
        if document.get("format") != FORMAT:
            raise UserError(f"{path}: got format {show(document.get('format'))}, expected {FORMAT!r}; {again}")
        if document.get("digest") != document_digest(document):
            raise UserError(f"{path}: edited, its digest does not fit its content; {again}")
        try:
            return cls._of(document, path)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise UserError(f"{path}: this version cannot read it ({first_line(problem)}); {again}") from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: this version cannot read it ({first_line(repr(error))}); {again}") from error

    @classmethod
    def _of(cls, document: dict[str, Any], path: Path) -> Evaluation:
        env = with_absolute_path(EnvConfig.model_validate({"splits": 1} | document["env"]), path.parent)
        known = {"pooled": True, "successes": None, "rates": None} | document  # what older files lack
        optional = {name: known[name] if known[name] is None else np.array(known[name], float)
                    for name in ("successes", "rates")}  # fmt: skip
        evaluation = cls(
            env=env,
            tasks=Tasks.from_json(document["tasks"], kept_space(path.parent.parent) or env.load_family().space),
            returns=np.array(document["returns"], float),
            env_steps=np.array(document["env_steps"]),
            path=path,
            **optional,
            **_Labels.model_validate({label: known[label] for label in LABELS}).model_dump(exclude_unset=True),
        )
        evaluation._check_shapes()
        return evaluation

    def _check_shapes(self) -> None:
        """ValueError if an array has not the shape or the numbers that it is declared with."""
        rows, tasks = len(self.returns), len(self.tasks)
        for name, sizes in (("returns", 3), ("env_steps", 2), ("successes", 3), ("rates", 3)):
            array = getattr(self, name)
            if array is not None and (array.ndim != sizes or array.shape[:2] != (rows, tasks) or not array.size):
                raise ValueError(f"{name} of shape {array.shape} for {rows} measurements of {tasks} tasks")
        if self.successes is not None and self.successes.shape != self.returns.shape:
            raise ValueError(f"successes of shape {self.successes.shape}, expected {self.returns.shape}")
        if self.env_steps.dtype.kind != "i" or self.env_steps.min() < 0:
            raise ValueError("env_steps are counts")
        for array in (self.returns, self.rates):
            if array is not None and (np.abs(array) > MOST).any():
                raise ValueError(f"a return beyond {MOST:g}")


def tasks_in_words(tasks: Tasks, split: str) -> str:
    """How many tasks of which kind: `40 held-out tasks`; `40 draws of 1 held-out task` where there is only one."""
    count = len(set(tasks.digests))
    draws_of = f"{_plural(len(tasks), 'draw')} of " if len(tasks) > count else ""
    if tasks.space.exhaustive and split in ("held_out", "validation"):
        return f"{draws_of}the family's only {_plural(count, 'task')}"
    plural = _plural(count, "task")
    kinds = {"held_out": _plural(count, "held-out task"), "extrapolation": f"{plural} outside the training range",
             "train": _plural(count, "training task"), "validation": _plural(count, "validation task")}  # fmt: skip
    return draws_of + kinds.get(split, f"{plural} from {split}")


def draws(tasks: Tasks) -> Sequence[str] | None:
    """The task of each draw, where all tasks that there are were drawn, each several times: chance is only within each.

    None where the tasks stand for others.
    """
    return tasks.digests if tasks.space.exhaustive or min(Counter(tasks.digests).values()) > 1 else None


def resampled(tasks: Tasks) -> tuple[Sequence[str] | None, str]:
    """Group of each task within which intervals resample tasks, None where all are one group; and what is resampled."""
    if labels := draws(tasks):
        return labels, "draws of each task"
    column = tasks.space.stratum
    environments = [] if column is None else [f"{value:g}" for value in tasks.values[:, column]]
    counts = Counter(environments).values()
    if len(counts) > 1 and min(counts) > 1:
        return environments, "whole tasks of each environment"
    return None, "whole tasks"


def document_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of all of an evaluation's JSON but the digest itself and where it is kept."""
    rest = {key: value for key, value in document.items() if key not in ("digest", "path")}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _score(row: Step) -> str:
    return "unknown (every episode diverged)" if row.mean is None else str(row.mean)
