"""The zoo: trained policies in folders small enough to share, each with the evidence of what it does.

    from metarl.zoo import publish
    publish("runs/first", "zoo/half_cheetah_dir")

`publishing` cuts a run to such an `entry`, `card` says in words what is in it, `table` lists all of them, and
`agreement` tells whether a policy still does what its card says.
"""

from metarl.zoo.entry import Entry
from metarl.zoo.publishing import publish

__all__ = ["Entry", "publish"]
