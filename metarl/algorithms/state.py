"""The state of a learner as flat tensors, and back; on the processor, wherever the learner is.

    state = trained_state(params, optimizer) | normalizers_state(learner, ("normalizer",))
    check_state(state, saved)                # ValueError names what does not fit
    load_trained(params, optimizer, saved)
"""

from collections.abc import Sequence

import numpy as np
import torch

from metarl.agents import Normalizer, Params


def check_state(expected: dict[str, torch.Tensor], got: dict[str, torch.Tensor]) -> None:
    """ValueError unless the two have the same names, shapes and types."""
    for name in sorted(expected.keys() | got.keys()):
        want, have = (
            f"{tuple(x[name].shape)} {x[name].dtype}" if name in x else "nothing" for x in (expected, got)
        )
        if want != have:
            raise ValueError(f"{name}: got {have}, expected {want}: the weights belong to another configuration")


def on_processor(tensors: Params) -> dict[str, torch.Tensor]:
    """Copies."""
    return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def trained_state(params: Params, optimizer: torch.optim.Adam) -> dict[str, torch.Tensor]:
    """Weights and what Adam keeps of each."""
    weights = on_processor({f"params.{name}": value for name, value in params.items()})
    return weights | adam_state(optimizer, params)


@torch.no_grad()
def load_trained(params: Params, optimizer: torch.optim.Adam, state: dict[str, torch.Tensor]) -> None:
    for name, value in params.items():
        value.copy_(state[f"params.{name}"])
    load_adam_state(optimizer, params, state)


def adam_state(optimizer: torch.optim.Adam, params: Params) -> dict[str, torch.Tensor]:
    """Adam's moments of each parameter, and the number of its steps."""
    state = {}
    for name, slot in zip(params, _slots(optimizer, params)):
        state[f"adam.first.{name}"] = slot["exp_avg"]
        state[f"adam.second.{name}"] = slot["exp_avg_sq"]
        state["adam.step"] = slot["step"]
    return on_processor(state)


def load_adam_state(optimizer: torch.optim.Adam, params: Params, state: dict[str, torch.Tensor]) -> None:
    for name, slot in zip(params, _slots(optimizer, params)):
        slot["exp_avg"].copy_(state[f"adam.first.{name}"])
        slot["exp_avg_sq"].copy_(state[f"adam.second.{name}"])
        slot["step"].copy_(state["adam.step"])


def _slots(optimizer: torch.optim.Adam, params: Params) -> list[dict[str, torch.Tensor]]:
    """Adam's state of each parameter, in their order; made if no step was taken yet."""
    for value in params.values():
        if not optimizer.state[value]:
            zeros = torch.zeros_like(value, requires_grad=False)
            # a fused step counts on the device
            step = torch.zeros((), device=value.device if optimizer.defaults["fused"] else "cpu")
            optimizer.state[value] = {"step": step, "exp_avg": zeros, "exp_avg_sq": zeros.clone()}
    return [optimizer.state[value] for value in params.values()]


def normalizer_state(name: str, normalizer: Normalizer) -> dict[str, torch.Tensor]:
    return {
        f"{name}.count": torch.tensor(normalizer.count, dtype=torch.float64),
        f"{name}.mean": torch.from_numpy(np.array(normalizer.mean)),
        f"{name}.m2": torch.from_numpy(np.array(normalizer.m2)),
    }


def restored(name: str, normalizer: Normalizer, state: dict[str, torch.Tensor]) -> Normalizer:
    """The normalizer as it was saved."""
    mean, m2 = (state[f"{name}.{part}"].numpy().copy() for part in ("mean", "m2"))
    return Normalizer(float(state[f"{name}.count"]), mean, m2, normalizer.enabled)


def normalizers_state(learner: object, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Of those of its attributes."""
    return {key: value for name in names for key, value in normalizer_state(name, getattr(learner, name)).items()}


def load_normalizers(learner: object, names: Sequence[str], state: dict[str, torch.Tensor]) -> None:
    for name in names:
        setattr(learner, name, restored(name, getattr(learner, name), state))
