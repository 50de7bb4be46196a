"""One environment step of MuJoCo Warp from each state of a trajectory of Batch, beside Batch in rounded arithmetic.

    errors = one_step_errors(family, tasks, steps=25)
    errors.check()                                        # AssertionError if Warp is further off than float32 explains

Contacts make trajectories chaotic, so two engines are compared over one step from the same recorded states (MuJoCo's
documentation, doc/skills/parity). How much float32 explains is measured on Batch itself: a `Rounded` one rounds its
state and controls to float32 before each physics step, and moves them by up to a unit in the last place.
"""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch

from metarl.envs import BatchEnv
from metarl.envs.family import endless
from metarl.envs.warp import Warp

STATE = ("time", "qpos", "qvel", "act", "qacc_warmstart", "ctrl", "userdata", "mocap_pos", "mocap_quat")
FACTOR, QUANTILES = 8.0, (0.5, 0.9, 0.99)
"""MuJoCo's parity skill allows eight units in the last place; so many for the median and the larger errors."""
RARE = 1e-3
"""The solver, too, computes in float32, and in some states of a thousand stops early: what an error may be at most,
as a share of the largest number."""


class Rounded(Batch):
    """A Batch whose state is float32's, with errors of its last place."""

    def __init__(self, model, nsim, persistent, seed):
        super().__init__(model, nsim, 1, persistent)
        object.__setattr__(self, "rng", np.random.default_rng(seed))

    def step(self, ids=None, nstep=1, stage=0):
        for k in range(nstep):
            for name in ("qpos", "qvel", "act", "ctrl"):
                field = self.bind(name)
                field[:] = field.astype(np.float32) * (1 + self.rng.uniform(-(2**-23), 2**-23, field.shape))
            super().step(ids, 1, stage if k == nstep - 1 else 0)


def rounded(seed, persistent=False):
    """The physics of an environment."""
    return lambda family, model, nsim: Rounded(model, nsim, persistent, seed)


def with_options(family, **options):
    """A copy of a family whose model has other options, for both engines."""
    build, copied = family.build, copy.copy(family)

    def changed():
        model = build()
        for name, value in options.items():
            setattr(model.opt, name, value)
        return model

    copied.build = changed
    return copied


@dataclass
class Errors:
    """Distances from Batch, the largest of each simulation and step: of Warp (T * N,), of rounded ones (S * T * N,).

    And the largest numbers that Batch had.
    """

    warp: dict[str, np.ndarray]
    rounded: dict[str, np.ndarray]
    scale: dict[str, float]

    def ratios(self) -> dict[str, np.ndarray]:
        """Warp's quantiles over those of the rounded runs; 1e-7 is added to both, what is left of a number near 1."""
        return {
            name: (np.quantile(self.warp[name], QUANTILES) + 1e-7) / (np.quantile(self.rounded[name], QUANTILES) + 1e-7)
            for name in self.warp
        }

    def check(self) -> None:
        for name, ratios in self.ratios().items():
            assert (ratios < FACTOR).all(), f"{name}: {ratios} times what float32 explains"
            largest = self.warp[name].max()
            allowed = max(RARE * self.scale[name], FACTOR * self.rounded[name].max())
            assert largest < allowed, f"{name}: off by {largest}, of {self.scale[name]}"


def copy_state(source: BatchEnv, target: BatchEnv) -> None:
    """Let the simulations of target be where those of source are."""
    for name in STATE:
        target.batch.bind(name)[:] = source.batch.bind(name)


def one_step_errors(family, tasks, steps, shadows=3, physics=None, prepare=None, forever=True, **settings) -> Errors:
    """Errors of single steps under random actions, from the states of a Batch; one simulation for each of tasks.

    Args:
        shadows: rounded runs.
        prepare: called with each environment after the reset, to put the simulations elsewhere.
        forever: episodes do not end.
        settings: of the environments; everything that is not an error is asserted to be equal: ends, masks.
    """
    family, n = endless(family) if forever else family, len(tasks)
    settings = {"autoreset_mode": "Disabled"} | settings
    exact = BatchEnv(family, n, num_threads=1, **settings)
    warp = BatchEnv(family, n, physics=physics or Warp(device="cpu"), **settings)
    others = [warp, *(BatchEnv(family, n, physics=rounded(i, family.persistent), **settings) for i in range(shadows))]
    first, _ = exact.reset(seed=0, options={"tasks": tasks})
    for other in others:
        np.testing.assert_allclose(other.reset(seed=0, options={"tasks": tasks})[0], first, rtol=1e-5, atol=1e-5)
    if prepare:
        prepare(exact)
    rng, nq = np.random.default_rng(1), exact.model.nq
    rows: list[dict[str, list]] = [{} for _ in others]
    scale = dict.fromkeys(("qpos", "qvel", "observation", "reward"), 1.0)
    for _ in range(steps):
        action = rng.uniform(-1, 1, exact.action_space.shape)
        for other in others:
            copy_state(exact, other)
        observation, reward, terminated, truncated, info = exact.step(action)
        state = exact.state()
        there = {"qpos": state[:, :nq], "qvel": state[:, nq:], "observation": observation, "reward": reward}
        scale = {name: max(scale[name], np.abs(numbers).max(initial=0)) for name, numbers in there.items()}
        for found, other in zip(rows, others, strict=True):
            seen, earned, *ends, said = other.step(action)
            moved = np.abs(other.state() - state)
            parts = {"qpos": moved[:, :nq], "qvel": moved[:, nq:], "observation": np.abs(seen - observation),
                     "reward": np.abs(earned - reward)[:, None]}  # fmt: skip
            for name, part in parts.items():
                found.setdefault(name, []).append(part.max(axis=1) if part.size else np.zeros(n))
            np.testing.assert_array_equal(ends, [terminated, truncated])
            np.testing.assert_array_equal(said["diverged"], info["diverged"])
            assert set(said) == set(info)
            for i in np.flatnonzero(info.get("_final_obs", [])):
                np.testing.assert_allclose(said["final_obs"][i], info["final_obs"][i], rtol=1e-3, atol=1e-3)
    joined = [{name: np.concatenate(parts) for name, parts in found.items()} for found in rows]
    together = {name: np.concatenate([other[name] for other in joined[1:]]) for name in joined[0]} if shadows else {}
    return Errors(joined[0], together, scale)


CONVERGED = {"iterations": 100, "ls_iterations": 50}
"""For models whose solver stops after few iterations: two engines that stop early stop at different places."""
ELLIPTIC = {"cone": int(mujoco.mjtCone.mjCONE_ELLIPTIC)}
"""For capsules that stand on a plane: Warp turns the friction pyramid of steep ones otherwise."""
