"""BatchEnv against a plain loop over single simulations, and what it promises about seeds, tasks and resets."""

import gymnasium
import mujoco
import numpy as np
import pytest

import metarl.envs.family
from metarl.envs import BatchEnv, Family, make, make_family

N = 5


def streams(seed, n=N):
    return [np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(i,)))) for i in range(n)]


def varied_tasks(env, seed=0):
    return env.space.sample(env.num_envs, "train", np.random.default_rng(seed))


def actions_for(env, steps, seed=0):
    """Actions a quarter beyond their range, (steps, N, A)."""
    size = (steps, env.num_envs, env.model.nu)
    return np.random.default_rng(seed).uniform(-1.25, 1.25, size).astype(np.float32)


def fields_that_differ(a: mujoco.MjModel, b: mujoco.MjModel) -> list[str]:
    """Names of fields, those of the options (gravity, wind, time step) included."""
    names = [n for n in dir(a) if isinstance(getattr(a, n), np.ndarray)]
    options = [n for n in dir(a.opt) if isinstance(getattr(a.opt, n), np.ndarray | float | int)]
    differ = [n for n in names if not np.array_equal(getattr(a, n), getattr(b, n))]
    return differ + [f"opt.{n}" for n in options if not np.array_equal(getattr(a.opt, n), getattr(b.opt, n))]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_batch_is_a_loop_over_single_simulations(family, threads, plain_simulation):
    name, options = family
    env = make(name, N, num_threads=threads, autoreset_mode="Disabled", horizon=10_000, **options)
    tasks = varied_tasks(env)
    observation, _ = env.reset(seed=11, options={"tasks": tasks})
    singles, rngs = [plain_simulation(name, task, **options) for task in tasks.values], streams(11)
    for single, rng in zip(singles, rngs, strict=True):
        single.reset(rng)
    # a closed form stands for MuJoCo's own sum of the centre of mass, so these two agree to rounding only
    exact = "variant" not in options
    scale = 0.1 if name == "Navigation2D" else 1.0

    for step, action in enumerate(actions_for(env, 300)):
        np.testing.assert_array_equal(env.state(), [s.state() for s in singles])
        np.testing.assert_allclose(observation, [s.observation() for s in singles], rtol=0, atol=0 if exact else 1e-12)
        if step in (70, 200):  # some start anew, in the middle of the others' episodes
            mask = np.array([step == 70, True, False, True, False])
            observation, _ = env.reset(options={"reset_mask": mask})
            for i in np.flatnonzero(mask):
                singles[i].reset(rngs[i])
            np.testing.assert_array_equal(env.state(), [s.state() for s in singles])
        observation, reward, terminated, truncated, info = env.step(action)
        expected = [s.step(scale * a.astype(np.float64)) for s, a in zip(singles, action, strict=True)]
        tolerance = 0 if exact and name != "Navigation2D" else 1e-12
        np.testing.assert_allclose(reward, [r for r, _ in expected], rtol=tolerance, atol=tolerance)
        assert terminated.tolist() == [t for _, t in expected]
        assert not truncated.any() and not info["diverged"].any()
        terms = [v for k, v in info["reward_terms"].items() if not k.startswith("_")]
        np.testing.assert_array_equal(sum(terms), reward)


def test_a_long_call_is_split_without_changing_anything(monkeypatch):
    runs = []
    for limit in (20_000, 10):
        monkeypatch.setattr(metarl.envs.family, "_SUBSTEPS_PER_CALL", limit)
        env = make("HalfCheetahDir", N, horizon=7)
        calls, step = [], env.batch.step

        def counted(ids, calls=calls, step=step, **kwargs):
            calls.append(N if ids is None else len(ids))
            step(ids, **kwargs)

        env.batch.step = counted
        env.reset(seed=3)
        runs.append(np.stack([np.concatenate([*env.step(a)[:2]], axis=None) for a in actions_for(env, 20)]))
        assert max(calls) == (N if limit == 20_000 else 2)
    np.testing.assert_array_equal(*runs)


@pytest.mark.slow
def test_reset_with_a_seed_forgets_the_past(every_family):
    name, options = every_family
    used, fresh = (make(name, N, horizon=9, **options) for _ in range(2))
    tasks = varied_tasks(used)
    used.reset(seed=1, options={"tasks": varied_tasks(used, 9)})
    used.reset(options={"reset_mask": np.arange(N) < 2})
    for action in actions_for(used, 29):  # to the end of the third episode, where an autoreset is due
        used.step(action)
    first = [e.reset(seed=5, options={"tasks": tasks})[0] for e in (used, fresh)]
    np.testing.assert_array_equal(*first)
    for action in actions_for(used, 25, seed=4):
        a, b = used.step(action), fresh.step(action)
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_simulation_does_not_depend_on_how_many_there_are():
    small, large = make("HalfCheetahDir", 3, horizon=8), make("HalfCheetahDir", 40, horizon=8)
    a, b = small.reset(seed=2)[0], large.reset(seed=2)[0]
    for action in actions_for(large, 20):
        np.testing.assert_array_equal(a, b[:3])
        a, b = small.step(action[:3])[0], large.step(action)[0]


def test_neighbouring_seeds_share_no_stream():
    env = make("HalfCheetahDir", 64)
    first = np.concatenate([env.reset(seed=s)[0][:, 1] for s in range(8)])
    assert len(set(first)) == len(first)


def test_seeds_may_be_sequences():
    env = make("HalfCheetahDir", 3)
    child = np.random.SeedSequence(4, spawn_key=(7,))
    given = env.reset(seed=child)[0]
    rng = np.random.default_rng(np.random.SeedSequence(4, spawn_key=(7, 1)))
    np.testing.assert_array_equal(given[1, :8], (0.2 * rng.random(9) - 0.1)[1:])
    listed = env.reset(seed=[5, 6, 5])[0]
    np.testing.assert_array_equal(listed[0], listed[2])
    np.testing.assert_array_equal(listed[1], make("HalfCheetahDir", 1).reset(seed=6)[0][0])
    before = child.n_children_spawned
    np.testing.assert_array_equal(env.reset(seed=child)[0], given)
    assert child.n_children_spawned == before


def test_without_a_seed_the_streams_go_on():
    env = make("HalfCheetahDir", 3)
    a = env.reset(seed=0)[0]
    b = env.reset()[0]
    assert not (a == b).any()
    env.reset(seed=0)
    np.testing.assert_array_equal(env.reset()[0], b)
    unseeded = [make("HalfCheetahDir", 3).reset()[0] for _ in range(2)]
    assert not (unseeded[0] == unseeded[1]).any()


@pytest.mark.slow
def test_the_default_task_restores_the_model_exactly(every_family):
    name, options = every_family
    env = make(name, N, **options)
    stock = make_family(name, **options).build()
    for seed in range(3):  # scales that compounded would show at the second write
        env.reset(seed=seed, options={"tasks": varied_tasks(env, seed)})
        env.step(actions_for(env, 1)[0])
    written = [env.model_of(i) for i in range(N)]
    env.reset(seed=0, options={"tasks": env.space.default().repeat(N)})
    for i in range(N):
        assert fields_that_differ(env.model_of(i), stock) == []
        if name in ("HalfCheetahMass", "AntGoal", "ReacherGoal", "PusherGoal") or name.startswith("Navigation2D"):
            assert fields_that_differ(written[i], stock)
    assert fields_that_differ(env.model, stock) == []


def test_a_task_is_in_force_from_the_next_reset():
    env = make("HalfCheetahMass", 3, autoreset_mode="Disabled")
    old = env.space.tasks(mass_scale=[0.5, 1.0, 2.0])
    env.reset(seed=0, options={"tasks": old})
    new = env.space.tasks(mass_scale=[1.5, 1.5, 1.5])
    env.set_tasks(new)
    assert env.tasks == old
    env.reset(options={"reset_mask": np.array([False, True, False])})
    assert env.tasks.values[:, 0].tolist() == [0.5, 1.5, 2.0]
    total = [env.model_of(i).body_mass.sum() for i in range(3)]
    np.testing.assert_allclose(total, [7, 21, 28])
    env.reset()
    assert env.tasks == new


def test_autoreset_takes_up_new_tasks():
    env = make("HalfCheetahMass", 2, horizon=2)
    env.reset(seed=0)
    env.set_tasks(env.space.tasks(mass_scale=[0.5, 2.0]))
    for _ in range(3):
        assert env.tasks == env.space.default().repeat(2) or _ == 2
        env.step(np.zeros((2, 6)))
    assert env.tasks.values[:, 0].tolist() == [0.5, 2.0]


@pytest.mark.parametrize("name", ["HalfCheetahDir", "Navigation2D"])
def test_action_scale_stretches_the_action_range(name):
    scaled, plain = (make(name, N, action_scale=s, autoreset_mode="Disabled") for s in (4.0, 1.0))
    assert scaled.single_action_space.high.tolist() == [4.0] * scaled.model.nu
    a, b = scaled.reset(seed=1)[0], plain.reset(seed=1)[0]
    for action in actions_for(plain, 30):
        np.testing.assert_array_equal(a, b)
        results = scaled.step(4 * action), plain.step(action)  # beyond the range too: clipped in both
        (a, reward_a, *_), (b, reward_b, *_) = results
        np.testing.assert_array_equal(reward_a, reward_b)
    assert results[0][4]["reward_terms"].keys() == results[1][4]["reward_terms"].keys()


class Winch(Family):
    """A drum whose observation and reward are its control."""

    name, camera = "Winch", "track"
    space = make_family("Navigation2D").space

    def __init__(self, ctrlrange):
        self.ctrlrange = ctrlrange

    def build(self):
        return mujoco.MjModel.from_xml_string(
            "<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>"
            f"<actuator><motor name='drum' joint='j' {self.ctrlrange}/></actuator></mujoco>"
        )

    def observe(self, batch, derived):
        return batch.bind("ctrl").copy()

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"control": ctrl[:, 0].copy()}


def test_an_actuator_without_a_range_is_refused():
    with pytest.raises(ValueError, match=r"Winch: actuators \['drum'\] have no ctrlrange"):
        BatchEnv(Winch(""), 1)


def test_an_action_outside_an_asymmetric_range_is_mapped_and_clipped():
    env = BatchEnv(Winch("ctrlrange='2 6'"), 4, action_scale=2.0)
    env.reset(seed=0)
    observation, reward, *_ = env.step(np.array([[-2.0], [0.0], [1.0], [50.0]]))
    assert observation[:, 0].tolist() == reward.tolist() == [2.0, 4.0, 5.0, 6.0]


def test_what_step_returns_is_the_callers():
    env = make("HalfCheetahDir", 2, autoreset_mode="Disabled")
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(np.zeros((2, 6)))
    kept = observation.copy(), reward.copy(), info["diverged"].copy()
    state = env.state()
    env.step(np.ones((2, 6)))
    np.testing.assert_array_equal(observation, kept[0])
    np.testing.assert_array_equal(reward, kept[1])
    assert not np.array_equal(state, env.state())
    latest = env.step(np.ones((2, 6)))[0]
    kept = latest.copy()
    latest[:] = np.nan
    env.batch.bind("qvel")[0] = 1e20  # divergence, which shows the last good observation
    np.testing.assert_array_equal(env.step(np.ones((2, 6)))[0][0], kept[0])


def first(k, n=3):
    return np.arange(n) < k


WIDE = {"family": "HalfCheetahVel", "max_velocity": 7}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"family": "HalfCheetahDri"}, ValueError, r"got family 'HalfCheetahDri', .* \(did you mean 'HalfCheetahDir'"),
        ({"horizn": 3}, TypeError, r"HalfCheetahDir has no option 'horizn' \(did you mean 'horizon'"),
        ({"variant": "mamal"}, ValueError, r"unknown variant 'mamal' \(did you mean 'maml'"),
        (WIDE | {"max_velocity": -1}, ValueError, "max_velocity must be a positive number, got -1"),
        (WIDE | {"max_velocity": "3"}, ValueError, "max_velocity must be a positive number, got '3'"),
        ({"family": make_family("Navigation2D"), "variant": "x"}, TypeError, "pass them to its constructor"),
        ({"num_envs": 0}, ValueError, "num_envs >= 1"),
        ({"num_threads": -1}, ValueError, "num_threads >= 0"),
        ({"horizon": 0}, ValueError, "horizon must be at least 1 step, got 0"),
        ({"action_scale": 0}, ValueError, "action_scale must be positive, got 0"),
        ({"action_scale": np.nan}, ValueError, "action_scale must be positive, got nan"),
    ],
)
def test_a_wrong_setting_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        make(**({"family": "HalfCheetahDir", "num_envs": 1} | settings))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e.step(np.zeros((3, 6))), gymnasium.error.ResetNeeded, r"call reset\(\) before step"),
        (lambda e: e.reset(options={"reset_mask": first(1)}), ValueError, "first reset must reset every simulation"),
        (lambda e: (e.reset(), e.step(np.zeros((3, 5)))), ValueError, r"shape \(3, 6\), got \(3, 5\)"),
        (lambda e: e.reset(options={"mask": 1}), ValueError, r"unknown reset options \['mask'\]"),
        (lambda e: (e.reset(), e.reset(options={"reset_mask": first(0)})), ValueError, "at least one true value"),
        (lambda e: (e.reset(), e.reset(options={"reset_mask": first(2, 4)})), ValueError, r"of shape \(3,\)"),
        (lambda e: (e.reset(), e.reset(options={"reset_mask": np.ones(3)})), ValueError, "must be a boolean array"),
        (lambda e: e.reset(seed=[1, 2]), ValueError, "one per simulation, 3, got 2"),
        (lambda e: e.set_tasks(e.space.default()), ValueError, r"3, got 1; use tasks.repeat\(episodes\)"),
        (lambda e: e.set_tasks(make_family("Navigation2D").space.default()), ValueError, "family 'Navigation2D', this"),
    ],
)
def test_wrong_use_is_told_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call(make("HalfCheetahDir", 3))


def test_a_task_out_of_this_environments_range_is_refused():
    fast = make_family(WIDE["family"], max_velocity=7).space.tasks(velocity=6)
    with pytest.raises(ValueError, match="velocity is 6; expected 0 to 3 m/s"):
        make("HalfCheetahVel", 1).set_tasks(fast)


def test_a_batch_inherited_by_a_forked_process_is_refused(monkeypatch):
    env = make("HalfCheetahDir", 2)
    env.reset(seed=0)
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="made in another process and would hang"):
        env.step(np.zeros((2, 6)))


@pytest.mark.parametrize(("family", "values"), [("HalfCheetahMass", {"mass_scale": [0.5, 2.0]}),
                                                ("HalfCheetahDisabledJoint", {"disabled_joint": [2, -1]})])  # fmt: skip
def test_a_task_changed_in_mid_episode_is_that_task_from_there_on(family, values):
    env, other = (make(family, 2, autoreset_mode="Disabled", num_threads=1) for _ in range(2))
    new = env.space.tasks(**values)
    env.change_tasks(env.space.default().repeat(2))  # before the first reset: as set_tasks
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (12, 2, 6))
    for action in actions[:6]:
        env.step(action)
    before = env.state()
    env.change_tasks(new)
    assert np.array_equal(env.state(), before)
    assert np.array_equal(env.parameters, new.values) and env.tasks == new
    # the same state in an environment that had that task from the start
    other.set_tasks(new)
    other.reset(seed=0)
    other.batch.bind("qpos")[:], other.batch.bind("qvel")[:] = np.split(before, [9], axis=1)
    other.batch.bind("qacc_warmstart")[:] = env.batch.bind("qacc_warmstart")
    for action in actions[6:]:
        assert np.array_equal(env.step(action)[0], other.step(action)[0])
    env.reset(seed=1)
    assert env.tasks == new


def test_a_change_in_mid_episode_waits_for_its_onset():
    env = make("HalfCheetahDisabledJoint", 1, onset=3, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step(np.zeros((1, 6)))
    env.change_tasks(env.space.tasks(disabled_joint=2))
    found = []
    for _ in range(4):
        found.append(env.parameters[0, 0])
        env.step(np.zeros((1, 6)))
    assert found == [-1, -1, -1, 2]
    env.change_tasks(env.space.tasks(disabled_joint=4))
    assert env.parameters[0, 0] == 4
