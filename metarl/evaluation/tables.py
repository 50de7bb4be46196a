"""An evaluation and a comparison as tables for a terminal, and what stands in the cells of a comparison's.

    print_evaluation(evaluation)
    print_comparison(comparison)

`curve_cells` and `summary_cells` also fill the tables of the report, of W&B and of the result pages. A head may be of
two lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.result import Evaluation
from metarl.evaluation.statistics import ONLY_RANGE, WORST, format_number

SUMMARY = ("method", "seeds", "AUC", "solved", "episodes\nto solve", "P(better)", "regret")


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """The adaptation curve as a table, what it says in a sentence, and how to read it."""
    console = console or Console()
    _print(console, f"{evaluation.tasks.space.family}: {evaluation.where}", curve_table(evaluation))
    console.print(evaluation.sentence, markup=False, highlight=False)
    console.print(evaluation.caption, markup=False, highlight=False, style="dim")
    _print_files(console, [] if evaluation.path is None else [evaluation.path])


def curve_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Column heads, and a row for each amount of experience."""
    curve = evaluation.curve
    success, diverged = evaluation.successes is not None, any(row.diverged for row in curve)
    columns = ["steps", "episodes", "time", "mean return", "IQM", "worst"]
    columns += ["success rate"] * success + ["diverged"] * diverged
    rows = []
    for row in curve:
        cells = [str(row.step), str(row.episodes), f"{format_number(row.seconds)} s"]
        worst = "-" if row.worst_task is None else format_number(row.worst_task)
        cells += [str(row.mean or "-"), str(row.iqm or "-"), worst]
        rows.append(cells + [_percent(row.success)] * success + [str(row.diverged)] * diverged)
    return columns, rows


def print_comparison(comparison: Comparison, files: Sequence = (), console: Console | None = None) -> None:
    """The adaptation curves, the summary, how to read them, and the files that were written."""
    console = console or Console()
    tables = (curve_columns(comparison), curve_cells(comparison)), (SUMMARY, summary_cells(comparison))
    _print(console, comparison.title, *tables)
    for line in sentences(comparison):
        console.print(line, markup=False, highlight=False)
    for line in notes(comparison):
        console.print(line, markup=False, highlight=False, style="dim")
    _print_files(console, files)


def curve_columns(comparison: Comparison) -> tuple[str, ...]:
    worst = f"worst\n{100 * WORST:.0f} %"
    columns = ("method", "episodes of\nexperience", "robot's\ntime", "mean return", "IQM", worst)
    return columns + ("success\nrate",) * _success(comparison)


def curve_cells(comparison: Comparison) -> list[list[str]]:
    """A row for each method and each amount of experience."""
    return [
        [
            "" if i else row.name,
            str(point.episodes),
            f"{format_number(point.seconds)} s",
            str(point.mean),
            str(point.iqm),
            format_number(point.cvar.value),
            *[_percent(point.success)] * _success(comparison),
        ]
        for row in comparison.rows
        for i, point in enumerate(row.curve)
    ]


def summary_cells(comparison: Comparison) -> list[list[str]]:
    """A row for each method."""
    return [
        [
            row.name,
            str(len(row.seeds)),
            str(row.area),
            _percent(row.reached.value),
            f"{row.episodes_to_threshold:g}" if row.episodes_to_threshold < float("inf") else "-",
            _percent(row.improvement and row.improvement.value),
            "-" if row.regret is None else format_number(row.regret.value),
        ]
        for row in comparison.rows
    ]


def sentences(comparison: Comparison) -> list[str]:
    """Which method ends best, which gains the most on the way, and which do not gain from adaptation."""
    rows = comparison.rows
    best, quickest = max(rows, key=lambda row: row.curve[-1].mean.value), max(rows, key=lambda row: row.area.value)
    last = best.curve[-1]
    when = f"after {_episodes(last.episodes)} of experience in a task" if last.episodes else "in the first episode"
    lines = [
        f"Highest final return: {best.name}, {last.mean} {when}. "
        f"Highest AUC: {quickest.name}, {quickest.area} on average over the first {_episodes(comparison.budget)}."
    ]
    idle = [row.name for row in rows if len(row.curve) > 1 and row.gain.ends[0] <= 0]
    if idle:
        interval = f"{100 * comparison.confidence:g} % interval includes 0"
        if any(row.gain.of_runs for row in rows):
            interval += f", or the range of {ONLY_RANGE} runs or fewer"
        lines.append(f"No significant gain from adaptation ({interval}): {'; '.join(idle)}.")
    return lines


def notes(comparison: Comparison) -> list[str]:
    """How to read the tables."""
    lines = [
        f"Returns of {'mean' if comparison.deterministic else 'sampled'} actions. Intervals:"
        f" {100 * comparison.confidence:g} %, {comparison.interval_method}. IQM: mean of the middle half of all"
        f" runs in all tasks; worst {100 * WORST:.0f} %: mean of the worst of them.",
        f"AUC: area under the adaptation curve, as the mean return over the first {_episodes(comparison.budget)} in a"
        f" task; a curve that ends early is continued at its last value. Solved: share of runs and tasks that reach a"
        f" return of {format_number(comparison.threshold)}; episodes to solve: those by which half of all do."
        f" P(better): probability of a higher return than {comparison.baseline} after all adaptation. Regret: "
        + (f"by how much {comparison.oracle} returns more then." if comparison.oracle else "there is no oracle."),
        "Environment steps of meta-training + of adaptation in a task: "
        + "; ".join(f"{r.name} {steps(r.training_steps)} + {steps(r.adaptation_steps)}" for r in comparison.rows) + ".",
    ]
    if timed := [f"{m.name} {minutes(m)}" for m in comparison.measured if m.training_minutes[1]]:
        lines.append(f"Minutes of meta-training: {'; '.join(timed)}.")
    if _success(comparison):
        lines.append("success rate: share of episodes with success at any step.")
    for note in dict.fromkeys(row.note for row in comparison.rows if row.note):
        names = "; ".join(row.name for row in comparison.rows if row.note == note)
        lines.append(f"Note, {names}: {note}.")
    for m in comparison.measured:
        if m.unfinished:
            lines.append(f"Not trained to the end, {m.name}: {'; '.join(m.unfinished)}.")
    for one, other in comparison.pairs:
        lines.append(f"{one} and {other} share their checkpoints: compared run by run, resampled together.")
    if comparison.trained_on:
        lines.append(f"Not disjoint from the training tasks: {comparison.trained_on}.")
    if left_out := int((~comparison.known).sum()):
        lines.append(f"{left_out} tasks are left out: the physics diverged in all of a method's episodes there.")
    return lines


def _print(console: Console, title: str, *tables: tuple[Sequence[str], Sequence[Sequence[str]]]) -> None:
    console.print(title, markup=False, highlight=False, style="bold")
    wide = console.options.update(max_width=10_000)
    for columns, rows in tables:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
        for column, *cells in zip(columns, *rows, strict=True):  # names may be folded, numbers must not be cut
            if column == "method":
                table.add_column(column, overflow="fold")
            else:
                width = max(cell_len(line) for cell in (column, *cells) for line in cell.splitlines())
                table.add_column(column, justify="right", no_wrap=True, min_width=width)
        for row in rows:
            table.add_row(*map(escape, row))
        least = Measurement.get(console, wide, table).minimum
        table.width = least if least > console.width else None
        console.print(table, crop=False)


def _print_files(console: Console, files: Iterable) -> None:
    for file in files:
        console.out(f"written to {file}", highlight=False)


def _success(comparison: Comparison) -> bool:
    return any(point.success is not None for row in comparison.rows for point in row.curve)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _episodes(count: int) -> str:
    return f"{count} episode{'s' if count != 1 else ''}"


def minutes(m: Measured) -> str:
    """`3.3 to 4.3`, of the quickest run and the slowest; nothing where nothing is trained."""
    return " to ".join(dict.fromkeys(f"{value:.3g}" for value in m.training_minutes if m.training_steps))


def steps(count: float) -> str:
    """12000000 -> '12 M'."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return f"{count:.0f}"
