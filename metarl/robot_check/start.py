"""What is odd about the start of a robot's episodes and its camera, before any step: lines for people.

    warnings += start_warnings(env)
"""

import mujoco
import numpy as np

from metarl.envs import BatchEnv
from metarl.envs.actuators import controls, outputs, robot_body
from metarl.robot_check.draft import is_servo

_DEPTH = 0.005  # m that bodies may be in each other: more than what contacts at rest give in
_OFF = 0.05  # rad, m that a servo may be away from its target
_ASPECT = 4 / 3


def start_warnings(env: BatchEnv) -> list[str]:
    """Joints outside of their limits, bodies in each other, servos that pull at once, a camera that misses."""
    model, family = env.model, env.family
    data = mujoco.MjData(model)
    if family.keyframe >= 0:
        mujoco.mj_resetDataKeyframe(model, data, family.keyframe)
    controls_ = family.start_controls(model)
    if controls_ is not None:
        data.ctrl[:] = controls_
    mujoco.mj_forward(model, data)
    found = [*_outside(model, data), *_inside(model, data), *_pulling(env, data), *_unseen(env, data)]
    return [f"at the start {line}" for line in found]


def _outside(model: mujoco.MjModel, data: mujoco.MjData) -> list[str]:
    kinds = [int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)]
    bounded = np.flatnonzero(model.jnt_limited.astype(bool) & np.isin(model.jnt_type, kinds))
    places, ranges = data.qpos[model.jnt_qposadr[bounded]], model.jnt_range[bounded]
    beyond = np.flatnonzero((places < ranges[:, 0] - 1e-6) | (places > ranges[:, 1] + 1e-6))
    joints = [f"{model.joint(int(bounded[i])).name} at {places[i]:.3g}, limits {ranges[i, 0]:.3g} to {ranges[i, 1]:.3g}"
              for i in beyond]  # fmt: skip
    return [f"joints are outside of their limits: {_few(joints)}; give them a start.pose"] if joints else []


def _inside(model: mujoco.MjModel, data: mujoco.MjData) -> list[str]:
    deep: dict[tuple[str, str], float] = {}
    for contact in data.contact:
        if contact.dist < -_DEPTH:  # the world first
            outer, inner = sorted((int(geom) for geom in contact.geom), key=lambda geom: model.geom_bodyid[geom])
            pair = _part(model, outer), _part(model, inner)
            deep[pair] = max(deep.get(pair, 0.0), -float(contact.dist))
    pairs = [f"{b} is {depth:.3g} m inside {a}" for (a, b), depth in sorted(deep.items(), key=lambda item: -item[1])]
    return [f"{_few(pairs)}; start higher (start.bodies) or in another pose"] if pairs else []


def _part(model: mujoco.MjModel, geom: int) -> str:
    return model.geom(geom).name or model.body(int(model.geom_bodyid[geom])).name or f"geom {geom}"


def _pulling(env: BatchEnv, data: mujoco.MjData) -> list[str]:
    """Servos of a keyframe that holds no controls."""
    model, keyframe = env.model, env.family.keyframe
    if keyframe < 0 or model.key_ctrl[keyframe].any():
        return []
    away = []
    for i, (actuator, name) in enumerate(controls(model)):
        gain, bias = model.actuator_gainprm[actuator], model.actuator_biasprm[actuator]
        if is_servo(model, i):
            held = float(data.actuator_length[outputs(model, actuator)[0]] - bias[0] / gain[0])
            if abs(data.ctrl[i] - held) > _OFF:
                away.append(f"{name} to {data.ctrl[i]:.3g} from {held:.3g}")
    why = f"since keyframe {model.key(keyframe).name} has no ctrl"
    return [f"servos pull away, {why}: {_few(away)}; add it, or a start.pose"] if away else []


def _unseen(env: BatchEnv, data: mujoco.MjData) -> list[str]:
    model, name = env.model, getattr(env.family, "camera", "")
    camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name) if name else -1
    if camera < 0:
        return []
    tree = model.body_treeid[robot_body(model)]
    geoms = np.flatnonzero((model.body_treeid[model.geom_bodyid] == tree) & (model.geom_rbound > 0))
    offset = (data.geom_xpos[geoms] - data.cam_xpos[camera]) @ data.cam_xmat[camera].reshape(3, 3)
    depth, high = -offset[:, 2], np.tan(np.radians(model.cam_fovy[camera]) / 2)
    size = model.geom_rbound[geoms]
    seen = (depth > 0) & (np.abs(offset[:, 1]) < high * depth + size) & (
        np.abs(offset[:, 0]) < _ASPECT * high * depth + size)  # fmt: skip
    return [] if seen.any() or not len(geoms) else [f"camera {name} does not see the robot: pictures will be empty"]


def _few(texts: list[str], most: int = 4) -> str:
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
