"""What goes with an exported policy: everything that whoever drives a robot with it must know.

    document = describe(run, saved, env, task, adaptation)

Plain data, see docs/export.md. It stands beside the ONNX file as JSON, and in the file as metadata: one entry for each
key of the document, its value in JSON.
"""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from metarl.envs import BatchEnv, Parameter, Tasks
from metarl.envs.actuators import controls
from metarl.envs.oracle import told_names
from metarl.runs import versions
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run, threads

FORMAT = "metarl-policy-1"
_POSITION = {"free": "m, quaternion", "ball": "quaternion", "slide": "m", "hinge": "rad"}
_EFFORT = {"slide": "N", "hinge": "N m"}


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
        "options": dict(run.config.env.options),
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
    if entries:  # of an oracle: training ranges are -1 to 1, categories have a column for each choice
        entries += [{"name": name, "unit": "1", "element": "task"} for name in told]
    return entries or [{"name": str(i)} for i in range(env.single_observation_space.shape[0])]


def _joints(model: mujoco.MjModel) -> list[dict[str, Any]]:
    joints = []
    for i in range(model.njnt):
        kind = _kind(model, i)
        joint = {"name": model.joint(i).name, "kind": kind, "unit": _POSITION[kind]}
        if model.jnt_limited[i]:
            joint["range"] = model.jnt_range[i].tolist()
        joints.append(joint)
    return joints


def _actuator(model: mujoco.MjModel, i: int, low: float, high: float) -> dict[str, Any]:
    """Name, range and unit of a control, as the MJCF declares them: of a servo its target, of a motor its effort."""
    i, name = controls(model)[i]
    actuator = {"name": name, "low": low, "high": high}
    if model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT:
        return actuator
    joint = int(model.actuator_trnid[i, 0])
    kind = _kind(model, joint)
    actuator["joint"] = model.joint(joint).name
    gain, bias = float(model.actuator_gainprm[i, 0]), model.actuator_biasprm[i]
    if model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_AFFINE and kind in _EFFORT:
        target = _POSITION[kind] if np.isclose(bias[1], -gain) else f"{_POSITION[kind]}/s"
        return actuator | {"kind": "servo", "unit": target, "gear": float(model.actuator_gear[i, 0])}
    if model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE and kind in _EFFORT:
        effort = f"{gain * float(model.actuator_gear[i, 0]):g} {_EFFORT[kind]}"
        return actuator | {"kind": "motor", "unit": effort}
    return actuator


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
