"""Draws moving pictures of a run: the same robot and task, before and after adaptation; needs OpenGL.

    metarl train half_cheetah_dir/promp iterations=60 --run runs/first
    python docs/gallery/adapt.py runs/first docs/gallery/adaptation.gif       # the README's

    metarl train metaworld/rl2_ml10 threads=1 seed=1 --run runs/ml10-1        # of an environment that it never saw
    python docs/gallery/adapt.py runs/ml10-1 docs/gallery/sweep_into.gif sweep-into-v3

The last word is a Meta-World environment: of the run's held-out tasks in it, the two that differ most. For all of them
the seconds until the task is first solved (a reward of 10), before and after, are written beside it, as JSON.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # before MuJoCo is imported

import numpy as np
from PIL import Image, ImageDraw

from metarl import open_run
from metarl.envs.metaworld.tasks import name_of
from metarl.visual.draw import Painter, font_of_size
from metarl.visual.replay import Replay, extreme_tasks
from metarl.visual.visualise import replay_run

WIDTH, BAR = 360, 24  # pixels of a picture, and of the text over it
COLORS = 48
FIELD_OF_VIEW = 26  # degrees, of the table


def directions(run: str) -> tuple[Replay, list[str]]:
    """Of HalfCheetahDir: both directions, and what they are called."""
    replay = replay_run(open_run(run))
    return replay, [f'hidden task "run {"forward" if way > 0 else "backward"}"' for way in replay.tasks.values[:, 0]]


def goals(run: str, environment: str, results: Path) -> tuple[Replay, list[str]]:
    """The held-out goals of a Meta-World environment that differ most, and what they are called; all into `results`."""
    held_out = open_run(run).tasks("held_out")
    alike = np.flatnonzero([name_of(int(number)) == environment for number in held_out.values[:, 0]])
    replay = replay_run(open_run(run), held_out[alike])
    seconds = [[None if np.isnan(s) else round(float(s), 2) for s in pair] for pair in solved(replay).T]
    about = "seconds until each held-out goal is first solved, in the first and in the second episode; null: not solved"
    command = f"python docs/gallery/adapt.py {run} {results.with_suffix('.gif')} {environment}"
    results.write_text(json.dumps({"command": command, "about": about, "seconds": seconds}) + "\n", encoding="utf-8")
    extreme = extreme_tasks(replay.tasks)
    chosen = [replay.tasks.digests.index(digest) for digest in extreme.digests]
    models = tuple(replay.models[i] for i in chosen)
    for model in models:
        model.camera(replay.camera).fovy = FIELD_OF_VIEW
    replay = dataclasses.replace(replay, tasks=extreme, models=models, qpos=replay.qpos[:, chosen],
                                 rewards=replay.rewards[:, chosen], lengths=replay.lengths[:, chosen])  # fmt: skip
    return replay, [f"unseen {environment}" for _ in models]


def solved(replay: Replay) -> np.ndarray:
    """(2, M) seconds until an episode of Meta-World is first solved, NaN if it is not."""
    solved = replay.rewards >= 10 - 1e-9
    return np.where(solved.any(-1), (solved.argmax(-1) + 1) * replay.dt, np.nan)


def frames(
    replay: Replay, names: list[str], height: int, every: int, end: int | None = None
) -> tuple[list[Image.Image], float]:
    """A sheet for each so many steps, a row for each task, before on the left; and the seconds between two."""
    rows = [Painter(model, WIDTH, height) for model in replay.models]
    lived = replay.steps * replay.episodes if replay.pooled else replay.steps
    font, sheets, seconds = font_of_size(13), [], solved(replay)
    for t in range(0, end or replay.qpos.shape[2], every):
        sheet = Image.new("RGB", (2 * WIDTH + 4, len(rows) * (height + BAR + 4)), "white")
        text = ImageDraw.Draw(sheet)
        for column, task in replay.cells():
            x, y = column * (WIDTH + 4), task * (height + BAR + 4)
            sheet.paste(Image.fromarray(rows[task].picture(replay.qpos[column, task, t], replay.camera)), (x, y + BAR))
            when = (f"{names[task]}: before", f"after {lived} episode{'s' * (lived > 1)}")[column]
            far = replay.qpos[column, task, t, 0] - replay.qpos[column, task, 0, 0]
            what = f"{far:+.1f} m" if replay.follows else _clock(t * replay.dt, seconds[column, task])
            text.text((x + 6, y + 4), when, fill="black", font=font)
            text.text((x + WIDTH - 6, y + 4), what, fill="black", font=font, anchor="ra")
        sheets.append(sheet)
    return sheets, every * replay.dt


def _clock(now: float, solved: float) -> str:
    return f"solved after {solved:.1f} s" if solved <= now else f"{now:.1f} s"


def save(sheets: list[Image.Image], seconds: float, path: Path) -> None:
    """One palette for all frames, so that what stands still costs nothing."""
    palette = sheets[len(sheets) // 2].quantize(COLORS)
    first, *others = (sheet.quantize(COLORS, palette=palette, dither=Image.Dither.NONE) for sheet in sheets)
    first.save(path, save_all=True, append_images=others, duration=round(1000 * seconds), loop=0, optimize=True)


if __name__ == "__main__":
    run, picture, *environment = sys.argv[1:]
    if environment:
        replay, names = goals(run, *environment, Path(picture).with_suffix(".json"))
        save(*frames(replay, names, height=220, every=8, end=240), Path(picture))
    else:
        save(*frames(*directions(run), height=150, every=2), Path(picture))
