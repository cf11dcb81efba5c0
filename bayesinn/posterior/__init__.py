"""The amortized posterior: networks, sampling, densities, saving, an observation's p-value."""

import bayesinn.core.environment  # noqa: F401
from bayesinn.posterior.amortized import AmortizedPosterior as AmortizedPosterior
from bayesinn.posterior.draws import Draws as Draws
from bayesinn.posterior.loading import load as load
