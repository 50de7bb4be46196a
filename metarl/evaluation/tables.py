"""What an evaluation shows, in words and as a table.

    print(sentence(evaluation))      # After 1 step (20 episodes, 100 s of experience in each task) the return rose ...
    print_table(result)              # the plain data that metarl.evaluation.evaluate.evaluate_run returns
"""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from metarl.evaluation.adaptation_curve import Evaluation, Point
from metarl.evaluation.statistics import Summary, format_interval, format_number


def where(evaluation: Evaluation) -> str:
    """Which tasks, in words."""
    count = len(evaluation.tasks)
    if evaluation.tasks.space.exhaustive and evaluation.split == "held_out":
        return f"{count} draws of the family's only {len(set(evaluation.tasks.digests))} tasks"
    plural = "s" if count != 1 else ""
    kinds = {
        "held_out": f"{count} held-out task{plural}",
        "extrapolation": f"{count} task{plural} outside the training range",
        "train": f"{count} training task{plural}",
    }
    return kinds.get(evaluation.split, f"{count} task{plural} from {evaluation.split}")


def sentence(evaluation: Evaluation) -> str:
    """What the evaluation shows, in one sentence."""
    before = evaluation.curve[0].summary
    if before is None:
        return f"The physics diverged in every episode before adaptation, on {where(evaluation)}."
    if not evaluation.steps:
        return f"Without adaptation the return is {_score(before)} on {where(evaluation)}."
    parts = [_change(evaluation, 1)]
    if evaluation.steps > 1:
        last = evaluation.curve[evaluation.steps]
        done = _done(evaluation, evaluation.steps)
        parts.append(f"after {done} ({_experience(evaluation, last)}) it was {_score(last.summary)}")
    return "; ".join(parts) + "."


def caption(evaluation: Evaluation) -> str:
    """How to read the table."""
    actions = "mean actions" if evaluation.deterministic else "sampled actions"
    measured = f"{evaluation.episodes} episodes in each task"
    if not evaluation.pooled:
        measured = f"an episode in each of {evaluation.episodes} lives in each task"
    lines = [
        f"Undiscounted return of {measured}, {actions}; mean and interquartile mean"
        f" (IQM) over tasks with {100 * evaluation.confidence:g} % intervals ({evaluation.method})."
    ]
    if evaluation.successes is not None:
        lines.append("done: share of all started episodes in which the task was done at some step.")
    notes = dict.fromkeys(p.summary.note for p in evaluation.curve if p.summary and p.summary.note)
    lines += [f"Note: {note}." for note in notes]
    if not evaluation.disjoint:
        lines.append(f"Not disjoint from the training tasks: {evaluation.disjoint_reason}.")
    diverged = sum(p.diverged for p in evaluation.curve)
    if diverged:
        lines.append(f"{diverged} of {evaluation.returns.size} episodes diverged and are left out of the averages.")
    return "\n".join(lines)


def print_table(result: dict[str, Any], console: Console | None = None) -> None:
    """The adaptation curve as a table, what it says in a sentence, and how to read it."""
    console = console or Console()
    curve = result["curve"]
    title = f"{result['tasks']['family']}: {result['where']}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for header in ("steps", "episodes", "time", "mean return", "IQM", "worst"):
        table.add_column(header, justify="right", no_wrap=True)
    done = any("success" in point for point in curve)
    diverged = any(point["diverged"] for point in curve)
    for header in ("done",) * done + ("diverged",) * diverged:
        table.add_column(header, justify="right", no_wrap=True)
    for point in curve:
        cells = [str(point["step"]), str(point["episodes"]), f"{format_number(point['seconds'])} s"]
        if "mean" in point:
            cells.append(format_interval(point["mean"], point["mean_interval"]))
            cells.append(format_interval(point["iqm"], point["iqm_interval"]))
            cells.append(format_number(point["worst_task"]))
        else:
            cells += ["-"] * 3
        if done:
            cells.append(f"{100 * point['success']:.0f} %")
        if diverged:
            cells.append(str(point["diverged"]))
        table.add_row(*cells)
    console.print(table)
    console.print(result["sentence"], markup=False, highlight=False)
    console.print(result["caption"], markup=False, highlight=False, style="dim")
    if "path" in result:
        console.out(f"written to {result['path']}", highlight=False)


def _change(evaluation: Evaluation, step: int) -> str:
    point, gain = evaluation.curve[step], evaluation.gain(step)
    start = f"After {_done(evaluation, step)} ({_experience(evaluation, point)} of experience in each task)"
    if gain is None:
        return f"{start} the physics diverged in every episode on {where(evaluation)}"
    change, interval = gain
    before, after = format_number(evaluation.curve[0].summary.mean), _score(point.summary)
    if interval is not None and interval[0] <= 0.0 <= interval[1]:
        return f"{start} the return did not change beyond noise, from {before} to {after} on {where(evaluation)}"
    return f"{start} the return {'rose' if change > 0 else 'fell'} from {before} to {after} on {where(evaluation)}"


def _done(evaluation: Evaluation, step: int) -> str:
    return f"{step} {'step' if evaluation.pooled else 'episode'}{'s' if step != 1 else ''}"


def _experience(evaluation: Evaluation, point: Point) -> str:
    if not evaluation.pooled:
        return f"{format_number(point.seconds)} s"
    return f"{point.episodes} episode{'s' if point.episodes != 1 else ''}, {format_number(point.seconds)} s"


def _score(summary: Summary | None) -> str:
    if summary is None:
        return "unknown (every episode diverged)"
    return format_interval(summary.mean, summary.mean_interval)
