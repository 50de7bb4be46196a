"""Each entry of the zoo still does what its card says, is small, and has the card that the program writes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.evaluation.result import Evaluation
from metarl.runs import checkpoint
from metarl.zoo import Entry
from metarl.zoo.agreement import try_again
from metarl.zoo.card import card
from metarl.zoo.figure import within_episodes
from metarl.zoo.publishing import MOST_BYTES
from metarl.zoo.table import with_table

ZOO = Path(__file__).parents[2] / "zoo"
NAMES = sorted(file.parent.name for file in ZOO.glob("*/entry.json"))


TOO_WIDE = {"metaworld_ml10"}
"""Five held-out tasks differ more in their returns than this policy does from a broken one."""


@pytest.fixture(params=NAMES)
def entry(request):
    return Entry.read(ZOO / request.param)


@pytest.fixture
def runnable(entry):
    """An entry whose robot is installed; nothing may write there."""
    extra = entry.run.load_family().extra
    if extra and not extra.installed():
        pytest.skip(f"{entry.run.config.env.family} needs {extra.command}")
    return entry


@pytest.mark.slow
def test_the_policy_does_what_its_card_says(runnable):
    found, expected = try_again(runnable)
    assert expected.holds(found), f"{found:.1f} in 5 held-out tasks; expected {expected}"


@pytest.mark.slow
def test_a_broken_policy_is_noticed(runnable, tmp_path):
    """Noise as large as the weights themselves."""
    if runnable.run.path.name in TOO_WIDE:
        pytest.skip("the interval of five held-out tasks holds a broken policy's return as well")
    broken = shutil.copytree(runnable.run.path, tmp_path / "broken")
    saved = checkpoint.load_latest(broken / "checkpoints")
    shutil.rmtree(saved.path)
    generator, names = torch.Generator().manual_seed(0), runnable.run.config.algorithm.weights
    tensors = {name: x.float() if x.dtype == torch.float16 else x for name, x in saved.tensors.items()}
    for name, value in tensors.items():
        if name.startswith(names) and "log_std" not in name and "step_sizes" not in name:
            noise = torch.randn(value.shape, generator=generator)
            tensors[name] = value + value.square().mean().sqrt() * noise
    meta = {name: saved.meta[name] for name in ("iteration", "env_steps", "left_out")}
    checkpoint.save(broken / "checkpoints", tensors, meta)
    found, expected = try_again(Entry.read(broken))
    assert not expected.holds(found), f"{found:.1f} in 5 held-out tasks; the policy is broken, and {expected} holds it"


def test_it_is_small_and_whole(entry):
    assert entry.size <= MOST_BYTES
    names = {file.name for file in entry.files}
    assert {"README.md", "adaptation.png", "state.safetensors", "held_out.json"} <= names
    assert ("policy.onnx" in names) == (entry.about["no_onnx"] is None)
    assert (entry.run.path / "adaptation.png").stat().st_size < 60_000
    assert entry.evaluation.origin["checkpoint"]["sha256"] == entry.run.checkpoint().meta["sha256"]
    assert entry.evaluation.tasks == entry.run.tasks("held_out")


def test_its_card_is_what_the_program_writes(entry):
    assert (entry.run.path / "README.md").read_text() == card(entry, entry.run.path)


def test_the_table_is_what_the_program_writes():
    page = (ZOO / "README.md").read_text()
    assert page == with_table(page, ZOO)
    assert all(f"[{name}]({name}/README.md)" in page for name in NAMES)


def test_the_figure_of_a_memory_is_the_reward_within_each_episode():
    [file] = (ZOO / "quadrotor_wind" / "evaluations").glob("held_out-*.json")
    evaluation = Evaluation.load(file)
    [axes] = within_episodes(evaluation).axes
    assert axes.get_xlabel() == "simulated seconds within the episode"
    assert len(axes.lines) == len(evaluation.rates)
    seconds, rates = axes.lines[0].get_data()
    assert seconds[[0, -1]] == pytest.approx([6.3 / 20 / 2, 6.3 - 6.3 / 20 / 2])  # 315 steps of 0.02 s in 20 parts
    assert rates == pytest.approx(np.nanmean(evaluation.rates[0], axis=0))
