"""A person's own robot in a config: `env: {robot: PATH}` is short for the family OwnRobot with that file.

    data = {"env": {"robot": "rover"}, ...}
    problems = list(resolve_robot(data, Path("configs/own_robot")))
    data["env"]          # {"family": "OwnRobot", "options": {"robot": "/.../rover/robot.yaml"}}

A path is relative to the config file, one on the command line to where the command runs. `with_digest` adds the SHA-256
of the robot file, the MJCF and all files that it names: files that changed since are reported, not used. A run keeps a
copy of them in its folder, and its config names that copy.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metarl.config.schema import Config, EnvConfig
from metarl.envs.registry import OWN_ROBOT

FILE = "robot.yaml"  # in the folder of a robot
FOLDER = "robot"  # of a run


def resolve_robot(data: dict[str, Any], folder: Path, overridden: bool = False) -> Iterator[tuple[str, str]]:
    """Write out env.robot of the unchecked config `data` and make its path absolute; what is wrong with that.

    Args:
        overridden: whether the robot takes the place of the family that the config's file names, and its options.
    """
    env = data.get("env")
    if not isinstance(env, dict):
        return
    if "robot" in env:
        path = env.pop("robot")
        if overridden or env.get("family", "") is None:
            env.pop("family", None)
            env.pop("options", None)
        if env.setdefault("family", OWN_ROBOT) != OWN_ROBOT:
            yield "env.robot", (f"got it beside env.family = {env['family']}, expected one of the two; on the command"
                                " line env.robot=PATH takes the place of a family")  # fmt: skip
        elif isinstance(env.setdefault("options", {}), dict):
            env["options"]["robot"] = path
    options = env.get("options")
    if env.get("family") == OWN_ROBOT and isinstance(options, dict) and isinstance(options.get("robot"), str):
        path = Path(os.path.abspath(folder / options["robot"]))
        options["robot"] = str(path / FILE if path.is_dir() else path)


def with_digest(config: Config) -> Config:
    """The config with the digest of its robot's files, if it has a robot of one's own."""
    if config.env.family != OWN_ROBOT or "sha256" in config.env.options:
        return config
    family = config.env.load_family()
    config.env.forget_family()  # the next reader of this path looks at the files again: they may change
    env = config.env.model_copy(update={"options": {**config.env.options, "sha256": family.digest}})
    env.share_family(family)
    return config.model_copy(update={"env": env})


def copy_into_run(env: EnvConfig, run: Path) -> EnvConfig:
    """The environment of a run in the folder `run`, whose robot is a copy of its own there."""
    if env.family != OWN_ROBOT:
        return env
    robot = env.load_family()
    copy = run / FOLDER / next(iter(robot.files))
    if not copy.exists():
        robot.copy_to(run / FOLDER)
    return _with_path(env, str(copy.resolve()))


def with_relative_path(env: EnvConfig, folder: Path) -> EnvConfig:
    """As a file in `folder` should hold it: with the robot's path relative to that."""
    if env.family != OWN_ROBOT:
        return env
    return _with_path(env, Path(os.path.relpath(env.options["robot"], folder.resolve())).as_posix())


def with_absolute_path(env: EnvConfig, folder: Path) -> EnvConfig:
    """What `with_relative_path` wrote into a file in `folder`, to be used."""
    return env if env.family != OWN_ROBOT else _with_path(env, str((folder / env.options["robot"]).resolve()))


def _with_path(env: EnvConfig, path: str) -> EnvConfig:
    return env.model_copy(update={"options": {**env.options, "robot": path}})
