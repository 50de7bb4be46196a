"""From a run of RL² on ML10 to docs/results/metaworld/rl2_ml10.json.

    metarl train metaworld/rl2_ml10 threads=1 seed=1 --run runs/ml10         # evaluates on validation goals
    metarl evaluate runs/ml10 --tasks held_out
    metarl evaluate runs/ml10 --metaworld --json > protocol.json
    python docs/results/metaworld/rl2_ml10.py runs/ml10 protocol.json
"""

import json
import sys
from pathlib import Path

import numpy as np

from metarl.envs.metaworld.tasks import name_of
from metarl.evaluation.result import Evaluation
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run

HERE = Path(__file__).parent


def by_environment(evaluation: Evaluation) -> dict[str, list[float]]:
    """Success rate of each episode of a trial in each environment."""
    numbers = evaluation.tasks.values[:, 0]
    return {
        name_of(i): [round(float(rate), 3) for rate in np.nanmean(evaluation.successes[:, numbers == i], axis=(1, 2))]
        for i in np.unique(numbers)
    }


def main(folder: Path, protocol: Path) -> None:
    run = open_run(folder)
    found = {}
    for file in sorted((folder / "evaluations").glob("*.json")):
        evaluation = Evaluation.load(file)
        found[evaluation.split] = {
            "success_by_environment": by_environment(evaluation),
            "episodes": [row.to_json(evaluation.confidence) for row in evaluation.curve],
        }
    lines = run.metrics()
    seconds = [line["seconds"] for line in read_lines(folder / "timings.jsonl")]
    per_iteration = lines[-1]["env_steps"] / len(lines)
    document = {
        "commands": __doc__.split("\n\n")[1].split("\n"),
        "seeds": [run.config.seed],
        "training_env_steps": lines[-1]["env_steps"],
        "wall_minutes": round(sum(seconds) / 60),
        "steps_per_second_of_the_last_250_iterations": round(per_iteration / float(np.median(seconds[-250:]))),
        "training_returns": [
            {"env_steps": line["env_steps"], "episodes": [round(line["return_0"]), round(line["return_1"])]}
            for line in lines[:: len(lines) // 10] + lines[-1:]
        ],
        **found,
        "metaworld_protocol": json.loads(protocol.read_text()),
        "versions": found and evaluation.origin["versions"],
    }
    (HERE / "rl2_ml10.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
