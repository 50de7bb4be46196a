"""From a YAML file and `key=value` overrides to a `Config`, with every fault reported in one go.

    from metarl.config import load_config, to_yaml

    config = load_config("half_cheetah_dir/promp", ["iterations=50", "inner.lr=0.05"])
    text = to_yaml(config)        # all settings; load_config reads it back to an equal Config
    config = changed(config, {"inner.lr": 0.1})

A fault is one line, `file: key: got value, expected what is allowed (did you mean 'nearest'?)`, so that a
search for the file or the key finds it. Reading a config runs no code and looks at no environment variable:
tags and aliases of YAML and OmegaConf's `${...}` are refused. The settings themselves stand in
`metarl.config.schema`.
"""

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from metarl.config.faults import explain, family_faults, one_line, sb3_faults
from metarl.config.robots import settle
from metarl.config.schema import Config
from metarl.envs.own_robot.plain_yaml import show
from metarl.envs.own_robot.schema import FILE as ROBOT_FILE
from metarl.errors import UserError, nearest

MAX_BYTES = 1_000_000
MAX_DEPTH = 16


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The config in the file `path`, or the shipped one of that name, with `key=value` overrides over it."""
    source = find_config(path)
    data = read_yaml(source)
    given: set[str] = set()
    faults: list[str] = []
    for override in overrides:
        try:
            key, value = _parse_override(override)
        except UserError as error:
            faults.append(f"command line: {error}")
            continue
        if key in given:
            faults.append(f"command line: {key}: given twice, expected one value")
        given.add(key)
        _put(data, key.split("."), value)

    def place(key: str) -> str:
        """Where the value of `key`, or a part of it, was written."""
        overridden = any(f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.") for name in given)
        return "command line" if overridden else one_line(str(path))

    here = any(f"{key}.".startswith(("env.robot.", "env.options.robot.")) for key in given)
    found = list(settle(data, Path() if here else source.parent))
    config, more = _checked(data)
    faults += [f"{place(key)}: {key}: {text}" for key, text in [*found, *more]]
    if config is None or faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    return config


def changed(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values under dotted keys, in this order; a mapping takes the place of its section."""
    data = config.model_dump(mode="json", exclude_unset=True)
    data["algorithm"]["name"] = config.algorithm.name
    for key, value in values.items():
        *sections, last = key.split(".")
        part = data
        for name in sections:
            part = part.setdefault(name, {})
        part[last] = copy.deepcopy(value)
    result, faults = _checked(data)
    if result is None or faults:
        raise UserError("\n".join(dict.fromkeys(f"{key}: {text}" for key, text in faults)))
    return result


def to_yaml(config: Config) -> str:
    """All settings of `config` as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def to_short_yaml(config: Config) -> str:
    """The settings of `config` that differ from the defaults, as YAML: what a config file holds."""
    data = config.model_dump(mode="json", exclude_defaults=True)
    data["algorithm"] = {"name": config.algorithm.name} | data.get("algorithm", {})
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


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
    hint = nearest(name, sorted(shipped))
    raise UserError(f"config {show(str(path))}: neither a file nor a shipped config{hint}")


def _checked(data: dict[str, Any]) -> tuple[Config | None, list[tuple[str, str]]]:
    """The config that `data` makes, if pydantic takes it, and all (key, what is wrong with it)."""
    config, faults = None, []
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        faults += explain(error, data)
    return config, [*faults, *family_faults(data), *sb3_faults(data)]


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("metarl"))) / "configs"  # in this repository a link to configs/
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.glob("**/*.yaml")
            if file.name != ROBOT_FILE}


def read_yaml(source: Path) -> dict[str, Any]:
    """The mapping in a YAML file, of plain values only."""
    name = one_line(str(source))
    try:
        with source.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: got more than {MAX_BYTES} bytes, expected a config")
    try:
        data = _plain(content.decode(), OmegaConf.create)
    except UnicodeDecodeError as error:
        where = f"at offset {error.start}"
        raise UserError(f"{name}: got bytes {where} that are not UTF-8, expected YAML") from error
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{name}: got {show(data)}, expected `key: value` lines")
    return data


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not all(part.isidentifier() for part in key.split(".")):
        raise UserError(f"got {show(override)}, expected key=value, such as inner.lr=0.05")
    try:
        data = _plain(text, lambda text: OmegaConf.from_dotlist([f"value={text}"]))
    except UserError as error:
        raise UserError(f"{key}: got {show(text)}: {error}") from error
    return key, data["value"]


def _plain(text: str, build: Callable[[str], Any]) -> Any:
    """What OmegaConf makes of a YAML text, as plain Python; UserError says what is wrong and where."""
    try:
        _refuse_more_than_plain_yaml(text)
        data = OmegaConf.to_container(build(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = one_line(error.problem or str(error.context))
        raise UserError(f"{where}not valid YAML: {what}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:  # ValueError: 5000 digits
        raise UserError(f"not valid YAML: {one_line(str(error))}") from error
    for value in _leaves(data):
        if isinstance(value, str) and "${" in value:
            raise UserError(f"got {show(value)}, expected a plain value: ${{...}} is not looked up")
    return data


def _refuse_more_than_plain_yaml(text: str) -> None:
    """Aliases can make a small file huge, tags can name types, deep nesting exhausts the parser's stack."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UserError(f"{where}: got a YAML alias or anchor, expected plain values")
        if getattr(event, "tag", None):
            raise UserError(f"{where}: got the YAML tag {show(event.tag)}, expected plain values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"{where}: got more than {MAX_DEPTH} nested levels")


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _leaves(value)
    else:
        yield data


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
