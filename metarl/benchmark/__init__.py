"""The adaptation benchmark: does adaptation pay on a robot, and which kind?

    from metarl.benchmark import load_study, names, run_study
    names()                                                  # the studies that ship
    study = load_study("half_cheetah_mass").with_methods(["rl2", "my_method.yaml"])
    run_study(study, Path("runs/benchmark"))                 # the comparison of each split

A study (`metarl.benchmark.study`) is a protocol: a robot, the methods with their settings, one budget of environment
steps for all, seeds, and test tasks that nothing else draws (`metarl.benchmark.measure`). `metarl.benchmark.search`
found the settings, with the same effort for each method; `metarl.benchmark.run` trains what is missing, measures it
and writes the tables.
"""

from metarl.benchmark.run import run_study
from metarl.benchmark.study import load_study, names

__all__ = ["load_study", "names", "run_study"]
