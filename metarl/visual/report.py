"""A report on runs as one page: how fast which method adapts to what, where it fails, and what it looks like.

    from metarl.visual.report import write_report
    write_report(["runs/promp0", "runs/promp1", "runs/rl2_0"], "report.html", ["held_out", "extrapolation"])

The page is one file that opens from disk in any browser, fetches nothing and prints. What it says is a comparison of
each of the task sets (`metarl.evaluation.compare`), which evaluates what was not evaluated yet, and a replay of each
method that adapts: before and after in the task that it does best in, the median one and the worst. The same figures,
tables and page go to the W&B run of the first run of each method that is tracked.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.evaluate import tasks_digest
from metarl.evaluation.methods import differences
from metarl.evaluation.statistics import format_number
from metarl.evaluation.tables import SUMMARY, curve_cells, curve_columns, notes, sentences, steps, summary_cells
from metarl.runs.run import threads
from metarl.training.tracking import publish_report
from metarl.util.errors import UserError
from metarl.util.files import replace
from metarl.util.torch_runtime import torch_threads
from metarl.visual.comparison import ABOUT_RUNS, ABOUT_TASKS, before_after, comparison_figures
from metarl.visual.figures import save_figure
from metarl.visual.html import write_html
from metarl.visual.page import Page
from metarl.visual.panels import MANY, colour
from metarl.visual.replay import Replay, record

CAPTIONS = {
    "adaptation": "Mean return over seeds and tasks, with intervals (of two or three seeds their range). Below:"
    " episodes of experience in the task; above: the same in seconds of the robot's time. Between two measurements a"
    " method keeps the policy of the earlier one, after its last measurement the last one.",
    "profiles": "Share of all runs and tasks that end above a return: the higher a line the better, the steeper the"
    " more reliable. Bands are intervals, or the range of the seeds.",
    "failure-map": "Lines are averages of neighbouring tasks; a dot is the return in one task, averaged over seeds. A"
    " cross marks a task in which no run of the method returns more after adaptation than before. With more than five"
    " methods lines only.",
    "task-map": "The return in each task over the two parameters that it depends on most. A cross marks a task in which"
    " no run of the method returns more after adaptation than before.",
    "within-episodes": "Reward per second within an episode: a memory adapts while it acts. Thick: the last episode of"
    " a trial; thin: the first.",
    "learning": "Return on training tasks during meta-training, after as many steps of adaptation as trained for. Thin:"
    " single runs.",
}
WORDS = ("best", "median", "worst")
REPLAYED = 4  # methods: the page stays small enough to be sent


def write_report(
    paths: Sequence[str | Path],
    out: str | Path,
    tasks: Sequence[str] = ("held_out",),
    *,
    baseline: str | None = None,
    oracle: str | None = None,
    deterministic: bool = False,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write the report on the runs; `tasks` and the options are those of `compare_runs`."""
    out = Path(out)
    if (out.exists() and not out.is_file()) or not out.parent.is_dir():  # a device would be replaced by a file
        raise UserError(f"--out: got {out}, expected a file such as report.html in a folder that exists")
    options = {"baseline": baseline, "oracle": oracle, "deterministic": deterministic, "by": "report"}
    comparisons = [compare_runs(paths, name, **options, say=say) for name in tasks]
    say = say or (lambda line: None)
    first = comparisons[0]
    names = [m.name for m in first.measured]
    page = Page(f"{first.tasks.space.family}: {', '.join(names) if len(names) <= MANY else f'{len(names)} methods'}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = _write(page, comparisons, Path(folder), say)
            replace(out, page.html().encode())
        except OSError as error:
            advice = "free some space, or choose another file"
            raise UserError(f"--out: {out} cannot be written: {error.strerror}; {advice}") from error
        _publish(comparisons, figures, out)
    return out


def _write(
    page: Page,
    comparisons: Sequence[Comparison],
    folder: Path,
    say: Callable[[str], None],
) -> list[Path]:
    """Fill the page; returns the figures as .png files in `folder`, for W&B."""
    files = []
    _environment(page, comparisons)
    about_runs = {}
    for comparison in comparisons:
        say(f"drawing {comparison.split}")
        figures = comparison_figures(comparison)
        about_runs |= {name: figures.pop(name) for name in ABOUT_RUNS if name in figures}
        _results(page, comparison, figures)
        for name, figure in figures.items():
            files += save_figure(figure, folder / f"{_short(comparison)}-{name}")
    _replays(page, comparisons[0], folder, say)
    page.heading("Meta-training")
    for name, figure in about_runs.items():
        page.figure(figure, CAPTIONS[name])
        files += save_figure(figure, folder / name)
    _training(page, comparisons[0])
    _provenance(page, comparisons)
    return [file for file in files if file.suffix == ".png"]


def _environment(page: Page, comparisons: Sequence[Comparison]) -> None:
    for comparison in comparisons:
        page.lead(f"{comparison.title}.", *sentences(comparison))
    page.heading("Environment")
    comparison = comparisons[0]
    env, space = comparison.definition, comparison.tasks.space
    options = "".join(f", {name} = {value}" for name, value in env["options"].items())
    length = f"episodes of {env['horizon']} steps of {env['dt']:g} s"
    page.text(f"{env['family']}{options}: {length}. What varies between tasks:")
    page.table(
        ("parameter", "unit", "default", "training range", "extrapolation", "description"),
        [
            (p.name, "" if p.unit == "1" else p.unit, f"{p.default:.4g}",
             ", ".join(f"{c:.4g}" for c in p.choices) or _range(p.low, p.high),
             ", ".join(_range(*e) if isinstance(e, tuple) else f"{e:.4g}" for e in p.extrapolation) or "-",
             p.description)
            for p in space.parameters
        ],
        words=("description",),
    )  # fmt: skip


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _results(page: Page, comparison: Comparison, figures: dict[str, Figure]) -> None:
    headings = {"held_out": "Held-out tasks", "extrapolation": "Extrapolation", "validation": "Validation tasks"}
    page.heading(headings.get(comparison.split, _short(comparison)))
    page.figure(figures["adaptation"], CAPTIONS["adaptation"])
    page.table(SUMMARY, summary_cells(comparison), colours=_colours(comparison))
    page.text(*notes(comparison), note=True)
    page.heading("Adaptation curves", 3)
    page.table(curve_columns(comparison), curve_cells(comparison), colours=_colours(comparison))
    if len(comparison.measured) > 1:
        page.heading("Probability of improvement", 3)
        page.text("Probability that a run of the method in the row returns more, after all adaptation, than one of the"
                  " method in the column, in a task drawn at random; with its interval.", note=True)  # fmt: skip
        names = (m.name for m in comparison.measured)
        page.table(("row better than column", *names), _matrix(comparison), colours=_colours(comparison))
    page.heading("Reliability, and where adaptation works", 3)
    for name in ABOUT_TASKS[1:]:
        if name in figures:
            page.figure(figures[name], CAPTIONS[name])


def _colours(comparison: Comparison) -> dict[str, str]:
    return {m.name: colour(i) for i, m in enumerate(comparison.measured)}


def _matrix(comparison: Comparison) -> Iterator[list[str]]:
    for m, row in zip(comparison.measured, comparison.improvements, strict=True):
        cells = ["-" if e is None else f"{e.value:.2f}" for e in row]
        ends = [f" [{e.low:.2f}, {e.high:.2f}]" if e is not None and e.interval else "" for e in row]
        yield [m.name, *(cell + end for cell, end in zip(cells, ends, strict=True))]


def _replays(page: Page, comparison: Comparison, folder: Path, say: Callable[[str], None]) -> None:
    """Of the methods that were measured after adaptation; one that adapts within its only episode has no "before"."""
    adapting = [m for m in comparison.measured if len(m.episodes) > 1 and m.method.config.algorithm.adapts]
    if not adapting:
        return
    page.heading("Replays")
    which = f"The {REPLAYED} methods with the highest return" if len(adapting) > REPLAYED else "Each method that adapts"
    page.text(f"{which}, in the task with the highest return, the median one and the lowest: on the left before"
              " adaptation, on the right after. Drag to turn, scroll to zoom.")  # fmt: skip
    for m in sorted(adapting, key=lambda m: -m.final.mean())[:REPLAYED]:
        say(f"recording {m.name}")
        _replay(page, comparison, m, folder)


def _replay(page: Page, comparison: Comparison, m: Measured, folder: Path) -> None:
    replay, chosen, seed = _record(comparison, m)
    page.heading(m.name, 3)
    returns = m.returns.mean(0)
    page.table(
        ("task", "parameters", "return before", "return after"),
        [
            (word, comparison.tasks.describe(np.flatnonzero(comparison.known)[i]), format_number(returns[0, i]),
             format_number(returns[-1, i]))
            for word, i in zip(WORDS, chosen, strict=True)
        ],
        words=("parameters",),
    )  # fmt: skip
    page.text(f"Mean returns of all seeds; the replay is of seed {seed}. {replay.caption}", note=True)
    page.figure(before_after(replay, WORDS), "Reward in the three episodes of the replay.")
    for task, word in enumerate(WORDS):
        one = dataclasses.replace(
            replay,
            names=(f"{word} task",),
            tasks=replay.tasks[task],
            models=replay.models[task : task + 1],
            qpos=replay.qpos[:, task : task + 1],
            rewards=replay.rewards[:, task : task + 1],
            lengths=replay.lengths[:, task : task + 1],
        )
        page.replay(write_html(one, folder / "replay.html").read_text(encoding="utf-8"), f"Replay, {word} task")


def _record(comparison: Comparison, m: Measured) -> tuple[Replay, list[int], int]:
    """The replay, the three tasks (among those known), and the seed of the run: the median one of the method."""
    order = np.argsort(m.final.mean(0), kind="stable")
    chosen = [int(order[-1]), int(order[len(order) // 2]), int(order[0])]
    run = m.method.runs[int(np.argsort(m.final.mean(1), kind="stable")[len(m.final) // 2])]
    tasks = comparison.tasks[np.flatnonzero(comparison.known)[chosen]]
    with torch_threads(threads(run.config)):
        replay = record(
            load_adapter(run),
            lambda num_envs: make_env(run.config, num_envs),
            tasks,
            steps=len(m.episodes) - 1,
            episodes=m.evaluations[0].episodes,
            seed=run.config.seed,
        )
    return replay, chosen, run.config.seed


def _training(page: Page, comparison: Comparison) -> None:
    page.table(
        ("method", "algorithm", "seeds", "iterations", "meta-batch\n(tasks)", "episodes\nper task", "training\nsteps",
         "adaptation\nsteps in a task"),
        [
            (m.name, m.method.config.algorithm.name, ", ".join(str(run.config.seed) for run in m.method.runs),
             m.method.config.iterations, m.method.config.meta_batch, m.method.config.episodes,
             steps(m.training_steps), steps(m.adaptation_steps))
            for m in comparison.measured
        ],
        colours=_colours(comparison),
    )  # fmt: skip
    page.heading("Differences of the configs", 3)
    settings = differences(comparison.methods)
    if settings:
        page.table(
            ("setting", *(m.name for m in comparison.measured)),
            [(key, *("" if value is None else json.dumps(value).strip('"') for value in values))
             for key, values in settings.items()],
        )  # fmt: skip
    else:
        page.text("None: there is one method.")


def _provenance(page: Page, comparisons: Sequence[Comparison]) -> None:
    page.heading("Provenance")
    page.text(f"Definition of the environment: SHA-256 {comparisons[0].definition['digest']}.")
    for comparison in comparisons:
        page.text(f"{comparison.title}: SHA-256 {tasks_digest(comparison.tasks)}.")
    rows = []
    for m in comparisons[0].measured:
        for run, evaluation in zip(m.method.runs, m.evaluations, strict=True):
            made, checkpoint = evaluation.origin["versions"], evaluation.origin["checkpoint"]
            git = made.get("git") or {}
            commit = (git.get("commit") or "-")[:10] + (" and changes" if git.get("dirty") else "")
            versions = ", ".join(f"{name} {made.get(name)}" for name in ("metarl", "mujoco", "torch", "numpy"))
            rows.append((run.path.name, m.name, run.config.seed, run.id, checkpoint["iteration"],
                         checkpoint["sha256"][:12], commit, versions))  # fmt: skip
    columns = ("run", "method", "seed", "id", "iteration", "checkpoint", "commit at\nevaluation", "versions")
    page.table(columns, rows, words=("versions",))
    page.text("The evaluations of the runs hold the return of each episode, and every number of this page follows from"
              " them. What this page was made of:", note=True)  # fmt: skip
    for comparison in comparisons:
        page.data(f"comparison-{_short(comparison)}", comparison.to_json())


def _publish(comparisons: Sequence[Comparison], figures: Sequence[Path], page: Path) -> None:
    tables = {}
    for comparison in comparisons:
        name = _short(comparison)
        tables[f"{name}-summary"] = (_one_line(SUMMARY), summary_cells(comparison))
        tables[f"{name}-curve"] = (_one_line(curve_columns(comparison)), curve_cells(comparison))
    for m in comparisons[0].measured:
        run = next((run for run in m.method.runs if run.config.wandb.mode != "disabled"), None)
        if run is not None:
            publish_report(run, figures, tables, page)


def _one_line(columns: Sequence[str]) -> list[str]:
    return [column.replace("\n", " ") for column in columns]


def _short(comparison: Comparison) -> str:
    return Path(comparison.split).stem
