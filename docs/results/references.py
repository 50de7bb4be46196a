"""From runs of RL² with this or that memory and its references (none; the oracle) to tables, JSON and figures of
docs/results/rl2.md.

    python docs/results/references.py RUNS...      # run folders, any number of seeds of each config of each family

Mean actions in the held-out tasks, and in those that docs/results/rl2/FAMILY-SET-tasks.json lists where there is one:
trained, like the tasks of training; sound, without a fault. docs/results/rl2/FAMILY-SET.json, what `metarl compare
--json` prints, has the returns of each run in each task; FAMILY-commands.json the command and all settings of each
method; FAMILY.png the reward within the first episode. Families that no run is of keep what they have.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
from comparison import markdown, say

from metarl.algorithms.restore import load_adapter
from metarl.config import Config, config_names, flat, load_config
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.methods import Method
from metarl.evaluation.tables import minutes
from metarl.runs.run import open_run
from metarl.visual.comparison import reward_within_episode
from metarl.visual.figures import STYLE, empty, save_figure
from metarl.visual.panels import legend, line

HERE = Path(__file__).parent / "rl2"
BASELINE = "RL² without memory"
LISTED = ("trained", "sound")


def settings(config: Config) -> dict:
    return config.model_dump(mode="json", exclude={"seed", "wandb", "evaluation"})


def command(method: Method) -> str:
    """The shortest that makes its runs, of a shipped config of its family."""
    ours, found = flat(settings(method.config)), []
    for name in config_names():
        shipped = load_config(name)
        if shipped.env.family == method.config.env.family and shipped.algorithm.name == method.config.algorithm.name:
            theirs = flat(settings(shipped))
            changes = [f"{k}={json.dumps(v).replace(' ', '')}" for k, v in ours.items() if theirs.get(k) != v]
            found.append(f"metarl train {name} seed=SEED {' '.join(sorted(changes, reverse=True))}".strip())
    return min(found, key=len) + "; metarl compare RUNS --mean-actions"


def columns(episodes: int) -> list[str]:
    return ["family, tasks", "method", "weights", "seeds", *(f"episode {e + 1}" for e in range(episodes)),
            "P(better than without memory), %", "steps of training", "minutes"]  # fmt: skip


def rows(what: str, comparison: Comparison, episodes: int) -> list[list[str]]:
    lines = []
    for m in sorted(comparison.measured, key=_order):
        row = comparison[m.name]
        curve = [str(point.mean) for point in row.curve]
        curve += [""] * (episodes - len(curve))
        weights = sum(value.numel() for value in load_adapter(m.method.runs[0]).params.values())
        better = row.improvement and str(row.improvement.times(100))
        lines.append([what, m.name, f"{weights:,}", len(row.seeds), *curve, better or "",
                      f"{m.training_steps / 1e6:.1f} M", minutes(m)])  # fmt: skip
        what = ""
    return lines


def figure(comparison: Comparison):
    """Reward within the first episode."""
    with matplotlib.rc_context(STYLE):
        page, axes = empty()
        for k, m in enumerate(sorted(comparison.measured, key=_order)):
            seconds, rates = reward_within_episode(comparison, m)
            axes.plot(seconds, rates[:, 0].mean(0), label=m.name, **line(k) | {"lw": 2, "marker": ""})
        axes.set_title(comparison.tasks.space.family, loc="left")
        axes.set_xlabel("simulated seconds within the first episode")
        axes.set_ylabel("reward per second")
        legend(page, axes)
    return page


def _order(m: Measured) -> tuple[bool, bool]:
    return m.method.oracle, m.name == BASELINE


def main(folders: list[Path]) -> None:
    families, episodes, lines = defaultdict(list), 0, []
    for folder in folders:
        config = open_run(folder).config
        families[config.env.family].append(folder)
        episodes = max(episodes, config.algorithm.trial_episodes)
    for family, runs in families.items():
        listed = {name: HERE / f"{family}-{name}-tasks.json" for name in LISTED}
        sets = {name: str(file) for name, file in listed.items() if file.exists()} | {"held_out": "held_out"}
        comparisons = {
            name: compare_runs(runs, tasks, baseline=BASELINE, deterministic=True, say=say)
            for name, tasks in sets.items()
        }
        for name, comparison in comparisons.items():
            write(f"{family}-{name}.json", comparison.to_json() | {"split": name}, indent=None)
            lines += rows(f"{family}, {name.replace('_', '-')}", comparison, episodes)
        first = next(iter(comparisons.values()))
        methods = [m.method for m in first.measured]
        write(f"{family}-commands.json", [
            {"method": method.name, "command": command(method), "config": settings(method.config)}
            for method in methods
        ], indent=1)  # fmt: skip
        _, svg = save_figure(figure(first), HERE / family)
        svg.unlink()
    print(markdown(columns(episodes), lines))


def write(name: str, content: object, indent: int | None) -> None:
    (HERE / name).write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
