"""MuJoCo Warp as the simulator of an environment: float32 physics of all simulations at once, on a GPU or on the CPU.

    from metarl.envs import make
    from metarl.envs.warp import Warp

    env = make("HalfCheetahMass", num_envs=4096, physics=Warp(device="cuda"))

Needs the extra `gpu`. The CPU is for tests: `mujoco.batch.Batch`, the default, is faster there and computes in float64.
`Warp` says which simulator is wanted and imports neither Warp nor PyTorch; the first environment does.
"""

from .physics import GPU, Warp

__all__ = ["GPU", "Warp"]
