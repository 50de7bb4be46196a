"""From runs on Meta-World, one a seed, to docs/results/metaworld/NAME.json.

    for seed in 1 2 3; do
        metarl train metaworld/rl2_ml10 threads=1 seed=$seed --run runs/ml10-$seed     # evaluates on validation goals
        metarl evaluate runs/ml10-$seed --tasks held_out
        metarl evaluate runs/ml10-$seed --metaworld --json > runs/ml10-$seed/protocol.json
    done
    python docs/results/metaworld/trained.py rl2_ml10 "metaworld/rl2_ml10 threads=1" runs/ml10-*

and the same of MAML, `metaworld/maml_ml10`, and of ML1, `metaworld/rl2_ml1_reach env.options.env_name=push-v3`. The
words are those after `metarl train`, less the seed. With `metarl evaluate RUN --tasks held_out --mean-actions
--episodes 1` or `--steps 10 --episodes 2` before it, those numbers are in the JSON as well. Each number of several
seeds is their mean with an interval over them, or with their range if they are too few for one.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config import flat, load_config
from metarl.envs.metaworld.tasks import name_of
from metarl.evaluation.result import Evaluation
from metarl.evaluation.statistics import estimate, mean
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run, sessions

HERE = Path(__file__).parent
PROTOCOL = "protocol.json"


def measured(folder: Path) -> dict[str, Any]:
    """What one run did."""
    run = open_run(folder)
    lines = run.metrics()
    seconds = [line["seconds"] for line in read_lines(folder / "timings.jsonl")]
    per_iteration = lines[-1]["env_steps"] / len(lines)
    evaluations = [Evaluation.load(file) for file in sorted((folder / "evaluations").glob("*.json"))]
    return {
        "seed": run.config.seed,
        "training_commits": sorted({session["git"]["commit"] for session in sessions(folder)}),
        "training_env_steps": lines[-1]["env_steps"],
        "wall_minutes": round(sum(seconds) / 60),
        "steps_per_second_of_the_last_250_iterations": round(per_iteration / float(np.median(seconds[-250:]))),
        "training_returns": [
            {"env_steps": line["env_steps"], "episodes": [round(line["return_0"]), round(line["return_1"])]}
            for line in lines[:: len(lines) // 10] + lines[-1:]
        ],
        **{
            _name(evaluation, run.config.evaluation.steps): {
                "success": successes(evaluation),
                "episodes_in_each_task": evaluation.episodes,
                "of": "adaptation steps" if evaluation.pooled else "episodes of a trial",
                "episodes": [row.to_json(evaluation.confidence) for row in evaluation.curve],
            }
            for evaluation in evaluations
        },
        "metaworld_protocol": json.loads((folder / PROTOCOL).read_text()),
        "versions": {k: v for k, v in evaluations[0].origin["versions"].items() if not k.startswith("git")},
    }


def _name(evaluation: Evaluation, steps: int) -> str:
    longer = f"_{evaluation.steps}_steps" if evaluation.steps != steps else ""
    return f"{evaluation.split}{longer}{'_mean_actions' if evaluation.deterministic else ''}"


def successes(evaluation: Evaluation) -> dict[str, list[float]]:
    """Success rate of each episode, or after each step, in all tasks, and in each environment if there are several."""
    numbers = evaluation.tasks.values[:, 0]
    chosen = {name_of(i): numbers == i for i in np.unique(numbers)}
    chosen = (chosen if len(chosen) > 1 else {}) | {"all": np.ones(len(numbers), bool)}
    rates = {name: np.nanmean(evaluation.successes[:, tasks], axis=(1, 2)) for name, tasks in chosen.items()}
    return {name: [round(float(rate), 3) for rate in of_episodes] for name, of_episodes in rates.items()}


def over_seeds(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every success rate, by its path in a run's numbers: the mean, and the range of the runs."""
    parts = "held_out", "validation", "metaworld_protocol"
    found = [{part: dict(rates(run[part])) for part in parts} for run in runs]
    return {
        part: {name: over([run[part][name] for run in found]) for name in found[0][part]} for part in parts
    }  # fmt: skip


def rates(document: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if "success" in document:
        by_steps = document["of"] == "adaptation steps"
        for name, success in document["success"].items():
            for i, rate in enumerate(success):
                yield (f"{name}, after {i} steps" if by_steps else f"{name}, episode {i + 1}"), rate
        return
    yield "all, as Meta-World counts", document["success_as_metaworld_counts"]
    yield "all, of every episode", document["success_of_every_episode"]["value"]
    environments = document["environments"]
    for name, row in environments.items() if len(environments) > 1 else ():
        yield f"{name}, as Meta-World counts", row["as_metaworld_counts"]
        yield f"{name}, of every episode", row["of_every_episode"]


def over(values: list[float]) -> dict[str, Any]:
    return estimate(mean, np.array(values)[:, None], rng=np.random.default_rng(0)).to_json()


def main(name: str, words: str, folders: list[Path]) -> None:
    configs = [flat(open_run(folder).config.model_dump(mode="json")) for folder in folders]
    config, *changes = words.split()
    expected = flat(load_config(config, changes).model_dump(mode="json"))
    for folder, found in zip(folders, configs, strict=True):
        others = [key for key in expected if found[key] != expected[key] and key != "seed" and "wandb." not in key]
        if others:
            raise SystemExit(f"{folder}: {', '.join(others)}: not those of metarl train {words}")
    runs = sorted((measured(folder) for folder in folders), key=lambda run: run["seed"])
    document = {
        "command": f"metarl train {words} seed=SEED",
        "then": [
            "metarl evaluate RUN --tasks held_out",
            "metarl evaluate RUN --metaworld --json > RUN/protocol.json",
            f'python docs/results/metaworld/trained.py {name} "{words}" RUNS',
        ],
        "config": configs[0],
        "over_seeds": over_seeds(runs),
        "runs": runs,
    }
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for part, numbers in document["over_seeds"].items():
        for key, number in numbers.items():
            low, high = number.get("range_of_runs") or number["interval"] or [number["value"]] * 2
            print(f"{part} {key}: {number['value']:.1%} ({low:.1%}..{high:.1%})")


if __name__ == "__main__":
    main(*sys.argv[1:3], [Path(folder) for folder in sys.argv[3:]])
