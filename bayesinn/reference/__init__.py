"""Exact or classical posteriors, for comparison.

:func:`importance` weighs prior draws by their likelihood, :func:`tempered_smc` is for many parameters and sharp
likelihoods, :func:`exact_draws` takes the best exact method that a simulator allows. Vectors (n, d) are unconstrained
parameters, as :class:`bayesinn.spaces.parameters.ParameterSpace` defines them.
"""

from bayesinn.reference.importance import ImportancePosterior, exact_draws, importance
from bayesinn.reference.smc import SMCPosterior, tempered_smc

__all__ = ["ImportancePosterior", "SMCPosterior", "exact_draws", "importance", "tempered_smc"]
