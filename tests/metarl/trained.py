"""Learners together with their environment, as `learner.env`: tests want both; and whether they resume."""

import torch

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_learner, training_env


def with_env(config, env=None):
    """An untrained learner of the config."""
    env = env or training_env(config)
    learner = make_learner(config, Spec.of(env))
    learner.env = env
    return learner


def resumed(config, iterations=3):
    """Train, and again with a resume after one iteration, to the same bits; (learner, metrics, state then)."""
    unbroken = with_env(config)
    metrics = [unbroken.iterate(unbroken.env, i) for i in range(iterations)]
    broken = with_env(config)
    broken.iterate(broken.env, 0)
    saved = {name: tensor.clone() for name, tensor in broken.state_dict().items()}
    broken.iterate(broken.env, 1)  # which leaves what was saved alone
    learner = with_env(config)
    learner.load_state_dict(saved)
    for i in range(1, iterations):
        assert timeless(learner.iterate(learner.env, i)) == timeless(metrics[i]), i
    assert equal(learner.state_dict(), unbroken.state_dict())
    return unbroken, metrics, saved


def timeless(metrics):
    """Without what a clock measured."""
    return {name: value for name, value in metrics.items() if "seconds" not in name}


def equal(a, b):
    """Whether two states are the same, bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
