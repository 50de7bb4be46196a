"""The space that `metarl tune` searches unless it is given one, by algorithm and inner learner.

    training(config)          # {"inner.lr": {"log_uniform": [0.01, 1.0]}, ...}: each strategy is trained anew
    adaptation(config)        # what can be chosen for the weights of a finished run

Ranges are those in which the papers and this project's own runs found good values, an order of magnitude around where
there is a step size.
"""

from typing import Any

from metarl.config import Config

Lines = dict[str, dict[str, Any]]

_GRADIENT: Lines = {
    "inner.lr": {"log_uniform": [0.01, 1.0]},
    "inner.head_only": {"choice": [False, True]},
    "gae_lambda": {"uniform": [0.9, 1.0]},
}
_OUTER: dict[str, Lines] = {
    "promp": {
        "algorithm.lr": {"log_uniform": [2e-4, 5e-3]},
        "algorithm.epochs": {"int": [1, 10]},
        "algorithm.clip_range": {"uniform": [0.1, 0.5]},
    },
    "maml-trpo": {"algorithm.max_kl": {"log_uniform": [0.002, 0.05]}},
    "rl2": {
        "algorithm.memory": {"choice": ["gru", "lstm"]},
        "algorithm.lr": {"log_uniform": [1e-4, 3e-3]},
        "algorithm.epochs": {"int": [1, 6]},
        "algorithm.minibatches": {"choice": [5, 10, 20]},
        "algorithm.window": {"choice": [20, 50, 100]},
        "discount": {"uniform": [0.95, 0.995]},
        "gae_lambda": {"uniform": [0.85, 1.0]},
    },
    "reptile": {
        "algorithm.lr": {"uniform": [0.2, 1.0]},
        "algorithm.momentum": {"choice": [0.0, 0.5, 0.9]},
        "algorithm.average": {"choice": [0.0, 0.9]},
    },
}
_ON_POLICY: Lines = {
    "inner.sb3.settings.learning_rate": {"log_uniform": [1e-4, 3e-3]},
    "inner.sb3.settings.gae_lambda": {"uniform": [0.9, 1.0]},
}
_MINIBATCHES: Lines = {
    "inner.sb3.settings.n_epochs": {"int": [1, 15]},
    "inner.sb3.settings.batch_size": {"choice": [100, 250, 500]},
}
_OFF_POLICY: Lines = {
    "inner.sb3.settings.learning_rate": {"log_uniform": [1e-4, 3e-3]},
    "inner.sb3.settings.batch_size": {"choice": [64, 128, 256]},
    "inner.sb3.settings.tau": {"log_uniform": [0.002, 0.05]},
}
_SB3: dict[str, Lines] = {
    "A2C": _ON_POLICY,
    "PPO": _ON_POLICY | _MINIBATCHES,
    "RecurrentPPO": _ON_POLICY | _MINIBATCHES,
    "TRPO": _ON_POLICY,
}


def training(config: Config) -> Lines:
    """For strategies that are trained."""
    name = config.algorithm.name
    lines = dict(_OUTER.get(name, {}))
    if name == "rl2":
        return lines
    if config.inner.sb3.algorithm:
        inner = _SB3.get(config.inner.sb3.algorithm, _OFF_POLICY)
        return ({"inner.steps": {"int": [1, 3]}} if name == "reptile" else {}) | inner | lines
    if name == "random":
        return {}
    inner = dict(_GRADIENT)
    if not config.policy.hidden or config.inner.steps == 0:
        del inner["inner.head_only"]
    if config.inner.steps and name != "scratch":
        inner = {"inner.steps": {"int": [1, 3]}} | inner
    return inner | lines


def adaptation(config: Config) -> Lines:
    """For weights that are there: the space of what happens in a new task, at the same number of episodes."""
    if config.algorithm.name in ("rl2", "random"):
        return {}
    episodes = config.evaluation.episodes
    parts = sorted({max(1, episodes // 4), max(1, episodes // 2), episodes})
    lines: Lines = {"evaluation.episodes": {"choice": parts}} if len(parts) > 1 else {}
    if config.inner.sb3.algorithm:
        return lines | _SB3.get(config.inner.sb3.algorithm, _OFF_POLICY)
    if not config.inner.learn_lr:  # else the step sizes are among the weights
        lines["inner.lr"] = {"log_uniform": [config.inner.lr / 10, config.inner.lr * 10]}
    if config.policy.hidden and config.inner.steps:
        lines["inner.head_only"] = {"choice": [False, True]}
    return lines | {"gae_lambda": {"uniform": [0.9, 1.0]}}
