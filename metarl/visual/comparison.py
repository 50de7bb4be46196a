"""Figures of a comparison: how fast methods adapt, how reliably, where it fails, and how they learned.

    from metarl.visual.comparison import comparison_figures, write_comparison
    write_comparison(comparison, Path("comparison"))       # JSON, frozen tasks, and each figure as .png and .svg
    comparison_figures(comparison)["adaptation"]           # a matplotlib Figure

Every number in them is one of `metarl.evaluation.comparison`. A method has one colour in all figures; the eighth and
further ones are dashed. Lines carry their names at their ends where there is room, so that no legend must be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.statistics import performance_profile
from metarl.util.errors import UserError
from metarl.util.files import replace
from metarl.visual.adaptation import adaptation_curves
from metarl.visual.figures import FEW_VALUES, GREY, STYLE, empty, middles, running_mean, save_figure, within_episode
from metarl.visual.panels import PALE, colour, empty_or_panels, family, label_ends, legend, line, panels_of, share_axes
from metarl.visual.replay import COLOURS, COLUMNS, Replay
from metarl.visual.task_maps import failure_map, shown_parameters, task_map

PROFILE = 3  # the bootstrap samples of profiles, among those of a comparison
PROFILE_POINTS = 41
ABOUT_TASKS = ("adaptation", "profiles", "failure-map", "task-map", "within-episodes")
ABOUT_RUNS = ("learning",)  # the same for all sets of tasks


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """Those of `ABOUT_TASKS` and `ABOUT_RUNS` that there is something to show in, by name."""
    figures = {
        "adaptation": adaptation_curves(comparison),
        "profiles": profiles(comparison),
        "failure-map": failure_map(comparison),
    }
    if len(shown_parameters(comparison, FEW_VALUES)) > 1:
        figures["task-map"] = task_map(comparison)
    if any(_remembers(m) for m in comparison.measured):
        figures["within-episodes"] = within_episodes(comparison)
    if any(run.metrics() for m in comparison.measured for run in m.runs):
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


def profiles(comparison: Comparison) -> Figure:
    """Share of all runs and tasks that end above each return (Agarwal et al. 2021)."""
    everything = np.concatenate([m.final.ravel() for m in comparison.measured])
    thresholds = np.linspace(everything.min(), everything.max(), PROFILE_POINTS)
    shares = [
        _ends(comparison.estimates((PROFILE, i), performance_profile(thresholds), m.final))
        for i, m in enumerate(comparison.measured)
    ]
    with matplotlib.rc_context(STYLE):
        figure, panels = empty_or_panels(len(shares))
        for i, (m, (y, low, high)) in enumerate(zip(comparison.measured, shares, strict=True)):
            axes = panels[i % len(panels)]
            if len(panels) > 1:
                axes.plot(thresholds, np.transpose([other for other, _, _ in shares]), lw=1, color=PALE, zorder=1)
                axes.set_title(m.name, loc="left", fontsize=11, color=colour(i), wrap=True)
            axes.fill_between(thresholds, low, high, color=colour(i), alpha=0.15, lw=0)
            axes.plot(thresholds, y, label=m.name, **line(i, lw=2))
        for axes in panels:
            axes.axvline(comparison.threshold, color=GREY, lw=1, ls=":")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
            axes.set_ylim(-0.02, 1.02)
        panels[0].annotate("solved", (comparison.threshold, 1.0), (3, -2), textcoords="offset points", color=GREY,
                           fontsize=10, va="top")  # fmt: skip
        share_axes(panels, "return after all adaptation", "share of runs and tasks above it")
        figure.suptitle(f"{family(comparison)}: performance profiles", x=0.01, ha="left", fontsize=13)
        if len(panels) == 1:
            legend(figure, panels[0])
    return figure


def within_episodes(comparison: Comparison) -> Figure:
    """Reward per second within the first and the last episode of a trial, of methods with a memory."""
    with matplotlib.rc_context(STYLE):
        figure, axes = within_episode(f"{family(comparison)}: adapting within an episode")
        ends = []
        for i, m in enumerate(comparison.measured):
            if not _remembers(m):
                continue
            seconds, rates = reward_within_episode(comparison, m)
            last = rates.shape[1] - 1
            if last:
                axes.plot(seconds, rates[:, 0].mean(0), **line(i, lw=0.9))
            axes.plot(seconds, rates[:, last].mean(0), **line(i, lw=2.2, marker="."))
            ends.append((seconds[-1], rates[:, last, -1].mean(), f"{m.name}, episode {last + 1}", colour(i)))
        label_ends(axes, ends)
    return figure


def reward_within_episode(comparison: Comparison, m: Measured) -> tuple[np.ndarray, np.ndarray]:
    """(B,) seconds, the middles of equal parts of the horizon, and (R, S + 1, B) reward per second in them."""
    rates = np.stack([np.nanmean(e.rates[:, comparison.known], axis=1) for e in m.evaluations if e.rates is not None])
    seconds = comparison.definition["horizon"] * comparison.definition["dt"]
    return middles(rates.shape[2], seconds), rates


def learning_curves(comparison: Comparison) -> Figure:
    """Return on training tasks, as adapted as in training, against environment steps: each run, and their mean."""
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        ends = []
        for i, m in enumerate(comparison.measured):
            runs = [_learned(run.metrics()) for run in m.runs]
            runs = [run for run in runs if run is not None]
            if not runs:
                continue
            for steps, values in runs:
                axes.plot(steps, values, alpha=0.3, **line(i, lw=0.8))
            grid = np.linspace(max(s[0] for s, _ in runs), min(s[-1] for s, _ in runs), 200)
            average = np.mean([np.interp(grid, steps, values) for steps, values in runs], axis=0)
            axes.plot(grid, average, **line(i, lw=2.2))
            ends.append((grid[-1], average[-1], m.name, colour(i)))
        axes.set_xlabel("environment steps of meta-training")
        axes.set_ylabel("mean return on training tasks")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_title(f"{family(comparison)}: meta-training", loc="left")
        label_ends(axes, ends)
    return figure


def before_after(replay: Replay, names: Sequence[str]) -> Figure:
    """Reward so far in the episodes of a replay, before and after adaptation; names (M,) of its tasks."""
    with matplotlib.rc_context(STYLE):
        figure, panels = panels_of(len(names))
        sums = np.cumsum(replay.rewards, axis=2)  # (2, M, T)
        seconds = (np.arange(sums.shape[2]) + 1) * replay.dt
        for task, (axes, name) in enumerate(zip(panels, names, strict=True)):
            for column, shade in enumerate(COLOURS):
                end = replay.lengths[column, task]
                style = {"color": np.array(shade) / 255, "lw": 2, "label": COLUMNS[column]}
                axes.plot(seconds[:end], sums[column, task, :end], **style)
            axes.set_title(name, loc="left", fontsize=11)
            axes.set_xlabel("seconds of the robot's time")
        panels[0].set_ylabel("reward so far")
        legend(figure, panels[0])
    return figure


def _remembers(m: Measured) -> bool:
    return all(not e.pooled and e.rates is not None for e in m.evaluations)


def _learned(rows: Sequence[dict]) -> tuple[np.ndarray, np.ndarray] | None:
    """(environment steps, smoothed return) of a run; None if it logged no returns."""
    names = sorted((k for k in (rows[0] if rows else ()) if k.startswith("return_")), key=lambda k: int(k[7:]))
    if not names:
        return None
    values = np.array([np.nan if row.get(names[-1]) is None else row[names[-1]] for row in rows], float)
    return np.array([row["env_steps"] for row in rows], float), running_mean(values, max(1, len(rows) // 40))


def _ends(estimates) -> tuple[list[float], list[float], list[float]]:
    """Values, and the ends of their intervals (the value itself where there is none)."""
    values = [e.value for e in estimates]
    return values, [e.ends[0] for e in estimates], [e.ends[1] for e in estimates]
