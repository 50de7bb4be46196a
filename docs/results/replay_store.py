"""What a checkpoint of a replay store costs as it grows: `python docs/results/replay_store.py`.

A store for 3 million steps of HalfCheetahMass, 10,000 to an iteration, saved every 10 iterations; and the first after a
resume at the end.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from metarl.agents.replay import Replay, Segment
from metarl.runs.experience import ExperienceFiles

SEGMENTS, TRIALS, EPISODES, HORIZON, OBSERVATION, ACTION = 300, 25, 2, 200, 20, 6


def segment(rng: np.random.Generator) -> Segment:
    shape = (TRIALS, EPISODES, HORIZON + 1)
    numbers = [rng.standard_normal(x, np.float32) for x in ((*shape, OBSERVATION), (*shape, ACTION), shape)]
    return Segment(*numbers, np.full(shape[:2], HORIZON, np.int32), np.zeros(shape[:2], bool))


def seconds(work, *arguments):
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    rng, saves = np.random.default_rng(0), []
    store = Replay(SEGMENTS, TRIALS, EPISODES, HORIZON, OBSERVATION, ACTION)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        files = ExperienceFiles(Path(folder) / "experience")
        for number in range(SEGMENTS):
            store.add(number, segment(rng))
            if (number + 1) % 10 == 0:
                took, meta = seconds(files.write, store, number + 1)
                saves.append(took)
        size = sum(path.stat().st_size for path in files.directory.iterdir())
        empty = Replay(SEGMENTS, TRIALS, EPISODES, HORIZON, OBSERVATION, ACTION)
        reading, _ = seconds(ExperienceFiles(files.directory).read, meta, empty)
    draw = statistics.median(seconds(store.sample, rng, 64, 40, 24)[0] for _ in range(100))
    assert empty.steps == store.steps == SEGMENTS * TRIALS * EPISODES * HORIZON
    result = {
        "command": "python docs/results/replay_store.py",
        "steps": store.steps,
        "gigabytes": size / 1e9,
        "seconds_of_the_first_five_saves": statistics.median(saves[:5]),
        "seconds_of_the_last_five_saves": statistics.median(saves[-5:]),
        "seconds_of_reading_all": reading,
        "seconds_of_drawing_64_rows": draw,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
