"""Averages and intervals against plain loops, closed forms and a simulation."""

import json
import warnings

import numpy as np
import pytest
import scipy.stats

from metarl.evaluation.statistics import (
    Summary,
    bootstrap_interval,
    format_interval,
    format_number,
    interquartile_mean,
    summarize,
    widened_confidence,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def middle_half(values):
    """The definition, by hand: drop the lowest and the highest quarter (rounded down), average the rest."""
    values = sorted(values)
    cut = len(values) // 4
    kept = values[cut : len(values) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 40, 41])
def test_interquartile_mean_drops_a_quarter_at_each_end(count):
    values = rng(count).standard_normal(count)
    assert interquartile_mean(values) == pytest.approx(middle_half(values), abs=1e-12)
    assert interquartile_mean(np.stack([values, -values])) == pytest.approx([middle_half(values), middle_half(-values)])


def test_interquartile_mean_ignores_one_broken_unit():
    assert interquartile_mean(np.array([1.0, 2.0, 3.0, 1e9])) == 2.5


@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
@pytest.mark.parametrize("count", [5, 40])
def test_interval_is_the_percentile_bootstrap_at_the_widened_level(statistic, count):
    """Against the same resampling written as a loop over resamples."""
    values = rng(1).gamma(2.0, 10.0, count)
    # Student's t in place of the normal, and the n - 1 of the sample variance
    t = scipy.stats.t.ppf(0.975, count - 1)
    tail = scipy.stats.norm.cdf(-t * (count / (count - 1)) ** 0.5)

    draws = rng(7).integers(0, count, (2000, count))
    resampled = np.array([statistic(values[draw], axis=-1) for draw in draws])
    expected = np.percentile(resampled, [100 * tail, 100 * (1 - tail)])

    interval = bootstrap_interval(values, rng(7), statistic=statistic, resamples=2000)
    assert interval == pytest.approx(expected, abs=1e-9)
    assert widened_confidence(0.95, count) == pytest.approx(1 - 2 * tail, abs=1e-12)


def test_widening_vanishes_for_many_units():
    assert widened_confidence(0.95, 5) > 0.99
    assert widened_confidence(0.95, 100_000) == pytest.approx(0.95, abs=1e-5)


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("draw", ["normal", "two_peaks"])
@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
def test_coverage(count, draw, statistic):
    """95 % intervals hold the truth, 0 by symmetry, 93 to 97 times in 100 (91 with five units); 300 samples, +- 3 %."""
    samples = rng(11).standard_normal((300, count))
    if draw == "two_peaks":
        samples = np.where(rng(12).random(samples.shape) < 0.5, -1.0, 1.0) + 0.2 * samples
    resampling = rng(13)
    covered = [
        low <= 0.0 <= high
        for low, high in (
            bootstrap_interval(sample, resampling, statistic=statistic, resamples=500) for sample in samples
        )
    ]
    assert (0.88 if count == 5 else 0.91) <= np.mean(covered) <= 0.99


def test_same_generator_same_interval():
    values = rng(3).standard_normal(20)
    assert bootstrap_interval(values, rng(5)) == bootstrap_interval(values, rng(5))
    assert bootstrap_interval(values, rng(5)) != bootstrap_interval(values, rng(6))


def test_degenerate_scores_give_no_warning_and_no_nan():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = summarize([3.0], rng())
        same = summarize([2.0] * 10, rng())
        two = summarize([1.0, 2.0], rng())
    assert (one.mean, one.iqm, one.mean_interval, one.iqm_interval) == (3.0, 3.0, None, None)
    assert one.note == "one task only: no interval"
    assert (same.mean, same.mean_interval, same.iqm_interval, same.note) == (2.0, (2.0, 2.0), (2.0, 2.0), None)
    assert two.mean_interval == (1.0, 2.0)
    for summary in (one, same, two):
        json.dumps(summary.to_json(), allow_nan=False)


def test_few_units_are_labelled():
    assert summarize([1.0, 2.0, 3.0, 4.0], rng(), unit="seed").note == "only 4 seeds: the interval is unreliable"
    assert summarize([1.0, 2.0, 3.0, 4.0, 5.0], rng(), unit="seed").note is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"scores have shape \(0,\); expected one number per unit"),
        ([[1.0, 2.0]], r"scores have shape \(1, 2\)"),
        ([1.0, float("nan")], "score 1 is nan; expected finite numbers"),
        ([float("inf")], "score 0 is inf"),
    ],
)
def test_bad_scores_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        summarize(values, rng())


def test_words():
    assert [format_number(x) for x in (-3.214, 21.26, 99.94, 99.96, 212.4, -4805.2, 0.0)] == [
        "-3.21", "21.3", "99.9", "100", "212", "-4805", "0",
    ]  # fmt: skip
    assert format_interval(212.4, (190.2, 230.0)) == "212 [190, 230]"
    assert format_interval(212.4, None) == "212"
    summary = Summary(212.4, (190.2, 230.0), 210.0, (189.0, 229.0), 40, "task", 0.95)
    assert str(summary) == "212 [190, 230] (95 % interval, 40 tasks)"
    assert str(summarize([3.0], rng())) == "3 (one task only: no interval)"
