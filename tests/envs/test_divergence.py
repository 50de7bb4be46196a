"""Physics that diverges ends that episode and touches no other; a faulty reward is an error, not data."""

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv, Family, make, make_family

N, BAD = 4, 2
MODES = ["NextStep", "SameStep", "Disabled"]


def run(family, mode, fault=None, at=10, steps=30):
    """Records of each step; fault(env, action) is applied to simulation BAD before step `at`."""
    name, options = family
    env = make(name, N, autoreset_mode=mode, horizon=25, **options)
    tasks = env.space.sample(N, "train", np.random.default_rng(1))
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    records = []
    for t in range(steps):
        action = 0.01 * np.random.default_rng(t).standard_normal((N, env.model.nu))
        if fault and t == at:
            fault(env, action)
        before = observation
        observation, reward, terminated, truncated, info = env.step(action)
        result = {"observation": observation, "reward": reward, "terminated": terminated, "truncated": truncated}
        records.append({**result, "before": before, "state": env.state(), "info": info})
    return records


def velocity(value):
    def fault(env, action):
        env.batch.bind("qvel")[BAD, 0] = value

    return fault


def position(value):
    def fault(env, action):
        env.batch.bind("qpos")[BAD, 0] = value

    return fault


def action(value):
    def fault(env, action):
        action[BAD, 1] = value

    return fault


def acceleration(env, action):
    env.batch.bind("qfrc_applied")[BAD, 3] = 1e25


FAULTS = {
    "qvel nan": velocity(np.nan),
    "qvel 2e4": velocity(2e4),
    "qvel 1e9": velocity(1e9),
    "qvel 1e30": velocity(1e30),
    "qvel -inf": velocity(-np.inf),
    "qpos nan": position(np.nan),
    "qpos 2e4": position(2e4),
    "qpos 1e30": position(1e30),
    "qacc": acceleration,
    "action nan": action(np.nan),
}
ROBOTS = [("HalfCheetahDir", {}), ("HalfCheetahMass", {}), ("HalfCheetahVel", {"variant": "maml"})]
# the point has no dynamics: it knows positions and actions only
POINT = ("qpos nan", "qpos 2e4", "qpos 1e30", "action nan")
CASES = [pytest.param("Navigation2D", {}, FAULTS[k], id=f"Navigation2D-{k}") for k in POINT]
CASES += [pytest.param(*robot, fault, id=f"{robot[0]}-{k}") for robot in ROBOTS for k, fault in FAULTS.items()]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "options", "fault"), CASES)
def test_a_diverged_simulation_ends_and_the_others_do_not_notice(name, options, fault, mode):
    clean, faulty = run((name, options), mode), run((name, options), mode, fault)
    others = np.arange(N) != BAD
    for t, (a, b) in enumerate(zip(clean, faulty, strict=True)):
        for key in ("observation", "reward", "terminated", "truncated", "state"):
            np.testing.assert_array_equal(a[key][others], b[key][others], err_msg=f"step {t}, {key}")
            assert np.isfinite(b[key]).all()
        assert b["info"]["diverged"].tolist() == [t == 10 and i == BAD for i in range(N)]
        assert not a["info"]["diverged"].any()
    end = faulty[10]
    assert end["terminated"][BAD] and not end["truncated"][BAD]
    assert end["reward"][BAD] == 0
    assert all(term[BAD] == 0 for key, term in end["info"]["reward_terms"].items() if not key.startswith("_"))
    last = end["info"]["final_obs"][BAD] if mode == "SameStep" else end["observation"][BAD]
    np.testing.assert_array_equal(last, end["before"][BAD])
    if mode == "SameStep":
        assert end["info"]["final_info"]["diverged"].tolist() == [i == BAD for i in range(N)]
    small = np.abs(faulty[11]["state"][BAD]).max()
    assert small < 5, "the simulation goes on from a reset state"
    if mode == "NextStep":
        assert faulty[11]["reward"][BAD] == 0 and not faulty[11]["terminated"][BAD]


def test_an_infinite_action_is_only_a_large_one():
    records = [run(("HalfCheetahDir", {}), "NextStep", action(value)) for value in (np.inf, 1.0, 1e30)]
    for record in records[1:]:
        np.testing.assert_array_equal(records[0][-1]["state"], record[-1]["state"])
    assert not any(step["info"]["diverged"].any() for step in records[0])


def test_resetting_others_leaves_the_last_good_observation():
    env = make("HalfCheetahDir", 2, autoreset_mode="Disabled")
    env.reset(seed=0)
    env.batch.bind("qvel")[0] = 1e20
    shown = env.step(np.zeros((2, 6)))[0]
    again = env.reset(options={"reset_mask": np.array([False, True])})[0]
    np.testing.assert_array_equal(again[0], shown[0])
    assert not (again[1] == shown[1]).any()


class NanReward(Family):
    """Physics is sound; the reward of one term is not."""

    name, camera, horizon = "NanReward", "track", 10
    space = make_family("HalfCheetahVel").space

    def build(self):
        return make_family("HalfCheetahDir").build()

    def observe(self, batch, derived):
        return batch.bind("qvel").copy()

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"fine": ctrl[:, 0].copy(), "broken": np.where(np.arange(len(ctrl)) == 1, np.nan, 1.0)}


def test_a_reward_that_is_not_a_number_is_the_familys_fault():
    env = BatchEnv(NanReward(), 3)
    env.reset(seed=0, options={"tasks": env.space.tasks(velocity=[0.5, 1.25, 2.0])})
    message = r"^reward term 'broken' of simulation 1 \(NanReward, task velocity=1.25 m/s\) is nan"
    with pytest.raises(ValueError, match=message):
        env.step(np.zeros((3, 6)))


WARNS = "<mujoco><compiler settotalmass='1'/><worldbody><geom size='1'/></worldbody></mujoco>"


def test_divergence_is_reported_in_info_and_nowhere_else(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    mine = []
    mujoco.set_mju_user_warning(mine.append)
    env = make("HalfCheetahDir", 40, autoreset_mode="Disabled", num_threads=2)
    env.reset(seed=0)
    env.batch.bind("qvel")[::2] = 1e20
    action = np.zeros((40, 6))
    action[1] = np.nan
    assert env.step(action)[4]["diverged"].sum() == 21
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "") and caplog.text == ""
    env.family.advance = lambda batch, ctrl, ids: mujoco.MjModel.from_xml_string(WARNS)
    env.step(np.zeros((40, 6)))
    assert "settotalmass" in caplog.text and mine == []
    mujoco.MjModel.from_xml_string(WARNS)
    mujoco.set_mju_user_warning(None)
    assert len(mine) == 1, "the handler of the program is back after the step"


def test_the_observation_space_is_as_large_as_a_sound_state():
    env = make("HalfCheetahDir", 1)
    assert env.single_observation_space.high.tolist() == [mujoco.mjMAXVAL] * 17
