"""How a robot from YAML is controlled, and where its episodes start: the sections `control` and `start`.

    control: {kind: position, rate: 50, kp: 40, kd: 1, limit: {hip: 8, knee: 60}, action_range: 0.2}
    start: {keyframe: home, position_noise: {hip: 0.1}, velocity_noise: 0.2}
"""

from typing import Annotated, Any, ClassVar, Literal

import mujoco
import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator

from ..actuators import controls
from .entries import Entry, Expected, Named, Names, NotNegative, Positive, Share, elements, mistaken, option

MOST_STEPS = 10_000  # of physics in an environment step


def _divides(rate: float, info: ValidationInfo[Names]) -> float:
    if info.context.model is not None:
        physics = 1 / info.context.model.opt.timestep
        steps = max(1, round(physics / rate))
        if steps > MOST_STEPS:
            raise ValueError(f"a rate of at least {physics / MOST_STEPS:g}: {MOST_STEPS} physics steps each, at the"
                             f" MJCF's timestep of {1 / physics:g} s")  # fmt: skip
        if abs(rate * steps - physics) > 1e-5 * physics:  # a rate of six digits, as they are proposed here
            raise ValueError(f"a rate that divides the {physics:g} physics steps a second, such as"
                             f" {physics / (steps + 1):g}, {physics / steps:g}")  # fmt: skip
    return rate


class Control(Entry):
    """Whose actuators there are, and what actions from -1 to 1 mean to them."""

    renamed: ClassVar[dict[str, str]] = {"reach": "action_range"}
    kind: str
    rate: Annotated[Positive, AfterValidator(_divides)] = option(
        50.0, "Control rate, Hz; a whole number of physics steps each.", validate_default=True
    )
    action_range: Positive = option(None, "An action of 1 moves a control this far from home, rad or m of a servo.")

    def frame_skip(self, model: mujoco.MjModel) -> int:
        return max(1, round(1 / (self.rate * model.opt.timestep)))

    def edit(self, model: mujoco.MjModel) -> dict[str, Any] | None:
        """The actuators that the compiler puts in place of the MJCF's; None to keep those."""

    def home(self, model: mujoco.MjModel, keyframe: int) -> np.ndarray:
        """Controls of the start, (A,)."""
        return model.key_ctrl[keyframe].copy() if keyframe >= 0 else np.zeros(model.nu)

    def range(self, model: mujoco.MjModel, keyframe: int) -> tuple[np.ndarray, np.ndarray]:
        """Controls (A,) that actions -1 and 1 stand for, of the final model."""
        if self.action_range is not None:
            home = self.home(model, keyframe)
            return home - self.action_range, home + self.action_range
        low, high = model.actuator_ctrlrange.T.copy()
        unlimited = [name for (_, name), free in zip(controls(model), low >= high, strict=True) if free]
        if unlimited:
            raise ValueError(f"actuators {', '.join(unlimited)} have no ctrlrange in the MJCF, expected one, or"
                             " action_range")  # fmt: skip
        return low, high


class ModelControl(Control):
    """The actuators of the MJCF."""

    kind: Literal["model"] = option("model", "The actuators of the MJCF.")
    scale: Share = option(None, "Share of each ctrlrange, about its middle, that actions from -1 to 1 span.")

    @field_validator("scale")
    @classmethod
    def _either(cls, value: float, info: ValidationInfo[Names]) -> float:
        if info.data.get("action_range") is not None:
            raise mistaken("got both action_range and scale, expected one of them")
        return value

    def range(self, model: mujoco.MjModel, keyframe: int) -> tuple[np.ndarray, np.ndarray]:
        low, high = super().range(model, keyframe)
        if self.scale in (None, 1.0):
            return low, high
        middle, half = 0.5 * (low + high), 0.5 * self.scale * (high - low)
        return middle - half, middle + half


class TorqueControl(Control):
    """Motors on joints, in place of the actuators of the MJCF."""

    kind: Literal["torque"] = option(..., "Motors on `joints`, in place of all actuators.")
    joints: Annotated[list[str], Named("joints")] = option("*", "Hinges and slides; all by default.")
    limit: Annotated[
        Positive | dict[str, Positive],
        Expected("the largest torque, N m (force, N), of each motor: a number above 0, or {joint: number}"),
    ] = option(..., "Largest torque, N m (force, N): one number, or one for each joint.")

    @field_validator("limit")
    @classmethod
    def _one_each(cls, value: Any, info: ValidationInfo[Names]) -> Any:
        joints = info.data.get("joints")
        if isinstance(value, dict) and joints and info.context.model and set(value) != set(joints):
            raise ValueError(f"a number above 0, or one for each of {', '.join(joints)}")
        return value

    def edit(self, model: mujoco.MjModel) -> dict[str, Any]:
        limits = self.limit if isinstance(self.limit, dict) else dict.fromkeys(self.joints, self.limit)
        joints = [{"name": j, "limit": limits[j], "home": [0.0] * model.nkey} for j in self.joints]
        return {"kind": self.kind, "joints": joints}


class PositionControl(TorqueControl):
    """PD servos on joints, in place of the actuators of the MJCF."""

    kind: Literal["position"] = option(..., "PD servos on `joints`, in place of all actuators.")
    action_range: Positive = option(..., "An action of 1 sends a servo this far from home, rad (m).")
    kp: Positive = option(..., "Stiffness, N m/rad (N/m).")
    kd: NotNegative = option(0.0, "Damping, N m s/rad (N s/m).")

    def edit(self, model: mujoco.MjModel) -> dict[str, Any]:
        edit: dict[str, Any] = super().edit(model) | {"kp": self.kp, "kd": self.kd}
        for joint in edit["joints"]:
            joint["home"] = model.key_qpos[:, model.joint(joint["name"]).qposadr[0]].tolist()
        return edit

    def home(self, model: mujoco.MjModel, keyframe: int) -> np.ndarray:
        joints = model.actuator_trnid[:, 0]
        return super().home(model, keyframe) if keyframe >= 0 else model.qpos0[model.jnt_qposadr[joints]]


CONTROLS = {"model": ModelControl, "torque": TorqueControl, "position": PositionControl}


def with_actuators(value: Any, handler: Any, info: ValidationInfo[Names]) -> Control:
    """A control, whose actuators the rest of the file may name from here on."""
    control, names = handler(value), info.context
    if isinstance(control, TorqueControl):
        names.actuators = dict(enumerate(control.joints)) if names.model else None
    elif names.model:
        names.actuators = elements(names.model, "actuators")
        if not names.model.nu:
            raise mistaken("got model, expected torque or position: the MJCF has no actuators", "kind")
    return control


class Start(Entry):
    """Where episodes start."""

    keyframe: Annotated[str, Named("keyframes", many=False)] = option("", "Of the MJCF; by default its qpos0.")
    position_noise: Annotated[
        NotNegative | dict[str, NotNegative], Expected("a number of at least 0, or {joint: number}")
    ] = option(0.0, "Half width of uniform noise on hinges (rad) and slides (m): a number, or {joint: number}.")
    velocity_noise: NotNegative = option(0.0, "Half width of uniform noise on all velocities, rad/s, m/s.")

    @field_validator("position_noise")
    @classmethod
    def _joints(cls, value: Any, info: ValidationInfo[Names]) -> Any:
        joint = Named("joints", many=False)
        return {joint.check(name, info): n for name, n in value.items()} if isinstance(value, dict) else value

    def noise(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Half widths of the noise of positions (nq,) and velocities (nv,)."""
        noise, position = self.position_noise, np.zeros(model.nq)
        each = noise if isinstance(noise, dict) else dict.fromkeys(elements(model, "joints").values(), noise)
        for joint, amount in each.items():
            position[model.joint(joint).qposadr[0]] = amount
        return position, np.full(model.nv, self.velocity_noise)
