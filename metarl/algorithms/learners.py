"""From a config to the learner it names.

    learner = make_learner(config)
    metrics = learner.iterate(0)
    adapter = learner.adapter()
"""

from gymnasium.vector import AutoresetMode

from metarl.algorithms.baselines import Random, Scratch
from metarl.algorithms.maml import MAML
from metarl.algorithms.promp import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.rl2 import RL2
from metarl.config import Config
from metarl.envs import BatchEnv, MissingExtra, OracleEnv, family_class, make
from metarl.errors import UserError

LEARNERS = {
    "promp": ProMP,
    "maml-trpo": MAML,
    "rl2": RL2,
    "reptile": Reptile,
    "scratch": Scratch,
    "random": Random,
}

Learner = ProMP | MAML | RL2 | Reptile | Scratch | Random


def require_extra(config: Config) -> None:
    """UserError if the config's family needs a package that is not installed."""
    family = family_class(config.env.family)
    try:
        if family.extra:
            family.extra.require(family.name)
    except MissingExtra as error:
        raise UserError(str(error)) from error


def make_env(config: Config, num_envs: int) -> BatchEnv:
    """``num_envs`` simulations of the config's family, for :func:`metarl.algorithms.sampling.collect`."""
    require_extra(config)
    env = config.env
    made = make(
        env.family,
        num_envs,
        horizon=env.horizon,
        action_scale=env.action_scale,
        autoreset_mode=AutoresetMode.DISABLED,
        num_threads=config.threads,
        **env.options,
    )
    return OracleEnv(made) if getattr(config.algorithm, "oracle", False) else made


def make_learner(config: Config, env: BatchEnv | None = None) -> Learner:
    """An untrained learner; its environment is made here unless given."""
    if env is None:
        env = make_env(config, config.meta_batch * config.episodes)
    return LEARNERS[config.algorithm.name](config, env)
