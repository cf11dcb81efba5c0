"""The contracts as checks: prove your own simulator, bijection or summary before you trust a posterior to it.

- :func:`check_bijection`: inverse, log-determinant, gradients, precision, compilation, configuration.
- :func:`check_simulator`: seeds, shapes, support, independence of the number of workers.
- :func:`check_summary`: shapes, masks, permutations, gradients, compilation, configuration.

Each raises an ``AssertionError`` that says which law was broken, by how much, and for what.
"""

from bayesinn.testing.bijections import check_bijection
from bayesinn.testing.simulators import check_simulator
from bayesinn.testing.summaries import check_summary

__all__ = ["check_bijection", "check_simulator", "check_summary"]
