"""The child process of `metarl.visual.video`: draws what it finds in a folder. Imports no more than it needs.

    MUJOCO_GL=egl python -m metarl.visual.draw FOLDER VIDEO

FOLDER holds 0.mjb, 1.mjb, ... (the model of each task), qpos.npy (2, M, T + 1, nq) and about.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import imageio_ffmpeg
import matplotlib
import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, LINE = 400, 288, 17  # pixels of a picture, and of a line of the text under it
MIN_FPS = 10  # players do not like fewer


def draw(folder: Path, path: str) -> None:
    """All pictures of the replay in `folder`, before on the left and after on the right."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    qpos = np.load(folder / "qpos.npy", allow_pickle=False)
    rows = [Painter(mujoco.MjModel.from_binary_path(str(folder / f"{t}.mjb"))) for t in range(qpos.shape[1])]
    lines = max(text[0].count("\n") + 1 for column in about["texts"] for text in column)
    bar = -(-(lines * LINE + 8) // 16) * 16  # in all multiples of 16, for H.264
    size = (2 * WIDTH, len(rows) * (HEIGHT + bar))
    font, large = font_of_size(14), font_of_size(16)
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
                x, y = column * WIDTH, task * (HEIGHT + bar)
                sheet.paste(Image.fromarray(row.picture(qpos[column, task, t], about["camera"])), (x, y))
                heading, colour = about["headings"][column]
                text.rectangle((x, y, x + text.textlength(heading, large) + 20, y + 26), fill=tuple(colour))
                text.text((x + 10, y + 4), heading, fill="white", font=large)
                text.multiline_text((x + 10, y + HEIGHT + 4), about["texts"][column][task][t], fill="black", font=font)
        for _ in range(repeat):
            writer.send(np.ascontiguousarray(sheet))
    writer.close()


def font_of_size(pixels: int) -> ImageFont.FreeTypeFont:
    """One that has the units' and parameters' signs; Pillow's own lacks the Greek letters and ²."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), pixels)


class Painter:
    """Pictures of one model, of so many pixels."""

    def __init__(self, model: mujoco.MjModel, width: int = WIDTH, height: int = HEIGHT):
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self.model, self.data = model, mujoco.MjData(model)
        self.renderer = mujoco.Renderer(model, height, width)

    def picture(self, qpos: np.ndarray, camera: str) -> np.ndarray:
        self.data.qpos[:] = qpos[: self.model.nq]
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera=camera)
        # four times as fast where OpenGL is software
        self.renderer.scene.flags[int(mujoco.mjtRndFlag.mjRND_SHADOW)] = False
        self.renderer.scene.flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] = False
        return self.renderer.render()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), sys.argv[2])
