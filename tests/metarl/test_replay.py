"""Replays show what happened, in files that open without a network; nothing about OpenGL can hurt the caller."""

import base64
import dataclasses
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import msgspec
import mujoco
import numpy as np
import pytest
import viser
import zstandard
from gymnasium.vector import AutoresetMode
from PIL import Image

from metarl.agents import Adapter, Decision
from metarl.envs import BatchEnv, make, make_family
from metarl.visual import draw as replay_draw
from metarl.visual import video as replay_video
from metarl.visual.html import write_html
from metarl.visual.replay import extreme_tasks, record
from metarl.visual.stills import BAR, write_stills
from metarl.visual.tendons import Tendons
from metarl.visual.video import VideoError, find_backend, write_video

from .navigator import Navigator, make_env

SPACE = make_family("Navigation2D").space
GOALS = SPACE.tasks(goal_x=[0.3, -0.2], goal_y=[0.25, -0.3])


def navigation(**settings):
    return record(Navigator(), make_env, GOALS, **{"steps": 1, "episodes": 3, "seed": 0} | settings)


class Shaker(Adapter):
    """Shakes the legs of a cheetah one way at first, another way once adapted."""

    def start(self, num_tasks):
        return 0

    def act(self, state, observations, rng):
        phase = 8.0 * observations[..., 2:8] + state
        actions = np.sin(phase).astype(np.float32)
        return Decision(actions, observations.astype(np.float32), state)

    def adapt(self, state, rollout):
        return state + 1


def cheetah(steps=1, horizon=12, seed=0, name="HalfCheetahDir"):
    def environment(num_envs):
        return make(name, num_envs, horizon=horizon, autoreset_mode=AutoresetMode.DISABLED, num_threads=1)

    tasks = make_family(name).space.sample(2, "held_out", np.random.default_rng(0))
    return record(Shaker(), environment, tasks, steps=steps, episodes=1, seed=seed)


# ---- recording


def test_before_and_after_start_from_the_same_state_and_differ_by_adaptation():
    replay = cheetah()
    np.testing.assert_array_equal(replay.qpos[0, :, 0], replay.qpos[1, :, 0])
    assert not np.isclose(replay.qpos[0, :, -1], replay.qpos[1, :, -1]).all(axis=-1).any()
    unadapted = cheetah(steps=0)
    np.testing.assert_array_equal(unadapted.qpos[0], unadapted.qpos[1])
    np.testing.assert_array_equal(unadapted.qpos[0], replay.qpos[0])


def test_the_adapted_point_goes_to_its_goal_and_stays_there():
    replay = navigation()
    assert np.abs(replay.qpos[1, :, -1] - GOALS.values).max() < 0.01
    assert np.abs(replay.qpos[0, :, -1] - GOALS.values).max() > 0.1
    for task in range(2):
        length = replay.lengths[1, task]
        assert length == np.ceil(np.abs(GOALS.values[task]).max() / 0.1)
        assert (replay.qpos[1, task, length:] == replay.qpos[1, task, length]).all()
        assert (replay.rewards[1, task, length:] == 0).all() and (replay.rewards[1, task, :length] < 0).all()
    assert replay.qpos.shape[2] == replay.rewards.shape[2] + 1 == replay.lengths.max() + 1


def test_rewards_are_those_of_the_positions():
    replay = navigation(deterministic=False)
    for column, task in replay.cells():
        length = replay.lengths[column, task]
        distances = np.linalg.norm(replay.qpos[column, task, 1 : length + 1] - GOALS.values[task], axis=-1)
        np.testing.assert_allclose(replay.rewards[column, task, :length], -distances, atol=1e-12)


def test_the_seed_decides_everything():
    np.testing.assert_array_equal(cheetah(seed=1).qpos, cheetah(seed=1).qpos)
    assert not np.isclose(cheetah(seed=1).qpos, cheetah(seed=2).qpos).all()
    noisy = [navigation(deterministic=False, seed=seed).qpos[0, :, 1] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.isclose(noisy[0], noisy[2]).any()


def test_a_diverged_episode_stops_where_it_was():
    class Exploding(Navigator):
        def act(self, state, observations, rng):
            decision = super().act(state, observations, rng)
            decision.actions[np.linalg.norm(observations, axis=-1) > 0.12] = np.nan
            return decision

    replay = record(Exploding(), make_env, GOALS, steps=0, episodes=2, seed=0)
    for column, task in replay.cells():
        length = replay.lengths[column, task]
        assert 1 < length < 25
        assert np.linalg.norm(replay.qpos[column, task, -1]) > 0.12  # not back at the origin


def test_poses_equal_mujocos():
    replay = cheetah(horizon=3)
    xpos, xmat = replay.poses(1, 1)
    data = mujoco.MjData(replay.models[1])
    data.qpos[:] = replay.qpos[1, 1, 2]
    mujoco.mj_forward(replay.models[1], data)
    np.testing.assert_allclose(xpos[2], data.xpos, atol=1e-12)
    np.testing.assert_allclose(xmat[2].reshape(-1, 9), data.xmat, atol=1e-12)


def test_models_are_those_of_the_tasks():
    replay = cheetah(name="HalfCheetahMass")
    masses = [model.body_mass.sum() for model in replay.models]
    assert masses[0] / masses[1] == pytest.approx(replay.tasks.values[0, 0] / replay.tasks.values[1, 0])
    assert navigation().models[1].site("goal").pos[:2] == pytest.approx(GOALS.values[1])


def test_words():
    replay = cheetah()
    assert replay.title == "HalfCheetahDir: the same task before and after 1 adaptation step"
    assert replay.text(1, 0, 0, 0.0) == f"task 1: {replay.tasks.describe(0)}\n+0.0 m, return 0 in 0.0 s"
    named = dataclasses.replace(replay, names=("best task", "worst task"))
    assert named.text(0, 1, 0, 0.0).startswith(f"worst task: {replay.tasks.describe(1)}\n")
    assert replay.text(0, 1, 10, -1.26).endswith(f"-1.3 m, return {replay.rewards[0, 1, :10].sum():.3g} in 0.5 s")
    assert " m, return" not in navigation().text(0, 0, 1, 0.0)


def test_no_more_frames_than_look_smooth():
    assert cheetah(horizon=12).frames == list(range(13))  # 20 a second
    fast = dataclasses.replace(cheetah(horizon=12), dt=0.01)
    assert fast.frames == [0, 3, 6, 9, 12]
    assert dataclasses.replace(fast, rewards=fast.rewards[..., :11]).frames == [0, 3, 6, 9, 11]


def test_extreme_tasks():
    space = make_family("HalfCheetahDir").space
    assert extreme_tasks(space.tasks(direction=[-1, 1, 1])).values.tolist() == [[1], [-1]]
    assert len(extreme_tasks(space.tasks(direction=[1, 1]))) == 1
    speeds = make_family("HalfCheetahVel").space.tasks(velocity=[0.5, 2.9, 0.1, 1.0])
    assert extreme_tasks(speeds).values.tolist() == [[2.9], [0.1]]
    many = SPACE.sample(3000, "train", np.random.default_rng(0))
    pair = extreme_tasks(many)
    assert len(pair) == 2 and np.linalg.norm(pair.values[0] - pair.values[1]) > 1.1


# ---- HTML


def scene_of(document):
    """The messages that the player in the file replays: [(seconds, message), ...]; viser's own format."""
    inner = content_of(document)
    (length,) = struct.unpack("<Q", inner[:8])
    return msgspec.msgpack.decode(inner[8 : 8 + length])


def content_of(document):
    """The messages, and the arrays behind them."""
    content = base64.b64decode(re.search(r'__VISER_EMBED_DATA__="([^"]*)"', document)[1])
    return zstandard.ZstdDecompressor().decompressobj().decompress(content[8:])


@pytest.mark.parametrize("replay", [navigation, cheetah])
def test_html_is_self_contained_and_holds_the_replay(tmp_path, capfd, replay):
    replay = replay()
    path = write_html(replay, tmp_path / "replay.html")
    assert [file.name for file in tmp_path.iterdir()] == ["replay.html"]
    assert capfd.readouterr() == ("", "")
    document = path.read_text()
    assert path.stat().st_size < 3e6
    # the namespaces of SVG are names, nothing is fetched from there
    assert set(re.findall(r"https?://[\w./-]+", document)) <= {"http://www.w3.org/2000/svg"}
    outside = re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|#|blob:)([^"'\s>]+)""", document)
    assert not [reference for reference in outside if re.match(r"(\w+:)?//|\.?/", reference)]
    assert document.count(f"<title>{replay.title}</title>") == 1 and replay.caption in document

    scene = scene_of(document)
    steps = replay.rewards.shape[2]
    assert scene["durationSeconds"] == pytest.approx(steps * replay.dt + 1.0)
    labels = {
        message["updates"]["text"] for _, message in scene["messages"] if "text" in (message.get("updates") or {})
    }
    for column, task in replay.cells():
        x = replay.qpos[column, task, -1, 0] if replay.follows else 0.0
        assert any(label == replay.text(column, task, steps, x) for label in labels)
    headings = {m["name"]: m["props"]["text"] for _, m in scene["messages"] if m["type"] == "LabelMessage"}
    for when, task in [(when, task) for when in ("before", "after") for task in (0, 1)]:
        assert headings[f"/{when} {task}/heading"] == f"{when} adaptation"
    kinds = {message["type"] for _, message in scene["messages"]}
    assert {"SetCameraPositionMessage", "SetCameraLookAtMessage", "SetCameraFovMessage"} <= kinds
    assert "EnvironmentMapMessage" not in kinds  # loaded anew at each repetition


TWO_ROBOTS = (
    """<mujoco><worldbody><camera name="front" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
    <body name="shelf" pos="0.5 0 0"><geom size="0.1"/></body>
    <body name="arm"><joint name="a"/><geom size="0.1"/></body></worldbody></mujoco>""",
    """<mujoco><worldbody><camera name="front" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
    <body name="shelf" pos="0.25 0 0"><geom size="0.2"/></body>
    <body name="arm"><joint name="a"/><geom size="0.1"/>
    <body name="hand" pos="0 0 0.3"><joint name="b"/><geom size="0.05"/></body></body></worldbody></mujoco>""",
)


@pytest.fixture
def two_robots():
    """A replay of two tasks whose robots have different bodies, and obstacles that are fixed in different places."""
    models = tuple(mujoco.MjModel.from_xml_string(xml) for xml in TWO_ROBOTS)
    replay = navigation()
    qpos = np.zeros((*replay.qpos.shape[:3], 2))
    qpos[:, 1, :, 1] = 1.5
    return dataclasses.replace(replay, models=models, qpos=qpos, camera="front")


def test_robots_may_differ_in_their_bodies_from_task_to_task(tmp_path, two_robots):
    assert two_robots.poses(0, 0)[0].shape[1:] == (3, 3) and two_robots.poses(0, 1)[0].shape[1:] == (4, 3)
    scene = scene_of(write_html(two_robots, tmp_path / "replay.html").read_text())
    names = {message["name"]: message for _, message in scene["messages"] if "name" in message}
    assert any("/task 1/bodies/hand" in name for name in names)
    assert not any("/task 0/bodies/hand" in name for name in names)
    messages = [message for _, message in scene["messages"]]
    place = {message["name"]: message["position"] for message in messages if {"name", "position"} <= message.keys()}
    for task, x in enumerate((0.5, 0.25)):  # an obstacle stands in each cell, in its task's place
        for when in ("before", "after"):
            assert place[f"/{when} {task}/world"] == place[f"/{when} {task}/stripes"]
            assert place[f"/{when} {task}/world/geoms 1"][0] == pytest.approx(x)


ROPE = """<mujoco><worldbody><camera name="front" pos="0 -3 0" xyaxes="1 0 0 0 0 1" mode="{}"/>
  <geom name="bar" type="cylinder" size=".1 .5" euler="90 0 0"/>
  <site name="left" pos="-.5 0 0"/><site name="side" pos="0 0 .5"/><site name="end" pos="0 0 1"/>
  <body name="load" pos=".5 0 0"><joint name="up" type="slide" axis="0 0 1"/><geom size=".05"/><site name="load"/>
  </body>
  </worldbody><tendon>
  <spatial name="rope" rgba="1 0 0 1" width=".02">
    <site site="left"/><geom geom="bar" sidesite="side"/><site site="load"/>
    <pulley divisor="2"/><site site="side"/><site site="end"/></spatial>
  <spatial name="hidden" group="4"><site site="left"/><site site="load"/></spatial>
  <fixed name="sum"><joint joint="up" coef="1"/></fixed></tendon></mujoco>"""


def test_tendons_run_through_their_sites_and_around_what_they_wrap():
    """Over a bar of radius 0.1: tangents from 0.5 m at both sides, by hand; behind the pulley a piece of its own."""
    model = mujoco.MjModel.from_xml_string(ROPE.format("fixed"))
    tendons, touch = Tendons(model), 0.1 * np.array([0.2, 0, np.sqrt(0.96)])  # where a tangent from 0.5 m touches
    over = [[[-0.5, 0, 0], touch * [-1, 1, 1]], [touch * [-1, 1, 1], touch], [touch, [0.5, 0, 0]]]
    pieces = tendons.at(np.zeros(1))
    drawn = pieces[np.linalg.norm(pieces[:, 1] - pieces[:, 0], axis=1) > 0]
    np.testing.assert_allclose(drawn, [*over, [[0, 0, 0.5], [0, 0, 1]]], atol=1e-6)
    assert pieces.shape == tendons.colours.shape == (len(tendons), 2, 3) and (tendons.colours == [1, 0, 0]).all()
    assert tendons.thickness == pytest.approx(0.04)
    lifted = tendons.at(np.array([2.0]))  # it leaves the bar
    assert lifted.shape == pieces.shape and [0.5, 0, 2] in lifted[:, 1].tolist()


@pytest.mark.parametrize("mode", ["fixed", "trackcom"])
def test_tendons_move_with_the_robot_in_a_replay(tmp_path, mode):
    model = mujoco.MjModel.from_xml_string(ROPE.format(mode))
    replay = navigation()
    qpos = np.tile(np.linspace(0, 0.4, replay.qpos.shape[2])[:, None], (*replay.qpos.shape[:2], 1, 1))
    replay = dataclasses.replace(replay, models=(model,) * 2, qpos=qpos, camera="front")
    document = write_html(replay, tmp_path / "replay.html").read_text()
    moves = {message["name"] for _, message in scene_of(document)["messages"]
             if "points" in (message.get("updates") or {})}  # fmt: skip
    assert moves == {f"/{when} {task}/world/tendons" for when in ("before", "after") for task in (0, 1)}
    for frame in (qpos[0, 0, 0], qpos[0, 0, -1]):
        assert Tendons(model).at(frame).astype("<f4").tobytes() in content_of(document)


PLANES = """<mujoco><worldbody>{}<camera name="c" pos="0 -3 0" xyaxes="1 0 0 0 0 1" mode="{}"/>
  <body name="cube"><joint name="c"/><geom size=".1"/></body>
  <body name="robot"><freejoint/><geom size=".1"/><site name="s"/></body></worldbody>
  <actuator><motor site="s"/></actuator></mujoco>"""


def scene_on(planes: str, mode: str, path, qpos=(0.0, 1.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0)):
    """What is drawn of a robot at qpos on planes: name to position, orientation and other properties."""
    model = mujoco.MjModel.from_xml_string(PLANES.format(planes, mode))
    replay = navigation()
    still = np.tile(np.array(qpos), (*replay.qpos.shape[:3], 1))
    replay = dataclasses.replace(replay, models=(model,) * 2, qpos=still, camera="c")
    found: dict[str, dict] = {}
    for _, message in scene_of(write_html(replay, path / "replay.html").read_text())["messages"]:
        if "name" in message:
            found.setdefault(message["name"], {}).update(message | message.get("props", {}))
    assert replay.root(0) == model.body("robot").id  # not the cube, whose joint comes first
    return found


def test_a_floor_is_drawn_where_the_model_has_it(tmp_path):
    low = scene_on("<geom type='plane' size='0 0 1' pos='0 0 -.7'/>", "fixed", tmp_path)
    cell = np.array(low["/before 0/world"]["position"])
    upper = low["/before 0/ground"]["position"][2] + low["/before 0/ground"]["dimensions"][2] / 2
    assert upper == pytest.approx(-0.7, abs=0.01) and cell[2] == 0
    tilted = scene_on("<geom type='plane' size='0 0 1' euler='0 20 0'/>", "fixed", tmp_path)
    slab = tilted["/before 0/ground"]
    np.testing.assert_allclose(slab["wxyz"], [np.cos(np.pi / 18), 0, np.sin(np.pi / 18), 0], atol=1e-6)
    normal = np.array([np.sin(np.pi / 9), 0, np.cos(np.pi / 9)])
    above = (np.array(slab["position"]) - tilted["/before 0/world"]["position"]) @ normal
    assert above + slab["dimensions"][2] / 2 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("plane", "foot"), [("pos='0 0 -.7'", [1, 0, -0.7]), ("euler='0 20 0'", None)])
def test_a_robot_that_runs_is_kept_above_the_point_of_the_floor_below_it(tmp_path, plane, foot):
    found = scene_on(f"<geom type='plane' size='0 0 1' {plane}/>", "trackcom", tmp_path)
    normal = np.array([np.sin(np.pi / 9), 0, np.cos(np.pi / 9)])
    point = np.array([1.0, 0, 2])
    foot = np.array(foot or point - point @ normal * normal)
    origin = np.array(found["/before 0/stripes"]["position"])
    place = np.array(found["/before 0/world"]["position"]) + foot  # where the foot is drawn
    assert np.linalg.norm(origin - place) < 0.5 + 1e-6  # a stripe from there
    slab = found["/before 0/ground"]
    turned = np.array([0, 0, 1.0]) if foot[2] == -0.7 else normal
    assert (np.array(slab["position"]) - place) @ turned == pytest.approx(-slab["dimensions"][2] / 2, abs=0.01)


def test_small_planes_are_marks_and_a_robot_that_flies_has_no_floor(tmp_path):
    mark = "<geom name='target' type='plane' size='.05 .02 1' pos='.2 .1 .3' rgba='1 0 0 1'/>"
    floor = "<geom type='plane' size='5 5 1'/>"
    found = scene_on(mark + floor, "fixed", tmp_path)
    target = found["/before 0/world/plane 0"]
    np.testing.assert_allclose(target["position"][:2], [0.2, 0.1])
    assert target["position"][2] == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(target["dimensions"][:2], [0.1, 0.04])
    assert tuple(target["color"]) == (255, 0, 0) and "/before 0/ground" in found
    assert "/before 0/ground" not in scene_on("", "trackcom", tmp_path)
    assert "/before 0/ground" in scene_on("", "fixed", tmp_path)  # something to look at


def test_the_words_of_neighbours_have_room_whatever_the_shape_of_a_robot(tmp_path):
    """A robot that stands on the spot is narrow; its words are not."""
    for qpos in ((0.0, 0.0, 0.0, 3.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.1, 1.0, 0.0, 0.0, 0.0)):
        found = scene_on("<geom type='plane' size='0 0 1'/>", "trackcom", tmp_path, qpos)
        label = {name: np.array(found[f"/{name}/label"]["position"]) for name in ("before 0", "after 0", "before 1")}
        assert label["after 0"][0] - label["before 0"][0] > 1.5 * (qpos[3] + 0.1)


@pytest.mark.gl
@pytest.mark.slow
def test_a_video_of_robots_that_differ(tmp_path, two_robots):
    path = write_video(two_robots, tmp_path / "replay.mp4", find_backend())
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == len(two_robots.frames)


MOCAP = """<mujoco><worldbody><body name="target" mocap="true"><geom size=".02"/></body>
  <body name="b" pos="0 0 1"><joint name="a"/><geom size=".1"/></body></worldbody>
  <actuator><motor name="m" joint="a" ctrlrange="-1 1"/></actuator>
  <keyframe><key name="k" qpos="0" mpos="1 2 3" mquat="0 1 0 0"/></keyframe></mujoco>"""


def test_a_mocap_body_is_where_the_keyframe_has_it():
    class Pointer(type(make_family("HalfCheetahDir"))):
        name, horizon, camera, keyframe = "HalfCheetahDir", 3, "none", 0

        def build(self):
            return mujoco.MjModel.from_xml_string(MOCAP)

        def reset_state(self, rngs, qpos, qvel):
            pass

        def observe(self, sim, derived):
            return np.tile(sim.bind("qpos"), (1, 9))

        def reward_terms(self, sim, derived, before, ctrl, values):
            return {"a": sim.bind("qpos")[:, 0].copy()}

    class Still(Shaker):
        def act(self, state, observations, rng):
            return Decision(np.ones((*observations.shape[:2], 1), np.float32), observations.astype(np.float32), state)

    def environment(num_envs):
        return BatchEnv(Pointer(), num_envs, autoreset_mode=AutoresetMode.DISABLED)

    tasks = Pointer().space.tasks(direction=[-1.0, 1.0])
    replay = record(Still(), environment, tasks, steps=1, episodes=1, seed=0)
    xpos, xmat = replay.poses(1, 0)
    np.testing.assert_allclose(xpos[:, 1], np.tile([1, 2, 3], (4, 1)))
    np.testing.assert_allclose(xmat[0, 1], np.diag([1, -1, -1]), atol=1e-12)


def test_html_escapes_what_it_is_given(tmp_path, monkeypatch):
    replay = navigation()
    monkeypatch.setattr(type(replay), "title", "<script>alert(1)</script>")
    document = write_html(replay, tmp_path / "replay.html").read_text()
    assert "<script>alert(1)" not in document and "&lt;script&gt;alert(1)" in document


def test_the_server_is_gone_afterwards(tmp_path, monkeypatch):
    ports = []
    start = viser.ViserServer.__init__

    def spy(self, *args, **kwargs):
        start(self, *args, **kwargs)
        ports.append((self.get_host(), self.get_port()))

    monkeypatch.setattr(viser.ViserServer, "__init__", spy)
    write_html(navigation(), tmp_path / "replay.html")
    ((host, port),) = ports
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=2)


def test_the_model_is_not_altered(tmp_path):
    replay = cheetah(horizon=3)
    mujoco.mj_saveModel(replay.models[0], str(tmp_path / "before.mjb"))
    write_html(replay, tmp_path / "replay.html")
    mujoco.mj_saveModel(replay.models[0], str(tmp_path / "after.mjb"))
    assert (tmp_path / "before.mjb").read_bytes() == (tmp_path / "after.mjb").read_bytes()


# ---- MP4


@pytest.fixture(autouse=True)
def _forget_backend():
    find_backend.cache_clear()
    yield
    find_backend.cache_clear()


def test_no_backend_is_found_where_there_is_none(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    assert find_backend() is None


def test_a_process_that_crashes_is_no_backend(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(replay_video, "_PROBE", "import os; os.abort()")
    assert find_backend() is None


def test_a_failed_drawing_leaves_what_was_there(tmp_path):
    (tmp_path / "replay.mp4").write_bytes(b"old")
    with pytest.raises(VideoError, match="no MP4 replay: drawing with MUJOCO_GL=nonsense failed: .*nonsense") as caught:
        write_video(navigation(), tmp_path / "replay.mp4", "nonsense")
    assert "\n" not in str(caught.value)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("replay.mp4", b"old")]


def test_a_drawing_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    def break_off(backend, arguments, timeout):
        Path(arguments[-1]).write_bytes(b"half a video")
        return "the driver crashed"

    monkeypatch.setattr(replay_video, "run_on", break_off)
    with pytest.raises(VideoError, match="MUJOCO_GL=egl failed: the driver crashed"):
        write_video(navigation(), tmp_path / "replay.mp4", "egl")
    assert not list(tmp_path.iterdir())


def test_a_drawing_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(replay_video, "SECONDS_TO_DRAW", 0.01)
    with pytest.raises(VideoError, match="it took longer than 0.01 s"):
        write_video(navigation(), tmp_path / "replay.mp4", "egl")
    assert not list(tmp_path.iterdir())


@pytest.mark.gl
@pytest.mark.slow
def test_video_where_opengl_is_found(tmp_path):
    """With a backend the video has a picture for each step; without one, drawing says so and writes nothing."""
    replay, path = cheetah(horizon=3), tmp_path / "replay.mp4"
    backend = find_backend()
    if backend is None:
        with pytest.raises(VideoError):
            write_video(replay, path, "egl")
        assert not path.exists()
        return
    write_video(replay, path, backend)
    assert [file.name for file in tmp_path.iterdir()] == ["replay.mp4"]
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    assert meta["size"] == (800, 672) and meta["fps"] == pytest.approx(20)
    pictures = [np.frombuffer(frame, np.uint8).reshape(672, 800, 3) for frame in frames]
    assert len(pictures) == 4
    for x in (0, 400):  # something is drawn in both columns, and text stands under it
        assert pictures[-1][:288, x : x + 400].std() > 20
        assert pictures[-1][292:350, x : x + 400].min() < 80 < 250 < pictures[-1][292:350, x : x + 400].max()
    assert np.abs(pictures[0][:288].astype(int) - pictures[-1][:288]).max() > 30


def test_the_child_imports_little_and_no_pickle_is_read():
    """It starts in a second, not in the ten that PyTorch takes on a busy machine; a crafted file can run no code."""
    code = "import metarl.visual.draw, sys; print('torch' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    source = Path(replay_draw.__file__).read_text()
    assert source.count("np.load(") == source.count("allow_pickle=False") == 1 and "import pickle" not in source


@pytest.mark.slow
def test_what_is_written_under_stills_has_units_and_greek_letters(tmp_path):
    """Pillow's own font draws one and the same empty box for each of them."""
    signs, xml = "²µα→", "<mujoco><worldbody><camera name='c'/><geom size='1'/></worldbody></mujoco>"
    models = [mujoco.MjModel.from_xml_string(xml)] * len(signs)
    path = write_stills(models, np.zeros((len(signs), 1, 0)), "c", signs, tmp_path / "stills.png", find_backend())
    rows = np.split(np.asarray(Image.open(path)), len(signs))
    assert len({row[-BAR:].tobytes() for row in rows}) == len(signs)
