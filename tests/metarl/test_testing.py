"""`metarl.testing`: what metarl ships keeps the contracts, and each way to break one is told in words."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.agents import Adapter, Memory
from metarl.agents.memory.gru import GRU
from metarl.algorithms.baselines_config import RandomConfig, ScratchConfig
from metarl.algorithms.es_maml_config import ESMAMLConfig
from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.meta_gradient import MetaGradientLearner
from metarl.algorithms.pearl_config import PEARLConfig
from metarl.algorithms.plasticity_config import PlasticityConfig
from metarl.algorithms.promp import ProMP
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.recurrent_sac_config import RecurrentSACConfig
from metarl.algorithms.reptile_config import ReptileConfig
from metarl.algorithms.rl2_config import RL2Config
from metarl.algorithms.rma_config import RMAConfig
from metarl.config import Config, EnvConfig
from metarl.config.schema import InnerConfig, PolicyConfig
from metarl.envs import make_family
from metarl.testing import ContractError, check_adapter, check_family, check_learner, check_memory
from metarl.util.plugins import ALGORITHMS, MEMORIES

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin" / "metarl_example"
CartOnSlope = runpy.run_path(str(EXAMPLE / "cart.py"))["CartOnSlope"]


def config(algorithm=None, **changes) -> Config:
    algorithm = algorithm or ProMPConfig(epochs=2)
    if algorithm.inner_loop != "none":
        changes.setdefault("inner", InnerConfig(steps=1))
    env = EnvConfig(family="Navigation2D", horizon=8, action_scale=2.0)
    small = {"policy": PolicyConfig(hidden=(8,)), "meta_batch": 3, "episodes": 4, "threads": 1}
    return Config(**{"env": env, "algorithm": algorithm} | small | changes)


def breach(check, *args, **options) -> str:
    with pytest.raises(ContractError) as caught:
        check(*args, **options)
    return str(caught.value)


# ---- what ships


SHIPPED = [
    MAMLConfig(), ProMPConfig(epochs=2), ReptileConfig(lr=0.5), RandomConfig(), ScratchConfig(),
    RL2Config(memory="gru", memory_size=8, trial_episodes=2, minibatches=1),
    RMAConfig(memory_size=8, trial_episodes=2, minibatches=1, student_share=0.99),  # one iteration is the teacher's
    RecurrentSACConfig(memory_size=8, critic_hidden=[8], batch_rows=4, window=4, burn_in=4),
    PEARLConfig(critic_hidden=[8], encoder_hidden=[8], batch_tasks=3, batch_steps=4, context_steps=5),
    ESMAMLConfig(), PlasticityConfig(),
]  # fmt: skip


@pytest.mark.parametrize("algorithm", SHIPPED, ids=lambda algorithm: algorithm.name)
def test_the_algorithms_keep_the_contract(algorithm):
    check_learner(config(algorithm))


def test_no_shipped_algorithm_is_left_out():
    own = {name for name in ALGORITHMS.names() if ALGORITHMS.origin(name) is None}
    assert own == {algorithm.name for algorithm in SHIPPED}


@pytest.mark.parametrize("name", MEMORIES.names())
def test_the_memories_keep_the_contract(name):
    check_memory(MEMORIES.load(name), size=8)


@pytest.mark.parametrize("name", ["Navigation2D", "HalfCheetahDir", "Walker2dRandParams"])
def test_families_keep_the_contract(name):
    check_family(make_family(name))


def test_the_example_keeps_the_contract():
    check_family(CartOnSlope())


# ---- broken learners


def _live(learner):
    return {name: value.detach() for name, value in learner.meta.items()}


def _drawn_from_elsewhere(self, config, spec):
    MetaGradientLearner.__init__(self, config, spec)
    self.optimizer = torch.optim.Adam(self.meta.values())
    with torch.no_grad():
        next(iter(self.meta.values())).add_(torch.rand(()))


def _deaf_to_the_seed(self, config, spec):
    MetaGradientLearner.__init__(self, config.model_copy(update={"seed": 0}), spec)
    self.optimizer = torch.optim.Adam(self.meta.values())


def _iterate(change):
    honest = ProMP.iterate
    return {"iterate": lambda self, env, iteration: change(honest(self, env, iteration))}


def _takes_anything(self, state):
    with torch.no_grad():
        for name, value in self.meta.items():
            value.copy_(state.get(name, value) if state.get(name, value).shape == value.shape else value)


def _shifted_log_probs(self, env, iteration):
    rounds, metrics = MetaGradientLearner.inner_loops(self, env, iteration)
    return [r._replace(samples=r.samples._replace(log_probs=r.samples.log_probs + 0.1)) for r in rounds], metrics


def _adapter_of_live_weights(self):
    return self.inner.adapter({name: value.detach() for name, value in self.meta.items()}, self.normalizer)


def _moved(self, by):
    with torch.no_grad():
        next(iter(self.meta.values())).add_(by)


def _counts_in_secret(self, env, iteration):
    self.secret = getattr(self, "secret", 0) + 1
    _moved(self, self.secret)
    return {"env_steps": 1, "diverged": 0}


def _names_nothing(self, state):
    if {name: value.shape for name, value in state.items()} != {name: x.shape for name, x in self.state_dict().items()}:
        raise ValueError("no")
    _HONEST_LOAD(self, state)


def _adds_once_used(self, state):
    _HONEST_LOAD(self, state)
    if hasattr(self, "used"):
        _moved(self, 1.0)


def _marks_as_used(self, env, iteration):
    self.used = True
    return {"env_steps": 1, "diverged": 0}


def _adapter_that_trains(self):
    learner = self

    class Trains(Honest):
        def act(self, state, observations, rng):
            _moved(learner, 0.01)
            return self.inner.act(state, observations, rng)

    return Trains(MetaGradientLearner.adapter(self))


_HONEST_LOAD = ProMP.load_state_dict
BROKEN_LEARNERS = {
    "changing what state_dict gave changes the learner": {"state_dict": _live},
    "state_dict: got list, expected a dict of tensors": {"state_dict": lambda self: []},
    "differs between two learners of the same config": {"__init__": _drawn_from_elsewhere},
    "seeds 0 and 1 start from the same weights": {"__init__": _deaf_to_the_seed},
    "expected 'env_steps' among them": _iterate(lambda m: {k: v for k, v in m.items() if k != "env_steps"}),
    "metric return_0 is nan, expected a finite number": _iterate(lambda m: m | {"return_0": float("nan")}),
    "does the config's rounds() say how often": _iterate(lambda m: m | {"env_steps": 10**6}),
    "a resume": {"state_dict": MetaGradientLearner.state_dict, "load_state_dict": MetaGradientLearner.load_state_dict},
    "expected a ValueError that names it": {
        "state_dict": lambda self: {name: value.clone() for name, value in _live(self).items()},
        "load_state_dict": _takes_anything, "iterate": lambda self, env, i: {"env_steps": 1, "diverged": 0},
    },
    "a log-probability differs by 0.1": {"inner_loops": _shifted_log_probs},
    "differs between a training that was resumed in each iteration": {"iterate": _counts_in_secret},
    "and the ValueError does not name it: no": {"load_state_dict": _names_nothing},
    "differs after load_state_dict of its own": {"load_state_dict": _adds_once_used, "iterate": _marks_as_used},
    "changed while the adapter acted and adapted": {"adapter": _adapter_that_trains, "iterate": _marks_as_used},
    "adapter() must copy the weights": {"adapter": _adapter_of_live_weights},
}  # fmt: skip


@pytest.mark.parametrize("message", BROKEN_LEARNERS)
def test_a_broken_learner_is_told(message, monkeypatch):
    for name, part in BROKEN_LEARNERS[message].items():
        monkeypatch.setattr(ProMP, name, part)
    assert message in breach(check_learner, config())


def test_too_little_to_check_with_is_told():
    assert "got iterations=1, expected at least 2" in breach(check_learner, config(), iterations=1)
    adapter = make_learner(config()).adapter()
    assert "got 4 simulations, expected at least 2 tasks" in breach(
        check_adapter, adapter, make_env(config(), 4), num_episodes=4
    )


@pytest.mark.parametrize(("name", "value", "message"), [
    ("title", lambda self, config: "", "ProMPConfig.title: got ''"),
    ("weights", ("nothing.",), "`evaluate --average` would average nothing"),
    ("search_space", lambda self, config: {"algorithm.lr": {"uniform": [-1, 1]}}, "search_space: algorithm.lr"),
])  # fmt: skip
def test_a_config_that_says_what_is_not_so_is_told(name, value, message, monkeypatch):
    monkeypatch.setattr(ProMPConfig, name, value)
    assert message in breach(check_learner, config())


# ---- broken adapters


class Honest(Adapter):
    """Acts as ProMP's; the subclasses break one thing each."""

    def __init__(self, inner):
        self.inner = inner

    def start(self, num_tasks):
        return self.inner.start(num_tasks)

    def act(self, state, observations, rng):
        return self.inner.act(state, observations, rng)

    def adapt(self, state, rollout):
        return self.inner.adapt(state, rollout)


def _acting(change):
    return type("Broken", (Honest,), {"act": lambda self, s, x, rng: change(self.inner.act(s, x, rng))})


class NoiseOfItsOwn(Honest):
    def act(self, state, observations, rng):
        decision = self.inner.act(state, observations, rng)
        return decision._replace(actions=decision.actions + np.random.default_rng().random(dtype=np.float32))


class AlwaysNoisy(Honest):
    def act(self, state, observations, rng):
        return self.inner.act(state, observations, rng or np.random.default_rng())


class WritableStart(Honest):
    def start(self, num_tasks):
        state = self.inner.start(num_tasks)
        return state._replace(params={name: x.clone() for name, x in state.params.items()})


class ActingChangesTheState(WritableStart):
    def act(self, state, observations, rng):
        next(iter(state.params.values())).add_(0.1)
        return self.inner.act(state, observations, rng)


class LooksAtOtherTasks(Honest):
    def act(self, state, observations, rng):
        return self.inner.act(state, observations - observations.mean(0), rng)._replace(observations=observations)


class AdaptsFromOtherTasks(Honest):
    def adapt(self, state, rollout):
        self._level = float(rollout.rewards.mean())
        state = self.inner.adapt(state, rollout)
        return state._replace(params={name: x + 0.1 * self._level for name, x in state.params.items()})


class AdaptingChangesTheState(WritableStart):
    def adapt(self, state, rollout):
        next(iter(state.params.values())).add_(0.1)
        return self.inner.adapt(state, rollout)


class AdaptingChangesTheStart(Honest):
    def start(self, num_tasks):
        state = self.inner.start(num_tasks)
        return state._replace(params={name: x + getattr(self, "shift", 0.0) for name, x in state.params.items()})

    def adapt(self, state, rollout):
        self.shift = 0.5
        return self.inner.adapt(state, rollout)


class AdaptsByChance(Honest):
    def adapt(self, state, rollout):
        state = self.inner.adapt(state, rollout)
        return state._replace(params={name: x + torch.rand(()) for name, x in state.params.items()})


class AdaptsToNothing(Honest):
    def adapt(self, state, rollout):
        state = self.inner.adapt(state, rollout)
        return state._replace(params={name: x * float("nan") for name, x in state.params.items()})


class OtherShapeInTheNextEpisode(Honest):
    cut = None

    def act(self, state, observations, rng):
        decision = self.inner.act(state, observations, rng)
        return decision._replace(actions=decision.actions[: self.cut])

    def next_episode(self, state):
        self.cut = 1
        return state


BROKEN_ADAPTERS = {
    "act after adapt: got actions (3, 4, 2), expected finite": AdaptsToNothing,
    "next_episode: got actions (1, 4, 2), expected (3, 4, 2)": OtherShapeInTheNextEpisode,
    "expected (3, 4, 2): (M, K, A)": _acting(lambda d: d._replace(actions=d.actions[:, :, :1])),
    "got actions of float64, expected float32": _acting(lambda d: d._replace(actions=d.actions.astype(float))),
    "an action is not finite": _acting(lambda d: d._replace(actions=d.actions * np.float32("nan"))),
    "as the policy saw them": _acting(lambda d: d._replace(observations=d.observations[:, :, :1])),
    "two calls with the same state and noise differ": NoiseOfItsOwn,
    "without a noise source two calls choose other actions": AlwaysNoisy,
    "act: changed the state that it was given": ActingChangesTheState,
    "depend on the observations in other tasks": LooksAtOtherTasks,
    "what happened in other tasks changes the actions in task 0": AdaptsFromOtherTasks,
    "adapt: changed the state that it was given": AdaptingChangesTheState,
    "adapt: changed what the adapter starts from": AdaptingChangesTheStart,
    "two calls with the same experience come to other actions": AdaptsByChance,
}


@pytest.mark.parametrize("message", BROKEN_ADAPTERS)
def test_a_broken_adapter_is_told(message):
    small = config()
    adapter = make_learner(small).adapter()
    check_adapter(Honest(adapter), make_env(small, 12), num_episodes=4)
    assert message in breach(check_adapter, BROKEN_ADAPTERS[message](adapter), make_env(small, 12), num_episodes=4)


# ---- broken memories


class StartsElsewhere(GRU):
    def start(self, batch, dtype=torch.float32):
        return (torch.ones(batch, self.size, dtype=dtype),)


class DrawsFromElsewhere(GRU):
    def init(self, rng):
        return super().init(np.random.default_rng())


class NeverForgets(GRU):
    def sequence(self, params, state, xs, resets=None):
        return self.run(params, state, xs)


class ForgetsAllRows(GRU):
    def sequence(self, params, state, xs, resets=None):
        return super().sequence(params, state, xs, None if resets is None else resets.any(1, True).expand_as(resets))


class StepsOtherwise(GRU):
    def step(self, params, state, x):
        (h,), y = super().step(params, state, x)
        return (h,), 1.1 * y


class MixesRows(GRU):
    def run(self, params, state, xs):
        return super().run(params, state, xs - xs.mean(1, keepdim=True))

    step = Memory.step


class ChangesTheStateInPlace(GRU):
    def sequence(self, params, state, xs, resets=None):
        result = super().sequence(params, state, xs, resets)
        state[0].add_(1.0)
        return result


class WeightsNobodyReads(GRU):
    def init(self, rng):
        return super().init(rng) | {"spare": torch.ones(3)}


class NotExported(GRU):
    def onnx(self, graph, params, x):
        return Memory.onnx(self, graph, params, x)


class ExportedOtherwise(GRU):
    def onnx(self, graph, params, x):
        return super().onnx(graph, params | {"b_input": params["b_input"] + 1}, x)


class WrongShape(GRU):
    def run(self, params, state, xs):
        state, ys = super().run(params, state, xs)
        return state, ys[:, :, :1]


class DoubleWeights(GRU):
    def init(self, rng):
        return {name: value.double() for name, value in super().init(rng).items()}


class OneStateForAll(GRU):
    def start(self, batch, dtype=torch.float32):
        return super().start(1, dtype)


class EndsElsewhere(GRU):
    def sequence(self, params, state, xs, resets=None):
        (h,), ys = super().sequence(params, state, xs, resets)
        return (h + 1,), ys


class InfiniteGradient(GRU):
    def run(self, params, state, xs):
        state, ys = super().run(params, state, xs)
        return state, ys + 0 * torch.sqrt(params["b_input"].sum() * 0)

    step = Memory.step


BROKEN_MEMORIES = {
    "the state after the last step differs": EndsElsewhere,
    "its gradient is not finite": InfiniteGradient,
    "init: expected a dict of float32 tensors": DoubleWeights,
    "start: part 0 has shape (1, 4), expected (3, ...)": OneStateForAll,
    "is not zero; a trial begins with zeros": StartsElsewhere,
    "init: draws from elsewhere than its rng": DrawsFromElsewhere,
    "a reset does not clear the memory of its row": NeverForgets,
    "a reset of one row changes the others": ForgetsAllRows,
    "differs from the same step of sequence": StepsOtherwise,
    "the output of row 0 depends on the inputs of other rows": MixesRows,
    "sequence: changed the state that it was given": ChangesTheStateInPlace,
    "spare: no gradient reaches it": WeightsNobodyReads,
    "onnx: the memory gru has no ONNX graph": NotExported,
    "onnx: step 0 differs by": ExportedOtherwise,
    "sequence: got (7, 3, 1), expected (7, 3, 4)": WrongShape,
}


@pytest.mark.parametrize("message", BROKEN_MEMORIES)
def test_a_broken_memory_is_told(message):
    if "ONNX" in message or "onnx" in message:
        pytest.importorskip("onnxruntime")
    assert message in breach(check_memory, BROKEN_MEMORIES[message])


# ---- broken families


class OtherName(CartOnSlope):
    name = "Cart"


class DrawsItsOwnStart(CartOnSlope):
    def reset_state(self, rngs, qpos, qvel):
        qpos += np.random.default_rng().uniform(-0.1, 0.1, qpos.shape)


class FeelsItsNeighbours(CartOnSlope):
    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        terms = super().reward_terms(sim, derived, qpos_before, ctrl, values)
        return terms | {"crowd": np.full(len(ctrl), np.abs(sim.bind("qpos")).sum())}


class PlaceWithoutEffect(CartOnSlope):
    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"distance": -np.abs(sim.bind("qpos")[:, 0])}


class TooFewNames(CartOnSlope):
    def observation_names(self):
        return super().observation_names()[:1]


class OneNameTwice(CartOnSlope):
    def observation_names(self):
        return 2 * super().observation_names()[:1]


class Nameless(CartOnSlope):
    name = ""


class RewardsInAColumn(CartOnSlope):
    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"distance": -np.abs(sim.bind("qpos")[:, :1] - values[:, 1:])}


class EndsByNumbers(CartOnSlope):
    def terminated(self, sim, values):
        return (sim.bind("qpos")[:, 0] > 9).astype(int)


class SeesNothing(CartOnSlope):
    def observe(self, sim, derived):
        return super().observe(sim, derived) * np.nan


class SeesMoreLater(CartOnSlope):
    seen = 0

    def observe(self, sim, derived):
        self.seen += 1
        return np.tile(super().observe(sim, derived), 1 + (self.seen > 8))


BROKEN_FAMILIES = {
    "Nameless.name: expected the family's name": Nameless,
    "step 0: got rewards (4, 1), expected (4,)": RewardsInAColumn,
    "step 0: terminated is int64, expected bool": EndsByNumbers,
    "an observation is not finite": SeesNothing,
    "got observations (4, 4), expected (4, 2)": SeesMoreLater,
    "both need one name": OtherName,
    "the same seed and actions give another episode": DrawsItsOwnStart,
    "nothing may be shared between simulations": FeelsItsNeighbours,
    "no effect on the trajectory of place": PlaceWithoutEffect,
    "expected one for each of 2 numbers": TooFewNames,
    "two entries have the same name": OneNameTwice,
}


@pytest.mark.parametrize("message", BROKEN_FAMILIES)
def test_a_broken_family_is_told(message):
    assert message in breach(check_family, BROKEN_FAMILIES[message]())
