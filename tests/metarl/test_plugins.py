"""Doors: parts of installed distributions and of plugin modules, by name."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from metarl.cli import main
from metarl.util import plugins
from metarl.util.plugins import Registry, load_plugin, register
from metarl.util.workers import Workers

GROUP = "metarl.families"


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """A function that installs a distribution: its modules and metadata in a folder of sys.path."""

    def install(name, points, **modules):
        info = tmp_path / f"{name}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(points))
        for module, text in modules.items():
            (tmp_path / f"{module}.py").write_text(textwrap.dedent(text))
        forget()

    def forget():
        plugins._installed.cache_clear()
        plugins._entry_points.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "_added", {})
    modules = set(sys.modules)
    yield install
    plugins.PLUGINS.clear()
    forget()
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


def test_names_are_listed_without_importing_what_they_name():
    code = """
        import sys
        from metarl.envs import FAMILIES
        assert "AntDir" in FAMILIES and len(FAMILIES) == len(FAMILIES.names()) == 31, len(FAMILIES)
        assert all(FAMILIES.origin(name) is None for name in FAMILIES)
        print(*[m for m in sys.modules if m.split(".")[0] in ("mujoco", "gymnasium", "torch") or ".families" in m])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("\n", "")


def test_a_part_of_another_distribution_is_imported_when_it_is_asked_for(distribution):
    distribution("hovers", ["Hover = hovers_code:Hover", "Broken = hovers_code:Nothing"], hovers_code="""
        class Hover: pass
    """)  # fmt: skip
    families = Registry(GROUP, "family")
    assert families.names()[-2:] == ("Broken", "Hover") and "hovers_code" not in sys.modules
    assert families.origin("Hover") == "hovers 1.5"
    assert families.load("Hover") is families["Hover"] is sys.modules["hovers_code"].Hover
    message = r"^family 'Broken' of hovers 1\.5 cannot be imported from 'hovers_code:Nothing': AttributeError: .*$"
    with pytest.raises(ValueError, match=message):
        families.load("Broken")


def test_two_distributions_with_one_name_are_both_named(distribution):
    distribution("hovers", ["Hover = hovers_code:Hover", "AntDir = hovers_code:Ant"])
    distribution("gliders", ["Hover = gliders_code:Hover"])
    families = Registry(GROUP, "family")
    with pytest.raises(ValueError, match=r"'Hover' is offered by gliders 1\.5 \(gliders_code:Hover\) and hovers 1\.5"):
        families.load("Hover")
    with pytest.raises(ValueError, match=r"'AntDir' is offered by metarl \(metarl\..*:AntDir\) and hovers 1\.5"):
        families.origin("AntDir")
    assert families.names().count("Hover") == 1


def test_an_unknown_name_has_its_nearest_match():
    with pytest.raises(ValueError, match=r"^got family 'AntDri', expected one of AntCrippled, .*did you mean 'AntDir'"):
        Registry(GROUP, "family").load("AntDri")


def test_metadata_older_than_the_code_say_how_to_mend_it():
    with pytest.raises(ValueError, match="does not have the entry points metarl.nothing, .*: reinstall it, .*pip inst"):
        Registry("metarl.nothing", "nothing").names()


def test_a_plugin_adds_parts_here_and_in_worker_processes(distribution, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "work" / "my_robots.py").write_text(textwrap.dedent("""
        from metarl.util.plugins import register

        class Hover: pass

        register("metarl.families", "Hover", Hover)
        register("metarl.families", "Later", "my_robots:Hover")
    """))
    (tmp_path / "work" / "asks.py").write_text(textwrap.dedent("""
        from metarl.util.plugins import Registry

        class Asks:
            def __init__(self, arrays, current): pass
            def names(self): return Registry("metarl.families", "family").names()[-2:]
    """))
    monkeypatch.setattr(sys, "path", list(sys.path))
    load_plugin("my_robots")
    families = Registry(GROUP, "family")
    assert families.names()[-2:] == ("Hover", "Later") and families.origin("Hover") == "my_robots"
    assert families.load("Later") is families.load("Hover")
    with Workers("asks:Asks", {"x": ((), "f8")}, n=2, count=2) as workers:
        assert workers.call("names") == [("Hover", "Later")] * 2
        assert isinstance(workers.arrays["x"], np.ndarray)


def test_a_plugin_that_cannot_be_imported_is_one_line(distribution, tmp_path):
    (tmp_path / "bad_plugin.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match="^plugin 'bad_plugin' cannot be imported: ZeroDivisionError: division by ze"):
        load_plugin("bad_plugin")
    with pytest.raises(ValueError, match=r"plugin 'x\.py' cannot be imported: .*; give the name of a module"):
        load_plugin("x.py")
    assert plugins.PLUGINS == []


@pytest.mark.parametrize("group", ["algorithms", "families", "memories"])
def test_a_part_that_cannot_be_imported_is_a_row_of_the_lists(distribution, capsys, group):
    register(f"metarl.{group}", "broken", "no_such_module:Thing")
    main_quietly("list", group)
    [line] = (line for line in capsys.readouterr().out.splitlines() if "broken" in line)
    assert "cannot be imported: " in line and "ModuleNotFoundError: No module named 'no_such_module'" in line
    main_quietly("list", "settings")
    main_quietly("list", "schema")


@pytest.mark.parametrize("override", ["algorithm.name=broken", "env.family=broken"])
def test_to_train_with_a_part_that_cannot_be_imported_is_one_line(distribution, capsys, override):
    register("metarl.algorithms", "broken", "no_such_module:Thing")
    register("metarl.families", "broken", "no_such_module:Thing")
    with pytest.raises(SystemExit) as exit_:
        main(["train", "demo", override])
    [line] = capsys.readouterr().err.splitlines()
    assert "'broken' of no_such_module cannot be imported from 'no_such_module:Thing': Module" in line
    assert exit_.value.code == 2 and line.endswith("; mend or uninstall it")


def test_a_misspelled_setting_is_named_whatever_else_cannot_be_imported(distribution, capsys):
    register("metarl.algorithms", "broken", "no_such_module:Thing")
    with pytest.raises(SystemExit):
        main(["train", "demo", "algorithm.max_kll=3"])
    assert "algorithm.max_kll: got 3, expected no such key" in capsys.readouterr().err


def main_quietly(*args):
    with pytest.raises(SystemExit) as exit_:
        main(list(args))
    assert not exit_.value.code


def test_a_taken_name_is_refused_and_the_same_again_is_not(distribution):
    families = Registry(GROUP, "family")
    families.add("Hover", "somewhere:Hover")
    register(GROUP, "Hover", "somewhere:Hover")
    with pytest.raises(ValueError, match="^metarl.families: the name 'Hover' is taken by somewhere:Hover, got oth"):
        families.add("Hover", "other:Hover")
    with pytest.raises(ValueError, match="the name 'AntDir' is taken by metarl.envs.families.ant:AntDir, got x:Y"):
        families.add("AntDir", "x:Y")
