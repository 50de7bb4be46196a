"""`python -m metarl`: the command, where it is not on the path."""

from metarl.cli import main

main()
