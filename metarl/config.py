"""From a YAML file and `key=value` overrides to a `Config`, with every fault reported in one go.

    from metarl.config import load_config, to_yaml

    config = load_config("half_cheetah_dir/promp", ["iterations=50", "inner.lr=0.05"])
    text = to_yaml(config)        # all settings, defaults included; load_config reads it back to an equal Config

A fault is one line, `file: key: got value, expected what is allowed (did you mean 'nearest'?)`, so that a search for the file or
the key finds it. Reading a config runs no code and looks at no environment variable: YAML's aliases and custom tags and OmegaConf's
`${...}` are refused. The settings themselves stand in `metarl.schema`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from metarl.errors import UserError, nearest
from metarl.schema import (
    Config,
    EnvConfig,
    EvaluationConfig,
    InnerConfig,
    MAMLConfig,
    PolicyConfig,
    ProMPConfig,
    Section,
    WandbConfig,
)

__all__ = [
    "ALGORITHMS", "Config", "EnvConfig", "EvaluationConfig", "InnerConfig", "MAMLConfig", "PolicyConfig", "ProMPConfig",
    "Section", "WandbConfig", "config_names", "find_config", "load_config", "settings", "to_yaml",
]

ALGORITHMS: dict[str, type[Section]] = {"promp": ProMPConfig, "maml-trpo": MAMLConfig}
MAX_BYTES = 1_000_000
MAX_DEPTH = 16
_WORDS = {int: "integer", float: "number", bool: "true | false", str: "text", dict: "mapping"}
_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_SECRET = re.compile(r"key|token|secret|passw", re.IGNORECASE)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The config in the file `path` (or of that name among the shipped ones) with `key=value` overrides put over it."""
    source = find_config(path)
    data = _read(source)
    faults: list[str] = []
    given: dict[str, Any] = {}
    for override in overrides:
        try:
            key, value = _parse_override(override)
        except UserError as error:
            faults.append(str(error))
            continue
        if key in given:
            faults.append(f"command line: {key}: given twice, expected one value")
        given[key] = value
        _put(data, key.split("."), value)

    def place(key: str) -> str:
        return "command line" if any(f"{key}.".startswith(f"{name}.") for name in given) else str(path)

    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        faults += [f"{place(key)}: {key}: {text}" for key, text in _explain(error, data)]
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    return config


def to_yaml(config: Config) -> str:
    """All settings of `config` as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_names() -> list[str]:
    """Names of the shipped configs, such as 'half_cheetah_dir/promp'."""
    return sorted(_shipped())


def find_config(path: str | Path) -> Path:
    """The file at `path`, else the shipped config of that name."""
    path = Path(path)
    if _is_file(path):
        return path
    name = path.as_posix().removeprefix("configs/").removesuffix(".yaml")
    shipped = _shipped()
    if name in shipped:
        return shipped[name]
    raise UserError(f"config {_show(str(path))} is neither a file nor a shipped config{nearest(name, sorted(shipped))}")


def settings() -> Iterator[tuple[str, str, str, str]]:
    """(key, type and range, default, description) of every setting."""
    yield from _settings(Config, "")


def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files("metarl"))) / "configs"  # in this repository a link to configs/
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.glob("**/*.yaml")}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name with a NUL or of more than 255 characters is no file
        return False


def _read(source: Path) -> dict[str, Any]:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{source}: got {len(content)} bytes, expected a config of at most {MAX_BYTES}")
    try:
        data = _plain(content.decode(), OmegaConf.create)
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: got bytes that are not UTF-8 at offset {error.start}, expected YAML text") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"{source}: got {_show(data)}, expected `key: value` lines")
    return data


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise UserError(f"command line: got {_show(override)}, expected key=value, such as inner.lr=0.05")
    try:
        data = _plain(text, lambda text: OmegaConf.from_dotlist([f"value={text}"]))
    except UserError as error:
        raise UserError(f"command line: {key}: got {_show(text)}, {error}") from error
    return key, data["value"]


def _plain(text: str, build: Callable[[str], Any]) -> Any:
    """What OmegaConf makes of a YAML text, as plain Python; UserError says what is wrong with it and where."""
    try:
        _refuse_more_than_plain_yaml(text)
        data = OmegaConf.to_container(build(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{where}not valid YAML: {_one_line(error.problem or error.context)}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise UserError(f"not valid YAML: {_one_line(str(error))}") from error
    _refuse_interpolation(data)
    return data


def _refuse_more_than_plain_yaml(text: str) -> None:
    """Aliases can make a small file huge, tags can name types, deep nesting exhausts the stack of the parser."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise UserError(f"{where}: got a YAML alias or anchor, expected plain values")
        if getattr(event, "tag", None):
            raise UserError(f"{where}: got the YAML tag {_show(event.tag)}, expected plain values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"{where}: got more than {MAX_DEPTH} nested levels")


def _refuse_interpolation(data: Any) -> None:
    if isinstance(data, str) and "${" in data:
        raise UserError(f"got {_show(data)}, expected a plain value: ${{...}} is not looked up")
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        _refuse_interpolation(value)


def _put(data: dict, keys: list[str], value: Any) -> None:
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


def _explain(error: ValidationError, data: dict) -> Iterator[tuple[str, str]]:
    """(key, "got ..., expected ...") of each fault that pydantic found."""
    for fault in error.errors(include_url=False):
        kind, loc = fault["type"], [part for part in fault["loc"] if part != "[key]"]
        if loc[:1] == ["algorithm"] and loc[1:2] and loc[1] in ALGORITHMS:
            del loc[1]  # pydantic names the chosen member of the union there
        key = ".".join(_safe(str(part)) for part in loc)
        got = "***" if loc and _SECRET.search(str(loc[-1])) else _show(fault["input"])
        if kind == "misfit":
            for line in fault["ctx"]["faults"].splitlines():
                yield tuple(line.split(": ", 1))
        elif kind == "missing":
            yield key, f"got nothing, expected a value: {_field(loc, data).description}"
        elif kind == "extra_forbidden":
            yield key, f"got {got}, expected no such key{_nearest_key(loc, data)}"
        elif kind in ("union_tag_not_found", "union_tag_invalid"):
            name = fault["input"].get("name")
            yield f"{key}.name", f"got {_show(name)}, expected an algorithm{nearest(str(name), ALGORITHMS)}"
        elif kind == "literal_error":
            choices = get_args(_field(loc, data).annotation)
            yield key, f"got {got}, expected one of {', '.join(choices)}{_close(str(fault['input']), choices)}"
        elif kind in ("model_type", "model_attributes_type", "dict_type"):
            yield key, f"got {got}, expected a section of `key: value` lines"
        else:
            expected = fault["msg"].removeprefix("Input should ").removeprefix("be ").partition(", unable")[0]
            yield key, f"got {got}, expected {expected[:1].lower()}{expected[1:]}"


def _field(loc: Sequence[str | int], data: dict) -> Any:
    """The pydantic field at `loc`; the algorithm's name in `data` says which settings stand under `algorithm`."""
    section: type[BaseModel] = Config
    for part in loc[:-1]:
        section = _section(section, str(part), data) or section
    return section.model_fields[str(loc[-1])]


def _section(model: type[BaseModel], key: str, data: dict) -> type[BaseModel] | None:
    if model is Config and key == "algorithm":
        algorithm = data.get("algorithm")
        return ALGORITHMS.get(str(algorithm.get("name"))) if isinstance(algorithm, dict) else None
    field = model.model_fields.get(key)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _nearest_key(loc: Sequence[str | int], data: dict) -> str:
    """The key of the schema that an unknown key most likely meant: in its own section, else of that name in another one."""
    *sections, last = [str(part) for part in loc]
    if sections == ["algorithm"]:
        for name, algorithm in ALGORITHMS.items():
            if last in algorithm.model_fields:
                return f" (a setting of {name}, and algorithm.name is {_show(data['algorithm']['name'])})"
    full = ".".join([*sections, last])
    known = list(_keys(Config, "", data))
    flat = {key.replace(".", "_"): key for key in known}
    same = [key for key in known if key.rpartition(".")[2] == last]
    if full.replace(".", "_") in flat:  # inner_lr for inner.lr
        same = [flat[full.replace(".", "_")]]
    if same:
        return " (did you mean " + " or ".join(f"'{key}'" for key in same) + "?)"
    model: type[BaseModel] = Config
    for part in sections:
        model = _section(model, part, data) or model
    close = _close(last, model.model_fields)
    if close:
        return close.replace("'", "'" + "".join(f"{part}." for part in sections), 1)
    return _close(full, known) or nearest(last, model.model_fields)


def _close(name: str, choices: Iterable[str]) -> str:
    """`nearest`, or nothing when no choice looks like `name`."""
    text = nearest(name, choices)
    return text if text.startswith(" (did") else ""


def _keys(model: type[BaseModel], prefix: str, data: dict) -> Iterator[str]:
    for name in model.model_fields:
        section = _section(model, name, data)
        if section:
            yield from _keys(section, f"{prefix}{name}.", data)
        else:
            yield f"{prefix}{name}"


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        if model is Config and name == "algorithm":
            for algorithm in ALGORITHMS.values():
                yield from _settings(algorithm, f"{prefix}{name}.")
        elif (section := _section(model, name, {})) is not None:
            yield from _settings(section, f"{prefix}{name}.")
        else:
            default = "required" if field.is_required() else _show(field.default)
            yield f"{prefix}{name}", _type(field), default, field.description or ""


def _type(field: Any) -> str:
    """Type and range of a field in words: 'integer >= 1, <= 100'."""
    arguments = [argument for argument in get_args(field.annotation) if argument is not type(None)]
    optional = len(arguments) < len(get_args(field.annotation))
    base = arguments[0] if optional else field.annotation
    metadata = list(field.metadata)
    while get_origin(base) is Annotated:
        base, *extra = get_args(base)
        metadata += extra
    if get_origin(base) is Literal:
        words = " | ".join(get_args(base))
    elif get_origin(base) is tuple:
        words = f"list of {_WORDS[_bare(get_args(base)[0])]}"
    else:
        words = _WORDS[get_origin(base) or base]
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [m for piece in metadata for m in getattr(piece, "metadata", [piece])]
    words += ",".join(f" {sign} {getattr(m, name):g}" for m in limits for name, sign in signs.items() if hasattr(m, name))
    return words + (" | null" if optional else "")


def _bare(annotation: Any) -> Any:
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _safe(text: str) -> str:
    """A key as it can be printed: control characters and the like escaped, cut at 60 characters."""
    return _cut(text if text.isprintable() and text else json.dumps(text))


def _one_line(text: str) -> str:
    """The first line of a library's message, printable."""
    return _cut("".join(c if c.isprintable() else " " for c in (text.splitlines() or [""])[0]), 200)


def _show(value: Any) -> str:
    """A value as it stands in YAML or JSON, cut at 60 characters."""
    return _cut(json.dumps(value, default=str, skipkeys=True))


def _cut(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
