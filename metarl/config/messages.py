"""What is wrong with a config, in words: the key, what was got, what was expected, the nearest match.

    try:
        Config.model_validate(data)
    except ValidationError as error:
        list(explain(error, data))    # [("inner.lr", "got -1, expected greater than 0"), ...]
    list(family_problems(data))       # what only the families know: their names, options and splits
    list(sb3_problems(data))          # what only Stable-Baselines3 knows

`data` is always the nested dict of the file and its overrides, as yet unchecked.
"""

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from metarl.config.schema import Config, EnvConfig, keys, section
from metarl.envs.registry import FAMILIES, OWN_ROBOT, family_class
from metarl.envs.task import SPLITS
from metarl.util.errors import UserError
from metarl.util.plugins import ALGORITHMS
from metarl.util.text import close, cut, first_line, nearest, show

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_SECRET = re.compile(r"key|token|secret|passw", re.IGNORECASE)


def explain(error: ValidationError, data: dict) -> Iterator[tuple[str, str]]:
    """(key, "got ..., expected ...") of each problem that pydantic found in `data`."""
    for problem in error.errors(include_url=False):
        loc = [part for part in problem["loc"] if part != "[key]"]
        yield from _explain_one(problem, loc, data)


def _explain_one(problem: Any, loc: list, data: dict) -> Iterator[tuple[str, str]]:
    kind, value = problem["type"], problem["input"]
    key = ".".join(_word(part) for part in loc)
    got = "got ***" if loc and _SECRET.search(str(loc[-1])) else f"got {show(value)}"
    if kind == "conflicts":
        for line in problem["ctx"]["problems"].splitlines():
            key, _, text = line.partition(": ")
            yield key, text
    elif kind == "missing":
        yield key, f"got nothing, expected a value: {_field(loc, data).description}"
    elif kind == "extra_forbidden":
        yield key, f"{got}, expected no such key{_nearest_key([str(part) for part in loc], data)}"
    elif kind == "algorithm_name":
        yield f"{key}.name", problem["ctx"]["text"]
    elif kind == "literal_error":
        choices = get_args(_field(loc, data).annotation)
        yield key, f"{got}, expected one of {', '.join(choices)}{close(str(value), choices)}"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        yield key, f"{got}, expected a section of `key: value` lines"
    else:
        yield key, f"{got}, expected {expected(problem['msg'])}"


def family_problems(data: dict) -> Iterator[tuple[str, str]]:
    """(key, "got ..., expected ...") of a family, an option of it or a split that does not exist."""
    env = data.get("env")
    env = env if isinstance(env, dict) else {}
    name = env.get("family")
    if isinstance(name, bool) or not isinstance(name, str | int | float):
        return  # pydantic has said so
    name = str(name)
    if name not in FAMILIES and name != OWN_ROBOT:
        yield "env.family", f"got {show(name)}, expected a family{nearest(name, FAMILIES.names())}"
        return
    options = env.get("options", {})
    if not isinstance(options, dict):
        return
    found = list(_option_problems(name, options))
    yield from found
    if found:
        return
    if name == OWN_ROBOT and "robot" not in options:
        yield "env.robot", "got nothing, expected the path of a robot's YAML file"
        return
    try:
        space = EnvConfig(family=name, options=options).load_family().space
    except UserError as error:
        for line in str(error).splitlines():
            key, _, text = line.partition(": ")
            # of an own robot the text names the file and the key in it
            yield key, text if key == "env.robot" else f"got {show(options)}: {first_line(text)}"
        return
    evaluation = data.get("evaluation")
    split = evaluation.get("split") if isinstance(evaluation, dict) else None
    splits = [one for one in space.splits if one != "validation" or env.get("splits") != 1]
    if split in SPLITS and split not in splits:
        yield "evaluation.split", f'got "{split}", expected one of {", ".join(splits)}: {name} declares no others'


def sb3_problems(data: dict) -> Iterator[tuple[str, str]]:
    """("inner.sb3", "got ..., expected ...") of an algorithm or a setting that Stable-Baselines3 does not have."""
    sb3 = data
    for part in ("inner", "sb3"):
        sb3 = sb3.get(part) if isinstance(sb3, dict) else None
    algorithm, settings = (sb3.get("algorithm"), sb3.get("settings", {})) if isinstance(sb3, dict) else (None, None)
    if not isinstance(algorithm, str) or not isinstance(settings, dict):
        return  # none, or pydantic has said so
    from metarl.agents.sb3.model import check  # SB3 takes a second to import

    try:
        check(algorithm, settings)
    except ValueError as error:
        yield "inner.sb3", first_line(str(error))


def _option_problems(family: str, options: dict) -> Iterator[tuple[str, str]]:
    known = {p.name: p.annotation for p in inspect.signature(family_class(family)).parameters.values()}
    for option, value in options.items():
        key, got = f"env.options.{_word(option)}", f"got {show(value)}"
        if option not in known:
            hint = nearest(str(option), known) if known else " (it has none)"
            yield key, f"{got}, expected an option of {family}{hint}"
            continue
        try:
            TypeAdapter(known[option], config=_STRICT).validate_python(value)
        except ValidationError as error:
            yield key, f"{got}, expected {expected(error.errors()[0]['msg'])}"


def expected(message: str) -> str:
    """pydantic's "Input should be a valid integer, unable to parse ..." as "a valid integer"."""
    text = message.removeprefix("Input should ").removeprefix("be ").partition(", ")[0]
    text = text.replace("a valid tuple", "a list").replace("a valid integer", "an integer")
    return first_line(text[:1].lower() + text[1:])


def _field(loc: Sequence[Any], data: dict) -> FieldInfo:
    """The pydantic field at `loc`."""
    model: type[BaseModel] = Config
    for part in loc[:-1]:
        model = section(model, str(part), data) or model
    return model.model_fields[str(loc[-1])]


def _nearest_key(loc: list[str], data: dict) -> str:
    """What an unknown key most likely meant: by its full name, by its name elsewhere, by likeness."""
    *sections, last = loc
    if _SECRET.search(last):
        return " (secrets come from the environment, never from a config)"
    if sections == ["algorithm"]:
        chosen = data["algorithm"]["name"]
        others = ALGORITHMS.importable().items()
        owners = [name for name, found in others if name != chosen and last in found.model_fields]
        if owners:
            return f" (a setting of {', '.join(owners)}, and algorithm.name is {show(chosen)})"
    known = list(keys(data))
    full = "_".join(loc)  # inner_lr for inner.lr
    same = [key for key in known if key.replace(".", "_") == full]
    same = same or [key for key in known if key.rpartition(".")[2] == last]
    if same:
        return " (did you mean " + " or ".join(f"'{key}'" for key in same) + "?)"
    model: type[BaseModel] = Config
    for part in sections:
        model = section(model, part, data) or model
    prefix = "".join(f"{part}." for part in sections)
    names = [f"{prefix}{name}" for name in model.model_fields]
    return close(prefix + last, names) or close(prefix + last, known) or nearest(last, names)


def _word(part: Any) -> str:
    """One part of a key, as it can be printed."""
    text = str(part)
    return cut(text if text.isprintable() and text else json.dumps(text))
