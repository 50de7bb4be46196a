"""metarl: meta-reinforcement learning for robotics.

    import metarl

    run = metarl.train(metarl.load_config("half_cheetah_dir/promp", ["iterations=60"]))
    print(metarl.evaluate(run).sentence)
    env = metarl.make("HalfCheetahMass", num_envs=400)

What a script touches is one import away and loaded when it is used: `import metarl` itself imports neither PyTorch nor
MuJoCo. Behind it are three packages:

    metarl.envs      robots and what varies about them: tasks, splits, batched physics
    metarl.agents    what learns inside one task: policies, memories, inner loops, Stable-Baselines3
    metarl           what learns across tasks: ProMP, MAML-TRPO, RL², Reptile, runs, evaluation, the command line
"""

import importlib

_PUBLIC = {
    "config": "AlgorithmConfig Config load_config",
    "errors": "UserError",
    "runs.run": "Run open_run",
    "training.train": "train",
    "algorithms.base": "Learner Spec",
    "algorithms.learners": "make_env make_learner training_env",
    "algorithms.restore": "load_adapter",
    "algorithms.sampling": "collect episode",
    "agents": "Adapter Decision Memory Rollout",
    "agents.sb3.vec_env": "VectorEnvAdapter",
    "envs": "Family Parameter TaskSpace Tasks TrialEnv TrialVectorEnv Write make make_family",
    "evaluation.compare": "compare=compare_runs",
    "evaluation.evaluate": "evaluate=evaluate_run",
    "evaluation.result": "Evaluation",
    "util.plugins": "register",
}
_HOMES = {}  # name -> (module, what it is called there)
for _module, _names in _PUBLIC.items():
    for _name, _, _there in (each.partition("=") for each in _names.split()):
        _HOMES[_name] = (_module, _there or _name)
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str):
    if name == "__version__":
        value = importlib.import_module(f"{__name__}.util.distribution").version()
    elif name in _HOMES:
        module, there = _HOMES[name]
        value = getattr(importlib.import_module(f"{__name__}.{module}"), there)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
