"""What the figures of a comparison share: one colour for each method, legends below, several panels side by side.

    figure, (left, right) = panels_of(2)
    left.plot([0, 1], [0, 1], label="ProMP", **line(0))
    legend(figure, left)
"""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metarl.evaluation.comparison import Comparison
from metarl.visual.figures import INK, OKABE_ITO


def panels_of(count: int) -> tuple[Figure, list]:
    columns, rows = min(3, count), -(-count // 3)
    figure = Figure(figsize=(3.1 * columns + 1.4 if count > 1 else 7.6, 3.1 * rows + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for axes in panels:
        axes.grid(axis="y", color="#e4e4e4", lw=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def legend(figure: Figure, axes) -> None:
    """Below the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = 1 if longest > 45 else 2 if longest > 22 else 3
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)


def colour(i: int) -> str:
    return OKABE_ITO[i % len(OKABE_ITO)]


def line(i: int, **more: Any) -> dict[str, Any]:
    return {"color": colour(i), "ls": "-" if i < len(OKABE_ITO) else "--"} | more


def family(comparison: Comparison) -> str:
    return comparison.tasks.space.family
