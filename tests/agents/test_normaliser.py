"""The running normalizer against NumPy's mean and standard deviation of everything seen."""

import numpy as np

from metarl.agents import Normalizer
from metarl.agents.normalizer import merged, moments_of


def test_merging_equals_seeing_all_at_once():
    rng = np.random.default_rng(0)
    parts = [rng.normal(loc, 2.0, (n, 3)) for loc, n in ((0, 10), (5, 1000), (-3, 77))]
    normalizer = Normalizer.identity(3)
    for part in parts:
        normalizer = normalizer.update(moments_of(part))
    everything = np.concatenate(parts)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0))
    np.testing.assert_allclose(normalizer.std, everything.std(0))
    seen = normalizer(everything)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)
    together = merged([moments_of(part) for part in parts])
    np.testing.assert_allclose(together, moments_of(everything))
    assert np.array_equal(merged([moments_of(parts[0][:0]), *map(moments_of, parts)]), together)


def test_a_small_spread_about_a_large_mean_is_seen():
    rng = np.random.default_rng(0)
    parts = [1e8 + rng.normal(0, 0.05, (n, 1)) for n in (3, 1000, 1000)]
    normalizer = Normalizer.identity(1)
    for part in parts:
        normalizer = normalizer.update(moments_of(part))
    np.testing.assert_allclose(normalizer.std, np.concatenate(parts).std(), rtol=1e-6)


def test_the_first_observations_pass_unchanged_and_outliers_are_clipped():
    normalizer = Normalizer.identity(2)
    assert normalizer(np.array([[1.5, -2.0]])).tolist() == [[1.5, -2.0]]
    assert normalizer(np.array([[1e9, -1e9]])).tolist() == [[10.0, -10.0]]


def test_disabled_changes_nothing():
    normalizer = Normalizer.identity(2, enabled=False).update(moments_of(np.ones((5, 2)) * 7))
    assert normalizer(np.array([[1e3, -2.0]])).tolist() == [[1e3, -2.0]]


def test_what_never_changes_has_been_seen():
    normalizer = Normalizer.identity(2).update(moments_of(np.full((5, 2), 7.0)))
    assert normalizer.count == 5
    assert normalizer(np.array([[7.0, 7.005]])).tolist() == [[0.0, 0.5]]  # in units of the least deviation
    assert normalizer.update(moments_of(np.zeros((0, 2)))) is normalizer
