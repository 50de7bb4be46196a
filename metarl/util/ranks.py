"""Ranks: several processes that train one learner, each in some of the tasks, on one machine or many.

    torchrun --nproc-per-node 4 -m -- metarl train CONFIG --run DIR

    with joined():                                    # does nothing unless torchrun started this process
        ranks = current()
        own = ranks.share(40)                         # the tasks of this rank, a slice
        gradient = ranks.sum(gradient)                # over all ranks, the same bits in each
        if ranks.first: ...                           # only one writes

A rank owns whole tasks. Whatever is summed over tasks is summed over ranks as well; every random stream is named by the
number of its task or simulation in the whole, never by the rank. So how many ranks there are changes nothing but the
order of floating-point sums.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from metarl.util.arrays import Array, as_numpy, namespace
from metarl.util.errors import UserError
from metarl.util.machine import gpu_of_rank, number_of_ranks
from metarl.util.signals import signal_at_parents_end

Sum = TypeVar("Sum", torch.Tensor, np.ndarray)
WAIT = timedelta(hours=2)  # for the first rank, which evaluates and saves while the others wait


@dataclass(frozen=True)
class Ranks:
    """This process among `size` of them; one alone costs nothing and changes no bit."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of so many tasks are this rank's: each rank has as many as the others, to within one."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, values: Sum) -> Sum:
        """Over all ranks, of the same shape and type; the same bits in each."""
        if self.size == 1:
            return values
        if isinstance(values, np.ndarray):
            return self.sum(torch.from_numpy(np.asarray(values, np.float64).copy())).numpy().reshape(values.shape)
        total = values.detach().contiguous().clone()
        with _told():
            dist.all_reduce(total)
        return total

    def each(self, values: np.ndarray) -> list[np.ndarray]:
        """Float64 arrays of one shape of all ranks, in their order."""
        if self.size == 1:
            return [values]
        parts = [torch.empty(values.shape, dtype=torch.float64) for _ in range(self.size)]
        with _told():
            dist.all_gather(parts, torch.from_numpy(np.asarray(values, np.float64).copy()))
        return [part.numpy() for part in parts]

    def total(self, value: float) -> float:
        """Sum of one number over all ranks."""
        return value if self.size == 1 else float(self.sum(np.array([value], np.float64))[0])

    def sum_all(
        self, values: Mapping[str, torch.Tensor], numbers: Mapping[str, float] | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """Each of several tensors of one type, and of some numbers, summed over all ranks, in one message."""
        numbers = numbers or {}
        if self.size == 1:
            return dict(values), dict(numbers)
        device = next(iter(values.values())).device
        parts = [*values.values(), torch.tensor([*numbers.values()], device=device)]
        flat = self.sum(torch.cat([part.detach().reshape(-1) for part in parts]))
        *sums, last = flat.split([part.numel() for part in parts])
        tensors = {name: part.view_as(value) for (name, value), part in zip(values.items(), sums, strict=True)}
        return tensors, dict(zip(numbers, last.tolist(), strict=True))

    def rows(self, values: np.ndarray, count: int) -> np.ndarray:
        """Of an array (count, ...) of which each rank has its `share` of rows, all of them; float64."""
        if self.size == 1:
            return values
        whole = np.zeros((count, *values.shape[1:]))
        whole[self.share(count)] = values
        return self.sum(whole)

    def mean(self, values: Array) -> float:
        """Mean over all ranks' numbers, any shape, without those that are NaN."""
        values = as_numpy(values)
        if self.size == 1:
            return float(np.nanmean(values))
        sums = self.sum(np.array([np.nansum(values), np.isfinite(values).sum()], np.float64))
        return float(sums[0] / sums[1])

    def mean_std(self, values: Array) -> tuple[Array, Array]:
        """Mean and standard deviation over all ranks' numbers (n,)."""
        if self.size == 1:
            xp = namespace(values)
            return xp.mean(values), xp.std(values)
        count, mean = self.sum(np.array([len(values), float(values.sum())], np.float64))
        mean = float(mean / count)
        return mean, float(self.total(float(((values - mean) ** 2).sum())) / count) ** 0.5

    def from_first(self, value: Any) -> Any:
        """What the first rank has, in all of them."""
        if self.size == 1:
            return value
        box = [value if self.first else None]
        with _told():
            dist.broadcast_object_list(box)
        return box[0]

    def noise(self, seed: np.random.SeedSequence, first: int, count: int, whole: int) -> np.random.Generator:
        """A generator whose numbers for `count` simulations are those that the whole has from `first` on."""
        return np.random.default_rng(seed) if count == whole else _PartOfNoise(seed, first, count, whole)


_current = Ranks()


def current() -> Ranks:
    """This process among those that were joined."""
    return _current


@contextlib.contextmanager
def joined(backend: str = "gloo") -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one; alone without it.

    Args:
        backend: "gloo", or "nccl" for tensors on GPUs and gloo for all others.

    Raises:
        UserError: they cannot be reached, or not by this backend.
    """
    global _current
    size = number_of_ranks()
    if size == 1 or _current.size > 1:
        yield _current
        return
    signal_at_parents_end(signal.SIGTERM)  # of torchrun, which a kill -9 lets send none
    if backend == "nccl" and not dist.is_nccl_available():
        raise UserError("backend: got nccl, expected gloo: this PyTorch is built without NCCL")
    try:
        if backend == "nccl":
            torch.cuda.set_device(gpu_of_rank(torch.cuda.device_count()))
        if not dist.is_initialized():  # it stays until the process ends
            dist.init_process_group("cpu:gloo,cuda:nccl" if backend == "nccl" else backend, timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the {size} ranks cannot be joined: {error}") from error
    _current = Ranks(dist.get_rank(), size)
    try:
        yield _current
    finally:
        _current = Ranks()


class LostRank(UserError):
    """Another rank has ended, so that this one cannot go on."""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        where = str(error).splitlines()[0]
        raise LostRank(
            f"rank {_current.rank} of {_current.size}: another rank has ended or cannot be reached ({where});"
            " torchrun names it; start again with --resume"
        ) from error


class _PartOfNoise(np.random.Generator):
    """Draws for all simulations, and gives those of some: rows of the first axis, or groups of as many rows each."""

    def __init__(self, seed: np.random.SeedSequence, first: int, count: int, whole: int):
        super().__init__(np.random.PCG64(seed))
        self._first, self._count, self._whole = first, count, whole

    def standard_normal(self, size: Sequence[int], dtype: Any = np.float64) -> np.ndarray:  # type: ignore[override]
        """As NumPy's; size[0] is the number of these simulations or of their tasks."""
        return self._part(super().standard_normal, size, dtype)

    def random(self, size: Sequence[int], dtype: Any = np.float64) -> np.ndarray:  # type: ignore[override]
        """As NumPy's; size[0] is the number of these simulations or of their tasks."""
        return self._part(super().random, size, dtype)

    def _part(self, draw: Callable[..., np.ndarray], size: Sequence[int], dtype: Any) -> np.ndarray:
        rows, *rest = size
        whole, first = rows * self._whole // self._count, rows * self._first // self._count
        return draw((whole, *rest), dtype)[first : first + rows]
