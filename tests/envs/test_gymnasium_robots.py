"""The robots of Gymnasium against Gymnasium's own v5 environments: the same bits from the same states and controls."""

import gymnasium
import numpy as np
import pytest

from metarl.envs import BatchEnv, make_family
from metarl.envs.families.hopper import Hopper
from metarl.envs.families.walker2d import Walker2d

SIMULATIONS = 3
WITHOUT_CONTACT = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}


class Hop(Hopper):
    """The robot without a task; a space needs a parameter."""

    name = "Hop"
    space = make_family("SwimmerVel").space


class Walk(Walker2d):
    """The robot without a task."""

    name = "Walk"
    space = make_family("SwimmerVel").space


# family, Gymnasium's id and settings, {my term: its key in their info}
ANT = {"forward": "x_velocity", "survive": "reward_survive", "control": "reward_ctrl"}
WALK = {"forward": "reward_forward", "survive": "reward_survive", "control": "reward_ctrl"}
ROBOTS = {
    "Ant": (lambda: make_family("AntDir"), "Ant-v5", WITHOUT_CONTACT, ANT),
    "Ant-contact": (
        lambda: make_family("AntDir", contact_forces=True), "Ant-v5", {}, ANT | {"contact": "reward_contact"}
    ),
    "Ant-position": (
        lambda: make_family("AntGoal", contact_forces=True), "Ant-v5",
        {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.1,
         "terminate_when_unhealthy": False},
        {"control": "reward_ctrl", "contact": "reward_contact"},
    ),
    "Walker2d": (Walk, "Walker2d-v5", {}, WALK),
    "Walker2d-promp": (lambda: Walk(frame_skip=8), "Walker2d-v5", {"frame_skip": 8}, WALK),
    "Hopper": (Hop, "Hopper-v5", {}, WALK),
    "Swimmer": (lambda: make_family("SwimmerVel"), "Swimmer-v5", {}, {"control": "reward_ctrl"}),
    "Humanoid": (lambda: make_family("HumanoidDir"), "Humanoid-v5", WITHOUT_CONTACT, WALK),
    "Humanoid-contact": (
        lambda: make_family("HumanoidDir", contact_forces=True), "Humanoid-v5", {},
        WALK | {"contact": "reward_contact"},
    ),
    "Reacher": (
        lambda: make_family("ReacherGoal", goal_visible=True), "Reacher-v5", {},
        {"distance": "reward_dist", "control": "reward_ctrl"},
    ),
    "Pusher": (
        lambda: make_family("PusherGoal", goal_visible=True), "Pusher-v5", {},
        {"near": "reward_near", "distance": "reward_dist", "control": "reward_ctrl"},
    ),
}


class Copied:
    """A family's reset_state that puts simulation i where theirs[i] is."""

    def __init__(self, theirs):
        self.theirs = theirs
        self.ids = range(len(theirs))

    def __call__(self, rngs, qpos, qvel):
        qpos[:] = [self.theirs[i].data.qpos for i in self.ids]
        qvel[:] = [self.theirs[i].data.qvel for i in self.ids]


@pytest.fixture(params=ROBOTS)
def robot(request):
    build, env_id, settings, terms = ROBOTS[request.param]
    family = build()
    theirs = [gymnasium.make(env_id, **settings).unwrapped for _ in range(SIMULATIONS)]
    yield family, theirs, terms
    for env in theirs:
        env.close()


@pytest.mark.slow
def test_it_is_gymnasiums_robot(robot):
    family, theirs, terms = robot
    steps = 340  # 1,020 in all, with resets in between
    env = BatchEnv(family, SIMULATIONS, horizon=steps + 1, autoreset_mode="Disabled", num_threads=2)
    family.reset_state = copied = Copied(theirs)
    expected = np.stack([single.reset(seed=i)[0] for i, single in enumerate(theirs)])
    observation, _ = env.reset(seed=0)
    rng, resets, ends = np.random.default_rng(0), 0, 0
    low, high = env.model.actuator_ctrlrange.T
    for step in range(steps):
        np.testing.assert_array_equal(observation, expected)
        action = rng.uniform(-1.1, 1.1, (SIMULATIONS, env.model.nu))
        observation, reward, terminated, _, info = env.step(action)
        ctrl = env.batch.bind("ctrl")
        assert (ctrl >= low).all() and (ctrl <= high).all()
        results = [single.step(control.copy()) for single, control in zip(theirs, ctrl, strict=True)]
        expected = np.stack([result[0] for result in results])
        for name, key in terms.items():
            part = [result[4][key] for result in results]
            np.testing.assert_array_equal(info["reward_terms"][name], part, err_msg=f"{name}, step {step}")
        if terms.keys() == {k for k in info["reward_terms"] if not k.startswith("_")}:
            np.testing.assert_allclose(reward, [result[1] for result in results], rtol=0, atol=1e-11)
        assert terminated.tolist() == [result[2] for result in results]
        ends += terminated.sum()
        # whoever has ended starts anew, and one that has not now and then
        due = terminated | ((np.arange(SIMULATIONS) == 1) & (step % 50 == 49))
        if due.any():
            copied.ids = np.flatnonzero(due)
            for i in copied.ids:
                expected[i] = theirs[i].reset()[0]
            observation, _ = env.reset(options={"reset_mask": due})
            resets += due.sum()
    assert resets >= 6
    if family.name in ("Hop", "Walk", "HumanoidDir"):
        assert ends >= 6


def test_it_ends_where_gymnasiums_does(robot):
    """Random walks hardly reach some of the bounds: states on either side of each, put there by hand."""
    family, (single, *_), _ = robot
    if not hasattr(single, "is_healthy") or family.name == "AntGoal":
        assert family.name in ("AntGoal", "SwimmerVel", "ReacherGoal", "PusherGoal")
        assert BatchEnv(family, 2).family.terminated(None, None) is None
        return
    heights = (0.1, 0.199, 0.2, 0.69, 0.71, 0.79, 0.81, 0.99, 1.0, 1.01, 1.99, 2.01)
    leans = (-1.01, -0.99, -0.21, -0.19, 0.0, 0.19, 0.21, 0.99, 1.01)
    speeds = (-101.0, -99.0, 0.0, 99.0, 101.0)
    index = 2 if single.model.nq > 9 else 1  # of the height in qpos
    cases = [(h, 0.0, 0.0) for h in heights] + [(1.25, a, 0.0) for a in leans] + [(1.25, 0.0, v) for v in speeds]
    env = BatchEnv(family, len(cases), autoreset_mode="Disabled")
    env.reset(seed=0)
    healthy, seen = [], []
    for i, (height, lean, speed) in enumerate(cases):
        qpos, qvel = np.array(single.model.qpos0), np.zeros(single.model.nv)
        qpos[index], qpos[index + 1], qvel[-1] = height, lean, speed
        env.batch.bind("qpos")[i], env.batch.bind("qvel")[i] = qpos, qvel
        single.data.qpos[:], single.data.qvel[:] = qpos, qvel
        healthy.append(bool(single.is_healthy))
        seen.append(single._get_obs())
    if family.name in ("Hop", "Walk"):  # the others observe what is derived, too
        np.testing.assert_array_equal(family.observe(env.batch, None), seen)
    assert family.terminated(env.batch, None).tolist() == [not h for h in healthy]
    assert 3 < sum(healthy) < len(cases)


def test_the_model_is_gymnasiums(robot):
    family, theirs, _ = robot
    mine, stock = family.build(), theirs[0].model
    # what families add: a camera, a mark in the picture, the state that an episode starts from; and their names
    added = ("cam_", "site_", "key_", "name", "_sizes")
    for name in dir(stock):
        if isinstance(getattr(stock, name), np.ndarray) and not name.startswith(added):
            np.testing.assert_array_equal(getattr(mine, name), getattr(stock, name), err_msg=name)
    assert family.camera in [mine.camera(i).name for i in range(mine.ncam)]
