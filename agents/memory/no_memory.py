"""No memory: the feed-forward reference."""

from .one_step import OneStep


class NoMemory(OneStep):
    """A tanh layer over the observation alone: the reference that cannot adapt. State: nothing.

    The policy's inputs have the same places; those of the last action and reward hold zeros, for the policy and the
    value too.
    """

    name = "none"
    sees_last_step = False
