"""Searching for a learning strategy: `metarl tune`.

    folder = tune("half_cheetah_mass/promp", trials=30, iterations=40, jobs=2)     # runs/tune-...
    folder = tune("runs/first", trials=50)                                # only how that run adapts; no training
    tune(None, folder=folder, resume=True, trials=60)                     # goes on

    base.yaml        the config that the search began with      space.yaml      what varies in it
    search.json      validation tasks, budget and versions     trials.json     every strategy and what it earned
    chosen.yaml      the best so far, for `metarl train`       search.png      the search in a picture
    trials/0003/     the run of a strategy that was trained     chosen/         of a run: its weights, adapting so
    journal.log      Optuna's, from which a search goes on      workers/        the processes that work on it

Strategies are compared by their return after adaptation in tasks of the validation split; those of held_out and
extrapolation are never looked at. What all of them are given alike stands in `metarl.tuning.protocol`. The search can
be cut off at any moment, and resumed; by several processes at once, on machines that see the folder: each takes
strategies from the journal, and goes on with those of a process that is gone.
"""

import contextlib
import json
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metarl.config import Config, to_short_yaml, to_yaml
from metarl.config.robots import copy_into_run, with_relative_path
from metarl.runs import run as runs
from metarl.runs.lock import locked
from metarl.training.interruption import Dropped, Interruption
from metarl.tuning.folder import FORMAT, Search, decide, open_search, write_start
from metarl.util.errors import UserError
from metarl.util.files import read_json, replace
from metarl.util.optional import Extra, MissingExtra

TRIALS, SEARCH = 30, "tpe"
COPIED = ("tasks", "robot", "spec.json", "metrics.jsonl", "timings.jsonl", "looks.jsonl")
"""Of a run whose adaptation is searched, beside its newest checkpoint."""
POLL = 0.5  # seconds between looks at what others do
PACKAGE = Extra("tune", "optuna")


def tune(
    source: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    space: Path | None = None,
    trials: int | None = None,
    search: str | None = None,
    iterations: int | None = None,
    rungs: int | None = None,
    jobs: int = 1,
    folder: Path | None = None,
    resume: bool = False,
) -> Path:
    """Search, and return the folder. Ends with SystemExit 143 after SIGTERM and 130 after Ctrl-C.

    Args:
        source: a config file, a shipped config's name, or a run folder; None with resume.
        overrides: key=value, put over the config's.
        space: a YAML file; the default space of the algorithm if None.
        trials: strategies in all, those of before a resume included.
        search: "random", "tpe" or "halving".
        iterations: to train each strategy for, of the config as it stands; the config's if None.
        rungs: of halving, 3 if None: how often a strategy is measured, at the last with all of its budget, at each
            before with a third of the next one's.
        jobs: processes; 0 for none but this one.
        folder: a new one under runs/ if None.
        resume: go on with the search in folder.
    """
    try:
        PACKAGE.require("metarl tune")
    except MissingExtra as error:
        raise UserError(str(error)) from error
    if resume:
        given = {"a config": source, "settings": overrides, "--space": space, "--search": search,
                 "--iterations": iterations, "rungs": rungs}  # fmt: skip
        for name, value in given.items():
            if value:
                raise UserError(f"--resume: got {name}, expected none: what is searched was decided at the start")
        if folder is None or not (folder / "search.json").is_file():
            raise UserError(f"--resume: got {folder or 'no folder'}, expected --run DIR with the folder of a search")
    begun = {} if resume else decide(source, overrides, space, search or SEARCH, iterations, rungs)
    with _writing(folder):
        folder = folder or runs.new_folder(begun["full"], "tune-")
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            with locked(folder) as lock:
                write_start(folder, begun, trials or TRIALS)
            lock.release()
        _run(open_search(folder), trials, jobs)
    return folder


@contextlib.contextmanager
def _writing(folder: Path | None) -> Iterator[None]:
    """A folder that cannot be written is one line."""
    try:
        yield
    except BrokenPipeError:  # standard output
        raise
    except OSError as error:
        raise runs.not_writable(folder, error, "choose another --run, or make room") from error


def _run(search: Search, trials: int | None, jobs: int) -> None:
    """Take part in a search until all strategies have ended, whoever tries them."""
    from metarl.tuning.presence import Presence
    from metarl.tuning.report import print_trials

    total = trials or read_json(search.folder / "search.json", dict)["trials"]
    with Presence(search.folder) as presence:
        with presence.turn():
            study = _study(search, presence.name)
        try:
            exit_code = _try_strategies(search, study, presence, total, jobs)
        finally:
            for trial in study.mine:
                study.leave(trial)
        if exit_code is not None:
            raise SystemExit(exit_code)
        with presence.turn():
            _finish(search, study)
    print_trials(search.folder, study)


def _try_strategies(search: Search, study: Any, presence: Any, total: int, jobs: int) -> int | None:
    """The exit code after SIGTERM or Ctrl-C, None at the end of the search."""
    from metarl.tuning.report import TrialProgress
    from metarl.tuning.trial import FIELDS
    from metarl.util.pool import Pool

    waiting: list[Any] = []  # for their next rung

    def take() -> Any:
        if waiting:
            return waiting.pop(0)
        with presence.turn():
            return study.take(total, presence.gone)

    def save() -> None:
        with presence.turn():
            study.sync()
            _save(search, study)

    with TrialProgress(total, study) as progress, Pool("metarl.tuning.trial:Trials", FIELDS, jobs, "strategy") as pool:

        def say(line: str) -> None:
            progress.say(line)
            pool.stop()

        with Interruption(say, progress.restore_terminal) as interruption, contextlib.suppress(Dropped):
            while True:
                while pool.free and not interruption.requested and (trial := take()):
                    if trial.state == "running":
                        pool.submit(trial.number, *_task(search, study, trial))
                    else:
                        progress.finished(trial)
                    save()
                if not pool.busy and (interruption.requested or study.ended(total)):
                    break
                with interruption.droppable():
                    done = pool.next(POLL) if pool.busy else time.sleep(POLL)  # others are at the last ones
                progress.show({number: int(done) for number, done in pool.seen("done").items()})
                if done is None:
                    continue
                trial = study.trials[done[0]]
                if "stopped" in done[1]:
                    study.leave(trial)
                elif study.tell(trial, done[1]):
                    waiting.insert(0, trial)
                elif trial.state != "running":
                    progress.finished(trial)
                save()
        if interruption.requested:
            command = f"metarl tune --run {shlex.quote(str(search.folder))} --resume"
            ended = sum(trial.state != "running" for trial in study.trials)
            progress.say(f"stopped after {ended} of {total} strategies; to go on: {command}")
        return interruption.exit_code


def _study(search: Search, owner: str) -> Any:
    """The study that the journal of the search holds; of a search of before, which had none, as it stood."""
    from metarl.tuning.study import Study

    journal, old = search.folder / "journal.log", search.folder / "trials.json"
    read = journal
    try:
        study = Study(search.search, search.space, search.base, search.rungs, journal, owner)
        if not study.trials and old.exists():
            read = old
            study.load(read_json(old, dict)["trials"])
            document = read_json(search.folder / "search.json", dict) | {"format": FORMAT}
            replace(search.folder / "search.json", (json.dumps(document, indent=1) + "\n").encode())
        return study
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"{read}: cannot be read ({type(error).__name__}: {error}); restore a copy") from error


def _task(search: Search, study: Any, trial: Any) -> tuple:
    """Method of `metarl.tuning.trial.Trials` and its arguments, for the next rung of a strategy."""
    from metarl.tuning.study import ETA

    config = study.config(trial)
    share = ETA ** (len(trial.rungs) + 1 - study.rungs)
    if search.trained:
        iterations = max(1, round(config.iterations * share))
        return "train", search.folder / "trials" / f"{trial.number:04}", config, iterations, search.validation
    count = max(1, round(len(search.validation) * share))
    return "adapt", search.source, config, search.validation[:count]


def _save(search: Search, study: Any) -> None:
    best = study.best
    records = {"format": FORMAT, "chosen": best.number if best else None, "trials": study.to_json()}
    replace(search.folder / "trials.json", (json.dumps(records, indent=1) + "\n").encode())
    if best:
        replace(search.folder / "chosen.yaml", _chosen_yaml(search, study).encode())


def _chosen_yaml(search: Search, study: Any) -> str:
    best = study.best
    settings = ", ".join(f"{key}={json.dumps(value)}" for key, value in best.settings.items())
    lines = [
        f"# Strategy {best.number} of {len(study.trials)} that `metarl tune` tried: {settings}",
        f"# return after adaptation {best.value:.6g} in {len(search.validation)} validation tasks",
    ]
    return "\n".join([*lines, to_short_yaml(study.config(best, search.full))])


def _finish(search: Search, study: Any) -> None:
    """The figure and, for a run, a copy of it that adapts as chosen."""
    from metarl.tuning.report import search_figure
    from metarl.visual.figures import save_figure

    best = study.best
    if best is None:
        reasons = sorted({trial.error for trial in study.trials if trial.error})
        raise UserError(f"{search.folder}: no strategy could be measured; the first reason: {reasons[0]}")
    save_figure(search_figure(study, search.base.env.family), search.folder / "search")
    if search.source:
        _copy_run(runs.open_run(search.source), study.config(best, search.full), search.folder / "chosen")


def _copy_run(run: runs.Run, config: Config, target: Path) -> None:
    """A run folder with the newest weights of `run` and its records, but another config and id."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    newest = run.checkpoint().path
    shutil.copytree(newest, partial / "checkpoints" / newest.name)
    for name in COPIED:
        if (run.path / name).exists():
            (shutil.copytree if (run.path / name).is_dir() else shutil.copy2)(run.path / name, partial / name)
    document = read_json(run.path / "versions.json", dict) | {"id": secrets.token_hex(4)}
    replace(partial / "versions.json", (json.dumps(document, indent=1) + "\n").encode())
    env = with_relative_path(copy_into_run(config.env, partial), partial)
    replace(partial / "config.yaml", to_yaml(config.model_copy(update={"env": env})).encode())
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)

