"""RMA and distillation: the student learns from its own trials, from a teacher that stays as it is."""

import json

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from metarl.agents.memory.registry import make_memory
from metarl.agents.teacher_student import Encoder, StudentPolicy, TeacherPolicy
from metarl.algorithms.learners import make_env, make_learner, training_env
from metarl.algorithms.rma import Untold, squared_error
from metarl.algorithms.rma_config import RMAConfig
from metarl.algorithms.sequence_gradient import mean_gradient
from metarl.config import Config, EnvConfig, EvaluationConfig, PolicyConfig, WandbConfig, load_config
from metarl.envs import BatchEnv, OracleEnv
from metarl.export.onnx import _session, export_run
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.testing import check_learner
from metarl.util.errors import UserError
from metarl.util.onnx_graph import Graph

from .test_rl2 import Goal, Signed
from .trained import with_env

pytestmark = pytest.mark.usefixtures("one_thread")


def config(**changes):
    """Two iterations of the teacher and two of the student, on Navigation2D, where episodes end early."""
    algorithm = {key: changes.pop(key) for key in list(changes) if key in RMAConfig.model_fields}
    small = {"memory_size": 8, "latent": 3, "encoder": (5,), "minibatches": 3, "student_share": 0.5, "window": 7}
    settings = {
        "env": EnvConfig(family="Navigation2D", horizon=12, action_scale=2.0),
        "policy": PolicyConfig(hidden=(8,), normalize_observations=True),
        "algorithm": RMAConfig(**small | algorithm),
        "meta_batch": 4,
        "episodes": 3,
        "iterations": 4,
        "threads": 1,
    }
    return Config(**settings | changes)


def learner_on(family, **changes):
    settings = config(**changes)
    env = BatchEnv(family, settings.meta_batch * settings.episodes, autoreset_mode=AutoresetMode.DISABLED)
    return with_env(settings, env)


def taught(family=None, **changes):
    """A learner whose teacher has learned a little and whose student has not."""
    learner = learner_on(family or Goal(), **changes)
    for i in range(2):
        learner.iterate(learner.env, i)
    return learner


def student_trials(learner, iteration=2):
    """(trials, lessons) that the student collects and learns from in an iteration, without learning from them."""
    kept = {}
    prepare = learner.prepare

    def keep(trials):
        kept["trials"], kept["lessons"] = trials, prepare(trials)
        return kept["lessons"]

    learner.prepare, learner.update = keep, lambda lessons, iteration: {}
    learner.iterate(learner.env, iteration)
    del learner.prepare, learner.update
    return kept["trials"], kept["lessons"]


# ---- the data and the targets


@pytest.mark.parametrize("imitate", ["latent", "actions"])
@pytest.mark.parametrize("window, burn_in", [(0, 0), (5, 3)])
def test_the_student_learns_from_what_it_did_itself(imitate, window, burn_in):
    """Without noise each action of the trials is the student's mean, in the state that it had come to itself."""
    learner = taught(imitate=imitate, window=window, burn_in=burn_in)
    with torch.no_grad():
        learner.teacher.params["log_std"].fill_(-20.0)
        for name, value in learner.params.items():  # as far from the teacher as can be
            value.add_(0.5 * torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))))
    trials, lessons = student_trials(learner)
    assert len(set(trials.valid.sum(1))) > 1  # trials of unequal lengths
    params = learner.adapter().params
    _, ys = learner.policy.recall(params, lessons.memory, lessons.inputs, lessons.resets)
    mean, _ = learner.policy.act(params, ys[burn_in:], lessons.inputs[burn_in:])
    windows = learner.teacher.windows(trials)
    acted = windows.rows(windows.padded(trials.actions))
    lived = lessons.weights > 0
    assert lived.sum() == trials.valid.sum()
    torch.testing.assert_close(mean[lived], acted[lived], rtol=0, atol=1e-5)

    teacher = learner.teacher
    _, z = teacher.policy.recall(teacher.params, (), trials.inputs)
    theirs = windows.rows(windows.padded(teacher.policy.act(teacher.params, z, trials.inputs)[0].detach()))
    assert (theirs - acted)[lived].abs().max() > 0.01  # which are not the teacher's


@pytest.mark.parametrize("imitate", ["latent", "actions"])
def test_the_teacher_says_what_it_would_have_done_there(imitate):
    """By plain products: z = mu(e) of the task's own parameter, and the mean of pi(x, z)."""
    learner = taught(imitate=imitate, window=0)
    trials, lessons = student_trials(learner)
    p = {name: value.detach().numpy().astype(float) for name, value in learner.teacher.params.items()}
    seen = learner.teacher.normalizer
    e = (2 * trials.tasks[:, :1] * 0.5 - seen.mean[1:]) / seen.std[1:]  # goals of -0.5 to 0.5 as -1 to 1
    z = np.tanh(e @ p["memory.w0"] + p["memory.b0"]) @ p["memory.w1"] + p["memory.b1"]  # (N, 3)
    for n, length in enumerate(trials.valid.sum(1)):
        for t in {0, length // 2, length - 1}:
            x = trials.inputs[t, n, :-1].numpy()  # all but e
            m = np.tanh(np.concatenate([z[n], x]) @ p["policy.w0"] + p["policy.b0"]) @ p["policy.w1"] + p["policy.b1"]
            np.testing.assert_allclose(lessons.wanted[t, n], z[n] if imitate == "latent" else m, atol=1e-4)
    assert not lessons.wanted.requires_grad


def test_the_error_by_hand():
    """Two steps of two numbers, and one of padding: 1 + 4 and 0 + 9."""
    got = torch.tensor([[[1.0, 2.0]], [[3.0, 3.0]], [[7.0, 7.0]]])
    wanted = torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]], [[0.0, 0.0]]])
    assert squared_error(got, wanted, torch.tensor([[1.0], [1.0], [0.0]])).item() == 14.0


def test_the_loss_is_the_mean_over_the_steps_that_were_lived():
    learner = taught()
    _, lessons = student_trials(learner)
    gradients, measured = mean_gradient(learner.loss, learner.params, lessons, 1)
    _, got = learner.policy.recall(learner.params, lessons.memory, lessons.inputs, lessons.resets)
    lived = lessons.weights > 0
    assert not lived.all()
    mean = (got - lessons.wanted)[lived].square().sum(-1).mean()
    assert measured["imitation_loss"] == pytest.approx(mean.item(), rel=1e-5)
    expected = torch.autograd.grad(mean, list(learner.params.values()))
    for name, gradient in zip(learner.params, expected, strict=True):
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


# ---- who learns when


@pytest.mark.parametrize("imitate", ["latent", "actions"])
def test_in_each_phase_one_learns_and_the_other_stays_as_it_is(imitate):
    learner = learner_on(Goal(), imitate=imitate)
    before = learner.state_dict()
    for i in range(4):
        metrics = learner.iterate(learner.env, i)
        after = learner.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])} - {
            "teacher.env_steps", "student.env_steps"
        }
        student = {name for name in moved if name.startswith("student.")}
        weights = {f"student.params.{name}" for name in learner.params}
        assert student == moved - student == set() or (student == moved) is (i >= 2)
        assert weights <= student if i >= 2 else not student
        assert "imitation_loss" in metrics if i >= 2 else "value_loss" in metrics
        before = after
    own = "memory." if imitate == "latent" else ("memory.", "policy.")
    assert all(name.startswith(own) for name in learner.params)
    assert any(name.startswith("policy.") for name in learner.params) == (imitate == "actions")


def test_the_teacher_is_the_same_whatever_its_student():
    """Bit for bit, so that students of one seed can be compared."""
    one, other = taught(), taught(imitate="actions", memory="lstm")
    for name, value in one.teacher.state_dict().items():
        assert torch.equal(value, other.teacher.state_dict()[name]), name


def test_both_budgets_are_recorded():
    learner, rows = learner_on(Goal()), []
    for i in range(4):
        rows.append(learner.iterate(learner.env, i))
    steps = [row["env_steps"] for row in rows]
    assert [row["teacher_env_steps"] for row in rows] == [steps[0], sum(steps[:2]), sum(steps[:2]), sum(steps[:2])]
    assert [row["student_env_steps"] for row in rows] == [0, 0, steps[2], sum(steps[2:])]


@pytest.mark.parametrize(("share", "iterations", "teacher"), [
    (0.2, 100, 80), (0.5, 4, 2), (0.01, 10, 9), (0.99, 10, 1), (0.3, 2, 1),
])  # fmt: skip
def test_the_phases_are_shares_of_the_iterations(share, iterations, teacher):
    settings = config(student_share=share, iterations=iterations)
    assert settings.algorithm.teacher_iterations(settings) == teacher
    told = config(student_share=share, iterations=iterations, oracle=True)
    assert told.algorithm.teacher_iterations(told) == iterations


@pytest.mark.parametrize(("anneal", "sizes"), [(True, [1.0, 0.5, 1.0, 0.5]), (False, [1.0] * 4)])
def test_each_phase_has_a_step_size_of_its_own_that_falls(anneal, sizes):
    learner, found = learner_on(Goal(), anneal=anneal, lr=1e-2, student_lr=1e-3), []
    for i in range(4):
        learner.iterate(learner.env, i)
        optimizer, lr = (learner.teacher.optimizer, 1e-2) if i < 2 else (learner.optimizer, 1e-3)
        found.append(optimizer.param_groups[0]["lr"] / lr)
    assert found == pytest.approx(sizes)


@pytest.mark.parametrize("changes", [
    {}, {"imitate": "actions", "memory": "window", "memory_options": {"context": 4}}, {"oracle": True},
    {"bootstrap_at_horizon": True, "burn_in": 3, "memory": "lstm"},
])  # fmt: skip
def test_the_contract_is_kept_in_both_phases(changes):
    """Also that a training that is resumed after any iteration comes to the same bits."""
    check_learner(config(episodes=2, **changes), iterations=4)


# ---- who is told what


@pytest.mark.parametrize("oracle", [False, True])
def test_what_is_handed_out_is_the_student_who_is_not_told_the_task(oracle):
    settings = config(oracle=oracle)
    learner = with_env(settings)
    for i in range(3):
        learner.iterate(learner.env, i)
    adapter, env = learner.adapter(), make_env(settings, 4)
    actions = []
    for goal in (-0.4, 0.3):
        env.set_tasks(env.space.tasks(goal_x=goal, goal_y=goal).repeat(4))
        observations = env.reset(seed=0)[0].reshape(2, 2, -1)
        assert observations.shape[-1] == adapter.policy.observation_dim
        actions.append(adapter.act(adapter.start(2), observations, None).actions)
    assert np.array_equal(*actions) != oracle
    assert isinstance(adapter.policy, TeacherPolicy if oracle else StudentPolicy)


def test_only_the_encoder_sees_the_task():
    """The latent is all that the teacher's actions and values know of it."""
    policy = TeacherPolicy(2 + 4, 3, size=5, hidden=(8,), told=4)
    params = policy.init(np.random.default_rng(0))
    rng = torch.Generator().manual_seed(0)
    observations = torch.randn(7, 2, 6, generator=rng)
    rest = torch.randn(7, 2, 3, generator=rng), torch.randn(7, 2, generator=rng), torch.zeros(7, 2)
    xs, ys = policy.inputs(observations, *rest), torch.randn(7, 2, 5, generator=rng)
    told = observations.clone()
    told[..., 2:] += 1.0
    other = policy.inputs(told, *rest)
    for a, b in zip(policy(params, ys, xs), policy(params, ys, other)):
        assert torch.equal(a, b)
    assert not torch.equal(policy.recall(params, (), xs)[1], policy.recall(params, (), other)[1])
    own = observations.clone()
    own[..., :2] += 1.0
    assert torch.equal(policy.recall(params, (), xs)[1], policy.recall(params, (), policy.inputs(own, *rest))[1])


def test_the_student_among_the_told_does_not_see_the_task():
    learner = taught()
    env = OracleEnv(learner.env)
    env.set_tasks(env.space.sample(4, "train", np.random.default_rng(0)).repeat(3))
    observations = env.reset(seed=0)[0].reshape(4, 3, -1)
    told = observations.copy()
    told[..., 1:] += 1.0
    adapter = Untold(learner.adapter(), learner.teacher.normalizer)
    one, other = (adapter.act(adapter.start(4), x, None) for x in (observations, told))
    assert np.array_equal(one.actions, other.actions)
    assert not np.array_equal(one.observations[..., 1:], other.observations[..., 1:])  # but the teacher will


# ---- does it learn


@pytest.mark.slow
@pytest.mark.parametrize(("imitate", "memory"), [("latent", "gru"), ("latent", "window"), ("actions", "gru")])
def test_the_student_finds_out_what_the_teacher_was_told(imitate, memory):
    """A hidden sign times the action is paid in each of ten steps: 10 for whoever is told it, 9 for whoever is not."""
    fast = {"lr": 1e-2, "student_lr": 1e-2, "epochs": 4, "student_epochs": 4, "minibatches": 2, "window": 10}
    learner = learner_on(
        Signed(), imitate=imitate, memory=memory, trial_episodes=1, meta_batch=32, episodes=1, iterations=100, **fast
    )
    rows = [learner.iterate(learner.env, i) for i in range(100)]
    teacher, student = (np.mean([row["return_0"] for row in rows[last - 5 : last]]) for last in (50, 100))
    assert teacher > 9.0 and 5.0 < student < 9.2
    assert rows[-1]["imitation_loss"] < 0.5 * rows[50]["imitation_loss"]
    assert rows[50]["return_0"] < 5.0  # before it has learned anything


# ---- as a run


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {}, {"imitate": "actions", "memory": "lstm"}, {"memory": "window"}, {"oracle": True},
])  # fmt: skip
def test_the_student_is_exported(tmp_path, changes):
    """The export compares onnxruntime with the adapter over an episode, and writes nothing where they differ."""
    settings = config(
        env=EnvConfig(family="HalfCheetahMass", horizon=20), wandb=WandbConfig(mode="disabled"),
        evaluation=EvaluationConfig(tasks=2, episodes=2, steps=1), **changes,
    )  # fmt: skip
    run = runs.start(settings, tmp_path / "run")
    run.lock.release()
    learner = make_learner(settings)
    env = training_env(settings)
    for i in range(3):
        learner.iterate(env, i)
    checkpoint.save(run.checkpoints, learner.state_dict(), {"iteration": 3, "env_steps": 0})
    about = json.loads(export_run(run).with_suffix(".json").read_text())
    assert (about["observation"][-1]["name"] == "mass_scale") is settings.algorithm.oracle
    assert {"observation", "reward", "start", "action"} <= about["inputs"].keys()


@pytest.mark.parametrize(("override", "message"), [
    ("iterations=1", "iterations: got 1, expected at least 2 with rma: one for the teacher, one for the student"),
    ("algorithm={memory: none}", r"algorithm\.memory: got none, expected another cell with imitate = latent"),
    ("algorithm={student_share: 1}", r"student_share: got 1, expected less than 1"),
    ("inner.lr=0.2", r"inner\.lr: got 0\.2, expected no such setting: rma has no inner loop"),
])  # fmt: skip
def test_settings_that_contradict_each_other(override, message):
    with pytest.raises(UserError, match=message):
        load_config("half_cheetah_mass/rma", [override])


def test_a_window_knows_its_steps_and_no_others():
    memory = make_memory("window", 3, 8, {"context": 4, "units": 5})
    params = memory.init(np.random.default_rng(0))
    xs = torch.randn(13, 2, 3, generator=torch.Generator().manual_seed(0))
    changed = xs.clone()
    changed[2] += 1.0
    before, after = (memory.run(params, memory.start(2), x)[1] for x in (xs, changed))
    difference = (after - before).abs().amax(-1).amax(-1)
    assert (difference[2:6] > 0).all() and not difference[:2].any() and not difference[6:].any()


def test_the_encoder_is_a_perceptron_and_so_is_its_graph():
    encoder = Encoder(3, 2)
    params = {k: v + 0.1 for k, v in encoder.init(np.random.default_rng(0)).items()}
    assert {name: tuple(value.shape) for name, value in params.items()} == {
        "w0": (3, 64), "b0": (64,), "w1": (64, 2), "b1": (2,),
    }  # fmt: skip
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    want = torch.tanh(x @ params["w0"] + params["b0"]) @ params["w1"] + params["b1"]
    torch.testing.assert_close(encoder.run(params, (), x[None])[1][0], want)
    graph = Graph()
    graph.output("y", encoder.onnx(graph, params, graph.input("x", 3)), 2, np.float32)
    [got] = _session(graph.serialize("an encoder")).run(["y"], {"x": x.numpy()})
    np.testing.assert_allclose(got, want, atol=1e-6)
