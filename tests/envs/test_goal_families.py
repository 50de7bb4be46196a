"""What each goal family rewards and how its episodes start, against Gymnasium's environments and numbers by hand."""

import math

import gymnasium
import numpy as np
import pytest

from metarl.envs import make, make_family
from metarl.envs.families.humanoid import HumanoidState

N = 4


def rewards_of_ant(forward):
    return lambda info, single, task: {
        "forward": forward(info, task), "survive": info["reward_survive"], "control": info["reward_ctrl"]
    }


def ant_speed(info, single, task):
    return {
        "speed": -abs(info["x_velocity"] - task[0]),
        "survive": 1.05 * info["reward_survive"],
        "control": info["reward_ctrl"] / 100,
    }


def ant_goal(info, single, task):
    goal = math.sqrt(task[1]) * np.array([math.cos(task[0]), math.sin(task[0])])
    x, y = single.data.body("torso").xpos[:2]
    return {"goal": -abs(x - goal[0]) - abs(y - goal[1]), "control": info["reward_ctrl"] / 5}


def walker_speed(info, single, task):
    miss = abs(info["x_velocity"] - task[0])
    return {"speed": -miss, "survive": 15 * info["reward_survive"], "control": info["reward_ctrl"]}


def swimmer(sign):
    return lambda info, single, task: {
        "speed": sign * abs(info["x_velocity"] - task[0]), "control": info["reward_ctrl"]
    }


def heading(info, task):
    return info["x_velocity"] * math.cos(task[0]) + info["y_velocity"] * math.sin(task[0])


def humanoid(info, single, task):
    return {"forward": 1.25 * heading(info, task), "survive": info["reward_survive"], "control": info["reward_ctrl"]}


def reacher(info, single, task):
    return {"distance": info["reward_dist"], "control": info["reward_ctrl"]}


def pusher(info, single, task):
    return reacher(info, single, task) | {"near": info["reward_near"]}


def direction(info, task):
    return task[0] * info["x_velocity"]


BARE = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}
POSITION = BARE | {"exclude_current_positions_from_observation": False, "terminate_when_unhealthy": False}
# family, options, Gymnasium's id and settings, the terms of a step, and which of Gymnasium's observations are shown
DEFINITIONS = [
    ("AntDir", {}, "Ant-v5", BARE, rewards_of_ant(direction), slice(None)),
    ("AntDir", {"published": "varibad"}, "Ant-v5", BARE, rewards_of_ant(heading), slice(None)),
    ("AntDir2D", {}, "Ant-v5", BARE, rewards_of_ant(heading), slice(None)),
    ("AntVel", {}, "Ant-v5", BARE, ant_speed, slice(None)),
    ("AntGoal", {}, "Ant-v5", POSITION, ant_goal, slice(None)),
    ("Walker2dDir", {}, "Walker2d-v5", {}, rewards_of_ant(direction), slice(None)),
    ("Walker2dVel", {}, "Walker2d-v5", {}, walker_speed, slice(None)),
    ("SwimmerVel", {}, "Swimmer-v5", {}, swimmer(-1), slice(None)),
    ("SwimmerVel", {"published": "promp"}, "Swimmer-v5", {}, swimmer(+1), slice(None)),
    ("HumanoidDir", {}, "Humanoid-v5", BARE, humanoid, slice(None)),
    ("ReacherGoal", {"goal_visible": True}, "Reacher-v5", {}, reacher, slice(None)),
    ("PusherGoal", {}, "Pusher-v5", {}, pusher, slice(20)),
]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: "-".join([d[0], *map(str, d[1].values())]))
def test_a_batch_is_a_loop_over_gymnasiums_environments(definition, threads):
    name, options, env_id, settings, terms_of, shown = definition
    env = make(name, N, num_threads=threads, autoreset_mode="Disabled", horizon=1000, **options)
    singles = [gymnasium.make(env_id, **settings).unwrapped for _ in range(N)]
    tasks = env.space.sample(N, "train", np.random.default_rng(1))
    expected = np.empty((N, *singles[0].observation_space.shape))

    def follow(ids):
        for i in ids:
            singles[i].reset(seed=0)
            singles[i].set_state(*np.split(env.state()[i], [env.model.nq]))
            expected[i] = singles[i]._get_obs()

    observation, _ = env.reset(seed=3, options={"tasks": tasks})
    follow(range(N))
    rng, over = np.random.default_rng(0), np.zeros(N, bool)
    for step in range(24):
        np.testing.assert_array_equal(observation, expected[:, shown])
        if step in (7, 15):
            mask = np.array([step == 7, True, False, False])
            observation, _ = env.reset(options={"reset_mask": mask})
            follow(np.flatnonzero(mask))
            over &= ~mask
            np.testing.assert_array_equal(observation, expected[:, shown])
        observation, _, terminated, truncated, info = env.step(rng.uniform(-1.2, 1.2, (N, env.model.nu)))
        for i, (single, control) in enumerate(zip(singles, env.batch.bind("ctrl"), strict=True)):
            if over[i]:  # stays as it was
                assert terminated[i] and not truncated[i] and not info["_diverged"][i]
                assert not any(term[i] for term in info["reward_terms"].values())
                continue
            expected[i], _, ended, _, their_info = single.step(control.copy())
            terms = terms_of(their_info, single, tasks.values[i])
            mine = {key: value[i] for key, value in info["reward_terms"].items() if not key.startswith("_")}
            assert mine == pytest.approx(terms, rel=1e-12, abs=1e-12)
            assert terminated[i] == ended and not truncated[i]
        over = terminated
    for single in singles:
        single.close()


def best_of(name, task, field, states, options=None):
    """Which of the states (n, k), written to the first columns of a state field, is paid best after a step at rest."""
    env = make(name, len(states), autoreset_mode="Disabled", **(options or {}))
    env.family.reset_state = lambda rngs, qpos, qvel: None
    env.reset(seed=0, options={"tasks": env.space.tasks(**task)[0].repeat(len(states))})
    array = env.batch.bind(field)
    array[:, : len(states[0])] = states
    env.batch.forward()
    return int(env.step(np.zeros((len(states), env.model.nu)))[1].argmax())


SLOW_TO_FAST = [[0.0], [0.5], [1.0], [2.0], [4.0]]
AROUND = [[math.cos(a), math.sin(a)] for a in np.arange(8) * math.pi / 4]  # every 45 degrees


@pytest.mark.parametrize(
    ("name", "task", "field", "states", "best"),
    [
        ("AntDir", {"direction": 1}, "qvel", [[-1.0], [0.0], [1.0]], 2),
        ("AntDir", {"direction": -1}, "qvel", [[-1.0], [0.0], [1.0]], 0),
        ("AntDir2D", {"heading": -math.pi / 2}, "qvel", AROUND, 6),
        ("AntVel", {"velocity": 1.0}, "qvel", SLOW_TO_FAST, 2),
        ("AntGoal", {"goal_angle": math.pi / 2, "goal_distance_squared": 4.0}, "qpos", [[0, 0], [2, 0], [0, 2]], 2),
        ("Walker2dDir", {"direction": 1}, "qvel", [[-1.0], [0.0], [1.0]], 2),
        ("Walker2dDir", {"direction": -1}, "qvel", [[-1.0], [0.0], [1.0]], 0),
        ("Walker2dVel", {"velocity": 2.0}, "qvel", SLOW_TO_FAST, 3),
        ("SwimmerVel", {"velocity": 0.15}, "qvel", [[-0.15], [0.0], [0.15], [0.4]], 2),
        ("HumanoidDir", {"heading": math.pi}, "qvel", AROUND, 4),
        # a stretched arm reaches 0.21 m, at the angle of its first joint
        ("ReacherGoal", {"goal_angle": 1.0, "goal_distance_squared": 0.04}, "qpos", [[-1.0], [0.0], [1.0], [2.0]], 2),
        ("Navigation2DSparse", {"goal_angle": 0.0}, "qpos", [[0.79, 0], [0.85, 0], [0.99, 0], [0, 1]], 2),
        ("Navigation2DWind", {"wind_x": 0.0}, "qpos", [[0, 0.96], [0, 0.98], [0.04, 1]], 1),
    ],
)
def test_moving_as_the_task_wants_pays_most(name, task, field, states, best):
    assert best_of(name, task, field, states) == best


def test_a_hard_fall_costs_a_humanoid_ten_at_most():
    contact = np.zeros((3, 14, 6))
    contact[1, 4, 5], contact[2, 4, 5] = 1000.0, 10_000.0  # N
    costs = make_family("HumanoidDir", contact_forces=True).costs(HumanoidState(None, contact), np.full((3, 17), 0.4))
    np.testing.assert_allclose(costs["contact"], [0.0, -0.5, -10.0])
    np.testing.assert_allclose(costs["control"], -0.1 * 17 * 0.16)


def test_an_object_near_the_goal_pays_most():
    places = [[0.0] * 7 + place for place in ([-0.2, 0.1], [0.05, 0.15], [0.05, -0.15])]  # slides y and x
    assert best_of("PusherGoal", {"goal_x": 0.6, "goal_y": 0.0}, "qpos", places) == 1


def test_the_published_defects_are_what_they_are():
    fastest = {"published": "promp"}
    assert best_of("SwimmerVel", {"velocity": 0.15}, "qvel", [[0.15], [0.4], [1.0]], fastest) == 2
    # both of VariBAD's directions reward running forward
    for sign in (-1, 1):
        assert best_of("AntDir", {"direction": sign}, "qvel", [[-1.0], [0.0], [1.0]], {"published": "varibad"}) == 2


@pytest.mark.parametrize(
    ("name", "position", "velocity"),
    [("AntDir", 0.1, None), ("Walker2dDir", 0.005, 0.005), ("SwimmerVel", 0.1, 0.1), ("HumanoidDir", 0.01, 0.01)],
)
def test_reset_noise_has_gymnasiums_spread(name, position, velocity):
    env = make(name, 500)
    env.reset(seed=0)
    qpos, qvel = np.split(env.state(), [env.model.nq], axis=1)
    qpos = qpos - env.model.qpos0
    assert np.abs(qpos).max() <= position
    np.testing.assert_allclose(qpos.std(axis=0), position / math.sqrt(3), rtol=0.1)
    if velocity is None:  # normal, not uniform
        np.testing.assert_allclose(qvel.std(), 0.1, rtol=0.05)
        assert np.abs(qvel).max() > 0.3
    else:
        assert np.abs(qvel).max() <= velocity
        np.testing.assert_allclose(qvel.std(axis=0), velocity / math.sqrt(3), rtol=0.1)


def test_arms_start_as_gymnasiums_do():
    for name, arm, noise in (("ReacherGoal", 2, 0.1), ("PusherGoal", 7, 0.0)):
        env = make(name, 500)
        tasks = env.space.sample(500, "train", np.random.default_rng(0))
        env.reset(seed=0, options={"tasks": tasks})
        qpos, qvel = np.split(env.state(), [env.model.nq], axis=1)
        assert np.abs(qpos[:, :arm]).max() <= noise
        np.testing.assert_allclose(qpos[:, :arm].std(axis=0), noise / math.sqrt(3), rtol=0.1)
        assert 0.004 < np.abs(qvel[:, :arm]).max() <= 0.005 and not qvel[:, arm:].any()
    start, goal = qpos[:, 7:9], qpos[:, 9:]
    distance = np.linalg.norm(start - goal, axis=1)
    assert 0.17 < distance.min() < 0.18
    assert (start.min(axis=0) > [-0.3, -0.2]).all() and (start.max(axis=0) < [0, 0.2]).all()
    np.testing.assert_allclose(goal[:, ::-1] + [0.45, -0.05], tasks.values, atol=1e-15)
    np.testing.assert_array_equal(make("PusherGoal", 1).reset(seed=0)[0][0, :7], np.zeros(7))


def test_a_goal_in_a_disc_is_uniform_and_stays_within_its_split():
    for name, radius, beyond in (("AntGoal", 3.0, 4.5), ("ReacherGoal", 0.2, None)):
        space = make_family(name).space
        angle, squared = space.sample(2000, "train", np.random.default_rng(0)).values.T
        assert abs(np.mean(squared < radius**2 / 4) - 0.25) < 0.03, "a quarter of the area is within half the radius"
        assert abs(np.mean(np.cos(angle))) < 0.05 and squared.max() <= radius**2
        if beyond:
            distance = np.sqrt(space.sample(500, "extrapolation", np.random.default_rng(0)).values[:, 1])
            assert distance.min() >= radius and distance.max() <= beyond


@pytest.mark.parametrize(
    ("name", "options", "low", "high"),
    [
        ("AntVel", {}, 0.0, 3.0),
        ("AntVel", {"max_velocity": 2}, 0.0, 2.0),
        ("Walker2dVel", {}, 0.0, 10.0),
        ("Walker2dVel", {"max_velocity": 2.5}, 0.0, 2.5),
        ("SwimmerVel", {}, 0.1, 0.2),
        ("AntDir2D", {}, -math.pi, math.pi),
        ("HumanoidDir", {}, -math.pi, math.pi),
        ("Navigation2DSparse", {}, 0.0, math.pi),
    ],
)
def test_ranges_are_the_published_ones(name, options, low, high):
    (p,) = make_family(name, **options).space.parameters
    assert (p.low, p.high, p.distribution) == (low, high, "uniform")
    if p.unit == "m/s":
        assert p.extrapolation == ((high, 1.5 * high),)


def test_sparse_and_windy_navigation_by_hand():
    env = make("Navigation2DSparse", 2, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(goal_angle=[0.0, math.pi / 2])})
    env.step(np.tile([0.5, 0.0], (2, 1)))
    rewards = np.stack([env.step(np.tile([1.0, 0.0], (2, 1)))[1] for _ in range(12)])  # at 0.15, 0.25, ... 1.25 m
    np.testing.assert_allclose(rewards[:, 0], [0] * 7 + [0.85, 0.95, 0.95, 0.85, 0], atol=1e-12)
    assert not rewards[:, 1].any()

    env = make("Navigation2DWind", 3, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(wind_x=[0.0, 0.5, -0.8], wind_y=[0.0, 0.2, -0.8])})
    observation = env.step(np.tile([0.0, 1.0], (3, 1)))[0]
    np.testing.assert_allclose(observation, [[0, 0.1], [0.05, 0.12], [-0.08, 0.02]], atol=1e-15)
    for _ in range(9):
        _, reward, terminated, *_ = env.step(np.array([[0.0, 1.0], [-0.5, 0.8], [0.0, 0.0]]))
    assert reward.tolist() == [1, 0, 0] and not terminated.any()


@pytest.mark.parametrize("split", ["train", "extrapolation"])
def test_no_wind_is_too_strong_to_reach_the_goal(split):
    env = make("Navigation2DWind", 200)
    wind = env.space.sample(200, split, np.random.default_rng(0))
    observation, _ = env.reset(seed=0, options={"tasks": wind})
    best = np.zeros(200)
    for _ in range(env.horizon):
        ideal = ([0.0, 1.0] - observation) / 0.1 - wind.values
        observation, reward, *_ = env.step(np.clip(ideal, -1, 1))
        best = np.maximum(best, reward)
    assert best.all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("AntDir", {"published": "varibat"}, r"AntDir: no published form 'varibat' \(did you mean 'varibad'"),
        ("SwimmerVel", {"published": "varibad"}, r"SwimmerVel: no published form 'varibad' \(choose from 'promp'"),
        ("AntVel", {"max_velocity": 0}, "AntVel: max_velocity must be a positive number, got 0"),
        ("Walker2dVel", {"max_velocity": math.inf}, "Walker2dVel: max_velocity must be a positive number, got inf"),
        ("Walker2dDir", {"frame_skip": 0}, "Walker2dDir: frame_skip must be a positive integer, got 0"),
        ("Walker2dDir", {"frame_skip": 2.5}, "Walker2dDir: frame_skip must be a positive integer, got 2.5"),
    ],
)
def test_a_wrong_option_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_family(name, **options)
