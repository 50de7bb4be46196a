"""What an installation holds, and which way imports run."""

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from metarl.config import config_names

ROOT = Path(__file__).parents[2]
FILES = ["pyproject.toml", "README.md", "LICENSE", "metarl/py.typed"]
SOURCES = [*FILES, "metarl/**/*.py", "envs/**/*.py", "agents/**/*.py", "configs/**/*.yaml", "configs/**/*.xml"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the repository holds without its links, as an archive without symbolic links would have it."""
    copy = tmp_path_factory.mktemp("checkout")
    for pattern in SOURCES:
        for source in ROOT.glob(pattern):
            target = copy / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    """The wheel, built by way of the source distribution, without a network."""
    dist = tmp_path_factory.mktemp("dist")
    build = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    name = subprocess.run([sys.executable, "-c", build, dist], cwd=checkout, capture_output=True, text=True, check=True)
    sdist = dist / name.stdout.splitlines()[-1]
    with tarfile.open(sdist) as archive:
        archive.extractall(dist, filter="data")
    folder = dist / sdist.name.removesuffix(".tar.gz")
    alone = ["--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *alone, "-w", dist, folder], check=True, capture_output=True)
    return next(dist.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_one_top_level_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"metarl"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith((".pyc", ".pth"))]


@pytest.mark.slow
def test_the_wheel_has_every_module_and_config(wheel, checkout):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"{file.relative_to(checkout)}" for file in (checkout / "metarl").rglob("*.py")}
    for folder in ("envs", "agents"):
        expected |= {f"metarl/{file.relative_to(checkout)}" for file in (checkout / folder).rglob("*.py")}
    expected |= {f"metarl/configs/{name}.yaml" for name in config_names()}
    robots = ("rover/robot.yaml", "rover/rover.xml", "go1/robot.yaml", "tabletop/robot.yaml", "tabletop/push.xml")
    expected |= {f"metarl/configs/own_robot/{name}" for name in robots}
    expected |= {"metarl/py.typed"}
    assert len(expected) > 20
    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.slow
def test_the_wheel_runs_by_itself_beside_a_user_s_own_envs(wheel, tmp_path):
    site, user = tmp_path / "site", tmp_path / "user"
    zipfile.ZipFile(wheel).extractall(site)
    (user / "envs").mkdir(parents=True)
    (user / "envs" / "__init__.py").write_text("MINE = True\n")
    (user / "script.py").write_text(
        "import envs, metarl, metarl.envs, metarl.agents\n"
        "from metarl.config import load_config\n"
        "assert envs.MINE and 'site' in metarl.envs.__file__ and 'site' in metarl.__file__\n"
        "print(load_config('half_cheetah_dir/promp').env.family)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(site)}
    child = subprocess.run([sys.executable, user / "script.py"], cwd=user, env=env, capture_output=True, text=True)
    assert (child.stdout, child.returncode) == ("HalfCheetahDir\n", 0), child.stderr


def imported(file: Path, package: str) -> set[str]:
    """Modules that a file of `package` imports, relative ones by their full name."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            prefix = package.rsplit(".", node.level - 1)[0] if node.level else ""
            found |= {".".join(filter(None, (prefix, node.module, alias.name))) for alias in node.names}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "package"), [("envs", "metarl.envs"), ("agents", "metarl.agents"), ("metarl", "metarl")]
)
def test_imports_run_one_way(folder, package):
    """envs and agents know themselves and metarl.util only; nothing imports a bare `envs` or `agents`."""
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        inner = ".".join([package, *file.relative_to(ROOT / folder).parts[:-1]])
        for name in imported(file, inner):
            top = name.split(".")[0]
            assert top not in ("envs", "agents"), f"{file} imports a bare {top}"
            known = (f"{package}.", "metarl.util.")
            assert top != "metarl" or f"{name}.".startswith(known), f"{file} imports {name}"
            if folder == "agents":
                assert top not in ("mujoco", "gymnasium"), f"{file} imports {name}"


def test_the_pins_satisfy_the_ranges():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split("\n") if "==" in line)
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in sum(project["optional-dependencies"].values(), project["dependencies"]):
        requirement = Requirement(text)
        if requirement.name != project["name"]:  # an extra that takes in another
            assert requirement.specifier.contains(pins[requirement.name]), requirement
