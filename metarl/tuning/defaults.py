"""The space that `metarl tune` searches unless it is given one, by inner learner; algorithms bring their own.

    training(config)          # {"inner.lr": {"log_uniform": [0.01, 1.0]}, ...}: each strategy is trained anew
    adaptation(config)        # what can be chosen for the weights of a finished run

Ranges are those in which the papers and this project's own runs found good values, an order of magnitude around where
there is a step size.
"""

from metarl.config import Config
from metarl.config.schema import SearchSpace

_GRADIENT: SearchSpace = {
    "inner.lr": {"log_uniform": [0.01, 1.0]},
    "inner.head_only": {"choice": [False, True]},
    "gae_lambda": {"uniform": [0.9, 1.0]},
}
_ON_POLICY: SearchSpace = {
    "inner.sb3.settings.learning_rate": {"log_uniform": [1e-4, 3e-3]},
    "inner.sb3.settings.gae_lambda": {"uniform": [0.9, 1.0]},
}
_MINIBATCHES: SearchSpace = {
    "inner.sb3.settings.n_epochs": {"int": [1, 15]},
    "inner.sb3.settings.batch_size": {"choice": [100, 250, 500]},
}
_OFF_POLICY: SearchSpace = {
    "inner.sb3.settings.learning_rate": {"log_uniform": [1e-4, 3e-3]},
    "inner.sb3.settings.batch_size": {"choice": [64, 128, 256]},
    "inner.sb3.settings.tau": {"log_uniform": [0.002, 0.05]},
}
_SB3: dict[str, SearchSpace] = {
    "A2C": _ON_POLICY,
    "PPO": _ON_POLICY | _MINIBATCHES,
    "RecurrentPPO": _ON_POLICY | _MINIBATCHES,
    "TRPO": _ON_POLICY,
}


def training(config: Config) -> SearchSpace:
    """For strategies that are trained: the inner loop's space, then what the algorithm adds to it."""
    algorithm, sb3 = config.algorithm, config.inner.sb3.algorithm
    outer = algorithm.search_space(config)
    if algorithm.inner_loop == "none":
        return outer
    steps: SearchSpace = {"inner.steps": {"int": [1, 3]}} if config.inner.steps and algorithm.trained else {}
    if sb3:
        return steps | _SB3.get(sb3, _OFF_POLICY) | outer
    inner = dict(_GRADIENT)
    if not config.policy.hidden or config.inner.steps == 0:
        del inner["inner.head_only"]
    return steps | inner | outer


def adaptation(config: Config) -> SearchSpace:
    """For weights that are there: the space of what happens in a new task, at the same number of episodes."""
    if config.algorithm.inner_loop == "none":
        return {}
    episodes = config.evaluation.episodes
    parts = sorted({max(1, episodes // 4), max(1, episodes // 2), episodes})
    lines: SearchSpace = {"evaluation.episodes": {"choice": parts}} if len(parts) > 1 else {}
    if config.inner.sb3.algorithm:
        return lines | _SB3.get(config.inner.sb3.algorithm, _OFF_POLICY)
    if not config.inner.learn_lr:  # else the step sizes are among the weights
        lines["inner.lr"] = {"log_uniform": [config.inner.lr / 10, config.inner.lr * 10]}
    if config.policy.hidden and config.inner.steps:
        lines["inner.head_only"] = {"choice": [False, True]}
    return lines | {"gae_lambda": {"uniform": [0.9, 1.0]}}
