"""docs/results/sine.py in a short form, and its inner steps and closed-form fit against arithmetic by hand."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.util.rng import stream

sine = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "results" / "sine.py"))


def test_a_step_is_a_gradient_step_on_the_mean_squared_error():
    rng = np.random.default_rng(0)
    params = sine["NETWORK"].init(rng)
    wave = sine["waves"](rng, 3)
    samples = sine["points"](rng, wave, 3, 5)
    after = sine["adapted"](sine["Regression"](sine["NETWORK"]), params, samples)
    for m in range(3):
        leaves = {name: value.clone().requires_grad_(True) for name, value in params.items()}
        error = sine["NETWORK"].mean(leaves, samples.observations[m]) - samples.actions[m]
        names = [name for name in leaves if name != "log_std"]
        gradients = torch.autograd.grad(error.square().mean(), [leaves[name] for name in names])
        for name, gradient in zip(names, gradients, strict=True):
            torch.testing.assert_close(after[name][m], params[name] - sine["STEP"] * gradient)


def test_the_waves_are_those_of_the_paper():
    wave = sine["waves"](np.random.default_rng(0), 4000)
    x = torch.zeros(4000, 1, 1)
    assert wave(x).min() >= -1e-6 and 4.5 < wave(x).max() <= 5.0  # A sin b with b up to pi
    period = torch.linspace(-5, 5, 200).reshape(1, 200, 1)
    highest = wave(period.expand(4000, -1, -1)).amax(1)
    assert highest.min() >= 0.09 and abs(float(highest.mean()) - 2.55) < 0.1


def test_waves_in_which_the_steps_diverge_are_counted_and_left_out():
    def predict(samples, x):
        return torch.where(torch.arange(len(x))[:, None, None] < 3, torch.nan, sine["waves"](rng(), len(x))(x) + 2.0)

    def rng():
        return np.random.default_rng(stream(0, "evaluation", 5))

    found = sine["errors"]({"all but three are off by 2": predict}, 5)
    assert found == {"all but three are off by 2": (4.0, 0.0, 3)}
    assert sine["in_words"]([(1.0, 0.1, 0), (2.0, 0.1, 3)]) == "1.50 (1.00..2.00), 3 waves diverged"


@pytest.mark.slow
def test_every_method_learns_to_adapt_with_each_seed(tmp_path, capsys):
    files = ["--figure", str(tmp_path / "sine.png"), "--json", str(tmp_path / "sine.json")]
    errors = sine["main"](["--iterations", "200", "--shots", "10", "--seeds", "0", "1", *files])
    assert (tmp_path / "sine.png").stat().st_size > 10_000
    text = capsys.readouterr().out
    assert "10 points, MAML: " in text and "published after 1 step: 0.77" in text
    wave = sine["waves"](np.random.default_rng(0), 1000)
    guess = float(wave(torch.linspace(-5, 5, 100).reshape(1, 100, 1).expand(1000, -1, -1)).square().mean())  # y = 0
    assert {method for method, _ in errors} == {"MAML", "first-order MAML", "Reptile", "ALPaCA"}
    written = json.loads((tmp_path / "sine.json").read_text())["mean_squared_error"]["10"]
    for (method, shots), found in errors.items():
        for one, other in found.values():
            assert one[0] != other[0]
        assert shots == 10 and min(mean for each in found.values() for mean, *_ in each) < 0.8 * guess, method
        assert written[method] == {name: [list(each) for each in values] for name, values in found.items()}
    assert errors["ALPaCA", 10]["closed form"][0][0] < 1.0
