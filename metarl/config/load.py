"""From a YAML file and `key=value` overrides to a `Config`, with every problem reported in one go.

    from metarl.config import load_config, to_yaml

    config = load_config("half_cheetah_dir/promp", ["iterations=50", "inner.lr=0.05"])
    text = to_yaml(config)        # all settings; load_config reads it back to an equal Config
    config = changed(config, {"inner.lr": 0.1})

A problem is one line, `file: key: got value, expected what is allowed (did you mean 'nearest'?)`, so that a
search for the file or the key finds it. Reading a config runs no code of its author and looks at no environment
variable: `metarl.util.safe_yaml`. The settings themselves stand in `metarl.config.schema`.

`read_config` reads what metarl wrote itself, such as the config of a run, and imports neither PyTorch nor MuJoCo;
`load_config` also asks the family and the libraries whether they take the settings.
"""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metarl.config.messages import explain, family_problems, sb3_problems
from metarl.config.robots import FILE as ROBOT_FILE
from metarl.config.robots import resolve_robot, with_digest
from metarl.config.schema import Config, named_twice, present_key, with_present_names
from metarl.util.errors import UserError
from metarl.util.safe_yaml import parse_yaml, read_yaml, write_yaml
from metarl.util.text import close, first_line, show


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The config in the file `path`, or the shipped one of that name, with `key=value` overrides over it.

    Raises:
        UserError: a line for each problem.
    """
    return with_digest(_read(path, overrides, deep=True))


def read_config(path: str | Path) -> Config:
    """The config in the file `path`, which metarl wrote or `load_config` took before.

    Raises:
        UserError: a line for each problem of the file itself; what only the family knows is seen when that is made.
    """
    return _read(path, (), deep=False)


def _read(path: str | Path, overrides: Sequence[str], deep: bool) -> Config:
    source = find_config(path)
    written = read_mapping(source, "a config")
    _keep_text(written, lambda: read_mapping(source, "a config", numbers=False))
    data = with_present_names(written)
    given: set[str] = set()
    problems = [f"{first_line(str(path))}: {key}: {text}" for key, text in named_twice(written)]
    for override in overrides:
        try:
            key, value = parse_override(override)
        except UserError as error:
            problems.append(f"command line: {error}")
            continue
        if key in given:
            problems.append(f"command line: {key}: given twice, expected one value")
        given.add(key)
        _put(data, key.split("."), value)
    data = with_present_names(data)
    algorithm = data.get("algorithm")
    name = algorithm.get("name") if isinstance(algorithm, dict) else None
    present = [present_key(key, name) for key in sorted(given)]
    twice = sorted({key for key in present if present.count(key) > 1})
    problems += [f"command line: {key}: given twice, under a former name too, expected one value" for key in twice]
    given |= {*present}

    def place(key: str) -> str:
        """Where the value of `key`, or a part of it, was written."""
        overridden = any(f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.") for name in given)
        return "command line" if overridden else first_line(str(path))

    here = any(f"{key}.".startswith(("env.robot.", "env.options.robot.")) for key in given)
    overridden = "env.robot" in given and not any(key.startswith(("env.family", "env.options")) for key in given)
    found = list(resolve_robot(data, Path() if here else source.parent, overridden))
    config, more = _checked(data, deep)
    problems += [f"{place(key)}: {key}: {text}" for key, text in [*found, *more]]
    if config is None or problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return config


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values under dotted keys, in this order; a mapping takes the place of its section.

    Raises:
        UserError: a line for each problem.
    """
    data = config.model_dump(mode="json", exclude_unset=True)
    data["algorithm"]["name"], data["revision"] = config.algorithm.name, config.revision
    for key, value in values.items():
        *sections, last = key.split(".")
        part = data
        for name in sections:
            part = part.setdefault(name, {})
        part[last] = copy.deepcopy(value)
    result, problems = _checked(with_present_names(data), deep=True)
    if result is None or problems:
        raise UserError("\n".join(dict.fromkeys(f"{key}: {text}" for key, text in problems)))
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings under dotted keys, as in overrides, from nested ones."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def to_yaml(config: Config) -> str:
    """All settings of `config` as YAML."""
    return write_yaml(config.model_dump(mode="json"))


def to_short_yaml(config: Config) -> str:
    """The settings of `config` that differ from the defaults, as YAML: what a config file holds."""
    data = config.model_dump(mode="json", exclude_defaults=True)
    data["algorithm"] = {"name": config.algorithm.name} | data.get("algorithm", {})
    return write_yaml(data)


def config_names() -> list[str]:
    """Names of the shipped configs, such as 'half_cheetah_dir/promp'."""
    return sorted(_shipped())


def find_config(path: str | Path) -> Path:
    """The file at `path`, else the shipped config of that name."""
    path = Path(path)
    if os.path.isfile(path):  # unlike Path.is_file in Python 3.11, False for a name of 5000 characters
        return path
    shipped = _shipped()
    name = path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    if name in shipped:
        return shipped[name]
    hint = close(name, sorted(shipped)) or "; see `metarl list configs`"
    raise UserError(f"config {show(str(path))}: neither a file nor a shipped config{hint}")


def _checked(data: dict[str, Any], deep: bool) -> tuple[Config | None, list[tuple[str, str]]]:
    """The config that `data` makes, if pydantic takes it, and all (key, what is wrong with it)."""
    config, problems = None, []
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += explain(error, data)
    if deep:
        problems += [*family_problems(data), *sb3_problems(data)]
        problems += config.algorithm.problems(config) if config else []
    return config, problems


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("metarl"))) / "configs"  # in this repository a link to configs/
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.glob("**/*.yaml")
            if file.name != ROBOT_FILE}


def read_mapping(source: Path, expected: str, numbers: bool = True) -> dict[str, Any]:
    """The mapping in a YAML file, of plain values only; without `numbers` all of them are text, or null."""
    try:
        return read_yaml(source, expected, numbers)
    except ValueError as error:
        raise UserError(f"{first_line(str(source))}: {error}") from error


def parse_override(override: str) -> tuple[str, Any]:
    """Key and value of `key=value`; UserError if it is something else."""
    key, equals, text = override.partition("=")
    if not equals or not all(part.isidentifier() for part in key.split(".")):
        raise UserError(f"got {show(override)}, expected key=value, such as inner.lr=0.05")
    try:
        value = parse_yaml(text)
        data: dict[str, Any] = {}
        _put(data, key.split("."), value)
        plain: dict[str, Any] = {}
        _put(plain, key.split("."), parse_yaml(text, numbers=False))
        _keep_text(data, lambda: plain)
        for part in key.split("."):
            data = data[part]
        return key, data
    except ValueError as error:
        raise UserError(f"{key}: got {show(text)}: {error}") from error


def _keep_text(data: dict[str, Any], plain: Callable[[], dict[str, Any]]) -> None:
    """Let the settings of W&B be as they are written: a name 007, a tag 1.10. `plain` gives the same as text."""
    written = data.get("wandb")
    if isinstance(written, dict):
        for key, text in plain()["wandb"].items():
            if not isinstance(written[key], dict):
                written[key] = text


def _put(data: dict, keys: Sequence[str], value: Any) -> None:
    """Set data[k0][k1]... = value; a mapping is put over the mapping that stands there."""
    *sections, last = keys
    for key in sections:
        if not isinstance(data.get(key), dict):
            data[key] = {}
        data = data[key]
    if isinstance(value, dict) and isinstance(data.get(last), dict):
        for key, inner in value.items():
            _put(data[last], [key], inner)
    else:
        data[last] = value
