"""From the finished runs of a study to the table, figure and JSON of docs/results/benchmark.md.

    metarl benchmark --family navigation_sparse --seeds 103-105
    python docs/results/benchmark.py navigation_sparse 103-105 [METHOD ...]      # in the same folder: runs/benchmark
    python docs/results/benchmark.py navigation_sparse search                     # what its searches tried

Prints a table of each split as Markdown; instead of a study's name a file, such as that of `metarl benchmark
--minutes`. docs/results/benchmark/STUDY-SPLIT.json is what `metarl benchmark --json` prints, with the methods' names in
the study; STUDY-search.json is each strategy of `metarl benchmark --search`, of the methods that have been searched.
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


def search(name: str) -> None:
    study, methods = load_study(name), {}
    for file in sorted(Path("runs/benchmark", study.name, ".search").glob("*/trials.json")):
        found = json.loads(file.read_text())
        methods[file.parent.name] = {
            "chosen": found["chosen"],
            "strategies": [
                {"settings": t["settings"], "returns": [round(r, 1) for r in t["rungs"]], "state": t["state"]}
                for t in found["trials"]
            ],
        }
    shares = [3.0 ** (i + 1 - study.search_rungs) * study.search_share for i in range(study.search_rungs)]
    document = {
        "command": f"metarl benchmark --family {study.name} --search",
        "about": f"{study.trials} strategies of successive halving, seed 0, each measured in validation tasks after"
        f" {', '.join(f'{share:.3g}' for share in shares)} of the budget, if it came so far; strategy 0 is the config",
        "methods": methods,
    }
    (HERE / f"{study.name}-search.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


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
    search(sys.argv[1]) if sys.argv[2:] == ["search"] else main(*sys.argv[1:])
