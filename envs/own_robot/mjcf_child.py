"""The child process of `metarl.envs.own_robot.mjcf`: compiles an MJCF file under limits and writes the model as MJB.

    python -P mjcf_child.py < {"file": ..., "out": ..., "edits": {...}, "memory": bytes, "cpu": seconds}

Prints {} when out is written, {"error": text} when MuJoCo refuses the file. A file that exhausts a limit or crashes the
compiler takes this process with it and nothing else. The model is stepped once here, too: a file may ask for more than
its own size. Imports nothing of metarl, and MuJoCo only under the limits.

Edits (all may be missing) are what the YAML of a robot asks for:

    {"actuators": {"kind": "torque" | "position", "joints": [{"name", "limit", "kp", "kd", "home": [one a key]}],
                   "keep": [names], "kept_home": [a list a key], "kept_act": [a list a key]},
     "keyframe": {"name", "qpos", "qvel", "ctrl", "act"},
     "sensors": [{"name", "type", "kind", "of", "ref_kind", "ref"}],
     "userdata": numbers, "numeric": {"name", "data"}, "camera": {...},
     "frame_skip": physics steps of a control step, whose time is limited}
"""

import json
import math
import sys
import time

MOST_OF_A_SIMULATION = 256 << 20  # bytes
_LARGEST = {
    "nq": (10_000, "joints"),
    "nv": (10_000, "joints"), "nu": (10_000, "actuators"), "nbody": (20_000, "bodies"), "ngeom": (50_000, "geoms"),
    "nuserdata": (100_000, "<size nuserdata>"), "ntexdata": (256 << 20, "width and height of its textures, bytes"),
    "nhfielddata": (1 << 24, "nrow times ncol of its height fields"),
}  # fmt: skip
_NET_FORCE = 3  # of <contact reduce>: none, mindist, maxforce, netforce
_MOST_ITERATIONS, _LEAST_TIMESTEP, _MOST_SECONDS, _MOST_OF_A_CONTROL_STEP = 10_000, 1e-6, 1.0, 10.0


def limit(memory: int, cpu: int) -> None:
    """Bytes of address space and seconds of processor time from here on, where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows; the parent's wall clock is left
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(what, (most, most))
        except (OSError, ValueError):  # macOS knows no limit of address space
            continue


def compile_model(job: dict):
    """The model of a job, as MjModel."""
    import mujoco

    spec = mujoco.MjSpec.from_file(job["file"])
    _limit_arena(spec)
    _name_all(spec)
    edits = job["edits"]
    if "not_simple" in edits:
        _spell_out(spec, edits["not_simple"])
    if "actuators" in edits:
        _replace_actuators(spec, edits["actuators"])
    if "keyframe" in edits:
        spec.add_key(**edits["keyframe"])
    for key in spec.keys:
        key.time = 0.0  # an episode begins then
    spec.nuserdata += edits.get("userdata", 0)
    for sensor in edits.get("sensors", ()):
        _add_sensor(spec, sensor)
    if "numeric" in edits:
        data = edits["numeric"]["data"]
        spec.add_numeric(name=edits["numeric"]["name"], data=data, size=len(data))
    if "camera" in edits:
        camera = dict(edits["camera"])
        body = spec.body(camera.pop("body"))
        mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM if camera.pop("tracks") else mujoco.mjtCamLight.mjCAMLIGHT_FIXED
        body.add_camera(mode=mode, **camera)
    model = spec.compile()
    for name, (most, what) in _LARGEST.items():
        if getattr(model, name) > most:
            raise ValueError(f"got {name} = {getattr(model, name)}, expected at most {most} of a robot ({what})")
    if not _LEAST_TIMESTEP <= model.opt.timestep < math.inf:
        raise ValueError(f"got timestep = {model.opt.timestep:g} s, expected at least {_LEAST_TIMESTEP:g} (<option>)")
    for name in ("iterations", "ls_iterations", "noslip_iterations", "ccd_iterations", "sdf_iterations"):
        if getattr(model.opt, name) > _MOST_ITERATIONS:
            raise ValueError(f"got {name} = {getattr(model.opt, name)}, expected at most {_MOST_ITERATIONS} (<option>)")
    data = mujoco.MjData(model)
    seconds, steps = _seconds_of_a_step(model, data), edits.get("frame_skip", 1)
    if seconds > _MOST_SECONDS:
        raise ValueError(f"one physics step took {seconds:.1f} s of processor time, expected at most {_MOST_SECONDS:g}:"
                         " lower <option iterations>, or use fewer bodies and contacts")  # fmt: skip
    if steps * seconds > _MOST_OF_A_CONTROL_STEP:
        seconds = min(_seconds_of_a_step(model, data) for _ in range(3))  # the first was perhaps unlucky
    if steps * seconds > _MOST_OF_A_CONTROL_STEP:
        raise ValueError(f"a control step of {steps} physics steps takes {steps * seconds:.0f} s of processor time,"
                         f" expected at most {_MOST_OF_A_CONTROL_STEP:g}:"
                         " raise control.rate, or <option timestep>")  # fmt: skip
    return model


def _limit_arena(spec) -> None:
    """No more memory for contacts than a simulation may take: MJCFs ask for gigabytes that they never touch."""
    sizes = (spec.memory, spec.njmax, spec.nconmax, spec.nstack)
    if max(sizes) < 0:
        return
    spec.memory = min(spec.memory, MOST_OF_A_SIMULATION)
    try:
        too_large = spec.memory < 0 and spec.compile().narena > MOST_OF_A_SIMULATION
    except (ValueError, MemoryError):  # what else is wrong is found later
        too_large = True
    if too_large:
        spec.memory = MOST_OF_A_SIMULATION


def _spell_out(spec, bodies: list) -> None:
    """Bodies, by name or index, get a full inertia, whatever that is at first."""
    if any(isinstance(body, int) for body in bodies):
        spec.compile()  # gives out the indices
    for body in spec.bodies:
        if body.name in bodies or body.id in bodies:
            body.simple = 0


def _seconds_of_a_step(model, data) -> float:
    import mujoco

    start = time.process_time()
    mujoco.mj_step(model, data)
    return time.process_time() - start


def _name_all(spec) -> None:
    """Name joints, actuators, sensors and keyframes without a name by index, "joint_3"."""
    kinds = {"joint": spec.joints, "actuator": spec.actuators, "sensor": spec.sensors, "keyframe": spec.keys}
    if all(element.name for elements in kinds.values() for element in elements):
        return
    spec.compile()  # gives out the indices
    for kind, elements in kinds.items():
        names = {element.name for element in elements}
        for element in elements:
            name = f"{kind}_{element.id}"
            element.name = element.name or (f"{name}_" if name in names else name)


def _add_sensor(spec, wanted: dict) -> None:
    """A sensor of a frame, or of the contacts of a geom or a body's geoms: how many, and their net force."""
    import mujoco

    touch, obj = wanted["type"] == "contact", mujoco.mjtObj
    kinds = {"geom": obj.mjOBJ_GEOM, "site": obj.mjOBJ_SITE, "body": obj.mjOBJ_BODY if touch else obj.mjOBJ_XBODY}
    sensor = spec.add_sensor(name=wanted["name"], type=getattr(mujoco.mjtSensor, f"mjSENS_{wanted['type'].upper()}"),
                             objtype=kinds[wanted["kind"]], objname=wanted["of"])  # fmt: skip
    if touch:
        found, force = int(mujoco.mjtConDataField.mjCONDATA_FOUND), int(mujoco.mjtConDataField.mjCONDATA_FORCE)
        sensor.intprm = [1 << found | 1 << force, _NET_FORCE, 1]
        if "ref" in wanted:
            sensor.reftype, sensor.refname = kinds[wanted["ref_kind"]], wanted["ref"]


def _replace_actuators(spec, wanted: dict) -> None:
    """Motors or position servos on the named joints instead of all other actuators; with those go their sensors."""
    import mujoco

    names = {*wanted["keep"], *(joint["name"] for joint in wanted["joints"])}
    for sensor in list(spec.sensors):
        if sensor.objtype == mujoco.mjtObj.mjOBJ_ACTUATOR and sensor.objname not in names:
            spec.delete(sensor)
    for actuator in list(spec.actuators):
        if actuator.name not in wanted["keep"]:
            spec.delete(actuator)
    for joint in wanted["joints"]:
        actuator = spec.add_actuator(name=joint["name"], target=joint["name"], trntype=mujoco.mjtTrn.mjTRN_JOINT)
        if wanted["kind"] == "position":
            actuator.set_to_position(kp=joint["kp"], kv=joint["kd"])
            actuator.forcelimited, actuator.forcerange = True, [-joint["limit"], joint["limit"]]
        else:
            actuator.set_to_motor()
            actuator.ctrllimited, actuator.ctrlrange = True, [-joint["limit"], joint["limit"]]
    for i, key in enumerate(spec.keys):
        key.act = wanted["kept_act"][i]
        key.ctrl = [*wanted["kept_home"][i], *(joint["home"][i] for joint in wanted["joints"])]


def main() -> None:
    job = json.load(sys.stdin)
    limit(job["memory"], job["cpu"])
    import mujoco

    try:
        mujoco.mj_saveModel(compile_model(job), job["out"])
    except (ValueError, TypeError, RuntimeError, mujoco.FatalError) as error:
        print(json.dumps({"error": str(error)}))
    except MemoryError:
        print(json.dumps({"error": "out of memory", "memory": True}))
    else:
        print("{}")


if __name__ == "__main__":
    main()
