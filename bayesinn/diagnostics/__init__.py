"""Diagnostics: is a posterior right, and how much does it know? Numbers only, from arrays.

Every function takes ``truth`` (the parameters that made each data set) and ``draws`` (the posterior draws given that
data set) as dictionaries of arrays, and returns a small frozen result. The figures are drawn by
:mod:`bayesinn.plots`.
"""

from bayesinn.diagnostics.bands import Band, band_p_values, simultaneous_band
from bayesinn.diagnostics.c2st import c2st
from bayesinn.diagnostics.comparison import Comparison, compare
from bayesinn.diagnostics.coverage import NOMINAL, CoverageResult, coverage, joint_coverage
from bayesinn.diagnostics.dependence import DependenceResult, dependence
from bayesinn.diagnostics.diagnose_arrays import diagnose_arrays
from bayesinn.diagnostics.diagnosis import Diagnosis
from bayesinn.diagnostics.information import InformationResult, information
from bayesinn.diagnostics.latent import latent_codes
from bayesinn.diagnostics.local import LocalC2STResult, local_c2st
from bayesinn.diagnostics.misspecification import MisspecificationResult, misspecification, misspecification_power
from bayesinn.diagnostics.mmd import MMDResult, mmd
from bayesinn.diagnostics.observation import ObservationDiagnosis
from bayesinn.diagnostics.posterior_sbc import PosteriorSBCResult, posterior_sbc
from bayesinn.diagnostics.predictive import PredictiveResult, predictive_checks
from bayesinn.diagnostics.ranks import ranks, uniform_ranks
from bayesinn.diagnostics.recovery import RecoveryResult, recovery
from bayesinn.diagnostics.reference_points import reference_points
from bayesinn.diagnostics.sbc import SBCResult, sbc
from bayesinn.diagnostics.sliced_wasserstein import sliced_wasserstein
from bayesinn.diagnostics.tarp import tarp
from bayesinn.diagnostics.tested import Effect, Tested
from bayesinn.diagnostics.uniformity import UniformityResult, uniformity

__all__ = [
    "NOMINAL",
    "Band",
    "Comparison",
    "CoverageResult",
    "DependenceResult",
    "Diagnosis",
    "Effect",
    "InformationResult",
    "LocalC2STResult",
    "MMDResult",
    "MisspecificationResult",
    "ObservationDiagnosis",
    "PosteriorSBCResult",
    "PredictiveResult",
    "RecoveryResult",
    "SBCResult",
    "Tested",
    "UniformityResult",
    "band_p_values",
    "c2st",
    "compare",
    "coverage",
    "dependence",
    "diagnose_arrays",
    "information",
    "joint_coverage",
    "latent_codes",
    "local_c2st",
    "misspecification",
    "misspecification_power",
    "mmd",
    "posterior_sbc",
    "predictive_checks",
    "ranks",
    "recovery",
    "reference_points",
    "sbc",
    "simultaneous_band",
    "sliced_wasserstein",
    "tarp",
    "uniform_ranks",
    "uniformity",
]
