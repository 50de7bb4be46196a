"""How fast runs adapt in tasks that they were never trained on: adaptation curves, statistics and their files.

    from metarl.evaluation import compare_runs, evaluate_run
    evaluate_run("runs/first").curve[1].mean          # the return after one adaptation step, with its interval
    compare_runs(["runs/promp0", "runs/rl2_0"])       # methods over seeds and tasks
    measure(adapter, make_env, tasks, ...)            # an adapter of your own
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Comparison": "comparison", "Evaluation": "result", "compare_runs": "compare", "evaluate_run": "evaluate",
    "measure": "adaptation_curve", "measure_run": "evaluate",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """What is asked for, imported then: statistics need no PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
