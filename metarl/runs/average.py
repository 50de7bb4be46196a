"""The mean of a run's newest checkpoints: a policy that is less at the mercy of its last few updates.

    saved = averaged(run.checkpoints, count=3, weights=("params.",))
    saved.meta["averaged"]                    # [140, 145, 150]
    adapter = load_adapter(run, saved)

Weights are averaged, as stochastic weight averaging does (Izmailov et al. 2018; arXiv:1803.05407). All else, such
as the statistics that scale observations and the state of optimizers, is the newest one's. Whether the mean of weights
is a good policy is to be measured: the checkpoints have to lie close together.
"""

import hashlib
from pathlib import Path
from typing import cast

import torch

from metarl.runs.checkpoint import Checkpoint, Corrupt, iterations, load, load_latest
from metarl.util.errors import UserError


def averaged(directory: Path, count: int, weights: tuple[str, ...]) -> Checkpoint:
    """The newest intact checkpoint, with the mean weights of the newest `count`.

    Args:
        weights: how the names of the tensors that are averaged begin (`AlgorithmConfig.weights`).
    """
    newest = load_latest(directory)
    if count == 1:
        return newest
    chosen = [iteration for iteration in iterations(directory) if iteration <= newest.iteration][-count:]
    if len(chosen) < count:
        raise UserError(
            f"--average: got {count}, expected at most {len(chosen)}, the checkpoints in {directory}; "
            "train with a larger keep_checkpoints to have more"
        )
    try:
        members = [*(load(directory / str(iteration)) for iteration in chosen[:-1]), newest]
    except Corrupt as error:
        raise UserError(f"--average: one of checkpoints {chosen} in {directory} is corrupt ({error})") from error
    tensors = dict(newest.tensors)
    for name, value in tensors.items():
        if name.startswith(weights):
            values = [member.tensors.get(name) for member in members]
            if any(v is None or v.shape != value.shape for v in values):
                raise UserError(f"--average: checkpoints {chosen} in {directory} are not of one network: {name}")
            total = torch.stack(cast("list[torch.Tensor]", values)).sum(0, dtype=torch.float64)
            tensors[name] = (total / count).to(value.dtype)
    sha256 = hashlib.sha256("\n".join(member.meta["sha256"] for member in members).encode()).hexdigest()
    return newest._replace(tensors=tensors, meta=newest.meta | {"sha256": sha256, "averaged": chosen})
