"""One strategy being tried, in a process of its own: trained up to a rung and measured, or only measured.

    trials = Trials({"stop": np.zeros((1,), "u1"), "done": np.zeros((1,), "i8")}, np.zeros(1, np.int64))
    trials.train(Path("search/trials/0003"), config, 40, values)      # {"value": 412.0, ...} after 40 iterations
    trials.train(Path("search/trials/0003"), config, 120, values)     # goes on from there
    trials.adapt(Path("runs/first"), config, values)                  # the run's weights under other settings

A trained strategy is an ordinary run in a folder of its own: it resumes from its checkpoints after any end, and its
metrics can be looked at. `stop`, in memory shared with the search, asks for an end at the next iteration, whose state
is saved; `done` says how many iterations there are. A process whose parent has gone ends by itself.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from metarl.algorithms.learners import make_learner
from metarl.algorithms.restore import load_adapter
from metarl.config import Config
from metarl.envs import Tasks
from metarl.runs import run as runs
from metarl.runs.lock import InUse
from metarl.training.interruption import Interruption
from metarl.training.train import Training
from metarl.tuning.protocol import measure
from metarl.util.errors import UserError
from metarl.util.torch_runtime import keep_freed_memory, torch_threads

FIELDS = {"stop": ((), "u1"), "done": ((), "i8")}

logger = logging.getLogger("metarl")


class Trials:
    """Tries one strategy after the other; made by `metarl.util.workers.Workers` with the arrays of FIELDS."""

    def __init__(self, arrays: dict[str, np.ndarray], current: np.ndarray):
        self.stop, self.done = arrays["stop"], arrays["done"]
        self.parent = os.getppid()
        keep_freed_memory()

    def train(self, folder: Path, config: Config, iterations: int, tasks: np.ndarray) -> dict[str, Any]:
        """Train until `iterations` are done, measure in tasks (M, D); {"stopped": True} if asked to end before."""
        started = time.perf_counter()
        try:
            begun = (folder / "config.yaml").exists()
            run = runs.resume(config, folder, logger.warning) if begun else runs.start(config, folder)
            try:
                with torch_threads(runs.threads(config)):
                    training = Training(run)
                    try:
                        finished = self._iterate(training, iterations)
                    finally:
                        training.save()
                        training.close()
                    if self._orphaned:
                        os._exit(1)  # at once: nobody waits for a tidy end
                    if not finished:
                        return {"stopped": True}
                    answer = self._measured(training.learner.adapter(), config, tasks)
            finally:
                run.release()
        except InUse:  # by a process whose parent was killed a moment ago
            time.sleep(1.0)
            return {"stopped": True}
        except (UserError, FloatingPointError) as error:
            return {"error": str(error)}
        return answer | {"env_steps": training.env_steps, "seconds": time.perf_counter() - started}

    def adapt(self, source: Path | None, config: Config, tasks: np.ndarray) -> dict[str, Any]:
        """Measure in tasks (M, D) the weights of a run, or, without one, freshly drawn weights."""
        started = time.perf_counter()
        try:
            if source is None:
                adapter = make_learner(config).adapter()
            else:
                adapter = load_adapter(runs.open_run(source), config=config)
            with torch_threads(runs.threads(config)):
                answer = self._measured(adapter, config, tasks)
        except (UserError, FloatingPointError) as error:
            return {"error": str(error)}
        return answer | {"env_steps": 0, "seconds": time.perf_counter() - started}

    @property
    def _orphaned(self) -> bool:
        return os.getppid() != self.parent

    def _iterate(self, training: Training, iterations: int) -> bool:
        unhandled = Interruption(logger.warning)  # signals are the search's
        while training.done < iterations:
            self.done[...] = training.done
            if self.stop.any() or self._orphaned:
                return False
            training.iterate(unhandled)
            if training.save_due:
                training.save()
        self.done[...] = training.done
        return True

    def _measured(self, adapter: Any, config: Config, tasks: np.ndarray) -> dict[str, Any]:
        space = config.env.load_family().space
        score = measure(adapter, config, Tasks(space, tasks))
        return {"value": score.value, "curve": score.curve, "adaptation_env_steps": score.env_steps}
