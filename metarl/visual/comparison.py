"""Figures of a comparison: how fast methods adapt, how reliably, where it fails, and how they learned.

    from metarl.visual.comparison import comparison_figures, write_comparison
    write_comparison(comparison, Path("comparison"))       # JSON, frozen tasks, and each figure as .png and .svg
    comparison_figures(comparison)["adaptation"]           # a matplotlib Figure

Every number in them is one of `metarl.evaluation.comparison`. A method has one colour in all figures; the eighth and
further ones are dashed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import scipy.stats
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator

from metarl.errors import UserError
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.scores import performance_profile
from metarl.evaluation.statistics import format_number
from metarl.runs.checkpoint import replace
from metarl.visual.figures import FEW_VALUES, GREY, INK, OKABE_ITO, STYLE, empty, running_mean, save_figure
from metarl.visual.replay import COLUMNS, Replay

PROFILE = 3  # the bootstrap samples of profiles, among those of a comparison
PROFILE_POINTS = 41
PANELS = 6  # parameters shown at most
BINS = 6  # of a parameter's values, for the lines of the failure map
SHADES = ListedColormap(matplotlib.colormaps["cividis"](np.linspace(0.0, 0.9, 256)))  # the rest is too pale


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """All figures that there is something to show in, by name."""
    figures = {
        "adaptation": adaptation_curves(comparison, "episodes"),
        "adaptation-seconds": adaptation_curves(comparison, "seconds"),
        "profiles": profiles(comparison),
        "failure-map": failure_map(comparison),
    }
    if len(_shown_parameters(comparison, FEW_VALUES)) > 1:
        figures["task-map"] = task_map(comparison)
    if any(_remembers(m) for m in comparison.measured):
        figures["within-episodes"] = within_episodes(comparison)
    if any(run.metrics() for m in comparison.measured for run in m.method.runs):
        figures["learning"] = learning_curves(comparison)
    return figures


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """comparison.json, tasks.json and the figures; returns what was written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        documents = {"comparison.json": comparison.to_json(), "tasks.json": comparison.tasks.to_json()}
        for name, document in documents.items():
            replace(folder / name, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
        files = [folder / name for name in documents]
        for name, figure in comparison_figures(comparison).items():
            files += save_figure(figure, folder / name)
    except OSError as error:
        raise UserError(f"--out: {folder} cannot be written: {error.strerror}; choose another folder") from error
    return files


def adaptation_curves(comparison: Comparison, unit: str) -> Figure:
    """Mean return against experience in the task, in "episodes" or "seconds", as the staircase that it is."""
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        lives = [getattr(point, unit) for row in comparison.rows for point in row.curve]
        # a method with a memory has lived no longer than the others' first step takes
        most = max(lives) * 1.12 or 1.0
        for i, row in enumerate(comparison.rows):
            x = [*(getattr(point, unit) for point in row.curve), most]
            values = [point.mean for point in row.curve]
            y, low, high = ([*part, part[-1]] for part in _ends(values))
            axes.fill_between(x, low, high, step="post", color=_colour(i), alpha=0.15, lw=0)
            axes.plot(x, y, drawstyle="steps-post", lw=2, **_line(i))
            axes.plot(x[:-1], y[:-1], "o", ms=5, color=_colour(i), label=_label(row.name, row.seeds))
        _experience_axis(axes, sorted(set(lives)), most, unit)
        axes.set_ylabel("mean return of an episode")
        axes.set_title(f"{_family(comparison)}: return after experience in a new task", loc="left")
        _legend(figure, axes)
    return figure


def profiles(comparison: Comparison) -> Figure:
    """Share of all runs and tasks that end above each return (Agarwal et al. 2021)."""
    everything = np.concatenate([m.final.ravel() for m in comparison.measured])
    thresholds = np.linspace(everything.min(), everything.max(), PROFILE_POINTS)
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        for i, m in enumerate(comparison.measured):
            y, low, high = _ends(comparison.estimate((PROFILE, i), performance_profile(thresholds), m.final))
            axes.fill_between(thresholds, low, high, color=_colour(i), alpha=0.15, lw=0)
            axes.plot(thresholds, y, lw=2, label=m.name, **_line(i))
        axes.axvline(comparison.threshold, color=GREY, lw=1, ls=":")
        axes.annotate("threshold", (comparison.threshold, 1.0), (3, -2), textcoords="offset points", color=GREY,
                      fontsize=9, va="top")  # fmt: skip
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("return after all adaptation")
        axes.set_ylabel("share of runs and tasks above it")
        axes.set_title(f"{_family(comparison)}: performance profiles", loc="left")
        _legend(figure, axes)
    return figure


def failure_map(comparison: Comparison) -> Figure:
    """Return in each task against each parameter, and a cross where adaptation did not help."""
    shown = _shown_parameters(comparison)
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(shown))
        for axes, column in zip(panels, shown, strict=True):
            values = comparison.tasks.values[comparison.known, column]
            parameter = comparison.tasks.space.parameters[column]
            if comparison.split == "extrapolation" and parameter.continuous:
                axes.axvspan(parameter.low, parameter.high, color="#f0f0f0", lw=0, zorder=0)
            for i, m in enumerate(comparison.measured):
                _map_one(axes, values, m, i, len(comparison.measured))
            axes.set_xlabel(_parameter(comparison, column))
        for axes in panels[:: min(3, len(panels))]:
            axes.set_ylabel("return after all adaptation")
        ends = "; grey: training range" if comparison.split == "extrapolation" else ""
        figure.suptitle(
            f"{_family(comparison)}: where adaptation works (cross: it returns no more than before{ends})",
            x=0.01, ha="left", fontsize=13, wrap=True,
        )  # fmt: skip
        _legend(figure, panels[0])
    return figure


def task_map(comparison: Comparison) -> Figure:
    """Return of each method over the two parameters that matter most."""
    first, second = _shown_parameters(comparison, FEW_VALUES)[:2]
    values = comparison.tasks.values[comparison.known]
    finals = [m.final.mean(0) for m in comparison.measured]
    scale = ScalarMappable(Normalize(min(f.min() for f in finals), max(f.max() for f in finals)), SHADES)
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(finals))
        for axes, m, final in zip(panels, comparison.measured, finals, strict=True):
            fails = _fails(m)
            for marker, chosen in (("o", ~fails), ("X", fails)):
                x, y = values[chosen][:, [first, second]].T
                axes.scatter(x, y, 42, scale.to_rgba(final[chosen]), marker=marker)
            axes.set_title(m.name, loc="left", fontsize=11)
            axes.set_xlabel(_parameter(comparison, first))
            axes.set_ylabel(_parameter(comparison, second))
        figure.colorbar(scale, ax=panels, label="return after all adaptation", pad=0.02)
        figure.suptitle(f"{_family(comparison)}: return over the task space (cross: adaptation does not help)",
                        x=0.01, ha="left", fontsize=13)  # fmt: skip
    return figure


def within_episodes(comparison: Comparison) -> Figure:
    """Reward per second within the first and the last episode of a trial, of methods with a memory."""
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        for i, m in enumerate(comparison.measured):
            if not _remembers(m):
                continue
            rates = np.stack([np.nanmean(e.rates[:, comparison.known], axis=1) for e in m.evaluations])  # (R, S + 1, B)
            seconds = comparison.definition["horizon"] * comparison.definition["dt"]
            middles = (np.arange(rates.shape[2]) + 0.5) * seconds / rates.shape[2]
            last = rates.shape[1] - 1
            for episode, width in ((0, 2.4), (last, 1.2)) if last else ((0, 2.4),):
                label = f"{m.name}, episode {episode + 1}"
                axes.plot(middles, rates[:, episode].mean(0), label=label, **_line(i) | {"lw": width, "marker": "."})
        axes.set_xlabel("simulated seconds within the episode")
        axes.set_ylabel("reward per second")
        axes.set_title(f"{_family(comparison)}: adapting within an episode", loc="left")
        _legend(figure, axes)
    return figure


def learning_curves(comparison: Comparison) -> Figure:
    """Return on training tasks, as adapted as in training, against environment steps: each run, and their mean."""
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        for i, m in enumerate(comparison.measured):
            runs = [_learned(run.metrics()) for run in m.method.runs]
            runs = [run for run in runs if run is not None]
            if not runs:
                continue
            for steps, values in runs:
                axes.plot(steps, values, alpha=0.3, **_line(i) | {"lw": 0.8})
            grid = np.linspace(max(s[0] for s, _ in runs), min(s[-1] for s, _ in runs), 200)
            average = np.mean([np.interp(grid, steps, values) for steps, values in runs], axis=0)
            axes.plot(grid, average, label=m.name, **_line(i) | {"lw": 2.2})
        axes.set_xlabel("environment steps of meta-training")
        axes.set_ylabel("mean return on training tasks")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_title(f"{_family(comparison)}: meta-training", loc="left")
        _legend(figure, axes)
    return figure


def before_after(replay: Replay, names: Sequence[str]) -> Figure:
    """Reward so far in the episodes of a replay, before and after adaptation; names (M,) of its tasks."""
    with matplotlib.rc_context(STYLE):
        figure, panels = _panels(len(names))
        sums = np.cumsum(replay.rewards, axis=2)  # (2, M, T)
        seconds = (np.arange(sums.shape[2]) + 1) * replay.dt
        for task, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for column, colour in enumerate(("#566E8C", OKABE_ITO[1])):  # those of the replays
                end = replay.lengths[column, task]
                axes.plot(seconds[:end], sums[column, task, :end], color=colour, lw=2, label=COLUMNS[column])
            axes.set_title(name, loc="left", fontsize=11)
            axes.set_xlabel("simulated seconds")
        panels[0].set_ylabel("reward so far")
        _legend(figure, panels[0])
    return figure


def _map_one(axes, values: np.ndarray, m: Measured, i: int, methods: int) -> None:
    final, fails = m.final.mean(0), _fails(m)
    distinct = np.unique(values)
    if len(distinct) <= FEW_VALUES:  # side by side, or they would hide each other
        gap = 0.6 * (np.diff(distinct).min() if len(distinct) > 1 else 1.0)
        x = values + gap * ((i + 0.5) / methods - 0.5)
        centres = distinct + gap * ((i + 0.5) / methods - 0.5)
        axes.plot(centres, [final[values == v].mean() for v in distinct], "_", ms=18, mew=2.5, color=_colour(i))
        axes.set_xticks(distinct)
    else:
        x = values
        bins = np.array_split(np.argsort(values), min(BINS, len(values)))
        axes.plot([values[b].mean() for b in bins], [final[b].mean() for b in bins], lw=1.8, **_line(i))
    axes.scatter(x[~fails], final[~fails], 14, _colour(i), marker="o", alpha=0.6, label=m.name, lw=0)
    axes.scatter(x[fails], final[fails], 30, _colour(i), marker="x", lw=1.4)


def _fails(m: Measured) -> np.ndarray:
    """(M,) where a method that adapts returns no more after it than before, on average over its runs."""
    return (m.final <= m.returns[:, 0]).all(0) if len(m.lived) > 1 else np.zeros(m.final.shape[1], bool)


def _remembers(m: Measured) -> bool:
    return all(not e.pooled and e.rates is not None for e in m.evaluations)


def _learned(rows: Sequence[dict]) -> tuple[np.ndarray, np.ndarray] | None:
    """(environment steps, smoothed return) of a run; None if it logged no returns."""
    names = sorted((k for k in (rows[0] if rows else ()) if k.startswith("return_")), key=lambda k: int(k[7:]))
    if not names:
        return None
    values = np.array([np.nan if row.get(names[-1]) is None else row[names[-1]] for row in rows], float)
    return np.array([row["env_steps"] for row in rows], float), running_mean(values, max(1, len(rows) // 40))


def _shown_parameters(comparison: Comparison, more_than: int = 1) -> list[int]:
    """Columns of the parameters with so many values, those first that returns depend on most."""
    values = comparison.tasks.values[comparison.known]
    columns = [d for d in range(values.shape[1]) if len(np.unique(values[:, d])) > more_than]

    def strength(d: int) -> float:
        ranks = [abs(scipy.stats.spearmanr(values[:, d], m.final.mean(0)).statistic) for m in comparison.measured
                 if np.ptp(m.final.mean(0)) > 0]  # fmt: skip
        return -max(ranks, default=0.0)

    return sorted(columns, key=strength)[:PANELS] or ([0] if more_than == 1 else [])


def _parameter(comparison: Comparison, column: int) -> str:
    parameter = comparison.tasks.space.parameters[column]
    return parameter.name + (f" ({parameter.unit})" if parameter.unit != "1" else "")


def _experience_axis(axes, points: list[float], most: float, unit: str) -> None:
    smallest = min((x for x in points if x > 0), default=1.0)
    if smallest < max(points) / 10:  # memories count single episodes, gradient steps tens of them
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        kept = [x for i, x in enumerate(points) if not i or x >= 1.5 * points[i - 1]]
    else:
        kept = points[:: max(1, len(points) // 8)]
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_number(x)))
    axes.set_xlim(-0.02 * smallest if smallest < max(points) / 10 else -0.02 * most, most)
    axes.set_xlabel(f"{'simulated ' if unit == 'seconds' else ''}{unit} of experience in the task")


def _ends(estimates) -> tuple[list[float], list[float], list[float]]:
    """Values, and the ends of their intervals (the value itself where there is none)."""
    values = [e.value for e in estimates]
    ends = [e.interval or (e.value, e.value) for e in estimates]
    return values, [low for low, _ in ends], [high for _, high in ends]


def _panels(count: int) -> tuple[Figure, list]:
    columns, rows = min(3, count), -(-count // 3)
    figure = Figure(figsize=(3.1 * columns + 1.4 if count > 1 else 7.6, 3.1 * rows + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for axes in panels:
        axes.grid(axis="y", color="#e4e4e4", lw=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def _legend(figure: Figure, axes) -> None:
    """Below the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = 1 if longest > 45 else 2 if longest > 22 else 3
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)


def _label(name: str, seeds: Sequence[int]) -> str:
    return f"{name} ({len(seeds)} seed{'s' if len(seeds) > 1 else ''})"


def _colour(i: int) -> str:
    return OKABE_ITO[i % len(OKABE_ITO)]


def _line(i: int) -> dict[str, str]:
    return {"color": _colour(i), "ls": "-" if i < len(OKABE_ITO) else "--"}


def _family(comparison: Comparison) -> str:
    return comparison.tasks.space.family
