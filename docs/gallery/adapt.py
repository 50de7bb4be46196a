"""Draws the README's moving picture from a run: the same robot and task, before and after adaptation.

    metarl train half_cheetah_dir/promp iterations=60 --run runs/first
    python docs/gallery/adapt.py runs/first docs/gallery/adaptation.gif       # needs OpenGL
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported

from PIL import Image, ImageDraw

from metarl import open_run
from metarl.visual.draw import Painter, font_of_size
from metarl.visual.visualise import replay_run

WIDTH, HEIGHT, BAR = 360, 150, 24  # pixels of a picture, and of the text over it
COLORS = 48


def frames(run: str) -> tuple[list[Image.Image], float]:
    """A sheet for each second step, a row for each task, before on the left; and the seconds between two."""
    replay = replay_run(open_run(run))
    rows = [Painter(model, WIDTH, HEIGHT) for model in replay.models]
    experience = f"after {replay.steps * replay.episodes} episodes"
    font, sheets = font_of_size(13), []
    for t in range(0, replay.qpos.shape[2], 2):
        sheet = Image.new("RGB", (2 * WIDTH + 4, len(rows) * (HEIGHT + BAR + 4)), "white")
        text = ImageDraw.Draw(sheet)
        for column, task in replay.cells():
            x, y = column * (WIDTH + 4), task * (HEIGHT + BAR + 4)
            sheet.paste(Image.fromarray(rows[task].picture(replay.qpos[column, task, t], replay.camera)), (x, y + BAR))
            way = "forward" if replay.tasks.values[task, 0] > 0 else "backward"
            when = (f'hidden task "run {way}": before', experience)[column]
            moved = replay.qpos[column, task, t, 0] - replay.qpos[column, task, 0, 0]
            text.text((x + 6, y + 4), when, fill="black", font=font)
            text.text((x + WIDTH - 6, y + 4), f"{moved:+.1f} m", fill="black", font=font, anchor="ra")
        sheets.append(sheet)
    return sheets, 2 * replay.dt


def save(sheets: list[Image.Image], seconds: float, path: Path) -> None:
    """One palette for all frames, so that what stands still costs nothing."""
    palette = sheets[len(sheets) // 2].quantize(COLORS)
    first, *others = (sheet.quantize(COLORS, palette=palette, dither=Image.Dither.NONE) for sheet in sheets)
    first.save(path, save_all=True, append_images=others, duration=round(1000 * seconds), loop=0, optimize=True)


if __name__ == "__main__":
    save(*frames(sys.argv[1]), Path(sys.argv[2]))
