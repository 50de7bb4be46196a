"""What holds for all tests: one thread, no accounts, the same examples at each run, no global generator touched."""

import os

# before the first import of NumPy or PyTorch, here and in child processes
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ.pop("WANDB_API_KEY", None)

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _numpy_global_generator_is_left_alone():
    """All randomness is passed in; a test that moves the global generator has found some that is not."""
    before = np.random.get_state()  # noqa: NPY002
    yield
    after = np.random.get_state()  # noqa: NPY002
    assert after[2] == before[2] and np.array_equal(after[1], before[1]), "NumPy's global generator was used"


@pytest.fixture(autouse=True)
def _wandb_of_this_process_is_its_own():
    """W&B tells child processes of its service by the environment; those of a test have services of their own."""
    yield
    os.environ.pop("WANDB_SERVICE", None)


@pytest.fixture
def second_device(monkeypatch):
    """Makes tensors of a device where no number is, and an operation on tensors of it and the processor an error.

    They are PyTorch's fake tensors of the device "meta"; NumPy's arrays become fake tensors of the processor.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    real = torch.from_numpy
    with FakeTensorMode() as mode:
        monkeypatch.setattr(torch, "from_numpy", lambda x: mode.from_tensor(real(x)))
        yield lambda *shape, dtype=torch.float32: torch.empty(*shape, dtype=dtype, device="meta")
