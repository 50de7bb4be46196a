"""Fields of a model with values of their own in each world.

    fields = ModelFields("Go1Fault", mjm, model, nworld)
    fields.expand("body_mass")[ids] = masses              # (N, nbody)

A field of MuJoCo Warp's model has one row for all worlds until it is expanded. What physics does not read
(`numeric_data`) or only a reset does (`key_qpos`) is kept beside that model; all else that Warp does not batch is
refused.
"""

import dataclasses
from collections.abc import Callable

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp

from metarl.util.text import nearest

from .live import Live, live

BESIDE = ("numeric_data", "key_qpos")
CONSTANTS = (
    "body_subtreemass", "body_invweight0", "dof_invweight0", "tendon_length0", "tendon_invweight0", "actuator_acc0",
    "geom_aabb", "geom_rbound",
)  # fmt: skip
"""What set_const computes of other fields, and physics reads."""
_SWITCHES = {
    "opt.wind": "has_fluid", "opt.density": "has_fluid", "opt.viscosity": "has_fluid",
    "tendon_stiffness": "has_tendon_stiffness", "tendon_damping": "has_tendon_damping",
}  # fmt: skip
"""Parts of the physics that Warp leaves out where the model it is given has none of them."""


class ModelFields:
    """The fields of a `mujoco_warp.Model`, by the names of `mujoco.batch.Batch.expand`.

    Args:
        family: whose model it is, for messages.
        source, model: the same model in MuJoCo and in Warp.
        changed: called when what is computed in a step changes.
    """

    def __init__(
        self, family: str, source: mujoco.MjModel, model: mjw.Model, nworld: int, changed: Callable[[], None]
    ):
        self._family, self._source, self._model, self._nworld = family, source, model, nworld
        self._changed = changed
        self.expanded: dict[str, Live] = {}

    def expand(self, name: str) -> Live:
        """A field with values of its own in each world, (N, ...).

        Raises:
            ValueError: there is no such field, or Warp has it once for all worlds.
        """
        if name not in self.expanded:
            self.expanded[name] = self._beside(name) if name in BESIDE else self._in_warp(name)
        return self.expanded[name]

    def expand_constants(self) -> None:
        """Give every world constants of its own, for set_const to compute."""
        for name in CONSTANTS:
            if getattr(self._model, name).size:
                self.expand(name)

    def write_into(self, model: mujoco.MjModel, world: int) -> None:
        """Write a world's fields into a model of MuJoCo."""
        for name, values in self.expanded.items():
            owner, attribute = (model.opt, name[4:]) if name.startswith("opt.") else (model, name)
            row = values[world].cpu().numpy()
            if row.ndim:
                getattr(owner, attribute)[...] = row
            else:
                setattr(owner, attribute, row.item())

    def _beside(self, name: str) -> Live:
        rows = torch.as_tensor(self._source_of(name), dtype=torch.float32, device=wp.device_to_torch(wp.get_device()))
        return live(rows.expand(self._nworld, *rows.shape).clone())

    def _in_warp(self, name: str) -> Live:
        owner, attribute = (self._model.opt, name[4:]) if name.startswith("opt.") else (self._model, name)
        if attribute not in batched(type(owner)):
            names = [*batched(mjw.Model), *(f"opt.{field}" for field in batched(mjw.Option)), *BESIDE]
            raise ValueError(
                f"{self._family}: MuJoCo Warp has {name} once for all simulations, so that no task can change it; use"
                f" env.physics mujoco{nearest(name, names)}"
            )
        shared = getattr(owner, attribute)
        array = wp.array(np.repeat(shared.numpy(), self._nworld, axis=0), dtype=shared.dtype)
        setattr(owner, attribute, array)
        if name in _SWITCHES:
            setattr(self._model, _SWITCHES[name], True)
        self._changed()
        return live(wp.to_torch(array).view(self._nworld, *self._source_of(name).shape))

    def _source_of(self, name: str) -> np.ndarray:
        owner, attribute = (self._source.opt, name[4:]) if name.startswith("opt.") else (self._source, name)
        return np.asarray(getattr(owner, attribute))


def batched(kind: type) -> list[str]:
    """The fields of `mujoco_warp.Model` or its `Option` that may have a row for each world."""
    return [field.name for field in dataclasses.fields(kind) if getattr(field.type, "shape", (0,))[0] == "*"]
