"""The amortized posterior: networks, sampling, densities, an observation's p-value."""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.posterior.amortized import AmortizedPosterior as AmortizedPosterior
from bayesinn.posterior.answers import Draws as Draws
from bayesinn.posterior.ensemble import Ensemble as Ensemble
from bayesinn.posterior.posterior import (
    Posterior as Posterior,
    SampledPosterior as SampledPosterior,
)
