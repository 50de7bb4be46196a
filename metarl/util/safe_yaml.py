"""YAML of plain values, read without running anything and written so that it reads back the same.

    data = read_yaml(path, "a config")     # a mapping; ValueError in one line: what was got, what was expected, where
    value = parse_yaml("[1, 1e-3]")        # [1, 0.001]
    text = write_yaml(data)

Numbers are those of YAML 1.2 (1e-3 is one). A key is a name and stands once. Aliases, which can make a small file huge,
tags, which name types, and depths that exhaust a parser's stack are refused.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from metarl.util.files import read
from metarl.util.text import one_line, show

MOST_BYTES, MOST_DEPTH = 1_000_000, 16


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise yaml.MarkedYAMLError(problem="aliases (&name, *name) are not used here",
                                       problem_mark=event.start_mark)  # fmt: skip
        if event.tag:
            raise yaml.MarkedYAMLError(problem=f"tags such as {event.tag} are not used here",
                                       problem_mark=event.start_mark)  # fmt: skip
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MOST_DEPTH} levels", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        data = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
            if key.value in data:
                raise yaml.MarkedYAMLError(problem=f"key {show(key.value)} stands twice", problem_mark=key.start_mark)
            data[key.value] = self.construct_object(value, deep=deep)
        return data


class _TextLoader(_Loader):
    """All values are text but null."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


for _kind in (_Loader, _Dumper):  # 1e-3 and 5. are numbers, too, which YAML 1.1 takes for text
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"), list("-+.0123456789")
    )

_TextLoader.yaml_implicit_resolvers = {
    start: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
    for start, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, expected: str, numbers: bool = True) -> dict[str, Any]:
    """The mapping in the file of that kind."""
    return parse_mapping(read_bytes(path), expected, numbers)


def read_bytes(path: Path) -> bytes:
    """What a file of a size that `parse_mapping` takes holds."""
    try:
        return read(path, MOST_BYTES, links=True)
    except FileNotFoundError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def parse_mapping(content: bytes, expected: str, numbers: bool = True) -> dict[str, Any]:
    """The mapping that a file of that kind holds; without `numbers` all values in it are text, or null."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"got more than {MOST_BYTES} bytes, expected {expected}")
    try:
        data = parse_yaml(content.decode(), numbers)
        data = {} if data is None else data  # nothing but comments
    except UnicodeDecodeError as error:
        raise ValueError(f"got bytes at offset {error.start} that are not UTF-8, expected YAML") from error
    if not isinstance(data, dict):
        raise ValueError(f"got {show(data)}, expected `key: value` lines")
    return data


def parse_yaml(text: str, numbers: bool = True) -> Any:
    """The value that a text stands for; without `numbers` text, null, or lists and mappings of those."""
    try:
        return (_Loader if numbers else _TextLoader)(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}not valid YAML: {one_line(error.problem or str(error.context))}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: 5000 digits, the 31st of February
        raise ValueError(f"not valid YAML: {one_line(str(error))}") from error


def write_yaml(data: Any) -> str:
    """Plain values as YAML, in the order in which they stand."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
