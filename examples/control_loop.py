"""A policy on a robot: an ONNX file in a loop at a fixed rate, with its state, its reset and its latency.

    python examples/control_loop.py policy.onnx      # of `metarl export`; needs onnxruntime and NumPy alone

A wave stands in for the robot: replace `sense` and `act`. docs/guides/control_loop.md explains each step.
"""

import os
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: onnxruntime reports its use otherwise
import numpy as np
import onnxruntime


class Policy:
    """The network and what it remembers; `reset` it when a trial begins: when the robot itself has changed."""

    def __init__(self, file: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a small network is faster on one thread, and steadier
        self.session = onnxruntime.InferenceSession(file, options)
        self.sizes = {x.name: x.shape[1] for x in self.session.get_inputs()}
        self.outputs = [x.name for x in self.session.get_outputs()]
        self.reset()

    def reset(self) -> None:
        sizes = {name: size for name, size in self.sizes.items() if f"next_{name}" in self.outputs}
        self.state = {name: np.zeros((1, size), np.float32) for name, size in sizes.items()}

    def __call__(self, observation: np.ndarray, reward: float, start: bool) -> np.ndarray:
        """Controls (A,) for an observation (O,), the reward of the step before, and whether an episode begins."""
        feeds = {"observation": observation[None], "reward": np.array([[reward]]), "start": np.float32([[start]])}
        found = self.session.run(self.outputs, {name: (feeds | self.state)[name] for name in self.sizes})
        result = dict(zip(self.outputs, found, strict=True))
        self.state = {name: result[f"next_{name}"] for name in self.state}
        return result["control"][0]


def main(file: str, seconds: float = 10.0, rate: float = 50.0) -> np.ndarray:
    """Run the loop so long; prints and returns the seconds from sensing to acting of each step."""
    policy = Policy(file)
    sense, act = lambda step: np.sin(step + np.arange(policy.sizes["observation"])), lambda control: None
    latency, due = np.zeros(round(seconds * rate)), time.perf_counter()
    for step in range(len(latency)):
        start = time.perf_counter()
        control = policy(sense(step), reward=0.0, start=step == 0)
        assert np.isfinite(control).all(), "stop the robot"  # a NaN of a sensor goes through to the control
        act(control)
        latency[step] = time.perf_counter() - start
        due += 1 / rate  # from the last deadline, not from now: the rate does not drift
        time.sleep(max(0.0, due - time.perf_counter()))
    print("latency in ms:", ", ".join(f"{q} % {1e3 * np.percentile(latency, q):.3f}" for q in (50, 99, 100)))
    return latency


if __name__ == "__main__":
    main(sys.argv[1])
