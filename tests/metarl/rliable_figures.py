"""Writes rliable.json: what rliable (Agarwal et al. 2021) makes of a few scores, which test_scores.py compares ours to.

rliable 1.2 does not import with pandas 3, so it is no dependency of the tests. Once, in an environment of its own:

    pip install rliable==1.2.0 "pandas<3" && python rliable_figures.py > rliable.json
"""

import json
from importlib.metadata import version

import numpy as np
from rliable import library, metrics

RESAMPLES = 500


def main() -> dict:
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(200.0, 30.0, (5, 11)) + rng.normal(0.0, 20.0, (5, 1)), 1)
    others = np.round(scores[[0, 1, 2, 4]] + rng.normal(-5.0, 20.0, (4, 11)))
    others[:2] = scores[1:3]  # some equal ones
    thresholds = np.linspace(100.0, 300.0, 21)
    aggregates = {"mean": metrics.aggregate_mean, "iqm": metrics.aggregate_iqm}
    intervals = {}
    for name, aggregate in aggregates.items():
        np.random.seed(0)  # noqa: NPY002  rliable draws from NumPy's global generator
        _, ends = library.get_interval_estimates({"ours": scores}, aggregate, reps=RESAMPLES)
        intervals[name] = ends["ours"].ravel().tolist()
    return {
        "versions": {name: version(name) for name in ("rliable", "arch", "numpy", "scipy", "pandas")},
        "scores": scores.tolist(),
        "others": others.tolist(),
        "thresholds": thresholds.tolist(),
        "resamples": RESAMPLES,
        "values": {name: float(aggregate(scores)) for name, aggregate in aggregates.items()},
        "intervals": intervals,
        "profile": [
            float(library.run_score_deviation(scores, tau)) for tau in thresholds
        ],
        "probability_of_improvement": float(metrics.probability_of_improvement(scores, others)),
    }


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
