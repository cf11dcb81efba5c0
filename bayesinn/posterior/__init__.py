"""The amortized posterior: networks, sampling, densities, an observation's p-value."""

import bayesinn.core.environment  # noqa: F401
from bayesinn.posterior.amortized import AmortizedPosterior as AmortizedPosterior
from bayesinn.posterior.draws import Draws as Draws
from bayesinn.posterior.ensemble import Ensemble as Ensemble
from bayesinn.posterior.posterior import Posterior as Posterior
from bayesinn.posterior.sampled import SampledPosterior as SampledPosterior
