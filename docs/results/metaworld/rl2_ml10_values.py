"""What the value functions of RL² on ML10 know: docs/results/metaworld/rl2_ml10_values.json.

    metarl train metaworld/rl2_ml10 threads=1 algorithm.normalize_by=null --run runs/one    # Ctrl-C after 50 iterations
    metarl train metaworld/rl2_ml10 threads=1 --run runs/each                               # the same
    python docs/results/metaworld/rl2_ml10_values.py runs/one runs/each

Collects the trials of one more iteration with the newest policy of each run that is given. For each environment: the
mean training return of an episode, and which share of the variance of returns (TD(lambda), to the end of the episode)
the value explains.
"""

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np
import torch

from metarl.agents.nn.arrays import given_as
from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.rl2 import RL2
from metarl.algorithms.trials import trial_advantages
from metarl.envs.metaworld.tasks import name_of
from metarl.runs.run import open_run

HERE = Path(__file__).parent


@torch.no_grad()
def measured(folder: Path) -> dict[str, object]:
    run = open_run(folder)
    config, saved, env = run.config, run.checkpoint(), training_env(run.config)
    learner = cast(RL2, make_learner(config))
    learner.load_state_dict(saved.tensors)
    trials, behind, _ = learner.collect_trials(env, saved.iteration)
    windows = learner.windows(trials)
    inputs, resets = windows.padded(trials.inputs), windows.resets(trials.inputs.shape[1])
    _, _, values = learner.replay(inputs, resets, windows.padded(trials.actions), windows.steps)
    values = values[: len(trials.inputs)].transpose(0, 1)
    values = learner.returns(given_as(values, trials.valid), learner.categories(trials))
    advantages = trial_advantages(
        trials, values, config.discount, config.gae_lambda,
        across_episodes=config.algorithm.across_episodes, bootstrap=behind,
    )  # fmt: skip
    numbers = env.tasks.values[:, 0].repeat(config.episodes)
    found = {}
    for number in np.unique(numbers):
        alike = numbers == number
        returns = (values + advantages)[alike]
        paid, unexplained = trials.rewards[alike].sum(1).mean(), advantages[alike].var() / returns.var()
        found[name_of(int(number))] = {
            "return_of_an_episode": round(float(paid) / config.algorithm.trial_episodes, 1),
            "explained_variance": round(float(1 - unexplained), 3),
        }
    settings = {"minibatches": config.algorithm.minibatches, "normalize_by": config.algorithm.normalize_by}
    return {**settings, "seed": config.seed, "training_env_steps": saved.meta["env_steps"], "environments": found}


if __name__ == "__main__":
    runs = [measured(Path(each)) for each in sys.argv[1:]]
    document = {"commands": __doc__.split("\n\n")[1].split("\n"), "runs": runs}
    (HERE / "rl2_ml10_values.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
