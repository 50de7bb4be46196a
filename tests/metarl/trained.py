"""Learners together with the environment that they are trained in, as `learner.env`: tests want both."""

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_learner, training_env


def with_env(config, env=None):
    """An untrained learner of the config."""
    env = env or training_env(config)
    learner = make_learner(config, Spec.of(env))
    learner.env = env
    return learner
