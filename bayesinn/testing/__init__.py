"""The contracts as checks: test your own simulator, bijection or summary before you trust a posterior to it.

Each raises an ``AssertionError`` that says which law was broken, by how much, and for what. :class:`Conjugate` is a
problem with an exact posterior, correct or deliberately broken, to test a diagnostic with.
"""

from bayesinn.testing.bijections import check_bijection
from bayesinn.testing.conjugate import FAULTS, Conjugate
from bayesinn.testing.simulators import check_simulator
from bayesinn.testing.summaries import check_summary

__all__ = ["FAULTS", "Conjugate", "check_bijection", "check_simulator", "check_summary"]
