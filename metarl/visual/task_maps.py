"""Where in the task space adaptation works: returns against the parameters of the tasks.

    failure_map(comparison)      # a panel for each parameter, a dot for each task and method
    task_map(comparison)         # a panel for each method, over the two parameters that matter most
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import scipy.stats
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from metarl.envs import Parameter
from metarl.evaluation.comparison import Comparison, Measured
from metarl.visual.figures import FEW_VALUES, STYLE
from metarl.visual.panels import COLUMNS, MANY, colour, family, legend, line, panels_of

PANELS = 6  # parameters shown at most
BINS = 6  # of a parameter's values, for the lines of the failure map
SHADES = ListedColormap(matplotlib.colormaps["cividis"](np.linspace(0.0, 0.9, 256)))  # the rest is too pale


def failure_map(comparison: Comparison) -> Figure:
    """Return in each task against each parameter, and a cross where adaptation did not help."""
    shown = shown_parameters(comparison)
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(shown))
        for axes, column in zip(panels, shown, strict=True):
            values = comparison.tasks.values[comparison.known, column]
            parameter = comparison.tasks.space.parameters[column]
            if comparison.split == "extrapolation" and parameter.continuous:
                axes.axvspan(parameter.low, parameter.high, color="#f0f0f0", lw=0, zorder=0)
            for i, m in enumerate(comparison.measured):
                _map_one(axes, values, _sides(parameter, values), m, i, len(comparison.measured))
            axes.set_xlabel(_parameter(comparison, column))
        for axes in panels[:: min(COLUMNS, len(panels))]:
            axes.set_ylabel("return after all adaptation")
        marks = ["cross: no gain from adaptation"] if len(comparison.measured) <= MANY else []
        marks += ["grey: training range"] if comparison.split == "extrapolation" else []
        figure.suptitle(
            f"{family(comparison)}: return by parameter" + (f" ({'; '.join(marks)})" if marks else ""),
            x=0.01, ha="left", fontsize=13, wrap=True,
        )  # fmt: skip
        legend(figure, panels[0])
    return figure


def task_map(comparison: Comparison) -> Figure:
    """Return of each method over the two parameters that matter most."""
    first, second = shown_parameters(comparison, FEW_VALUES)[:2]
    values = comparison.tasks.values[comparison.known]
    finals = [m.final.mean(0) for m in comparison.measured]
    scale = ScalarMappable(Normalize(min(f.min() for f in finals), max(f.max() for f in finals)), SHADES)
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(finals))
        for axes, m, final in zip(panels, comparison.measured, finals, strict=True):
            fails = _fails(m)
            for marker, chosen in (("o", ~fails), ("X", fails)):
                x, y = values[chosen][:, [first, second]].T
                axes.scatter(x, y, 42, scale.to_rgba(final[chosen]), marker=marker)
            axes.set_title(m.name, loc="left", fontsize=11)
            axes.set_xlabel(_parameter(comparison, first))
            axes.set_ylabel(_parameter(comparison, second))
        figure.colorbar(scale, ax=panels, label="return after all adaptation", pad=0.02)
        figure.suptitle(f"{family(comparison)}: return over the task space (cross: no gain from adaptation)",
                        x=0.01, ha="left", fontsize=13)  # fmt: skip
    return figure


def _map_one(axes, values: np.ndarray, sides: list[np.ndarray], m: Measured, i: int, methods: int) -> None:
    final, fails = m.final.mean(0), _fails(m)
    distinct = np.unique(values)
    if len(distinct) <= FEW_VALUES:  # side by side, or they would hide each other
        gap = 0.6 * (np.diff(distinct).min() if len(distinct) > 1 else 1.0)
        x = values + gap * ((i + 0.5) / methods - 0.5)
        centres = distinct + gap * ((i + 0.5) / methods - 0.5)
        axes.plot(centres, [final[values == v].mean() for v in distinct], "_", ms=18, mew=2.5, color=colour(i))
        axes.set_xticks(distinct)
    else:
        x = values
        for side in sides:
            bins = np.array_split(side[np.argsort(values[side])], max(1, round(BINS * len(side) / len(values))))
            axes.plot([values[b].mean() for b in bins], [final[b].mean() for b in bins], lw=1.8, **line(i))
    if methods <= MANY:  # the dots of more would hide the lines
        axes.scatter(x[~fails], final[~fails], 14, colour(i), marker="o", alpha=0.6, lw=0)
        axes.scatter(x[fails], final[fails], 30, colour(i), marker="x", lw=1.4)
    axes.plot([], [], marker="o" if methods <= MANY else "", ms=4, label=m.name, **line(i))  # for the legend


def _sides(parameter: Parameter, values: np.ndarray) -> list[np.ndarray]:
    """The tasks below, in and above the training range of a parameter; no average is taken across its ends."""
    ends = [parameter.low, np.nextafter(parameter.high, np.inf)]
    part = np.digitize(values, ends) if parameter.continuous else values
    return [np.flatnonzero(part == side) for side in np.unique(part)]


def _fails(m: Measured) -> np.ndarray:
    """(M,) where a method that adapts returns no more after it than before, on average over its runs."""
    if len(m.episodes) <= 1:
        return np.zeros(m.final.shape[1], bool)
    return np.logical_and.reduce(m.final <= m.returns[:, 0])


def shown_parameters(comparison: Comparison, more_than: int = 1) -> list[int]:
    """Columns of the parameters with so many values, those first that returns depend on most."""
    values = comparison.tasks.values[comparison.known]
    columns = [d for d in range(values.shape[1]) if len(np.unique(values[:, d])) > more_than]

    def strength(d: int) -> float:
        means = [m.final.mean(0) for m in comparison.measured]
        found: list[Any] = [scipy.stats.spearmanr(values[:, d], mean) for mean in means if np.ptp(mean) > 0]
        ranks = [abs(rank.statistic) for rank in found]
        return -max(ranks, default=0.0)

    return sorted(columns, key=strength)[:PANELS] or ([0] if more_than == 1 else [])


def _parameter(comparison: Comparison, column: int) -> str:
    parameter = comparison.tasks.space.parameters[column]
    return parameter.name + (f" ({parameter.unit})" if parameter.unit != "1" else "")
