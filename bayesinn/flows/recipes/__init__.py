"""Complete flows in one call."""

from bayesinn.flows.recipes.autoregressive import autoregressive
from bayesinn.flows.recipes.coupling import coupling
from bayesinn.flows.recipes.hint import hint
from bayesinn.flows.recipes.residual import residual

__all__ = ["autoregressive", "coupling", "hint", "residual"]
