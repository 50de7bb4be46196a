"""From the finished runs of a study to the table, figure and JSON of docs/results/benchmark.md.

    metarl benchmark --family navigation_sparse --seeds 100-102
    python docs/results/benchmark.py navigation_sparse 100-102 [METHOD ...]      # in the same folder: runs/benchmark

Prints a table of each split as Markdown; instead of a study's name a file, such as that of `metarl benchmark
--minutes`. docs/results/benchmark/STUDY-SPLIT.json is what `metarl benchmark --json` prints, with the methods' names in
the study.
"""

import json
import re
import sys
from pathlib import Path

from comparison import markdown, say

from metarl.benchmark import load_study, run_study
from metarl.evaluation.comparison import Comparison, Measured
from metarl.evaluation.tables import minutes
from metarl.visual.adaptation import adaptation_curves
from metarl.visual.figures import save_figure

HERE = Path(__file__).parent / "benchmark"
COLUMNS = ("method", "seeds", "first episode", "after", "is", "IQM", "worst 5 %", "P(better than `no_memory`), %",
           "steps of training", "minutes")  # fmt: skip


def row(comparison: Comparison, m: Measured) -> list[str]:
    found = comparison[m.name]
    first, last = found.curve[0], found.curve[-1]
    better = found.improvement and str(found.improvement.times(100))
    after = ["", ""]
    if len(found.curve) > 1:
        after = [f"{last.episodes} episode{'s' * (last.episodes > 1)}", str(last.mean)]
    return [
        f"`{key(m)}`", str(len(found.seeds)), str(first.mean), *after, str(last.iqm), f"{last.cvar.value:.3g}",
        better or "", f"{m.training_steps / 1e6:.1f} M", minutes(m),
    ]  # fmt: skip


def key(m: Measured) -> str:
    """The method's name in the study."""
    return re.sub(r"(-fold_\d+)?-seed_\d+$", "", m.method.runs[0].path.name)


def main(name: str, seeds: str | None = None, *methods: str) -> None:
    HERE.mkdir(exist_ok=True)
    study = load_study(name).with_methods(methods)
    for split, comparison in run_study(study, Path("runs/benchmark"), seeds=seeds, say=say).items():
        document = comparison.to_json()
        for method, m in zip(document["methods"], comparison.measured, strict=True):
            method["study"] = key(m)
        (HERE / f"{study.name}-{split}.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
        save_figure(adaptation_curves(comparison), HERE / f"{study.name}-{split}")
        (HERE / f"{study.name}-{split}.svg").unlink()
        print(f"### {split}\n\n{markdown(COLUMNS, [row(comparison, m) for m in comparison.measured])}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
