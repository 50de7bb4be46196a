"""The pages of the documentation: what they link to is there, the index has them all, the site builds, snippets run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl.agents.global_random import global_generators
from metarl.agents.sb3.model import ALGORITHMS

ROOT = Path(__file__).parents[2]
PAGES = [
    page for pattern in ("*.md", "docs/**/*.md", "zoo/**/*.md", ".github/**/*.md") for page in ROOT.glob(pattern)
    if "_build" not in page.parts
]  # fmt: skip


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_index_has_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert pages - {"index.md"} == set(re.findall(r"\]\((\w[^)#]+\.md)\)", index))


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path / "site")]
    built = subprocess.run([*command, "-d", str(tmp_path / "doctrees")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    settings = (tmp_path / "site" / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "Likelihood ratios are clipped to" in settings
    assert 'class="sig sig-object py" id="metarl.envs.BatchEnv"' in (
        tmp_path / "site" / "reference" / "api" / "envs.html").read_text(encoding="utf-8")


def python(page: str) -> list[str]:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    return blocks


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["iterations=1", "meta_batch=2", "episodes=2", "env.horizon=5", "threads=1", "wandb.mode=disabled",
             "evaluation.tasks=2", "evaluation.episodes=2", "evaluation.steps=1"]  # fmt: skip
    namespace = {}
    for block in python("README.md"):
        exec(compile(block.replace('["iterations=60"]', repr(small)), "README.md", "exec"), namespace)
    assert namespace["run"].config.iterations == 1
    assert namespace["adapter"].start(2) is not None


@pytest.mark.sb3
def test_the_guide_to_sb3_runs():
    namespace = {}
    try:
        with global_generators(np.random.SeedSequence(0)):
            for block in python("docs/guides/sb3.md"):
                exec(compile(block, "docs/guides/sb3.md", "exec"), namespace)
    finally:
        ALGORITHMS.pop("FadingPPO", None)
    assert np.isfinite(namespace["mean_return"])
    assert namespace["model"].num_timesteps == 2_000
    assert {"return_0", "return_1"} <= set(namespace["metrics"])
