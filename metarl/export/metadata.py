"""What goes with an exported policy: everything that whoever drives a robot with it must know.

    document = describe(run, saved, env, task, adaptation)

Plain data, see docs/guides/export.md. It stands beside the ONNX file as JSON, and in the file as metadata: one entry
for each key of the document, its value in JSON.
"""

from collections.abc import Sequence
from typing import Any, cast

import mujoco
import numpy as np

from metarl.config.robots import with_relative_path
from metarl.envs import BatchEnv, Family, Parameter, Tasks
from metarl.envs.actuators import controls, outputs
from metarl.envs.oracle import told_names
from metarl.envs.sensing import Sensing
from metarl.runs import versions
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run, threads

FORMAT = "metarl-policy-1"
_POSITION = {"free": "m, quaternion", "ball": "quaternion", "slide": "m", "hinge": "rad"}
_EFFORT = {"slide": "N", "hinge": "N m"}
_FIXED, _AFFINE, _PID = (int(kind) for kind in (
    mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtGain.mjGAIN_AFFINE, mujoco.mjtGain.mjGAIN_PID))  # fmt: skip
_NO_BIAS, _AFFINE_BIAS = int(mujoco.mjtBias.mjBIAS_NONE), int(mujoco.mjtBias.mjBIAS_AFFINE)
_JOINT_WRAP = int(mujoco.mjtWrap.mjWRAP_JOINT)  # of a fixed tendon


def describe(
    run: Run, saved: Checkpoint, env: BatchEnv, task: Tasks | None, adaptation: dict[str, Any]
) -> dict[str, Any]:
    """The document.

    Args:
        run, saved: where the policy comes from.
        env: of the run's config.
        task: the one that was adapted to, of length 1; None if the policy adapts by itself.
        adaptation: how.
    """
    low, high = env.family.control_range(env.model)
    oracle = getattr(run.config.algorithm, "oracle", False)
    return {
        "format": FORMAT,
        "run": run.id,
        "algorithm": run.config.algorithm.name,
        "checkpoint": {"iteration": saved.iteration, "sha256": saved.meta["sha256"]},
        "family": run.config.env.family,
        "options": dict(with_relative_path(run.config.env, run.path).options),
        "control_rate": 1.0 / env.dt,
        "action_scale": run.config.env.action_scale,
        "observation": _observation(env, told_names(env.space, run.config.revision) if oracle else ()),
        "joints": _joints(env.model),
        "actuators": [_actuator(env.model, i, float(low[i]), float(high[i])) for i in range(env.model.nu)],
        "task_space": [_parameter(parameter) for parameter in env.space.parameters],
        "task": None if task is None else task.to_json()["tasks"][0],
        "adaptation": adaptation,
        "versions": versions.describe(threads(run.config)),
    }


def _observation(env: BatchEnv, told: Sequence[str]) -> list[dict[str, Any]]:
    """Name, unit and element of each number; of a family that does not say, the number's index alone."""
    entries = [{"name": x.name, "unit": x.unit, "element": x.element} for x in env.family.observation_names()]
    if env.family.sensing and entries:
        entries = [entry | {"sensed": sensed} for entry, sensed in zip(entries, _sensed(env.family), strict=True)]
    if entries:  # of an oracle: training ranges are -1 to 1, categories have a column for each choice
        entries += [{"name": name, "unit": "1", "element": "task"} for name in told]
    return entries or [{"name": str(i)} for i in range(env.single_observation_space.shape[0])]


def _sensed(family: Family) -> list[dict[str, Any]]:
    """What the robot makes each number of: which number that it senses, limited and scaled, and how many steps old."""
    sensing, names = cast(Sensing, family.sensing), family.sensed_names()
    raw = [{"name": x.name, "unit": x.unit} for x in names] or [{"name": str(i)} for i in range(len(sensing.scale))]
    limits = np.stack([sensing.low, sensing.high], axis=1)
    return [raw[i] | {"clip": limits[i].tolist() if np.isfinite(limits[i]).any() else None,
                      "scale": float(sensing.scale[i]), "steps_ago": int(lag)}
            for i, lag in zip(sensing.columns, sensing.lags, strict=True)]  # fmt: skip


def _joints(model: mujoco.MjModel) -> list[dict[str, Any]]:
    joints = []
    for i in range(model.njnt):
        kind = _kind(model, i)
        joint = {"name": model.joint(i).name, "kind": kind, "unit": _POSITION[kind]}
        if model.jnt_limited[i]:
            joint["range"] = model.jnt_range[i].tolist()
        joints.append(joint)
    return joints


def _actuator(model: mujoco.MjModel, control: int, low: float, high: float) -> dict[str, Any]:
    """Name, range and unit of a control, as MuJoCo takes it: of a servo its target, of a motor its effort."""
    i, name = controls(model)[control]
    actuator, moved = {"name": name, "low": low, "high": high}, _moved(model, i)
    if moved is None:
        return actuator | _own_unit(model, i, control)
    gear = float(model.actuator_gear[outputs(model, i)[0], 0])
    limit = _force_limit(model, i, gear)
    more = {"force_limit": limit} if limit else {}
    return actuator | moved["names"] | (_own_unit(model, i, control) or _unit(model, i, control, gear, moved) | more)


def _declared(model: mujoco.MjModel, actuator: int, control: int) -> str:
    """What MuJoCo says that a control is, such as "pos", "vel", "ff"; empty if nothing."""
    return mujoco.mj_actuatorInputName(model, actuator, control - int(model.actuator_ctrladr[actuator])) or ""


def _own_unit(model: mujoco.MjModel, actuator: int, control: int) -> dict[str, str]:
    """Kind and unit of a control whose unit has nothing to do with what it moves."""
    if model.actuator_gaintype[actuator] == int(mujoco.mjtGain.mjGAIN_MUSCLE):
        return {"kind": "muscle", "unit": "1"}
    kinds = {"voltage": {"kind": "dcmotor", "unit": "V"}, "pressure": {"kind": "cylinder", "unit": "Pa"}}
    return kinds.get(_declared(model, actuator, control), {})


def _unit(model: mujoco.MjModel, i: int, control: int, gear: float, moved: dict[str, Any]) -> dict[str, Any]:
    """Kind and unit of a control of position or effort, and the gains of a servo at what it moves."""
    declared, position, effort = _declared(model, i, control), moved["position"], moved["effort"]
    types = (int(model.actuator_gaintype[i]), int(model.actuator_biastype[i]))
    gain, (_, kp, kd) = model.actuator_gainprm[i], -model.actuator_biasprm[i, :3]
    integrates = int(model.actuator_dyntype[i] == int(mujoco.mjtDyn.mjDYN_INTEGRATOR))
    if declared == "ff":
        return {"kind": "motor", "unit": f"{gear:g} {effort}"}
    if declared or (types == (_FIXED, _AFFINE_BIAS) and (kp or kd)):
        unit = f"{position}/s" if declared == "vel" else position
        if not declared:  # a general actuator: force = gain u - kp q - kd dq/dt
            per, rates = float(gain[0] / (kp or kd)), (not kp) + integrates
            unit = ("" if np.isclose(per, 1) else f"{per:g} ") + position + ("", "/s", "/s²")[rates]
        gains = {"kp": float(kp * gear**2), "kd": float(kd * gear**2)} if types[0] in (_FIXED, _PID) else {}
        return {"kind": "servo", "unit": unit, "gear": gear} | gains
    if types == (_AFFINE, _NO_BIAS) and gain[0] == gain[1] == 0:
        return {"kind": "damper", "unit": f"{-float(gain[2]) * gear**2:g} {effort} s/{position}"}
    if types[0] == _FIXED:
        return {"kind": "motor", "unit": f"{float(gain[0]) * gear:g} {effort}" + "/s" * integrates}
    return {}


def _moved(model: mujoco.MjModel, actuator: int) -> dict[str, Any] | None:
    """The hinge, slide or spatial tendon that an actuator moves, with the units of its position and effort."""
    kind, target = int(model.actuator_trntype[actuator]), int(model.actuator_trnid[actuator, 0])
    if kind in (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)):
        joint = _kind(model, target)
        if joint not in _EFFORT:
            return None
        return {"names": {"joint": model.joint(target).name}, "position": _POSITION[joint], "effort": _EFFORT[joint]}
    spatial = kind == int(mujoco.mjtTrn.mjTRN_TENDON) and model.wrap_type[model.tendon_adr[target]] != _JOINT_WRAP
    return {"names": {"tendon": model.tendon(target).name}, "position": "m", "effort": "N"} if spatial else None


def _force_limit(model: mujoco.MjModel, actuator: int, gear: float) -> list[float]:
    """The least and the largest effort, at the joint; empty without limits."""
    limits = [sorted(gear * model.actuator_forcerange[actuator])] if model.actuator_forcelimited[actuator] else []
    joint = int(model.actuator_trnid[actuator, 0])
    if int(model.actuator_trntype[actuator]) == int(mujoco.mjtTrn.mjTRN_JOINT) and model.jnt_actfrclimited[joint]:
        limits.append([*model.jnt_actfrcrange[joint]])
    return [float(max(low for low, _ in limits)), float(min(high for _, high in limits))] if limits else []


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """What the task space says of one number; what does not apply is left out."""
    described = {
        "name": parameter.name,
        "unit": parameter.unit,
        "description": parameter.description,
        "default": parameter.default,
        "distribution": parameter.distribution,
    }
    if parameter.continuous:
        described |= {"low": parameter.low, "high": parameter.high}
    for name in ("choices", "held_out", "extrapolation"):
        if getattr(parameter, name):
            described[name] = list(getattr(parameter, name))
    return described


def _kind(model: mujoco.MjModel, joint: int) -> str:
    return mujoco.mjtJoint(int(model.jnt_type[joint])).name.removeprefix("mjJNT_").lower()
