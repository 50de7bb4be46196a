"""Of runs of RL² with the memory alpaca: the error of its fitted model and of its prior, by seconds of experience.

    python docs/results/closed_form.py RUN... > docs/results/rl2/FAMILY-alpaca.json

Squared error of the next observation (in standard deviations of those seen in training) and of the reward that led to
it, per number, over the two episodes of 10 trials in each of 40 tasks; the policy acts, with noise. The prior's is
that of the same features with the weights that a trial begins with.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from metarl.agents.nn.params import part
from metarl.algorithms.learners import make_env
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.sampling import collect
from metarl.algorithms.trials import pack
from metarl.runs.run import open_run
from metarl.util.rng import stream

TASKS, TRIALS = 40, 10
STEPS = (1, 3, 10, 30, 100, 200, 400)  # between them errors are averaged


@torch.no_grad()
def errors(folder: Path, split: str) -> dict:
    run = open_run(folder)
    adapter, config = load_adapter(run), run.config
    env = make_env(config, TASKS * TRIALS)
    tasks = env.space.sample(TASKS, split, np.random.default_rng(0))
    env.set_tasks(tasks.repeat(TRIALS))
    state, rollouts = adapter.start(TASKS), []
    for e in range(config.algorithm.trial_episodes):
        rollouts.append(collect(env, adapter, state, TRIALS, stream(0, "evaluation", e)))
        state = adapter.adapt(state, rollouts[-1])
    trials = pack(rollouts, adapter.policy, adapter.reward_normalizer, env.tasks)
    memory, params = adapter.policy.memory, part(adapter.params, "memory.")
    start = memory.start(trials.inputs.shape[1])
    _, _, fitted = memory.errors(params, start, trials.inputs, None)
    # with a prior that is certain nothing is learned
    certain = params | {"prior_root": 1e-9 * params["prior_root"]}
    _, _, prior = memory.errors(certain, start, trials.inputs, None)
    lived = torch.from_numpy(trials.valid.T) & (trials.inputs[..., -1] == 0)  # something led there

    def means(x: torch.Tensor) -> list[float]:
        parts = [(x[a:b], lived[a:b]) for a, b in zip(STEPS, STEPS[1:])]
        return [round(float(e[there].mean()) / (memory.known + 1), 4) for e, there in parts]

    seconds = [round(step * env.dt, 2) for step in STEPS]
    return {"split": split, "seconds": seconds, "fitted": means(fitted), "prior": means(prior)}


if __name__ == "__main__":
    found = []
    for name in sys.argv[1:]:
        rows = [errors(Path(name), split) for split in ("held_out", "extrapolation")]
        found.append({"seed": open_run(Path(name)).config.seed, "errors": rows})
    print(json.dumps(found, indent=1))
