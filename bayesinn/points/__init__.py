"""Estimates without a density: means, covariances and quantiles of posteriors, at once.

:class:`PointEstimator` trains one network on summaries of the data. It learns a list of
:class:`Estimate`: :class:`Moments`, :class:`Mean` and :class:`Quantiles`. Each has a proper score,
whose expectation is smallest where the estimate is exact.
"""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.points.estimator import (
    Estimate as Estimate,
    Mean as Mean,
    Moments as Moments,
    PointEstimator as PointEstimator,
    PointFlow as PointFlow,
    Quantiles as Quantiles,
)
