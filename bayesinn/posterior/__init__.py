"""The amortized posterior: networks, sampling, densities, saving, and the p-value of an observation."""

from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.draws import Draws
from bayesinn.posterior.loading import load

__all__ = ["AmortizedPosterior", "Draws", "load"]
