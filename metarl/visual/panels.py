"""What the figures of a comparison share: a colour for each method, names at the ends of lines, panels side by side.

    figure, (left, right) = panels_of(2)
    left.plot([0, 1], [0, 1], label="ProMP", **line(0))
    label_ends(left, [(1, 1, "ProMP", colour(0))])
    legend(figure, right)                       # where lines end in one place
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metarl.evaluation.comparison import Comparison
from metarl.visual.figures import GREY, INK, OKABE_ITO, empty

MANY = 5  # methods whose lines can be told apart in one picture
COLUMNS = 3  # panels side by side
PALE = "#cfcfcf"
NAME_WIDTH, NAME_SIZE = 22, 10  # characters of a line of a name, points
LINE_HEIGHT = 1.25 * NAME_SIZE / 72  # inches


def panels_of(count: int) -> tuple[Figure, list]:
    columns, rows = min(COLUMNS, count), -(-count // COLUMNS)
    figure = Figure(figsize=(3.1 * columns + 1.4 if count > 1 else 6.4, 2.6 * rows + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for axes in panels:
        axes.grid(axis="y", color="#e4e4e4", lw=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def empty_or_panels(count: int) -> tuple[Figure, list]:
    """One picture for up to `MANY` methods, a panel for each of more."""
    if count > MANY:
        return panels_of(count)
    figure, axes = empty()
    return figure, [axes]


def share_axes(panels: Sequence[Any], xlabel: str, ylabel: str) -> None:
    """One range of y for all panels, and names of the axes at the left and at the bottom only."""
    low, high = min(axes.get_ylim()[0] for axes in panels), max(axes.get_ylim()[1] for axes in panels)
    columns = min(COLUMNS, len(panels))
    for i, axes in enumerate(panels):
        axes.set_ylim(low, high)
        if i % columns == 0:
            axes.set_ylabel(ylabel, fontsize=9 if len(panels) > 1 else None)
        if i >= len(panels) - columns:
            axes.set_xlabel(xlabel, fontsize=9 if len(panels) > 1 else None)


def legend(figure: Figure, axes) -> None:
    """Below the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = 1 if longest > 45 else 2 if longest > 22 else 3
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=10, labelcolor=INK)


def label_ends(axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names on the right of the axes, each as near to its line's end as its neighbours let it.

    Args:
        ends: x and y of the line's end, its name, its colour.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    names = [textwrap.fill(name, NAME_WIDTH) for _, _, name, _ in ends]
    height = 0.72 * axes.figure.get_figheight()  # of the axes, about, in inches
    rooms = [(name.count("\n") + 1) * LINE_HEIGHT / height for name in names]
    places = apart([(y - low) / (high - low) for _, y, _, _ in ends], rooms)
    for (x, y, _, shade), name, place in zip(ends, names, places, strict=True):
        axes.annotate(
            name, (x, y), (1.04, place), "data", "axes fraction", va="center", color=shade, fontsize=NAME_SIZE,
            annotation_clip=False, arrowprops={"arrowstyle": "-", "color": shade, "lw": 0.8, "relpos": (0, 0.5),
                                               "shrinkA": 2, "shrinkB": 0},
        )  # fmt: skip


def apart(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres as near to those wanted as they can be when things of these sizes must not overlap.

    Neighbours that would overlap become a block about the mean of what they want, and blocks join in turn.
    """
    blocks: list[list[int]] = []

    def middle(block: list[int]) -> float:
        return float(np.mean([wanted[i] for i in block]))

    def size(block: list[int]) -> float:
        return sum(sizes[i] for i in block)

    for i in np.argsort(wanted, kind="stable"):
        blocks.append([int(i)])
        while len(blocks) > 1 and middle(blocks[-1]) - middle(blocks[-2]) < (size(blocks[-1]) + size(blocks[-2])) / 2:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    places = [0.0] * len(wanted)
    for block in blocks:
        at = middle(block) - size(block) / 2
        for i in block:
            places[i] = at + sizes[i] / 2
            at += sizes[i]
    return places


def grey_axis(axis) -> None:
    """A second axis, which says the same in another unit: in grey, without a line."""
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.grid(False)
    axis.tick_params(length=0, labelcolor=GREY)
    axis.xaxis.label.set_color(GREY)


def colour(i: int) -> str:
    return OKABE_ITO[i % len(OKABE_ITO)]


def line(i: int, **more: Any) -> dict[str, Any]:
    return {"color": colour(i), "ls": "-" if i < len(OKABE_ITO) else "--"} | more


def family(comparison: Comparison) -> str:
    return comparison.tasks.space.family
