"""Many runs as jobs of a cluster: `metarl submit`.

    folder = submit(["half_cheetah_mass/promp", "half_cheetah_mass/rl2"], "0-4", ["threads=2"], Path("runs/study"),
                    cluster="slurm", options=["timeout_min=240", "slurm_partition=cpu"])
    submit([], None, [], folder, cluster="slurm")        # once more what is neither done nor waiting nor running

A job a run and seed, through submitit: Slurm, or processes of this machine. Each is resumed exactly after a preemption
or a time limit (`metarl.jobs.job`). Submitting again into the same folder submits no run twice.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metarl.config import load_config
from metarl.config.load import parse_override
from metarl.jobs import record
from metarl.jobs.job import Job
from metarl.jobs.plan import hidden, is_run, parse_seeds, plan, runs_in, with_seeds
from metarl.jobs.status import WAITING, states
from metarl.runs import run as runs
from metarl.runs.lock import locked
from metarl.util.errors import UserError
from metarl.util.optional import Extra, MissingExtra
from metarl.util.plugins import PLUGINS
from metarl.util.text import first_line, nearest

PACKAGE = Extra("cluster", "submitit")
CLUSTERS = ("local", "slurm")
MOST_JOBS = 1000
"""Of one array; Slurm's own limit, unless its administrator moved it."""
_MINUTES = {"slurm": 240, "local": 60 * 24 * 365}
_REQUEUES = 100_000
"""As often as the cluster likes: each resumes where the last one was."""


def submit(
    configs: Sequence[str], seeds: str | None, overrides: Sequence[str], folder: Path | None, cluster: str,
    options: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Submit a job for each config and seed that is not done, waiting or running in `folder`; returns the folder.

    Args:
        configs: files or shipped configs' names; none for the runs that are in the folder.
        seeds: such as "0-4"; None for the config's own.
        overrides: key=value, put over each config's.
        folder: of the runs; a new one under runs/ if None.
        cluster: of CLUSTERS.
        options: of submitit's executor, NAME=VALUE.
    """
    try:
        PACKAGE.require("metarl submit")
    except MissingExtra as error:
        raise UserError(str(error)) from error
    if cluster not in CLUSTERS:
        raise UserError(f"--cluster: got {cluster!r}, expected one of {', '.join(CLUSTERS)}")
    settings = _options(options)
    named = _named(configs, seeds, overrides)
    if folder is None:
        if not named:
            raise UserError("submit: got no config, expected a YAML file or a name from `metarl list configs`")
        folder = runs.new_folder(next(iter(named.values())), "submit-")
    if is_run(folder):
        raise UserError(f"submit: got the run folder {folder}, expected a folder for several runs: choose another")
    if not named and not folder.is_dir():
        raise UserError(f"submit: got no config and no folder {folder}, expected one of the two")
    with locked(hidden(folder)) as lock:
        _submit(folder, plan(folder, named) if named else runs_in(folder, overrides), cluster, settings)
    lock.release()
    return folder


def _named(configs: Sequence[str], seeds: str | None, overrides: Sequence[str]) -> dict[str, Any]:
    """Configs by the name of their run's folder: that of the config, then the seed."""
    if seeds is not None and any(override.partition("=")[0].strip() == "seed" for override in overrides):
        raise UserError("--seeds: got seed=... as well, expected one of the two")
    found: dict[str, Any] = {}
    for name in configs:
        config = load_config(name, overrides)
        numbers = parse_seeds(seeds) if seeds is not None else [config.seed]
        short = Path(name).stem if Path(name).is_file() else name.removesuffix(".yaml").replace("/", "_")
        more = with_seeds(config, numbers, f"{short}_")
        if found.keys() & more.keys():
            raise UserError(f"submit: got two configs called {short!r}, expected names that differ: rename a file")
        found |= more
    return found


def _submit(folder: Path, chosen: Sequence[runs.Run], cluster: str, settings: dict[str, Any]) -> None:
    known = {state.name: state.state for state in states(folder)}
    waiting = [run for run in chosen if known[run.path.name] not in ("done", *WAITING)]
    executor = _executor(folder, cluster, max((runs.threads(run.config) for run in waiting), default=1), settings)
    for start in range(0, len(waiting), MOST_JOBS):
        part = waiting[start : start + MOST_JOBS]
        try:
            with executor.batch():
                jobs = [executor.submit(Job(str(run.path.resolve()), tuple(PLUGINS))) for run in part]
        except Exception as error:  # of sbatch, in classes of its own
            raise UserError(f"submit: {cluster} took no job: {_reason(error)}") from error
        for run, job in zip(part, jobs):
            record.write(run.path, "submitted", cluster=cluster, job=job.job_id, host=socket.gethostname())


def _executor(folder: Path, cluster: str, threads: int, settings: dict[str, Any]) -> Any:
    import submitit

    more = {f"{cluster}_max_num_timeout": _REQUEUES}
    try:
        executor = submitit.AutoExecutor(hidden(folder).resolve() / "submitit", cluster=cluster, **more)
    except RuntimeError as error:
        raise UserError(f"--cluster {cluster}: {first_line(error)}") from error
    cores = settings.get("cpus_per_task", threads)
    name = folder.resolve().name
    defaults: dict[str, Any] = {"timeout_min": _MINUTES[cluster], "cpus_per_task": threads, "name": name}
    if cluster == "slurm":  # whose srun does not take cpus_per_task from sbatch
        defaults |= {"slurm_srun_args": [f"--cpus-per-task={cores}"], "slurm_additional_parameters": {"requeue": True}}
    try:
        executor.update_parameters(**defaults | settings)
    except (AssertionError, NameError, TypeError, ValueError) as error:
        raise UserError(f"--option: {first_line(error)}") from error
    return executor


def _options(options: Sequence[str]) -> dict[str, Any]:
    """Options of submitit's, checked by name; a run is one process, so not those that make several."""
    from submitit import AutoExecutor, SlurmExecutor

    known = {*AutoExecutor._valid_parameters(), *(f"slurm_{name}" for name in SlurmExecutor._valid_parameters())}
    known -= {"nodes", "tasks_per_node", "slurm_nodes", "slurm_ntasks_per_node", "stderr_to_stdout"}
    found: dict[str, Any] = {}
    for option in options:
        try:
            name, value = parse_override(option)
        except UserError as error:
            raise UserError(f"--option: {str(error).replace('inner.lr=0.05', 'timeout_min=240')}") from error
        if name not in known:
            raise UserError(f"--option: got {name}, expected one of submitit's options{nearest(name, sorted(known))}")
        found[name] = value
    return found


def _reason(error: Exception) -> str:
    """What sbatch said, without where submitit was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("sbatch: error")]
    return first_line((said or lines or [type(error).__name__])[-1])
