"""The contracts as checks: prove your own simulator, bijection or summary before you trust a posterior to it.

- :func:`check_bijection`: inverse, log-determinant, gradients, precision, compilation, configuration.
- :func:`check_simulator`: seeds, shapes, support, independence of the number of workers.
- :func:`check_summary`: shapes, masks, permutations, gradients, compilation, configuration.

Each raises an ``AssertionError`` that says which law was broken, by how much, and for what.

:class:`Conjugate` is a problem with an exact posterior, right or broken on purpose, to prove a diagnostic with.
"""

from bayesinn.testing.bijections import check_bijection
from bayesinn.testing.conjugate import FAULTS, Conjugate
from bayesinn.testing.simulators import check_simulator
from bayesinn.testing.summaries import check_summary

__all__ = ["FAULTS", "Conjugate", "check_bijection", "check_simulator", "check_summary"]
