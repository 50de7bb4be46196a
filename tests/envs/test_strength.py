"""A weak motor is weak at its joint, too, where the joint has a limit of its own (actuatorfrcrange)."""

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from metarl.envs import Parameter, TaskSpace, Write
from metarl.envs.writer import Writer

MJCF = """
<mujoco>
  <worldbody>
    <body><joint name="limited" actuatorfrcrange="-2 4"/><geom size=".1"/>
      <body><joint name="shared" actuatorfrcrange="-3 3"/><geom size=".1"/>
        <body><joint name="free"/><geom size=".1"/></body></body></body>
  </worldbody>
  <actuator>
    <position name="limited" joint="limited" kp="100"/>
    <motor name="one" joint="shared" gear="10"/> <motor name="other" joint="shared" gear="10"/>
    <motor name="free" joint="free" gear="10"/>
  </actuator>
</mujoco>
"""


def forces(elements, strength: float) -> list[float]:
    """Forces at the joints under full controls, in a batch; each must be that of its model by itself."""
    model = mujoco.MjModel.from_xml_string(MJCF)
    weak = Parameter("s", "1", "", 1.0, "uniform", 0.0, 1.0, writes=Write("strength", elements))
    batch = Batch(model, 2, 1)
    Writer(TaskSpace("Weak", (weak,)), model).write(batch, np.array([1]), np.array([[strength]]))
    batch.bind("ctrl")[:] = 1.0
    found = batch.bind("qfrc_actuator")
    batch.forward()
    assert found[0].tolist() == [4, 3, 10]
    task, data = batch.get_model(1), batch.get_data(1)
    mujoco.mj_forward(task, data)
    assert np.array_equal(data.qfrc_actuator, found[1])
    return found[1].tolist()


@pytest.mark.parametrize(
    ("elements", "strength", "expected"),
    [
        ("limited", 0.5, [2, 3, 10]),
        ((), 0.5, [2, 1.5, 5]),
        ((), 0.0, [0, 0, 0]),
        ("one", 0.5, [4, 3, 10]),  # the other motor can still load the joint to its limit
        (("one", "other"), 0.1, [4, 0.3, 10]),
        ("free", 0.1, [4, 3, 1]),
    ],
)
def test_the_limit_of_a_joint_goes_with_its_motors(elements, strength, expected):
    assert forces(elements, strength) == pytest.approx(expected)


def test_strength_scales_all_that_a_servo_does():
    """kp (u - q) - kd dq/dt: stiffness, its bias and its damping, each by the same factor."""
    servo = MJCF.replace('kp="100"/>', 'kp="100" kv="7"/>')
    model = mujoco.MjModel.from_xml_string(servo)
    weak = Parameter("s", "1", "", 1.0, "uniform", 0.0, 1.0, writes=Write("strength", "limited"))
    batch = Batch(model, 2, 1)
    Writer(TaskSpace("Weak", (weak,)), model).write(batch, np.array([1]), np.array([[0.25]]))
    task = batch.get_model(1)
    assert model.actuator_biasprm[0, :3].tolist() == [0, -100, -7]
    assert task.actuator_gainprm[0, :3].tolist() == [25, 0, 0]
    assert task.actuator_biasprm[0, :3].tolist() == [0, -25, -1.75]
    assert task.actuator_gainprm[1:].tolist() == model.actuator_gainprm[1:].tolist()
