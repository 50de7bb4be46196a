"""Makes `run_processes` importable, here and in the processes it launches."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
