"""How fast methods adapt: the mean return against experience in the task, in episodes and in seconds.

    figure = adaptation_curves(comparison)

Up to `MANY` methods share one picture, their names at the ends of their lines; of more, each has a panel of its own,
with the others in grey behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from metarl.evaluation.comparison import Comparison, Row
from metarl.evaluation.statistics import format_number
from metarl.visual.figures import STYLE
from metarl.visual.panels import COLUMNS, PALE, colour, empty_or_panels, family, grey_axis, label_ends, line, share_axes


def adaptation_curves(comparison: Comparison) -> Figure:
    """The staircases of all methods: episodes of experience below, seconds of the robot's time above."""
    rows = comparison.rows
    # a trial of a recurrent method is no longer than the others' first step
    most = max(point.episodes for row in rows for point in row.curve) * 1.06 or 1.0
    with matplotlib.rc_context(STYLE):
        figure, panels = empty_or_panels(len(rows))
        for i, row in enumerate(rows):
            axes = panels[i % len(panels)]
            if len(panels) > 1:
                for other in rows:
                    axes.plot(*_stairs(other, most), drawstyle="steps-post", lw=1, color=PALE, zorder=1)
                axes.set_title(row.name, loc="left", fontsize=11, color=colour(i), wrap=True)
            _staircase(axes, row, most, i)
        for i, axes in enumerate(panels):
            _experience_axis(axes, comparison, most, above=i < COLUMNS, few=len(panels) > 1)
        share_axes(panels, "episodes of experience in the task", "mean return of an episode")
        if len(panels) == 1:
            label_ends(axes, [(most, row.curve[-1].mean.value, row.name, colour(i)) for i, row in enumerate(rows)])
        title = f"{family(comparison)}: return after experience in a new task"
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    return figure


def _stairs(row: Row, most: float) -> tuple[list[float], list[float]]:
    values = [point.mean.value for point in row.curve]
    return [*(point.episodes for point in row.curve), most], [*values, values[-1]]


def _staircase(axes, row: Row, most: float, i: int) -> None:
    x, y = _stairs(row, most)
    low, high = ([*part, part[-1]] for part in zip(*(point.mean.ends for point in row.curve), strict=True))
    axes.fill_between(x, low, high, step="post", color=colour(i), alpha=0.15, lw=0)
    axes.plot(x, y, drawstyle="steps-post", label=row.name, **line(i, lw=2))
    axes.plot(x[:-1], y[:-1], "o", ms=5, color=colour(i))


def _experience_axis(axes, comparison: Comparison, most: float, above: bool, few: bool) -> None:
    """Ticks at the measurements; where `above`, the same places once more as seconds."""
    points = [point for row in comparison.rows for point in row.curve]
    amounts = sorted({float(point.episodes) for point in points} | ({1.0} if most == 1.0 else set()))
    smallest = min((x for x in amounts if x > 0), default=1.0)
    logarithmic = smallest < max(amounts) / 10  # memories count single episodes, gradient steps tens of them

    def place(one) -> None:
        if logarithmic:
            one.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        one.set_xlim(-0.02 * (smallest if logarithmic else most), most)

    place(axes)
    ticks = _ticks(amounts, logarithmic, 4 if few else 8)
    _set_ticks(axes.xaxis, ticks, 1.0)
    if above:
        full = comparison.definition["horizon"] * comparison.definition["dt"]
        early = any(point.seconds < 0.99 * point.episodes * full for point in points)
        top = axes.twiny()  # a secondary axis would stay linear where this one is not
        place(top)
        _set_ticks(top.xaxis, ticks, full)
        top.set_xlabel("seconds of the robot's time" + (", at most" if early else ""), fontsize=9 if few else 10)
        grey_axis(top)


def _ticks(amounts: Sequence[float], logarithmic: bool, most: int) -> list[float]:
    if logarithmic:
        amounts = [x for i, x in enumerate(amounts) if not i or x >= 1.5 * amounts[i - 1]]
    return list(amounts[:: -(-len(amounts) // most)])


def _set_ticks(axis, ticks: list[float], factor: float) -> None:
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: format_number(factor * x)))
