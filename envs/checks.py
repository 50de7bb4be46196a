"""Checks of a family before anything is trained on it: does every parameter do something, can every body exist.

    assert_effective(make_family("HalfCheetahMass"))      # ValueError naming the parameters that change nothing
    assert_physical(env.model_of(0))                      # positive masses, inertias that a body can have
"""

import mujoco
import numpy as np

from .batch_env import BatchEnv
from .family import Family, endless
from .idle import reason
from .parameter import Parameter

_MOST_VALUES = 12  # of one parameter that are tried


def effects(family: Family, *, steps: int | None = None, backgrounds: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """The first step in which each value of each parameter makes a difference: by name (values tried, 2).

    Rows are (value, step), the step NaN if there is none. Two simulations with the same reset noise and the same random
    controls, one at the default of that parameter, differ in nothing else, and are compared in observation, reward,
    termination and state, exactly. This is done with the other parameters at their defaults and in random training
    tasks, since one may do nothing unless another one is off its default. A termination does not end the comparison.

    Args:
        steps: environment steps that are tried; the family's horizon but at most 200 if None.
        backgrounds: tasks, the default one included, in which each value is tried.
        seed: of tasks, reset noise and controls.
    """
    space, rng = family.space, np.random.default_rng(seed)
    others = space.sample(backgrounds - 1, "train", rng).values
    base = np.concatenate([space.default().values, others])  # (B, D)
    tried = [values_to_try(p) for p in space.parameters]
    blocks, partner = [], []  # tasks (B, D) each; which block each is compared with
    for column, values in enumerate(tried):
        partner += [len(blocks)] * (1 + len(values))
        for value in (space.parameters[column].default, *values):
            blocks.append(base.copy())
            blocks[-1][:, column] = value
    tasks, changed = np.concatenate(blocks), np.array(partner) != np.arange(len(blocks))
    n = len(tasks)
    env = BatchEnv(endless(family), n, autoreset_mode="Disabled", horizon=2**31)
    env.reset(seed=[seed] * n, options={"tasks": space.tasks(**dict(zip(space.names, tasks.T, strict=True)))})
    steps = min(family.horizon, 200) if steps is None else steps
    first = np.full(n, np.nan)
    for step in range(steps):
        action = rng.uniform(-1, 1, env.model.nu)
        observation, reward, *_ = env.step(np.tile(action, (n, 1)))
        terminated = family.terminated(env.batch, env.parameters)
        terminated = np.zeros(n, bool) if terminated is None else terminated
        seen = np.column_stack([observation, reward, terminated, env.state()]).reshape(len(blocks), backgrounds, -1)
        other = seen[partner]
        differs = ((seen != other) & ~(np.isnan(seen) & np.isnan(other))).any(axis=2).ravel()
        first[differs & np.isnan(first)] = step
        if not np.isnan(first.reshape(len(blocks), backgrounds)[changed]).all(axis=1).any():
            break  # every value made a difference somewhere, and no other one could be earlier
    env.close()
    earliest = np.fmin.reduce(first.reshape(len(blocks), backgrounds), axis=1)
    starts = np.cumsum([1 + len(values) for values in tried])[:-1]
    return {
        name: np.column_stack([values, found[1:]])
        for name, values, found in zip(space.names, tried, np.split(earliest, starts), strict=True)
    }


def assert_effective(family: Family, **settings) -> None:
    """Raise ValueError, naming them, if parameters change nothing in the trajectory; settings as for `effects`.

    Of a range one end must do something; of choices every one but the default.
    """
    idle = []
    for p, found in zip(family.space.parameters, effects(family, **settings).values(), strict=True):
        without = found[np.isnan(found[:, 1]), 0]
        if len(without) and (not p.continuous or len(without) == len(found)):
            at = "" if len(without) == len(found) else " at " + ", ".join(f"{v:g}" for v in without)
            why = reason(family, p, without)
            idle.append(p.name + at + (f" ({why})" if why else ""))
    if idle:
        raise ValueError(
            f"{family.name}: no effect on the trajectory of {'; '.join(idle)}; check which element and quantity the"
            " parameter writes, or leave it out"
        )


def values_to_try(parameter: Parameter) -> np.ndarray:
    """Values unlike the default: the ends of a range, or choices of training and test."""
    pool = (parameter.low, parameter.high) if parameter.continuous else parameter.choices
    different = np.array([v for v in pool if v != parameter.default], np.float64)
    if len(different) > _MOST_VALUES:
        different = different[np.linspace(0, len(different) - 1, _MOST_VALUES).astype(int)]
    return different


def assert_physical(model: mujoco.MjModel) -> None:
    """Raise ValueError if a body that moves has no mass, or an inertia that no body can have."""
    for body in np.flatnonzero(model.body_weldid != 0):
        name, mass = model.body(body).name, model.body_mass[body]
        small, middle, large = np.sort(model.body_inertia[body])
        if not mass > 0 and (mass < 0 or large > 0):  # a frame without mass and inertia is none
            raise ValueError(f"body {name!r}: mass must be positive, got {mass:g} kg")
        # equality is a thin plate, to rounding
        if small < 0 or small + middle < large * (1 - 1e-9):
            raise ValueError(
                f"body {name!r}: no body has the principal inertias {small:g}, {middle:g}, {large:g} kg m²: the largest"
                " exceeds the sum of the others"
            )
