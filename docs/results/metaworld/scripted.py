"""Meta-World's own scripted policies in its own environments, with the MuJoCo that is installed.

    pip install metaworld==3.0.0 'mujoco>=3.3,<3.4' packaging     # in one environment; metarl's own in another
    python scripted.py > scripted_mujoco_3.3.json

With names as arguments, of these environments alone. Prints how many of 20 training goals of each of the 50
environments are solved at any step of an episode of 500, and the mean return, of reward version 2.
"""

import json
import sys

import metaworld
import mujoco
import numpy as np
from metaworld.policies import ENV_POLICY_MAP
from metaworld.sawyer_xyz_env import SawyerMocapBase

GOALS, STEPS = 20, 500


def reset_mocap_welds(self) -> None:
    """As published; there to all 11 numbers of a weld, which has 12 in MuJoCo 4."""
    for i in range(self.model.neq):
        if int(self.model.eq_type[i]) == int(mujoco.mjtEq.mjEQ_WELD):
            self.model.eq_data[i, :11] = [0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 5]


def main() -> None:
    SawyerMocapBase.reset_mocap_welds = reset_mocap_welds
    result = {}
    for name in sys.argv[1:] or sorted(ENV_POLICY_MAP):
        benchmark = metaworld.ML1(name, seed=0)
        env, policy, solved, returns = benchmark.train_classes[name](), ENV_POLICY_MAP[name](), [], []
        for task in benchmark.train_tasks[:GOALS]:
            env.set_task(task)
            seen, total, done = env.reset()[0], 0.0, False
            for _ in range(STEPS):
                action = np.clip(policy.get_action(np.concatenate([seen[:36], env._target_pos])), -1, 1)
                seen, reward, _, _, info = env.step(action)
                total, done = total + float(reward), done or bool(info["success"])
            solved.append(done)
            returns.append(total)
        result[name] = {"solved": sum(solved), "return": round(float(np.mean(returns)), 1)}
        print(name, result[name], file=sys.stderr, flush=True)
    print(json.dumps({"mujoco": mujoco.__version__, "goals": GOALS, "environments": result}, indent=1))


if __name__ == "__main__":
    main()
