"""Navigation2D with numbers worked by hand."""

import numpy as np

from metarl.envs import make


def test_reward_and_end_by_hand():
    env = make("Navigation2D", 4, autoreset_mode="Disabled")
    # after one full step to the right, at (0.1, 0): near on both axes, too far along x, too far along y, and far
    goals = env.space.tasks(goal_x=[0.109, 0.111, 0.1, 0.5], goal_y=[0.009, 0.0, 0.0105, 0.3])
    observation, _ = env.reset(seed=0, options={"tasks": goals})
    assert not observation.any()
    observation, reward, terminated, truncated, _ = env.step(np.tile([1.0, 0.0], (4, 1)))
    np.testing.assert_allclose(observation, [[0.1, 0.0]] * 4)
    np.testing.assert_allclose(reward, [-0.009 * np.sqrt(2), -0.011, -0.0105, -0.5])
    assert terminated.tolist() == [True, False, False, False] and not truncated.any()
    observation = env.step(np.tile([-7.0, 0.5], (4, 1)))[0]
    np.testing.assert_allclose(observation, [[0.1, 0.0], *[[0.0, 0.05]] * 3], atol=1e-15)  # the first is there


def test_extrapolation_goals_are_beyond_the_square_on_both_axes():
    goals = make("Navigation2D", 1).space.sample(500, "extrapolation", np.random.default_rng(0)).values
    assert (np.abs(goals) >= 0.5).all() and (np.abs(goals) <= 0.75).all()
    assert len(np.unique(np.sign(goals), axis=0)) == 4
