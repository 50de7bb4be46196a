"""The robot in the browser: what the session does to it, and the page in a browser."""

import contextlib
import gc
import io
import math
import os
import signal
import socket
import threading
import time
import urllib.request

import msgspec
import numpy as np
import pytest
import torch
import viser
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from metarl.algorithms.learners import make_learner
from metarl.config import changed, load_config
from metarl.runs.checkpoint import save
from metarl.runs.run import open_run, start
from metarl.util.errors import UserError
from metarl.util.rng import stream
from metarl.watch.server import Viewer, watch
from metarl.watch.session import RESETS, Session

from .browser import CHROMIUM, browser

CONFIGS = {
    "promp": "half_cheetah_mass/promp",
    "rl2": "half_cheetah_disabled_joint/rl2",
    "oracle": "half_cheetah_mass/oracle",
    "reptile_ppo": "half_cheetah_mass/reptile_ppo",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind, untrained but for its random weights."""
    found = {}
    for kind, name in CONFIGS.items():
        small = {"env.horizon": 10, "meta_batch": 2, "episodes": 2, "threads": 1, "evaluation.tasks": 3}
        config = changed(load_config(name), small)
        run = start(config, tmp_path_factory.mktemp("runs") / kind)
        learner = make_learner(config)
        save(run.checkpoints, learner.state_dict(), {"iteration": 0, "env_steps": 0})
        run.lock.release()
        found[kind] = open_run(run.path)
    return found


# ---- the session


def test_a_change_is_at_once_and_only_of_what_is_named(runs):
    session = Session(runs["promp"])
    for _ in range(4):
        session.step()
    before = session.env.state()
    session.change({"mass_scale": 2.0})
    assert np.array_equal(session.env.state(), before) and session.elapsed == 4
    assert session.task.values.tolist() == [[2.0]]
    heavy = session.env.model_of(0).body_mass.sum()
    for _ in range(7):
        session.step()
    assert session.elapsed == 1 and session.task.values.tolist() == [[2.0]]  # over the end of the episode too
    session.change({"mass_scale": 1.0})
    assert heavy == pytest.approx(2 * session.env.model_of(0).body_mass.sum())
    with pytest.raises(ValueError, match="mass_scale is 9; expected"):
        session.change({"mass_scale": 9.0})
    assert session.task.values.tolist() == [[1.0]]


def test_the_session_lives_as_an_agent_in_its_environment(runs):
    """Against a plain loop: the same returns, the memory going on over episodes until it is wiped in the third."""
    session = Session(runs["rl2"], deterministic=True)
    session.change({"disabled_joint": 3.0})
    other = Session(runs["rl2"])
    env, adapter = other.env, other.adapter
    env.change_tasks(env.space.tasks(disabled_joint=3))
    state, scores = adapter.start(1), []
    observation, _ = env.reset(seed=stream(other.config.seed, "watch", RESETS))
    for number in range(3):
        scores.append(0.0)
        for t in range(10):
            if (number, t) == (2, 4):
                state = adapter.start(1)
            decision = adapter.act(state, observation[:, None], None)
            observation, reward, _, truncated, _ = env.step(decision.actions[:, 0])
            state = adapter.observe(decision.state, reward[:, None], truncated[:, None])
            scores[-1] += reward[0]
        observation, _ = env.reset()
        state = state._replace(starts=torch.ones_like(state.starts), over=torch.zeros_like(state.over))
    for t in range(30):
        if t == 24:
            session.forget()
        session.step()
    assert [episode.score for episode in session.episodes] == pytest.approx(scores, rel=1e-12)
    assert all(torch.equal(x, y) for x, y in zip(session.state.memory, state.memory))
    assert session.lived == pytest.approx(6 * env.dt)
    session.forget()
    assert not session.state.memory[0].any() and session.lived == 0


@pytest.mark.parametrize("kind", ["promp", "oracle", "reptile_ppo"])
def test_adapting_changes_the_weights_and_nothing_else(runs, kind):
    session = Session(runs[kind])
    session.change({"mass_scale": 0.6})
    for _ in range(3):
        session.step()
    before, elapsed = session.env.state(), session.elapsed
    weights = {name: value.clone() for name, value in session.state.params.items()}
    scores = session.adapt(episodes=4)
    assert len(scores) == 2 and np.isfinite(scores).all()
    assert np.array_equal(session.env.state(), before) and session.elapsed == elapsed
    assert any(not torch.equal(value, weights[name]) for name, value in session.state.params.items())
    assert session.adaptations == 1 and session.lived == pytest.approx(4 * 10 * session.env.dt)
    again = Session(runs[kind])
    again.change({"mass_scale": 0.6})
    assert again.adapt(episodes=4) == scores  # the same draws
    session.forget()
    assert all(torch.equal(value, weights[name]) for name, value in session.state.params.items())
    session.step()


def test_a_policy_with_a_memory_has_nothing_to_press(runs):
    with pytest.raises(UserError, match="adapts by its memory"):
        Session(runs["rl2"]).adapt(3)


# ---- the page


class Visit:
    """A person with the page open; `until` lets the robot go on meanwhile."""

    def __init__(self, viewer, page):
        self.viewer, self.session, self.page = viewer, viewer.session, page

    def until(self, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self.viewer.frame()
            self.page.wait_for_timeout(20)

    def says(self, text):
        self.until(lambda: text in self.page.inner_text("body"))

    def press(self, button):
        self.page.get_by_role("button", name=button, exact=True).click()

    def choose(self, label, option):
        self.page.get_by_role("combobox", name=label).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def type(self, label, number):
        field = self.page.locator(f"xpath=//label[.='{label}']/following::input[@inputmode='decimal'][1]")
        field.fill(str(number))
        field.press("Enter")


@contextlib.contextmanager
def visit(run, folder):
    with Viewer(Session(run), run.tasks("held_out"), port=0) as viewer, browser(folder) as (page, complaints):
        page.set_viewport_size({"width": 900, "height": 700})
        page.goto(viewer.address)
        visitor = Visit(viewer, page)
        visitor.says("robot:")
        yield visitor
        assert complaints == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_mass_is_dragged_and_the_policy_adapts(runs, tmp_path):
    with visit(runs["promp"], tmp_path) as visitor:
        session, page, shots = visitor.session, visitor.page, []

        def at_rest():
            shots.append(page.screenshot(clip={"x": 0, "y": 200, "width": 550, "height": 500}))  # beside the controls
            return shots[-2:-1] == shots[-1:]

        page.get_by_label("pause").check()
        visitor.until(lambda: visitor.viewer.paused)
        visitor.until(at_rest)
        visitor.type("mass_scale", 2.5)
        visitor.until(lambda: session.task.values[0, 0] == 2.5)
        visitor.says("mass_scale=2.5 (beyond training)")
        before = shots[-1]
        visitor.until(lambda: at_rest() and shots[-1] != before)  # radii grow with the mass: the robot is drawn anew
        page.get_by_label("pause").uncheck()
        visitor.type("episodes", 3)
        visitor.press("Adapt now")
        visitor.says("3 episodes: return")
        assert session.adaptations == 1
        visitor.press("Forget")
        visitor.says("knows nothing")
        assert session.adaptations == 0
        page.get_by_role("slider").first.press("End")
        visitor.until(lambda: session.task.values[0, 0] == 2**1.5)
        session.change({"mass_scale": 1.0})
        visitor.viewer.controls["mass_scale"].value = 2.8285  # a little beyond, as steps of a slider can come out
        visitor.viewer._change("mass_scale")
        assert session.task.values[0, 0] == 2**1.5


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_motor_is_killed_and_a_task_is_chosen(runs, tmp_path):
    with visit(runs["rl2"], tmp_path) as visitor:
        viewer, session, page = visitor.viewer, visitor.session, visitor.page
        assert page.get_by_role("button", name="Adapt now").count() == 0
        lived = session.lived
        visitor.choose("disabled_joint", "4")
        visitor.until(lambda: session.task.values[0, 0] == 4)
        assert session.lived > lived  # the memory went on
        visitor.choose("choose", f"1: {viewer.tasks.describe(1)}")
        visitor.until(lambda: session.task.values[0, 0] == 0)
        visitor.says("(held out)")
        assert page.get_by_role("combobox", name="disabled_joint").input_value() == "0 (held out)"
        page.get_by_label("sampled actions").check()
        visitor.until(lambda: not session.deterministic)
        page.get_by_label("pause").check()
        visitor.until(lambda: viewer.paused)
        elapsed = session.elapsed
        viewer.frame()
        assert session.elapsed == elapsed
        visitor.type("speed", 4)
        page.get_by_label("pause").uncheck()
        visitor.until(lambda: not viewer.paused and viewer.speed == 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("control", "value", "said"),
    [
        ("mass_scale", "heavy", ""),
        ("mass_scale", "1e999", "mass_scale: got Infinity, which is not on offer"),
        ("speed", math.nan, "speed: got NaN, which is not on offer"),
        ("task", "9: nowhere", 'task: got "9: nowhere", which is not on offer'),
        ("speed", "1e400", "speed: got Infinity, which is not on offer"),
        ("speed", None, ""),
        ("speed", {"nothing": "of it"}, ""),
    ],
)
def test_what_no_page_of_ours_sends_changes_nothing(runs, caplog, control, value, said):
    """Values as another program could send them, over a page's connection; a dictionary is all of an update."""
    run = runs["promp"]
    with Viewer(Session(run), run.tasks("held_out"), port=0) as viewer:
        before = viewer.session.task
        camera = {"type": "ViewerCameraMessage", "wxyz": [1, 0, 0, 0], "position": [0, -3, 1], "image_height": 9,
                  "image_width": 9, "fov": 0.8, "near": 0.01, "far": 9.0, "look_at": [0, 0, 0],
                  "up_direction": [0, 0, 1]}  # fmt: skip
        update = {"type": "GuiUpdateMessage", "uuid": viewer.controls[control]._impl.uuid,
                  "updates": value if isinstance(value, dict) else {"value": value}}  # fmt: skip
        pause = {"type": "GuiUpdateMessage", "uuid": viewer.controls["paused"]._impl.uuid, "updates": {"value": True}}
        address, protocol = viewer.address.replace("http", "ws"), f"viser-v{viser.__version__}"
        page = {"subprotocols": [protocol], "max_size": None}
        with connect(address, **page) as stranger, contextlib.suppress(ConnectionClosed):
            stranger.send(b"\xff")  # no message at all
            list(stranger)  # until it is sent away
        with connect(address, **page) as client:
            client.send(msgspec.msgpack.encode(camera))
            _until(viewer, viewer.server.get_clients)
            client.send(msgspec.msgpack.encode(update))
            if said:
                _until(viewer, lambda: viewer._said)
            client.send(msgspec.msgpack.encode(pause))
            _until(viewer, lambda: viewer.paused)  # it is served on
        gc.collect()  # when asyncio complains about tasks that failed
        assert (viewer._said, viewer.speed, viewer.session.task) == (said, 1.0, before)
        assert caplog.text == ""


def _until(viewer, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        viewer.frame()


@pytest.mark.slow
def test_the_curve_holds_twenty_seconds(runs):
    run = runs["promp"]
    with Viewer(Session(run), run.tasks("held_out"), port=0) as viewer:
        for _ in range(450):
            viewer.frame()
        times, rewards = viewer._curve.data
        assert len(times) == len(rewards) == 400 and times[-1] == pytest.approx(450 * 0.05, abs=0.3)
        assert times[-1] - times[0] == pytest.approx(20, abs=0.1)


def test_it_serves_until_it_is_told_to_end(runs, capfd):
    found = []

    def visit():
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}") as page:
                    found.append(page.status)
            except OSError:
                time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    visitor = threading.Thread(target=visit)
    visitor.start()
    with pytest.raises(SystemExit) as ended:
        watch(runs["promp"].path, port=port)
    visitor.join()
    assert ended.value.code == 143 and found == [200]
    lines = capfd.readouterr().out.splitlines()  # in either order: the page is there before it is announced
    assert sorted(lines) == ["ending", f"open http://127.0.0.1:{port} in a browser; Ctrl-C ends it"]


def test_a_signal_while_a_line_is_printed_leaves_the_line_whole(runs, monkeypatch):
    class Output(io.StringIO):
        def write(self, text):
            super().write(text)
            if "open" in text:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.5)  # the thread that answers signals prints now, if it can

    monkeypatch.setattr("sys.stdout", output := Output())
    with pytest.raises(SystemExit):
        watch(runs["promp"].path, port=0)
    opened, ending = output.getvalue().splitlines()
    assert opened.endswith("in a browser; Ctrl-C ends it") and ending == "ending"


def test_where_nothing_can_be_served(runs):
    session, tasks = Session(runs["promp"]), runs["promp"].tasks("held_out")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port: 127.0.0.1:{port} cannot be served: .*; choose another one"):
            Viewer(session, tasks, port)
    with pytest.raises(UserError, match="--port: 192.0.2.1:0 cannot be served"):
        Viewer(session, tasks, 0, "192.0.2.1")


def test_other_tasks_than_the_run_has(runs, tmp_path):
    with pytest.raises(UserError, match="'extrapolaton': neither a split nor a file .did you mean 'extrapolation'"):
        watch(runs["promp"].path, "extrapolaton")
