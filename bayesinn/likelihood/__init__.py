"""Likelihoods and ratios learned from simulations; NUTS draws from their posteriors.

:class:`AmortizedLikelihood` is a flow of the data given parameters. :class:`LikelihoodRatio` is a
classifier of matching pairs of data and parameters. Independent trials can be combined, and the
prior may differ from that of the training. :func:`combine` does so with a posterior trained on one
observation.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.likelihood.amortized import (
    AmortizedLikelihood as AmortizedLikelihood,
    LikelihoodRatio as LikelihoodRatio,
    RatioFlow as RatioFlow,
)
from bayesinn.likelihood.combined import (
    CombinedPosterior as CombinedPosterior,
    combine as combine,
)
from bayesinn.likelihood.posterior import (
    LikelihoodEstimator as LikelihoodEstimator,
    LikelihoodPosterior as LikelihoodPosterior,
    TrialErrors as TrialErrors,
)
