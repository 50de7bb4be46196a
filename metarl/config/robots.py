"""A person's own robot in a config: `env: {robot: PATH}` is short for the family OwnRobot with that file.

    data = {"env": {"robot": "rover"}, ...}
    faults = list(settle(data, Path("configs/own_robot")))
    data["env"]          # {"family": "OwnRobot", "options": {"robot": "/.../rover/robot.yaml", "sha256": "1a698d..."}}

A path is relative to the config file, one on the command line to where the command runs. The digest is of the robot
file, the MJCF and all files that it names: files that changed since are told, not used. A run keeps a copy of them in
its folder, and its config names that copy.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metarl.config.schema import EnvConfig
from metarl.envs.own_robot.robot import OwnRobot, robot_file

FAMILY = "OwnRobot"
FOLDER = "robot"  # of a run


def settle(data: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Write out env.robot of the unchecked config `data` and make its path absolute; what is wrong with that."""
    env = data.get("env")
    if not isinstance(env, dict):
        return
    if "robot" in env:
        path = env.pop("robot")
        if env.setdefault("family", FAMILY) != FAMILY:
            yield "env.robot", f"got it beside env.family = {env['family']}, expected one of the two"
        elif isinstance(env.setdefault("options", {}), dict):
            env["options"]["robot"] = path
    options = env.get("options")
    if env.get("family") != FAMILY or not isinstance(options, dict) or not isinstance(options.get("robot"), str):
        return
    options["robot"] = str(folder / options["robot"])
    with contextlib.suppress(ValueError):  # the family says what is wrong with it
        file = robot_file(options["robot"])
        options["robot"] = str(file)
        options.setdefault("sha256", OwnRobot(str(file)).digest)


def keep(env: EnvConfig, run: Path) -> EnvConfig:
    """The environment of a run in the folder `run`, whose robot is a copy of its own there."""
    if env.family != FAMILY:
        return env
    robot = OwnRobot(env.options["robot"])
    copy = run / FOLDER / next(iter(robot.files))
    if not copy.exists():
        robot.copy_to(copy.parent)
    return _with_path(env, str(copy.resolve()))


def portable(env: EnvConfig, folder: Path) -> EnvConfig:
    """As a file in `folder` should hold it: with the robot's path relative to that."""
    if env.family != FAMILY:
        return env
    return _with_path(env, Path(os.path.relpath(env.options["robot"], folder.resolve())).as_posix())


def located(env: EnvConfig, folder: Path) -> EnvConfig:
    """What `portable` wrote into a file in `folder`, to be used."""
    return env if env.family != FAMILY else _with_path(env, str((folder / env.options["robot"]).resolve()))


def _with_path(env: EnvConfig, path: str) -> EnvConfig:
    return env.model_copy(update={"options": {**env.options, "robot": path}})
