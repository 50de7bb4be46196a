"""An exported policy does what the policy does, says what whoever drives it must know, and is never half there."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import onnx
import pytest
import torch

from metarl import cli
from metarl.agents import (
    Adapter,
    Decision,
    GaussianMLP,
    InnerLoop,
    Normalizer,
    PolicyGradientInner,
    RecurrentAdapter,
    RecurrentPolicy,
)
from metarl.algorithms.baselines_config import RandomConfig, ScratchConfig
from metarl.algorithms.learners import make_env, make_learner, training_env
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.restore import load_adapter
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.sampling import collect
from metarl.config import Config, EnvConfig, EvaluationConfig, InnerConfig, PolicyConfig, SB3Config, WandbConfig
from metarl.envs import BatchEnv, OwnRobot, make
from metarl.export.metadata import _actuator, _observation
from metarl.export.onnx import Scaling, _session, export_run, largest_difference, policy_graph
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.util.errors import UserError
from metarl.util.optional import Extra
from metarl.util.plugins import MEMORIES
from metarl.util.rng import stream

STEPS = 1000
HORIZON = 100
DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "guides" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder after one iteration, which has moved the weights and filled the normalizer."""
    config = Config(
        env=EnvConfig(family="HalfCheetahDir", action_scale=4.0, horizon=HORIZON),
        algorithm=ProMPConfig(epochs=1),
        policy=PolicyConfig(hidden=(16, 16), normalize_observations=True),
        inner=InnerConfig(lr=0.1),
        meta_batch=2,
        episodes=2,
        evaluation=EvaluationConfig(tasks=4, episodes=2, steps=1),
        wandb=WandbConfig(mode="disabled"),
        threads=1,
    )
    run = runs.start(config, tmp_path_factory.mktemp("runs") / "run")
    learner = make_learner(config)
    learner.iterate(training_env(learner.config), 0)
    checkpoint.save(run.checkpoints, learner.state_dict(), {"iteration": 1, "env_steps": 0})
    run.lock.release()
    return run


@pytest.fixture(scope="module")
def policy(run):
    """The file of the policy adapted to the run's held-out task 1."""
    return export_run(run, "1")


def act(file: Path, **feeds) -> np.ndarray:
    (control,) = _session(file.read_bytes()).run(["control"], feeds)
    return control


def command(capsys, *args) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main(["export", *map(str, args)])
    return caught.value.code or 0, *capsys.readouterr()


# ---- the same controls


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_a_thousand_steps_in_closed_loop_are_those_of_the_adapted_policy(run, noisy, tmp_path):
    file = export_run(run, "1", noise=noisy, out=tmp_path / "policy.onnx")
    session, adapter = _session(file.read_bytes()), load_adapter(run)
    task = run.tasks("validation")[1]
    env = make_env(run.config, 2)
    env.set_tasks(task.repeat(2))
    rollout = collect(env, adapter, adapter.start(1), 2, stream(run.config.seed, "export", 0, 0))
    state = adapter.adapt(adapter.start(1), rollout)

    env = make_env(run.config, 1)
    env.set_tasks(task)
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    worst = clipped = 0.0
    for t in range(STEPS):
        if t % HORIZON == 0:
            observation, _ = env.reset(seed=t)
        feeds = {"observation": observation}
        if noisy:
            feeds["noise"] = same.standard_normal((1, 6), np.float32)
        (control,) = session.run(["control"], feeds)
        actions = adapter.act(state, observation[None], rng if noisy else None).actions[0]
        observation, *_ = env.step(actions)
        worst = max(worst, np.abs(control - env.batch.bind("ctrl")).max())
        clipped += (np.abs(control) == 1.0).mean() / STEPS
    assert worst < 1e-5
    assert 0.0 < clipped < 0.5 if noisy else clipped < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "noisy"),
    [
        ("gru", False), ("gru", True), ("lstm", False), ("none", True), ("one_step", False), ("hebbian", False),
        ("neuromodulated", False), ("transformer", False), ("window", False), ("alpaca", False),
        ("gru with a hypernetwork", True),
    ],
)  # fmt: skip
def test_a_thousand_recurrent_steps_are_those_of_the_policy(cell, noisy):
    """Trials of three episodes: memory goes on between episodes and is cleared between trials."""
    env, adapter, scaling = remembering(cell)
    session = _session(exported(adapter, scaling, noise=noisy))
    outputs = [x.name for x in session.get_outputs()]
    zeros = {x.name: np.zeros((1, x.shape[1]), np.float32) for x in session.get_inputs()}
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    for t in range(STEPS):
        if t % env.horizon == 0:
            (observation, _), start = env.reset(seed=t), np.ones((1, 1), np.float32)
            if t % (3 * env.horizon) == 0:
                state, reward = adapter.start(1), np.zeros((1, 1))
                memory = {name: value for name, value in zeros.items() if f"next_{name}" in outputs}
            else:
                state = adapter.adapt(state, SimpleNamespace(state=state))
        feeds = {"observation": observation, "reward": reward, "start": start} | memory
        if noisy:
            feeds["noise"] = same.standard_normal((1, 6), np.float32)
        got = dict(zip(outputs, session.run(outputs, feeds)))
        memory, start = {name: got[f"next_{name}"] for name in memory}, np.zeros((1, 1), np.float32)
        decision = adapter.act(state, observation[None], rng if noisy else None)
        observation, reward, terminated, truncated, _ = env.step(decision.actions[0])
        reward = reward[None]
        state = adapter.observe(decision.state, reward, (terminated | truncated)[None])
        assert np.abs(got["control"] - env.batch.bind("ctrl")).max() < 1e-5, t


@pytest.mark.slow
@pytest.mark.parametrize("cell", [*MEMORIES.names(), "gru with a hypernetwork"])
def test_every_weight_of_a_memory_is_in_the_graph(cell):
    env, adapter, scaling = remembering(cell, horizon=20)
    model, generator = exported(adapter, scaling, noise=True), torch.Generator().manual_seed(0)
    for name in adapter.params:
        if not name.startswith(("value.", "latent.value.")):
            value = adapter.params[name]
            adapter.params[name] = value + 0.3 * torch.randn(value.shape, generator=generator)
            assert largest_difference(model, adapter, adapter.start(1), env, scaling, 0) > 1e-5, name
            adapter.params[name] = value


@pytest.mark.parametrize("cell", [*MEMORIES.names(), "gru with a hypernetwork"])
def test_twenty_recurrent_steps_are_those_of_the_policy(cell):
    env, adapter, scaling = remembering(cell, horizon=20)
    model = exported(adapter, scaling, noise=True)
    assert largest_difference(model, adapter, adapter.start(1), env, scaling, 0) < 1e-5
    for name in ("policy.w0", "log_std"):  # and would not be of others
        adapter.params[name] = adapter.params[name] + 0.3
        assert largest_difference(model, adapter, adapter.start(1), env, scaling, 0) > 1e-3


def exported(adapter: Adapter, scaling: Scaling, noise: bool = False) -> bytes:
    return policy_graph(adapter, adapter.start(1), scaling, noise=noise).serialize("a policy")


def remembering(cell: str, horizon: int = 200):
    """An environment with one simulation, and a policy with a memory that all of its inputs move."""
    env = make("HalfCheetahMass", 1, horizon=horizon, action_scale=2.0, autoreset_mode="Disabled", num_threads=1)
    cell, _, hypernetwork = cell.partition(" with a ")
    small = {"transformer": {"context": 6, "heads": 2}, "window": {"context": 6}, "alpaca": {"features": 5}}
    options = small.get(cell, {})
    policy = RecurrentPolicy(
        20, 6, cell=cell, size=16, hidden=(8,), memory_options=options, hypernetwork=5 if hypernetwork else 0
    )
    rng = np.random.default_rng(0)
    params = {
        name: value + torch.from_numpy(0.2 * rng.standard_normal(value.shape).astype(np.float32))
        for name, value in policy.init(rng).items()
    }
    normalizer = Normalizer(100.0, rng.normal(size=20), 100.0 * rng.uniform(0.5, 2.0, 20))
    adapter = RecurrentAdapter(policy, params, normalizer, Normalizer(100.0, np.array([0.5]), np.array([30.0])))
    return env, adapter, Scaling.of(*env.family.control_range(env.model), action_scale=2.0)


@pytest.mark.parametrize("kind", ["gradient", "memory"])
def test_sampled_actions_have_the_least_deviation_that_the_policy_allows(kind):
    """Where training drove the deviation below `min_std`: the control moves by min_std for noise of one."""
    scaling = Scaling(np.ones(2), np.zeros(2), np.full(2, -9.0), np.full(2, 9.0))
    if kind == "gradient":
        policy = GaussianMLP(3, 2, (4,), min_std=0.2)
        inner = PolicyGradientInner(InnerLoop(policy), 0.1, 1, 0.99, 1.0)
        meta = inner.init(np.random.default_rng(0)) | {"params.log_std": torch.tensor([-8.0, 0.5])}
        adapter, feeds = inner.adapter(meta, Normalizer.identity(3)), {}
    else:
        policy = RecurrentPolicy(3, 2, size=4, hidden=(4,), min_std=0.2)
        params = policy.init(np.random.default_rng(0)) | {"log_std": torch.tensor([-8.0, 0.5])}
        adapter = RecurrentAdapter(policy, params, Normalizer.identity(3), Normalizer.identity(1))
        feeds = {"reward": np.zeros((1, 1)), "start": np.ones((1, 1), np.float32)}
        feeds |= {name: np.zeros((1, n), np.float32) for name, n in (("action", 2), ("memory", 4))}
    session = _session(exported(adapter, scaling, noise=True))
    still, moved = (
        session.run(["control"], {"observation": np.ones((1, 3)), "noise": np.full((1, 2), z, np.float32), **feeds})[0]
        for z in (0.0, 1.0)
    )
    np.testing.assert_allclose(moved - still, [[0.2, np.exp(0.5)]], rtol=1e-5)


def test_the_memory_and_every_other_input_matter():
    env, adapter, scaling = remembering("lstm")
    session = _session(exported(adapter, scaling))
    feeds = {
        x.name: np.full((1, x.shape[1]), 0.3, np.float64 if x.type == "tensor(double)" else np.float32)
        for x in session.get_inputs()
    }
    assert set(feeds) == {"observation", "reward", "start", "action", "memory", "cell"}
    (usual,) = session.run(["control"], feeds)
    for name, value in feeds.items():
        (other,) = session.run(["control"], feeds | {name: value + 0.5})
        assert np.abs(other - usual).max() > 1e-3, name


def test_robots_in_one_call_are_each_on_their_own(policy):
    observations = np.random.default_rng(0).normal(size=(5, 17))
    together = act(policy, observation=observations)
    alone = [act(policy, observation=observations[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_controls_keep_to_their_range_and_a_nan_stays_one(policy):
    observations = np.array([[1e9] * 17, [-np.inf] * 17, [0.0] * 16 + [np.nan]])
    control = act(policy, observation=observations)
    assert (np.abs(control[:2]) <= 1.0).all()
    assert np.isnan(control[2]).all()


def test_unlike_controls_are_scaled_each_to_its_own():
    scaling = Scaling.of(np.array([-0.5, 1.0]), np.array([0.5, 3.0]), action_scale=4.0)
    np.testing.assert_array_equal(
        scaling(np.array([[0.0, 0.0], [4.0, -4.0], [-40.0, 2.0]])), [[0.0, 2.0], [0.5, 1.0], [-0.5, 2.5]]
    )


@pytest.mark.slow
@pytest.mark.parametrize("oracle", [False, True])
def test_a_run_of_rl2_is_exported_as_it_was_trained(capsys, tmp_path, oracle):
    config = Config(
        env=EnvConfig(family="HalfCheetahMass", horizon=20),
        algorithm=RL2Config(memory_size=16, oracle=oracle),
        policy=PolicyConfig(hidden=(8,), normalize_observations=True),
        meta_batch=2,
        episodes=1,
        evaluation=EvaluationConfig(tasks=2, episodes=2, steps=1),
        wandb=WandbConfig(mode="disabled"),
        threads=1,
    )
    run = runs.start(config, tmp_path / "run")
    run.lock.release()
    learner = make_learner(config)
    learner.iterate(training_env(learner.config), 0)
    checkpoint.save(run.checkpoints, learner.state_dict(), {"iteration": 1, "env_steps": 0})
    about = json.loads(export_run(run).with_suffix(".json").read_text())
    assert (about["task"], about["adaptation"]) == (None, {"kind": "memory"})
    assert about["inputs"]["observation"]["shape"] == ["robots", len(about["observation"])]
    assert (about["observation"][-1]["name"] == "mass_scale") is oracle
    assert list(about["inputs"]) == ["observation", "reward", "start", "action", "memory"]
    assert about["outputs"]["next_memory"] == about["inputs"]["memory"] == {"shape": ["robots", 16], "type": "float32"}
    line = "export: this policy adapts as it acts; leave out --task, --steps and --episodes"
    assert command(capsys, run.path, "--steps", "1") == (2, "", f"metarl: error: {line}\n")


# ---- adapted to the task


def weights(file: Path) -> list[np.ndarray]:
    return [onnx.numpy_helper.to_array(x) for x in onnx.load(file).graph.initializer if len(x.dims) == 2]


def test_it_is_adapted_to_its_task(run, policy):
    held_out = run.tasks("validation")
    other = next(i for i in range(4) if held_out[i] != held_out[1])
    start, opposite = export_run(run, steps=0), export_run(run, str(other))
    initial = {name: value.numpy() for name, value in load_adapter(run).params.items()}
    for got, name in zip(weights(start), ("w0", "w1", "w2"), strict=True):
        np.testing.assert_array_equal(got, initial[name])
    for a, b, c in zip(weights(policy), weights(opposite), weights(start), strict=True):
        assert np.abs(a - c).max() > 1e-4 and np.abs(a - b).max() > 1e-4


def test_a_task_of_one_s_own(run, policy, tmp_path):
    file = tmp_path / "task.json"
    file.write_text(json.dumps(run.tasks("validation")[1].to_json()))
    assert export_run(run, str(file)) == policy
    assert json.loads(export_run(run).with_suffix(".json").read_text())["task"] == {"direction": 1.0}


# ---- what goes with it


def test_the_file_says_what_must_be_known(run, policy):
    about = json.loads(policy.with_suffix(".json").read_text())
    model = onnx.load(policy)
    assert {x.key: json.loads(x.value) for x in model.metadata_props} == {k: about[k] for k in about if k != "onnx"}
    assert about["onnx"] == {"file": policy.name, "sha256": hashlib.sha256(policy.read_bytes()).hexdigest()}
    saved = run.checkpoint()
    assert about["run"] == run.id
    assert about["checkpoint"] == {"iteration": 1, "sha256": saved.meta["sha256"]}
    assert (about["control_rate"], about["action_scale"]) == (20.0, 4.0)
    assert [x["unit"] for x in about["observation"]] == ["m", *["rad"] * 7, "m/s", "m/s", *["rad/s"] * 7]
    assert about["joints"][3] == {"name": "bthigh", "kind": "hinge", "unit": "rad", "range": [-0.52, 1.05]}
    thigh = {"name": "bthigh", "low": -1.0, "high": 1.0, "joint": "bthigh", "kind": "motor", "unit": "120 N m"}
    assert about["actuators"][0] == thigh
    assert about["task_space"][0]["choices"] == [-1.0, 1.0]
    assert about["task"] == run.tasks("validation")[1].to_json()["tasks"][0]
    # two episodes of 100 steps of 0.05 s
    assert about["adaptation"] == {"kind": "gradient", "steps": 1, "episodes": 2, "seconds": 10.0, "seed": 0}
    assert about["inputs"] == {"observation": {"shape": ["robots", 17], "type": "float64"}}
    assert about["outputs"] == {"control": {"shape": ["robots", 6], "type": "float64"}}
    assert about["versions"]["mujoco"]
    told = set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", DOCUMENTATION.partition("What goes")[2], re.M)))
    )
    assert told == set(about)


ACTUATORS = [
    ("<motor joint='a' gear='5'/>", [("motor", "5 N m")]),
    ("<position joint='a' kp='3' kv='.5' forcerange='-2 4' gear='10'/>", [("servo", "rad")]),
    ("<velocity joint='a' kv='4'/>", [("servo", "rad/s")]),
    ("<intvelocity joint='a' kp='5'/>", [("servo", "rad/s")]),
    ("<damper joint='a' kv='2' ctrlrange='0 1'/>", [("damper", "2 N m s/rad")]),
    ("<cylinder joint='s' area='2'/>", [("cylinder", "Pa")]),
    ("<general joint='s' gainprm='80' biastype='affine' biasprm='0 -100 -10'/>", [("servo", "0.8 m")]),
    ("<general joint='a' gainprm='2' biastype='affine' biasprm='1 0 -80'/>", [("servo", "0.025 rad/s")]),
    ("<general joint='a' dyntype='integrator' gainprm='3'/>", [("motor", "3 N m/s")]),
    ("<pid joint='a' input='pos' kp='3'/>", [("servo", "rad")]),
    ("<pid joint='s' input='pos vel ff' kp='3'/>", [("servo", "m"), ("servo", "m/s"), ("motor", "1 N")]),
    ("<dcmotor joint='a' resistance='1' motorconst='1'/>", [("dcmotor", "V")]),
    ("<muscle joint='l'/>", [("muscle", "1")]),
    ("<position tendon='t' kp='3'/>", [("servo", "m")]),
    ("<motor site='p' gear='0 0 1 0 0 0'/>", [(None, None)]),
]


@pytest.mark.parametrize(("actuator", "expected"), ACTUATORS, ids=[text.split()[0][1:] for text, _ in ACTUATORS])
def test_the_unit_of_a_control_is_what_mujoco_takes_it_for(actuator, expected):
    mjcf = """<mujoco><worldbody><site name="q"/><body><joint name="a"/><geom size=".1"/><site name="p"/>
      <body><joint name="s" type="slide"/><geom size=".1"/></body>
      <body pos="1 0 0"><joint name="l" range="-50 50"/><geom size=".1" pos=".3 0 0"/></body></body></worldbody>
      <tendon><spatial name="t"><site site="p"/><site site="q"/></spatial></tendon>
      <actuator>{}</actuator></mujoco>"""
    model = mujoco.MjModel.from_xml_string(mjcf.format(actuator))
    told = [_actuator(model, i, -1.0, 1.0) for i in range(model.nu)]
    assert [(one.get("kind"), one.get("unit")) for one in told] == expected
    if "kv='.5'" in actuator:  # gains and limits are at the joint, behind the gear
        gains = {"kp": 300.0, "kd": 50.0, "force_limit": [-20.0, 40.0]}
        about = {"name": "", "low": -1.0, "high": 1.0, "joint": "a", "kind": "servo", "unit": "rad", "gear": 10.0}
        assert told[0] == about | gains


def test_what_the_robot_makes_of_what_it_senses(tmp_path):
    """An observation, computed from what was sensed as the document says, is the environment's."""
    (tmp_path / "arm.xml").write_text(
        "<mujoco><worldbody><body><joint name='a'/><joint name='b' axis='1 0 0'/><geom size='.1' pos='.3 0 0'/></body>"
        "</worldbody><actuator><motor joint='a' gear='3' ctrlrange='-1 1'/></actuator></mujoco>"
    )
    observation = [{"signal": "joint_position", "history": 3}, {"signal": "action"},
                   {"signal": "joint_velocity", "clip": [-0.2, 1.5], "scale": 0.1, "history": 2}]  # fmt: skip
    reward = {"near": {"signal": "joint_position", "joints": "a", "target": "goal", "weight": -1}}
    parameters = {"goal": {"default": 0, "low": -1, "high": 1}}
    about = {"name": "Arm", "mjcf": "arm.xml", "observation": observation, "parameters": parameters, "reward": reward}
    (tmp_path / "robot.yaml").write_text(json.dumps(about))
    env = BatchEnv(OwnRobot(str(tmp_path)), 1)
    entries = [entry["sensed"] for entry in _observation(env, ())]
    assert entries[1] == {"name": "b angle", "unit": "rad", "clip": None, "scale": 1.0, "steps_ago": 2}
    assert entries[-1] == {
        "name": "b velocity", "unit": "rad/s", "clip": [-0.2, 1.5], "scale": 0.1, "steps_ago": 0
    }  # fmt: skip
    measured, rng = [], np.random.default_rng(0)
    seen, _ = env.reset(seed=0)
    for _ in range(9):
        measured.append(dict(zip([x.name for x in env.family.sensed_names()], env.family.observe(env.batch, None)[0])))
        made = []
        for entry in entries:
            low, high = entry["clip"] or (-np.inf, np.inf)
            number = measured[max(0, len(measured) - 1 - entry["steps_ago"])][entry["name"]]
            made.append(entry["scale"] * min(max(number, low), high))
        np.testing.assert_allclose(seen[0], made, rtol=0, atol=1e-12)
        seen, *_ = env.step(rng.uniform(-1, 1, (1, 1)))


@pytest.mark.slow
def test_the_same_export_is_the_same_file(run, policy):
    before = policy.read_bytes()
    assert export_run(run, "1") == policy
    assert policy.read_bytes() == before
    assert len({policy, export_run(run, "1", episodes=3), export_run(run, "1", noise=True)}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("block", [0, 1])
def test_the_examples_drive_the_single_environment(block, policy, tmp_path):
    """In a process of their own, which leaves no trace of onnxruntime's telemetry and knows nothing of PyTorch."""
    (tmp_path / "policy.onnx").write_bytes(policy.read_bytes())
    env, adapter, scaling = remembering("gru")
    (tmp_path / "memory.onnx").write_bytes(exported(adapter, scaling))
    code = re.findall(r"```python\n(.*?)```", DOCUMENTATION, re.DOTALL)[block]
    code += "\nimport sys\nassert 'torch' not in sys.modules\nprint(env.unwrapped.batch_env._elapsed[0])\n"
    env = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    env |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "home")}
    child = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (child.returncode, child.stderr, child.stdout) == (0, "", ("100\n", "200\n")[block])
    assert not list((tmp_path / "home").rglob("*onnx*"))


@pytest.mark.slow
def test_the_installed_command_writes_its_files_and_no_telemetry(run, tmp_path):
    env = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    env |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    script, file = Path(sys.executable).with_name("metarl"), tmp_path / "policy.onnx"
    command = [script, "export", run.path, "--steps", "0", "--out", file]
    child = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, f"{file}\n{file.with_suffix('.json')}\n", "")
    assert not list((tmp_path / "home").rglob("*onnx*"))


# ---- what can go wrong

BAD = [
    (["--task", "4"], "--task: got 4, expected 0 to 3: the run has 4 validation tasks"),
    (["--task", "backward"], "--task 'backward': neither the number of one of the run's tasks nor a file"),
    (["--task", "two.json"], "two.json: got 2 tasks, expected one to adapt to"),
    (["--task", "none.json"], "none.json: got no tasks, expected at least one"),
    (["--task", "strange.json"], "strange.json: tasks are of family 'Navigation2D', expected 'HalfCheetahDir'"),
    (["--out", "policy.pt"], "--out: got policy.pt, expected a file name that ends in .onnx"),
    (["--out", "there.onnx"], "--out: there.onnx is there already; choose another, or add --force to replace it"),
    (["--force"], "--force: got no --out, expected it as well: the file in the run folder has a name of its own"),
    (["--out", "described.onnx"], "--out: described.json is there already; choose another, or add --force"),
    (["--out", "there.onnx/new.onnx"], "export: there.onnx/new.onnx cannot be written: "),
    (
        ["--out", "folder.onnx", "--force"],
        "export: folder.onnx cannot be written: Is a directory; choose another --out",
    ),
    (["--steps", "-1"], "Invalid value for '--steps': "),
    (["--episodes", "0"], "Invalid value for '--episodes': "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("args", "line"), BAD)
def test_bad_input_is_one_line_and_nothing_is_written(capsys, run, tmp_path, monkeypatch, args, line):
    monkeypatch.chdir(tmp_path)
    tasks = run.tasks("validation")
    Path("two.json").write_text(json.dumps(tasks[:2].to_json()))
    Path("none.json").write_text(json.dumps(tasks[:0].to_json()))
    Path("strange.json").write_text(json.dumps({"family": "Navigation2D", "tasks": [{}]}))
    Path("there.onnx").write_text("mine")
    Path("described.json").write_text("mine")
    Path("folder.onnx").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = command(capsys, run.path, *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"metarl: error: {line}") and err.count("\n") == 1
    left = [file for file in sorted(tmp_path.rglob("*")) if file.suffix != ".partial"]
    assert left == before and Path("there.onnx").read_text() == Path("described.json").read_text() == "mine"


@pytest.mark.slow
def test_the_command_prints_both_files_and_replaces_with_force_only(capsys, run, tmp_path):
    file = tmp_path / "new" / "policy.onnx"
    assert command(capsys, run.path, "--out", file) == (0, f"{file}\n{file.with_suffix('.json')}\n", "")
    file.write_text("mine")
    assert command(capsys, run.path, "--out", file)[0] == 2
    assert command(capsys, run.path, "--out", file, "--force")[0] == 0
    onnx.checker.check_model(onnx.load(file), full_check=True)


def test_not_a_run_and_no_checkpoint(capsys, run, tmp_path):
    assert "not a run folder" in command(capsys, tmp_path)[2]
    started = runs.start(run.config, tmp_path / "started")
    started.lock.release()
    code, _, err = command(capsys, started.path)
    assert code == 2 and "no checkpoint there yet" in err and err.count("\n") == 1
    assert not (started.path / "exports").exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_extra_is_one_line(capsys, run, monkeypatch, missing):
    monkeypatch.setattr(Extra, "installed", lambda extra: extra.module != missing)
    line = f"export needs the package {missing}, which is not installed: pip install '.[export]'"
    assert command(capsys, run.path) == (2, "", f"metarl: error: {line} in the checkout of metarl\n")


def test_a_family_without_actuators_is_refused(run):
    config = run.config.model_copy(update={"env": EnvConfig(family="MetaWorldML1")})
    with pytest.raises(UserError, match="^export: the actions of MetaWorldML1 are not controls of actuators"):
        export_run(runs.Run(run.path, config, run.id))


def test_what_onnxruntime_does_otherwise_is_not_written(run, monkeypatch, tmp_path):
    monkeypatch.setattr("metarl.export.onnx.TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="onnxruntime and PyTorch differ by"):
        export_run(run, out=tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["random", "scratch"])
def test_a_method_without_a_policy_to_export_says_so(capsys, tmp_path, name):
    inner = InnerConfig(sb3=SB3Config(algorithm="PPO")) if name == "scratch" else InnerConfig()
    algorithm = {"random": RandomConfig, "scratch": ScratchConfig}[name]()
    config = Config(env=EnvConfig(family="HalfCheetahDir", horizon=5), algorithm=algorithm, inner=inner, threads=1)
    run = runs.start(config, tmp_path / "run")
    run.lock.release()
    checkpoint.save(run.checkpoints, make_learner(config).state_dict(), {"iteration": 1, "env_steps": 0})
    kind = {"random": "RandomAdapter", "scratch": "SB3Adapter"}[name]
    line = f"export: got a run of {name}: {kind} has no policy that can be exported"
    assert command(capsys, run.path) == (2, "", f"metarl: error: {line}\n")


def test_weights_that_are_not_finite_are_not_written(capsys, run, tmp_path):
    tensors = run.checkpoint().tensors
    broken = runs.start(run.config, tmp_path / "run")
    broken.lock.release()
    tensors = {name: value * np.nan if name == "meta.params.w1" else value for name, value in tensors.items()}
    checkpoint.save(broken.checkpoints, tensors, {"iteration": 1, "env_steps": 0})
    line = "export: the weights are not finite after 0 steps of adaptation"
    assert command(capsys, broken.path)[2].startswith(f"metarl: error: {line}")


class Proportional(Adapter):
    """A method of somebody else's: pushes against the first observation, by a gain that is its state."""

    kind = "closed form"

    def start(self, num_tasks):
        return np.full(num_tasks, 0.1)

    def act(self, state, observations, rng):
        actions = np.tile(-state[:, None, None] * observations[..., :1], 6).astype(np.float32)
        return Decision(actions, self.normalize(observations), state)

    def adapt(self, state, rollout):
        return 2 * state

    def onnx(self, graph, state, noise):
        first = graph.columns(graph.input("observation", 17, np.float64), 0, 1)
        push = graph.op("Mul", first, graph.constant(-np.tile(state, 6)))
        return graph.cast(push, np.float32)


def test_anybody_s_adapter_is_exported_and_adapts_before(run, monkeypatch, tmp_path):
    monkeypatch.setattr("metarl.export.onnx.load_adapter", lambda run, saved=None: Proportional())
    file = export_run(run, "1", steps=2, episodes=3, out=tmp_path / "policy.onnx")
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["adaptation"] == {"kind": "closed form", "steps": 2, "episodes": 3, "seconds": 30.0, "seed": 0}
    control = act(file, observation=np.full((1, 17), 3.0))
    np.testing.assert_allclose(control, np.full((1, 6), -0.1 * 2**2 * 3.0 / 4.0), rtol=1e-6)  # action_scale 4
