"""The table of all entries in a folder's README.md, between two marks that whoever wrote the page has put there.

    write_table(Path("zoo"))       # nothing without the marks
"""

from pathlib import Path

from metarl.evaluation.tables import steps
from metarl.runs.run import ENTRY
from metarl.util.files import replace
from metarl.zoo.card import markdown_table
from metarl.zoo.entry import Entry

BEGIN, END = "<!-- entries -->", "<!-- end of entries -->"
COLUMNS = ("entry", "family", "method", "trained for", "first return", "adapted return", "after", "size")


def write_table(folder: Path) -> None:
    """Write the table of the entries in a folder, where its README.md has the marks."""
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if BEGIN in text and END in text:
        replace(page, with_table(text, folder).encode())


def with_table(text: str, folder: Path) -> str:
    """The page with the table of today."""
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    rows = [_row(Entry.read(file.parent)) for file in sorted(folder.glob(f"*/{ENTRY}"))]
    return f"{head}{BEGIN}\n{markdown_table(COLUMNS, rows)}\n{END}{tail}"


def _row(entry: Entry) -> list[str]:
    config, evaluation, name = entry.run.config, entry.evaluation, entry.run.path.name
    first, last = evaluation.curve[0], evaluation.curve[-1]
    adapted = [str(last.mean), f"{last.episodes} ep, {last.seconds:.0f} s"] if evaluation.steps else ["-", "-"]
    return [
        f"[{name}]({name}/README.md)",
        config.env.family,
        config.algorithm.title(config),
        f"{steps(entry.about['env_steps'])} steps",
        str(first.mean),
        *adapted,
        f"{entry.size / 1000:.0f} kB",
    ]
