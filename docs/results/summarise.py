"""Put the evaluations of several seeds of one config into one small JSON file, with what it takes to repeat them.

    python docs/results/summarise.py "metarl train half_cheetah_dir/promp seed=SEED" runs/s0 runs/s1 ... > promp.json

With `--mean-actions` it takes what `metarl evaluate --mean-actions` measured.
The interval is over seeds (percentile bootstrap of the seeds' means, widened for small samples: docs/evaluation.md).
"""

import json
import sys
from pathlib import Path

import numpy as np

from metarl.evaluation.evaluate import Evaluation, load_evaluation
from metarl.evaluation.statistics import summarise
from metarl.runs.lines import read_lines
from metarl.runs.run import open_run

VERSIONS = ("python", "torch", "mujoco", "gymnasium", "numpy", "cpu", "threads")


def newest(folder: Path, mean_actions: bool) -> Evaluation:
    """What was measured of the latest checkpoint, with sampled or with mean actions."""
    files = sorted(folder.glob("evaluations/held_out-*.json"), key=lambda file: int(file.name.split("-")[1]))
    measured = [e for e in map(load_evaluation, files) if e.deterministic == mean_actions]
    if not measured:
        options = " --mean-actions" * mean_actions
        sys.exit(f"got no such evaluation in {folder}; next: metarl evaluate {folder}{options}")
    return measured[-1]


def main(command: str, folders: list[str], mean_actions: bool) -> dict:
    rows, means = [], []
    for folder in map(Path, folders):
        run = open_run(folder)
        evaluation, metrics = newest(folder, mean_actions), run.metrics()
        curve = [point.summary.mean for point in evaluation.curve]
        means.append(curve)
        session = json.loads((folder / "versions.json").read_text())["sessions"][-1]
        rows.append({
            "seed": run.config.seed,
            "return_after_k_steps": [round(value, 2) for value in curve],
            "env_steps": metrics[-1]["env_steps"],
            "wall_minutes": round(sum(row["seconds"] for row in read_lines(folder / "timings.jsonl")) / 60, 1),
            "diverged_episodes": sum(row["diverged"] for row in metrics),
        })
    rng = np.random.default_rng(0)
    curve = []
    for k, values in enumerate(np.array(means).T):
        summary = summarise(values, rng, unit="seed")
        interval = summary.mean_interval and [round(x, 2) for x in summary.mean_interval]
        curve.append({"steps": k, "mean": round(summary.mean, 2), "interval": interval, "note": summary.note})
    return {
        "command": command,
        "config": run.config.model_dump(mode="json", exclude={"seed", "wandb"}),
        "measured_on": {
            "split": "held_out", "tasks": len(evaluation.tasks), "episodes": evaluation.episodes,
            "actions": "mean" if mean_actions else "sampled",
            "disjoint": evaluation.disjoint, "note": evaluation.disjoint_reason,
        },
        "curve": curve,
        "seeds": rows,
        "versions": {name: session[name] for name in VERSIONS},
    }


if __name__ == "__main__":
    arguments = [x for x in sys.argv[1:] if x != "--mean-actions"]
    json.dump(main(arguments[0], arguments[1:], "--mean-actions" in sys.argv), sys.stdout, indent=1)
    print()
