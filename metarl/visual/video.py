"""A replay as an MP4 file, drawn by MuJoCo's own renderer.

    backend = find_backend()                # "egl", ...; None without OpenGL
    if backend:
        write_video(replay, "replay.mp4", backend)

OpenGL can crash a process, and MuJoCo binds to one backend when it is imported. Looking for a backend and drawing
therefore happen in child processes, which get models and positions as files; whatever becomes of them, the caller goes
on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from metarl.util.signals import signals_after

if TYPE_CHECKING:
    from metarl.visual.replay import Replay

ADVICE = "no MP4 replay: no OpenGL found; on Debian `apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri` brings it"
SECONDS_TO_PROBE, SECONDS_TO_DRAW = 60, 600

_PROBE = """import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(mujoco.MjData(model))
renderer.render()
"""


@cache
def find_backend() -> str | None:
    """The first OpenGL backend for MUJOCO_GL that gives a context; the one set in the environment, if any, alone."""
    chosen = os.environ.get("MUJOCO_GL")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    for backend in [chosen] if chosen else ["egl", "osmesa", *(["glfw"] if display else [])]:
        if run_on(backend, ["-c", _PROBE], SECONDS_TO_PROBE) is None:
            return backend
    return None


class VideoError(Exception):
    """The video could not be drawn; nothing else is affected."""


def write_video(replay: Replay, path: str | Path, backend: str) -> Path:
    """Draw the replay to `path`, by way of a temporary name beside it."""
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.mp4")
    try:
        with tempfile.TemporaryDirectory(prefix="metarl-video-") as folder:
            _save(replay, Path(folder))
            failure = run_on(backend, ["-m", "metarl.visual.draw", folder, str(partial)], SECONDS_TO_DRAW)
        if failure is not None:
            raise VideoError(f"no MP4 replay: drawing with MUJOCO_GL={backend} failed: {failure}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def run_on(backend: str, arguments: list[str], timeout: float) -> str | None:
    """Run Python on `backend`; None if it went well, else the last line it said."""
    environment = os.environ | {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend if backend != "glfw" else ""}
    process = None
    try:
        with signals_after():
            command, pipe = [sys.executable, *arguments], subprocess.PIPE
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=pipe, text=True)
        _, said = process.communicate(timeout=timeout)
        code = process.returncode
    except subprocess.TimeoutExpired:
        return f"it took longer than {timeout} s"
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.communicate()
    return None if code == 0 else (said.strip().splitlines() or [f"exit code {code}"])[-1]


def _save(replay: Replay, folder: Path) -> None:
    for task, model in enumerate(replay.models):
        mujoco.mj_saveModel(model, str(folder / f"{task}.mjb"))
    frames = replay.frames
    np.save(folder / "qpos.npy", replay.qpos[:, :, frames], allow_pickle=False)
    texts = [[_texts(replay, column, task) for task in range(len(replay.tasks))] for column in range(2)]
    about = {"title": replay.title, "camera": replay.camera, "dt": frames[1] * replay.dt, "texts": texts,
             "headings": replay.headings}  # fmt: skip
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _texts(replay: Replay, column: int, task: int) -> list[str]:
    x = replay.poses(column, task)[0][:, replay.root(task), 0]
    return [replay.text(column, task, t, x[t]) for t in replay.frames]
