"""What a run has trained, out of its folder.

    adapter = load_adapter(open_run(Path("runs/first")))          # as of the newest intact checkpoint
    restore(learner, run.checkpoint())                            # into a learner of the same config
"""

import torch

from metarl.agents import Adapter
from metarl.algorithms.base import Learner, Spec
from metarl.algorithms.learners import make_learner
from metarl.config import Config
from metarl.runs.checkpoint import Checkpoint
from metarl.runs.run import Run
from metarl.util.errors import UserError


def load_adapter(run: Run, saved: Checkpoint | None = None, config: Config | None = None) -> Adapter:
    """What was trained, as of a checkpoint (the newest intact one), under the settings `config` (the run's own)."""
    learner = make_learner(config or run.config, spec_of(run))
    restore(learner, saved or run.checkpoint())
    return learner.adapter()


def spec_of(run: Run) -> Spec | None:
    """What the run keeps of its environment; None of a run of before, which did not."""
    kept = run.spec()
    try:
        return None if kept is None else Spec.from_json(kept)
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:  # the last of gymnasium's spaces
        advice = "restore a copy, or remove it"
        raise UserError(f"{run.path}/spec.json: not what metarl wrote ({error!r}); {advice}") from error


def restore(learner: Learner, saved: Checkpoint) -> None:
    """Put a checkpoint's tensors into a learner of the same config.

    What a published one left out stays as it was drawn, and its weights may have 16 bits.
    """
    # until 2026-11 the normalizers' tensors were called "normaliser"
    tensors = {name.replace("normaliser", "normalizer"): value for name, value in saved.tensors.items()}
    left_out = tuple(saved.meta.get("left_out", ()))
    if left_out:
        drawn = {name: value for name, value in learner.state_dict().items() if name.startswith(left_out)}
        tensors = drawn | tensors
    if saved.meta.get("half"):
        tensors = {name: value.float() if value.dtype == torch.float16 else value for name, value in tensors.items()}
    try:
        learner.load_state_dict(tensors)
    except ValueError as error:
        raise UserError(f"{saved.path}: {error}") from error
