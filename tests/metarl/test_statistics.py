"""Statistics over seeds and tasks against scipy, closed forms and plain loops; coverage of the intervals."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from metarl.evaluation.curve_metrics import area, at, first_reaching
from metarl.evaluation.statistics import (
    Estimate,
    cvar,
    estimate,
    few_note,
    format_number,
    interval_method,
    iqm,
    mean,
    mean_regret,
    performance_profile,
    probability_of_improvement,
    widened_confidence,
)


def some_scores(runs=5, tasks=20, seed=0, of_seed=1.0, of_task=1.0, rest=0.5):
    rng = np.random.default_rng(seed)
    effects = of_seed * rng.normal(size=(runs, 1)), of_task * rng.normal(size=(1, tasks))
    return sum(effects) + rest * rng.normal(size=(runs, tasks))


def generator(seed=0):
    return np.random.default_rng(seed)


# ---- statistics


def test_mean_and_interquartile_mean_are_of_all_scores():
    scores = some_scores()
    assert mean(scores[None])[0] == pytest.approx(sum(scores.ravel().tolist()) / 100, rel=1e-12)
    assert iqm(scores[None])[0] == pytest.approx(np.mean(sorted(scores.ravel())[25:75]), rel=1e-12)


def test_cvar_is_the_mean_of_the_worst_share():
    scores = np.arange(200.0)[generator().permutation(200)].reshape(1, 5, 40)
    assert cvar(scores)[0] == pytest.approx(np.mean(range(10)))
    # 5 % of 30 scores are one and a half of them
    assert cvar(np.arange(30.0).reshape(1, 1, 30))[0] == pytest.approx((0.0 + 0.5 * 1.0) / 1.5)
    assert cvar(np.array([[[7.0, 3.0]]]))[0] == pytest.approx(3.0)  # of fewer than twenty the worst
    # the average of all quantiles below the share
    x = some_scores(7, 13).ravel()
    quantiles = np.quantile(x, (np.arange(100_000) + 0.5) / 100_000 * 0.05, method="inverted_cdf")
    assert cvar(x.reshape(1, 7, 13))[0] == pytest.approx(quantiles.mean(), rel=1e-3)


def test_performance_profile_is_the_share_above_each_threshold():
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    profile = performance_profile(np.array([0.0, 1.0, 2.5, 4.0]))(scores[None])
    np.testing.assert_allclose(profile, [[1.0, 0.75, 0.5, 0.0]])
    points = np.linspace(-3, 3, 13)
    scores = some_scores()
    survival = 1 - scipy.stats.ecdf(scores.ravel()).cdf.evaluate(points)
    np.testing.assert_allclose(performance_profile(points)(scores[None])[0], survival, atol=1e-12)


def test_probability_of_improvement_is_mann_whitney_s_statistic_of_each_task():
    a, b = np.round(some_scores(5, 8), 1), np.round(some_scores(3, 8, seed=1), 1)  # rounded: some are equal
    b[:, 0] = a[:3, 0]
    shares = [scipy.stats.mannwhitneyu(a[:, m], b[:, m]).statistic / 15 for m in range(8)]
    assert probability_of_improvement(a[None], b[None])[0] == pytest.approx(np.mean(shares), rel=1e-12)
    wins = [x > y for m in range(8) for x, y in itertools.product(a[:, m], b[:, m])]
    assert probability_of_improvement(a[None], b[None])[0] > np.mean(wins)  # ties count half
    both = probability_of_improvement(a[None], b[None]) + probability_of_improvement(b[None], a[None])
    assert both[0] == pytest.approx(1.0)


def test_regret_is_what_the_oracle_is_better_by():
    scores = some_scores()
    assert mean_regret(scores[None], scores[None, :2] + 3)[0] == pytest.approx(scores[:2].mean() + 3 - scores.mean())


def middle_half(values):
    """The definition, by hand: drop the lowest and the highest quarter (rounded down), average the rest."""
    values = sorted(values)
    cut = len(values) // 4
    kept = values[cut : len(values) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 40, 41])
def test_interquartile_mean_drops_a_quarter_at_each_end(count):
    values = generator(count).standard_normal(count)
    both = np.stack([values, -values])[:, None]
    assert iqm(both) == pytest.approx([middle_half(values), middle_half(-values)], abs=1e-12)


def test_interquartile_mean_ignores_one_broken_unit():
    assert iqm(np.array([[[1.0, 2.0, 3.0, 1e9]]])) == 2.5


@pytest.mark.parametrize("statistic", [mean, iqm])
@pytest.mark.parametrize("count", [5, 40])
def test_interval_of_one_run_is_the_percentile_bootstrap_at_the_widened_level(statistic, count):
    """Against the same resampling written as a loop over resamples."""
    values = generator(1).gamma(2.0, 10.0, count)
    # Student's t in place of the normal, and the n - 1 of the sample variance
    t = scipy.stats.t.ppf(0.975, count - 1)
    tail = scipy.stats.norm.cdf(-t * (count / (count - 1)) ** 0.5)

    draws = generator(7).integers(0, count, (2000, count))
    resampled = np.array([statistic(values[None, None, draw])[0] for draw in draws])
    expected = np.percentile(resampled, [100 * tail, 100 * (1 - tail)])

    ours = estimate(statistic, values[None], rng=generator(7), resamples=2000)
    assert ours.interval == pytest.approx(expected, abs=1e-9)
    assert widened_confidence(0.95, count - 1) == pytest.approx(1 - 2 * tail, abs=1e-12)


def test_widening_vanishes_for_many_units():
    assert widened_confidence(0.95, 4) > 0.99
    assert widened_confidence(0.95, 100_000) == pytest.approx(0.95, abs=1e-5)


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("draw", ["normal", "two_peaks"])
@pytest.mark.parametrize("statistic", [mean, iqm])
def test_intervals_of_one_run_cover(count, draw, statistic):
    """95 % intervals hold the truth, 0 by symmetry, 93 to 97 times in 100 (91 with five units); 300 samples, +- 3 %."""
    samples = generator(11).standard_normal((300, count))
    if draw == "two_peaks":
        samples = np.where(generator(12).random(samples.shape) < 0.5, -1.0, 1.0) + 0.2 * samples
    resampling = generator(13)
    covered = [estimate(statistic, sample[None], rng=resampling, resamples=500).holds(0.0) for sample in samples]
    assert (0.88 if count == 5 else 0.91) <= np.mean(covered) <= 0.99


# ---- rliable


class GlobalDraws:
    """Draws one bootstrap sample after the other, as rliable does, from NumPy's old generator."""

    def __init__(self, seed):
        self.state = np.random.RandomState(seed)

    def integers(self, low, high, size):
        return np.stack([self.state.choice(high, size[1:]) for _ in range(size[0])])


def test_statistics_and_stratified_intervals_are_those_of_rliable():
    """rliable.json is what rliable_figures.py wrote."""
    theirs = json.loads(Path(__file__).with_name("rliable.json").read_text())
    scores, others, thresholds = (np.array(theirs[name]) for name in ("scores", "others", "thresholds"))
    for name, statistic in {"mean": mean, "iqm": iqm}.items():
        ours = estimate(statistic, scores, rng=GlobalDraws(0), stratified=True, resamples=theirs["resamples"])
        assert ours.value == pytest.approx(theirs["values"][name], abs=1e-12)
        assert ours.interval == pytest.approx(theirs["intervals"][name], abs=1e-12)
    profile = performance_profile(thresholds)(scores[None])[0]
    assert profile.tolist() == pytest.approx(theirs["profile"], abs=1e-12)
    chance = probability_of_improvement(scores[None], others[None])[0]
    assert chance == pytest.approx(theirs["probability_of_improvement"], abs=1e-12)


# ---- intervals


def test_stratified_intervals_are_those_of_scipy_s_bootstrap():
    """One task: the runs are resampled, as scipy does. Many: the variance is the sum over tasks."""
    one = some_scores(30, 1)
    ours = estimate(mean, one, rng=generator(), stratified=True, resamples=50_000)
    theirs = scipy.stats.bootstrap(
        (one[:, 0],), np.mean, method="percentile", n_resamples=50_000, rng=generator(1)
    ).confidence_interval
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.01)
    many = some_scores(10, 12)
    ours = estimate(mean, many, rng=generator(), stratified=True, resamples=50_000)
    spread = np.sqrt((many.var(0) / 10).sum()) / 12
    assert (ours.high - ours.low) / 2 == pytest.approx(1.96 * spread, rel=0.03)


def test_intervals_over_runs_and_tasks_have_the_spread_of_owen_s_formula():
    """Variance of the mean of a pigeonhole bootstrap (Owen 2007, theorem 2), and the width that goes with it."""
    scores = some_scores(60, 80)
    rows, columns = scores.mean(1), scores.mean(0)
    rest = scores - rows[:, None] - columns + scores.mean()
    variance = rows.var() / 60 + columns.var() / 80 + rest.var() / (60 * 80)
    ours = estimate(mean, scores, rng=generator(), resamples=20_000)
    assert (ours.high - ours.low) / 2 == pytest.approx(1.96 * np.sqrt(variance), rel=0.05)
    assert ours.value == pytest.approx(scores.mean(), rel=1e-12)


@pytest.mark.parametrize("effects", [(1.0, 1.0, 0.5), (0.1, 1.0, 0.5)])
def test_intervals_cover_what_they_promise_and_independence_would_not(effects):
    covered = {False: 0, True: 0}
    for trial in range(120):
        scores = some_scores(6, 15, trial, *effects)
        for stratified in covered:
            ours = estimate(mean, scores, rng=generator(trial), stratified=stratified, resamples=399)
            covered[stratified] += ours.low <= 0.0 <= ours.high
    assert covered[False] >= 104 and covered[True] <= 60  # binomial: 95 % of 120 is 114 +- 2.4


def test_methods_are_compared_on_the_same_tasks():
    """Tasks differ far more than methods do: their difference is known exactly, since every task is in both samples."""
    tasks = generator().normal(scale=100.0, size=(1, 20))
    noise = generator(1).normal(scale=0.1, size=(5, 20))
    regret = estimate(mean_regret, tasks + noise, tasks + 3.0 - noise, rng=generator())
    assert 2.8 < regret.low < 3.0 < regret.high < 3.2


def test_tasks_of_a_few_kinds_are_resampled_within_their_kind():
    labels = np.arange(20) % 2
    scores = 100.0 * labels + some_scores(5, 20, of_seed=0.1, of_task=0.1, rest=0.1)
    grouped, mixed = (estimate(mean, scores, rng=generator(), groups=g) for g in (labels, None))
    assert grouped.high - grouped.low < 1 < 20 < mixed.high - mixed.low


def test_what_was_not_repeated_has_no_interval():
    assert estimate(mean, np.array([[3.0]]), rng=generator()) == Estimate(3.0)
    assert estimate(mean, np.array([[3.0, 5.0]]), rng=generator(), groups=[0, 1]) == Estimate(4.0)
    profile = estimate(performance_profile(np.array([2.0, 4.0])), np.array([[3.0]]), rng=generator())
    assert profile == [Estimate(1.0), Estimate(0.0)]
    assert estimate(mean, np.full((5, 4), 2.0), rng=generator()) == Estimate(2.0, 2.0, 2.0)
    assert estimate(mean, np.array([[1.0, 2.0]]), rng=generator()) == Estimate(1.5, 1.0, 2.0)
    assert Estimate(4.0).to_json() == {"value": 4.0, "interval": None}


def test_few_runs_and_tasks_are_labelled():
    assert few_note(5, "seed") is None and few_note(5, "task") is None
    assert few_note(4, "seed") == "only 4 seeds: the interval is unreliable"
    assert "the interval speaks of the tasks, not of training" in few_note(1, "seed")
    assert few_note(1, "task") == "one task only: no interval"


def test_profiles_have_an_interval_at_each_point():
    scores = some_scores()
    profile = estimate(performance_profile(np.array([-9.0, 0.0, 9.0])), scores, rng=generator())
    assert [(e.low, e.high) for e in (profile[0], profile[2])] == [(1.0, 1.0), (0.0, 0.0)]
    assert profile[1].low < profile[1].value == (scores > 0).mean() < profile[1].high


def test_the_same_generator_gives_the_same_interval_and_no_other_is_used():
    assert estimate(iqm, some_scores(), rng=generator(3)) == estimate(iqm, some_scores(), rng=generator(3))
    assert estimate(iqm, some_scores(), rng=generator(3)) != estimate(iqm, some_scores(), rng=generator(4))


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match=r"scores have shape \(3,\); expected \(R, M\)"):
        estimate(mean, np.zeros(3), rng=generator())
    with pytest.raises(ValueError, match="score of run 1 in task 0 is nan; expected finite numbers"):
        estimate(mean, np.array([[0.0], [np.nan]]), rng=generator())
    with pytest.raises(ValueError, match=r"scores have \[3, 4\] tasks; expected the same tasks for all methods"):
        estimate(mean_regret, np.zeros((2, 3)), np.zeros((2, 4)), rng=generator())


def test_words():
    assert [format_number(x) for x in (-3.214, 21.26, 99.94, 99.96, 212.4, -4805.2, 0.0)] == [
        "-3.21", "21.3", "99.9", "100", "212", "-4805", "0",
    ]  # fmt: skip
    assert str(Estimate(212.4, 190.2, 230.0)) == "212 [190, 230]"
    assert str(Estimate(212.4)) == "212"
    assert Estimate(0.9, 0.7, 0.95).complement.interval == pytest.approx((0.05, 0.3))
    assert Estimate(0.5).complement == Estimate(0.5) and Estimate(0.5, 0.25, 1.0).times(100) == Estimate(50, 25, 100)
    assert Estimate(1.0, 0.0, 2.0).holds(0.0) and not Estimate(1.0, 0.5, 2.0).holds(0.0)
    assert not Estimate(0.0).holds(0.0)
    assert interval_method(1, None) == "percentile bootstrap over whole tasks, widened for few (Hesterberg 2015)"
    assert "over whole runs and draws of each task" in interval_method(3, [0, 0])


# ---- measures of a curve


def staircase(episode, lived, returns):
    """The return of the policy that a method has in its episode number `episode`, by going through all it lived."""
    step = 0
    while step + 1 < len(lived) and lived[step + 1] <= episode:
        step += 1
    return returns[step]


def test_area_is_the_average_return_of_the_episodes_lived():
    rng = generator()
    lived, returns = np.array([0, 3, 4, 9]), rng.normal(size=(4, 6))
    for budget in (1, 3, 5, 9, 30):
        one_by_one = np.mean([staircase(e, lived, returns) for e in range(budget)], axis=0)
        np.testing.assert_allclose(area(returns, lived, budget), one_by_one, rtol=1e-12)
        np.testing.assert_array_equal(at(returns, lived, budget), staircase(budget, lived, returns))
    np.testing.assert_array_equal(at(returns, lived, [0, 3.5]), returns[[0, 1]])


def test_time_to_a_threshold():
    lived = np.array([0, 20, 40])
    returns = np.array([[10.0, 80.0, 0.0, 5.0], [70.0, 0.0, 0.0, 5.0], [60.0, 90.0, 70.0, 5.0]])
    np.testing.assert_array_equal(first_reaching(returns, lived, 70.0), [20.0, 0.0, 40.0, np.inf])


def test_measures_of_nothing_are_refused():
    with pytest.raises(ValueError, match="budget is 0; expected more than 0"):
        area(np.zeros((1, 2)), np.array([0]), 0)
    with pytest.raises(ValueError, match="experience is -1; expected at least 0"):
        at(np.zeros((1, 2)), np.array([0]), -1)
