"""Contacts, commands and pushes of a robot from YAML, and what is paid of them, against a plain loop of MuJoCo."""

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv
from metarl.envs.own_robot.robot import OwnRobot
from metarl.util.safe_yaml import parse_yaml, write_yaml

MJCF = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="9 9 .1"/>
    <body name="ball" pos="0 0 .3"><freejoint/>
      <geom name="ball" size=".1" mass="1" solref="-3000 -5"/><geom name="lamp" size=".02" pos="0 0 .2" mass=".05"/>
      <body name="arm" pos=".1 0 0"><joint name="arm" axis="0 1 0" damping=".01"/><geom name="hand" size=".03" pos=".2 0 0"/>
      </body>
    </body>
    <body name="post" pos="3 0 .5"><joint name="post" type="slide" axis="1 0 0"/><geom size=".05" mass="2"
      contype="0" conaffinity="0"/></body>
  </worldbody>
  <actuator><motor name="arm" joint="arm" ctrlrange="-.2 .2"/></actuator>
</mujoco>
"""  # noqa: E501
ROBOT = """
name: Ball
mjcf: ball.xml
control: {rate: 50}
observation: [{signal: joint_position}]
reward: {still: {signal: constant, weight: 1}}
parameters: {mass: {default: 1, low: 0.5, high: 2, writes: {quantity: mass, elements: ball}}}
"""


@pytest.fixture
def robot(tmp_path):
    """The robot above with other sections."""
    (tmp_path / "ball.xml").write_text(MJCF)

    def build(**sections) -> OwnRobot:
        path = tmp_path / "robot.yaml"
        path.write_text(write_yaml(parse_yaml(ROBOT) | sections))
        return OwnRobot(str(path))

    return build


FEET = ["ball", "hand"]
TOUCH = {"of": FEET, "against": "floor"}
OBSERVED = [
    {"signal": "contact", **TOUCH}, {"signal": "contact_force", **TOUCH}, {"signal": "air_time", **TOUCH},
    {"signal": "contact_time", **TOUCH}, {"signal": "slip", **TOUCH}, {"signal": "contact", "of": "lamp"},
]  # fmt: skip


def plain_contacts(model, data) -> np.ndarray:
    """Of the geoms ball and hand: whether they touch the floor, net force, horizontal speed of the frame; lamp."""
    floor, force = data.geom("floor").id, np.zeros(6)
    found, net = np.zeros(2), np.zeros((2, 3))
    lamp = 0.0
    for i, contact in enumerate(data.contact):
        mujoco.mj_contactForce(model, data, i, force)
        for k, geoms in enumerate(([model.geom("ball").id, model.geom("lamp").id], [model.geom("hand").id])):
            if floor in contact.geom and set(contact.geom) & set(geoms):
                found[k] = 1
                net[k] += contact.frame.reshape(3, 3).T @ force[:3]
        lamp = max(lamp, float(model.geom("lamp").id in contact.geom))
    speeds = []
    for kind, name in ((mujoco.mjtObj.mjOBJ_XBODY, "ball"), (mujoco.mjtObj.mjOBJ_GEOM, "hand")):
        velocity = np.zeros(6)
        index = (model.body if name == "ball" else model.geom)(name).id
        mujoco.mj_objectVelocity(model, data, kind, index, velocity, 0)
        speeds.append(np.hypot(velocity[3], velocity[4]))
    return np.concatenate([found, np.linalg.norm(net, axis=1), found * speeds, [lamp]])


def test_contacts_are_those_of_a_plain_loop(robot):
    """A ball that bounces, spins and slides, with an arm: states bit for bit, times counted by hand."""
    start = {"bodies": {"ball": {"velocity": {"x": 0.7, "pitch": 3.0}}}, "velocity_noise": 0.2}
    reward = {"landing": {"signal": "landing_air_time", **TOUCH, "threshold": 0.1, "weight": 2.0},
              "forbidden": {"signal": "contact", "of": "hand", "weight": -1}}  # fmt: skip
    own = robot(observation=OBSERVED, reward=reward, start=start, horizon=200)
    env = BatchEnv(own, 3, autoreset_mode="Disabled", num_threads=2)
    env.reset(seed=1, options={"tasks": env.space.tasks(mass=[1, 0.7, 1.5])})
    model, rng = [env.model_of(i) for i in range(3)], np.random.default_rng(0)
    data = [env.data_of(i) for i in range(3)]
    air, ground = np.zeros((3, 2)), np.zeros((3, 2))
    landed = touched = 0
    for _ in range(120):
        action = rng.uniform(-1, 1, (3, 1))
        observation, _, _, _, info = env.step(action)
        for i in range(3):
            data[i].ctrl[:] = 0.2 * np.clip(action[i], -1, 1)
            mujoco.mj_step(model[i], data[i], nstep=4)
            assert np.array_equal(data[i].qpos, env.batch.bind("qpos")[i])
            found, force, slip, lamp = np.split(plain_contacts(model[i], data[i]), [2, 4, 6])
            landing = np.where((found > 0) & (air[i] > 0), air[i] - 0.1, 0)
            air[i], ground[i] = np.where(found, 0, air[i] + 0.02), np.where(found, ground[i] + 0.02, 0)
            expected = np.concatenate([found, force, air[i], ground[i], slip, lamp])
            np.testing.assert_allclose(observation[i], expected, rtol=1e-9, atol=1e-12)
            assert info["reward_terms"]["landing"][i] == pytest.approx(2.0 * landing.sum(), abs=1e-12)
            assert info["reward_terms"]["forbidden"][i] == -found[1]
            landed, touched = landed + (landing != 0).sum(), touched + found.sum()
    assert landed > 10 and touched > 50, "the test is of nothing"


def test_a_contact_ends_an_episode_and_costs(robot):
    termination = {"touch": {"signal": "contact", "of": "ball", "against": "floor", "above": 0.5, "reward": -7}}
    env = BatchEnv(robot(termination=termination), 2, autoreset_mode="Disabled")
    env.reset(seed=0)
    ends = []
    while not any(ends):
        _, reward, terminated, _, info = env.step(np.zeros((2, 1)))
        ends.append(bool(terminated.all()))
        assert info["reward_terms"]["touch"].tolist() == [-7.0 * ends[-1]] * 2 and reward[0] == 1 - 7 * ends[-1]
    assert len(ends) == 11  # 0.2 m take 0.202 s: the contact of the eleventh step
    assert env.step(np.zeros((2, 1)))[1].tolist() == [0, 0]


def test_the_name_of_a_termination_that_costs_is_of_no_reward(robot):
    termination = {"still": {"signal": "constant", "above": 2, "reward": -7}}
    with pytest.raises(ValueError, match="termination.still: got the name of a reward term, expected another one"):
        robot(termination=termination)


VALUES = {"forward": {"unit": "m/s", "low": 0.5, "high": 1.5}, "turn": {"unit": "rad/s", "low": -1, "high": -0.5}}
COMMANDS = {"resampling_time": [0.1, 0.2], "zero": 0.25, "values": VALUES}


def test_commands_are_drawn_anew_in_an_episode_and_paid_as_they_were_observed(robot):
    observation = [{"signal": "command"}, {"signal": "command", "commands": "turn"}]
    reward = {"follow": {"signal": "constant", "weight": 1, "target": "forward"},
              "both": {"signal": "command", "weight": 1, "shape": "absolute", "target": ["forward", 0]}}  # fmt: skip
    own = robot(commands=COMMANDS, observation=observation, reward=reward)
    assert [entry.name for entry in own.observation_names()][:2] == ["forward", "turn"]
    assert [entry.unit for entry in own.observation_names()][:2] == ["m/s", "rad/s"]
    env = BatchEnv(own, 100, autoreset_mode="Disabled", horizon=100)
    seen = [env.reset(seed=0)[0]]
    for _ in range(60):
        observation, _, _, _, info = env.step(np.zeros((100, 1)))
        np.testing.assert_array_equal(info["reward_terms"]["follow"], 1 - seen[-1][:, 0])
        np.testing.assert_array_equal(info["reward_terms"]["both"], np.abs(seen[-1][:, 1]))
        seen.append(observation)
    told = np.array(seen)[:, :, :2]
    np.testing.assert_array_equal(np.array(seen)[:, :, 2], told[:, :, 1])
    changes = [np.flatnonzero((np.diff(told[:, i], axis=0) != 0).any(axis=1)) + 1 for i in range(100)]
    waits = np.concatenate([np.diff(steps) for steps in changes])
    # two draws of zero in a row look like one: only those of a few steps are single
    assert set(waits[waits <= 10]) == set(range(5, 11)) and min(waits) == 5
    still = np.concatenate([(told[steps[:-1], i] == 0).all(axis=1) for i, steps in enumerate(changes)])
    assert set(waits[still & (waits <= 10)]) == set(range(5, 11)), "whether to stand and for how long are one number"
    drawn = np.concatenate([told[[0, *steps], i] for i, steps in enumerate(changes)])
    standing = (drawn == 0).all(axis=1)
    assert 0.15 < standing.mean() < 0.3 and ((drawn == 0).any(axis=1) == standing).all()
    forward, turn = drawn[~standing].T
    assert 0.5 <= forward.min() < 0.55 and 1.45 < forward.max() <= 1.5
    assert -1 <= turn.min() < -0.98 and -0.52 < turn.max() <= -0.5
    assert abs(np.corrcoef(forward, turn)[0, 1]) < 0.15
    first = told[0]
    assert len(np.unique(first[:, 0])) > 60 and not np.array_equal(env.reset()[0][:, :2], first)


def test_a_command_without_resampling_holds_for_an_episode(robot):
    commands = {"values": COMMANDS["values"]}
    env = BatchEnv(robot(commands=commands, observation=[{"signal": "command"}], horizon=5), 4)
    first = env.reset(seed=0)[0]
    for _ in range(5):
        now, *_ = env.step(np.zeros((4, 1)))
        np.testing.assert_array_equal(now, first)
    assert (env.step(np.zeros((4, 1)))[0] != first).all()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_simulation_does_not_know_how_many_there_are(robot, mode):
    pushes = {"shove": {"body": "ball", "velocity": {"x": [-0.5, 0.5]}, "interval": [0.1, 0.3]},
              "pull": {"body": "post", "force": {"x": [-5, 5]}, "duration": 0.1, "interval": 0.2}}  # fmt: skip
    observation = [*OBSERVED, {"signal": "command"}, {"signal": "joint_position"}]
    own = robot(commands=COMMANDS, pushes=pushes, observation=observation, horizon=30)
    recorded = {}
    for ids in (range(5), (3,)):
        env = BatchEnv(own, len(ids), autoreset_mode=mode, num_threads=len(ids) % 4)
        env.reset(seed=[10 + i for i in ids])
        steps, at = [env.step(np.full((len(ids), 1), 0.3))[:2] for _ in range(70)], list(ids).index(3)
        recorded[len(ids)] = np.array([np.concatenate([seen[at], [paid[at]]]) for seen, paid in steps])
    np.testing.assert_array_equal(recorded[5], recorded[1])


def test_a_push_adds_velocity_at_its_time(robot):
    """In the world's axes, whatever the ball's orientation; between pushes the ball is MuJoCo's alone."""
    push = {"body": "ball", "velocity": {"x": [-2, 2], "z": 1.5, "yaw": 3.0}, "onset": 0.1, "interval": 0.3}
    start = {"bodies": {"ball": {"z": 5.0, "roll": 1.0}}}
    env = BatchEnv(robot(pushes={"shove": push}, start=start), 40, autoreset_mode="Disabled")
    env.reset(seed=0)
    model, rows = env.model_of(0), []
    for step in range(45):
        before = [env.data_of(i) for i in range(40)]
        env.step(np.zeros((40, 1)))
        for i, data in enumerate(before):
            mujoco.mj_forward(model, data)
            quat = data.body("ball").xmat.reshape(3, 3).copy()
            data.ctrl[:] = 0
            if step in (5, 20, 35):
                x = env.batch.bind("userdata")[i, 6]
                data.qvel[:3] += [x, 0, 1.5]
                data.qvel[3:6] += quat.T @ [0, 0, 3.0]
                rows.append(x)
            mujoco.mj_step(model, data, nstep=4)
            np.testing.assert_allclose(data.qvel, env.batch.bind("qvel")[i], atol=1e-10)
    sizes = np.array(rows)
    assert -2 <= sizes.min() < -1.8 and 1.8 < sizes.max() <= 2 and len(np.unique(sizes)) == 120


def test_a_force_acts_for_its_duration_and_a_task_may_scale_it(robot):
    """A mass of 2 kg on a slide under 4 N for 0.1 s, times the parameter: 0.2 m/s for each, after a push at 0.2 s."""
    push = {"body": "post", "force": {"x": 4.0}, "duration": 0.1, "onset": 0.2, "scale": "gust"}
    parameters = {"gust": {"default": 1, "low": 0, "high": 3}}
    observation = [{"signal": "joint_velocity", "joints": "post"}]
    own = robot(pushes={"gust": push}, parameters=parameters, observation=observation)
    env = BatchEnv(own, 3, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(gust=[1, 2.5, 0])})
    seen = np.array([env.step(np.zeros((3, 1)))[0][:, 0] for _ in range(40)])
    assert (seen[:10] == 0).all() and (np.diff(seen[9:15, :2], axis=0) > 0).all()
    np.testing.assert_allclose(seen[14:] - [0.2, 0.5, 0], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("push", "line"),
    [
        ({"interval": 1}, ": got neither, expected one of velocity and force"),
        ({"force": {"x": 1}}, ": got neither onset nor interval, expected when it is pushed"),
        ({"body": "post", "velocity": {"x": 1}, "interval": 1}, '.body: got "post", expected a body with a free joint'),
        ({"force": {"x": 1}, "interval": 0}, ".interval: got 0, expected s above 0, or a range"),
        ({"body": "bal", "force": {"x": 1}, "interval": 1}, '.body: got "bal", expected one of the bodies (did'),
    ],
)  # fmt: skip
def test_pushes_that_cannot_be_are_told(robot, push, line):
    with pytest.raises(ValueError) as refusal:
        robot(pushes={"p": {"body": "ball"} | push})
    assert f"pushes.p{line}" in str(refusal.value)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"commands": {"values": {"mass": {"low": 0, "high": 1}}}}, "expected names that are no parameters (mass)"),
        ({"commands": {"values": {"a": {"low": 2, "high": 1}}}}, "values.a.high: got 2 and 1, expected low < high"),
        ({"commands": COMMANDS, "observation": [{"signal": "command", "commands": "forwrd"}]},
         'observation.0.commands: got "forwrd", expected names of commands (did you mean \'forward\'?)'),
        ({"observation": [{"signal": "contact", "of": "bal"}]},
         'observation.0.of: got "bal", expected names of geoms or bodies (did you mean \'ball\'?)'),
        ({"reward": {"r": {"signal": "constant", "weight": 1, "target": "forward"}}},
         'reward.r.target.0: got "forward", expected one of the parameters or commands'),
    ],
)  # fmt: skip
def test_commands_and_contacts_that_cannot_be_are_told(robot, sections, line):
    with pytest.raises(ValueError) as refusal:
        robot(**sections)
    assert line in str(refusal.value)


def test_shapes_and_products_are_their_formulas(robot):
    """Of a post at rest at 0 and a clock, whose numbers are known."""
    clock = {"signal": "clock", "period": 0.8}
    near = {"signal": "joint_position", "joints": "post", "target": 0.3, "tolerance": 0.2}
    reward = {
        "exp": near | {"shape": "exp", "weight": 2}, "tanh": near | {"shape": "tanh", "weight": 1},
        "product": clock | {"shape": "square", "target": [2, 0], "weight": 3, "times": [
            near | {"shape": "exp_squared"}, {"signal": "constant", "target": 0.4}]},
        "gated": clock | {"weight": 1, "times": [clock | {"shape": "above", "target": -0.5}]},
    }  # fmt: skip
    env = BatchEnv(robot(reward=reward), 1)
    env.reset(seed=0)
    gates = set()
    for step in range(1, 30):
        terms = env.step(np.zeros((1, 1)))[4]["reward_terms"]
        c, s = np.cos(2 * np.pi * 0.02 * step / 0.8), np.sin(2 * np.pi * 0.02 * step / 0.8)
        gate = float(c > -0.5 and s > -0.5)
        expected = {"exp": 2 * np.exp(-1.5), "tanh": 1 - np.tanh(1.5), "gated": gate * (c + s),
                    "product": 3 * ((c - 2) ** 2 + s**2) * np.exp(-2.25) * 0.6}  # fmt: skip
        for name, value in expected.items():
            assert terms[name][0] == pytest.approx(value, abs=1e-12), name
        gates.add(gate)
    assert gates == {0.0, 1.0}


def test_a_restored_state_goes_on_exactly(robot):
    """All of a course is in the simulations' state: commands, pushes and times in the air."""
    pushes = {"shove": {"body": "ball", "velocity": {"x": [-0.5, 0.5]}, "interval": [0.1, 0.3]}}
    own = robot(commands=COMMANDS, pushes=pushes, observation=[*OBSERVED, {"signal": "command"}])
    env = BatchEnv(own, 3, autoreset_mode="Disabled")
    env.reset(seed=0)
    for _ in range(20):
        env.step(np.zeros((3, 1)))
    state = env.batch.state.copy()
    first = [env.step(np.zeros((3, 1)))[0] for _ in range(20)]
    env.batch.state[:] = state
    again = [env.step(np.zeros((3, 1)))[0] for _ in range(20)]
    np.testing.assert_array_equal(first, again)
