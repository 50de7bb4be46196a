"""A robot of one's own: an MJCF file and a robot.yaml, no class to write.

    python examples/own_robot.py                     # some minutes on a laptop

A cart must stand at a place that it is not told, with a load that it does not know. The reward in the yaml knows the
place; the observation does not have it, so the policy has to find out from its rewards.
"""

from pathlib import Path

import metarl

MJCF = """<mujoco><option timestep="0.02"/><worldbody>
  <light pos="0 -2 3" dir="0 .5 -1"/><camera name="side" pos="0 -4 1" xyaxes="1 0 0 0 .25 1"/>
  <geom name="track" type="box" size="2 .05 .02" contype="0" conaffinity="0"/>
  <body name="cart" pos="0 0 .1"><joint name="slide" type="slide" axis="1 0 0" damping=".5"/>
    <geom type="box" size=".15 .1 .08" mass="1" contype="0" conaffinity="0"/></body>
</worldbody><actuator><motor name="push" joint="slide" gear="10" ctrlrange="-1 1"/></actuator></mujoco>"""

ROBOT = """
name: Cart
description: Stand at a hidden place with a hidden load
mjcf: cart.xml
horizon: 50
camera: side
control: {kind: model, rate: 25}
observation: [{signal: joint_position, joints: [slide]}, {signal: joint_velocity, joints: [slide]}]
reward:
  distance: {signal: body_position, of: cart, axes: x, shape: absolute, target: place, weight: -1.0}
  effort: {signal: action, shape: square, weight: -0.01}
parameters:
  place: {unit: m, description: where the cart should stand, default: 0, low: -1, high: 1}
  load: {unit: kg, description: mass on the cart, default: 0, low: 0, high: 2, extrapolation: [[2, 4]],
         writes: {quantity: payload, elements: cart, at: [0, 0, 0.1]}}
"""


def main(folder: str = "runs/own_robot", settings: tuple[str, ...] = ()) -> metarl.Evaluation:
    """Write the robot's two files, train on it, and evaluate with loads that were never trained on."""
    robot = Path(folder, "cart")
    robot.mkdir(parents=True, exist_ok=True)
    (robot / "cart.xml").write_text(MJCF)
    (robot / "robot.yaml").write_text(ROBOT)
    settings = (f"env.robot={robot}", "wandb.mode=disabled", *settings)
    run = metarl.train(metarl.load_config("navigation/promp", settings), Path(folder, "run"))
    evaluation = metarl.evaluate(run, "extrapolation")
    print(evaluation.sentence)
    return evaluation


if __name__ == "__main__":
    main()
