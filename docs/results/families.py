"""From the runs of several families to the table, the figure and the JSON of docs/results/families.md.

    python docs/results/families.py RUNS...    # run folders, any number of seeds of each config

Every family is measured in its held-out tasks and, where it has them, in tasks of extrapolation, which `metarl compare`
does: intervals are over runs and tasks. The JSON of each comparison (docs/results/families/) holds all episodes.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib

from metarl.envs import make_family
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.comparison import Comparison
from metarl.runs.run import open_run
from metarl.visual.figures import OKABE_ITO, STYLE, empty, save_figure

HERE = Path(__file__).parent
WORDS = {"held_out": "held-out tasks", "extrapolation": "tasks outside the training range"}


def splits(folder: Path) -> list[str]:
    """Those of a run's family that were not trained on."""
    env = open_run(folder).config.env
    parameters = make_family(env.family, **env.options).space.parameters
    return ["held_out"] + ["extrapolation"] * any(p.extrapolation for p in parameters)


def measured(folders: list[Path]) -> dict[str, Comparison]:
    """Comparisons of the seeds of one config, by split."""
    return {split: compare_runs(folders, split, say=print) for split in splits(folders[0])}


def row(folders: list[Path], comparison: Comparison, split: str) -> str:
    runs = [open_run(folder) for folder in folders]
    method = comparison.rows[0]
    cells = [str(point.mean) for point in method.curve]
    steps = sum(run.metrics()[-1]["env_steps"] for run in runs) / len(runs) / 1e6
    wall = [run.minutes for run in runs]
    name = comparison.tasks.space.family if split == "held_out" else ""
    about = f"{len(runs)} | {steps:.1f} M, {min(wall):.0f} to {max(wall):.0f} min" if name else " | "
    return f"| {name} | {about} | {WORDS[split]} | {' | '.join(cells)} | {method.gain} |"


def figure(all_comparisons: dict):
    with matplotlib.rc_context(STYLE):
        page, axes = empty()
        axes.remove()
        page.set_size_inches(4.2 * 3, 3.4 * 2)
        for i, (family, comparisons) in enumerate(all_comparisons.items()):
            axes = page.add_subplot(2, 3, i + 1)
            for colour, (split, comparison) in zip(OKABE_ITO, comparisons.items()):
                curve = comparison.rows[0].curve
                x = [point.episodes for point in curve]
                low, high = zip(*(point.mean.ends for point in curve))
                axes.plot(x, [point.mean.value for point in curve], "o-", color=colour, label=WORDS[split])
                axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
            axes.set_title(family, loc="left")
            axes.set_xticks(x)
            axes.set_xlabel("episodes in the task before")
            axes.set_ylabel("return of an episode")
        handles = dict(zip(*reversed(page.axes[0].get_legend_handles_labels())))
        for other in page.axes:
            handles |= dict(zip(*reversed(other.get_legend_handles_labels())))
        page.legend(handles.values(), handles.keys(), loc="lower right", frameon=False)
    return page


def main(folders: list[Path]) -> None:
    groups = defaultdict(list)
    for folder in folders:
        groups[open_run(folder).config.env.family].append(folder)
    results, lines = {}, []
    (HERE / "families").mkdir(exist_ok=True)
    for family, runs in groups.items():
        results[family] = measured(sorted(runs))
        for split, comparison in results[family].items():
            text = json.dumps(comparison.to_json()) + "\n"
            (HERE / "families" / f"{family}-{split}.json").write_text(text, encoding="utf-8")
            lines.append(row(runs, comparison, split))
    save_figure(figure(results), HERE / "families")
    (HERE / "families.svg").unlink()
    print("\n".join(lines))


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
