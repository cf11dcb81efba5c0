"""Exact or classical answers to compare with.

- :func:`importance`: self-normalised importance sampling from the prior, for simulators with a likelihood.
- :func:`exact_draws`: the best exact answer that a simulator offers.
"""

from bayesinn.reference.importance import ImportancePosterior, exact_draws, importance

__all__ = ["ImportancePosterior", "exact_draws", "importance"]
