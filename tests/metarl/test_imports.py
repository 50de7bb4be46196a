"""Imports run one way: no circle between modules and none between folders, whatever an import is for.

Imports inside functions and those under TYPE_CHECKING count: whoever reads one file must be able to stop at what it
names. A package's __init__ may show what lies in the folders below: what it imports is no import of its folder's, and
no module inside may import it.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"metarl": ROOT / "metarl", "metarl.envs": ROOT / "envs", "metarl.agents": ROOT / "agents"}


def modules() -> dict[str, Path]:
    """Every module by its full name; a package is its __init__."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            if package == "metarl" and parts[0] in ("envs", "agents", "configs"):
                continue  # links
            found[".".join([package, *parts]).removesuffix(".__init__")] = file
    return found


def imports(name: str, file: Path, known: set[str]) -> set[str]:
    """The modules among known that one imports; of `from package import name`, the module that is meant."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names}
    return (found & known) - {name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The shortest circle through each knot of a graph, as the path that comes back to where it began."""
    found, done = [], set()
    for start in sorted(graph):
        if start in done:
            continue
        path_to, queue = {}, [start]
        for node in queue:  # breadth first
            for other in sorted(graph[node]):
                if other not in path_to:
                    path_to[other] = node
                    queue.append(other)
        if start in path_to:
            path = [start]
            while path_to[path[-1]] != start:
                path.append(path_to[path[-1]])
            found.append([start, *reversed(path[1:]), start])
            done |= set(path)
    return found


def graphs(inside: str) -> dict[str, dict[str, set[str]]]:
    """What imports what within a package, by module and by folder."""
    files = {name: file for name, file in modules().items() if f"{name}.".startswith(f"{inside}.")}
    by_module = {name: imports(name, file, set(files)) for name, file in files.items()}
    folder = {name: name if file.name == "__init__.py" else name.rpartition(".")[0] for name, file in files.items()}
    by_folder: dict[str, set[str]] = {name: set() for name in folder.values()}
    for name, others in by_module.items():
        if files[name].name == "__init__.py":
            continue
        by_folder[folder[name]] |= {folder[other] for other in others} - {folder[name]}
    return {"modules": by_module, "folders": by_folder}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "kind"),
    [
        (package, kind) for package in ("metarl.envs", "metarl.agents", "metarl") for kind in ("modules", "folders")
    ],
)
def test_no_import_comes_back_to_where_it_began(package, kind):
    graph = graphs(package)[kind]
    assert len(graph) > 1
    assert not circles(graph), "\n".join(" -> ".join(circle) for circle in circles(graph))


def test_circles_are_found_however_they_are_written(tmp_path, monkeypatch):
    files = {
        "a.py": "def f():\n    from .b import x\n",
        "b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.inner import c\n",
        "inner/__init__.py": "", "inner/c.py": "from .. import a\n", "inner/d.py": "import p.b\n",
    }  # fmt: skip
    (tmp_path / "inner").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setitem(FOLDERS, "p", tmp_path)
    assert circles(graphs("p")["modules"]) == [["p.a", "p.b", "p.inner.c", "p.a"]]
    assert circles(graphs("p")["folders"]) == [["p", "p.inner", "p"]]
