"""The documentation site: `make docs` builds it in docs/_build/html, and every warning is an error."""

import os
import posixpath
import re
from itertools import groupby
from pathlib import Path

import metarl
from metarl.config import settings

project = "metarl"
author = copyright = "the metarl contributors"
version = release = metarl.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "metarl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
highlight_language = "text"  # of indented blocks; fences name their own
myst_heading_anchors = 4  # the anchors that GitHub makes
default_role = "code"  # docstrings have `code` in single backticks
napoleon_use_ivar = True
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
linkcheck_anchors = False

ROOT = Path(__file__).parents[1]
_repository = os.environ.get("GITHUB_REPOSITORY")  # in a workflow of GitHub; elsewhere links lead to this checkout
SOURCE = f"{os.environ['GITHUB_SERVER_URL']}/{_repository}/blob/main" if _repository else ROOT.as_uri()
myst_url_schemes = {"http": None, "https": None, "mailto": None, "source": SOURCE + "/{{path}}"}


def links_to_code(app, page: str, source: list[str]) -> None:
    """Links that leave docs/ lead to the repository."""

    def absolute(link: re.Match) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link[1]))
        return link[0] if path.startswith("docs/") else f"](source:{path})"

    source[0] = re.sub(r"\]\((\.\./[^)\s]+)\)", absolute, source[0])


def contents(app, page: str, source: list[str]) -> None:
    """The lists of index.md are the table of contents: one list to keep."""
    if page == "index":
        for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
            caption, pages = section.partition("\n")[0], re.findall(r"\]\(([^).\s]+)\.md\)", section)
            source[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def table_of_settings(app, page: str, source: list[str]) -> None:
    """What `metarl list settings` prints, as a table for each section and algorithm."""

    def group(row) -> str:
        algorithm = re.match(r"\((.*?)\) ", row[3])
        return algorithm[1] if algorithm else row[0].rpartition(".")[0].partition(".")[0] or "top level"

    if page == "reference/settings":
        for name, rows in groupby(sorted(settings(), key=group), key=group):
            source[0] += f"\n## {name}\n\n| setting | type and range | default | meaning |\n|---|---|---|---|\n"
            for setting, kind, default, meaning in rows:
                cells = [f"`{setting}`", kind, default, meaning.removeprefix(f"({name}) ")]
                source[0] += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def indented_is_code(app, what, name, obj, options, lines: list[str]) -> None:
    """Docstrings set code and formulas apart by indentation alone, as Markdown does: says so in reStructuredText."""
    for i in range(len(lines) - 1, 0, -1):
        before = next((line for line in reversed(lines[:i]) if line.strip()), "")
        indent = re.match(" *", before)[0]
        if lines[i].startswith(indent + "    ") and not lines[i - 1].strip():
            lines[i:i] = [indent + "::", ""]


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """Fields of named tuples stand among the attributes of their class."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app) -> None:
    for step in (contents, links_to_code, table_of_settings):
        app.connect("source-read", step)
    app.connect("autodoc-process-docstring", indented_is_code, priority=400)  # before napoleon's
    app.connect("autodoc-skip-member", skip_fields)
