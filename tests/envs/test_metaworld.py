"""Meta-World: equal to its own environments bit for bit, its goals and splits; and what becomes of worker processes."""

import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
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
from metarl.envs import MetaWorldEnv, MissingExtra, Tasks, make, make_family
from metarl.envs.metaworld import tasks as table
from metarl.envs.metaworld.tasks import INDICES, environment_of, ml1, ml10, ml45
from metarl.util.workers import WorkerDied, Workers

pytestmark = pytest.mark.metaworld

MIXED = ("reach-v3", "push-v3", "peg-insert-side-v3", "drawer-close-v3", "sweep-v3", "basketball-v3")


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
    """ML10, 12 simulations in 2 processes; a different number of steps is in each test's own hands."""
    env = make("MetaWorldML10", 12, autoreset_mode="Disabled", num_threads=2, action_scale=2.0)
    yield env
    env.close()


def mixed(space, *goals: int) -> Tasks:
    """Training tasks: of these goals the first in each of MIXED, then the next."""
    rows = {c[0, 0]: c for c in space.goals["train"]}
    return Tasks(space, np.stack([rows[INDICES[name]][goal] for goal in goals for name in MIXED]))


class Published:
    """One environment of Meta-World in one task, by Meta-World's own set_task."""

    def __init__(self, row):
        name, _, position = environment_of(row)
        kind = env_dict.ALL_V3_ENVIRONMENTS[name]
        data = {"rand_vec": position.copy(), "env_cls": kind, "partially_observable": True}
        self.env = kind()
        self.env.set_task(metaworld.Task(env_name=name, data=pickle.dumps(data)))

    def reset(self):
        return self.env.reset()[0]

    def step(self, action):
        observation, reward, _, _, info = self.env.step(action)
        return observation, reward, info["success"]


@pytest.mark.slow
def test_workers_equal_single_environments_after_any_history_and_partial_resets(ten):
    rng = np.random.default_rng(0)
    ten.set_tasks(mixed(ten.space, 2, 3))
    ten.reset(seed=1)
    ten.step(rng.uniform(-2, 2, (12, 4)))
    tasks = mixed(ten.space, 0, 1)  # simulations i and i + 6 are in one worker and share a model
    alone = [Published(row) for row in tasks.values]
    observation, _ = ten.reset(seed=0, options={"tasks": tasks})
    assert np.array_equal(observation, [env.reset() for env in alone])
    solved = np.zeros(12, bool)
    again = np.arange(12) % 5 == 0
    for t in range(24):
        if t == 15:
            solved[again] = False
            observation, _ = ten.reset(options={"reset_mask": again})
            assert np.array_equal(observation[again], [alone[i].reset() for i in np.flatnonzero(again)])
        actions = rng.uniform(-2.5, 2.5, (12, 4))
        observation, reward, terminated, truncated, info = ten.step(actions)
        expected = [env.step(np.clip(a / 2, -1, 1).astype(np.float32)) for env, a in zip(alone, actions, strict=True)]
        assert np.array_equal(observation, [e[0] for e in expected])
        assert np.array_equal(reward, [e[1] for e in expected])
        assert np.array_equal(info["reward_terms"]["metaworld"], reward)
        solved |= np.array([e[2] for e in expected], bool)
        assert np.array_equal(info["success"], solved)
        assert not (terminated.any() or truncated.any() or info["diverged"].any())
    assert reward.std() > 0
    for i in (0, 5, 11):  # what a renderer sees
        own = alone[i].env
        assert np.array_equal(ten.state()[i, : own.model.nq], own.data.qpos)
        assert np.array_equal(ten.data_of(i).qvel, own.data.qvel)
        assert np.array_equal(ten.model_of(i).body_pos, own.model.body_pos)
        assert np.array_equal(ten.model_of(i).site_pos, own.model.site_pos)


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
    env.close()
    own = env_dict.ALL_V3_ENVIRONMENTS["reach-v3"]().sawyer_observation_space
    assert np.array_equal(env.single_observation_space.low, own.low)
    assert np.array_equal(env.single_observation_space.high, own.high)


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


def test_divergence_and_nan_actions_end_an_episode_and_only_that():
    env = make("MetaWorldML1", 1, autoreset_mode="Disabled")
    before, _ = env.reset(seed=0)
    env.workers._local._simulations[0].env.data.qvel[:] = 1e12
    observation, reward, terminated, truncated, info = env.step(np.zeros((1, 4)))
    assert (terminated[0], truncated[0], info["diverged"][0], reward[0]) == (True, False, True, 0.0)
    assert np.array_equal(observation, before)
    env.reset()
    assert not env.step(np.zeros((1, 4)))[-1]["diverged"][0]
    info = env.step(np.array([[0.0, np.nan, 0.0, 0.0]]))[-1]
    assert info["diverged"][0]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_autoreset(mode):
    env = make("MetaWorldML1", 1, horizon=2, autoreset_mode=mode)
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


def test_a_single_environment():
    env = gymnasium.make("metarl.envs:metarl/MetaWorldML1-v0", env_name="drawer-open-v3")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (39,)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == info["reward_terms"]["metaworld"] and info["success"] is False
    env.close()
    assert isinstance(env.unwrapped.batch_env, MetaWorldEnv)


@pytest.mark.slow
def test_a_dead_worker_is_named_with_its_task_and_seed():
    env = make("MetaWorldML1", 4, autoreset_mode="Disabled", num_threads=2)
    env.reset(seed=5)
    worker = env.workers.pids[1]
    os.kill(worker, signal.SIGKILL)
    message = (
        rf"worker 1 of 2 \(process {worker}\) ended by signal 9 \(SIGKILL\), last at simulation 3: reach-v3, task "
    )
    with pytest.raises(WorkerDied, match=message + r"environment=43, object_x=.* m, seed 5;"):
        env.step(np.zeros((4, 4)))
    assert not any(alive(pid) for pid in env.workers.pids)


def test_an_error_in_a_worker_comes_with_its_traceback_and_ends_nothing(ten):
    with pytest.raises(RuntimeError, match=r"(?s)worker 0 of 2 failed at simulation .*AttributeError.*'nonsense'"):
        ten.workers.call("nonsense")
    ten.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"(?s)worker 0 of 1 failed at row 0.*ModuleNotFoundError"):
        Workers("metarl.nowhere:X", {"x": ((), "f8")}, n=2, count=1)


@pytest.mark.slow
def test_workers_end_with_their_parent_however_that_ends():
    script = (
        "from metarl.envs import make\n"
        "env = make('MetaWorldML1', 2, num_threads=2); env.reset()\n"
        "print(*env.workers.pids, flush=True); input()\n"
        "env.step(env.action_space.sample()); print('stepped', flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(alive(pid) for pid in pids)
        for pid in pids:
            os.kill(pid, signal.SIGINT)  # Ctrl-C reaches the whole group; it is the parent's to handle
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "stepped\n"
        assert all(alive(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


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
    text = (Path(__file__).parents[2] / "docs" / "metaworld.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace = {}
    exec(compile(example, "docs/metaworld.md", "exec"), namespace)
    assert namespace["success"].shape == (2,) and namespace["truncated"].all()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and whom nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
