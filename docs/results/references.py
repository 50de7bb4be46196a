"""From runs of RL² and its references (without memory; told the task) to table, JSON and figure of docs/rl2_results.md.

    python docs/results/references.py RUNS...      # run folders, any number of seeds of each config of each family

Mean actions in two sets of tasks: the faults that were trained on, where docs/results/rl2/FAMILY-tasks.json lists
them, and the held-out tasks. docs/results/rl2/FAMILY-SET.json, what `metarl compare --json` prints, has the returns of
each run in each task; commands.json the command and all settings of each method.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
from comparison import markdown, say
from families import minutes

from metarl.config import Config, config_names, flat, load_config
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.methods import Method
from metarl.evaluation.statistics import format_interval
from metarl.runs.run import open_run
from metarl.visual.comparison import reward_within_episode
from metarl.visual.figures import STYLE, empty, save_figure
from metarl.visual.panels import legend, line

HERE = Path(__file__).parent / "rl2"
BASELINE = "RL² without memory"
COLUMNS = ("family, tasks", "method", "seeds", "first episode", "second", "beats the one without memory",
           "steps of training", "minutes")  # fmt: skip


def settings(config: Config) -> dict:
    return config.model_dump(mode="json", exclude={"seed", "wandb", "evaluation"})


def command(method: Method) -> str:
    """The shortest that makes its runs, of a shipped config of its family."""
    ours, found = flat(settings(method.config)), []
    for name in config_names():
        shipped = load_config(name)
        if shipped.env.family == method.config.env.family and shipped.algorithm.name == method.config.algorithm.name:
            theirs = flat(settings(shipped))
            changes = [f"{k}={json.dumps(v).replace(' ', '')}" for k, v in ours.items() if theirs[k] != v]
            found.append(f"metarl train {name} seed=SEED {' '.join(sorted(changes, reverse=True))}".strip())
    return min(found, key=len) + "; metarl compare RUNS --mean-actions"


def rows(what: str, comparison: Comparison) -> list[list[str]]:
    lines = []
    for m in comparison.measured:
        row, wall = comparison[m.name], [minutes(run.path) for run in m.method.runs]
        curve = [format_interval(p.mean.value, p.mean.interval) for p in row.curve[:2]]
        beats = row.improvement and f"{100 * row.improvement.value:.0f} %"
        lines.append([what, m.name, len(row.seeds), *curve, beats or "", f"{m.training_steps / 1e6:.1f} M",
                      f"{min(wall):.0f} to {max(wall):.0f}"])  # fmt: skip
        what = ""
    return lines


def figure(comparisons: list[Comparison]):
    """Reward within the first episode, a family a panel."""
    with matplotlib.rc_context(STYLE):
        page, axes = empty()
        axes.remove()
        page.set_size_inches(4.4 * len(comparisons), 3.6)
        for i, comparison in enumerate(comparisons):
            axes = page.add_subplot(1, len(comparisons), i + 1)
            for k, m in enumerate(sorted(comparison.measured, key=_order)):
                seconds, rates = reward_within_episode(comparison, m)
                axes.plot(seconds, rates[:, 0].mean(0), label=m.name, **line(k) | {"lw": 2, "marker": ""})
            axes.set_title(comparison.tasks.space.family, loc="left")
            axes.set_xlabel("simulated seconds within the first episode")
            if i == 0:
                axes.set_ylabel("reward per second")
                legend(page, axes)
    return page


def _order(m: Measured) -> tuple[bool, bool]:
    return m.method.oracle, m.name == BASELINE


def main(folders: list[Path]) -> None:
    families = defaultdict(list)
    for folder in folders:
        families[open_run(folder).config.env.family].append(folder)
    lines, commands, first = [], [], []
    for family, runs in families.items():
        listed = HERE / f"{family}-tasks.json"
        sets = {"trained": str(listed)} if listed.exists() else {}
        for i, (name, tasks) in enumerate((sets | {"held_out": "held_out"}).items()):
            comparison = compare_runs(runs, tasks, baseline=BASELINE, deterministic=True, say=say)
            document = comparison.to_json() | {"split": name}
            (HERE / f"{family}-{name}.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
            lines += rows(f"{family}, {name.replace('_', '-')}", comparison)
            if i == 0:
                first.append(comparison)
        for m in comparison.measured:
            commands.append({"method": m.name, "command": command(m.method), "config": settings(m.method.config)})
    text = json.dumps(commands, indent=1, ensure_ascii=False)
    (HERE / "commands.json").write_text(text + "\n", encoding="utf-8")
    save_figure(figure(first), HERE / "references")
    (HERE / "references.svg").unlink()
    print(markdown(COLUMNS, lines))


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
