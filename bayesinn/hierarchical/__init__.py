"""Hierarchical models: hyperparameters of a population, and parameters of each of its members."""

import bayesinn.core.compilation  # noqa: F401
from bayesinn.hierarchical.posterior import HierarchicalPosterior as HierarchicalPosterior
