"""Training in MuJoCo Warp, on its CPU device and with learners there, learns what training in Batch does."""

import numpy as np
import pytest

from metarl import load_config, make_learner, training_env
from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_env
from metarl.envs.warp import GPU

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(1800),
    pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}"),
]  # fmt: skip
WARP = ("env.physics=warp", "env.warp.device=cpu")


def curve(config: str, iterations: int, *settings: str) -> np.ndarray:
    """Returns before and after each adaptation step, (iterations, steps + 1)."""
    loaded = load_config(config, ["threads=1", *settings])
    env = training_env(loaded)
    learner = make_learner(loaded, Spec.of(env))
    metrics = [learner.iterate(env, i) for i in range(iterations)]
    return np.array([[found[f"return_{step}"] for step in range(loaded.rounds)] for found in metrics])


@pytest.mark.parametrize("config", ["navigation/promp", "navigation/maml", "navigation_sparse/rl2"])
def test_a_point_learns_the_same(config):
    """The same draws, and no contacts: the curves are the same, not only their distribution."""
    small = ("meta_batch=4", "episodes=3", "env.horizon=15", "env.family=Navigation2D")
    expected, found = (curve(config, 3, *small, *physics) for physics in ((), WARP))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.whole
@pytest.mark.parametrize(("config", "settings"), [
    ("half_cheetah_dir/promp", ("meta_batch=4", "episodes=8", "env.horizon=50")),
    ("half_cheetah_dir/rl2", ("meta_batch=8", "episodes=8", "env.horizon=50")),
])  # fmt: skip
def test_curves_agree_within_their_interval(config, settings):
    """Seed by seed: contacts are chaotic, so the seeds are few experiments each, with the same draws."""
    seeds = range(6)
    difference = np.array([
        curve(config, 6, *settings, f"seed={seed}", *WARP) - curve(config, 6, *settings, f"seed={seed}")
        for seed in seeds
    ])  # fmt: skip
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(seeds))
    apart = np.abs(difference.mean(axis=0)) > 4.03 * error + 1e-3  # t of 5 degrees of freedom, 99 %
    assert apart.mean() <= 0.1, difference.mean(axis=0) / error


def test_an_evaluation_env_is_warps_too():
    env = make_env(load_config("navigation/promp", [*WARP]), 3)
    assert type(env.unwrapped.batch).__name__ == "WarpSimulator"
