"""The environment that tells its task: what it adds, and that it changes nothing else."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from metarl.envs import OracleEnv, Parameter, TaskSpace, make
from metarl.envs.oracle import scaled


def test_the_parameters_stand_behind_the_observation():
    plain, inner = (make("HalfCheetahMass", 3, horizon=2, num_threads=1) for _ in range(2))
    envs = [plain, OracleEnv(inner)]
    for env in envs:
        env.set_tasks(env.space.tasks(mass_scale=[0.5, 1.0, 2.0]))
    plain, told = (env.reset(seed=0)[0] for env in envs)
    assert envs[1].observation_space.contains(told)
    for _ in range(4):  # over an autoreset, too
        np.testing.assert_array_equal(told[:, :-1], plain)
        np.testing.assert_allclose(told[:, -1], [-1, 0, 1], atol=1e-12)
        actions = np.full((3, 6), 0.3)
        (plain, *rest), (told, *again) = (env.step(actions) for env in envs)
        np.testing.assert_array_equal(rest[0], again[0])


def test_a_new_task_is_told_when_it_is_in_force():
    env = OracleEnv(make("Navigation2D", 1, autoreset_mode=AutoresetMode.DISABLED))
    env.set_tasks(env.space.tasks(goal_x=0.5, goal_y=-0.5))
    before = env.reset(seed=0)[0]
    env.set_tasks(env.space.tasks(goal_x=-0.5, goal_y=0.5))
    np.testing.assert_array_equal(env.step(np.zeros((1, 2)))[0][:, 2:], before[:, 2:])
    np.testing.assert_array_equal(env.reset()[0][:, 2:], -before[:, 2:])


def test_scales():
    space = TaskSpace("X", (
        Parameter("a", "1", "", 1.0, "uniform", 0.0, 4.0, extrapolation=((4.0, 6.0),)),
        Parameter("b", "1", "", 1.0, "log_uniform", 0.01, 100.0),
        Parameter("c", "1", "", 1.0, "choice", choices=(1.0, 3.0)),
        Parameter("d", "1", "", 7.0, "choice", choices=(7.0,)),
    ))
    values = np.array([[0.0, 0.01, 1.0, 7.0], [2.0, 1.0, 3.0, 7.0], [6.0, 10.0, 1.0, 7.0]])
    np.testing.assert_allclose(scaled(space, values), [[-1, -1, -1, 0], [0, 0, 1, 0], [2, 0.5, -1, 0]], atol=1e-12)


def test_the_mode_that_would_leave_the_last_observation_untold_is_refused():
    with pytest.raises(ValueError, match="got SAME_STEP"):
        OracleEnv(make("Navigation2D", 1, autoreset_mode=AutoresetMode.SAME_STEP))


def test_a_fault_is_told_when_it_sets_in():
    env = OracleEnv(make("HalfCheetahDisabledJoint", 2, onset=2, num_threads=1))
    env.set_tasks(env.space.tasks(disabled_joint=[-1.0, 5.0]))
    told = [env.reset(seed=0)[0]] + [env.step(np.zeros((2, 6)))[0] for _ in range(3)]
    assert [list(row[:, -1]) for row in told[:1]] == [[-1, -1]]
    assert list(told[-1][:, -1]) == [-1, 1]
