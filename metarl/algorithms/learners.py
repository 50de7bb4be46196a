"""From a config to its environment, and to the learner that it names.

    env = training_env(config)
    learner = make_learner(config, Spec.of(env))
    metrics = learner.iterate(env, 0)
    adapter = learner.adapter()
"""

import importlib
from typing import cast

from gymnasium.vector import AutoresetMode

from metarl.algorithms.base import Learner, Spec
from metarl.algorithms.trials import category
from metarl.algorithms.trials_config import PPOTrialsConfig
from metarl.config import Config
from metarl.envs import BatchEnv, OracleEnv
from metarl.util.errors import UserError
from metarl.util.optional import MissingExtra
from metarl.util.ranks import current
from metarl.util.text import first_line


def require_extra(config: Config) -> None:
    """UserError if the config's family or its physics needs what is not there: a package, a GPU."""
    config.env.load_physics()
    family = config.env.load_family()
    try:
        if family.extra:
            family.extra.require(family.name)
    except MissingExtra as error:
        raise UserError(str(error)) from error


def require_category(config: Config) -> None:
    """UserError if the algorithm names a category that tasks of the config's family do not have."""
    if isinstance(config.algorithm, PPOTrialsConfig):
        category(config.algorithm.normalize_by, config.env.load_family().space, config.revision)


def require_ranks(config: Config) -> None:
    """UserError if there are more ranks than tasks, or if several cannot train this algorithm."""
    ranks = current()
    if ranks.size > 1 and not config.algorithm.shared_by_ranks(config):
        problem = f"got {ranks.size} ranks, expected 1: it has no sums over them"
        raise UserError(f"algorithm {config.algorithm.name}: {problem}")
    if ranks.size > config.meta_batch:
        raise UserError(f"meta_batch: got {config.meta_batch}, expected {ranks.size} at least: a task for each rank")


def make_env(config: Config, num_envs: int, on_device: bool = False) -> BatchEnv:
    """``num_envs`` simulations of the config's family, for :func:`metarl.algorithms.sampling.collect`.

    Args:
        on_device: speak tensors on the device of the physics, where that has one, and not NumPy, if the family can.
    """
    require_extra(config)
    env, family = config.env, config.env.load_family()
    physics = env.load_physics()
    tensors = on_device and physics and physics.tensors(family)
    made = family.make_env(
        num_envs,
        horizon=env.horizon,
        action_scale=env.action_scale,
        autoreset_mode=AutoresetMode.DISABLED,
        num_threads=config.threads,
        # an environment of a family's own need not know these settings
        **({"physics": physics} if physics else {}),
        **({"tensors": True} if tensors else {}),
    )
    # all of a BatchEnv is there
    return cast(BatchEnv, OracleEnv(made, config.revision)) if config.algorithm.oracle else made


def training_env(config: Config) -> BatchEnv:
    """The simulations of an iteration: `episodes` in each of `meta_batch` tasks, or in those that are this rank's."""
    ranks, episodes = current(), config.episodes
    own = ranks.share(config.meta_batch)
    env = make_env(config, (own.stop - own.start) * episodes, config.algorithm.on_device)
    env.unwrapped.first, env.unwrapped.whole = own.start * episodes, config.meta_batch * episodes
    return env


def make_learner(config: Config, spec: Spec | None = None) -> Learner:
    """An untrained learner; without a spec, that of an environment made for it.

    Raises:
        UserError: the class that the algorithm's config names cannot be imported.
    """
    if spec is None:
        env = make_env(config, 1)
        spec = Spec.of(env)
        env.close()
    module, _, name = config.algorithm.learner.partition(":")
    try:
        learner = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        problem = f"its learner {config.algorithm.learner} cannot be imported: {first_line(error)}"
        raise UserError(f"algorithm {config.algorithm.name}: {problem}") from error
    return learner(config, spec)
