"""Which actuator each control of a model belongs to: one may have several (`<pid input="pos vel">`), or none."""

import mujoco
import numpy as np


def controls(model: mujoco.MjModel) -> list[tuple[int, str]]:
    """Index of the actuator and name of each control, (nu,): the actuator's name, and which of its controls it is."""
    found = []
    for i in range(model.nactuator):
        count, name = int(model.actuator_ctrlnum[i]), model.actuator(i).name
        found += [(i, name if count == 1 else f"{name} {k}") for k in range(count)]
    return found


def outputs(model: mujoco.MjModel, actuator: int) -> np.ndarray:
    """Indices of what an actuator has in actuator_force, actuator_velocity and actuator_length."""
    first = int(model.actuator_outadr[actuator])
    return np.arange(first, first + int(model.actuator_outnum[actuator]))
