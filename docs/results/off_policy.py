"""The learning of an off-policy run, from its folder: `python docs/results/off_policy.py RUN`.

Mean returns of training episodes, actions sampled, five iterations at a time; hours are of training, without breaks.
"""

import json
import statistics
import sys
from pathlib import Path

from metarl import open_run
from metarl.runs.jsonl import read_lines

EVERY = 5  # iterations


def main(path: Path) -> None:
    run = open_run(path)
    metrics, timings = run.metrics(), read_lines(path / "timings.jsonl")
    rows, seconds = [], 0.0
    for end in range(EVERY, len(metrics) + 1, EVERY):
        part = metrics[end - EVERY : end]
        seconds += sum(line["seconds"] for line in timings[end - EVERY : end])
        returns = {key: statistics.mean(x[key] for x in part) for key in part[-1] if key.startswith("return_")}
        rows.append({"env_steps": part[-1]["env_steps"], "hours": round(seconds / 3600, 2)}
                    | {key: round(value, 1) for key, value in returns.items()})  # fmt: skip
    print(json.dumps({"config": run.config.model_dump(mode="json", exclude_defaults=True), "rows": rows}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
