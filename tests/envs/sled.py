"""A robot from YAML with all that happens in the course of an episode, in few steps: a box with an arm on a floor."""

from pathlib import Path

from metarl.envs.own_robot.robot import OwnRobot

SLED = """<mujoco><option timestep="0.01"/><worldbody>
  <geom name="floor" type="plane" size="9 9 .1"/>
  <body name="sled" pos="0 0 .11"><freejoint/><geom name="sled" size=".1" mass="1"/>
    <body name="arm" pos=".1 0 0"><joint name="arm" axis="0 1 0" damping=".01"/>
      <geom name="hand" size=".03" pos=".2 0 0"/></body></body></worldbody>
  <actuator><motor name="arm" joint="arm" ctrlrange="-.2 .2"/></actuator></mujoco>"""
ROBOT = """
name: Sled
mjcf: sled.xml
control: {rate: 50}
start: {position_noise: 0.1, velocity_noise: 0.2, bodies: {sled: {z: [0.1, 0.2], yaw: [-3, 3]}}}
commands: {resampling_time: [0.04, 0.1], zero: 0.3, values: {go: {low: -1, high: 1}, turn: {low: -1, high: 1}}}
pushes:
  shove: {body: sled, velocity: {x: [-1, 1], yaw: [-2, 2]}, onset: 0.04, interval: [0.06, 0.1]}
  wind: {body: sled, force: {y: [-9, 9]}, onset: 0.02, interval: 0.08, duration: 0.05, scale: gust}
observation:
  - {signal: joint_position, noise: 0.1, history: 2}
  - {signal: body_velocity, of: sled, frame: body, clip: [-0.5, 0.5], scale: 2, delay: 1}
  - {signal: body_gravity, of: sled, dropout: 0.4}
  - {signal: air_time, of: [sled, hand], against: floor}
  - {signal: contact_time, of: [sled, hand], against: floor}
  - {signal: contact, of: sled}
  - {signal: command}
  - {signal: action}
reward:
  follow: {signal: body_velocity, of: sled, axes: xy, shape: exp_squared, target: [go, gust], tolerance: 0.5, weight: 1}
  land: {signal: landing_air_time, of: sled, against: floor, weight: 1}
  jerk: {signal: action_change, shape: square, weight: -0.1}
termination: {flies: {signal: body_position, of: sled, axes: z, above: 0.21, reward: -2}}
parameters:
  gust: {default: 1, low: 0, high: 2}
  mass: {default: 1, low: 0.5, high: 2, writes: {quantity: mass, elements: sled}}
  lag: {unit: steps, default: 0, choices: [0, 1, 2], writes: {quantity: action_delay}}
"""


def sled(folder: Path) -> OwnRobot:
    """The robot, written to a folder."""
    (folder / "sled.xml").write_text(SLED)
    (folder / "robot.yaml").write_text(ROBOT)
    return OwnRobot(str(folder))
