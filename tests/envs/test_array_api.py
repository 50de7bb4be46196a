"""Families do not know whose arrays they compute with: the same numbers with PyTorch's and a strict standard's."""

import array_api_strict
import numpy as np
import pytest
import torch
from sled import sled

from metarl.envs import FAMILIES, BatchEnv, MissingExtra, make_family
from metarl.envs.family import endless

N, STEPS = 5, 12
OPTIONS = [
    ("HalfCheetahDir", {"variant": "maml"}), ("HalfCheetahVel", {"variant": "varibad"}),
    ("AntVel", {"contact_forces": True}), ("AntDir", {"published": "varibad"}),
    ("HumanoidDir", {"contact_forces": True}), ("ReacherGoal", {"goal_visible": True}),
    ("PusherGoal", {"goal_visible": True}), ("SwimmerVel", {"published": "promp"}),
    ("MetaWorldML1", {"env_name": "bin-picking-v3"}), ("MetaWorldML1", {"env_name": "peg-insert-side-v3"}),
    ("MetaWorldML1", {"env_name": "assembly-v3", "reward_version": 1}),
]
CASES = [(name, {}) for name in FAMILIES if FAMILIES[name].batched] + OPTIONS


class Elsewhere:
    """A Batch whose arrays are those of another library, in the same memory where they may be written."""

    def __init__(self, batch, convert):
        self.batch, self.convert, self.model, self.nsim = batch, convert, batch.model, batch.nsim
        self.step, self.get_data = batch.step, batch.get_data

    def bind(self, name):
        return self.convert(self.batch.bind(name))

    def expand(self, name):
        return self.convert(self.batch.expand(name))


def as_torch(array):
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def as_strict(array):
    return array_api_strict.asarray(array)


@pytest.mark.slow
@pytest.mark.parametrize(("convert", "tolerance"), [(as_torch, 1e-12), (as_strict, 0.0)], ids=["torch", "strict"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_family_computes_the_same_with_the_arrays_of_another_library(name, options, convert, tolerance):
    family, rng = make_family(name, **options), np.random.default_rng(0)
    try:
        env = BatchEnv(endless(family), N)
    except MissingExtra as missing:
        pytest.skip(str(missing))
    env.reset(seed=1, options={"tasks": env.space.sample(N, "train", rng)})
    sim, other = env.batch, Elsewhere(env.batch, convert)
    low, high = family.control_range(env.model)
    values, kind = env.parameters, type(convert(np.zeros(1)))

    def agree(found, expected):
        assert isinstance(found, kind)
        found = np.asarray(found)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    for _ in range(STEPS):
        ctrl = rng.uniform(low, high, (N, len(low)))
        before, before_there = family.before(sim), family.before(other)
        family.advance(other, convert(ctrl), None)
        derived, derived_there = family.derive(sim), family.derive(other)
        agree(family.observe(other, derived_there), family.observe(sim, derived))
        terms = family.reward_terms(sim, derived, before, ctrl, values)
        terms_there = family.reward_terms(other, derived_there, before_there, convert(ctrl), convert(values))
        assert list(terms) == list(terms_there)
        for term, expected in terms.items():
            assert expected.shape == (N,)
            agree(terms_there[term], expected)
        solved = family.solved(sim, derived, values)
        if solved is not None:
            agree(family.solved(other, derived_there, convert(values)), solved)
        ended = family.terminated(sim, values)
        if ended is None:
            assert family.terminated(other, convert(values)) is None
        else:
            agree(family.terminated(other, convert(values)), ended)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize(("convert", "tolerance"), [(as_torch, 1e-12), (as_strict, 0.0)], ids=["torch", "strict"])
def test_so_does_a_robot_from_yaml_in_the_course_of_its_episodes(tmp_path, convert, tolerance):
    """Commands, pushes and times in the air: their memory, and what is observed and paid of them."""
    robot, kind = endless(sled(tmp_path)), type(convert(np.zeros(1)))
    env, there = (BatchEnv(robot, N) for _ in range(2))
    tasks, rng = env.space.sample(N, "train", np.random.default_rng(0)), np.random.default_rng(1)
    for each in (env, there):
        each.reset(seed=1, options={"tasks": tasks})
    sim, other = env.batch, Elsewhere(there.batch, convert)
    for step in range(2 * STEPS):
        ctrl = rng.uniform(-0.2, 0.2, (N, 1))
        before, before_there = robot.before(sim), robot.before(other)
        ids = None if step % 5 else np.arange(1, N)
        robot.advance(sim, ctrl, ids)
        robot.advance(other, convert(ctrl), ids)
        for name in ("userdata", "xfrc_applied", "qpos", "qvel"):
            np.testing.assert_allclose(there.batch.bind(name), sim.bind(name), rtol=tolerance, atol=tolerance)
        terms = robot.reward_terms(sim, None, before, ctrl, env.parameters)
        found = robot.reward_terms(other, None, before_there, convert(ctrl), convert(env.parameters))
        pairs = [(found[name], term) for name, term in terms.items()]
        for tensor, array in [*pairs, (robot.observe(other, None), robot.observe(sim, None))]:
            assert isinstance(tensor, kind)
            np.testing.assert_allclose(np.asarray(tensor), array, rtol=tolerance, atol=tolerance)
    memory = sim.bind("userdata")
    assert memory[:, 3].tolist() == [19.0, *[24.0] * (N - 1)] and np.ptp(memory[:, 4:6], axis=0).min() > 0


def test_the_course_of_an_episode_stays_on_another_device(tmp_path, second_device):
    """There, an operation on tensors of two devices is an error, and so is asking for a number."""
    with torch.utils._python_dispatch._disable_current_modes():
        robot = sled(tmp_path)
        fields = BatchEnv(robot, N).batch
        shapes = {name: fields.bind(name).shape for name in ("userdata", "qpos", "qvel", "xfrc_applied", "sensordata")}
        shapes |= {"numeric_data": fields.expand("numeric_data").shape, "ctrl": (N, 1), "time": (N,)}
        shapes |= {"opt.gravity": (N, 3)}

    class Fake:
        model, nsim, there = robot.build(), N, {name: second_device(*shape) for name, shape in shapes.items()}

        def bind(self, name):
            return self.there[name]

        expand = bind

        def step(self, *_, **__):
            pass

    sim = Fake()
    before = {name: tensor._version for name, tensor in sim.there.items()}
    robot.advance(sim, second_device(N, 1), None)
    observation = robot.observe(sim, None)
    terms = robot.reward_terms(sim, None, second_device(N, 1), second_device(N, 1), second_device(N, robot.space.dim))
    for tensor in (observation, robot.terminated(sim, observation), *terms.values()):
        assert tensor.device.type == "meta"
    assert observation.dtype == torch.float32 and observation.shape == (N, len(robot.sensed_names()))
    moved = {name for name, tensor in sim.there.items() if tensor._version > before[name]}
    assert moved == {"userdata", "qvel", "xfrc_applied", "ctrl"}
