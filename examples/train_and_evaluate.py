"""Train a policy that adapts, measure it in tasks that it has never met, draw what it does.

    python examples/train_and_evaluate.py            # some minutes on a laptop

A point must find a goal that it does not observe. ProMP trains the weights from which three gradient steps, each from
40 episodes in a new task, lead to that task's goal.
"""

from pathlib import Path

import metarl
from metarl.visual.figures import adaptation_figure, save_figure


def main(folder: str = "runs/train_and_evaluate", settings: tuple[str, ...] = ()) -> metarl.Evaluation:
    """Train into the run folder, evaluate on held-out tasks, and draw; returns the evaluation."""
    config = metarl.load_config("navigation/promp", ["wandb.mode=disabled", *settings])
    run = metarl.train(config, folder)

    evaluation = metarl.evaluate(run, "held_out")
    print(evaluation.sentence)
    for point in evaluation.curve:  # before adaptation, after one step, ...
        print(f"{point.episodes:4d} episodes, {point.seconds:6.1f} s of experience: return {point.mean}")

    print(*save_figure(adaptation_figure(evaluation), Path(run, "figures", "adaptation")))
    print(f"`metarl visualise {run}` draws replays, too")
    return evaluation


if __name__ == "__main__":
    main()
