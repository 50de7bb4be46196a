"""A comparison as tables for a terminal, and what stands in their cells.

    print_comparison(comparison.to_json())

Both tables have one home for their numbers: `curve_cells` and `summary_cells` also fill those of the report and of W&B.
"""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.evaluation.scores import WORST
from metarl.evaluation.statistics import format_interval, format_number

Document = dict[str, Any]
CURVE = ("method", "episodes", "time", "mean return", "IQM", f"worst {100 * WORST:.0f} %")
SUMMARY = ("method", "seeds", "area", "reach it", "beats", "regret", "steps")


def print_comparison(result: Document, console: Console | None = None) -> None:
    """The adaptation curves, the summary, and how to read them."""
    console = console or Console()
    console.print(title(result), markup=False, highlight=False, style="bold")
    tables = ((curve_columns(result), curve_cells(result)), (SUMMARY, summary_cells(result)))
    for columns, rows in tables:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
        for column in columns:  # names may be long, numbers must not be cut
            if column == "method":
                table.add_column(column, overflow="fold", min_width=12)
            else:
                table.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for line in (*sentences(result), *notes(result)):
        console.print(line, markup=False, highlight=False, style=None if line in sentences(result) else "dim")
    for path in result.get("files", ()):
        console.out(f"written to {path}", highlight=False)


def title(result: Document) -> str:
    kinds = {"held_out": "held-out tasks", "extrapolation": "tasks outside the training range",
             "train": "training tasks"}  # fmt: skip
    count = len(result["task_digests"])
    which = kinds.get(result["split"], f"tasks from {result['split']}")
    return f"{result['environment']['family']}: {count} {which}"


def curve_columns(result: Document) -> tuple[str, ...]:
    return CURVE + (("done",) if _success(result) else ())


def curve_cells(result: Document) -> list[list[str]]:
    """A row for each method and each amount of experience."""
    rows = []
    for method in result["methods"]:
        for i, point in enumerate(method["curve"]):
            cells = [method["name"] if i == 0 else "", str(point["episodes"]), f"{format_number(point['seconds'])} s"]
            cells += [_estimate(point["mean"]), _estimate(point["iqm"]), format_number(point["cvar"]["value"])]
            if _success(result):
                cells.append("-" if point["success"] is None else f"{100 * point['success']:.0f} %")
            rows.append(cells)
    return rows


def summary_cells(result: Document) -> list[list[str]]:
    """A row for each method."""
    return [
        [
            method["name"],
            str(len(method["seeds"])),
            _estimate(method["area"]),
            _reached(method),
            "-" if method["improvement"] is None else f"{100 * method['improvement']['value']:.0f} %",
            "-" if method["regret"] is None else format_number(method["regret"]["value"]),
            f"{_count(method['training_steps'])} + {_count(method['adaptation_steps'])}",
        ]
        for method in result["methods"]
    ]


def sentences(result: Document) -> list[str]:
    """Which method ends best, which gains the most on the way, and where adaptation does not pay."""
    methods = result["methods"]
    best = max(methods, key=lambda m: m["curve"][-1]["mean"]["value"])
    quickest = max(methods, key=lambda m: m["area"]["value"])
    last = best["curve"][-1]
    lines = [
        f"Best in the end: {best['name']}, {_estimate(last['mean'])} after {_episodes(last['episodes'])} in a task. "
        f"Best on the way: {quickest['name']}, {_estimate(quickest['area'])} on average over the first"
        f" {_episodes(result['budget_episodes'])}."
    ]
    idle = [m["name"] for m in methods if len(m["curve"]) > 1 and not _pays(m)]
    if idle:
        lines.append(f"Adaptation from episode to episode does not pay beyond noise for: {'; '.join(idle)}.")
    return lines


def notes(result: Document) -> list[str]:
    """How to read the tables."""
    lines = [
        f"Returns of {'mean' if result['deterministic'] else 'sampled'} actions. Intervals:"
        f" {100 * result['confidence']:g} %, {result['interval_method']}. IQM: mean of the middle half of all"
        f" runs in all tasks; worst {100 * WORST:.0f} %: mean of the worst of them.",
        f"area: average return over the first {result['budget_episodes']} episodes in a task, the last policy going"
        f" on. reach it: share that ever returns {format_number(result['threshold'])}, and by when half do."
        f" beats: chance to return more than {result['baseline']} in the end."
        + (f" regret: to {result['oracle']} in the end." if result["oracle"] else " regret: there is no oracle.")
        + " steps: environment steps of meta-training + of adaptation in a task.",
    ]
    for note in dict.fromkeys(m["note"] for m in result["methods"] if m["note"]):
        names = "; ".join(m["name"] for m in result["methods"] if m["note"] == note)
        lines.append(f"Note, {names}: {note}.")
    if result["tasks_left_out"]:
        lines.append(f"{len(result['tasks_left_out'])} tasks are left out: the physics diverged in all of a method's"
                     " episodes there.")  # fmt: skip
    return lines


def _pays(method: Document) -> bool:
    """Whether the return rises by more than noise from before adaptation to its end."""
    gain = method["gain"]
    return (gain["interval"] or [gain["value"]])[0] > 0


def _reached(method: Document) -> str:
    share, after = f"{100 * method['reached']['value']:.0f} %", method["episodes_to_threshold"]
    return share if after is None else f"{share} {after:g} ep"


def _success(result: Document) -> bool:
    return any(point["success"] is not None for method in result["methods"] for point in method["curve"])


def _estimate(estimate: Document) -> str:
    return format_interval(estimate["value"], estimate["interval"])


def _episodes(count: int) -> str:
    return f"{count} episode{'s' if count != 1 else ''}"


def _count(steps: float) -> str:
    """12000000 -> '12 M'."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if steps >= size:
            return f"{steps / size:.3g} {letter}"
    return f"{steps:.0f}"
