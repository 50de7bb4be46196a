"""Families by name: what is shipped, what a plugin adds, and Gymnasium's registry of both."""

import subprocess
import sys
import textwrap

import gymnasium
import numpy as np
import pytest

from metarl.envs import FAMILIES, BatchEnv, Family, family_class, make, make_family
from metarl.util import plugins


def test_each_family_has_the_name_it_is_registered_by_and_is_made_without_a_model(monkeypatch):
    def no_model(self):
        raise AssertionError("a model was built")

    for name in FAMILIES:
        monkeypatch.setattr(FAMILIES[name], "build", no_model)
        assert make_family(name).name == name == FAMILIES[name].name
        assert issubclass(FAMILIES[name], Family)
    assert family_class("OwnRobot").__name__ == "OwnRobot" and "OwnRobot" not in FAMILIES


@pytest.mark.slow
def test_one_family_serves_several_environments():
    """It has no state: two environments of one object step as two of two objects, and leave it as it was."""
    family = make_family("Go1Velocity") if make_family("Go1Velocity").extra.installed() else make_family("AntGoal")
    before = dict(vars(family))
    shared = [BatchEnv(family, 3), BatchEnv(family, 3)]
    apart = [make(family.name, 3), make(family.name, 3)]
    rng = np.random.default_rng(0)
    for seed, pair in enumerate(zip(shared, apart, strict=True)):
        for env in pair:
            env.reset(seed=seed, options={"tasks": env.space.sample(3, "train", np.random.default_rng(seed))})
    for _ in range(5):
        actions = rng.uniform(-1, 1, (3, shared[0].model.nu))
        for one, other in zip(shared, apart, strict=True):
            for mine, theirs in zip(one.step(actions)[:4], other.step(actions)[:4], strict=True):
                np.testing.assert_array_equal(mine, theirs)
    assert vars(family) == before


def test_options_are_told_from_settings():
    assert make("HalfCheetahVel", 2, max_velocity=5.0, horizon=7).horizon == 7
    with pytest.raises(TypeError, match=r"HalfCheetahVel has no option 'max_velocty' \(did you mean 'max_velocity'"):
        make("HalfCheetahVel", 2, max_velocty=5.0)
    with pytest.raises(TypeError, match=r"options \['max_velocity'\] belong to the family"):
        make(make_family("HalfCheetahVel"), 2, max_velocity=5.0)
    with pytest.raises(TypeError, match="BatchEnv needs a Family, got 'AntDir'; metarl.envs.make takes a name"):
        BatchEnv("AntDir", 2)


def test_a_vector_makes_no_pictures_and_says_who_does():
    name = "metarl.envs:metarl/Navigation2D-v0"
    gymnasium.make_vec(name, num_envs=2, render_mode=None)
    with pytest.raises(ValueError, match=r"^got render_mode 'rgb_array', expected None: .*; use gymnasium.make,"):
        gymnasium.make_vec(name, num_envs=2, render_mode="rgb_array")


class Shuttle(family_class("Navigation2D")):
    name = "Shuttle"


def test_gymnasium_knows_an_added_family(monkeypatch):
    monkeypatch.setattr(plugins, "_added", {})
    FAMILIES.add("Shuttle", Shuttle)
    try:
        assert isinstance(gymnasium.make("metarl/Shuttle-v0").unwrapped.batch_env.family, Shuttle)
        assert isinstance(gymnasium.make_vec("metarl/Shuttle-v0", num_envs=2, horizon=3), BatchEnv)
    finally:
        gymnasium.registry.pop("metarl/Shuttle-v0")


@pytest.mark.parametrize("first", ["import gymnasium, metarl.envs", "import metarl.envs, gymnasium"])
def test_gymnasium_has_the_ids_whichever_is_imported_first(first):
    code = f"""
        {first}
        assert len([i for i in gymnasium.registry if i.startswith("metarl/")]) == 32
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
