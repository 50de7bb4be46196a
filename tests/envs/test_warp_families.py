"""All families that MuJoCo Warp steps: one step from recorded states equals Batch's but for float32. Minutes to hours.

    python -m pytest -m whole tests/envs/test_warp_families.py
"""

import numpy as np
import pytest
from warp_parity import CONVERGED, ELLIPTIC, FACTOR, one_step_errors, with_options

from metarl.envs import FAMILIES, MissingExtra, make_family
from metarl.envs.warp import GPU, Warp

pytestmark = [pytest.mark.whole, pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}")]

N, STEPS = 40, 25  # 1,000 states
OPTIONS = {
    **{name: ELLIPTIC for name in ("AntDir", "AntDir2D", "AntVel", "AntGoal", "AntCrippled")},
    "Go1Velocity": CONVERGED,
    "Go1Fault": CONVERGED,
    "LeapSpin": CONVERGED,
}
"""What has to be equal before the engines can be: see docs/guides/gpu.md."""
VARIANTS = [("HalfCheetahDir", {"variant": "maml"}), ("HalfCheetahVel", {"variant": "varibad"}),
            ("ReacherGoal", {"goal_visible": True}), ("PusherGoal", {"goal_visible": True})]  # fmt: skip
REFUSED = {"HumanoidDir": "PGS"}
NEARLY = {"HalfCheetahSlopes": {}, "LeapSpin": {}, "AntVel": {"contact_forces": True}}
SAME = [name for name in FAMILIES if FAMILIES[name].batched and name not in REFUSED and NEARLY.get(name) != {}]


def tasks_of(family, split):
    return family.space.sample(N, split, np.random.default_rng(0))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "options"), [(name, {}) for name in SAME] + VARIANTS)
def test_one_step_of_each_family_equals_batchs(name, options):
    family = make_family(name, **options)
    try:
        family, tasks = with_options(family, **OPTIONS.get(name, {})), tasks_of(family, "train")
        errors = one_step_errors(family, tasks, STEPS, physics=Warp("cpu", nconmax=64, njmax=256))
    except MissingExtra as missing:
        pytest.skip(str(missing))
    print(name, {field: ratios.round(2).tolist() for field, ratios in errors.ratios().items()})
    errors.check()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "options"), NEARLY.items())
def test_most_steps_of_some_families_equal_batchs(name, options):
    """On several cells of a height field a geom has other contact points; of boxes there are many; forces are stiff."""
    family = make_family(name, **options)
    tasks = tasks_of(family, "train")
    errors = one_step_errors(
        with_options(family, **OPTIONS.get(name, {})), tasks, STEPS, physics=Warp("cpu", njmax=256)
    )  # fmt: skip
    print(name, {field: ratios.round(2).tolist() for field, ratios in errors.ratios().items()})
    assert all(ratios[0] < FACTOR for ratios in errors.ratios().values())


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_families_that_warp_cannot_step_are_refused_in_a_line(name, reason):
    problem = f"^{name}: MuJoCo Warp cannot step its model: .*{reason}.*use env.physics mujoco$"
    with pytest.raises(ValueError, match=problem):
        make_family(name).make_env(2, physics=Warp(device="cpu"))


