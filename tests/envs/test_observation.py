"""What families say of their observations, against the observations and against docs/reference/observations.md."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import make, make_family
from metarl.envs.observation import Observed, positions, table, velocities

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "observations.md").read_text(encoding="utf-8")
N = 3


def evaluated(entry: Observed, data: mujoco.MjData) -> float:
    """What the source of an entry gives for data; derived fields are as mj_forward leaves them."""
    functions = {"clip": np.clip, "cos": np.cos, "sin": np.sin}
    fields = {name: getattr(data, name) for name in re.findall(r"[a-z_]+(?=\[)", entry.source)} | {"time": data.time}
    return eval(entry.source, {"__builtins__": {}}, functions | fields)


@pytest.mark.slow
def test_every_number_is_what_it_is_said_to_be(every_family):
    name, options = every_family
    env = make(name, N, autoreset_mode="Disabled", **options)
    entries = env.family.observation_names()
    assert len(entries) == env.single_observation_space.shape[0]
    assert len({entry.name for entry in entries}) == len(entries)
    observation, _ = env.reset(seed=0, options={"tasks": env.space.sample(N, "train", np.random.default_rng(0))})
    for moved in (False, True):
        if moved:
            for action in np.random.default_rng(0).uniform(-1, 1, (5, N, env.model.nu)):
                observation = env.step(action)[0]
        for i in range(N):
            model, data = env.model_of(i), env.data_of(i)
            if not moved:
                mujoco.mj_forward(model, data)
            for entry, value in zip(entries, observation[i], strict=True):
                if not moved or entry.source.removeprefix("clip(").startswith(("qpos", "qvel")):
                    # a closed form stands for MuJoCo's own sum of the centre of mass
                    assert value == pytest.approx(evaluated(entry, data), rel=1e-12, abs=1e-12), entry


@pytest.mark.slow
def test_elements_and_units_are_the_models(every_family):
    name, options = every_family
    family = make_family(name, **options)
    model = family.build()
    for entry in family.observation_names():
        kind, _, element = entry.element.partition(" ")
        found = getattr(model, kind)(int(element) if element.isdigit() else element)
        assert found.name == element or not found.name
        assert entry.unit in ("1", "m", "rad", "m/s", "rad/s", "N", "N m", "kg", "kg m", "kg m^2", "m/s^2")
        address = re.search(r"(qpos|qvel)\[(\d+)\]", entry.source)
        if kind == "joint" and address:
            first, size = (found.qposadr, 7) if address[1] == "qpos" else (found.dofadr, 6)
            size = size if int(model.jnt_type[found.id]) == int(mujoco.mjtJoint.mjJNT_FREE) else 1
            assert first[0] <= int(address[2]) < first[0] + size
        if kind == "body" and "cos" not in entry.source:
            assert int(re.search(r"\[(\d+)", entry.source)[1]) == found.id


def test_every_kind_of_joint_is_named():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='f' type='free'/><geom size='1'/><body><joint name='b' type='ball'/>"
        "<geom size='1'/><body><joint name='s' type='slide'/><joint name='h'/><geom size='1'/></body></body></body>"
        "</worldbody></mujoco>"
    )
    names = [entry.name for entry in positions(model)]
    assert names[2:5] == ["f z", "f quaternion w", "f quaternion x"]
    assert names[7:] == [*(f"b quaternion {axis}" for axis in "wxyz"), "s position", "h angle"]
    rates = velocities(model, limit=2.5)
    assert [entry.name for entry in rates][5:] == [
        "f angular velocity z", *(f"b angular velocity {axis}" for axis in "xyz"), "s velocity", "h angular velocity"
    ]
    assert rates[9] == Observed("s velocity", "m/s", "joint s", "clip(qvel[9], -2.5, 2.5)")
    assert len(positions(model)) == model.nq and len(rates) == model.nv


def numbers(text):
    """(index, what is observed, of which element) of every number that the rows of a table stand for."""
    for index, names, _, element in re.findall(r"^\| (\d[\d-]*) \| (.*?) \| (.*?) \| (.*?) \|", text, re.MULTILINE):
        parts = names.split(", ")
        alike = [(name, int(first)) for name, first in re.findall(r"([^,()]+) \((\d+)\)", element.partition(" ")[2])]
        for name, first in alike or [(element.partition(" ")[2], int(index.partition("-")[0]))]:
            yield from ((first + i, part.removeprefix(name).strip(), name.strip()) for i, part in enumerate(parts))


def test_the_document_is_true():
    """After a change: replace the table in docs/reference/observations.md by what table(...) gives."""
    sections = re.findall(r"^## (`.*)\n([\s\S]*?)(?=^## |\Z)", TEXT, re.MULTILINE)
    assert len(sections) == 12
    for heading, text in sections:
        name, *options = re.findall(r"`([^`]*)`", heading)
        family = make_family(name, **eval(f"dict({','.join(options)})"))
        assert "\n".join(re.findall(r"^\|.*", text, re.MULTILINE)) == table(family.observation_names()), heading
        assert list(numbers(text)) == [
            (i, entry.name.removeprefix(entry.element.partition(" ")[2]).strip(), entry.element.partition(" ")[2])
            for i, entry in enumerate(family.observation_names())
        ], heading
        fewer = re.search(r"the first (\d+)", text)
        if fewer:
            assert len(make_family(name).observation_names()) == int(fewer[1])
