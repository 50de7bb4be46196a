"""Which simulator an environment gets, as a value: MuJoCo Warp and its settings.

    physics = Warp(device="cuda", nconmax=64)
    physics.require()                                     # UserError where it cannot run
    simulator = physics("Go1Velocity", model, 4096)
"""

from dataclasses import dataclass
from typing import Literal

import mujoco

from metarl.util.errors import UserError
from metarl.util.optional import Extra, MissingExtra

from ..simulator import Simulator

GPU = Extra("gpu", "mujoco_warp")


@dataclass(frozen=True)
class Warp:
    """Makes a `WarpSimulator`.

    Attributes:
        device: "cuda", the first NVIDIA GPU, or "cpu".
        nconmax: contacts that there is room for, on average over the simulations; None: MuJoCo Warp's own guess.
        njmax: rows of constraints that there is room for in each simulation; None: MuJoCo Warp's own guess.
        deterministic: the same bits in every run on one GPU, for which contacts and sums are put in order. The CPU's
            are always the same.
    """

    device: Literal["cuda", "cpu"] = "cuda"
    nconmax: int | None = None
    njmax: int | None = None
    deterministic: bool = False

    def require(self) -> None:
        """Raise UserError if MuJoCo Warp is not installed, or there is no GPU that it is to run on."""
        try:
            GPU.require("env.physics warp")
        except MissingExtra as error:
            raise UserError(str(error)) from error
        import warp

        warp.config.log_level = warp.LOG_ERROR  # no word of every kernel that is compiled
        if self.device == "cuda":
            _require_cuda()

    def __call__(self, family: str, model: mujoco.MjModel, nsim: int) -> Simulator:
        """nsim simulations of a model; family is whose it is, for messages."""
        self.require()
        from .simulator import WarpSimulator

        return WarpSimulator(family, model, nsim, self)


def _require_cuda() -> None:
    import torch
    import warp

    problem = "env.warp.device: got cuda, expected cpu"
    if not warp.is_cuda_available():
        raise UserError(f"{problem}: Warp finds no NVIDIA GPU with a driver here")
    if not torch.cuda.is_available():
        raise UserError(f"{problem}: this PyTorch {torch.__version__} is built without CUDA, see pytorch.org")
