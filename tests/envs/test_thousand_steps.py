"""Every robot of the catalogue over 1,000 random steps: finite, and bit for bit a loop of single MuJoCo simulations.

The loop knows nothing of metarl but the compiled model of each task, the states that episodes begin with and the
controls; rewards and observations have independent answers in the tests of each family.
"""

import mujoco
import numpy as np
import pytest

from metarl.envs import FAMILIES, BatchEnv, MissingExtra, make_family
from metarl.envs.family import endless

STEPS, N = 1000, 3
NO_PHYSICS = {"Navigation2D", "Navigation2DSparse", "Navigation2DWind"}
SAME_ROBOT = {"HalfCheetahDir", "HalfCheetahVel", "AntDir2D", "AntVel", "AntGoal", "Walker2dDir", "Walker2dVel"}
LEFT_OUT = NO_PHYSICS | SAME_ROBOT | {"MetaWorldML1"}  # which has a test against its own package
SIMULATED = [name for name in FAMILIES if FAMILIES[name].batched and name not in LEFT_OUT]


class Plain:
    """Simulation i of an environment that has just begun an episode."""

    def __init__(self, env: BatchEnv, i: int):
        self.model = env.model_of(i)
        self.data = mujoco.MjData(self.model)
        if env.family.keyframe >= 0:
            mujoco.mj_resetDataKeyframe(self.model, self.data, env.family.keyframe)
        self.data.qpos[:], self.data.qvel[:] = env.batch.bind("qpos")[i], env.batch.bind("qvel")[i]
        self.data.time = env.batch.bind("time")[i]
        if env.family.reset_stage:
            mujoco.mj_forward(self.model, self.data)

    def step(self, ctrl: np.ndarray, substeps: int) -> None:
        self.data.ctrl[:] = ctrl
        for _ in range(substeps):
            mujoco.mj_step(self.model, self.data)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_thousand_random_steps_are_those_of_single_simulations(name):
    try:
        env = BatchEnv(endless(make_family(name)), N, horizon=10**6, autoreset_mode="Disabled", num_threads=1)
    except MissingExtra as missing:
        pytest.skip(str(missing))
    rng = np.random.default_rng(0)
    split = "extrapolation" if any(p.extrapolation for p in env.space.parameters) else "train"
    values = np.concatenate([env.space.sample(2, "train", rng).values, env.space.sample(1, split, rng).values])
    env.reset(seed=1, options={"tasks": env.space.tasks(**dict(zip(env.space.names, values.T, strict=True)))})
    plain = [Plain(env, i) for i in range(N)]
    onsets = [np.ceil(values[:, env.space.names.index(p.onset)]) for p in env.space.parameters if p.onset]
    ended, elapsed = np.zeros(N, bool), np.zeros(N)
    for step in range(STEPS):
        again = ended | (rng.random(N) < 0.004)
        if again.any():
            env.reset(options={"reset_mask": again})
            for i in np.flatnonzero(again):
                plain[i], elapsed[i] = Plain(env, i), 0
        observation, reward, ended, _, info = env.step(rng.uniform(-1, 1, (N, env.model.nu)))
        assert np.isfinite(observation).all() and np.isfinite(reward).all() and not info["diverged"].any(), step
        for i, one in enumerate(plain):
            if any(elapsed[i] == onset[i] for onset in onsets):
                one.model = env.model_of(i)
            one.step(env.batch.bind("ctrl")[i], env.family.frame_skip)
            assert np.array_equal(one.data.qpos, env.batch.bind("qpos")[i]), (step, i)
            assert np.array_equal(one.data.qvel, env.batch.bind("qvel")[i]), (step, i)
        elapsed += 1
