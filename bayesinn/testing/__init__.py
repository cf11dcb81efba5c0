"""Tests of the contracts: check your own simulator, bijection or summary before you train with it.

Each raises an ``AssertionError`` that names the broken requirement, the deviation and the
case. :class:`Conjugate`, with exact posteriors, correct or deliberately broken, tests diagnostics.
"""

from bayesinn.testing.conjugate import FAULTS as FAULTS, Conjugate as Conjugate
from bayesinn.testing.contracts import (
    check_bijection as check_bijection,
    check_simulator as check_simulator,
    check_summary as check_summary,
)
