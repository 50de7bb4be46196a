"""The replay store: rows against a plain loop over the trial, bounded memory, segments that come back."""

import numpy as np
import pytest

from metarl.agents.replay import Replay, Segment

EPISODES, HORIZON = 3, 7


def segment(rng, trials=4, diverged=()):
    """Episodes of 1 to 7 steps; each number tells where it is from."""
    shape = (trials, EPISODES, HORIZON + 1)
    lengths = rng.integers(1, HORIZON + 1, shape[:2]).astype(np.int32)
    lengths[list(diverged)] = 0
    terminated = lengths < HORIZON
    terminated[0, 0] = True  # at the very time limit
    return Segment(*(rng.standard_normal(x).astype(np.float32) for x in ((*shape, 2), (*shape, 1), shape)),
                   lengths, terminated)  # fmt: skip


def store(capacity=2, count=3, seed=0, **more):
    rng = np.random.default_rng(seed)
    replay = Replay(capacity, 4, EPISODES, HORIZON, 2, 1)
    segments = [segment(rng, **more) for _ in range(count)]
    for number, each in enumerate(segments):
        replay.add(number, each)
    return replay, segments


def lived(segment, n):
    """The trial as it was lived: (observation, last action, last reward, start) of each step, then its result."""
    steps, last = [], (np.zeros(1, np.float32), np.float32(0))
    for e in range(EPISODES):
        for t in range(segment.lengths[n, e]):
            ended = t + 1 == segment.lengths[n, e]
            seen = (segment.observations[n, e, t], *last, t == 0)
            last = segment.actions[n, e, t], segment.rewards[n, e, t]
            steps.append((e, t, ended, seen, last, segment.observations[n, e, t + 1], segment.terminated[n, e]))
    return steps


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("window, burn_in", [(3, 4), (7, 0), (2, 100), (7, 21)])
def test_rows_are_those_of_a_plain_loop(across, window, burn_in):
    replay, segments = store()
    rows = replay.sample(np.random.default_rng(1), 40, window, burn_in, across_episodes=across)
    drawn = replay._draw(np.random.default_rng(1), 40, window)
    slots = {number % 3: number for number in replay.numbers}
    for r, (trial, episode, step) in enumerate(zip(*drawn)):
        steps = lived(segments[slots[trial // 4]], trial % 4)
        begin = next(i for i, x in enumerate(steps) if x[:2] == (episode, step))
        size = min(window, sum(x[0] == episode for x in steps) - step)
        first = min(begin, burn_in)
        assert rows.first[r] == first
        assert rows.valid[:, r].tolist() == [1] * size + [0] * (window - size)
        for place in range(first + size + 1):
            i = begin - first + place
            end = i == begin + size  # what the window's last step is followed by
            if end and steps[i - 1][2] and not (across and episode + 1 < EPISODES):
                seen = (steps[i - 1][5], *steps[i - 1][4], False)
            else:
                seen = steps[i][3]
            got = (rows.observations, rows.last_actions, rows.last_rewards, rows.starts)
            assert all(np.array_equal(x[place, r], want) for x, want in zip(got, seen)), (r, place)
        for k in range(size):
            _, _, ended, _, (action, reward), _, terminated = steps[begin + k]
            assert rows.actions[k, r] == action and rows.rewards[k, r] == reward
            into_next = across and episode + 1 < EPISODES
            assert rows.follows[k, r] == (not ended or into_next or not terminated)
        assert not rows.rewards[size:, r].any() and not rows.actions[size:, r].any()


def test_a_time_limit_that_is_part_of_the_task_is_followed_by_nothing():
    replay, _ = store()
    rows = replay.sample(np.random.default_rng(1), 200, HORIZON, 0, bootstrap_at_horizon=False)
    size = rows.valid.sum(0).astype(int)
    assert (rows.follows[size - 1, np.arange(200)] == 0).all()
    with_value = replay.sample(np.random.default_rng(1), 200, HORIZON, 0)
    assert with_value.follows[size - 1, np.arange(200)].any()


def test_every_step_of_the_last_segments_is_drawn_as_often_as_any_other():
    replay, segments = store(capacity=2, count=5, diverged=(1,))
    assert list(replay.numbers) == [3, 4]
    kept = [(s, n, e) for s in segments[3:] for n in range(4) for e in range(3)]
    held = np.concatenate([s.rewards[n, e, : s.lengths[n, e]] for s, n, e in kept])
    assert replay.steps == len(held)
    rows = replay.sample(np.random.default_rng(0), 20_000, 3, 2)
    drawn, counts = np.unique(rows.rewards[rows.valid > 0], return_counts=True)
    assert np.array_equal(drawn, np.sort(held))
    assert counts.min() > 0.8 * counts.mean() and counts.max() < 1.2 * counts.mean()


def test_an_iteration_that_is_given_up_overwrites_nothing_that_a_checkpoint_needs():
    replay, segments = store(capacity=2, count=2)
    replay.add(2, segment(np.random.default_rng(9)))  # in progress; the checkpoint before it has 0 and 1
    for number in (0, 1):
        assert all(np.array_equal(a, b) for a, b in zip(replay.segment(number), segments[number]))


def test_another_segment_is_refused():
    replay, segments = store()
    with pytest.raises(ValueError, match="got segment 5, expected 3"):
        replay.add(5, segments[0])
    with pytest.raises(ValueError, match=r"segment 3: rewards: got \(4, 3, 8\) float64, expected \(4, 3, 8\) float32"):
        replay.add(3, segments[0]._replace(rewards=segments[0].rewards.astype(float)))
    with pytest.raises(ValueError, match="no trial to draw from"):
        store(count=1, diverged=range(4))[0].sample(np.random.default_rng(0), 1, 2, 2)
