"""Diagnostics: is a posterior right, and how much does it know? Numbers only, from arrays.

Every function takes ``truth`` (the parameters that made each data set) and ``draws`` (the posterior draws given that
data set) as dictionaries of arrays, and returns a small frozen result. The figures are drawn by
:mod:`bayesinn.plots`.
"""

from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.coverage import NOMINAL, CoverageResult, coverage
from bayesinn.diagnostics.diagnosis import Diagnosis, diagnose_arrays
from bayesinn.diagnostics.ranks import ranks, uniform_ranks
from bayesinn.diagnostics.recovery import RecoveryResult, recovery
from bayesinn.diagnostics.sbc import SBCResult, sbc

__all__ = [
    "NOMINAL",
    "Band",
    "CoverageResult",
    "Diagnosis",
    "RecoveryResult",
    "SBCResult",
    "band_p_values",
    "coverage",
    "diagnose_arrays",
    "ranks",
    "recovery",
    "sbc",
    "simultaneous_band",
    "uniform_ranks",
]
