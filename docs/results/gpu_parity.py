"""How far MuJoCo Warp's CPU device is from mujoco.batch: the figures of docs/guides/gpu.md.

    python docs/results/gpu_parity.py docs/results/gpu_parity.json

For each family the quantiles (50, 90, 99 %) of the errors of 1,000 single steps over those of Batch in rounded
arithmetic (tests/envs/warp_parity.py); for families that are compared with other options, the share of steps whose
velocities are off by more than a threshold as they are; and divergences by friction.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "tests" / "envs"))

from test_warp_families import NEARLY, OPTIONS, SAME, STEPS, VARIANTS, tasks_of
from warp_parity import one_step_errors, with_options

from metarl.envs import BatchEnv, Parameter, TaskSpace, Write, make_family
from metarl.envs.families.half_cheetah import HalfCheetahDir
from metarl.envs.warp import Warp, friction

ROOM = Warp("cpu", nconmax=64, njmax=256)
FRICTION, EACH, EPISODE = (0.4, 0.004, 0.0028, 0.002, 0.0012, 0.0004, 0.0), 12, 300


def ratios(name: str, options: dict) -> dict:
    family = make_family(name, **options)
    tasks, model = tasks_of(family, "train"), OPTIONS.get(name, {})
    errors = one_step_errors(with_options(family, **model), tasks, STEPS, physics=ROOM)
    found = {field: values.round(2).tolist() for field, values in errors.ratios().items()}
    return {"options": options, "model": model, "ratios": found}


def as_it_is(name: str) -> dict[str, float]:
    family = make_family(name)
    off = one_step_errors(family, tasks_of(family, "train"), STEPS, shadows=1, physics=ROOM).warp["qvel"]
    return {f"over {limit:g}": round(float((off > limit).mean()), 3) for limit in (0.01, 0.1, 1.0)}


class Ice(HalfCheetahDir):
    name = "Ice"
    space = TaskSpace("Ice", (
        Parameter("direction", "1", "", 1.0, "choice", choices=(-1.0, 1.0)),
        Parameter("friction", "1", "", 1.0, "uniform", 0.0, 1.0, writes=Write("friction")),
    ))  # fmt: skip

    def __init__(self, cone: int):
        super().__init__()
        self.cone = cone

    def build(self):
        model = super().build()
        model.opt.cone = self.cone
        return model


def divergences(cone: int, physics: Warp | None) -> dict[str, int]:
    """Of EACH * EPISODE steps under random actions at each friction of all geoms; what is refused is let through."""
    friction.LEAST = 0.0
    scale = np.repeat(np.array(FRICTION) / 0.4, EACH)
    env = BatchEnv(Ice(cone), len(scale), physics=physics, horizon=10**6)
    env.reset(seed=0, options={"tasks": Ice.space.tasks(direction=np.ones(len(scale)), friction=scale)})
    rng, count = np.random.default_rng(0), np.zeros(len(scale), int)
    for _ in range(EPISODE):
        count += env.step(rng.uniform(-1, 1, env.action_space.shape))[4]["diverged"]
    return dict(zip(map(str, FRICTION), count.reshape(-1, EACH).sum(axis=1).tolist(), strict=True))


if __name__ == "__main__":
    kinds = [(name, {}) for name in SAME] + VARIANTS + list(NEARLY.items())
    result = {
        "families": {" ".join((name, *map(str, options))): ratios(name, options) for name, options in kinds},
        "as they are, share of steps with qvel off by": {name: as_it_is(name) for name in ("AntDir", "Go1Velocity")},
        "diverged of 3600 by friction": {
            "warp, pyramidal": divergences(0, ROOM), "warp, elliptic": divergences(1, ROOM),
            "batch, pyramidal": divergences(0, None), "batch, elliptic": divergences(1, None),
        },
    }  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
