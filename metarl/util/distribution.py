"""What this package is called where packages are installed: `metarl` there is a stranger's.

    version()                                  # "0.1.0"
    rivals()                                   # {"metarl": "2.1"}: what else claims the import name; {} is right
"""

import contextlib
import importlib.metadata
import re

NAME = "metarl-robotics"
IMPORT = "metarl"


def version() -> str:
    """The installed version; "unknown" in a checkout that was never installed."""
    try:
        return importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def rivals() -> dict[str, str]:
    """Name and version of each other distribution that brings a package `metarl`, or has the name of one that does."""
    claims = importlib.metadata.packages_distributions().get(IMPORT, [])
    found = {_plain(name): importlib.metadata.version(name) for name in claims}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found[IMPORT] = importlib.metadata.version(IMPORT)
    found.pop(NAME, None)
    return found


def _plain(name: str) -> str:
    """As package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()
