"""Comparison of models: amortized probabilities of simulators, given data."""

import bayesinn.core.environment  # noqa: F401
from bayesinn.comparison.comparison import ModelComparison as ModelComparison
from bayesinn.comparison.model import ModelFlow as ModelFlow
