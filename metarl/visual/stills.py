"""The first moments of a few simulations, as one PNG: a row each, time from left to right.

    write_stills(models, qpos, "track", texts, Path("check/Rover.png"), backend)      # qpos (rows, columns, nq)

Drawn in a child process, as videos are (`metarl.visual.video`), which this module is as well: `python -m
metarl.visual.stills FOLDER FILE`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw

from metarl.visual.draw import Painter, font_of_size
from metarl.visual.video import VideoError, run_on

WIDTH, HEIGHT, BAR = 320, 240, 22  # pixels of a picture and of the text under it
SECONDS_TO_DRAW = 120


def write_stills(
    models: Sequence[mujoco.MjModel], qpos: np.ndarray, camera: str, texts: Sequence[str], path: Path, backend: str
) -> Path:
    """Draw positions qpos (rows, columns, nq) of the model of each row, with a line of text under the row."""
    with tempfile.TemporaryDirectory(prefix="metarl-stills-") as scratch:
        folder = Path(scratch)
        for row, model in enumerate(models):
            mujoco.mj_saveModel(model, str(folder / f"{row}.mjb"))
        np.save(folder / "qpos.npy", qpos, allow_pickle=False)
        (folder / "about.json").write_text(json.dumps({"camera": camera, "texts": list(texts)}), encoding="utf-8")
        drawn = folder / "stills.png"
        failure = run_on(backend, ["-m", "metarl.visual.stills", scratch, str(drawn)], SECONDS_TO_DRAW)
        if failure is not None:
            raise VideoError(f"no pictures: drawing with MUJOCO_GL={backend} failed: {failure}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn.read_bytes())
    return path


def draw(folder: Path, path: str) -> None:
    """What the child does."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    qpos = np.load(folder / "qpos.npy", allow_pickle=False)
    sheet = Image.new("RGB", (qpos.shape[1] * WIDTH, qpos.shape[0] * (HEIGHT + BAR)), "white")
    text, font = ImageDraw.Draw(sheet), font_of_size(13)
    for row in range(len(qpos)):
        model = mujoco.MjModel.from_binary_path(str(folder / f"{row}.mjb"))
        painter = Painter(model, WIDTH, HEIGHT)
        for column, pose in enumerate(qpos[row]):
            picture = painter.picture(pose, about["camera"])
            sheet.paste(Image.fromarray(picture), (column * WIDTH, row * (HEIGHT + BAR)))
        painter.renderer.close()
        text.text((6, (row + 1) * (HEIGHT + BAR) - BAR + 2), about["texts"][row], fill="black", font=font)
    sheet.save(path)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2])
