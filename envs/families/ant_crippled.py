"""AntCrippled: an ant of which one leg is dead and half its size.

    env = make("AntCrippled", 200)                          # legs 0 to 2 in training, leg 3 only in test tasks

After Nagabandi, Clavera et al., "Learning to adapt in dynamic, real-world environments through meta-reinforcement
learning" (2019). docs/reference/environments.md has the definition and where it deviates from the code it comes from.
"""


from ..arrays import Array, full
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .ant import Ant

_MOTORS = ((2, 3), (4, 5), (6, 7), (0, 1))  # of hip and ankle; neither they nor the feet have names
_LIMBS = (("aux_1", 4), ("aux_2", 7), ("aux_3", 10), ("aux_4", 13))  # bodies: below the hip, below the ankle
SURVIVE = 0.05


class AntCrippled(Ant):
    """Run forward with one leg crippled, or none: r = vx + 0.05. One leg is kept for testing.

    `fold` says which, 0 to 3, by default the back right one. An episode never ends by itself.
    """

    name = "AntCrippled"
    space = TaskSpace(name, (
        Parameter("leg", "1", "crippled: -1 none, 0 front left, 1 front right, 2 back left, 3 back right", -1.0,
                  "choice", choices=(-1.0, 0.0, 1.0, 2.0, 3.0),
                  writes=(Write("strength", _MOTORS, "pick"), Write("size", _LIMBS, "pick", factor=0.5))),
    ))

    def __init__(self, contact_forces: bool = False, fold: int = 3):
        super().__init__(contact_forces)
        self.space = self.space.fold("leg", [(i,) for i in range(len(_MOTORS))], fold)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        forward = self.torso_velocity(sim, derived, qpos_before)[:, 0]
        return {"forward": forward, "survive": full(forward, SURVIVE)}

    def terminated(self, sim: Simulator, values: Array) -> None:
        return None
