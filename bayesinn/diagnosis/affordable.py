"""How many simulations a diagnosis makes by default.

The default decides nearly all errors if the simulator is quick enough; it is smaller if not.
"""

import numpy as np

from bayesinn.core.progress import Progress
from bayesinn.diagnostics.deviation import digits
from bayesinn.simulation.simulator import Simulator
from bayesinn.simulation.speed import simulations_per_second

#: Numbers of simulations: what decides nearly all errors, and what tells large ones.
MOST = 10_000
FEWEST = 1_000
#: About how long a simulator in worker processes simulates for a diagnosis, if the number of
#: simulations is left out.
MINUTES = 5
# Simulations for predictive checks, besides those over the prior and around the observation.
_PREDICTIVE = 8_000


def affordable(simulator: Simulator, seed: int, observed: bool, progress: Progress) -> int:
    """Return the number of simulations, two digits of it, from the speed of the simulator.

    A TensorFlow simulator makes the most. ``observed`` says whether data sets are simulated around
    an observation, too.
    """
    if simulator.in_graph:
        return MOST
    per_second = simulations_per_second(simulator, seed)
    alike, others = (3, _PREDICTIVE) if observed else (2, 0)
    possible = max((60.0 * MINUTES * per_second - others) / alike, 1.0)
    unit = 10.0 ** max(np.floor(np.log10(possible)) - 1.0, 0.0)
    number = int(np.clip(possible // unit * unit, FEWEST, MOST))
    minutes = (alike * number + others) / per_second / 60.0
    speed = f"{digits(per_second)} a second"
    progress.stage(f"{number:,} simulated data sets, about {max(minutes, 1.0):.0f} min at {speed}")
    return number
