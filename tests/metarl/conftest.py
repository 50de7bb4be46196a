"""What several tests share: `run_processes`, importable here and in the processes it launches, and one thread."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def one_thread():
    """PyTorch on one thread."""
    from metarl.util.torch_runtime import torch_threads

    with torch_threads(1):
        yield
