"""Likelihoods and ratios learned from simulations; their posteriors, drawn by NUTS.

:class:`AmortizedLikelihood` is a flow of the data given parameters, :class:`LikelihoodRatio` a
classifier of matching pairs of them. Independent trials add up, and the prior may be another one
than that of the training.
"""

import bayesinn.core.environment  # noqa: F401
from bayesinn.likelihood.amortized import AmortizedLikelihood as AmortizedLikelihood
from bayesinn.likelihood.estimator import LikelihoodEstimator as LikelihoodEstimator
from bayesinn.likelihood.posterior import LikelihoodPosterior as LikelihoodPosterior
from bayesinn.likelihood.ratio import LikelihoodRatio as LikelihoodRatio
from bayesinn.likelihood.ratio_flow import RatioFlow as RatioFlow
