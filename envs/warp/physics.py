"""Which simulator an environment gets, as a value: MuJoCo Warp and its settings.

    physics = Warp(device="cuda", nconmax=64)
    physics.require()                                     # UserError where it cannot run
    simulator = physics("Go1Velocity", model, 4096)
"""

import os
from dataclasses import dataclass
from typing import Any, Literal, cast

import mujoco

from metarl.util.errors import UserError
from metarl.util.machine import gpu_of_rank
from metarl.util.optional import Extra, MissingExtra
from metarl.util.plugins import find

from ..family import Family
from ..simulator import Simulator

GPU = Extra("gpu", "mujoco_warp")
DEVICE = "METARL_WARP_DEVICE"
"""Environment variable that goes before a config's device: for runs that were trained on another machine."""


@dataclass(frozen=True)
class Warp:
    """Makes a `WarpSimulator`.

    Attributes:
        device: "cuda", the first NVIDIA GPU, or under torchrun that of this rank; or "cpu".
        nconmax: contacts that there is room for, on average over the simulations; None: MuJoCo Warp's own guess.
        njmax: rows of constraints that there is room for in each simulation; None: MuJoCo Warp's own guess.
        deterministic: the same bits in every run on one GPU, for which contacts and sums are put in order. The CPU's
            are always the same.
    """

    device: Literal["cuda", "cpu"] = "cuda"
    nconmax: int | None = None
    njmax: int | None = None
    deterministic: bool = False

    @classmethod
    def of(cls, device: str, **settings: Any) -> "Warp":
        """From the settings of a config, on the device that the environment names if it does.

        Raises:
            UserError: the environment names no device.
        """
        device = os.environ.get(DEVICE, device)
        if device not in ("cuda", "cpu"):
            raise UserError(f"{DEVICE}: got {device!r}, expected cuda or cpu")
        return cls(cast(Literal["cuda", "cpu"], device), **settings)

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

    @property
    def place(self) -> str:
        """The device by its number: "cuda:0"."""
        import torch

        return f"cuda:{gpu_of_rank(torch.cuda.device_count())}" if self.device == "cuda" else "cpu"

    def tensors(self, family: Family) -> bool:
        """Whether a family's environment can be a `TensorEnv`, with all of a step on the device."""
        return family.batched

    def __call__(self, family: str, model: mujoco.MjModel, nsim: int) -> Simulator:
        """nsim simulations of a model; family is whose it is, for messages."""
        self.require()
        return find("metarl.envs.warp.simulator:WarpSimulator")(family, model, nsim, self)


def _require_cuda() -> None:
    import torch
    import warp

    problem, way = "env.warp.device: got cuda, expected cpu", f"{DEVICE}=cpu in the environment opens the run here"
    if not warp.is_cuda_available():
        raise UserError(f"{problem}: Warp finds no NVIDIA GPU with a driver here; {way}")
    if not torch.cuda.is_available():
        raise UserError(f"{problem}: PyTorch {torch.__version__} is built without CUDA, see pytorch.org; {way}")
    try:
        gpu_of_rank(torch.cuda.device_count())
    except ValueError as error:
        raise UserError(f"env.warp.device: {error}") from error
