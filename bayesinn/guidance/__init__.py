"""Steps before and after a training: check the simulator, count simulations, add rounds, designs.

Most stand in the package itself: :func:`bayesinn.advise`, :func:`bayesinn.simulator_report`.
"""

from bayesinn.guidance.designs import rank_designs as rank_designs
