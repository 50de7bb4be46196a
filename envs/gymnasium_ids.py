"""Gymnasium knows every family, as metarl/<name>-v0: it calls this when it is imported (entry point `gymnasium.envs`).

    gymnasium.make("metarl/HalfCheetahDir-v0")
    gymnasium.make_vec("metarl/HalfCheetahDir-v0", num_envs=8)
"""

import gymnasium

from metarl.util.plugins import FAMILIES


def register() -> None:
    """Register every family, for make and make_vec, without importing any; again is harmless."""
    for name in FAMILIES.names():
        env_id = f"metarl/{name}-v0"
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="metarl.envs.registry:make_single",
                vector_entry_point="metarl.envs.registry:make",
                kwargs={"family": name},
            )
