"""`metarl submit` on a real Slurm, where one runs: tests/metarl/slurm/one_node.sh starts one on this machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = Path(__file__).parent / "slurm" / "measure.py"


def slurm_answers() -> bool:
    command = ["sinfo", "--noheader", "--format=%T"]
    return shutil.which("sinfo") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.whole
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not slurm_answers(), reason="no Slurm runs here: see tests/metarl/slurm/one_node.sh")
def test_no_run_is_lost_doubled_or_different(tmp_path):
    options = ["--runs", "4", "--interruptions", "5", "--iterations", "100", "--out", str(tmp_path / "result.json")]
    subprocess.run([sys.executable, str(MEASURE), *options], check=True)
    result = json.loads((tmp_path / "result.json").read_bytes())
    assert (result["lost"], result["doubled"], result["different"]) == (0, 0, 0)
    assert result["starts"] > result["runs"] == 6
