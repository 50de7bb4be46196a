"""Draws the gallery of docs/reference/environments.md: one picture per robot, 0.3 s into an episode of random actions.

    python docs/gallery/draw.py        # needs OpenGL, and pip install '.[robots,metaworld]'
"""

from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

ROBOTS = {  # the family, and the task of which the picture is, where the default one shows nothing
    "Navigation2D": {}, "HalfCheetahMass": {}, "HalfCheetahSlopes": {"terrain": 66}, "HalfCheetahPier": {},
    "AntDir": {}, "AntCrippled": {"leg": 1}, "HopperRandParams": {}, "Walker2dRandParams": {},
    "SwimmerVel": {}, "HumanoidDir": {}, "ReacherGoal": {}, "PusherGoal": {}, "QuadrotorWind": {},
    "Go1Velocity": {}, "PandaReach": {}, "LeapSpin": {}, "MetaWorldML10": {},
}  # fmt: skip
SIZE = 200


def picture(family: str, task: dict[str, float]) -> Image.Image:
    env = gymnasium.make(f"metarl.envs:metarl/{family}-v0", render_mode="rgb_array", disable_env_checker=True)
    if task:
        env.unwrapped.set_task(env.unwrapped.space.tasks(**task))
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(round(0.3 * env.metadata["render_fps"])):
        env.step(0.5 * rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32))
    frame = Image.fromarray(env.render())
    env.close()
    side = min(frame.size)
    left, top = (frame.width - side) // 2, (frame.height - side) // 2
    return frame.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for family, task in ROBOTS.items():
        picture(family, task).save(Path(__file__).parent / f"{family}.png", optimize=True)
