"""What this machine has and lacks for metarl, and how to get it.

    from metarl.doctor import examine, print_report

    print_report(examine())           # True if training works here

Whatever could crash or hang (an import of a broken package, an OpenGL backend) is tried in a child process.
"""

import importlib.metadata
import netrc
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from metarl.util import distribution
from metarl.util.machine import available_threads
from metarl.util.optional import Extra

BACKENDS = ("egl", "osmesa", "glfw")
OF_DEVELOPERS = {"docs", "test"}  # extras that no user lacks
_RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
renderer = mujoco.Renderer(model, 32, 32)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer.update_scene(data)
assert renderer.render().shape == (32, 32, 3)
"""
_BATCH = """
import mujoco
from mujoco.batch import Batch
body = "<body><freejoint/><geom size='1'/></body>"
model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
Batch(model, 2, 1).step()
print(mujoco.__version__)
"""
_TORCH = "import torch; print(torch.__version__, torch.get_num_threads(), torch.cuda.is_available())"
_FFMPEG = """
import subprocess, imageio_ffmpeg
program = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([program, "-version"], capture_output=True, text=True, check=True).stdout.split()[2])
"""
_REPLAY = "import viser, mjviser; print(viser.__version__)"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `missing` is something optional, `broken` something that training needs."""

    status: Literal["ok", "missing", "broken"]
    name: str
    text: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Every finding in turn; takes some seconds in all."""
    system = platform.platform(terse=True)
    yield Finding("ok", "python", f"{platform.python_version()} on {system}, {sys.executable}")
    yield from _names()
    yield from _packages()
    yield from _extras()
    yield from _threads_and_physics()
    yield rendering()
    yield _tried("missing", "video (ffmpeg)", _FFMPEG, "pip install --force-reinstall imageio-ffmpeg")
    yield _tried("missing", "HTML replay (viser)", _REPLAY, "pip install --force-reinstall viser mjviser")
    yield _wandb()
    free = shutil.disk_usage(".").free / 2**30
    yield Finding("ok" if free > 1 else "missing", "disk", f"{free:.1f} GiB free here", "make room for runs/")


def print_report(findings: Iterator[Finding]) -> bool:
    """Print the findings as they come; whether nothing that training needs is broken."""
    broken = missing = 0
    for finding in findings:
        broken += finding.status == "broken"
        missing += finding.status == "missing"
        print(f"{finding.status:8}{finding.name:24}{finding.text}", flush=True)
        if finding.status != "ok" and finding.fix:
            print(f"{'':8}{'':24}-> {finding.fix}", flush=True)
    if broken:
        print(f"\n{broken} broken, {missing} missing: training will not work before that is put right.")
    elif missing:
        print(f"\nTraining and evaluation work here; {missing} missing: see the lines behind ->.")
    else:
        print("\nEverything works here.")
    return not broken


def _names() -> Iterator[Finding]:
    """Whether `import metarl` can be nothing but this package."""
    again = "pip install --force-reinstall --no-deps . in the checkout of metarl"
    for name, version in distribution.rivals().items():
        text = f"{name} {version}, another distribution, installs into the folder metarl as well"
        yield Finding("broken", distribution.NAME, text, f"pip uninstall {name}, then {again}")
    if distribution.version() == "unknown":
        yield Finding("broken", distribution.NAME, "not installed, only imported from a checkout", again)
    else:
        yield Finding("ok", distribution.NAME, distribution.version())


def _packages() -> Iterator[Finding]:
    for requirement in _requirements(""):
        text, ok = _installed(requirement)
        fix = f"pip install '{requirement.name}{requirement.specifier}'"
        yield Finding("ok" if ok else "broken", requirement.name, text, fix)


def _extras() -> Iterator[Finding]:
    """What some families and commands need beside, by the extra that brings it."""
    if distribution.version() == "unknown":
        return  # `_names` says so
    always = {requirement.name for requirement in _requirements("")}
    for extra in importlib.metadata.metadata(distribution.NAME).get_all("Provides-Extra") or []:
        if extra in OF_DEVELOPERS:
            continue
        found = {r.name: _installed(r) for r in _requirements(extra) if r.name not in always}
        wrong = [f"{name} {text}" for name, (text, ok) in found.items() if not ok]
        right = [f"{name} {text}" for name, (text, ok) in found.items() if ok]
        fix = Extra(extra, "").command
        yield Finding("missing" if wrong else "ok", f"extra {extra}", ", ".join(wrong or right), fix)


def _requirements(extra: str) -> list[Requirement]:
    """Of metarl with an extra, without one for ""; none where metarl is not installed."""
    try:
        lines = importlib.metadata.requires(distribution.NAME) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    requirements = map(Requirement, lines)
    return [r for r in requirements if not r.marker or r.marker.evaluate({"extra": extra})]


def _installed(requirement: Requirement) -> tuple[str, bool]:
    """Which version of a package is there, and whether it will do."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"not installed, needs {requirement.specifier}", False
    ok = requirement.specifier.contains(version, prereleases=True)
    return version if ok else f"{version}, needs {requirement.specifier}", ok


def _threads_and_physics() -> Iterator[Finding]:
    limit = os.environ.get("OMP_NUM_THREADS")
    note = f", OMP_NUM_THREADS={limit}" if limit else ""
    cores = f"{available_threads()} of {os.cpu_count()}{note}"
    yield Finding("ok", "cores", f"{cores}; `threads` in the config, 0 takes all")
    # pip can leave mujoco and its parts at different versions, and `pip check` then finds nothing wrong
    fix = "pip install --force-reinstall --no-deps mujoco mujoco-core mujoco-studio (all of one version)"
    yield _tried("broken", "physics (mujoco.batch)", _BATCH, fix)
    torch, ok = _child(_TORCH)
    if not ok:
        yield Finding("broken", "torch", torch, "pip install --force-reinstall torch")
        return
    version, threads, cuda = torch.split()
    gpu = "a CUDA device is there for env.physics: warp" if cuda == "True" else "on the CPU"
    yield Finding("ok", "torch", f"{version}, {threads} threads by default, {gpu}")


def rendering() -> Finding:
    """Whether an OpenGL backend draws; replays as HTML and figures need none."""
    failures = []
    for backend in BACKENDS:
        text, ok = _child(_RENDER, MUJOCO_GL=backend, PYOPENGL_PLATFORM=backend if backend != "glfw" else "")
        if ok:
            return Finding("ok", "rendering", f"MUJOCO_GL={backend} draws")
        failures.append(f"{backend}: {text}")
    fix = "for MP4 replays: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (HTML replays need none)"
    return Finding("missing", "rendering", "; ".join(failures), fix)


def _wandb() -> Finding:
    """W&B is offline unless a config says otherwise; only then does a key matter."""
    version, ok = _child("import wandb; print(wandb.__version__)")
    if not ok:
        return Finding("broken", "wandb", version, "pip install --force-reinstall wandb")
    key = "a key is there" if _has_wandb_key() else "no key, which only online needs (wandb login)"
    return Finding("ok", "wandb", f"{version}, offline unless the config says wandb.mode=online; {key}")


def _has_wandb_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    file = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return any("wandb" in host for host in netrc.netrc(str(file)).hosts)
    except (OSError, netrc.NetrcParseError):  # no such file, or not one of ours to judge
        return False


def _tried(otherwise: Literal["missing", "broken"], name: str, code: str, fix: str) -> Finding:
    text, ok = _child(code)
    return Finding("ok" if ok else otherwise, name, text, fix)


def _child(code: str, seconds: float = 120, **environment: str) -> tuple[str, bool]:
    """(last line that `code` prints in a process of its own, whether it ended well)."""
    command, env = [sys.executable, "-c", code], {**os.environ, **environment}
    try:
        child = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {seconds} s", False
    if child.returncode == 0:
        return (child.stdout.strip().splitlines() or [""])[-1], True
    lines = [line for line in child.stderr.splitlines() if line and not line[0].isspace() and ": " in line]
    reason = lines[-1] if lines else f"ended with {child.returncode}"
    return reason[:150], False
