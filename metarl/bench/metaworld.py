"""Meta-World: how much of the time of its environments is physics.

    result = run()
    result["metaworld_vs_physics"]["ML10"]                # 1 would be rewards and observations that cost nothing
    result["metaworld_with_resets_vs_physics"]["ML10"]    # of whole episodes, in tasks that were not there before

200 simulations with tasks of training under random actions, against `mujoco.batch.Batch.step` under the same controls
on the same threads, in turn. Nothing where the metaworld package is not installed.
"""

import time
from typing import Any, cast

from gymnasium.vector import AutoresetMode

from metarl.bench.physics import parts_of, steps_vs_physics
from metarl.envs import BatchEnv, MixedEnv, make, make_family
from metarl.envs.metaworld.sawyer import METAWORLD, Sawyer
from metarl.util.rng import stream

SIMULATIONS = 200
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "reach-v3": ("MetaWorldML1", {"env_name": "reach-v3"}),
    "push-v3": ("MetaWorldML1", {"env_name": "push-v3"}),
    "pick-place-v3": ("MetaWorldML1", {"env_name": "pick-place-v3"}),
    "ML10": ("MetaWorldML10", {}),
}


def run(rounds: int = 5, seconds: float = 0.5, simulations: int = SIMULATIONS) -> dict[str, dict[str, float]]:
    """Measure; each round takes about seconds for either, on all cores."""
    if not METAWORLD.installed():
        return {}
    steps, resets, speeds = {}, {}, {}
    for label, (name, options) in CASES.items():
        family = make_family(name, **options)
        made = make(family, simulations, horizon=2**31, autoreset_mode=AutoresetMode.DISABLED)
        env = cast(BatchEnv | MixedEnv, made)
        steps[label], speeds[label] = steps_vs_physics(env, rounds, seconds)
        for part in parts_of(env):
            if isinstance(part.family, Sawyer):
                part.family.forget_starts()
        start = time.perf_counter()
        env.reset(seed=stream(0, "bench"))
        reset = time.perf_counter() - start
        episode = family.horizon * simulations / speeds[label]
        resets[label] = steps[label] * episode / (episode + reset)
        env.close()
    return {
        "metaworld_vs_physics": steps, "metaworld_with_resets_vs_physics": resets,
        "metaworld_steps_per_second": speeds,
    }  # fmt: skip
