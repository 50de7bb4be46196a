"""An algorithm of Stable-Baselines3 without an environment, whose weights go in and come out as values.

    model = build("PPO", {"learning_rate": 3e-4}, observation_space, action_space, np.random.SeedSequence(0))
    params = weights(model)                          # {"policy.mlp_extractor.policy_net.0.weight": (64, 17), ...}
    load(model, params, fresh(model))                # these weights, and optimizers that have seen nothing

Settings are those of the algorithm's constructor, by SB3's own names, as far as YAML can write them: `policy_kwargs`
may name its `activation_fn` ("Tanh"), and a number for `action_noise` is the deviation of Gaussian noise on actions
scaled to [-1, 1].
SB3's files are never read or written: they can run code.
"""

import copy
import inspect
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import sb3_contrib
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from metarl.util.text import close

from ..global_random import global_generators
from ..nn.params import Params

ALGORITHMS = {
    **{name: getattr(stable_baselines3, name) for name in ("A2C", "DDPG", "PPO", "SAC", "TD3")},
    **{name: getattr(sb3_contrib, name) for name in ("RecurrentPPO", "TQC", "TRPO")},
}
"""Algorithms for continuous actions that learn by gradients."""

_OURS = ("env", "seed", "verbose", "tensorboard_log", "stats_window_size", "monitor_wrapper")
_CLASSES = ("replay_buffer_class", "rollout_buffer_class")
_ON_POLICY_LENGTH = "n_steps"
_LEAST = {"n_epochs": 1, "batch_size": 1, "train_freq": 1, "action_noise": 0}


class TrainingProgress(NamedTuple):
    """What an algorithm keeps of its learning besides weights: states of its optimizers, and how often it updated."""

    optimizers: tuple[dict[str, Any], ...]
    updates: int


def check(algorithm: str, settings: dict[str, Any]) -> None:
    """ValueError unless there is such an algorithm with such settings."""
    if algorithm not in ALGORITHMS:
        choices = ", ".join(ALGORITHMS) + close(algorithm, ALGORITHMS)
        raise ValueError(f"got algorithm {algorithm!r}, expected one of {choices}")
    kind = ALGORITHMS[algorithm]
    known = [name for name in inspect.signature(kind).parameters if not name.startswith("_") and name not in _OURS]
    known = [name for name in known if name not in _CLASSES]
    if not issubclass(kind, OffPolicyAlgorithm):
        if _ON_POLICY_LENGTH in settings:
            raise ValueError(f"got n_steps for {algorithm}, expected none: it learns from all episodes of a step")
        known = [name for name in known if name != _ON_POLICY_LENGTH]
    for name in settings:
        if name not in known:
            raise ValueError(f"got {name!r}, expected a setting of {algorithm}{close(name, known)}")
    if settings.get("use_sde"):
        raise ValueError("got use_sde, expected false: state-dependent noise is not a Gaussian of its own at each step")
    if settings.get("policy", _policy(kind)) != _policy(kind):
        raise ValueError(f"got policy {settings['policy']!r}, expected {_policy(kind)}: an observation is a vector")
    if not isinstance(settings.get("policy_kwargs", {}), dict):
        raise ValueError(f"got policy_kwargs {settings['policy_kwargs']!r}, expected keys and values")
    for name, least in _LEAST.items():
        value = settings.get(name, least)
        value = value[0] if name == "train_freq" and isinstance(value, list) and value else value  # [4, "step"]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= least):
            raise ValueError(f"got {name} {settings[name]!r}, expected {least} or more")


def build(
    algorithm: str, settings: dict[str, Any], observation_space: Any, action_space: Any, seed: np.random.SeedSequence
) -> BaseAlgorithm:
    """The algorithm with freshly drawn weights.

    Args:
        algorithm: its name.
        settings: by SB3's own names.
        observation_space, action_space: Gymnasium's, of one simulation.
        seed: of the weights.
    """
    check(algorithm, settings)
    kind = ALGORITHMS[algorithm]
    kwargs = {"policy": _policy(kind), "device": "cpu", **copy.deepcopy(settings)}  # SB3 writes into some
    if isinstance(kwargs.get("train_freq"), list):
        kwargs["train_freq"] = tuple(kwargs["train_freq"])  # YAML has no tuples
    kwargs.pop("action_noise", None)  # drawn by the adapter, from the generator it is given
    if "policy_kwargs" in kwargs:
        kwargs["policy_kwargs"] = _policy_kwargs(kwargs["policy_kwargs"])
    if "target_entropy" in inspect.signature(kind).parameters and kwargs.get("target_entropy", "auto") == "auto":
        kwargs["target_entropy"] = -float(np.prod(action_space.shape))  # SB3 would ask the environment
    try:
        with global_generators(seed):
            # without an environment, as SB3 makes an algorithm that it loads
            model = kind(env=None, _init_setup_model=False, **kwargs)
            model.observation_space, model.action_space, model.n_envs = observation_space, action_space, 1
            model._setup_model()
            if isinstance(model, OffPolicyAlgorithm):
                model._convert_train_freq()
    except (TypeError, ValueError, AssertionError, AttributeError, KeyError) as error:
        raise ValueError(f"{algorithm} does not take these settings: {error}") from error
    model.set_logger(Logger(folder=None, output_formats=[]))
    model.policy.set_training_mode(False)
    return model


def weights(model: BaseAlgorithm) -> Params:
    """Every tensor that the algorithm learns: of its networks, target networks too, and of its entropy coefficient."""
    _, variables = model._get_torch_save_params()
    found = {f"policy.{name}": value for name, value in model.policy.state_dict().items()}
    found |= {name: getattr(model, name) for name in variables}
    return {name: value.detach().clone() for name, value in found.items()}


def progress(model: BaseAlgorithm) -> TrainingProgress:
    """Of the learning so far. Its tensors are the optimizers' own, until others are loaded."""
    return TrainingProgress(tuple(optimizer.state_dict() for optimizer in _optimizers(model)), model._n_updates)


def fresh(model: BaseAlgorithm) -> TrainingProgress:
    """No learning so far."""
    return TrainingProgress(tuple({**o.state_dict(), "state": {}} for o in _optimizers(model)), 0)


@torch.no_grad()
def load(model: BaseAlgorithm, params: Params, learning: TrainingProgress) -> None:
    """Put weights and the state of the learning into the algorithm; both stay as they are."""
    targets = {f"policy.{name}": value for name, value in model.policy.state_dict().items()}
    targets |= {name: getattr(model, name) for name in model._get_torch_save_params()[1]}
    for name, value in targets.items():
        value.copy_(params[name])
    for optimizer, state in zip(_optimizers(model), learning.optimizers, strict=True):
        optimizer.load_state_dict(copy.deepcopy(state))  # which would else be updated in place
    model._n_updates = learning.updates


def _optimizers(model: BaseAlgorithm) -> list[torch.optim.Optimizer]:
    found = (attrgetter(name)(model) for name in model._get_torch_save_params()[0])
    return [thing for thing in found if isinstance(thing, torch.optim.Optimizer)]


def _policy(kind: type[BaseAlgorithm]) -> str:
    return next(name for name in ("MlpPolicy", "MlpLstmPolicy") if name in kind.policy_aliases)


def _policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """With the class of the activation function for its name."""
    name = kwargs.get("activation_fn")
    if name is None:
        return kwargs
    kind = getattr(torch.nn.modules.activation, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise ValueError(f"got activation_fn {name!r}, expected the name of one of PyTorch's, such as Tanh or ReLU")
    return {**kwargs, "activation_fn": kind}


def policy_part(params: Params) -> Params:
    """Those of the weights that belong to the policy's module."""
    return {name: value for name, value in params.items() if name.startswith("policy.")}
