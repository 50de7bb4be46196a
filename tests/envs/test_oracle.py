"""The environment that tells its task: what it adds, and that it changes nothing else."""

import mujoco
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from metarl.envs import BatchEnv, Family, OracleEnv, Parameter, TaskSpace, make
from metarl.envs.oracle import told, told_names


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


SPACE = TaskSpace("X", (
    Parameter("a", "1", "", 1.0, "uniform", 0.0, 4.0, extrapolation=((4.0, 6.0),)),
    Parameter("b", "1", "", 1.0, "log_uniform", 0.01, 100.0),
    Parameter("c", "1", "", 1.0, "choice", choices=(1.0, 3.0, 9.0), held_out=(3.0,), extrapolation=(20.0,)),
    Parameter("d", "1", "", 7.0, "choice", choices=(7.0,)),
))  # fmt: skip
VALUES = np.array([[0.0, 0.01, 1.0, 7.0], [2.0, 1.0, 9.0, 7.0], [6.0, 10.0, 3.0, 7.0], [4.0, 1.0, 20.0, 7.0]])


def test_a_number_is_scaled_and_a_category_has_a_column_for_each_choice_of_training():
    assert told_names(SPACE) == ("a", "b", "c=1", "c=9", "d=7")
    want = [[-1, -1, 1, 0, 1], [0, 0, 0, 1, 1], [2, 0.5, 0, 0, 1], [1, 0, 0, 0, 1]]
    np.testing.assert_allclose(told(SPACE, VALUES), want, atol=1e-12)


def test_runs_of_before_are_told_a_category_as_one_number():
    assert told_names(SPACE, revision=1) == ("a", "b", "c", "d")
    want = [[-1, -1, -1, 0], [0, 0, 1, 0], [2, 0.5, -0.5, 0]]
    np.testing.assert_allclose(told(SPACE, VALUES[:3], revision=1), want, atol=1e-12)


def test_the_mode_that_would_leave_the_last_observation_untold_is_refused():
    with pytest.raises(ValueError, match="got SAME_STEP"):
        OracleEnv(make("Navigation2D", 1, autoreset_mode=AutoresetMode.SAME_STEP))


def test_a_fault_is_told_when_it_sets_in():
    env = OracleEnv(make("HalfCheetahDisabledJoint", 2, onset=2, num_threads=1))
    env.set_tasks(env.space.tasks(disabled_joint=[-1.0, 5.0]))
    seen = [env.reset(seed=0)[0]] + [env.step(np.zeros((2, 6)))[0] for _ in range(3)]
    intact, fifth = [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]  # of -1 and 1 to 5: 0 is held out
    assert [row[:, -6:].tolist() for row in seen] == [[intact, intact]] * 3 + [[intact, fifth]]


class Late(Family):
    """A point whose wind begins at a step that differs from task to task."""

    name, horizon = "Late", 20
    space = TaskSpace("Late", (
        Parameter("wind", "m/s", "", 0.0, "uniform", -1.0, 1.0, onset="step"),
        Parameter("step", "steps", "", 4.0, "uniform", 0.0, 10.0),
    ))  # fmt: skip

    def build(self):
        return mujoco.MjModel.from_xml_string(
            '<mujoco><worldbody><body><joint name="x" type="slide"/><geom size="0.1"/></body></worldbody>'
            '<actuator><motor joint="x" ctrllimited="true" ctrlrange="-1 1"/></actuator></mujoco>'
        )

    def observe(self, sim, derived):
        return sim.bind("qpos").copy()

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"wind": values[:, 0]}


def test_when_a_fault_will_come_is_hidden_until_it_has():
    """Told with the fault itself, in the observation after its first step; 2.5 means step 3."""
    env = OracleEnv(BatchEnv(Late(), 3, autoreset_mode="Disabled"))
    env.set_tasks(env.space.tasks(wind=[1.0, 1.0, 0.0], step=[0.0, 2.5, 2.5]))
    seen = [env.reset(seed=0)[0]] + [env.step(np.zeros((3, 1)))[0] for _ in range(5)]
    told = np.array(seen)[..., -2:]  # (steps, tasks, wind and step)
    assert told[:, 0].tolist() == [[1.0, -1.0]] * 6
    assert told[:, 1].tolist() == [[0.0, 0.0]] * 4 + [[1.0, -0.5]] * 2
    assert told[:, 2].tolist() == [[0.0, 0.0]] * 4 + [[0.0, -0.5]] * 2
    before = OracleEnv(env.env, revision=1)
    assert before.reset(seed=0)[0][:, -2:].tolist() == [[1.0, -1.0], [0.0, -0.5], [0.0, -0.5]]
    changed = env.space.tasks(wind=[0.5, 0.5, 0.5], step=[9.0, 0.0, 9.0])
    env.change_tasks(changed)  # in mid-episode
    assert env.step(np.zeros((3, 1)))[0][:, -2:].tolist() == [[0.0, 0.0], [0.5, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize("when", [
    Parameter("when", "steps", "", 4.0, "choice", choices=(2.0, 4.0, 6.0)),
    Parameter("when", "steps", "", 4.0, "uniform", 2.0, 6.0),
])  # fmt: skip
def test_a_choice_of_when_is_hidden_as_a_range_is(when):
    """Nothing of two tasks differs but when the fault comes: neither does what is told before."""
    motor = Parameter("motor", "1", "", -1.0, "choice", choices=(-1.0, 0.0, 1.0), onset="when")
    space = TaskSpace("Fault", (motor, when))
    active, tasks = np.array([[-1.0, 2.0], [-1.0, 6.0]]), np.array([[1.0, 2.0], [1.0, 6.0]])
    waiting = told(space, active, np.array([[False, True]] * 2))
    np.testing.assert_array_equal(waiting, [[1.0, 0, 0] + [0.0] * (waiting.shape[1] - 3)] * 2)
    here = told(space, tasks, np.ones((2, 2), bool))
    assert (here[:, :3] == [0, 0, 1]).all() and (here[0, 3:] != here[1, 3:]).any()
