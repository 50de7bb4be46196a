"""From the runs of several methods in one environment to the tables, figures and JSON of docs/results/comparison.md.

    python docs/results/comparison.py NAME RUNS...      # run folders, any number of seeds of each method

Prints the two tables of each split as Markdown, and how each method begins and ends. Everything in them is computed by
`metarl compare` from the returns of single episodes, which stay in the run folders; docs/results/comparison/
NAME-SPLIT.json, what its --json prints, has the returns of each run in each task.
"""

import json
import sys
from pathlib import Path

from families import WORDS, splits

from metarl.evaluation.compare import compare_runs
from metarl.evaluation.tables import SUMMARY, curve_cells, curve_columns, minutes, sentences, summary_cells
from metarl.visual.adaptation import adaptation_curves
from metarl.visual.figures import save_figure
from metarl.visual.task_maps import failure_map

HERE = Path(__file__).parent / "comparison"


def markdown(columns, rows) -> str:
    heads = [column.replace("\n", " ") for column in columns]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heads, ["---"] * len(heads), *rows))


def say(line: str) -> None:
    print(line, file=sys.stderr)


def main(name: str, folders: list[Path]) -> None:
    HERE.mkdir(exist_ok=True)
    ends = {}
    for split in splits(folders[0]):
        comparison = compare_runs(folders, split, baseline="domain-randomized", say=say)
        (HERE / f"{name}-{split}.json").write_text(json.dumps(comparison.to_json()) + "\n", encoding="utf-8")
        figures = {"adaptation": adaptation_curves(comparison)}
        if len(set(comparison.tasks.digests)) > 1:
            figures["map"] = failure_map(comparison)
        for kind, figure in figures.items():
            save_figure(figure, HERE / f"{name}-{split}-{kind}")
            (HERE / f"{name}-{split}-{kind}.svg").unlink()
        print(f"### {WORDS[split].capitalize()}\n")
        print(markdown(curve_columns(comparison), curve_cells(comparison)), end="\n\n")
        print(markdown(SUMMARY, summary_cells(comparison)), end="\n\n")
        print(" ".join(sentences(comparison)), end="\n\n")
        for row in comparison.rows:
            curve = [str(point.mean) for point in row.curve]
            ends.setdefault(row.name, []).extend([curve[0], curve[-1] if len(curve) > 1 else ""])
    print("### First and last\n")
    print("\n".join(f"| {method} | {' | '.join(cells)} |" for method, cells in ends.items()))
    for m in comparison.measured:
        say(f"{m.name}: {minutes(m)} min of training")


if __name__ == "__main__":
    main(sys.argv[1], [Path(folder) for folder in sys.argv[2:]])
