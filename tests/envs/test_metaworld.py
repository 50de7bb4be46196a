"""Meta-World: every environment equal to its own, its goals and splits; and several models in one environment."""

import importlib.util
import json
import pickle
import re
from pathlib import Path

import gymnasium
import metaworld
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.vector import AutoresetMode
from metaworld import env_dict
from metaworld.policies import ENV_POLICY_MAP
from metaworld.sawyer_xyz_env import SawyerMocapBase

from metarl import cli
from metarl.envs import BatchEnv, MissingExtra, MixedEnv, Tasks, TaskSpace, make, make_family
from metarl.envs.metaworld import tasks as table
from metarl.envs.metaworld.tasks import ENVIRONMENTS, INDICES, environment_of, ml1, ml10, ml45

pytestmark = pytest.mark.metaworld

MIXED = ("reach-v3", "push-v3", "peg-insert-side-v3", "drawer-close-v3", "sweep-v3", "basketball-v3")
# one or two of each file of definitions, and those that remember more than the others
SOME = ("reach-v3", "push-v3", "sweep-into-v3", "bin-picking-v3", "box-close-v3", "button-press-v3", "door-unlock-v3",
        "window-close-v3", "dial-turn-v3", "handle-pull-side-v3", "plate-slide-back-side-v3", "peg-insert-side-v3",
        "assembly-v3")  # fmt: skip

# one of each class of version 1 of the reward
SOME_OF_VERSION_1 = ("reach-v3", "coffee-pull-v3", "sweep-v3", "peg-unplug-side-v3", "pick-place-v3", "bin-picking-v3",
                     "peg-insert-side-v3", "assembly-v3", "disassemble-v3", "hammer-v3", "stick-push-v3",
                     "pick-out-of-hole-v3", "hand-insert-v3", "window-close-v3", "dial-turn-v3")  # fmt: skip


@pytest.fixture(autouse=True)
def _metaworld_on_mujoco_4(monkeypatch):
    """Meta-World as published, but for the welds that its class writes with 11 numbers where MuJoCo has 12."""

    def reset_mocap_welds(self):
        for i in range(self.model.neq):
            if self.model.eq_type[i] == mujoco.mjtEq.mjEQ_WELD:
                self.model.eq_data[i, :11] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]

    monkeypatch.setattr(SawyerMocapBase, "reset_mocap_welds", reset_mocap_welds)


@pytest.fixture(scope="module")
def ten():
    """ML10, 12 simulations; a different number of steps is in each test's own hands."""
    env = make("MetaWorldML10", 12, autoreset_mode="Disabled", num_threads=2, action_scale=2.0)
    yield env
    env.close()


def mixed(space, *goals: int) -> Tasks:
    """Training tasks: of these goals the first in each of MIXED, then the next."""
    rows = {c[0, 0]: c for c in space.goals["train"]}
    return Tasks(space, np.stack([rows[INDICES[name]][goal] for goal in goals for name in MIXED]))


class Published:
    """One environment of Meta-World in one task, by Meta-World's own set_task."""

    def __init__(self, row, version: int = 2):
        self.name, _, position = environment_of(row)
        kind = env_dict.ALL_V3_ENVIRONMENTS[self.name]
        data = {"rand_vec": position.copy(), "env_cls": kind, "partially_observable": True}
        self.env = kind(reward_function_version=f"v{version}")
        self.env.set_task(metaworld.Task(env_name=self.name, data=pickle.dumps(data)))
        self.policy = ENV_POLICY_MAP[self.name]()

    def reset(self):
        return self.env.reset()[0]

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, bool(info["success"])

    def scripted(self, observation):
        """What Meta-World's own policy does, which is told the goal."""
        return np.clip(self.policy.get_action(np.concatenate([observation[:36], self.env._target_pos])), -1, 1)


def agrees(name: str, goals: int, steps: int, version: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Hold goals tasks, under the scripted policy and under random actions, against Meta-World's own environments.

    Returns:
        Which of them were solved at any step, and the greatest reward of each, (2 goals,).
    """
    space, rng = ml1(name), np.random.default_rng(0)
    rows = np.repeat(space.goals["train"][0, :goals], 2, axis=0)
    options = {"env_name": name, "reward_version": version}
    env = make("MetaWorldML1", len(rows), autoreset_mode="Disabled", horizon=10**6, **options)
    alone = [Published(row, version) for row in rows]
    observation, _ = env.reset(seed=0, options={"tasks": Tasks(space, rows)})
    np.testing.assert_allclose(observation, [one.reset() for one in alone], atol=1e-9, rtol=0)
    solved, most = np.zeros(len(rows), bool), np.full(len(rows), -np.inf)
    for t in range(steps):
        actions = rng.uniform(-1, 1, (len(rows), 4))
        actions[::2] = [one.scripted(seen) for one, seen in zip(alone[::2], observation[::2], strict=True)]
        observation, reward, _, _, info = env.step(actions)
        theirs = [one.step(action) for one, action in zip(alone, actions, strict=True)]
        np.testing.assert_allclose(observation, [o for o, _, _ in theirs], atol=1e-9, rtol=0, err_msg=f"step {t}")
        np.testing.assert_allclose(reward, [r for _, r, _ in theirs], atol=1e-9, rtol=0, err_msg=f"step {t}")
        solved |= [success for _, _, success in theirs]
        assert np.array_equal(info["success"], solved), t
        most = np.maximum(most, reward)
    env.close()
    return solved, most


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_an_environment_equals_metaworld_s_own(name):
    _, most = agrees(name, goals=2, steps=90)
    assert most.max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME_OF_VERSION_1)
def test_version_1_of_the_reward_equals_metaworld_s_own(name):
    _, most = agrees(name, goals=2, steps=90, version=1)
    assert np.ptp(most) > 0


@pytest.mark.whole
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("version", [2, 1])
def test_every_environment_equals_metaworld_s_own(name, version):
    solved, most = agrees(name, goals=10, steps=500, version=version)
    if version == 2:
        assert solved[::2].any() and most.max() > 5


@pytest.mark.slow
def test_many_models_in_one_environment_equal_single_ones_after_any_history_and_partial_resets(ten):
    rng = np.random.default_rng(0)
    ten.set_tasks(mixed(ten.space, 2, 3))
    ten.reset(seed=1)
    ten.step(rng.uniform(-2, 2, (12, 4)))
    tasks = mixed(ten.space, 0, 1)
    tasks = tasks[np.r_[6:12, [0, 0, 0, 3, 4, 5]]]  # more of one model than before
    alone = [Published(row) for row in tasks.values]
    observation, _ = ten.reset(seed=0, options={"tasks": tasks})
    assert np.array_equal(observation, [env.reset() for env in alone])
    solved = np.zeros(12, bool)
    again = np.arange(12) % 5 == 0
    for t in range(24):
        if t == 15:  # some go on to another model
            changed = tasks.values.copy()
            changed[again] = changed[[4, 2, 9]]
            for i in np.flatnonzero(again):
                alone[i] = Published(changed[i])
            solved[again] = False
            observation, _ = ten.reset(options={"reset_mask": again, "tasks": Tasks(ten.space, changed)})
            assert np.array_equal(observation[again], [alone[i].reset() for i in np.flatnonzero(again)])
        actions = rng.uniform(-2.5, 2.5, (12, 4))
        observation, reward, terminated, truncated, info = ten.step(actions)
        expected = [env.step(np.clip(a / 2, -1, 1)) for env, a in zip(alone, actions, strict=True)]
        np.testing.assert_allclose(observation, [e[0] for e in expected], atol=1e-9, rtol=0)
        np.testing.assert_allclose(reward, [e[1] for e in expected], atol=1e-9, rtol=0)
        assert np.array_equal(info["reward_terms"]["metaworld"], reward)
        solved |= np.array([e[2] for e in expected], bool)
        assert np.array_equal(info["success"], solved)
        assert not (terminated.any() or truncated.any() or info["diverged"].any())
    assert reward.std() > 0
    for i in (0, 5, 11):  # what a renderer sees
        own, state = alone[i].env, ten.state()[i]
        assert np.array_equal(state[: own.model.nq], own.data.qpos)
        assert np.array_equal(state[own.model.nq :][: own.model.nv], own.data.qvel)
        assert np.array_equal(ten.data_of(i).qvel, own.data.qvel)
        assert np.array_equal(ten.model_of(i).body_pos, own.model.body_pos)
        assert ten.model_of(i, ten.model_of(i)).nbody == own.model.nbody


def test_which_robot_a_simulation_is_of_its_first_episode_says():
    env = make("MetaWorldML10", 2, num_threads=1)
    for ask in (env.model_of, env.data_of, env.place):
        with pytest.raises(gymnasium.error.ResetNeeded, match="^simulation 1 has no model before .*; call reset"):
            ask(1)
    env.close()


@pytest.mark.slow
def test_the_goal_is_hidden_and_decides_the_reward():
    space = ml1("reach-v3")
    values = np.repeat(space.goals["train"][0, :1], 2, axis=0)
    values[1, 4:] = -0.05, 0.85, 0.25
    env = make("MetaWorldML1", 2, autoreset_mode="Disabled", num_threads=1)
    observation, _ = env.reset(seed=0, options={"tasks": Tasks(space, values)})
    for _ in range(5):
        assert np.array_equal(observation[0], observation[1])
        assert not observation[:, -3:].any()
        assert env.single_observation_space.contains(observation[0])
        observation, reward, *_ = env.step(np.full((2, 4), 0.3))
    assert reward[0] != reward[1]
    assert not np.array_equal(env.model_of(0).site("goal").pos, env.model_of(1).site("goal").pos)
    env.close()


def test_the_hand_goes_to_its_place_once_for_each_task(monkeypatch):
    env = make("MetaWorldML1", 6, env_name="door-open-v3", autoreset_mode="Disabled", num_threads=1)
    tasks = Tasks(env.space, env.space.goals["train"][0, [0, 1, 0, 2, 1, 0]])
    counted, simulate = [], env.family._simulate_start

    def count(sim, ids, values):
        counted.append(len(ids))
        simulate(sim, ids, values)

    monkeypatch.setattr(env.family, "_simulate_start", count)
    first, _ = env.reset(seed=0, options={"tasks": tasks})
    env.step(np.ones((6, 4)))
    again, _ = env.reset()
    assert counted == [3]
    assert np.array_equal(first, again) and np.array_equal(first[[0, 0, 1]], first[[2, 5, 4]])
    assert not np.array_equal(first[0], first[1])
    env.close()


@pytest.mark.slow
def test_scripted_policies_succeed_and_every_started_episode_counts():
    names = ("reach-v3", "drawer-close-v3", "button-press-topdown-v3", "window-open-v3")
    space = ml10()
    rows = [next(c[k] for c in space.goals["train"] if c[0, 0] == INDICES[name]) for name in names for k in range(2)]
    env = make("MetaWorldML10", 12, autoreset_mode="Disabled", num_threads=2, horizon=100)
    observation, _ = env.reset(seed=0, options={"tasks": Tasks(space, np.array(rows + rows[:4]))})
    policies = [ENV_POLICY_MAP[environment_of(row)[0]]() for row in rows]
    for t in range(100):
        full = observation[:8].copy()
        full[:, -3:] = np.array(rows)[:, 4:]  # the policy of reach-v3 is told the goal
        actions = np.zeros((12, 4))  # the last four do nothing
        actions[:8] = [policy.get_action(o) for policy, o in zip(policies, full, strict=True)]
        observation, _, terminated, truncated, info = env.step(actions)
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (t == 99)  # nobody ends early, who succeeds fast is counted once
    assert info["success"].tolist() == [True] * 8 + [False] * 4
    assert info["_success"].all()
    env.reset()
    assert not env.step(np.zeros((12, 4)))[-1]["success"][2:].any()
    env.close()


@pytest.mark.parametrize("make_space", [lambda: ml1("push-v3", 3), ml10, ml45], ids=["ML1", "ML10", "ML45"])
def test_splits_are_disjoint_and_reserve_environments(make_space):
    space = make_space()
    train, held_out = (Tasks(space, space.goals[s].reshape(-1, space.dim)) for s in ("train", "held_out"))
    assert not set(train.digests) & set(held_out.digests)
    assert len(set(train.digests)) == len(train) and len(set(held_out.digests)) == len(held_out)
    environments = [set(tasks.values[:, 0]) for tasks in (train, held_out)]
    sizes = {"MetaWorldML1": (1, 1), "MetaWorldML10": (10, 5), "MetaWorldML45": (45, 5)}[space.family]
    assert (len(environments[0]), len(environments[1])) == sizes
    assert (len(train), len(held_out)) == (50 * sizes[0], 50 * sizes[1])
    if space.family != "MetaWorldML1":
        assert not environments[0] & environments[1]
    for split, all_tasks in (("train", train), ("held_out", held_out)):
        drawn = space.sample(4 * len(environments[split == "held_out"]), split, np.random.default_rng(0))
        assert set(drawn.digests) <= set(all_tasks.digests) and len(set(drawn.digests)) == len(drawn)
        assert (np.unique(drawn.values[:, 0], return_counts=True)[1] == 4).all()
        assert (space.split_of(drawn) == split).all()
        assert Tasks.from_json(json.loads(json.dumps(drawn.to_json())), space).digests == drawn.digests
    assert TaskSpace.from_json(json.loads(json.dumps(space.to_json()))) == TaskSpace(space.family, space.parameters)
    with pytest.raises(ValueError, match="both in the training and in the test set"):
        space.assert_disjoint(train, train[:1])


@pytest.mark.slow
def test_the_goals_and_splits_are_those_of_metaworld(monkeypatch):
    assert tuple(env_dict.ALL_V3_ENVIRONMENTS) == tuple(table.ENVIRONMENTS)
    assert tuple(env_dict.ML10_V3["train"]) == table.ML10_TRAIN
    assert tuple(env_dict.ML10_V3["test"]) == table.ML10_HELD_OUT
    # goals do not depend on what the robot does meanwhile
    monkeypatch.setattr(MujocoEnv, "do_simulation", lambda self, ctrl, n: mujoco.mj_forward(self.model, self.data))
    for benchmark, space in ((metaworld.ML1("push-v3", seed=7), ml1("push-v3", 7)), (metaworld.ML45(seed=7), ml45(7))):
        for split, tasks in (("train", benchmark.train_tasks), ("held_out", benchmark.test_tasks)):
            rows = space.goals[split].reshape(-1, space.dim)
            for task, row in zip(tasks, rows, strict=True):
                name, _, position = environment_of(row)
                assert name == task.env_name
                assert np.array_equal(position, pickle.loads(task.data)["rand_vec"])


def test_tasks_that_metaworld_would_not_accept_are_refused(ten):
    near = mixed(ten.space, 0).values.copy()
    near[1, 1:] = 0.0, 0.7, 0.02, 0.0, 0.8, 0.015
    with pytest.raises(ValueError, match=r"task 2: object and goal of push-v3 must be 0\.15 m apart, got 0\.1 m"):
        ten.set_tasks(Tasks(ten.space, near).repeat(2))
    outside = mixed(ten.space, 0).values.copy()
    outside[0, 2] = 0.55
    with pytest.raises(ValueError, match=r"task 0: object_y is 0\.55 m; reach-v3 takes 0\.6 to 0\.7 m"):
        ten.set_tasks(Tasks(ten.space, outside).repeat(2))
    with pytest.raises(ValueError, match=r"environment is 45; expected one of \(43\.0,\)"):
        Tasks(ml1("reach-v3"), ml10().goals["held_out"][2, :1])
    with pytest.raises(ValueError, match=r"unknown Meta-World environment 'reach' \(did you mean 'reach-v3'\?\)"):
        make_family("MetaWorldML1", env_name="reach")
    with pytest.raises(ValueError, match="reward_version must be 1 or 2, got 3"):
        make_family("MetaWorldML10", reward_version=3)


@pytest.mark.parametrize("family", ["MetaWorldML1", "MetaWorldML10"])
def test_divergence_and_nan_actions_end_an_episode_and_only_that(family):
    env = make(family, 2, autoreset_mode="Disabled", num_threads=1)
    before, _ = env.reset(seed=0)
    part, row = (env, 0) if family == "MetaWorldML1" else env.place(0)
    part.batch.bind("qvel")[row] = 1e12
    observation, reward, terminated, truncated, info = env.step(np.zeros((2, 4)))
    assert terminated.tolist() == [True, False] and info["diverged"].tolist() == [True, False]
    assert not truncated.any() and reward[0] == 0.0 < reward[1]
    assert np.array_equal(observation[0], before[0])
    env.reset()
    assert not env.step(np.zeros((2, 4)))[-1]["diverged"].any()
    info = env.step(np.array([[0.0] * 4, [0.0, np.nan, 0.0, 0.0]]))[-1]
    assert info["diverged"].tolist() == [False, True]
    env.close()


@pytest.mark.parametrize("family", ["MetaWorldML1", "MetaWorldML10"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset(mode, family):
    env = make(family, 1, horizon=2, autoreset_mode=mode)
    first, _ = env.reset(seed=0)
    other = env.space.sample(1, "held_out", np.random.default_rng(0))
    env.set_tasks(other)
    env.step(np.ones((1, 4)))
    observation, reward, _, truncated, info = env.step(np.ones((1, 4)))
    assert truncated[0] and reward[0] > 0
    if mode is AutoresetMode.SAME_STEP:
        assert not np.array_equal(info["final_obs"][0], observation[0])
    else:
        observation, reward, _, truncated, info = env.step(np.ones((1, 4)))
        assert not truncated[0] and reward[0] == 0 and not info["_success"][0]
    assert env.tasks == other and not np.array_equal(observation, first)
    assert np.array_equal(observation, env.reset()[0])
    env.close()


def test_a_single_environment():
    env = gymnasium.make("metarl.envs:metarl/MetaWorldML1-v0", env_name="drawer-open-v3")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (39,)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == info["reward_terms"]["metaworld"] and info["success"] is False
    assert isinstance(env.unwrapped.batch_env, BatchEnv)
    env.close()
    env = gymnasium.make("metarl.envs:metarl/MetaWorldML10-v0")
    assert isinstance(env.unwrapped.batch_env, MixedEnv)
    assert env.unwrapped.batch_env.model.nq == 16
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("config", ["metaworld/ml1_reach", "metaworld/ml10"])
def test_it_can_be_trained_on_and_evaluated(config, tmp_path, capsys):
    small = ["env.horizon=5", "meta_batch=2", "episodes=2", "iterations=2", "evaluation={tasks: 2, episodes: 1}"]
    run = str(tmp_path / "run")
    for command in (["train", config, *small, "threads=1", "--run", run], ["evaluate", run, "--steps", "1", "--json"]):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main(command)
        assert not exit_.value.code
    curve = json.loads(capsys.readouterr().out)["curve"]
    assert [row["success"] for row in curve] == [0.0, 0.0] and all(row["mean"] > 0 for row in curve)


def test_without_the_package_the_command_line_says_what_to_install(monkeypatch, tmp_path, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "metaworld" else find(name, *a))
    with pytest.raises(MissingExtra, match="MetaWorldML1 needs"):
        make("MetaWorldML1", 1)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["train", "metaworld/ml1_reach", "--run", str(tmp_path / "run")])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.endswith("pip install '.[metaworld]' in the checkout of metarl\n")


@pytest.mark.slow
def test_the_documented_example_runs():
    text = (Path(__file__).parents[2] / "docs" / "guides" / "metaworld.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace = {}
    exec(compile(example, "docs/guides/metaworld.md", "exec"), namespace)
    assert namespace["success"].shape == (2,) and namespace["truncated"].all()
