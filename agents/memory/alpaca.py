"""Basis functions whose weights are fitted in closed form while the robot acts (ALPaCA, Harrison et al. 2018).

What comes next is a sum of features of what was observed and done, and a task is its weights:

    [o_{t+1} - o_t, r_t] = W^T g(o_t, a_t) + noise,    W ~ N(W_0, P_0) for each column alike

Training learns the features g, the prior mean W_0 and a root of the prior covariance, P_0 = S_0 S_0^T (in units of the
noise's variance). Each step updates mean and covariance by recursive least squares; the root of the covariance is what
is kept (Potter 1963), so that rounding never makes it anything but a covariance. With forgetting factor lambda, older
steps count lambda^age, and so does the prior:

    f = S^T g,   a = 1 / (lambda + f^T f),   k = a S f
    W += k (y - W^T g)^T,   S = (S - k f^T / (1 + sqrt(lambda a))) / sqrt(lambda)

The output is a layer over W - W_0 and the logarithm of each weight's standard deviation.
Gradients run through the fit; `fit` also gives the squared error of each prediction before its update, which
``algorithm.predict: fit`` of RL² learns from.
"""

from dataclasses import dataclass

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.initialization import glorot
from ..nn.params import Params
from .base import Memory, State, option


@dataclass(frozen=True)
class ALPaCA(Memory):
    """See the module. Inputs are (observation, last action, last reward, whether an episode begins), as a policy's.

    State: W - W_0 (N, F, O + 1), S (N, F, F), the last observation (N, O), and how many steps there were (N, 1).

    Attributes:
        observed: O, numbers of the observation; a policy says it by itself. 0: all but the last two inputs.
        features: F.
        units: of the hidden layer of g.
        forgetting: lambda.
    """

    name = "alpaca"
    fits = True
    observed: int = option(
        0, "Numbers of the observation that are predicted; 0, or more than it has: all.", low=0, high=1_000_000
    )
    features: int = option(16, "Basis functions.", low=1, high=1000)
    units: int = option(64, "Units of the hidden layer behind them.", low=1, high=10_000)
    forgetting: float = option(1.0, "Forgetting factor: a step of age t counts forgetting^t.", low=0.5, high=1.0)

    @property
    def known(self) -> int:
        """O."""
        return self.observed or self.input_dim - 2

    @property
    def footprint(self) -> int:
        return 2 * self.features * (self.known + 1 + 2 * self.features) + 4 * self.units + 4 * self.size

    def init(self, rng: np.random.Generator) -> Params:
        features, outputs = self.features, self.known + 1
        return {
            "w_hidden": glorot(rng, self.units, self.input_dim - 2), "b_hidden": torch.zeros(self.units),
            "w_feature": glorot(rng, features, self.units), "b_feature": torch.zeros(features),
            "prior_mean": glorot(rng, features, outputs, scale=0.1), "prior_root": torch.eye(features),
            "w_mean": glorot(rng, self.size, features * outputs), "w_std": glorot(rng, self.size, features),
            "b": torch.zeros(self.size),
        }  # fmt: skip

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        features, known = self.features, self.known
        shapes = (features, known + 1), (features, features), (known,), (1,)
        return tuple(torch.zeros(batch, *shape, dtype=dtype) for shape in shapes)

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        state, ys, _ = self.fit(params, state, xs)
        return state, ys

    def errors(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None
    ) -> tuple[State, torch.Tensor, torch.Tensor]:
        """`sequence`, and (T, N) squared errors of the predictions of each step, zero where an episode begins."""

        def run(params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
            state, ys, errors = self.fit(params, state, xs)
            return state, torch.cat([ys, errors.unsqueeze(-1)], dim=-1)

        state, ys = self.sequence(params, state, xs, resets, run)
        return state, ys[..., :-1], ys[..., -1]

    def fit(
        self, params: Params, state: State, xs: torch.Tensor
    ) -> tuple[State, torch.Tensor, torch.Tensor]:
        """(T, N, X) inputs without a reset -> the state after them, (T, N, H) outputs and (T, N) squared errors."""
        change, root, last, count = state
        known = self.known
        observations, acted, rewards = xs[..., :known], xs[..., known:-2], xs[..., -2:-1]
        before = torch.cat([last.unsqueeze(0), observations[:-1]])
        follows = (1 - xs[..., -1:]).clamp(0.0, 1.0)  # zero where an episode begins: nothing led there
        phis = follows * self._features(params, torch.cat([before, acted], dim=-1))
        targets = follows * torch.cat([observations - before, rewards], dim=-1) - phis @ params["prior_mean"]
        forgetting = 1 - (1 - self.forgetting) * follows.squeeze(-1)
        root = torch.where(count.unsqueeze(-1) > 0, root, params["prior_root"])
        changes, roots, errors = [], [], []
        for phi, target, factor in zip(phis, targets, forgetting):
            change, root, error = least_squares_step(change, root, phi, target, factor)
            changes.append(change)
            roots.append(root)
            errors.append(error)
        stds = torch.stack(roots).square().sum(-1)  # variances, (T, N, F)
        ys = torch.nn.functional.linear(torch.stack(changes).flatten(2), params["w_mean"], params["b"])
        ys = torch.tanh(ys + torch.nn.functional.linear(0.5 * torch.log(stds), params["w_std"]))
        state = change, root, observations[-1], count + len(xs)
        return state, ys, torch.stack(errors).square().sum(-1)

    def _features(self, params: Params, x: torch.Tensor) -> torch.Tensor:
        """g, (..., F)."""
        hidden = torch.tanh(torch.nn.functional.linear(x, params["w_hidden"], params["b_hidden"]))
        return torch.tanh(torch.nn.functional.linear(hidden, params["w_feature"], params["b_feature"]))

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        known, features, outputs = self.known, self.features, self.known + 1

        def one(value: float) -> str:
            return graph.constant(np.float32(value))

        def column(value: str) -> str:
            return graph.unsqueeze(value, 2)

        change = graph.reshape(graph.state("weights", features * outputs), 0, features, outputs)
        kept = graph.reshape(graph.state("root", features * features), 0, features, features)
        last, count = graph.state("last", known), graph.state("count", 1)
        observation, reward = graph.columns(x, 0, known), graph.columns(x, self.input_dim - 2, self.input_dim - 1)
        start = graph.columns(x, self.input_dim - 1, self.input_dim)
        follows = graph.clip(graph.op("Sub", one(1), start), np.float32(0), np.float32(1))  # (N, 1)
        seen = graph.op("Concat", last, graph.columns(x, known, self.input_dim - 2), axis=-1)
        seen = graph.op("Tanh", graph.linear(seen, params["w_hidden"].T, params["b_hidden"]))
        seen = graph.op("Tanh", graph.linear(seen, params["w_feature"].T, params["b_feature"]))
        phi = graph.op("Mul", follows, seen)
        target = graph.op("Concat", graph.op("Sub", observation, last), reward, axis=-1)
        prior = graph.op("MatMul", phi, graph.constant(params["prior_mean"]))
        target = graph.op("Sub", graph.op("Mul", follows, target), prior)
        factor = graph.op("Sub", one(1), graph.op("Mul", one(1 - self.forgetting), follows))
        known_root = graph.unsqueeze(graph.op("Greater", count, one(0)), 2)
        root = graph.op("Where", known_root, kept, graph.constant(params["prior_root"]))
        # least_squares_step
        row = graph.unsqueeze(phi, 1)
        f = graph.squeeze(graph.op("MatMul", row, root), 1)  # (N, F)
        covered = graph.op("MatMul", root, column(f))  # (N, F, 1)
        ones = graph.constant(np.ones((features, 1), np.float32))
        a = graph.op("Reciprocal", graph.op("Add", factor, graph.op("MatMul", graph.op("Mul", f, f), ones)))
        gain = graph.op("Mul", covered, graph.unsqueeze(a, 2))
        error = graph.op("Sub", graph.unsqueeze(target, 1), graph.op("MatMul", row, change))  # (N, 1, O + 1)
        change = graph.op("Add", change, graph.op("MatMul", gain, error))
        shrink = graph.op("Add", one(1), graph.op("Sqrt", graph.op("Mul", factor, a)))
        less = graph.op("Div", graph.op("MatMul", gain, graph.unsqueeze(f, 1)), graph.unsqueeze(shrink, 2))
        root = graph.op("Div", graph.op("Sub", root, less), graph.unsqueeze(graph.op("Sqrt", factor), 2))
        variance = graph.squeeze(graph.op("MatMul", graph.op("Mul", root, root), ones), 2)
        flat = graph.reshape(change, 0, features * outputs)
        graph.next_state("weights", flat, features * outputs)
        graph.next_state("root", graph.reshape(root, 0, features * features), features * features)
        graph.next_state("last", observation, known)
        graph.next_state("count", graph.op("Add", count, one(1)), 1)
        y = graph.linear(flat, params["w_mean"].T, params["b"])
        stds = graph.op("MatMul", graph.op("Log", variance), graph.constant(0.5 * params["w_std"].T))
        return graph.op("Tanh", graph.op("Add", y, stds))


def least_squares_step(
    mean: torch.Tensor, root: torch.Tensor, phi: torch.Tensor, target: torch.Tensor, forgetting: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One step of recursive least squares, with Potter's update of a square root of the covariance.

    Args:
        mean, root: (N, F, P) and (N, F, F), W and S with covariance S S^T in units of the noise's variance.
        phi, target: (N, F) features and (N, P) what they are to predict.
        forgetting: (N,) factors.

    Returns:
        mean and root after it, and the error (N, P) of the prediction before it.
    """
    f = (phi.unsqueeze(1) @ root).squeeze(1)  # S^T g
    a = 1 / (forgetting + f.square().sum(-1))
    gain = (root @ f.unsqueeze(-1)) * a[:, None, None]  # (N, F, 1)
    error = target - (phi.unsqueeze(1) @ mean).squeeze(1)
    mean = mean + gain * error.unsqueeze(1)
    shrink = 1 / (1 + torch.sqrt(forgetting * a))
    root = (root - gain * (shrink.unsqueeze(-1) * f).unsqueeze(1)) / torch.sqrt(forgetting)[:, None, None]
    return mean, root, error
