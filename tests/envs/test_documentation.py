"""The snippets of the pages on environments run, and their tables are what the families and quantities declare."""

import re
from pathlib import Path

import pytest

from metarl.envs import FAMILIES, make
from metarl.envs.variation.quantities import table

PAGES = {page: (Path(__file__).parents[2] / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
         for page in ("environments", "batch_env", "what_can_vary")}  # fmt: skip
TEXT = PAGES["environments"]


@pytest.mark.parametrize("page", ["batch_env", "what_can_vary"])
def test_the_snippets_run(page):
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, f"docs/reference/{page}.md", "exec"), namespace)


def test_every_family_can_be_found_by_what_it_adapts_to():
    index = re.findall(r"`([A-Z]\w+)`", re.search(r"^\| to adapt to \|.*?\n\n", TEXT, re.MULTILINE | re.DOTALL)[0])
    assert sorted(index) == sorted(FAMILIES)


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
    """After a change: put what metarl.envs.variation.quantities.table() gives into docs/reference/what_can_vary.md."""
    assert table() in PAGES["what_can_vary"]
