"""Training: iterate, measure, save; stop and resume at any point without a trace in the result.

    path = train(load_config("half_cheetah_dir/promp"))                   # runs/HalfCheetahDir-promp-.../
    path = train(load_config(path / "config.yaml"), path, resume=True)    # goes on from the last checkpoint

All randomness follows from the config's seed and the iteration's number, so the learner's tensors and that
number are the whole state of a run. `Training.state` is the state after the last finished iteration; an
interruption saves it, a resume loads it and cuts the logs back to it. Evaluating draws from streams of its
own and works on copies.

Under torchrun all ranks iterate (`metarl.util.ranks`), and the first one alone writes, evaluates and speaks.
"""

import hashlib
import logging
import math
import shlex
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import (
    make_env,
    make_learner,
    require_category,
    require_extra,
    require_ranks,
    training_env,
)
from metarl.algorithms.restore import restore
from metarl.config import Config
from metarl.evaluation.adaptation_curve import measure
from metarl.evaluation.evaluate import evaluate_run
from metarl.evaluation.result import Evaluation
from metarl.evaluation.tables import print_evaluation
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.runs.experience import ExperienceFiles
from metarl.runs.jsonl import LineLog
from metarl.training.interruption import Dropped, Interruption
from metarl.training.progress import Progress
from metarl.training.tracking import Tracker, from_environment
from metarl.util.errors import UserError
from metarl.util.ranks import LostRank, Ranks, current, joined
from metarl.util.torch_runtime import keep_freed_memory, torch_threads
from metarl.util.workers import WorkerDied

INTERRUPTED_FINISH_SECONDS = 2.0  # what W&B gets to finish after SIGTERM or Ctrl-C

logger = logging.getLogger("metarl")


class Training:
    """A run in progress: `done` iterations of `env_steps` steps, the learner's `state` after them, and the logs."""

    def __init__(self, run: runs.Run, writes: bool = True):
        self.run, self.config, self.writes = run, run.config, writes
        self.env = training_env(run.config)
        spec = Spec.of(self.env)
        if writes:
            run.write_spec(spec.to_json())
        self.learner = make_learner(run.config, spec)
        self.done, self.env_steps, self._saved, self._unsaved_since = 0, 0, None, None
        self._agreed = False  # over several ranks, to stop
        self.result: Evaluation | None = None
        self.experience = getattr(self.learner, "experience", None)
        self.experience_files = ExperienceFiles(run.path / "experience")
        there = writes and checkpoint.iterations(run.checkpoints)
        saved = current().from_first(run.checkpoint(self._read_experience) if there else None)
        if saved is not None:
            restore(self.learner, saved)
            self.done, self.env_steps, self._saved = saved.iteration, saved.meta["env_steps"], saved.iteration
        self.state = _copy(self.learner.state_dict())
        if not writes:
            return
        self.metrics = LineLog(run.path / "metrics.jsonl", keep=self.done)
        self.timings = LineLog(run.path / "timings.jsonl", keep=self.done)
        self.evaluations = LineLog(run.path / "evaluations.jsonl", keep=self.done + 1)
        if self.metrics.iterations != list(range(self.done)):
            logger.warning("%s lacks lines of iterations before %d: part of it was lost", self.metrics.path, self.done)

    def _read_experience(self, saved: checkpoint.Checkpoint) -> None:
        if self.experience is not None:
            self.experience_files.read(saved.meta.get("experience"), self.experience)

    def iterate(self, interruption: Interruption) -> dict[str, float]:
        """One iteration, whole or, if it raises, not at all; UserError if a number is not finite."""
        start = time.perf_counter()
        with interruption.droppable():
            try:
                metrics = self.learner.iterate(self.env, self.done)
                state = _copy(self.learner.state_dict())
            except (FloatingPointError, ValueError) as error:  # of the environment: a reward that is not a number
                raise UserError(f"iteration {self.done}: {error}; {self._advice()}") from error
        values = metrics | {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
        for name, value in values.items():
            if not (torch.isfinite(value).all() if isinstance(value, torch.Tensor) else math.isfinite(value)):
                raise UserError(f"iteration {self.done}: {name} is not finite; {self._advice()}")
        self.env_steps += int(metrics["env_steps"])
        place = {"iteration": self.done, "env_steps": self.env_steps}
        seconds = {name: value for name, value in metrics.items() if name.startswith("seconds")}
        measured = {name: value for name, value in metrics.items() if name not in seconds | place}
        self._check_ranks(state, interruption)
        seconds["seconds"] = time.perf_counter() - start
        now = datetime.now().astimezone().isoformat("T", "milliseconds")
        if self.writes:
            self.metrics.append(place | measured)
            self.timings.append(place | {"time": now} | seconds)
        self.state, self.done = state, self.done + 1
        return metrics | seconds

    def stopping(self, interruption: Interruption) -> bool:
        """Whether to stop here: with several ranks, if any was asked to before the last iteration ended, so that all
        stop after the same one."""
        return interruption.requested if current().size == 1 else self._agreed

    def _check_ranks(self, state: dict[str, torch.Tensor], interruption: Interruption) -> None:
        """UserError if the ranks' weights have drifted apart, as processors of different kinds might make them."""
        ranks = current()
        if ranks.size > 1:
            asked = max(int(number) for number in ranks.each(np.array(interruption.signal or 0)))
            if asked:
                self._agreed = True
                interruption.follow(asked)
            digest = hashlib.sha256(b"".join(x.numpy().tobytes() for x in state.values())).hexdigest()
            if ranks.total(digest != ranks.from_first(digest)):
                raise UserError(f"iteration {self.done}: ranks have different weights; use processors of one kind")

    def evaluate(self, interruption: Interruption) -> list[float]:
        """Mean return after 0, 1, ... adaptation steps, as a line of evaluations.jsonl."""
        settings = self.config.evaluation
        with interruption.droppable():
            result = measure(
                self.learner.adapter(),
                lambda num_envs: make_env(self.config, num_envs),
                self.run.tasks(settings.split),
                steps=settings.steps,
                episodes=settings.episodes,
                seed=self.config.seed,
                env=self.config.env,
                split=settings.split,
            )
            curve = [row.summary(result.confidence) for row in result.curve]
        place = {"iteration": self.done, "env_steps": self.env_steps, "split": settings.split}
        self.evaluations.append(place | {"curve": curve, "diverged": sum(point.diverged for point in result.curve)})
        return [math.nan if point is None else point["mean"] for point in curve]

    @property
    def complete(self) -> bool:
        return self.done >= self.config.iterations

    @property
    def evaluated(self) -> bool:
        """Whether the evaluation of this state is there already."""
        return self.run.evaluated(self.done)

    @property
    def evaluation_due(self) -> bool:
        every = self.config.evaluation.every
        return bool(every) and self.done > 0 and self.done % every == 0 and self.done not in self.evaluations.iterations

    @property
    def save_due(self) -> bool:
        return self.done % self.config.checkpoint_every == 0 or self._unsaved_since is not None

    def save(self) -> bool:
        """Save the state; without space say so once and return False."""
        if self._saved == self.done:
            return True
        try:
            for log in (self.metrics, self.timings, self.evaluations):
                log.sync()  # first: a checkpoint vouches for the lines before it
            meta: dict[str, Any] = {"iteration": self.done, "env_steps": self.env_steps}
            if self.experience is not None:
                meta["experience"] = self.experience_files.write(self.experience, self.done)
            checkpoint.save(self.run.checkpoints, self.state, meta, self.config.keep_checkpoints)
            if self.experience is not None:
                self.experience_files.prune(checkpoint.iterations(self.run.checkpoints)[0], self.experience)
        except OSError as error:
            if self._unsaved_since is None:
                free = shutil.disk_usage(self.run.path).free
                problem = f"cannot be saved in {self.run.checkpoints} ({error.strerror}, {free} bytes free)"
                logger.warning("checkpoint %d %s; training goes on and tries again each iteration", self.done, problem)
                self._unsaved_since = self.done
            return False
        if self._unsaved_since is not None:
            logger.warning("checkpoint %d is saved; there was none since iteration %d", self.done, self._unsaved_since)
        self._saved, self._unsaved_since = self.done, None
        return True

    def close(self) -> None:
        for log in (self.metrics, self.timings, self.evaluations):
            log.close()

    def _advice(self) -> str:
        return f"checkpoint {self.done} holds the state before it; see {self.metrics.path} for how it came to this"


def train(
    config: Config, run: str | Path | None = None, resume: bool = False, show: Callable[[int, int], Progress] = Progress
) -> Path:
    """Train as `config` says, in folder `run` (a new one under runs/ if None); returns the folder.

    `show` makes what tells of progress, from the number of iterations in all and of those that are done. Ends with
    UserError if the user can put it right, with SystemExit 143 after SIGTERM and 130 after Ctrl-C.
    """
    with joined(config.backend) as ranks:
        try:
            require_extra(config)
            require_category(config)
            require_ranks(config)
        except UserError:
            if ranks.first:
                raise
            raise SystemExit(2) from None  # the first one says it
        keep_freed_memory()
        run = None if run is None else Path(run)
        return _first(config, run, resume, ranks, show) if ranks.first else _other(config, ranks)


def _first(
    config: Config, run: Path | None, resume: bool, ranks: Ranks, show: Callable[[int, int], Progress]
) -> Path:
    """Train, and write: the only rank, or the first of several."""
    if not resume:
        config = config.model_copy(update={"wandb": from_environment(config.wandb)})
    try:
        folder = runs.resume(config, run, logger.warning) if resume else runs.start(config, run)
    except BaseException:
        ranks.from_first(None)
        raise
    ranks.from_first(folder.path.resolve())
    try:
        with torch_threads(runs.threads(config)):
            training = Training(folder)
            with show(config.iterations, training.done) as progress:
                if resume:
                    progress.say(_where(training, config))
                exit_code = None if training.complete and training.evaluated else _run(training, progress)
        training.close()
    finally:
        folder.release()
    if exit_code is not None:
        raise SystemExit(exit_code)
    ranks.from_first(None)
    if training.result:
        print_evaluation(training.result)
    print(f"run folder: {folder.path}")
    return folder.path


def _other(config: Config, ranks: Ranks) -> Path:
    """Train with the first rank, without a word and without writing."""
    path = ranks.from_first(None)
    if path is None:
        raise SystemExit(2)  # the first one has said why
    # of an own robot, the copy in the run's folder is the same robot
    with torch_threads(runs.threads(config)), Interruption(lambda line: None, patience=0) as interruption:
        training = Training(runs.Run(path, config, id=""), writes=False)
        try:
            while not (training.complete or training.stopping(interruption)):
                training.iterate(interruption)
            if not training.stopping(interruption):
                ranks.from_first(None)  # which evaluates, and is ended by torchrun where another one ends before
        except LostRank:
            if not interruption.requested:
                raise
        if interruption.exit_code is not None:
            raise SystemExit(interruption.exit_code)
    return path


def _run(training: Training, progress: Progress) -> int | None:
    """Train to the end or to an interruption, whose exit code is returned."""
    run, config = training.run, training.config
    tracker = Tracker(config.wandb, run.path, run.id, config.model_dump(mode="json"), training.env_steps)
    command = f"metarl train --run {shlex.quote(str(run.path))} --resume"
    with Interruption(progress.say, progress.restore_terminal) as interruption:
        try:
            try:
                _loop(training, progress, tracker, interruption)
            finally:
                saved = training.save()
            if saved and training.complete and not interruption.requested:
                _finish(training, progress, tracker, interruption)
        except Dropped:
            pass
        except WorkerDied as error:
            raise UserError(f"{error}; to resume from checkpoint {training.done}: {command}") from error
        finally:
            tracker.finish(*([INTERRUPTED_FINISH_SECONDS] if interruption.requested else []))
    if not saved:
        problem = f"checkpoint {training.done} could not be saved in {run.checkpoints}"
        raise UserError(f"{problem}; free space there, then: {command}")
    if interruption.requested:
        progress.say(f"stopped after {training.done} of {config.iterations} iterations; to go on: {command}")
    return interruption.exit_code


def _loop(training: Training, progress: Progress, tracker: Tracker, interruption: Interruption) -> None:
    while not training.stopping(interruption):
        if training.evaluation_due:
            returns = training.evaluate(interruption)
            curve = " -> ".join(f"{value:.4g}" for value in returns)
            progress.say(f"evaluation after iteration {training.done}: return {curve}")
            values = {f"evaluation/return_{k}": value for k, value in enumerate(returns)}
            tracker.log({"env_steps": training.env_steps} | values)
        if training.save_due:
            training.save()
        if training.complete or training.stopping(interruption):
            return
        metrics = training.iterate(interruption)
        progress.update(training.done, metrics)
        tracker.log(metrics | {"env_steps": training.env_steps, "iteration": training.done - 1})


def _finish(training: Training, progress: Progress, tracker: Tracker, interruption: Interruption) -> None:
    """The evaluation at the end, as `training.result`."""
    run, split = training.run, training.config.evaluation.split
    progress.say(f"evaluating on {training.config.evaluation.tasks} {split} tasks")
    with interruption.droppable():
        result = evaluate_run(run, split, by="train")
    training.result = result
    columns = ["step", "episodes", "seconds", "mean", "iqm"]
    rows = [row.to_json(result.confidence) for row in result.curve]
    tracker.table("adaptation", columns, [[row.get(column) for column in columns] for row in rows])
    tracker.artifact(f"tasks-{split}", run.path / "tasks" / f"{split}.json")


def _where(training: Training, config: Config) -> str:
    if training.complete:
        return f"training is complete: {training.done} iterations are done and iterations={config.iterations}"
    if training.done == 0:
        return f"no checkpoint in {training.run.path} yet: starting at iteration 0"
    return f"going on from checkpoint {training.done} of {config.iterations} iterations"


def _copy(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
