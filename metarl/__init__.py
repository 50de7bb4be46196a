"""metarl: meta-reinforcement learning for robotics.

    metarl.envs      robots and what varies about them: tasks, splits, batched physics
    metarl.agents    what learns inside one task: policies, inner loops, baselines
    metarl           what learns across tasks: ProMP, MAML-TRPO, runs, evaluation, the command line
"""

from .util.distribution import version

__version__ = version()
