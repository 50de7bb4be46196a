"""Publishing a run: what is left out, what is left alone, what is refused, and what an interval predicts."""

import dataclasses
import importlib.metadata
import json

import numpy as np
import pytest
import torch

from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.restore import restore
from metarl.cli import main
from metarl.config import EnvConfig, changed, load_config
from metarl.envs import make_family
from metarl.envs.registry import FAMILIES
from metarl.evaluation.adaptation_curve import measure
from metarl.evaluation.result import Evaluation
from metarl.runs import checkpoint
from metarl.runs.run import open_run, start
from metarl.util.errors import UserError
from metarl.zoo import Entry, publish, publishing
from metarl.zoo.agreement import predicted, try_again
from metarl.zoo.table import BEGIN, END

SMALL = {"env.horizon": 5, "meta_batch": 2, "episodes": 2, "threads": 1, "wandb.mode": "disabled",
         "evaluation.tasks": 3, "evaluation.episodes": 4, "evaluation.steps": 1}  # fmt: skip
CONFIGS = [*(f"half_cheetah_mass/{method}" for method in ("promp", "rl2", "rma", "recurrent_sac", "pearl")),
           *(f"half_cheetah_dir/{method}" for method in ("maml", "reptile", "plasticity", "es_maml"))]  # fmt: skip


def small(name, **settings):
    return changed(load_config(name), SMALL | settings)


@pytest.fixture
def run(tmp_path):
    """A folder of a run that has a checkpoint, as if it had trained for an iteration of two."""
    config = small(CONFIGS[0], iterations=2)
    made = start(config, tmp_path / "run")
    learner = make_learner(config)
    checkpoint.save(made.checkpoints, learner.state_dict(), {"iteration": 1, "env_steps": 40})
    rows = [{"iteration": i, "env_steps": 40 * (i + 1), "return_0": 1.0, "return_1": 2.0} for i in range(2)]
    (made.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    times = [{"iteration": i, "seconds": 90.0} for i in range(2)]
    (made.path / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in times))
    made.looked("evaluate", "held_out", "0" * 64, 1)
    made.release()
    return made.path


@pytest.fixture
def published(run, tmp_path):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "README.md").write_text(f"Mine.\n\n{BEGIN}\n{END}\n\nThe end.\n")
    return Entry.read(publish(run, tmp_path / "zoo" / "mine"))


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_an_entry_has_what_others_need_and_the_run_is_left_alone(run, tmp_path):
    before = contents(run)
    made = Entry.read(publish(run, tmp_path / "mine"))
    assert contents(run) == before
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
    assert sorted(contents(made.run.path)) == made.files
    assert made.about | {"evaluation": "", "left_out": ["adam."]} == made.about | {"evaluation": ""}
    assert (made.about["wall_seconds"], made.about["looks"], made.about["env_steps"]) == (90.0, 1, 40)
    assert len(made.run.metrics()) == 1
    assert not any(name.startswith("adam.") for name in made.run.checkpoint().tensors)
    assert made.evaluation.returns.shape == (2, 3, 4)
    text = (made.run.path / "README.md").read_text()
    for said in ("# mine", "ProMP on HalfCheetahMass", "stopped** after 1 of 2 iterations", "40 environment steps",
                 "2 min, threads: 1", "evaluations before this one: 1", "MIT, OpenAI and Farama Foundation",
                 made.evaluation.sentence, "adapted to mass_scale 1 in 1 steps of 4 episodes"):  # fmt: skip
        assert said in text


@pytest.mark.slow
def test_the_other_commands_take_it_for_a_run(published, capsys):
    folder = str(published.run.path)
    for command in (["evaluate", folder, "--tasks", "held_out"], ["export", folder, "--steps", "0"]):
        with pytest.raises(SystemExit) as exit_:
            main(command)
        assert not exit_.value.code
    assert Entry.read(folder).size == published.size, "what commands write there is no part of it"


@pytest.mark.slow
def test_the_card_and_the_table_are_written_once_more(published):
    page, card = published.run.path.parent / "README.md", published.run.path / "README.md"
    text, before = card.read_text(), page.read_text()
    assert "| [mine](mine/README.md) | HalfCheetahMass | ProMP | 40 steps |" in before
    assert before.startswith("Mine.\n") and before.endswith("\n\nThe end.\n")
    card.write_text("edited")
    page.write_text(before.replace("ProMP", "something else"))
    assert publish(published.run.path) == published.run.path
    assert (card.read_text(), page.read_text()) == (text, before)


@pytest.mark.slow
def test_what_is_refused(published, run, tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--run", str(published.run.path), "--resume"])
    problem = "is published, without what only training needs, and cannot be resumed; to train it anew: metarl train"
    assert problem in capsys.readouterr().err
    with pytest.raises(UserError, match="is published already; copy its folder"):
        publish(published.run.path, tmp_path / "again")
    with pytest.raises(UserError, match="is there already; choose another, or remove it first"):
        publish(run, published.run.path)
    with pytest.raises(UserError, match=r"no folder, expected --out DIR as well, such as zoo/NAME"):
        publish(run)
    for options in ({"half": True}, {"episodes": 50}):
        with pytest.raises(UserError, match="got --half or --episodes without --out, expected --out DIR as well"):
            publish(published.run.path, **options)
    with pytest.raises(UserError, match="a run that is not published; first: metarl publish"):
        Entry.read(run)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory; choose another --out"):
        publish(run, tmp_path / "file" / "mine")
    monkeypatch.setattr(publishing, "MOST_BYTES", 10_000)
    with pytest.raises(UserError, match=r"expected 10,000 at most \(.*policy.onnx.*add --half"):
        publish(run, tmp_path / "large")
    assert not [file for file in tmp_path.iterdir() if "large" in file.name]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_left_out_changes_no_return(name):
    """All tensors of a trained learner differ from those of a new one; the adapter must not miss those left out."""
    config = small(name)
    learner, generator = make_learner(config), torch.Generator().manual_seed(0)
    state = {
        name: value + 0.1 * torch.rand(value.shape, generator=generator, dtype=value.dtype)
        if value.is_floating_point()
        else value
        for name, value in learner.state_dict().items()
    }
    learner.load_state_dict(state)
    left_out = config.algorithm.training_only
    kept = {name: value for name, value in state.items() if not name.startswith(left_out)}
    assert len(kept) < len(state) or name.endswith("/maml")
    again = make_learner(config)
    restore(again, checkpoint.Checkpoint(None, 1, kept, {"left_out": list(left_out)}))
    tasks = config.env.load_family().space.sample(2, "held_out", np.random.default_rng(0))
    returns = [
        measure(x.adapter(), lambda n: make_env(config, n), tasks, steps=1, episodes=2, seed=0).returns
        for x in (learner, again)
    ]
    np.testing.assert_array_equal(*returns)
    if len(kept) < len(state):
        with pytest.raises(UserError, match="got nothing, expected"):
            restore(again, checkpoint.Checkpoint(None, 1, kept, {}))


@pytest.mark.slow
def test_half_the_bits_are_measured_and_said(run, tmp_path):
    made = Entry.read(publish(run, tmp_path / "mine", episodes=6, half=True))
    whole, kept = open_run(run).checkpoint().tensors, made.run.checkpoint().tensors
    for name, value in kept.items():
        assert value.dtype == (torch.float16 if name.startswith("meta.") else whole[name].dtype)
    learner = make_learner(made.run.config)
    restore(learner, made.run.checkpoint())
    state = learner.state_dict()
    assert all(torch.equal(state[name], value.half().float()) for name, value in whole.items() if "meta." in name)
    assert made.evaluation.episodes == 6
    assert "weights of 16 bits" in (made.run.path / "README.md").read_text()
    found, expected = try_again(made, 3)
    assert expected.holds(found)


# ---- what five tasks are expected to return


def made_up(scores, family="HalfCheetahMass", values=None):
    """An evaluation of episodes (M, K) after one step."""
    space = make_family(family).space
    count = len(scores)
    tasks = space.sample(count, "held_out", np.random.default_rng(0)) if values is None else space.tasks(**values)
    returns = np.stack([np.zeros_like(scores), scores])
    steps = np.full((2, count), 100)
    return Evaluation(EnvConfig(family=family), tasks, returns, steps, dt=0.05, seed=0), tasks


def test_the_interval_by_hand():
    """Tasks of 10 and 14 (two episodes each, apart by 2): s² = 8, e² = 2, M = K = 2; one new task of one episode."""
    evaluation, tasks = made_up(np.array([[9.0, 11.0], [13.0, 15.0]]))
    expected = predicted(evaluation, tasks[0], 1, confidence=0.5)
    variance = 8 * (1 + 1 / 2) + 2 * (1 / 1 - 1 / 2) / 1
    assert expected.value == 12.0
    assert expected.ends[1] - 12.0 == pytest.approx(1.0 * variance**0.5)  # t of 1 degree of freedom: tan(pi / 4)


def test_draws_of_a_few_tasks_are_held_against_their_own():
    """Forward 100 and 102, backward -50 and -48: s² = 2 with 2 degrees of freedom."""
    values = {"direction": [1.0, 1.0, -1.0, -1.0]}
    evaluation, tasks = made_up(np.array([[100.0], [102.0], [-50.0], [-48.0]]), "HalfCheetahDir", values)
    chosen = tasks.space.tasks(direction=[1.0, 1.0, -1.0])
    expected = predicted(evaluation, chosen, 1, confidence=0.5)
    assert expected.value == pytest.approx((101 + 101 - 49) / 3)
    variance = 2 * (1 / 3 + (2 / 3) ** 2 / 2 + (1 / 3) ** 2 / 2)
    assert expected.ends[1] - expected.value == pytest.approx(0.816497 * variance**0.5, rel=1e-5)  # t(0.75; 2)


def test_as_many_trials_are_held_as_promised():
    rng, held, trials = np.random.default_rng(0), 0, 1000
    for _ in range(trials):
        means = rng.normal(200, 30, 25)
        scores, new = means[:20, None] + rng.normal(0, 40, (20, 8)), means[20:, None] + rng.normal(0, 40, (5, 2))
        evaluation, tasks = made_up(scores)
        held += predicted(evaluation, tasks[:5], 2, confidence=0.9).holds(float(new.mean()))
    assert 0.87 < held / trials < 0.93


@pytest.mark.slow
def test_the_same_policy_is_held_and_another_is_not(published):
    found, expected = try_again(published, 3)
    assert expected.holds(found)
    other = dataclasses.replace(published.evaluation, returns=published.evaluation.returns + 10)
    published.__dict__["evaluation"] = other
    found, expected = try_again(published, 3)
    assert not expected.holds(found)


# ---- licences


@pytest.mark.parametrize("name", FAMILIES.names())
def test_every_robot_that_ships_says_its_licence(name):
    assert FAMILIES.load(name).licence.split(",")[0].split(";")[0] in ("MIT", "Apache-2.0", "BSD-3-Clause")


@pytest.mark.parametrize(("package", "family"), [("gymnasium", "HalfCheetahMass"), ("metaworld", "MetaWorldML10")])
def test_the_licences_are_those_of_the_packages(package, family):
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    text = next(file for file in files if "LICENSE" in file.name).read_text()
    licence = FAMILIES.load(family).licence
    assert "MIT License" in text
    holders = licence.split("; ")[0].removeprefix("MIT, ").split(" and ")
    assert all(holder in text for holder in holders)


def test_the_run_of_an_entry_is_marked(run):
    assert not open_run(run).published
    (run / "entry.json").write_text("{}")
    assert open_run(run).published
    with pytest.raises(UserError, match="not what metarl wrote"):
        Entry.read(run)
    (run / "entry.json").write_text('{"format": "metarl-zoo-1", "iteration": 1}')
    with pytest.raises(UserError, match=r"not what metarl wrote \(it has no env_steps, wall_seconds, .*no_onnx\)"):
        Entry.read(run)
