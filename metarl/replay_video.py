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

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from metarl.replay import Replay

ADVICE = "no MP4 replay: no OpenGL found; on Debian `apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri` brings it"
WIDTH, HEIGHT, BAR = 400, 288, 64  # pixels of a picture and of the text under it; in all multiples of 16, for H.264
MIN_FPS = 10  # players do not like fewer
SECONDS_TO_PROBE, SECONDS_TO_DRAW = 60, 600

_PROBE = "import mujoco; c = mujoco.GLContext(64, 64); c.make_current(); print(mujoco.MjrContext)"


@cache
def find_backend() -> str | None:
    """The first OpenGL backend for MUJOCO_GL that gives a context; the one set in the environment, if any, alone."""
    chosen = os.environ.get("MUJOCO_GL")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    for backend in [chosen] if chosen else ["egl", "osmesa", *(["glfw"] if display else [])]:
        if _child(backend, ["-c", _PROBE], SECONDS_TO_PROBE) is None:
            return backend
    return None


class VideoError(Exception):
    """The video could not be drawn; nothing else is affected."""


def write_video(replay: Replay, path: str | Path, backend: str) -> Path:
    """Draw the replay to `path`, by way of a temporary name beside it."""
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.mp4")
    with tempfile.TemporaryDirectory(prefix="metarl-video-") as folder:
        _save(replay, Path(folder))
        failure = _child(backend, ["-m", "metarl.replay_video", folder, str(partial)], SECONDS_TO_DRAW)
    if failure is not None:
        partial.unlink(missing_ok=True)
        raise VideoError(f"no MP4 replay: drawing with MUJOCO_GL={backend} failed: {failure}")
    partial.replace(path)
    return path


def _child(backend: str, arguments: list[str], timeout: float) -> str | None:
    """Run Python on `backend`; None if it went well, else the last line it said."""
    environment = os.environ | {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend if backend != "glfw" else ""}
    try:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {timeout} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _save(replay: Replay, folder: Path) -> None:
    for task, model in enumerate(replay.models):
        mujoco.mj_saveModel(model, str(folder / f"{task}.mjb"))
    np.save(folder / "qpos.npy", replay.qpos, allow_pickle=False)
    texts = [
        [
            [replay.text(column, task, t, x) for t, x in enumerate(replay.poses(column, task)[0][:, replay.root, 0])]
            for task in range(len(replay.tasks))
        ]
        for column in range(2)
    ]
    about = {"title": replay.title, "camera": replay.camera, "dt": replay.dt, "texts": texts}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _draw(folder: Path, path: str) -> None:
    """In the child: all pictures of the replay that `_save` left in `folder`."""
    import imageio_ffmpeg
    import matplotlib

    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    qpos = np.load(folder / "qpos.npy", allow_pickle=False)
    rows = [_Row(mujoco.MjModel.from_binary_path(str(folder / f"{t}.mjb"))) for t in range(qpos.shape[1])]
    size = (2 * WIDTH, len(rows) * (HEIGHT + BAR))
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 14)
    repeat = max(1, round(MIN_FPS * about["dt"]))
    writer = imageio_ffmpeg.write_frames(
        path,
        size,
        fps=repeat / about["dt"],
        codec="libx264",
        quality=7,
        output_params=["-movflags", "+faststart", "-metadata", f"title={about['title']}"],
    )
    writer.send(None)
    for t in range(qpos.shape[2]):
        sheet = Image.new("RGB", size, "white")
        text = ImageDraw.Draw(sheet)
        for task, row in enumerate(rows):
            for column in range(2):
                x, y = column * WIDTH, task * (HEIGHT + BAR)
                sheet.paste(Image.fromarray(row.picture(qpos[column, task, t], about["camera"])), (x, y))
                text.multiline_text((x + 10, y + HEIGHT + 4), about["texts"][column][task][t], fill="black", font=font)
        for _ in range(repeat):
            writer.send(np.ascontiguousarray(sheet))
    writer.close()


class _Row:
    """Renderer of one task."""

    def __init__(self, model: mujoco.MjModel):
        model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
        self.model, self.data = model, mujoco.MjData(model)
        self.renderer = mujoco.Renderer(model, HEIGHT, WIDTH)

    def picture(self, qpos: np.ndarray, camera: str) -> np.ndarray:
        self.data.qpos[:] = qpos
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera=camera)
        # four times as fast where OpenGL is software
        self.renderer.scene.flags[int(mujoco.mjtRndFlag.mjRND_SHADOW)] = False
        self.renderer.scene.flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] = False
        return self.renderer.render()


if __name__ == "__main__":
    _draw(Path(sys.argv[1]), sys.argv[2])
