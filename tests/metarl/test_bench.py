"""What the benchmark compares is the same work; how long it takes is not tested."""

import json

import numpy as np
import pytest
import torch

from metarl.bench import evaluation as bench_evaluation
from metarl.bench import metaworld as bench_metaworld
from metarl.bench import off_policy as bench_off_policy
from metarl.bench import physics as bench_physics
from metarl.bench import ranks as bench_ranks
from metarl.bench import recurrent as bench_recurrent
from metarl.bench import suite as bench
from metarl.config import load_config
from metarl.envs import FAMILIES, make
from metarl.util.optional import MissingExtra


def test_the_replay_does_the_physics_of_the_steps():
    env = make("Walker2dDir", 3, horizon=100, autoreset_mode="Disabled")
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 3, env.model.nu))
    recording = bench_physics.record(env, lambda: [env.step(action) for action in actions])
    after = env.batch.state.copy()
    assert len(recording.steps) == 6 and not np.array_equal(recording.initial, after)
    assert bench_physics.replay(env, recording) > 0
    np.testing.assert_array_equal(env.batch.state, after)


def test_families_that_run_in_a_batch_have_a_ratio_each(monkeypatch):
    def missing(self):
        raise MissingExtra("the Ant needs a package")

    monkeypatch.setattr(FAMILIES.load("AntDir"), "build", missing)
    result = bench.families(["Navigation2DWind", "AntDir", "MetaWorldML1", "SwimmerVel"], rounds=1, seconds=0.01)
    assert list(result["families"]) == ["Navigation2DWind", "SwimmerVel"]
    assert all(ratio > 0 for ratio in result["families"].values())
    assert json.loads(json.dumps(result)) == result


def test_the_table_shows_families(capsys):
    result = dict.fromkeys(
        ["collection_vs_physics", "collection_steps_per_second", "promp_seconds", "promp_physics_share",
         "maml_trpo_seconds", "maml_trpo_physics_share", "es_physics_share",
         "plasticity_physics_share", "sb3_vecenv_vs_subproc", "rl2_vs_physics",
         "rl2_vs_recurrent_ppo", "sac_updates_per_second",
         "sac_overhead_share", "evaluation_vs_physics", "peak_memory_gib"], 1.0
    )
    bench.print_table({"simulations": 8, "horizon": 9, "threads": 2, "families": {"AntDir": 0.9375}} | result)
    assert "AntDir, steps against open-loop physics" in (out := capsys.readouterr().out) and "0.94" in out


@pytest.mark.slow
def test_sb3_s_ppo_runs_on_both_kinds_of_simulations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = bench.sb3_vecenv_vs_subproc(rounds=1, num_envs=1, num_steps=64)
    ours, theirs = (result[f"sb3_{name}_steps_per_second"] for name in ("vecenv", "subproc"))
    assert result["sb3_vecenv_vs_subproc"] == ours / theirs > 0
    assert not list(tmp_path.iterdir())


def test_recurrent_learners_are_measured_on_the_same_environment():
    config = load_config(bench_recurrent.CONFIG, ["env.horizon=8", "meta_batch=4", "threads=1"])
    result = bench_recurrent.run(rounds=1, config=config, steps=16)
    ours = result["rl2_steps_per_second"]
    assert result["rl2_vs_recurrent_ppo"] == ours / result["recurrent_ppo_steps_per_second"] > 0
    assert 0 < result["rl2_vs_physics"] < 1


def test_of_an_update_the_products_are_measured_alone():
    small = ["env.horizon=8", "meta_batch=2", "threads=1", "algorithm.window=4", "algorithm.burn_in=4"]
    config = load_config(bench_off_policy.CONFIG, [*small, "algorithm.batch_rows=2", "algorithm.memory_size=4"])
    result = bench_off_policy.run(rounds=1, config=config, updates=2)
    assert result["sac_updates_per_second"] > 0 and 0 < result["sac_overhead_share"] < 1
    w = torch.randn(5, 5, requires_grad=True)
    with bench_off_policy.Products() as products:
        (torch.relu(w @ torch.ones(5, 2)) + 1).sum().backward()
    assert len(products.calls) == 2  # forward, and the gradient of w
    assert products.repeat() > 0


def test_an_evaluation_is_measured_beside_the_physics_of_its_own_steps(monkeypatch):
    config = load_config("half_cheetah_mass/promp", ["env.horizon=6", "threads=1"])
    replayed = []

    def replay(env, recording):
        replayed.append((len(recording.steps), recording.steps[0][0].shape, recording.initial[0].copy()))
        return bench_physics.replay(env, recording)

    monkeypatch.setattr(bench_evaluation, "replay", replay)
    result = bench_evaluation.run(tasks=3, config=config)
    rounds = replayed[-bench_evaluation.ROUNDS :]
    assert [(steps, shape) for steps, shape, _ in rounds] == bench_evaluation.ROUNDS * [(6, (3 * 5, 6))]
    assert len({initial.tobytes() for *_, initial in rounds}) == bench_evaluation.ROUNDS  # each from its own states
    assert result["evaluation_vs_physics"] == result["evaluation_seconds"] / result["evaluation_physics_seconds"] > 0


@pytest.mark.slow
@pytest.mark.metaworld
def test_meta_world_is_measured_with_and_without_resets():
    result = bench_metaworld.run(rounds=1, seconds=0.01, simulations=11)
    assert json.loads(json.dumps(result)) == result
    steps, episodes = (result[f"metaworld_{key}vs_physics"] for key in ("", "with_resets_"))
    assert list(steps) == list(episodes) == ["reach-v3", "push-v3", "pick-place-v3", "ML10"]
    assert all(0 < episodes[case] < ratio for case, ratio in steps.items())


@pytest.mark.slow
def test_ranks_are_timed_against_threads():
    small = ("meta_batch=4", "episodes=2", "env.horizon=5")
    result = bench_ranks.run(2, launches=1, iterations=1, overrides=small)
    assert result["rank_efficiency"].keys() == {"promp", "rl2"}
    for name, speeds in result["rank_steps_per_second"].items():
        shared, alone = speeds.values()
        assert result["rank_efficiency"][name] == shared / alone > 0
        # of each iteration, gradients in each of their steps at least
        assert result["rank_iteration"][name]["messages"] > 5 and result["rank_iteration"][name]["bytes"] > 1e5
    bench_ranks.print_table(result)
