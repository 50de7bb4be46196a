"""Put the evaluations of several seeds of one config into one small JSON file, with what it takes to repeat them.

    python docs/results/summarise.py "metarl train half_cheetah_dir/promp seed=SEED" runs/s0 runs/s1 ... > promp.json

With `--mean-actions` it takes what `metarl evaluate --mean-actions` measured. A file that this made before may stand
among the runs: its seeds are kept, if it is of the same command, settings, tasks and versions.
The interval is over seeds (percentile bootstrap of the means, widened for small samples: docs/reference/evaluation.md);
of two or three seeds their range.
"""

import json
import sys
from pathlib import Path

import numpy as np

from metarl.evaluation.result import Evaluation
from metarl.evaluation.statistics import estimate, few_note, mean
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run

VERSIONS = ("python", "torch", "mujoco", "gymnasium", "numpy", "cpu", "threads")


def newest(folder: Path, mean_actions: bool) -> Evaluation:
    """What was measured of the latest checkpoint, with sampled or with mean actions."""
    files = sorted(folder.glob("evaluations/held_out-*.json"), key=lambda file: int(file.name.split("-")[1]))
    measured = [e for e in map(Evaluation.load, files) if e.deterministic == mean_actions]
    if not measured:
        options = " --mean-actions" * mean_actions
        sys.exit(f"got no such evaluation in {folder}; next: metarl evaluate {folder}{options}")
    return measured[-1]


def of_run(folder: Path, command: str, mean_actions: bool) -> dict:
    """What the file has of one run."""
    run = open_run(folder)
    evaluation, metrics = newest(folder, mean_actions), run.metrics()
    session = json.loads((folder / "versions.json").read_text())["sessions"][-1]
    row = {
        "seed": run.config.seed,
        "return_after_k_steps": [round(point.mean.value, 2) for point in evaluation.curve],
        "env_steps": metrics[-1]["env_steps"],
        "wall_minutes": round(sum(row["seconds"] for row in read_lines(folder / "timings.jsonl")) / 60, 1),
        "diverged_episodes": sum(row["diverged"] for row in metrics),
    }
    return {
        "command": command,
        "config": run.config.model_dump(mode="json", exclude={"seed", "wandb"}),
        "measured_on": {
            "split": "held_out", "tasks": len(evaluation.tasks), "episodes": evaluation.episodes,
            "actions": "mean" if mean_actions else "sampled",
            "disjoint": evaluation.disjoint, "note": evaluation.disjoint_reason,
        },
        "curve": [],
        "seeds": [row],
        "versions": {name: session[name] for name in VERSIONS},
    }


def main(command: str, paths: list[Path], mean_actions: bool) -> dict:
    parts = [json.loads(p.read_text()) if p.is_file() else of_run(p, command, mean_actions) for p in paths]
    rows = sorted((row for part in parts for row in part["seeds"]), key=lambda row: row["seed"])
    whole = parts[0] | {"curve": [], "seeds": rows}
    for path, part in zip(paths, parts):
        for key in ("command", "config", "measured_on", "versions"):
            if part[key] != whole[key]:
                sys.exit(f"got another {key} in {path} than in {paths[0]}; expected seeds of one experiment")
    seeds = [row["seed"] for row in rows]
    if len(set(seeds)) < len(seeds):
        sys.exit(f"got seeds {seeds}; expected each once")
    rng = np.random.default_rng(0)
    for k, values in enumerate(np.array([row["return_after_k_steps"] for row in rows]).T):
        average = estimate(mean, values[:, None], rng=rng)
        ends = {"range" if average.of_runs else "interval": [round(x, 2) for x in average.ends]}
        note = few_note(len(values), "seed")
        whole["curve"].append({"steps": k, "mean": round(average.value, 2), "note": note} | ends)
    return whole


if __name__ == "__main__":
    arguments = [x for x in sys.argv[1:] if x != "--mean-actions"]
    json.dump(main(arguments[0], [Path(x) for x in arguments[1:]], "--mean-actions" in sys.argv), sys.stdout, indent=1)
    print()
