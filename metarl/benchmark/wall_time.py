"""The same study with one budget of wall time for all methods, instead of one of environment steps.

    file = with_minutes(load_study("half_cheetah_mass"), Path("runs/benchmark"), 5)
    run_study(load_study(file), Path("runs/benchmark"))      # the second table, in half_cheetah_mass-5_minutes/

A method gets as many environment steps as the quickest of its finished runs took in that time, the one that other
processes disturbed least. Runs are trained for it from the start, not cut off or read at that moment: a step size
that falls over the run has fallen to its end, RMA's student has had its share, and a run can be repeated bit for bit,
whatever else the machine does. What they then took is in the results.
"""

from collections.abc import Callable
from pathlib import Path

from metarl.benchmark.study import Study, write_study
from metarl.runs.jsonl import read_lines
from metarl.runs.run import Run, open_run, sessions
from metarl.util.errors import UserError

MOST = 100_000  # minutes


def with_minutes(
    study: Study,
    folder: Path,
    minutes: float,
    seeds: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the study of `minutes` of training for each method, by the study's runs in `folder`; returns its file."""
    if not 0 < minutes <= MOST:
        raise UserError(f"--minutes: got {minutes:g}, expected more than 0 and at most {MOST}")
    if study.baseline not in study.methods:
        raise UserError(f"--method: got no {study.baseline}, expected it too: the others are compared with it")
    found: dict[str, list[Run]] = {}
    for name in study.methods:
        if study.config(name).algorithm.trained:
            of_method = study.with_methods([name])
            names = [run for fold in study.each_fold for run in of_method.configs(seeds, fold)]
            found[name] = [_finished(folder / study.name / run) for run in names]
    machine = _one_machine([run for runs in found.values() for run in runs])
    steps = {}
    for name, runs in found.items():
        per_minute = max(_steps(run) / run.minutes for run in runs)
        steps[name] = per_minute * minutes
        say(f"{name}: {per_minute:,.0f} environment steps a minute, {steps[name]:,.0f} in {minutes:g} minutes")
    most = max(steps.values())
    rows = {name: row.model_copy(update={"share": float(f"{steps[name] / most:.4g}")} if name in steps else {})
            for name, row in study.methods.items()}  # fmt: skip
    about = f"{study.about}; {minutes:g} minutes of training for each method, as the quickest of its runs on {machine}"
    update = {"about": about, "budget": round(most), "methods": rows}
    return write_study(study.model_copy(update=update), folder / f"{study.name}-{minutes:g}_minutes.yaml")


def _finished(path: Path) -> Run:
    if (path / "config.yaml").exists() and (run := open_run(path)).finished and run.minutes:
        return run
    raise UserError(f"--minutes: {path} is not trained to its end, expected all runs of the study: run it first")


def _steps(run: Run) -> int:
    return read_lines(run.path / "timings.jsonl")[-1]["env_steps"]


def _one_machine(runs: list[Run]) -> str:
    """`AMD EPYC, 1 thread`; UserError if runs differ in it, whose minutes cannot be compared."""
    machines: dict[str, Path] = {}
    for run in runs:
        for session in sessions(run.path):
            threads = session.get("threads")
            machines.setdefault(f"{session.get('cpu')}, {threads} thread{'s' * (threads != 1)}", run.path)
    first, *others = machines.items()
    for machine, path in others:
        raise UserError(f"--minutes: {path} ran on {machine}, expected {first[0]}, as {first[1]}: minutes differ there")
    return first[0]
