"""The snippets of docs/reference/environments.md run, and its table is what the families declare."""

import re
from pathlib import Path

import pytest

from metarl.envs import FAMILIES, make
from metarl.envs.variation.quantities import table

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "environments.md").read_text(encoding="utf-8")


def test_the_snippets_run():
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/reference/environments.md", "exec"), namespace)


@pytest.mark.slow
def test_the_table_is_true():
    rows = re.findall(r"^\| (`[A-Z]\w+`.*?) \|", TEXT, re.MULTILINE)
    seen = set()
    for cells in (line.split(" | ") for line in TEXT.splitlines() if line.startswith(tuple(f"| {r}" for r in rows))):
        name, *options = re.findall(r"`([^`]*)`", cells[0])
        seen.add(name)
        env = make(name, 1, **eval(f"dict({','.join(options)})"))
        observation, seconds, horizon = cells[3], cells[4], cells[5]
        assert int(re.search(r"(\d+)$", observation)[1]) == env.single_observation_space.shape[0]
        assert int(horizon) == env.horizon
        assert seconds == "-" or float(seconds) == pytest.approx(env.dt)
    assert seen == set(FAMILIES)


def test_what_can_vary_is_the_table_of_the_code():
    """After a change: put what metarl.envs.variation.quantities.table() gives into docs/reference/environments.md."""
    assert table() in TEXT
