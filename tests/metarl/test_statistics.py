"""Statistics over seeds and tasks against scipy, closed forms and plain loops; coverage of the intervals."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from metarl.evaluation import better
from metarl.evaluation.better import p_better
from metarl.evaluation.curve_metrics import area, at, first_reaching
from metarl.evaluation.statistics import (
    Estimate,
    _Crossed,
    _jackknife_variance,
    cvar,
    estimate,
    estimates,
    few_note,
    format_number,
    interval_method,
    iqm,
    mean,
    mean_regret,
    members_of,
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


def test_lists_are_scores_too_and_the_number_of_resamples_is_on_record():
    scores = [[1, 2, 4, 3], [3, 5, 4, 4], [0, 2, 2, 1], [3, 3, 3, 5]]
    assert estimate(mean, scores, rng=generator()) == estimate(mean, np.array(scores, float), rng=generator())
    assert estimate(mean, scores, rng=generator()) == estimate(mean, scores, rng=generator(), resamples=4999)
    assert p_better(scores, scores).value == 0.5


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


@pytest.mark.slow
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
    assert widened_confidence(0.95, count - 1, count / (count - 1)) == pytest.approx(1 - 2 * tail, abs=1e-12)


def test_widening_vanishes_for_many_units():
    assert widened_confidence(0.95, 4, 1.25) > 0.99
    assert widened_confidence(0.95, 100_000, 1.0) == pytest.approx(0.95, abs=1e-5)


@pytest.mark.slow
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
    profile = estimates(performance_profile(np.array([2.0, 4.0])), np.array([[3.0]]), rng=generator())
    assert profile == [Estimate(1.0), Estimate(0.0)]
    assert estimate(mean, np.full((5, 4), 2.0), rng=generator()) == Estimate(2.0, 2.0, 2.0)
    assert estimate(mean, np.array([[1.0, 2.0]]), rng=generator()) == Estimate(1.5, 1.0, 2.0)
    assert Estimate(4.0).to_json() == {"value": 4.0, "interval": None}


def test_few_runs_and_tasks_are_labelled():
    assert few_note(5, "seed") is None and few_note(5, "task") is None
    assert few_note(3, "seed") == "only 3 seeds: the range of the runs instead of an interval"
    assert few_note(4, "seed") == "only 4 seeds: the interval is unreliable"
    assert "the interval speaks of the tasks, not of training" in few_note(1, "seed")
    assert few_note(1, "task") == "one task only: no interval"


def test_profiles_have_an_interval_at_each_point():
    scores = some_scores()
    profile = estimates(performance_profile(np.array([-9.0, 0.0, 9.0])), scores, rng=generator())
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
    assert Estimate(0.0).holds(0.0) and not Estimate(1.0).holds(0.0)
    method = "percentile bootstrap over whole tasks, widened for few (Hesterberg 2015)"
    assert interval_method("whole tasks", 1) == method
    assert "over whole runs and draws of each task" in interval_method("draws of each task", 5)


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


def test_area_begins_at_the_first_measurement():
    returns = np.array([[10.0, 0.0], [70.0, 40.0]])
    np.testing.assert_allclose(area(returns, np.array([5, 20]), 25), [(15 * 10 + 5 * 70) / 20, 5 * 40 / 20])


def test_time_to_a_threshold():
    lived = np.array([0, 20, 40])
    returns = np.array([[10.0, 80.0, 0.0, 5.0], [70.0, 0.0, 0.0, 5.0], [60.0, 90.0, 70.0, 5.0]])
    np.testing.assert_array_equal(first_reaching(returns, lived, 70.0), [20.0, 0.0, 40.0, np.inf])


def test_measures_of_nothing_are_refused():
    with pytest.raises(ValueError, match="budget is 0; expected more than 0"):
        area(np.zeros((1, 2)), np.array([0]), 0)
    with pytest.raises(ValueError, match="experience is -1; expected at least 0"):
        at(np.zeros((1, 2)), np.array([0]), -1)


# ---- P(better)


def two_methods(runs, chance, seed, shares=(0.25, 0.25, 0.2, 0.15, 0.15), tasks=20):
    """Scores of normal effects, of which one of the first method beats one of the second with a chance."""
    one, other, task, rest, others_rest = np.sqrt(shares)
    rng = generator(seed)
    common = 3 * rng.normal(size=tasks)
    scores = one * rng.normal(size=(runs, 1)) + task * rng.normal(size=tasks) + rest * rng.normal(size=(runs, tasks))
    others = other * rng.normal(size=(runs, 1)) + others_rest * rng.normal(size=(runs, tasks))
    return scores + common + scipy.stats.norm.ppf(chance), others + common


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "chance"), [(3, 0.99), (5, 0.5), (5, 0.955), (10, 0.99)])
def test_intervals_of_p_better_cover_what_they_promise(runs, chance):
    """Binomial: 95 % of 200 are 190 +- 3. The bootstrap of before covered 128 of 200 of (5, 0.955)."""
    estimates = [p_better(*two_methods(runs, chance, seed)) for seed in range(200)]
    assert sum(e.holds(chance) for e in estimates) >= 183
    assert all(0 <= e.low < e.high <= 1 and e.low <= e.value <= e.high for e in estimates)
    assert np.mean([e.value for e in estimates]) == pytest.approx(chance, abs=0.03)


def test_p_better_is_the_mann_whitney_statistic_and_its_other_side_the_complement():
    a, b = np.round(some_scores(5, 8), 1), np.round(some_scores(4, 8, seed=1), 1)
    ours = p_better(a, b)
    assert ours.value == pytest.approx(probability_of_improvement(a[None], b[None])[0], rel=1e-12)
    assert p_better(b, a).ends == pytest.approx(ours.complement.ends, abs=1e-9)
    assert p_better(3 * a + 7, 3 * b + 7).ends == pytest.approx(ours.ends, abs=1e-9)


def test_the_variance_under_a_chance_is_that_of_a_simulation():
    """Of Mann-Whitney's statistic of 4 and 3 runs in 6 tasks, each effect with a share of its own."""
    shares, sizes, chance = np.array([0.3, 0.1, 0.2, 0.25, 0.15]), (4, 3, 6), 0.8
    one, other, task, rest, others_rest = np.sqrt(shares)
    rng = generator()
    mu = scipy.stats.norm.ppf(chance)
    count = 40_000
    a = one * rng.normal(size=(count, 4, 1)) + task * rng.normal(size=(count, 1, 6))
    a += rest * rng.normal(size=(count, 4, 6)) + mu
    b = other * rng.normal(size=(count, 3, 1)) + others_rest * rng.normal(size=(count, 3, 6))
    simulated = probability_of_improvement(a, b).var()
    ours = np.interp(mu, better._GRID, better._variance(shares, sizes))
    assert ours == pytest.approx(simulated, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("labels", [None, np.arange(12) % 3])
def test_the_shares_of_the_effects_are_those_that_the_scores_were_made_of(labels):
    """On average over 2,000 samples; where tasks are draws of three, whatever the three differ by."""
    one, other, task, rest, others_rest = 4.0, 1.0, 2.0, 3.0, 2.0
    members, found = members_of(labels, 12), []
    for seed in range(2000):
        rng = generator(seed)
        a = rng.normal(0, one**0.5, (4, 1)) + rng.normal(0, rest**0.5, (4, 12)) + rng.normal(0, task**0.5, 12)
        b = rng.normal(0, other**0.5, (6, 1)) + rng.normal(0, others_rest**0.5, (6, 12))
        a += 0 if labels is None else 100 * labels
        found.append(better._components([a, b], a.mean(0) - b.mean(0), members)[0])
    assert np.mean(found, axis=0) == pytest.approx([one, other, task, rest, others_rest], rel=0.1)


def test_where_one_run_in_each_task_is_all_there_is_p_better_has_wilson_s_interval():
    """With Student's t: the tasks are the only chance, and each is won or lost."""
    a, b = np.zeros((1, 20)), np.where(np.arange(20) < 14, -1.0, 1.0)[None] + 0.1 * generator().normal(size=20)
    t = scipy.stats.t.ppf(0.975, 19)
    centre, reach = (0.7 + t**2 / 40) / (1 + t**2 / 20), t / (1 + t**2 / 20) * np.sqrt(0.7 * 0.3 / 20 + t**2 / 1600)
    assert p_better(a, b).ends == pytest.approx((centre - reach, centre + reach), abs=2e-4)


def test_p_better_of_all_over_none_is_one_and_its_interval_has_a_width():
    """It narrows with the runs; of runs that return the same in all tasks only their number counts."""
    lows = []
    for runs in (3, 5, 10, 40):
        scores = np.repeat(scipy.stats.norm.ppf((np.arange(runs) + 0.5) / runs)[:, None], 20, axis=1)
        ours = p_better(10 + scores, scores)
        assert ours.value == ours.high == 1.0
        lows.append(ours.low)
    assert 0.25 < lows[0] < lows[1] - 0.1 < 0.6 < lows[2] < lows[3] < 0.98
    same = p_better(np.ones((5, 20)), np.ones((5, 20)))
    assert same.value == 0.5 and same.low < 0.3 < 0.7 < same.high
    assert p_better(np.ones((1, 1)), np.zeros((1, 1))) == Estimate(1.0)


def test_runs_of_the_same_checkpoints_are_compared_with_themselves():
    """Seeds differ by far more than what adaptation adds to each: a pair knows, a pool of runs cannot."""
    seeds, noise = 100.0 * generator().normal(size=(6, 1)), generator(1).normal(size=(2, 6, 20))
    before, after = seeds + noise[0], seeds + 3 + noise[1]
    assert p_better(after, before, paired=True).low > 0.8 > 0.65 > p_better(after, before).value
    gains = [estimate(mean_regret, before, after, rng=generator(), paired=paired) for paired in (True, False)]
    assert 2.2 < gains[0].low < 3 < gains[0].high < 3.8 and gains[1].low < -20 < 20 < gains[1].high


def test_groups_of_tasks_far_apart_are_no_chance():
    """However far: the level, the interval and P(better) are those of groups that do not differ."""
    scores = some_scores(5, 18, of_seed=0.3, of_task=0.3, rest=0.5)
    labels = np.arange(18) % 3
    apart = [scores + distance * labels for distance in (0.0, 400.0)]
    near, far = (estimate(mean, s, rng=generator(), groups=labels) for s in apart)
    assert far.high - far.low == pytest.approx(near.high - near.low, rel=1e-6)
    levels = [_Crossed((s,), labels, False).level(mean, 0.95) for s in apart]
    assert levels[0] == pytest.approx(levels[1], rel=1e-9)
    others = some_scores(5, 18, 1, of_seed=0.3, of_task=0.3, rest=0.5)
    won_in_one = scores + 100 * (labels - 1)  # always lost, won by chance and always won
    grouped, pooled = (p_better(won_in_one, others, groups=g) for g in (labels, None))
    assert np.diff(grouped.ends) < 0.8 * np.diff(pooled.ends)


def test_the_jackknife_of_groups_is_the_variance_of_a_stratified_mean():
    values, labels = generator().normal(size=11), np.array([0] * 3 + [1] * 6 + [2] * 2)
    left_out = [[np.delete(values, i).mean() for i in np.flatnonzero(labels == g)] for g in range(3)]
    expected = sum(n * values[labels == g].var(ddof=1) for g, n in enumerate((3, 6, 2))) / 11**2
    assert _jackknife_variance(*left_out) == pytest.approx(expected, rel=1e-9)


# ---- few runs


@pytest.mark.parametrize("runs", [2, 3])
def test_three_runs_or_fewer_have_their_range_and_no_interval(runs):
    scores = some_scores(runs, 20)
    ours = estimate(mean, scores, rng=generator())
    assert ours.interval is None and ours.of_runs
    assert ours.ends == pytest.approx((scores.mean(1).min(), scores.mean(1).max()))
    assert str(Estimate(2.0, -1.0, 3.0, of_runs=True)) == "2 (-1..3)"
    assert ours.to_json() == {"value": ours.value, "interval": None, "range_of_runs": list(ours.ends)}
    others = some_scores(5, 20, 1)
    pairs = [b.mean() - a.mean() for a in scores for b in others]
    assert estimate(mean_regret, scores, others, rng=generator()).ends == pytest.approx((min(pairs), max(pairs)))
    assert "(lowest..highest) of the runs" in interval_method("whole tasks", 5, runs)
    assert "lowest" not in interval_method("whole tasks", 5, 1)


# ---- the parts of an interval, by hand


def test_the_level_of_one_run_is_that_of_students_t_over_its_tasks():
    """M tasks: M - 1 degrees of freedom, and a bootstrap whose variance falls short by (M - 1) / M."""
    [level] = _Crossed((some_scores(1, 12),), None, False).level(mean, 0.9).reshape(-1)
    assert level == pytest.approx(widened_confidence(0.9, 11, 12 / 11))
    t = scipy.stats.t.ppf(0.95, 11) * np.sqrt(12 / 11)
    assert level == pytest.approx(scipy.stats.norm.cdf(t) - scipy.stats.norm.cdf(-t))


def test_the_level_of_runs_and_tasks_is_satterthwaites():
    scores = some_scores(6, 9)
    of_runs, of_tasks = scores.mean(1).var(ddof=1) / 6, scores.mean(0).var(ddof=1) / 9
    total = of_runs + of_tasks
    freedom = total**2 / (of_runs**2 / 5 + of_tasks**2 / 8)
    narrow = total / (of_runs * 5 / 6 + of_tasks * 8 / 9)
    [level] = _Crossed((scores,), None, False).level(mean, 0.95).reshape(-1)
    assert level == pytest.approx(widened_confidence(0.95, freedom, narrow))
    others = some_scores(4, 9, 1)
    parts = np.array([of_runs, others.mean(1).var(ddof=1) / 4, (others - scores.mean(0)).mean(0).var(ddof=1) / 9])
    units = np.array([6, 4, 9])
    freedom = parts.sum() ** 2 / (parts**2 / (units - 1)).sum()
    narrow = parts.sum() / (parts * (units - 1) / units).sum()
    [level] = _Crossed((scores, others), None, False).level(mean_regret, 0.95).reshape(-1)
    assert level == pytest.approx(widened_confidence(0.95, freedom, narrow))


@pytest.mark.parametrize("paired", [False, True])
def test_each_run_and_each_task_is_drawn_as_often_and_tasks_within_their_group(paired):
    numbers = 100.0 * np.arange(4)[:, None] + np.arange(6)  # a score says its run and its task
    groups = [0, 0, 1, 1, 1, 1]
    one, other = _Crossed((numbers, numbers), groups, paired).draw(4000, generator())
    assert one.shape == (4000, 4, 6)
    runs, tasks = np.divmod(one, 100)
    assert (runs == runs[:, :, :1]).all() and (tasks == tasks[:, :1]).all()  # whole runs, whole tasks
    for run in range(4):
        assert (runs[:, 0, 0] == run).mean() == pytest.approx(1 / 4, abs=0.04)
    for column, task in itertools.product(range(6), range(6)):
        share = (tasks[:, 0, column] == task).mean()
        inside = groups[column] == groups[task]
        assert share == pytest.approx(inside / (2 if groups[task] == 0 else 4), abs=0.04)
    assert ((other // 100) == runs).all() == paired and (other % 100 == tasks).all()


def test_covariances_of_wins_are_those_of_two_normal_variables():
    means = better._GRID[::200]
    for correlation in (0.0, 0.3, 0.9, 1.0):
        covariance = better._covariance(correlation)[::200]
        for m, got in zip(means, covariance, strict=True):
            p = scipy.stats.norm.cdf(m)
            both = p if correlation == 1 else scipy.stats.multivariate_normal.cdf([m, m], [0, 0], [
                [1, correlation], [correlation, 1]])
            assert got == pytest.approx(both - p**2, abs=2e-6)


@pytest.mark.parametrize("paired", [False, True])
def test_the_variance_of_p_better_is_that_of_all_pairs_of_differences(paired):
    """Of differences score[r, m] - other[r', m], correlated by the share of the effects that they have in common."""
    runs, others, tasks = (3, 3, 2) if paired else (3, 2, 2)
    shares = np.array([0.3, 0.2, 0.5] if paired else [0.2, 0.1, 0.3, 0.25, 0.15])
    cells = [(r, r, m) for r in range(3) for m in range(2)] if paired else [
        *itertools.product(range(runs), range(others), range(tasks))]
    total = 0.0
    for (r, s, m), (r2, s2, m2) in itertools.product(cells, cells):
        if paired:
            of_run, of_task, rest = shares
            correlation = of_run * (r == r2) + of_task * (m == m2) + rest * (r == r2 and m == m2)
        else:
            one, other, of_task, rest, other_rest = shares
            correlation = one * (r == r2) + other * (s == s2) + of_task * (m == m2)
            correlation += (m == m2) * (rest * (r == r2) + other_rest * (s == s2))
        total = total + better._covariance(correlation)
    got = better._variance(shares, [runs, tasks] if paired else [runs, others, tasks])
    np.testing.assert_allclose(got, total / len(cells) ** 2, rtol=1e-9, atol=1e-12)


def test_the_components_of_scores_are_those_of_their_analysis_of_variance():
    scores, others = some_scores(4, 7), some_scores(3, 7, 1)
    differences = (scores[:, None] - others[None]).mean((0, 1))
    every = [np.arange(7)]
    variances, of_means = better._components([scores, others], differences, every)

    def rest(x):  # about the means of run and task
        return ((x - x.mean(0) - x.mean(1, keepdims=True) + x.mean()) ** 2).sum() / (len(x) - 1) / 6

    runs = [max(0.0, x.mean(1).var(ddof=1) - rest(x) / 7) for x in (scores, others)]
    task = max(0.0, differences.var(ddof=1) - rest(scores) / 4 - rest(others) / 3)
    np.testing.assert_allclose(variances, [*runs, task, rest(scores), rest(others)])
    of_runs = [x.mean(1).var(ddof=1) for x in (scores, others)]
    np.testing.assert_allclose(of_means, [*of_runs, differences.var(ddof=1)])
    alike = np.array([[1.0, 2, 4], [4, 1, 2], [2, 4, 1]])  # runs with one mean, and tasks with one mean: no effects
    assert better._run_effects(alike, [np.arange(3)]) == pytest.approx((0.0, 7 / 2, 0.0))
    variances, _ = better._components([alike, alike + 1], (alike - alike - 1).mean(0), [np.arange(3)])
    np.testing.assert_allclose(variances, [0, 0, 0, 7 / 2, 7 / 2])
    assert better._run_effects(alike[:1], [np.arange(3)]) == (0.0, 0.0, 0.0)  # one run says nothing of runs
    values, groups = generator().normal(size=(2, 5)), [np.array([0, 1]), np.array([2, 3, 4])]
    within = [sum(((v[g] - v[g].mean()) ** 2).sum() for g in groups) / (5 - 2) for v in values]
    np.testing.assert_allclose(better._variance_within(values, groups), within)


def test_degrees_of_freedom_and_the_chances_that_are_accepted():
    assert better._freedom(np.array([2.0, 1.0]), np.array([4, 3])) == pytest.approx(9 / (4 / 4 + 1 / 3))
    assert better._freedom(np.array([2.0, 1.0]), np.array([4, 0])) == pytest.approx(4)  # one was not repeated
    assert better._freedom(np.zeros(2), np.array([4, 3])) == 3
    assert better._accepted(0.5, np.full(801, 0.1)) == pytest.approx((0.4, 0.6), abs=1e-6)
    assert better._accepted(0.95, np.full(801, 0.1)) == pytest.approx((0.85, 1.0), abs=1e-6)
    assert better._accepted(0.05, np.full(801, 0.1)) == pytest.approx((0.0, 0.15), abs=1e-6)
    low, high = better._accepted(0.3, np.full(801, 1e-9))  # narrower than the grid
    assert low <= 0.3 <= high and high - low < 0.01


def test_the_interval_of_p_better_is_put_together_from_its_parts():
    """The chances from which the value is within t deviations, t by Satterthwaite's degrees of freedom of the means."""
    a, b = some_scores(5, 8), some_scores(4, 8, 1)
    of_tasks = a.mean(0) - b.mean(0)
    parts = np.array([a.mean(1).var(ddof=1) / 5, b.mean(1).var(ddof=1) / 4, of_tasks.var(ddof=1) / 8])
    t = scipy.stats.t.ppf(0.95, parts.sum() ** 2 / (parts**2 / [4, 3, 7]).sum())
    variances, _ = better._components([a, b], of_tasks, [np.arange(8)])
    reach = t * np.sqrt(better._variance(variances / variances.sum(), [5, 4, 8]))
    value = np.mean([x > y for m in range(8) for x in a[:, m] for y in b[:, m]])
    ours = p_better(a, b, confidence=0.9)
    assert ours.value == pytest.approx(value) and ours.ends == pytest.approx(better._accepted(value, reach), abs=1e-9)
