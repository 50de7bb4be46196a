"""How a robot from YAML is controlled: the section `control`.

    control: {kind: position, rate: 50, kp: 40, kd: 1, limit: {"*_hip": 8, "*_knee": 60}, action_range: 0.2,
              keep: gripper}
"""

from typing import Annotated, Any, ClassVar, Literal

import mujoco
import numpy as np
from pydantic import AfterValidator, ValidationInfo, field_validator, model_validator

from ..actuators import controls, outputs
from ..variation.elements import find
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


class _Matching:
    """In Annotated: a number, or {name or pattern: number} of elements of a kind."""

    def __init__(self, kind: str):
        self.kind = Named(kind)

    def __call__(self, value: Any, info: ValidationInfo[Names]) -> Any:
        for name in value if isinstance(value, dict) else ():
            self.kind.check([name], info)
        return value


_EACH = "{name or pattern: number}"
_OfActuators = Annotated[Positive | dict[str, Positive], Expected(f"a number above 0, or {_EACH}"),
                         AfterValidator(_Matching("actuators of the MJCF"))]  # fmt: skip
_OfJoints = Annotated[Positive | dict[str, Positive], Expected(f"a number above 0, or {_EACH}"),
                      AfterValidator(_Matching("joints"))]  # fmt: skip
_Damping = Annotated[NotNegative | dict[str, NotNegative], Expected(f"a number of at least 0, or {_EACH}"),
                     AfterValidator(_Matching("joints"))]  # fmt: skip
_Limit = Annotated[
    Positive | dict[str, Positive],
    Expected(f"the largest torque, N m (force, N), of each motor: a number above 0, or {_EACH}"),
    AfterValidator(_Matching("joints")),
]


def each(value: Any, names: list[str]) -> dict[str, Any]:
    """What a number or {name or pattern: number} says of names: the last that matches; nothing of the others."""
    if not isinstance(value, dict):
        return dict.fromkeys(names, value)
    known = dict(enumerate(names))
    return {names[i]: number for pattern, number in value.items() for i in find(pattern, known)}


class Control(Entry):
    """Whose actuators there are, and what actions from -1 to 1 mean to them."""

    renamed: ClassVar[dict[str, str]] = {"reach": "action_range"}
    kind: str
    rate: Annotated[Positive, AfterValidator(_divides)] = option(
        50.0, "Control rate, Hz; a whole number of physics steps each.", validate_default=True
    )
    action_range: _OfActuators = option(
        None, "An action of 1 moves a control this far from home, rad or m of a servo; {name or pattern: number}."
    )

    def frame_skip(self, model: mujoco.MjModel) -> int:
        return max(1, round(1 / (self.rate * model.opt.timestep)))

    def edit(self, model: mujoco.MjModel) -> dict[str, Any] | None:
        """The actuators that the compiler puts in place of the MJCF's; None to keep those."""

    def start(self, model: mujoco.MjModel, keyframe: int, qpos: np.ndarray) -> np.ndarray:
        """Controls (A,) with which an episode starts at positions qpos (nq,) other than the keyframe's.

        Of position servos those that hold them; of all others the keyframe's, of the MJCF's model.
        """
        home = model.key_ctrl[keyframe].copy() if keyframe >= 0 else np.zeros(model.nu)
        data = mujoco.MjData(model)
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        for i, (actuator, _) in enumerate(controls(model)):
            gain, bias = model.actuator_gainprm[actuator], model.actuator_biasprm[actuator]
            if model.actuator_ctrlnum[actuator] == 1 and gain[0] > 0 and bias[1] == -gain[0]:
                home[i] = data.actuator_length[outputs(model, actuator)[0]] - bias[0] / gain[0]
        return home

    def activations(self, model: mujoco.MjModel) -> list[int]:
        """Which activations of the MJCF there are in the final model."""
        return [*range(model.na)]

    def home(self, model: mujoco.MjModel, keyframe: int) -> np.ndarray:
        """Controls of the start, (A,)."""
        return model.key_ctrl[keyframe].copy() if keyframe >= 0 else np.zeros(model.nu)

    def _moved(self, model: mujoco.MjModel) -> list[str]:
        """Actuators that action_range is of."""
        return [*elements(model, "actuators").values()]

    def range(self, model: mujoco.MjModel, keyframe: int) -> tuple[np.ndarray, np.ndarray]:
        """Controls (A,) that actions -1 and 1 stand for, of the final model."""
        low, high = model.actuator_ctrlrange.T.copy()
        if self.action_range is not None:
            far, home = each(self.action_range, self._moved(model)), self.home(model, keyframe)
            for i, (actuator, _) in enumerate(controls(model)):
                reach = far.get(model.actuator(actuator).name)
                if reach is not None:
                    low[i], high[i] = home[i] - reach, home[i] + reach
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

    kind: Literal["torque"] = option(..., "Motors on `joints`, in place of all actuators but `keep`.")
    joints: Annotated[list[str], Named("joints")] = option("*", "Hinges and slides; all by default.")
    keep: Annotated[list[str], Named("actuators of the MJCF", none=True)] = option(
        [], "Actuators of the MJCF that stay as they are, such as a gripper's; actions span their ctrlrange."
    )
    action_range: _OfJoints = option(
        None, "An action of 1 moves a control this far from home; {joint or pattern: number}."
    )
    limit: _Limit = option(
        ..., "Largest torque, N m (force, N): one number, or {joint or pattern: number}."
    )

    @model_validator(mode="after")
    def _one_each(self, info: ValidationInfo[Names]) -> "TorqueControl":
        for key in self._needed if info.context.model else ():
            value = getattr(self, key)
            missing = [joint for joint in self.joints if joint not in each(value, self.joints)]
            if missing and value is not None:
                raise mistaken(f"a number for each joint, got none for {', '.join(missing)}", key, got=value)
        twice = sorted({*self.keep} & {*self.joints})
        if twice:
            raise mistaken(f"actuators of other names than the joints that get a new one ({', '.join(twice)})", "keep",
                           got=self.keep)  # fmt: skip
        return self

    _needed: ClassVar[tuple[str, ...]] = ("limit", "action_range")

    def edit(self, model: mujoco.MjModel) -> dict[str, Any]:
        limits = each(self.limit, self.joints)
        joints = [{"name": j, "limit": limits[j], "home": [0.0] * model.nkey} for j in self.joints]
        return {"kind": self.kind, "joints": joints, "keep": [*self.kept(model)],
                "kept_home": model.key_ctrl[:, [*self._kept_controls(model)]].tolist(),
                "kept_act": model.key_act[:, self.activations(model)].tolist()}  # fmt: skip

    def activations(self, model: mujoco.MjModel) -> list[int]:
        kept = [model.actuator(name) for name in self.kept(model)]
        return [int(actuator.actadr[0]) + i for actuator in kept for i in range(int(actuator.actnum[0]))]

    def start(self, model: mujoco.MjModel, keyframe: int, qpos: np.ndarray) -> np.ndarray:
        kept = super().start(model, keyframe, qpos)[self._kept_controls(model)]
        return np.concatenate([kept, self._holding(model, qpos)])

    def _holding(self, model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
        """Controls of the new actuators, at positions qpos (nq,)."""
        return np.zeros(len(self.joints))

    def kept(self, model: mujoco.MjModel) -> list[str]:
        """The kept actuators in the order of the model."""
        return [name for name in elements(model, "actuators").values() if name in self.keep]

    def _kept_controls(self, model: mujoco.MjModel) -> list[int]:
        """Their controls."""
        return [i for i, (actuator, _) in enumerate(controls(model)) if model.actuator(actuator).name in self.keep]

    def _moved(self, model: mujoco.MjModel) -> list[str]:
        return self.joints


class PositionControl(TorqueControl):
    """PD servos on joints, in place of the actuators of the MJCF."""

    kind: Literal["position"] = option(..., "PD servos on `joints`, in place of all actuators but `keep`.")
    action_range: _OfJoints = option(
        ..., "An action of 1 sends a servo this far from home, rad (m); {joint or pattern: number}."
    )
    kp: _OfJoints = option(
        ..., "Stiffness, N m/rad (N/m): one number, or {joint or pattern: number}."
    )
    kd: _Damping = option(
        0.0, "Damping, N m s/rad (N s/m): one number, or {joint or pattern: number}."
    )

    _needed: ClassVar[tuple[str, ...]] = ("limit", "action_range", "kp")

    def edit(self, model: mujoco.MjModel) -> dict[str, Any]:
        edit, kp, kd = super().edit(model), each(self.kp, self.joints), each(self.kd, self.joints)
        for joint in edit["joints"]:
            name = joint["name"]
            joint |= {"kp": kp[name], "kd": kd.get(name, 0.0)}
            joint["home"] = model.key_qpos[:, model.joint(name).qposadr[0]].tolist()
        return edit

    def _holding(self, model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
        return qpos[[int(model.joint(name).qposadr[0]) for name in self.joints]]

    def home(self, model: mujoco.MjModel, keyframe: int) -> np.ndarray:
        home = super().home(model, keyframe)
        if keyframe < 0:
            joints = model.actuator_trnid[:, 0][-len(self.joints) :]  # behind those that are kept
            home[-len(self.joints) :] = model.qpos0[model.jnt_qposadr[joints]]
        return home


CONTROLS = {"model": ModelControl, "torque": TorqueControl, "position": PositionControl}


def with_actuators(value: Any, handler: Any, info: ValidationInfo[Names]) -> Control:
    """A control, whose actuators the rest of the file may name from here on."""
    control, names = handler(value), info.context
    if isinstance(control, TorqueControl):
        kept = control.kept(names.model) if names.model else []
        names.kept = kept
        names.actuators = dict(enumerate([*kept, *control.joints])) if names.model else None
    elif names.model:
        names.actuators = elements(names.model, "actuators")
        if not names.model.nu:
            raise mistaken("got model, expected torque or position: the MJCF has no actuators", "kind")
    return control
