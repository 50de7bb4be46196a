"""Figures of a run: how fast it adapts, and how it learned to.

    save_figure(adaptation_figure(evaluation), Path("figures/adaptation"))       # .png and .svg
    save_figure(learning_figure(rows, family), Path("figures/learning"))         # rows of metrics.jsonl

Colours are those of Okabe and Ito, and cividis where a scale is needed: the colour-blind can tell them apart. Nothing
here touches matplotlib's global state, so that a user's own figures are not disturbed.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, MaxNLocator

from metarl.evaluation.result import Evaluation, Step
from metarl.evaluation.statistics import format_number
from metarl.util.files import replace

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, GREY = "#222222", "#8a8a8a"
TITLE_WIDTH = 68
FEW_VALUES = 5
"""A parameter with at most so many values among the tasks gets a legend, one with more a colour bar."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "svg.hashsalt": "metarl",  # the same figure gives the same file
}


def adaptation_figure(evaluation: Evaluation, iterations: int | None = None) -> Figure:
    """Return against adaptation steps: mean over tasks with its interval, and a faint line for each task.

    The title says what is unusual: mean actions, averaged checkpoints, and fewer than `iterations` of training.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        steps = np.arange(evaluation.steps + 1)
        _task_lines(figure, axes, evaluation, steps)
        _mean_line(axes, evaluation, [row for row in evaluation.curve if row.mean])
        axes.set_xlabel("adaptation steps" if evaluation.pooled else "episodes in the task before")
        axes.set_ylabel("return of an episode")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(-0.15, max(evaluation.steps, 1) + 0.15)
        title = f"{evaluation.tasks.space.family}: return after adapting to {evaluation.where}"
        title += _unusual(evaluation, iterations)
        axes.set_title(textwrap.fill(title, TITLE_WIDTH), loc="left")
        top = axes.secondary_xaxis("top")
        if evaluation.pooled:
            top.set_xticks(steps, [f"{p.episodes} ep, {format_number(p.seconds)} s" for p in evaluation.curve])
            top.set_xlabel("experience in each task so far: episodes, simulated seconds", labelpad=6)
        else:
            top.set_xticks(steps, [f"{format_number(p.seconds)} s" for p in evaluation.curve])
            top.set_xlabel("experience in the task so far: simulated seconds", labelpad=6)
        top.spines["top"].set_visible(False)
        top.tick_params(length=0, labelcolor=GREY)
        top.xaxis.label.set_color(GREY)
        axes.legend(frameon=False, loc="best")
    return figure


def _unusual(evaluation: Evaluation, iterations: int | None) -> str:
    checkpoint = evaluation.origin.get("checkpoint") or {}
    parts = ["mean actions"] * evaluation.deterministic
    if averaged := checkpoint.get("averaged"):
        parts.append(f"mean of {len(averaged)} checkpoints")
    if iterations and checkpoint.get("iteration", iterations) < iterations:
        parts.append(f"iteration {checkpoint['iteration']} of {iterations}")
    return "".join(f", {part}" for part in parts)


def _mean_line(axes, evaluation: Evaluation, rows: Sequence[Step]) -> None:
    mean = np.array([row.mean.value for row in rows if row.mean])
    low, high = np.array([row.mean.ends for row in rows if row.mean]).reshape(-1, 2).T
    label = f"mean, {100 * evaluation.confidence:g} % interval over tasks"
    if any(row.note for row in rows):
        label = f"mean ({rows[0].note})"
    style = {"color": INK, "lw": 2.2, "marker": "o", "ms": 6, "capsize": 5, "capthick": 2, "zorder": 5}
    axes.errorbar([row.step for row in rows], mean, [mean - low, high - mean], label=label, **style)


def _task_lines(figure: Figure, axes, evaluation: Evaluation, steps: np.ndarray) -> None:
    """A line for each task, coloured by its first parameter."""
    parameter = evaluation.tasks.space.parameters[0]
    values = evaluation.tasks.values[:, 0]
    distinct = np.unique(values)
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    sign = "+" if distinct[0] < 0 else ""
    style = {"lw": 1.0, "alpha": 0.55, "zorder": 2, "marker": "." if len(steps) == 1 else ""}
    if len(distinct) <= FEW_VALUES:
        colours = {value: OKABE_ITO[i % len(OKABE_ITO)] for i, value in enumerate(distinct)}
        for value, scores in zip(values, evaluation.per_task.T, strict=True):
            axes.plot(steps, scores, color=colours[value], **style)
        for value in distinct:
            count = int((values == value).sum())
            of = "a task" if count == 1 else f"{count} tasks"
            axes.plot([], [], color=colours[value], lw=2, label=f"{of} with {parameter.name} = {value:{sign}.3g}{unit}")
        return
    shades = ListedColormap(matplotlib.colormaps["cividis"](np.linspace(0.0, 0.85, 256)))  # the rest is too pale
    scale = ScalarMappable(Normalize(distinct[0], distinct[-1]), shades)
    for value, scores in zip(values, evaluation.per_task.T, strict=True):
        axes.plot(steps, scores, color=scale.to_rgba(value), **style)
    label = f"one line a task, by its {parameter.name}" + (f" ({unit.strip()})" if unit else "")
    figure.colorbar(scale, ax=axes, label=label, pad=0.02)


def learning_figure(rows: Sequence[dict[str, Any]], family: str, unit: str = "step") -> Figure:
    """Mean return on training tasks against environment steps, a line for each number of inner steps or episodes.

    Args:
        rows: of metrics.jsonl, each with "env_steps" (the sum so far), "return_0", "return_1", ...
        family: name for the title.
        unit: of adaptation, "step" or "episode".
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = empty()
        names = sorted((k for k in rows[0] if k.startswith("return_")), key=lambda name: int(name.split("_")[1]))
        steps = [row["env_steps"] for row in rows]
        window = max(1, len(rows) // 40)
        for i, name in enumerate(names):
            colour = GREY if i == 0 else OKABE_ITO[(i - 1) % len(OKABE_ITO)]
            values = np.array([_number(row.get(name)) for row in rows])
            label = "before adaptation" if i == 0 else f"after {i} {unit}{'s' if i > 1 else ''}"
            if window > 1:
                axes.plot(steps, values, color=colour, lw=0.8, alpha=0.35)
            axes.plot(steps, running_mean(values, window), color=colour, lw=2.2, label=label)
        axes.set_xlabel("environment steps" + (f" (line: mean of {window} iterations)" if window > 1 else ""))
        axes.set_ylabel("mean return on training tasks")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set_title(f"{family}: meta-training, {len(rows)} iterations", loc="left")
        axes.legend(frameon=False, loc="best")
    return figure


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of each value and those before it, `window` in all (fewer at the start); NaN is left out."""
    return np.array([_mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))])


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png and `stem`.svg."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = []
    for kind, metadata in (("png", None), ("svg", {"Date": None})):
        content = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
        files.append(stem.with_name(f"{stem.name}.{kind}"))
        replace(files[-1], content.getvalue())
    return files


def empty():
    figure = Figure(figsize=(6.8, 4.4), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(axis="y", color="#e4e4e4", lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def within_episode(title: str):
    """A figure and its axes for reward per second within an episode."""
    figure, axes = empty()
    axes.set_xlabel("simulated seconds within the episode")
    axes.set_ylabel("reward per second")
    axes.set_title(title, loc="left")
    return figure, axes


def middles(parts: int, seconds: float) -> np.ndarray:
    """(B,) seconds, the middles of equal parts of an episode, as of `Evaluation.rates`."""
    return (np.arange(parts) + 0.5) * seconds / parts


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
