"""Exact or classical posteriors, for comparison.

- :func:`importance` weights prior draws by their likelihood.
- :func:`tempered_smc` is for many parameters and sharp likelihoods.
- :func:`exact_draws` takes the best exact method that a simulator allows.
- :func:`refine` goes from an amortized posterior to the exact one.
- :class:`NUTS` samples any density that has a gradient.

Without a likelihood, compare with classical methods for one observation: :func:`rejection_abc`,
:func:`smc_abc`, :func:`synthetic_likelihood` and :func:`kde_mcmc`.

Vectors (n, d) are unconstrained parameters, as
:class:`bayesinn.spaces.parameters.ParameterSpace` defines them.
"""

from bayesinn.reference.classics import (
    SimulatedPosterior as SimulatedPosterior,
    kde_mcmc as kde_mcmc,
    rejection_abc as rejection_abc,
    smc_abc as smc_abc,
    synthetic_likelihood as synthetic_likelihood,
)
from bayesinn.reference.importance import (
    ImportancePosterior as ImportancePosterior,
    importance as importance,
)
from bayesinn.reference.nuts import NUTS as NUTS, Chains as Chains
from bayesinn.reference.refinement import refine as refine
from bayesinn.reference.smc import (
    SMCPosterior as SMCPosterior,
    exact_draws as exact_draws,
    tempered_smc as tempered_smc,
)
