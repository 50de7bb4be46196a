"""The figure of a card: return against adaptation steps, or, of a policy with a memory, reward against seconds.

    save_adaptation(evaluation, Path("zoo/half_cheetah_dir/adaptation.png"))       # below 60 kB
"""

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metarl.evaluation.result import Evaluation
from metarl.util.files import replace
from metarl.visual.figures import INK, OKABE_ITO, STYLE, adaptation_figure, middles, within_episode

DPI = 72


def save_adaptation(evaluation: Evaluation, path: Path) -> None:
    """Write the figure as PNG."""
    remembers = not evaluation.pooled and evaluation.rates is not None
    figure = within_episodes(evaluation) if remembers else adaptation_figure(evaluation)
    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(content, format="png", dpi=DPI)
    replace(path, content.getvalue())


def within_episodes(evaluation: Evaluation) -> Figure:
    """Reward per second within each episode of a trial: mean over tasks, and the band of the middle 80 % of them."""
    rates = evaluation.rates
    assert rates is not None
    horizon = evaluation.env.horizon or evaluation.env.load_family().horizon
    seconds = middles(rates.shape[2], horizon * evaluation.dt)
    title = f"{evaluation.tasks.space.family}: {evaluation.where}\nmean, and the middle 80 % of the tasks"
    with matplotlib.rc_context(STYLE):
        figure, axes = within_episode(title)
        for i, of_tasks in enumerate(rates):
            color = INK if i == 0 else OKABE_ITO[(i - 1) % len(OKABE_ITO)]
            low, high = np.nanquantile(of_tasks, [0.1, 0.9], axis=0)
            axes.fill_between(seconds, low, high, color=color, alpha=0.15, lw=0)
            axes.plot(seconds, np.nanmean(of_tasks, axis=0), color=color, lw=2.2, marker=".", label=f"episode {i + 1}")
        axes.legend(frameon=False, loc="best")
    return figure
