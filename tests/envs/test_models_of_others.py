"""What models have that nobody here wrote: each kind that was once got wrong, with the right value."""

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from metarl.envs import BatchEnv, Family, Parameter, TaskSpace, Write
from metarl.envs.actuators import fix_muscle_forces, robot_body
from metarl.envs.checks import assert_effective
from metarl.envs.own_robot.robot import OwnRobot
from metarl.envs.writer import Writer

from .test_own_robot import LINK, MOTOR, refused, small


def parameter(quantity: str, low: float, high: float, default: float = 1, **writes) -> dict:
    return {"default": default, "low": low, "high": high, "writes": {"quantity": quantity} | writes}


GOAL = {"goal": {"default": 0, "low": -1, "high": 1}}


def names(env: BatchEnv) -> list[str]:
    return [entry.name for entry in env.family.observation_names()]


def test_gravity_in_a_frame_is_that_of_the_task(tmp_path):
    body = "<body name='b' euler='0 90 0'><joint name='a' axis='0 1 0'/><geom size='.1'/></body>"
    parameters = GOAL | {"gx": parameter("gravity", -9, 9, 0, mode="add", axis="x"), "g": parameter("gravity", 0, 1)}
    observation = [{"signal": "body_gravity", "of": ["b", "world"]}]
    env = BatchEnv(OwnRobot(small(tmp_path, body, MOTOR, observation=observation, parameters=parameters)), 3)
    seen, _ = env.reset(seed=0, options={"tasks": env.space.tasks(goal=0, gx=[0, 5, 0], g=[1, 1, 0])})
    size = np.hypot(5, 9.81)
    # a turn of 90 degrees about y: the frame's x is -z of the world, its z is x
    expected = [[1, 0, 0, 0, 0, -1], [9.81 / size, 0, 5 / size, 5 / size, 0, -9.81 / size], [0] * 6]
    np.testing.assert_allclose(seen, expected, atol=1e-15)
    assert seen[1, 3:].round(3).tolist() == [0.454, 0, -0.891]
    model, data = env.model_of(1), env.data_of(1)
    mujoco.mj_forward(model, data)
    fields = {"sensordata": data.sensordata, "opt": model.opt, "sqrt": np.sqrt}
    np.testing.assert_allclose([eval(entry.source, fields) for entry in env.family.observation_names()], seen[1])


SERVO = "<position name='m' joint='a' kp='100'/>"
SENSORS = "<sensor><actuatorfrc name='force' actuator='m'/><jointpos name='angle' joint='a'/></sensor>"


def test_sensors_of_replaced_actuators_go_with_them(tmp_path):
    rest, torque = f"<actuator>{SERVO}</actuator>{SENSORS}", {"kind": "torque", "limit": 1}
    path = small(tmp_path, LINK.format("a", ""), rest, control=torque, observation=[{"signal": "sensor"}])
    assert names(BatchEnv(OwnRobot(path), 1)) == ["angle"]
    observed = [{"signal": "sensor", "sensors": ["angle", "force"]}]
    (line,) = refused(small(tmp_path, LINK.format("a", ""), rest, control=torque, observation=observed))
    got = 'observation.0.sensors: got ["angle", "force"], expected names of sensors'
    assert line == f"{got}: 'force' is of an actuator that control replaces"
    same = rest.replace("'m'", "'a'")  # the new motor has the name of the old
    path = small(tmp_path, LINK.format("a", ""), same, control=torque, observation=observed)
    env = BatchEnv(OwnRobot(path), 1)
    env.reset(seed=0)
    assert env.step([[0.5]])[0][0, 1] == 0.5


def test_a_servo_starts_at_home_where_its_joint_has_a_ref(tmp_path):
    body = "<body name='a'><joint name='a' axis='0 1 0' ref='30'/><geom size='.1'/></body>"
    control = {"kind": "position", "kp": 100, "limit": 90, "action_range": 0.5}
    observation = [{"signal": name} for name in ("joint_position", "action", "actuator_force")]
    parameters = GOAL | {"delay": {"default": 0, "choices": [0, 1], "writes": {"quantity": "action_delay"}}}
    rest = "<option gravity='0 0 0'/>"
    env = BatchEnv(OwnRobot(small(tmp_path, body, rest, control=control, observation=observation,
                                  parameters=parameters)), 2)  # fmt: skip
    start, _ = env.reset(seed=0, options={"tasks": env.space.tasks(goal=0, delay=[0, 1])})
    np.testing.assert_allclose(start, [[np.radians(30), 0, 0]] * 2, atol=1e-15)
    after, *_ = env.step(np.ones((2, 1)))
    assert after[0, 0] > np.radians(30) + 0.01 and after[0, 1] == pytest.approx(1)  # sent half a radian on
    np.testing.assert_allclose(after[1], [np.radians(30), 0, 0], atol=1e-12)  # held where it was


def test_before_the_first_command_arrives_the_controls_of_the_start_hold(tmp_path):
    rest = "<actuator><position name='m' joint='a' kp='50' kv='5' ctrlrange='-1 3'/></actuator>" \
           "<keyframe><key name='home' qpos='.5' ctrl='.5'/></keyframe><option gravity='0 0 0'/>"  # fmt: skip
    delay = {"default": 0, "choices": [0, 3], "writes": {"quantity": "action_delay"}}
    path = small(tmp_path, LINK.format("a", ""), rest, start={"keyframe": "home"}, parameters=GOAL | {"delay": delay})
    env = BatchEnv(OwnRobot(path), 1)
    seen = [env.reset(seed=0, options={"tasks": env.space.tasks(goal=0, delay=[3])})[0]]
    seen += [env.step(np.ones((1, 1)))[0] for _ in range(4)]
    assert [float(x[0, 0]) for x in seen[:4]] == [0.5] * 4 and seen[4][0, 0] > 0.6


def test_activation_is_seen_of_what_has_one(tmp_path):
    body = "<body name='a'><joint name='a' axis='0 1 0' range='-50 50'/><geom size='.1' pos='.3 0 0'/></body>"
    rest = "<actuator><motor name='motor' joint='a' ctrlrange='-1 1'/><muscle name='muscle' joint='a'" \
           " ctrlrange='0 1' timeconst='.01 .01'/></actuator>"  # fmt: skip
    observation = [{"signal": "actuator_activation"}]
    env = BatchEnv(OwnRobot(small(tmp_path, body, rest, observation=observation)), 1)
    assert names(env) == ["muscle activation"] and env.reset(seed=0)[0].tolist() == [[0]]
    assert env.step(np.array([[0, 1]]))[0][0, 0] == env.data_of(0).act[0] > 0.5
    observation[0]["actuators"] = ["motor"]
    (line,) = refused(small(tmp_path, body, rest, observation=observation))
    start = 'observation.0.actuators: got ["motor"], expected names of actuators with an activation'
    assert line == start + " (choose from 'muscle')"


CUBE = "<body name='cube'><freejoint/><geom size='.1'/></body>"


@pytest.mark.parametrize("control", [{}, {"kind": "torque", "limit": 1, "joints": ["a", "b"]}])
def test_the_camera_goes_with_the_robot_and_not_with_a_cube(tmp_path, control):
    robot = "<body name='robot' pos='0 0 1'><freejoint/><geom size='.1'/>" + LINK.format("a", LINK.format("b", ""))
    tendon = "<tendon><fixed name='t'><joint joint='b' coef='1'/></fixed></tendon>"
    motors = "<actuator><motor name='m' joint='a' ctrlrange='-1 1'/><motor tendon='t' ctrlrange='-1 1'/></actuator>"
    model = OwnRobot(small(tmp_path, CUBE + robot + "</body>", tendon + motors, control=control)).build()
    camera = model.camera("metarl_track")
    assert model.body(int(camera.bodyid[0])).name == "robot" and robot_body(model) == model.body("robot").id
    arm = "<body name='base' pos='3 0 0'><geom size='.1'/>" + LINK.format("a", LINK.format("b", "")) + "</body>"
    model = OwnRobot(small(tmp_path, CUBE + arm, tendon + motors, control=control)).build()
    camera = model.camera("metarl_track")  # stands, and looks at the arm
    assert camera.bodyid[0] == 0 and camera.pos[0] > 3 and model.body(robot_body(model)).name == "a"


MUSCLE = """<mujoco><option gravity="0 0 0"/><worldbody><body name="arm"><joint name="a" axis="0 1 0" range="-50 50"/>
  <geom name="arm" type="capsule" size=".05" fromto="0 0 0 .4 0 0"/></body></worldbody>
  <actuator>
    <muscle name="m" joint="a" {}/> <muscle name="n" joint="a" gear="-1" {}/>
    <general name="g" joint="a"/>
  </actuator></mujoco>"""


def torques(model: mujoco.MjModel, quantity: str, elements, value: float, qvel=-3.0, **write) -> list[np.ndarray]:
    """Forces (nout,) of the actuators in motion under half controls: at the default, and at a value."""
    p = Parameter("p", "1", "", 1.0, "uniform", 0.1, 9.0, writes=Write(quantity, elements, **write))
    fix_muscle_forces(model)
    batch = Batch(model, 2, 1)
    batch.bind("ctrl")[:], batch.bind("qvel")[:], batch.bind("act")[:] = 0.5, qvel, 0.5
    Writer(TaskSpace("Muscles", (p,)), model).write(batch, np.array([1]), np.array([[value]]))
    force = batch.bind("actuator_force")
    batch.forward()
    return list(force.copy())


@pytest.mark.parametrize("peak", ["", "force='80'"])
@pytest.mark.parametrize("qvel", [-3.0, 0.0, 2.0])
def test_a_muscle_is_as_strong_as_its_strength_says(peak, qvel):
    model = mujoco.MjModel.from_xml_string(MUSCLE.format(peak, peak))
    whole, weak = torques(model, "strength", "m", 0.5, qvel)
    assert abs(whole[0]) > 1
    np.testing.assert_allclose(weak, whole * [0.5, 1, 1], rtol=1e-14)
    whole, weak = torques(model, "strength", ("m", "n"), 0.8, qvel)
    np.testing.assert_allclose(weak, whole * [0.8, 0.8, 1], rtol=1e-14)


def test_a_heavier_body_has_muscles_as_strong(tmp_path):
    model = mujoco.MjModel.from_xml_string(MUSCLE.format("", ""))
    plain, data = Batch(model, 1, 1), mujoco.MjData(model)
    data.ctrl[:], data.act[:] = 0.5, 0.5
    mujoco.mj_forward(model, data)
    plain.bind("ctrl")[:], plain.bind("act")[:] = 0.5, 0.5
    same, heavy = torques(model, "mass", "arm", 4.0, qvel=0.0)
    assert np.array_equal(same, data.actuator_force) and np.array_equal(same, heavy)


def test_gain_is_of_a_motor_or_a_stiffness_at_the_same_target():
    servos = """<mujoco><worldbody><body><joint name="a"/><geom size=".1"/></body></worldbody><actuator>
      <motor name="motor" joint="a"/> <position name="position" joint="a" kp="10" kv="1"/>
      <velocity name="velocity" joint="a" kv="7"/> <intvelocity name="intvelocity" joint="a" kp="5"/>
      <general name="finger" joint="a" gainprm="80" biastype="affine" biasprm="0 -100 -10"/>
    </actuator></mujoco>"""
    model = mujoco.MjModel.from_xml_string(servos)
    expected = {"motor": 2.0, "position": 2 * 5 + 3, "velocity": 2 * (3.5 + 21), "intvelocity": 2.0 * 2.5,
                "finger": 2 * 40 + 30}  # fmt: skip
    for i, (name, force) in enumerate(expected.items()):
        whole, other = torques(model, "gain", name, 2.0)
        others = np.arange(5) != i
        assert other[i] == pytest.approx(2 * whole[i] if name in ("motor", "velocity") else force, abs=1e-12), name
        assert np.array_equal(whole[others], other[others])
    # where the servo has come to rest it stays, whatever its gain
    for i, (name, qpos, qvel) in enumerate([("position", 0.5, 0), ("velocity", 0, 0.5), ("intvelocity", 0.5, 0),
                                            ("finger", 0.4, 0)], 1):  # fmt: skip
        model.qpos0[:] = 0
        batch = Batch(model, 2, 1)
        batch.bind("ctrl")[:], batch.bind("act")[:] = 0.5, 0.5
        batch.bind("qpos")[:], batch.bind("qvel")[:] = qpos, qvel
        p = Parameter("p", "1", "", 1.0, "uniform", 0.1, 9.0, writes=Write("gain", name))
        Writer(TaskSpace("Servo", (p,)), model).write(batch, np.array([1]), np.array([[3.0]]))
        force = batch.bind("actuator_force")
        batch.forward()
        np.testing.assert_allclose(force[:, i], 0, atol=1e-12)


@pytest.mark.parametrize(("quantity", "actuator"), [("gain", "muscle"), ("gain", "damper"), ("strength", "pid")])
def test_what_an_actuator_does_not_have_is_refused(quantity, actuator):
    more = {"muscle": "", "damper": "kv='1' ctrlrange='0 1'", "pid": "kp='1'"}[actuator]
    joint = "<body><joint name='a' range='-50 50'/><geom size='.1' pos='.3 0 0'/></body>"
    actuators = f"<actuator><{actuator} name='m' joint='a' {more}/></actuator>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{joint}</worldbody>{actuators}</mujoco>")
    p = Parameter("p", "1", "", 1.0, "uniform", 0.1, 9.0, writes=Write(quantity, "m"))
    kind = {"damper": "affine"}.get(actuator, actuator)
    with pytest.raises(ValueError, match=f"^{quantity} is of .*; actuator 'm' is of gaintype {kind}$"):
        Writer(TaskSpace("P", (p,)), model)


DRONE = "<body name='drone' pos='0 0 1'><freejoint/><geom size='.1 .1 .02' type='box' mass='1'/>{}</body>"
THRUST = "<actuator><motor site='s' gear='0 0 1 0 0 0' ctrlrange='0 20'/></actuator>"


@pytest.mark.parametrize(("name", "element"), [("name='drone' ", "drone"), ("", 1)])
def test_a_load_is_put_on_a_body_that_was_simple(tmp_path, name, element):
    body = DRONE.format("<site name='s'/>").replace("name='drone' ", name)
    parameters = GOAL | {"load": parameter("payload", 0, 2, 0, elements=element, at=[0.1, 0, 0])}
    path = small(tmp_path, body, THRUST, parameters=parameters, observation=[{"signal": "action"}],
                 reward={"a": {"signal": "action", "weight": 1, "target": "goal"}})  # fmt: skip
    env = BatchEnv(OwnRobot(path), 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(goal=0, load=[0, 1])})
    for _ in range(5):
        env.step(np.ones((2, 1)))
    heavy = DRONE.format("<site name='s'/><geom size='1e-3' pos='.1 0 0' mass='1'/>")
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{heavy}</worldbody>{THRUST}</mujoco>")
    data = mujoco.MjData(model)
    data.ctrl[:] = 20
    mujoco.mj_step(model, data, nstep=5 * env.family.frame_skip)
    np.testing.assert_allclose(env.state()[1], [*data.qpos, *data.qvel], rtol=1e-4, atol=1e-9)


def test_a_simple_body_of_a_family_is_named():
    class Drone(Family):
        name, space = "Drone", TaskSpace("Drone", (
            Parameter("load", "kg", "", 0.0, "uniform", 0.0, 1.0, writes=Write("payload", "drone", at=(0.1, 0, 0))),
        ))  # fmt: skip

        def build(self):
            return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{DRONE.format('')}</worldbody></mujoco>")

    with pytest.raises(ValueError, match=r"^Drone: tasks move .* of \['drone'\].* simple='false' in the MJCF$"):
        BatchEnv(Drone(), 1)


def test_memory_that_is_asked_for_and_never_touched_is_not_taken(tmp_path):
    falling = LINK.format("a", "") + "<geom type='plane' size='1 1 .1' pos='0 0 -.2'/>"
    states = []
    for size in ("", "<size njmax='8000' nconmax='4000'/>", "<size memory='3G'/>", "<size nstack='500000000'/>"):
        env = BatchEnv(OwnRobot(small(tmp_path, falling, MOTOR + size)), 1)
        assert env.model.narena <= 256 << 20
        env.reset(seed=0)
        states.append([env.step(np.ones((1, 1)))[0][0, 0] for _ in range(20)])
    assert all(state == states[0] for state in states)


def test_a_robot_that_may_sleep_is_a_loop_of_single_simulations(tmp_path):
    box = "<body pos='1 0 .11'><freejoint/><geom type='box' size='.1 .1 .1'/></body>"
    body = "<geom type='plane' size='5 5 .1'/>" + box + LINK.format("a", "")
    rest = "<option><flag sleep='enable'/></option>" + MOTOR
    env = BatchEnv(OwnRobot(small(tmp_path, body, rest, horizon=60)), 2)
    actions = np.random.default_rng(0).uniform(-1, 1, (130, 2, 1))
    env.reset(seed=0)
    states = [env.state()]
    for action in actions:
        env.step(action)
        states.append(env.state())
    slept = 0
    for i in range(2):
        data = mujoco.MjData(env.model)
        for t, action in enumerate(actions):
            np.testing.assert_array_equal(states[t][i], [*data.qpos, *data.qvel])
            if t % 61 == 60:  # NEXT_STEP
                mujoco.mj_resetData(env.model, data)
                continue
            data.ctrl[:] = action[i]
            mujoco.mj_step(env.model, data, nstep=env.family.frame_skip)
            slept += int(data.ntree_awake < env.model.ntree)
    assert slept


FOOT = "<body name='foot' pos='0 0 .1'><freejoint/><geom name='foot' size='.1' {foot}/></body>" \
       "<geom name='floor' type='plane' size='5 5 .1' {floor}/>" + LINK.format("a", "")  # fmt: skip
PAIR = "<contact><pair geom1='foot' geom2='floor'/></contact>"


@pytest.mark.parametrize(
    ("foot", "floor", "rest", "quantity", "more", "expected"),
    [
        ("", "priority='1'", "", "friction", {}, "geom 'floor' has a higher priority, and decides"),
        ("", "", PAIR, "friction", {}, "its contacts are explicit ones (<contact><pair>), which have their own: write"
         " pair_friction"),
        ("", "friction='9'", "", "friction", {"high": 1}, "of two touching geoms the larger friction counts, that of"
         " geom 'floor'"),
        ("condim='3'", "condim='3'", "", "rolling_friction", {}, "its contacts have condim 3, and it needs 6"),
        ("contype='0' conaffinity='0'", "", "", "friction", {}, "geom 'foot' can touch nothing: contype and conaffinity"
         " are 0"),
        ("", "contype='0' conaffinity='0'", "", "friction", {}, "geom 'foot' touched nothing under random actions"),
        ("", "", "", "mass", {"elements": "world"}, "body 'world' is fixed to the world"),
        ("", "", "", "damping", {"elements": "a"}, "dof_damping and dof_dampingpoly stay what they are: a factor on"
         " 0 is 0, use mode add or set"),
    ],
)  # fmt: skip
def test_why_a_parameter_does_nothing(tmp_path, foot, floor, rest, quantity, more, expected):
    p = parameter(quantity, 0.5, more.get("high", 2), elements=more.get("elements", "foot"))
    path = small(tmp_path, FOOT.format(foot=foot, floor=floor), rest + MOTOR, parameters=GOAL | {"p": p})
    with pytest.raises(ValueError) as refusal:
        assert_effective(OwnRobot(path), steps=20)
    start = f"Small: no effect on the trajectory of p ({expected}); check which element"
    assert str(refusal.value).startswith(start), str(refusal.value)


def test_what_is_written_of_an_actuator_is_that_ones_whatever_its_controls_and_outputs():
    body = "<body><joint name='ball' type='ball'/><geom size='.1'/>" + LINK.format("a", "") + "</body>"
    actuators = "<actuator><orientation name='o' joint='ball' kp='1'/><motor name='m' joint='a' gear='2'/></actuator>"
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody>{actuators}</mujoco>")
    assert (model.nactuator, model.nu, model.nout) == (2, 4, 4)
    whole, more = torques(model, "gear", "m", 3.0)
    np.testing.assert_allclose(more, whole)  # the force of the actuator; its gear lies behind it
    batch = Batch(model, 1, 1)
    p = Parameter("p", "1", "", 1.0, "uniform", 0.1, 9.0, writes=Write("gear", "m"))
    Writer(TaskSpace("Geared", (p,)), model).write(batch, np.array([0]), np.array([[3.0]]))
    assert batch.expand("actuator_gear")[0, :, 0].tolist() == [1, 1, 1, 6]
