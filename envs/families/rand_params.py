"""Hopper and Walker2d with every body, joint and contact drawn at random, after rand_param_envs (Lee, 2017).

    env = make("Walker2dRandParams", 200)                   # 23 numbers a task, all of bodies that can exist
    env = make("HopperRandParams", 200, published=True)     # as published: 34 numbers, bodies that cannot exist

Each number is a factor: 1.5^U(-3, 3) on masses, inertias and friction, 1.3^U(-3, 3) on joint damping.

The published form draws a factor for each principal inertia by itself, which in nearly every task gives some body
inertias that break the triangle inequality. A planar robot turns about one axis only, so that the valid form, with one
factor for all three axes of a body, moves in the same way over the same range. It also leaves out what no healthy
episode can show: friction against spinning and rolling, and of limbs that touch the ground only after a fall.
"""

from ..parameter import Parameter
from ..task import TaskSpace
from ..variation.write import Write
from .hopper import Hopper
from .walker2d import Walker2d

_LIMIT, _BEYOND = 3.0, 3.5  # exponents: of training and held-out tasks, of extrapolation


def _factor(name: str, description: str, base: float, write: Write) -> Parameter:
    low, high = base**-_LIMIT, base**_LIMIT
    return Parameter(name, "1", f"factor on the {description}", 1.0, "log_uniform", low, high, writes=write,
                     extrapolation=((base**-_BEYOND, low), (high, base**_BEYOND)))


def rand_params(
    family: str, limbs: tuple[str, ...], *, published: bool, touching: tuple[str, ...] = ()
) -> TaskSpace:
    """The task space of a planar robot: a torso and limbs, each with a geom and a joint that are named after it.

    touching names the geoms whose friction the valid form varies, beside the floor.
    """
    bodies = ("torso", *limbs)
    joints = [f"{limb}_joint" for limb in limbs]
    geoms = ("floor", *(f"{body}_geom" for body in bodies)) if published else ("floor", *touching)
    axes = {"_x": "x", "_y": "y", "_z": "z"} if published else {"": ""}
    kinds = ("friction", "torsional_friction", "rolling_friction") if published else ("friction",)
    return TaskSpace(family, (
        *(_factor(f"mass_{b}", f"mass of {b}", 1.5, Write("mass_only", b)) for b in bodies),
        *(_factor(f"inertia{suffix}_{b}", f"inertia of {b}", 1.5, Write("inertia", b, axis=axis))
          for b in bodies for suffix, axis in axes.items()),
        *(_factor(f"damping_{j}", f"damping of {j}", 1.3, Write("damping", j)) for j in joints),
        *(_factor(f"{kind}_{g}", f"{kind.replace('_', ' ')} of {g}", 1.5, Write(kind, g))
          for g in geoms for kind in kinds),
    ))  # fmt: skip


class HopperRandParams(Hopper):
    """Hop forward with random masses, inertias, damping and friction: r = vx + 1 while healthy - 0.001 * sum(a^2).

    published=True: inertias about the three axes of a body are drawn apart, whether such a body can exist or not.
    """

    name = "HopperRandParams"

    def __init__(self, published: bool = False):
        self.space = rand_params(
            self.name, ("thigh", "leg", "foot"), published=published, touching=("foot_geom",)
        )


class Walker2dRandParams(Walker2d):
    """Walk forward with random masses, inertias, damping and friction: r = vx + 1 while healthy - 0.001 * sum(a^2).

    published=True: inertias about the three axes of a body are drawn apart, whether such a body can exist or not.
    """

    name = "Walker2dRandParams"

    def __init__(self, published: bool = False, frame_skip: int = 4):
        super().__init__(frame_skip)
        limbs = ("thigh", "leg", "foot", "thigh_left", "leg_left", "foot_left")
        touching = ("foot_geom", "foot_left_geom")
        self.space = rand_params(self.name, limbs, published=published, touching=touching)
