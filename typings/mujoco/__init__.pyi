# MuJoCo's wheel has no stubs and its names come from a compiled module: whatever is asked of it is Any.
# mujoco.batch is Python, and checked as it is.
from typing import Any

def __getattr__(name: str) -> Any: ...
