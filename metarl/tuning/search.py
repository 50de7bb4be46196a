"""Searching for a learning strategy: `metarl tune`.

    folder = tune("half_cheetah_mass/promp", trials=30, iterations=40, jobs=2)     # runs/tune-...
    folder = tune("runs/first", trials=50)                                # only how that run adapts; no training
    tune(None, folder=folder, resume=True, trials=60)                     # goes on

    base.yaml        the config that the search began with      space.yaml      what varies in it
    search.json      validation tasks, budget and versions     trials.json     every strategy and what it earned
    chosen.yaml      the best so far, for `metarl train`       search.png      the search in a picture
    trials/0003/     the run of a strategy that was trained     chosen/         of a run: its weights, adapting so

Strategies are compared by their return after adaptation in tasks of the validation split; those of held_out and
extrapolation are never looked at. What all of them are
given alike stands in `metarl.tuning.protocol`. The search can be cut off at any moment, and resumed.
"""

import contextlib
import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metarl.config import Config, to_short_yaml, to_yaml
from metarl.runs import run as runs
from metarl.runs.lock import locked
from metarl.training.interruption import Dropped, Interruption
from metarl.tuning.folder import FORMAT, Search, decide, open_search, write_start
from metarl.util.errors import UserError
from metarl.util.files import read_json, replace
from metarl.util.optional import Extra, MissingExtra

TRIALS, SEARCH = 30, "tpe"
PACKAGE = Extra("tune", "optuna")


def tune(
    source: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    space: Path | None = None,
    trials: int | None = None,
    search: str | None = None,
    iterations: int | None = None,
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
                 "--iterations": iterations}  # fmt: skip
        for name, value in given.items():
            if value:
                raise UserError(f"--resume: got {name}, expected none: what is searched was decided at the start")
        if folder is None or not (folder / "search.json").is_file():
            raise UserError(f"--resume: got {folder or 'no folder'}, expected --run DIR with the folder of a search")
    begun = {} if resume else decide(source, overrides, space, search or SEARCH, iterations)
    with _writing(folder):
        folder = folder or runs.new_folder(begun["full"], "tune-")
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder) as lock:
            if not resume:
                write_start(folder, begun, trials or TRIALS)
            _run(open_search(folder), trials, jobs)
        lock.release()
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
    from metarl.tuning.report import TrialProgress, print_trials
    from metarl.tuning.trial import FIELDS
    from metarl.util.pool import Pool

    study = _study(search)
    total = trials or read_json(search.folder / "search.json", dict)["trials"]
    waiting = [trial for trial in study.trials if trial.state == "running"]
    with TrialProgress(total, study) as progress, Pool("metarl.tuning.trial:Trials", FIELDS, jobs, "strategy") as pool:

        def say(line: str) -> None:
            progress.say(line)
            pool.stop()

        with Interruption(say, progress.restore_terminal) as interruption, contextlib.suppress(Dropped):
            while True:
                while pool.free and not interruption.requested and (waiting or len(study.trials) < total):
                    trial = waiting.pop(0) if waiting else study.ask()
                    if trial.state == "running":
                        pool.submit(trial.number, *_task(search, study, trial))
                    else:
                        progress.finished(trial)
                    _save(search, study)
                if not pool.busy:
                    break
                with interruption.droppable():
                    done = pool.next(timeout=0.5)
                progress.show({number: int(done) for number, done in pool.seen("done").items()})
                if done is None or "stopped" in done[1]:
                    continue
                trial = study.trials[done[0]]
                if study.tell(trial, done[1]):
                    waiting.insert(0, trial)
                else:
                    progress.finished(trial)
                _save(search, study)
        if interruption.requested:
            command = f"metarl tune --run {shlex.quote(str(search.folder))} --resume"
            ended = sum(trial.state != "running" for trial in study.trials)
            progress.say(f"stopped after {ended} of {total} strategies; to go on: {command}")
            raise SystemExit(interruption.exit_code)
    _finish(search, study)
    print_trials(search.folder, study)


def _study(search: Search) -> Any:
    from metarl.tuning.study import Study

    study = Study(search.search, search.space, search.base, search.rungs)
    path = search.folder / "trials.json"
    if path.exists():
        try:
            study.load(read_json(path, dict)["trials"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: cannot be read ({type(error).__name__}: {error}); restore a copy") from error
    return study


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
    """A run folder with the newest weights of `run` and another config."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(run.path / "tasks", partial / "tasks")
    newest = run.checkpoint().path
    shutil.copytree(newest, partial / "checkpoints" / newest.name)
    for name in ("versions.json", "metrics.jsonl"):
        shutil.copy2(run.path / name, partial / name)
    replace(partial / "config.yaml", to_yaml(config).encode())
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)

