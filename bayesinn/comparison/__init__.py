"""Comparison of models: amortized probabilities of simulators, given data."""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.comparison.comparison import (
    ModelComparison as ModelComparison,
    ModelFlow as ModelFlow,
)
