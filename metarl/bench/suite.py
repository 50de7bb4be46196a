"""How much of the time goes into physics: the work of reference, measured as ratios within one run.

40 tasks x 20 episodes x 100 steps of HalfCheetahDir before and after one inner step, a 64 x 64 tanh policy. Physics
alone replays the recorded controls of a closed-loop collection from the same initial states with
`mujoco.batch.Batch.step`, on the same threads, in turn with the collections; `physics share` is the time inside that
call during a whole meta-iteration. ES-MAML and evolved plasticity do the same work: candidates for each of the 40 tasks
around two initializations, before and after one inner step; and 20 genomes that live two episodes in each of 40 tasks.

    result = run()
    result["collection_vs_physics"]        # 1 would be a policy, observations, rewards and resets that cost nothing
    result["families"]["AntDir"]           # 1 would be observations, rewards and bookkeeping that cost nothing

The ratios of the families are those of 200 simulations with tasks of training under random actions, without a policy,
without resets and without ends of episodes. Left out are Meta-World and extras that are not installed.
"""

import contextlib
import functools
import resource
import statistics
import tempfile
import time
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from metarl.algorithms.base import Learner, Spec
from metarl.algorithms.baselines import RandomAdapter
from metarl.algorithms.es_maml_config import ESMAMLConfig
from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.plasticity_config import PlasticityConfig
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.sampling import collect
from metarl.bench import evaluation as bench_evaluation
from metarl.bench import metaworld as bench_metaworld
from metarl.bench import off_policy as bench_off_policy
from metarl.bench import recurrent as bench_recurrent
from metarl.bench.physics import record, replay, steps_vs_physics, watched
from metarl.config import Config, EnvConfig
from metarl.envs import FAMILIES, BatchEnv, make, make_family
from metarl.envs.family import endless
from metarl.runs.run import threads
from metarl.util.optional import MissingExtra
from metarl.util.rng import stream
from metarl.util.torch_runtime import keep_freed_memory, torch_threads

ROUNDS = 5
SIMULATIONS = 200  # of each family
# whose episodes end early under random actions
FALLING = ("Walker2dDir", "Walker2dRandParams", "AntDir", "Go1Velocity", "HumanoidDir", "HopperRandParams")


def run(rounds: int = ROUNDS, config: Config | None = None) -> dict[str, Any]:
    """Measure; see the module. ``rounds`` repetitions of everything, medians reported."""
    keep_freed_memory()
    config = config or Config(env=EnvConfig(family="HalfCheetahDir", action_scale=10), algorithm=ProMPConfig())
    torch.set_num_threads(threads(config))
    env = training_env(config)
    promp_learner = make_learner(config, Spec.of(env))
    others = {"maml_trpo": MAMLConfig(), "es": ESMAMLConfig(), "plasticity": PlasticityConfig()}
    learners = {"promp": promp_learner} | {
        name: make_learner(config.model_copy(update={"algorithm": algorithm}), Spec.of(env))
        for name, algorithm in others.items()
    }
    result = {"threads": torch.get_num_threads(), "simulations": env.num_envs, "horizon": env.horizon}
    result |= collection_vs_physics(config, env, promp_learner, rounds)
    for name, learner in learners.items():
        seconds, share = iteration(env, learner, rounds)
        result |= {f"{name}_seconds": seconds, f"{name}_physics_share": share}
    result["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result |= families() | lived_physics_share() | sb3_vecenv_vs_subproc()
    result |= bench_recurrent.run(rounds) | bench_off_policy.run(rounds)
    return result | bench_metaworld.run() | bench_evaluation.run()


def collection_vs_physics(config: Config, env: BatchEnv, learner: Learner, rounds: int) -> dict[str, float]:
    """Time of open-loop physics over time of a closed-loop collection, in pairs."""
    adapter = learner.adapter()
    tasks = env.space.sample(config.meta_batch, "train", np.random.default_rng(stream(0, "bench")))
    env.set_tasks(tasks.repeat(config.episodes))
    state = adapter.start(len(tasks))
    ratios, speeds = [], []
    for i in range(rounds + 1):
        seed = stream(0, "bench", i)
        recording = record(env, lambda seed=seed: collect(env, adapter, state, config.episodes, seed))
        start = time.perf_counter()
        collect(env, adapter, state, config.episodes, seed)
        closed = time.perf_counter() - start
        opened = replay(env, recording)
        if i:  # the first pair warms up
            ratios.append(opened / closed)
            speeds.append(env.num_envs * env.horizon / closed)
    ratio, speed = statistics.median(ratios), statistics.median(speeds)
    return {"collection_vs_physics": ratio, "collection_steps_per_second": speed}


def iteration(env: BatchEnv, learner: Learner, rounds: int) -> tuple[float, float]:
    """Median seconds of a meta-iteration, and median share of it spent in physics."""
    seconds, shares, physics = [], [], [0.0]

    def timed(step, ctrl, ids):
        start = time.perf_counter()
        step()
        physics[-1] += time.perf_counter() - start

    with watched(env, timed):
        for i in range(rounds + 1):
            physics.append(0.0)
            start = time.perf_counter()
            learner.iterate(env, i)
            elapsed = time.perf_counter() - start
            if i:
                seconds.append(elapsed)
                shares.append(physics[-1] / elapsed)
    return statistics.median(seconds), statistics.median(shares)


def families(
    names: Iterable[str] | None = None, rounds: int = ROUNDS, seconds: float = 0.15
) -> dict[str, dict[str, float]]:
    """{"families": {name: time of open-loop physics over time of the environment's steps}}, medians of rounds.

    Each round takes about seconds for either, on all cores.
    """
    ratios = {}
    for name in FAMILIES.names() if names is None else names:
        family = make_family(name)
        if not (family.batched and family.actuated):  # Meta-World is measured apart
            continue
        try:
            env = BatchEnv(endless(family), SIMULATIONS, horizon=2**31, autoreset_mode=AutoresetMode.DISABLED)
        except MissingExtra:
            continue
        ratios[name] = steps_vs_physics(env, rounds, seconds)[0]
        env.close()
    return {"families": ratios}


def lived_physics_share(names: Iterable[str] = FALLING) -> dict[str, Any]:
    """{"lived_physics_share": {name: steps of living episodes over steps that the physics took, "least": ...}}.

    Of collections of one episode in each of 200 simulations with tasks of training, under random actions.
    """
    shares = {}
    for name in names:
        try:
            env = cast(BatchEnv, make(name, SIMULATIONS, autoreset_mode=AutoresetMode.DISABLED))
        except MissingExtra:
            continue
        env.set_tasks(env.space.sample(SIMULATIONS, "train", np.random.default_rng(stream(0, "bench"))))
        adapter = RandomAdapter(env.single_action_space.low, env.single_action_space.high)
        taken = [0]

        def counted(step, ctrl, ids, taken=taken):
            taken[0] += SIMULATIONS if ids is None else len(ids)
            step()

        with watched(env, counted):
            rollout = collect(env, adapter, None, 1, stream(0, "bench"))
        shares[name] = int(rollout.valid.sum()) / taken[0]
        env.close()
    return {"lived_physics_share": shares | ({"least": min(shares.values())} if shares else {})}


@torch_threads(1)  # as SB3's users have it: more are slower for such small networks
def sb3_vecenv_vs_subproc(rounds: int = 3, num_envs: int = 4, num_steps: int = 256) -> dict[str, float]:
    """Speed of SB3's PPO on HalfCheetahDir through our VecEnv, over that on HalfCheetah-v5 in SB3's SubprocVecEnv.

    Both with PPO's own settings and as many simulations; a round is one `learn` of num_envs * num_steps steps for
    either, in turn, and the medians of their speeds are compared.
    """
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import SubprocVecEnv

    from metarl.agents.global_random import global_generators
    from metarl.agents.sb3.vec_env import VectorEnvAdapter

    speeds: dict[str, list[float]] = {"sb3_vecenv": [], "sb3_subproc": []}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), global_generators(stream(0, "bench")):
        # in a folder of their own, for MuJoCo's log of Gymnasium's model
        theirs = SubprocVecEnv([functools.partial(gymnasium.make, "HalfCheetah-v5")] * num_envs)
        try:
            ours = VectorEnvAdapter(
                make("HalfCheetahDir", num_envs, horizon=1000, autoreset_mode=AutoresetMode.SAME_STEP)
            )
            models = [PPO("MlpPolicy", env, n_steps=num_steps, device="cpu") for env in (ours, theirs)]
            for i in range(rounds + 1):
                for speed, model in zip(speeds.values(), models):
                    start = time.perf_counter()
                    options: dict[str, Any] = {"log_interval": None}  # no log; allowed, but not declared
                    model.learn(num_envs * num_steps, reset_num_timesteps=False, **options)
                    if i:  # the first round warms up
                        speed.append(num_envs * num_steps / (time.perf_counter() - start))
        finally:
            theirs.close()
    result = {f"{name}_steps_per_second": statistics.median(speed) for name, speed in speeds.items()}
    ratio = result["sb3_vecenv_steps_per_second"] / result["sb3_subproc_steps_per_second"]
    return {"sb3_vecenv_vs_subproc": ratio} | result


def print_table(result: dict[str, Any]) -> None:
    """The result in words."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", "promise")
    rows = (
        ("collection against open-loop physics", "collection_vs_physics", "{:.2f}", ">= 0.85"),
        ("collection, environment steps/s", "collection_steps_per_second", "{:,.0f}", ""),
        ("ProMP iteration, s", "promp_seconds", "{:.2f}", ""),
        ("ProMP iteration, share in physics", "promp_physics_share", "{:.2f}", ">= 0.65"),
        ("MAML-TRPO iteration, s", "maml_trpo_seconds", "{:.2f}", ""),
        ("MAML-TRPO iteration, share in physics", "maml_trpo_physics_share", "{:.2f}", ">= 0.50"),
        ("ES-MAML iteration, share in physics", "es_physics_share", "{:.2f}", ">= 0.70"),
        ("evolved plasticity's generation, share in physics", "plasticity_physics_share", "{:.2f}", ""),
        ("RL² training against open-loop physics", "rl2_vs_physics", "{:.2f}", ">= 0.30"),
        ("RL² training against sb3-contrib's RecurrentPPO", "rl2_vs_recurrent_ppo", "{:.0f}", ">= 20"),
        ("recurrent SAC, updates/s on one thread", "sac_updates_per_second", "{:.1f}", ""),
        ("recurrent SAC, share of an update but for products", "sac_overhead_share", "{:.2f}", ""),
        ("evaluation, its time over that of its physics", "evaluation_vs_physics", "{:.2f}", "< 3"),
        ("SB3's PPO, our VecEnv against SubprocVecEnv", "sb3_vecenv_vs_subproc", "{:.2f}", ">= 1"),
        ("peak memory, GiB", "peak_memory_gib", "{:.2f}", "< 1.86"),
    )
    for label, key, form, promise in rows:
        table.add_row(label, form.format(result[key]), promise)
    for name, ratio in result["families"].items():
        table.add_row(f"{name}, steps against open-loop physics", f"{ratio:.2f}", ">= 0.85")
    for key, words in (("metaworld_vs_physics", "steps"), ("metaworld_with_resets_vs_physics", "episodes")):
        for name, ratio in result.get(key, {}).items():
            table.add_row(f"Meta-World's {name}, {words} against open-loop physics", f"{ratio:.2f}", ">= 0.70")
    for name, share in result.get("lived_physics_share", {}).items():
        table.add_row(f"{name}, share of physics in living episodes", f"{share:.3f}", ">= 0.99")
    console = Console()
    console.print(f"{result['simulations']} simulations of {result['horizon']} steps on {result['threads']} threads")
    console.print(table)
