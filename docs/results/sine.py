"""Few-shot regression of sine waves: the smallest problem on which meta-learning can be seen to work.

    python docs/results/sine.py                      # trains, prints the errors, draws sine.png
    python docs/results/sine.py --iterations 500     # a glimpse
    python docs/results/sine.py --iterations 3000 --seeds 0 1 2 3 4 --json docs/results/sine.json

A task is y = A sin(w x + b) on x from -5 to 5, with A from 0.1 to 5, w from 0.8 to 1.2 and b from 0 to pi (Li et al.
2017, arXiv:1707.09835). A method sees 5 or 10 points of a new one, and is asked for the rest.

    MAML               the derivative of the error after adaptation, through the step of adaptation itself
    first-order MAML   the same with that step taken as a constant
    Reptile            the weights move toward those after several steps
    ALPaCA             features for all tasks, the last layer of each task fitted in closed form (Harrison et al. 2018,
                       arXiv:1807.08912)

The first three adapt by `metarl.agents.InnerLoop`, which adapts the robots' policies: only its loss is another.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

from metarl.agents import GaussianMLP, InnerLoop, Params, Samples
from metarl.agents.inner_loop import per_task
from metarl.util.rng import stream

META_BATCH, QUERIES, STEP = 25, 10, 0.01
WAVES = 1000  # that errors are measured on
NETWORK = GaussianMLP(1, 1, (40, 40), "relu")
FEATURES = GaussianMLP(1, 32, (64, 64), "tanh")
NOISE = 0.1  # of ALPaCA's observations, a standard deviation: what its features may leave unexplained
PUBLISHED = {("MAML", 5): 1.13, ("MAML", 10): 0.77}  # mean squared error after one step, their table 1


class Regression(InnerLoop):
    """Gradient steps on the mean squared error; x and y are what a robot observes and does."""

    def loss(self, statistics, samples: Samples) -> torch.Tensor:
        """(M,) of each task."""
        return (samples.weights * (statistics.mean - samples.actions).square().sum(-1)).sum(-1)


def waves(rng: np.random.Generator, count: int):
    """A function from x (M, N, 1) to y (M, N, 1), a wave for each of M tasks."""
    low, high = np.array([[0.1, 0.8, 0.0], [5.0, 1.2, math.pi]])
    drawn = torch.from_numpy(rng.uniform(low, high, (count, 3)).astype(np.float32))
    a, w, b = drawn[:, None, :].split(1, dim=-1)  # (M, 1, 1) each
    return lambda x: a * torch.sin(w * x + b)


def points(rng: np.random.Generator, wave, count: int, shots: int) -> Samples:
    """K points of each of M waves."""
    x = torch.from_numpy(rng.uniform(-5, 5, (count, shots, 1)).astype(np.float32))
    one = torch.ones(count, shots)
    return Samples(x, wave(x), log_probs=one, advantages=one, weights=one / shots)


def adapted(loop: Regression, params: Params, samples: Samples, steps: int = 1) -> Params:
    """Weights after some steps, each with a leading task axis."""
    params = per_task(params, samples.num_tasks)
    for _ in range(steps):
        params, _ = loop.adapt(params, dict.fromkeys(params, STEP), samples)
    return params


def train_maml(shots: int, iterations: int, seed: int, first_order: bool = False):
    """theta <- theta - Adam of grad sum_i L_i(theta - alpha grad L_i(theta)), Finn et al. 2017, algorithm 2."""
    loop = Regression(NETWORK, first_order=first_order)
    params = {name: value.requires_grad_(True) for name, value in NETWORK.init(np.random.default_rng(seed)).items()}
    optimizer = torch.optim.Adam(params.values(), lr=1e-3)
    for i in range(iterations):
        rng = np.random.default_rng(stream(seed, "tasks", i))
        wave = waves(rng, META_BATCH)
        after = adapted(loop, params, points(rng, wave, META_BATCH, shots))
        queries = points(rng, wave, META_BATCH, QUERIES)
        optimizer.zero_grad()
        loop.loss(NETWORK(after, queries.observations), queries).mean().backward()
        optimizer.step()
    return by_steps({name: value.detach() for name, value in params.items()})


def train_reptile(shots: int, iterations: int, seed: int, steps: int = 5):
    """phi <- phi + epsilon mean_i (phi_i - phi), Nichol et al. 2018, algorithm 2; epsilon falls to zero."""
    loop, params = Regression(NETWORK), NETWORK.init(np.random.default_rng(seed))
    for i in range(iterations):
        rng = np.random.default_rng(stream(seed, "tasks", i))
        with torch.no_grad():
            after = adapted(loop, params, points(rng, waves(rng, META_BATCH), META_BATCH, shots), steps)
        epsilon = 1 - i / iterations
        params = {name: value + epsilon * (after[name] - value).mean(0) for name, value in params.items()}
    return by_steps(params)


def by_steps(params: Params):
    """Predictions after one step and after ten, from points and x."""
    loop = Regression(NETWORK)

    def predict(samples: Samples, x: torch.Tensor, steps: int) -> torch.Tensor:
        with torch.no_grad():
            return NETWORK.mean(adapted(loop, params, samples, steps), x)

    return {f"{n} step{'s' * (n > 1)}": lambda samples, x, n=n: predict(samples, x, n) for n in (1, 10)}


def train_alpaca(shots: int, iterations: int, seed: int):
    """y = phi(x)' w + noise, w ~ N(w0, noise^2 inverse(L L')): phi, w0 and L by the likelihood of y after K points."""
    params = FEATURES.init(np.random.default_rng(seed))
    del params["log_std"]
    size = FEATURES.action_dim
    params |= {"w": torch.zeros(size, 1), "root": torch.eye(size)}
    params = {name: value.requires_grad_(True) for name, value in params.items()}
    optimizer = torch.optim.Adam(params.values(), lr=1e-3)

    def posterior(samples: Samples, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (M, N, 1) and variance (M, N, 1) of y at x after the samples: Bayesian linear regression."""
        phi, query = FEATURES.mean(params, samples.observations), FEATURES.mean(params, x)
        prior = params["root"] @ params["root"].T + 1e-4 * torch.eye(size)
        chol = torch.linalg.cholesky(prior + phi.mT @ phi)  # the precision after K points
        w = torch.cholesky_solve(prior @ params["w"] + phi.mT @ samples.actions, chol)
        spread = torch.cholesky_solve(query.mT, chol).mT  # (M, N, F)
        return query @ w, NOISE**2 * (1 + (query * spread).sum(-1, keepdim=True))

    for i in range(iterations):
        rng = np.random.default_rng(stream(seed, "tasks", i))
        wave = waves(rng, META_BATCH)
        support = points(rng, wave, META_BATCH, int(rng.integers(1, shots + 1)))  # any number of points is met
        queries = points(rng, wave, META_BATCH, QUERIES)
        mean, variance = posterior(support, queries.observations)
        optimizer.zero_grad()
        (variance.log() + (queries.actions - mean).square() / variance).mean().backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 10.0)
        optimizer.step()

    def predict(samples: Samples, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return posterior(samples, x)[0]

    return {"closed form": predict}


METHODS = {
    "MAML": train_maml,
    "first-order MAML": lambda *args: train_maml(*args, first_order=True),
    "Reptile": train_reptile,
    "ALPaCA": train_alpaca,
}


def errors(predictions: dict, shots: int, tasks: int = WAVES) -> dict[str, tuple[float, float, int]]:
    """By name, mean squared error on 100 points of each of new waves, the half width of its 95 % interval, and in how
    many waves the steps diverged, which are left out."""
    rng = np.random.default_rng(stream(0, "evaluation", shots))  # the same waves for every method
    wave = waves(rng, tasks)
    samples = points(rng, wave, tasks, shots)
    x = torch.linspace(-5, 5, 100).reshape(1, 100, 1).expand(tasks, -1, -1)
    found = {}
    for name, predict in predictions.items():
        each = (predict(samples, x) - wave(x)).square().mean((1, 2))
        kept = each[each.isfinite()]
        half = 1.96 * float(kept.std()) / math.sqrt(len(kept))
        found[name] = (round(float(kept.mean()), 4), round(half, 4), tasks - len(kept))
    return found


def draw(trained: dict, shots: int, path: Path) -> None:
    """One new wave, the points that are seen of it, and what each method makes of them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rng = np.random.default_rng(4)
    wave, x = waves(rng, 1), torch.linspace(-5, 5, 200).reshape(1, 200, 1)
    samples = points(rng, wave, 1, shots)
    figure, axes = pyplot.subplots(1, len(trained), figsize=(4 * len(trained), 3), sharey=True, squeeze=False)
    for axis, (method, predictions) in zip(axes[0], trained.items(), strict=True):
        axis.plot(x[0, :, 0], wave(x)[0, :, 0], color="0.7", label="the task")
        for name, predict in predictions.items():
            axis.plot(x[0, :, 0], predict(samples, x)[0, :, 0], label=name)
        axis.plot(samples.observations[0, :, 0], samples.actions[0, :, 0], "k^", label=f"{shots} points seen")
        axis.set_title(method)
        axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> dict[tuple[str, int], dict[str, list[tuple[float, float, int]]]]:
    """Train every method for each number of points with each seed; print, write and return the errors of each seed."""
    parser = argparse.ArgumentParser(description="Few-shot regression of sine waves.")
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--figure", type=Path, default=Path("sine.png"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = {}
    for shots in options.shots:
        trained = {}
        for method, train in METHODS.items():
            start = time.perf_counter()
            trained[method] = [train(shots, options.iterations, seed) for seed in options.seeds]
            each = [errors(predictions, shots) for predictions in trained[method]]
            table[method, shots] = {name: [found[name] for found in each] for name in each[0]}
            text = ", ".join(f"{in_words(found)} ({name})" for name, found in table[method, shots].items())
            published = PUBLISHED.get((method, shots))
            note = f"; published after 1 step: {published}" if published else ""
            print(f"{shots:2d} points, {method}: {text}{note}; {time.perf_counter() - start:.0f} s", flush=True)
        draw({method: of_seeds[0] for method, of_seeds in trained.items()}, shots, options.figure)
    if options.json:
        found = {k: {method: each for (method, shots), each in table.items() if shots == k} for k in options.shots}
        document = {"iterations": options.iterations, "seeds": options.seeds, "waves": WAVES,
                    "mean_squared_error": found}  # fmt: skip
        options.json.write_text(json.dumps(document) + "\n")
    return table


def in_words(found: list[tuple[float, float, int]]) -> str:
    """Of one seed with its interval over waves, of several their mean and range."""
    means, halves, diverged = zip(*found, strict=True)
    spread = f"({min(means):.2f}..{max(means):.2f})" if len(found) > 1 else f"+- {halves[0]:.2f}"
    return f"{np.mean(means):.2f} {spread}" + f", {sum(diverged)} waves diverged" * any(diverged)


if __name__ == "__main__":
    main()
