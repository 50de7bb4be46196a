"""Several seeds at a time on one machine: `metarl train CONFIG --seeds 0-4`.

    folder = train_seeds("half_cheetah_dir/promp", "0-4", ["iterations=50"], run=Path("runs/study"))
    train_runs(Path("runs/study"), jobs=2)                # what is not finished there: a resume

Each run has a process and a folder of its own, and the bits of the same run trained alone with as many threads. The
first SIGTERM or Ctrl-C stops all, which save; a run that fails leaves the others alone.
"""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metarl.config import Config, load_config
from metarl.jobs.display import FIELDS, RunsProgress
from metarl.jobs.plan import hidden, holds_runs, is_run, parse_seeds, plan, runs_in, with_seeds
from metarl.runs import run as runs
from metarl.runs.lock import locked
from metarl.training.interruption import Interruption
from metarl.util.errors import UserError
from metarl.util.machine import available_threads, number_of_ranks
from metarl.util.pool import Pool


def train_seeds(
    config: str | None, seeds: str | None, overrides: Sequence[str], run: Path | None, resume: bool, jobs: int | None
) -> Path:
    """Train `config` with each of the seeds; or, resuming, what is not finished in folder `run`; returns the folder.

    Args:
        config: a file or a shipped config's name; with resume None for those of the runs.
        seeds: such as "0-4"; with resume None for all runs in the folder.
        overrides: key=value, put over the config's.
        run: the folder of the runs; a new one under runs/ if None.
        resume: train what is not finished in the folder.
        jobs: runs at a time; None for as many as there are cores for.
    """
    _refuse_launchers()
    if seeds is None:
        if run is None or not resume:
            raise UserError("train: got no --seeds, expected such as --seeds 0-4")
        return _locked(run, jobs, lambda folder: runs_in(folder, overrides))
    numbers = parse_seeds(seeds)
    if any(override.partition("=")[0].strip() == "seed" for override in overrides):
        raise UserError("--seeds: got seed=... as well, expected one of the two")
    if config is None:
        raise UserError("--seeds: got no config, expected one; to resume all runs of a folder leave --seeds out")
    configs = with_seeds(load_config(config, overrides), numbers)
    if run is None:
        run = runs.new_folder(next(iter(configs.values())))
    if is_run(run):
        raise UserError(f"--seeds: got the run folder {run}, expected a folder for several runs: choose another --run")
    if not resume and holds_runs(run):
        raise UserError(f"folder {run} already holds runs; add --resume to go on with them, or choose another --run")
    return train_configs(run, configs, jobs)


def train_configs(folder: Path, configs: Mapping[str, Config], jobs: int | None = None, again: str = "") -> Path:
    """Train a run of each config in the folder of that name, if it is not finished; ends as `train_runs`.

    Args:
        again: the command that goes on with them, `metarl train --resume` if none.
    """
    return _locked(folder, jobs, lambda folder: plan(folder, configs), again)


def train_runs(folder: Path, jobs: int | None = None) -> Path:
    """Train what is not finished of the runs in a folder, `jobs` at a time.

    Ends with UserError if a run failed, with SystemExit 143 after SIGTERM and 130 after Ctrl-C.
    """
    return _locked(folder, jobs, runs_in)


def _locked(folder: Path, jobs: int | None, choose: Callable[[Path], Sequence[runs.Run]], again: str = "") -> Path:
    with locked(hidden(folder)) as lock:
        _train(folder, jobs, choose(folder), again or f"metarl train --run {shlex.quote(str(folder))} --resume")
    lock.release()
    return folder


def _train(folder: Path, jobs: int | None, chosen: Sequence[runs.Run], command: str) -> None:
    if not chosen:
        raise UserError(f"{folder}: got no run in it, expected those that `metarl train --seeds` wrote")
    waiting = [number for number, run in enumerate(chosen) if not run.finished]
    jobs = jobs or max(1, available_threads() // max(runs.threads(run.config) for run in chosen))
    failed: dict[int, str] = {}
    with (
        RunsProgress([(run.path.name, run.config.iterations) for run in chosen], {*waiting}) as progress,
        Pool("metarl.jobs.one_run:Trainings", FIELDS, min(jobs, len(waiting) or 1), "run", fresh=True) as pool,
    ):

        def say(line: str) -> None:
            progress.say(line)
            pool.stop()

        with Interruption(say, progress.restore_terminal) as interruption:
            while (waiting and not interruption.requested) or pool.busy:
                while pool.free and waiting and not interruption.requested:
                    number = waiting.pop(0)
                    log = hidden(folder) / f"{chosen[number].path.name}.log"
                    pool.submit(number, "train", chosen[number].path, log)
                answer = pool.next(timeout=0.5)
                progress.show(pool.seen("done"), pool.seen("line"))
                if answer is not None:
                    number, ended = answer
                    if "error" in ended:
                        failed[number] = ended["error"]
                    progress.ended(number, ended)
        if interruption.requested:
            finished = sum(runs.open_run(run.path).finished for run in chosen)
            progress.say(f"stopped with {finished} of {len(chosen)} runs done; to go on: {command}")
            raise SystemExit(interruption.exit_code)
    if failed:
        names = ", ".join(chosen[number].path.name for number in sorted(failed))
        raise UserError(f"{len(failed)} of {len(chosen)} runs failed: {names}; to go on with them: {command}")
    print(f"all {len(chosen)} runs are done; next: metarl compare {shlex.quote(str(folder))}/*")


def _refuse_launchers() -> None:
    if number_of_ranks() > 1:
        raise UserError("--seeds: got several ranks of torchrun, expected one process: it trains one run a process")
    if os.environ.get("WANDB_SWEEP_ID"):
        raise UserError("--seeds: got a W&B sweep's agent, which makes one run a trial: put seed into the sweep")
