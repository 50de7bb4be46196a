"""What an environment is, as a digest: two numbers can be compared if they were measured in the same one.

    from metarl.config import EnvConfig
    from metarl.evaluation.fingerprint import definition
    about = definition(EnvConfig(family="HalfCheetahMass"))
    about["digest"], about["parameters"][0]["name"]         # 64 hexadecimal digits; "mass_scale"

The digest covers the family and its options, the version of its splits, the time step and horizon, every parameter's
range and distribution, and what the environment *does*: observations and rewards of a few steps in a few fixed tasks,
rounded so far that another processor gives the same. So an edited comment changes nothing and an edited reward or robot
does. The scale of the actions is not part of it: that is how a method speaks to the environment, and methods differ in
it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from metarl.config.schema import EnvConfig
from metarl.envs import make
from metarl.util.plain import plain

STEPS = 10  # of the probe, few enough for rounding errors to stay far below DECIMALS
DECIMALS = 4
TASKS = 4  # of the probe


def definition(env: EnvConfig) -> dict[str, Any]:
    """{"family", "options", "dt", "horizon", "parameters", "behaviour", "splits", "digest"} of an environment."""
    return json.loads(_definition(env.model_dump_json(include={"family", "horizon", "options", "splits"})))


@functools.lru_cache(maxsize=64)
def _definition(key: str) -> str:
    config = EnvConfig.model_validate_json(key)
    env = make(
        config.load_family(), TASKS, horizon=config.horizon, autoreset_mode=AutoresetMode.DISABLED, num_threads=1
    )
    try:
        about = {
            "family": config.family,
            # a path says nothing
            "options": {name: value for name, value in config.options.items() if name != "robot"},
            "dt": env.dt,
            "horizon": env.horizon,
            "parameters": plain(env.space.parameters),
            "behaviour": _behaviour(env),
            **({"splits": config.splits} if config.splits > 1 else {}),  # the first ones had no number
        }
    finally:
        env.close()
    text = json.dumps(about, sort_keys=True)
    return json.dumps(about | {"digest": hashlib.sha256(text.encode()).hexdigest()})


def _behaviour(env: Any) -> str:
    """SHA-256 of what the environment answers to fixed actions in fixed tasks."""
    env.set_tasks(env.space.sample(TASKS, "train", np.random.default_rng(np.random.SeedSequence(0))))
    observation, _ = env.reset(seed=np.random.SeedSequence(0))
    space = env.single_action_space
    phases = np.add.outer(np.arange(env.num_envs), 2.0 * np.arange(space.shape[0]))
    seen = [observation]
    for t in range(min(STEPS, env.horizon)):
        share = 0.5 + 0.4 * np.sin(t + phases)
        observation, reward, *_ = env.step((space.low + share * (space.high - space.low)).astype(space.dtype))
        seen += [observation, reward]
    rounded = [np.round(np.asarray(x, np.float64), DECIMALS) + 0.0 for x in seen]  # + 0.0: no -0.0
    return hashlib.sha256(b"".join(x.tobytes() for x in rounded)).hexdigest()
