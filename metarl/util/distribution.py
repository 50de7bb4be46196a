"""Which version of metarl this is."""

from importlib import metadata

DISTRIBUTION = "metarl"
__version__ = metadata.version(DISTRIBUTION)
