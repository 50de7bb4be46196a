"""Trainings one after the other in each rank: `torchrun ... train_all.py JOBS.json`, of run folders and settings.

    [["RUN", "CONFIG", ["iterations=2"], false], ...]        # the last: whether it resumes
"""

import json
import os
import sys
from pathlib import Path

from metarl.config import load_config
from metarl.training.train import train
from metarl.util.ranks import joined

with joined():
    for folder, config, overrides, resumes in json.loads(Path(sys.argv[1]).read_text()):
        train(load_config(config, overrides), Path(folder), resume=resumes)
    sys.stdout.flush()
    os._exit(0)  # as `metarl train` does over ranks
