import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl.envs import FAMILIES, Parameter, Tasks, TaskSpace, make_family
from metarl.envs.metaworld.tasks import GoalSpace
from metarl.envs.parameter import rounded

SPACES = {name: make_family(name).space for name in FAMILIES}
FROM_RANGES = [name for name, space in SPACES.items() if not isinstance(space, GoalSpace)]
CONTINUOUS = {name: space for name, space in SPACES.items() if not space.exhaustive}
BEFORE = {
    "train": ("4746cfef72cdfb52", "364a077c3a0d35f9", "212c6a00c13192cd"),
    "held_out": ("e245179ad02dc5a8", "05d44fdb0f8c898f", "d96b39bcfe514df4"),
    "extrapolation": ("29a8364f64db0550", "7adddf90dae78dc4", "d35dd61086a35a0f"),
}
OLD = {name: replace(SPACES[name], version=1) for name in FROM_RANGES}


def apart(space):
    """The splits that share no task with any other."""
    return [split for split in space.splits if not (split == "validation" and space.validates_on_training)]


@pytest.mark.slow
@given(st.sampled_from(sorted(CONTINUOUS)), st.booleans(), st.integers(0, 2**63), st.integers(0, 2**63))
@settings(max_examples=80, deadline=None)
def test_splits_are_disjoint_for_every_seed(name, old, seed_a, seed_b):
    space = OLD[name] if old and name in OLD else CONTINUOUS[name]
    drawn = {s: space.sample(60, s, np.random.default_rng([seed_a, i])) for i, s in enumerate(apart(space))}
    again = {s: space.sample(60, s, np.random.default_rng([seed_b, i])) for i, s in enumerate(apart(space))}
    for a in drawn:
        assert (space.split_of(drawn[a]) == a).all()
        for b in drawn:
            if a != b:
                assert not set(drawn[a].digests) & set(again[b].digests)
                space.assert_disjoint(drawn[a], again[b])


@pytest.mark.parametrize("name", sorted(FROM_RANGES))
def test_a_sample_lies_in_the_declared_ranges_and_covers_them(name):
    space = SPACES[name]
    for split in space.splits:
        values = space.sample(4000, split, np.random.default_rng(1)).values
        for column, p in zip(values.T, space.parameters, strict=True):
            pieces = p.extrapolation if split == "extrapolation" and p.extrapolation else ((p.low, p.high),)
            if not p.continuous:
                trained = set(p.choices) - set(p.held_out)
                reserved = {"held_out": set(p.held_out), "extrapolation": set(p.extrapolation)}.get(split)
                if name == "HalfCheetahSlopes" and split in ("train", "validation"):  # enough to spare a tenth
                    assert len(set(column)) == {"train": 56, "validation": 9}[split]
                    assert set(column) < trained
                else:
                    assert set(column) == (reserved or trained)
                continue
            inside = np.stack([(column >= low) & (column <= high) for low, high in pieces])
            assert inside.any(axis=0).all()
            scale = np.log if p.distribution == "log_uniform" else np.asarray
            width = np.ptp(scale(np.array(pieces)), axis=1)
            for ends, share, here in zip(pieces, width / width.sum(), inside, strict=True):
                part, ends = scale(column[here]), scale(np.array(ends))
                # 5 standard errors of a uniform, or more; reserved cells are few, but in each half of the range
                few = {"held_out": 0.1, "validation": 0.25}.get(split, 0.06)
                assert abs(part.mean() - ends.mean()) < few * np.ptp(ends)
                assert abs(here.mean() - share) < 0.05


@pytest.mark.parametrize("name", ["HalfCheetahVel", "HalfCheetahMass", "Navigation2D", "HalfCheetahBody", "LeapSpin"])
def test_a_fifth_of_the_ranges_is_for_testing_and_a_tenth_for_validation(name):
    space, rng = SPACES[name], np.random.default_rng(0)
    values = np.stack([p.draw(40_000, "train", rng) for p in space.parameters], axis=1)
    split = space.split_of(Tasks(space, values))
    assert abs((split == "held_out").mean() - 0.2) < 0.015
    assert abs((split == "validation").mean() - 0.1) < 0.015
    old = replace(space, version=1)
    assert abs((old.split_of(Tasks(old, values)) == "held_out").mean() - 0.2) < 0.01


def test_whole_cells_of_a_range_are_reserved():
    space = SPACES["HalfCheetahMass"]  # log-uniform from 0.5 to 2
    masses = 0.5 * 4.0 ** ((np.arange(2000) + 0.5) / 2000)
    split = space.split_of(space.tasks(mass_scale=masses)).reshape(20, 100)
    assert (split == split[:, :1]).all()
    kinds = split[:, 0].reshape(4, 5)
    assert ((kinds == "held_out").sum(1) == 1).all()
    assert ((kinds.reshape(2, 10) == "validation").sum(1) == 1).all()


@pytest.mark.parametrize("name", ["HalfCheetahVel", "HalfCheetahMass", "Navigation2D", "HalfCheetahBody"])
def test_held_out_tasks_are_a_percent_of_a_range_from_all_training_tasks(name):
    space = SPACES[name]
    place = {
        split: np.stack([p.place(v) for p, v in zip(space.parameters, tasks.values.T, strict=True)], axis=1)
        for split, n in (("train", 40_000), ("held_out", 500))
        for tasks in [space.sample(n, split, np.random.default_rng(3))]
    }
    nearest = [np.abs(place["train"] - task).max(axis=1).min() for task in place["held_out"]]
    assert np.median(nearest) >= space.apart() >= 0.01
    if space.dim == 1:  # in more dimensions so few training tasks leave gaps
        assert np.median(nearest) < space.apart() + 0.02


@pytest.mark.parametrize("name", sorted(FROM_RANGES))
def test_task_sets_do_not_depend_on_the_last_digits(name, monkeypatch):
    """Another processor's exp, one ulp off, and a file of ten digits."""
    space, exp = SPACES[name], np.exp
    want = {s: space.sample(200, s, np.random.default_rng(7)) for s in space.splits}
    for up in (np.inf, -np.inf):
        monkeypatch.setattr(np, "exp", lambda x, up=up: np.nextafter(exp(x), up))
        for split, tasks in want.items():
            assert space.sample(200, split, np.random.default_rng(7)) == tasks
    monkeypatch.undo()
    for split, tasks in want.items():
        short = [[float(f"{value:.10g}") for value in row] for row in tasks.values]
        for values in (short, np.nextafter(tasks.values, 1.0)):  # 1 is within all ranges, or at their end
            other = object.__new__(Tasks)
            object.__setattr__(other, "space", space)
            object.__setattr__(other, "values", np.array(values))
            if all(p.continuous for p in space.parameters):
                assert other.digests == tasks.digests
                columns = zip(space.parameters, other.values.T, strict=True)
                inside = np.logical_and.reduce([p.inside(column) for p, column in columns])
                assert (space.split_of(other)[inside] == space.split_of(tasks)[inside]).all(), split


def test_what_is_drawn_has_eight_digits():
    values = SPACES["HalfCheetahMass"].sample(100, "train", np.random.default_rng(0)).values
    assert all(float(f"{value:.7e}") == value for value in values.flat)
    assert rounded(np.array([1.23456785, -0.0, 123456.784, 1e-300])).tolist() == [1.2345678, 0.0, 123456.78, 1e-300]


def test_runs_of_before_keep_their_task_sets():
    """As they were drawn at commit afa4cf2."""
    space = OLD["HalfCheetahVel"]
    assert "validation" not in space.splits
    assert TaskSpace.from_json({"family": "A", "parameters": space.to_json()["parameters"]}).version == 1
    for split, want in BEFORE.items():
        assert space.sample(3, split, np.random.default_rng(0)).digests == want
    with pytest.raises(ValueError, match="declares no validation tasks, being of before; use split 'held_out'"):
        space.sample(1, "validation", np.random.default_rng(0))


def test_choices_are_drawn_in_equal_shares():
    slopes = SPACES["HalfCheetahSlopes"].sample(40, "held_out", np.random.default_rng(0))
    assert np.unique(slopes.values, return_counts=True)[1].tolist() == [10, 10, 10, 10]
    faults = SPACES["Go1Fault"].sample(30, "held_out", np.random.default_rng(0))
    column = SPACES["Go1Fault"].names.index("failed_joint")
    assert np.unique(faults.values[:, column], return_counts=True)[1].tolist() == [10, 10, 10]


@pytest.mark.parametrize(("family", "name", "folds"), [
    ("HalfCheetahDisabledJoint", "disabled_joint", 6), ("AntCrippled", "leg", 4), ("Go1Velocity", "failed_joint", 4),
    ("Go1Fault", "failed_joint", 4),
])  # fmt: skip
def test_over_all_folds_each_fault_is_held_out_once(family, name, folds):
    spaces = [make_family(family, fold=i).space for i in range(folds)]
    column = spaces[0].names.index(name)
    reserved = [set(s.sample(60, "held_out", np.random.default_rng(0)).values[:, column]) for s in spaces]
    trained = [set(s.sample(300, "train", np.random.default_rng(0)).values[:, column]) for s in spaces]
    every = {c for c in spaces[0].parameters[column].choices if c >= 0}
    assert sorted(c for kept in reserved for c in kept) == sorted(every)
    assert all(have == every - kept | {-1.0} for have, kept in zip(trained, reserved, strict=True))
    with pytest.raises(ValueError, match=f"{family}: got fold {folds}, expected what is kept for testing"):
        make_family(family, fold=folds)


def test_digests_are_the_same_in_every_process_and_depend_on_content_only():
    space = SPACES["HalfCheetahVel"]
    tasks = space.tasks(velocity=[0.25, 1.5])
    assert tasks.digests == ("ea24208cd31f3c35", "24631f9f361345d6")
    wider = make_family("HalfCheetahVel", max_velocity=7.0).space
    assert wider.tasks(velocity=[0.25, 1.5]).digests == tasks.digests
    other = TaskSpace("Other", space.parameters)
    assert not set(other.tasks(velocity=[0.25, 1.5]).digests) & set(tasks.digests)
    renamed = Parameter("speed", "m/s", "", 1.5, "uniform", 0.0, 3.0)
    assert TaskSpace(space.family, (renamed,)).tasks(speed=1.5).digests != tasks[1].digests
    navigation = SPACES["Navigation2D"]
    swapped = navigation.tasks(goal_x=[0.1, 0.3], goal_y=[0.3, 0.1])
    assert len(set(swapped.digests)) == 2
    assert navigation.tasks(goal_x=0.0).digests == navigation.tasks(goal_x=-0.0).digests


@pytest.mark.slow
def test_digests_do_not_depend_on_the_hash_seed():
    code = (
        "from metarl.envs import make_family; import numpy as np;"
        "t = make_family('Navigation2D').space.sample(5, 'held_out', np.random.default_rng(3)); print(*t.digests)"
    )
    runs = set()
    for hash_seed in ("0", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        runs.add(run.stdout)
    here = SPACES["Navigation2D"].sample(5, "held_out", np.random.default_rng(3)).digests
    assert runs == {" ".join(here) + "\n"}


@given(st.sampled_from(sorted(SPACES)), st.integers(0, 2**32), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_json_keeps_every_bit(name, seed, n):
    space = SPACES[name]
    tasks = space.sample(n, "train", np.random.default_rng(seed))
    back = Tasks.from_json(json.loads(json.dumps(tasks.to_json())), space)
    assert back == tasks
    assert back.digests == tasks.digests
    assert back.values.tobytes() == tasks.values.tobytes()


def test_tasks_are_values():
    space = SPACES["Navigation2D"]
    tasks = space.sample(4, "train", np.random.default_rng(0))
    with pytest.raises(ValueError, match="read-only"):
        tasks.values[0] = 0
    assert tasks.repeat(3).values.tolist() == np.repeat(tasks.values, 3, axis=0).tolist()
    assert tasks[1] == tasks[1:2] == tasks[np.array([1])]
    assert tasks[1] != tasks[2]
    assert {tasks[1]: "a"}[tasks[1:2]] == "a"
    source = np.array([[0.1, 0.2]])
    held = Tasks(space, source)
    source[:] = 0.3
    assert held.values.tolist() == [[0.1, 0.2]]
    assert SPACES["HalfCheetahDir"].tasks(direction=[1, -1]).describe(0) == "direction=+1"
    assert SPACES["HalfCheetahVel"].tasks(velocity=1.25).describe(0) == "velocity=1.25 m/s"
    assert space.default().values.shape == (1, space.dim)


def test_an_exhaustive_space_holds_out_all_its_tasks_in_equal_shares():
    space = SPACES["HalfCheetahDir"]
    assert space.exhaustive
    for n, low in ((40, 20), (7, 3)):
        values = space.sample(n, "held_out", np.random.default_rng(5)).values[:, 0]
        assert sorted(np.unique(values, return_counts=True)[1])[0] == low
        assert len(values) == n
    orders = {tuple(space.sample(4, "held_out", np.random.default_rng(s)).values[:, 0]) for s in range(20)}
    assert len(orders) > 2
    both = space.sample(10, "train", np.random.default_rng(0))
    space.assert_disjoint(both, both)


def test_reserved_choices_are_never_trained_on():
    legs = Parameter("leg", "1", "dead leg", 0.0, "choice", choices=(0.0, 1.0, 2.0, 3.0), held_out=(3.0,))
    mass = Parameter("mass", "1", "factor", 1.0, "uniform", 0.5, 2.0)
    for space in (TaskSpace("Crippled", (legs,)), TaskSpace("Crippled", (legs, mass))):
        assert not space.exhaustive
        train = space.sample(300, "train", np.random.default_rng(0))
        test = space.sample(300, "held_out", np.random.default_rng(0))
        assert set(train.values[:, 0]) == {0.0, 1.0, 2.0}
        assert set(test.values[:, 0]) == {3.0}
        space.assert_disjoint(train, test)
        with pytest.raises(ValueError, match="declares no extrapolation tasks; use split 'held_out' instead"):
            space.sample(1, "extrapolation", np.random.default_rng(0))


@pytest.mark.parametrize(("trained", "reserved", "spared"), [(19, 1, False), (20, 1, True), (19, 30, False)])
def test_of_twenty_training_choices_some_are_spared_for_validation(trained, reserved, spared):
    """With fewer all are trained on, and validation tasks are training tasks in new episodes."""
    listed = tuple(map(float, range(trained + reserved)))
    fault = Parameter("fault", "1", "", 0.0, "choice", choices=listed, held_out=listed[trained:])
    space = TaskSpace("Dead", (fault,))
    found = set(space.sample(400, "train", np.random.default_rng(1)).values[:, 0])
    assert (len(found) < trained) is spared
    assert space.validates_on_training is not spared
    assert replace(space, version=1).validates_on_training is False


def test_a_range_without_room_for_held_out_tasks_is_an_error_and_not_a_hang():
    narrow = TaskSpace("Narrow", (Parameter("x", "m", "", 1.0, "uniform", 1.0, np.nextafter(1.0, 2.0)),))
    with pytest.raises(ValueError, match="Narrow: the ranges hold too few numbers to find 3 .* tasks"):
        for split in ("train", "held_out"):
            narrow.sample(3, split, np.random.default_rng(0))


def test_overlap_is_named_by_digest():
    space = SPACES["HalfCheetahVel"]
    tasks = space.sample(5, "train", np.random.default_rng(0))
    with pytest.raises(ValueError, match=rf"1 tasks are both in .*digests {tasks.digests[2]}\)"):
        space.assert_disjoint(tasks, tasks[2])


NAVIGATION = SPACES["Navigation2D"]
RNG = np.random.default_rng(0)


def read(*rows, family="Navigation2D"):
    return Tasks.from_json({"family": family, "tasks": list(rows)}, NAVIGATION)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NAVIGATION.sample(1, "heldout", RNG), r"unknown split 'heldout' \(did you mean 'held_out'"),
        (lambda: NAVIGATION.sample(-1, "train", RNG), "must not be negative, got -1"),
        (lambda: NAVIGATION.tasks(goal_z=1.0), r"Navigation2D has no parameter 'goal_z' \(did you mean 'goal_"),
        (lambda: NAVIGATION.tasks(goal_x=9.0), "goal_x is 9; expected -0.5 to 0.5 m, or for extrapolation"),
        (lambda: NAVIGATION.tasks(goal_x=np.nan), "goal_x is nan; expected"),
        (lambda: SPACES["HalfCheetahDir"].tasks(direction=0.5), r"direction is 0.5; expected one of \(-1.0, 1.0\)"),
        (lambda: Tasks(NAVIGATION, np.zeros((3, 3))), r"shape \(M, 2\), got \(3, 3\)"),
        (lambda: Tasks.from_json([], NAVIGATION), '{"family": name, "tasks": '),
        (lambda: read(family="Ant"), "family 'Ant', expected 'Navigation2D'"),
        (lambda: read(3), "task 0: expected an object .* got 3"),
        (lambda: read({"gaol_x": 0.1}), r"task 0: Navigation2D has no parameter 'gaol_x' \(did you mean 'goal_x'"),
        (lambda: read({}, {"goal_x": "left"}), "task 1: goal_x must be a number, got 'left'"),
        (lambda: Parameter("a", "m", "", 0.5, "unifrom", 0.0, 1.0), r"'unifrom' \(did you mean 'uniform'"),
        (lambda: Parameter("a", "m", "", 0.5, "uniform", 1.0, 0.0), "need finite low < high"),
        (lambda: Parameter("a", "m", "", 0.5, "log_uniform", 0.0, 1.0), "log_uniform needs low > 0"),
        (lambda: Parameter("a", "m", "", 0.5, "log_uniform", 0.1, 1.0, extrapolation=((0.0, 0.1),)),
         "parameter a: log_uniform needs low > 0, got 0.0 of extrapolation"),
        (lambda: Parameter("a", "m", "", 0.5, "uniform", 0.0, 1.0, mean=0.5), "got mean with distribution 'uniform'"),
        (lambda: Parameter("a", "m", "", 0.5, "log_uniform", 0.1, 1.0, std=0.5), "got std .*, expected it with normal"),
        (lambda: Parameter("a", "m", "", 0.5, "uniform", 0.0, 1.0, held_out=(0.5,)), "got held_out .* it with choice"),
        (lambda: Parameter("a", "m", "", 0.5, "uniform", 0.0, 1.0, choices=(0.5,)), "got choices .* it with choice;"),
        (lambda: Parameter("a", "m", "", 1.0, "choice", low=0.0, choices=(1.0,)),
         "parameter a: got low with distribution 'choice', expected it with uniform or log_uniform or normal; lea"),
        (lambda: Parameter("a", "m", "", 5.0, "uniform", 0.0, 1.0), "default 5.0 is outside its own ranges"),
        (lambda: Parameter("a", "m", "", 1.0, "choice", choices=(1.0,), held_out=(1.0,)), "leave at least one for"),
        (lambda: TaskSpace("A", ()), "need parameters with different names"),
    ],
)
def test_errors_say_what_was_got_and_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_extrapolation_is_uniform_over_intervals_of_any_widths():
    p = Parameter("x", "m", "", 0.5, "uniform", 0.0, 1.0, extrapolation=((-1.0, -0.5), (1.0, 2.5)))
    drawn = p.draw(4000, "extrapolation", np.random.default_rng(0))
    assert abs((drawn < 0).mean() - 0.25) < 0.03
