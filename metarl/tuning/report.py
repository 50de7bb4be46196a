"""How a search is getting on, what it found, and a picture of it.

    with TrialProgress(30, study) as progress:
        progress.finished(trial)                # a line for good
        progress.show({4: 12})                  # strategy 4 has done 12 iterations
    print_trials(folder, study)
    figure = search_figure(study, "HalfCheetahMass")
"""

import json
import math
import time
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from metarl.training.progress import Progress
from metarl.tuning.study import Study, Trial
from metarl.visual.figures import GREY, INK, OKABE_ITO, STYLE

SHOWN = 5  # strategies of the table
MAX_PANELS = 11  # of the figure, for as many settings
_COLUMNS, _PANEL = 4, (3.4, 2.7)  # inches
_STYLE: Any = STYLE | {"font.size": 9}


class TrialProgress(Progress):
    """A line for each strategy that has come to its end and, on a terminal, one for those that have not."""

    def __init__(self, total: int, study: Study):
        self._study = study
        super().__init__(total, self._ended())
        self._text = "first strategy ..."

    def finished(self, trial: Trial) -> None:
        """Say what became of a strategy."""
        self._done = self._ended()
        elapsed = time.monotonic() - self._start
        left = elapsed / max(self._done - self._first, 1) * (self._total - self._done)
        self.say(f"{self._done}/{self._total}  {describe(trial)}  {self._best()}  {left / 60:.1f} min left")

    def show(self, done: dict[int, int]) -> None:
        """What the strategies in progress are at: number to iterations."""
        self._done = self._ended()
        at = ", ".join(f"strategy {number}: iteration {count}" for number, count in sorted(done.items()))
        self._text = f"{self._done}/{self._total} strategies  {self._best()}  {at}"

    def _ended(self) -> int:
        return sum(trial.state != "running" for trial in self._study.trials)

    def _best(self) -> str:
        best = self._study.best
        return f"best {best.value:.4g} (strategy {best.number})" if best else "no best yet"


def describe(trial: Trial) -> str:
    """One strategy in a line: what became of it, and its settings."""
    settings = ", ".join(f"{_name(key)}={_short(value)}" for key, value in trial.settings.items())
    curve = " -> ".join(f"{value:.4g}" for value in trial.curve)
    what = {"failed": f"failed ({trial.error.splitlines()[0] if trial.error else ''})", "complete": f"return {curve}"}
    ended = what.get(trial.state, f"given up at return {curve}")
    return f"strategy {trial.number}: {ended}  [{settings}]"


def print_trials(folder: Path, study: Study) -> None:
    """The best strategies, the config itself, and where everything is."""
    ranked = sorted((t for t in study.trials if t.value is not None), key=lambda t: -cast(float, t.value))
    print(f"\nReturn after adaptation in the validation tasks, the best {min(SHOWN, len(ranked))} of {len(ranked)}:")
    for trial in ranked[:SHOWN]:
        print(f"  {describe(trial)}")
    if study.space.present(study.base) is None:
        print("  the config as it was given lies outside the space, and was not tried")
    elif study.trials[0] not in ranked[:SHOWN]:
        print(f"  the config as it was given: {describe(study.trials[0])}")
    lived = sum(trial.env_steps + trial.adaptation_env_steps for trial in study.trials)
    print(f"{lived:,} environment steps in {sum(trial.seconds for trial in study.trials) / 60:.1f} minutes of work")
    print("the return of the best of many is too good: measure it anew, `metarl evaluate` has tasks nobody has seen")
    print(f"chosen: {folder / 'chosen.yaml'}; all: {folder / 'trials.json'}; picture: {folder / 'search.png'}")


def search_figure(study: Study, family: str) -> Figure:
    """The best return so far against strategies tried; and the return against each setting."""
    dimensions = study.space.dimensions[:MAX_PANELS]
    rows = math.ceil((1 + len(dimensions)) / _COLUMNS)
    columns = min(_COLUMNS, 1 + len(dimensions))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1] + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        _history(panels[0], study)
        for axes, dimension in zip(panels[1:], dimensions):
            _slice(axes, study, dimension)
        for axes in panels[1 + len(dimensions) :]:
            axes.set_visible(False)
        for axes in panels[:: columns]:
            axes.set_ylabel("return after adaptation")
        found = f"{len(study.trials)} strategies, {study.search}"
        figure.suptitle(f"{family}, {study.base.algorithm.name}: {found}", x=0.01, ha="left")
    return figure


def _history(axes: Any, study: Study) -> None:
    tried = [(t.number, t.rungs[-1], t.value is not None) for t in study.trials if t.rungs]
    numbers, values, complete = (np.array(column) for column in zip(*tried))
    axes.scatter(numbers[complete], values[complete], s=16, color=OKABE_ITO[0], label="complete")
    if not complete.all():
        axes.scatter(numbers[~complete], values[~complete], s=16, color=GREY, marker="x", label="given up")
    best = np.maximum.accumulate(np.where(complete, values, -np.inf))
    axes.step(numbers[np.isfinite(best)], best[np.isfinite(best)], where="post", color=INK, lw=1.5, label="best so far")
    axes.scatter([], [], s=40, color=OKABE_ITO[1], label="chosen")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("strategy")
    axes.legend(frameon=False, fontsize=7)


def _slice(axes: Any, study: Study, dimension: Any) -> None:
    """Return against one setting; strategies that have it and were given the whole budget."""
    found = [(t.settings[dimension.key], t.value, t is study.best) for t in study.trials
             if t.value is not None and dimension.key in t.settings]  # fmt: skip
    axes.set_xlabel(_name(dimension.key))
    if dimension.kind == "choice":
        names = [_short(value) for value in dimension.values]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        found = [(dimension.values.index(value), *rest) for value, *rest in found]
    elif dimension.kind.startswith("log"):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    if "int" in dimension.kind:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for x, y, best in sorted(found, key=lambda point: point[2]):  # the best one on top
        axes.scatter([x], [y], s=40 if best else 16, color=OKABE_ITO[1] if best else OKABE_ITO[0])


def _name(key: str) -> str:
    return key.removeprefix("inner.sb3.settings.")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("algorithm") or value.get("name") or json.dumps(value))
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')
