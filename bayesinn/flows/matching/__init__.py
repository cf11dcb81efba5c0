"""Flows without invertible layers: a network learns how noise becomes events.

:class:`FlowMatching` and :class:`Diffusion` follow a differential equation, :class:`Consistency`
jumps to its end. Their networks have no invertible layers and any width: they learn several modes
and hundreds of elements where couplings struggle. Draws cost some network calls each, and densities
many.
"""

from bayesinn.flows.matching.consistency import Consistency as Consistency
from bayesinn.flows.matching.diffusion import Diffusion as Diffusion
from bayesinn.flows.matching.flow_matching import FlowMatching as FlowMatching
from bayesinn.flows.matching.network import (
    ResidualMLP as ResidualMLP,
    TimeNetwork as TimeNetwork,
)
