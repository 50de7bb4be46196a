"""`python -m metarl` is the command `metarl`; under torchrun, one rank of it."""

import os
import sys

from metarl.cli import main
from metarl.util.machine import number_of_ranks

try:
    main()
except SystemExit as end:
    if number_of_ranks() == 1:
        raise
    # threads of gloo's may still run, and abort the process when it is taken down in the usual way
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
