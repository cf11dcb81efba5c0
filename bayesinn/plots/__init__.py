"""Figures. Each function draws what diagnostics computed, or draws, and returns a matplotlib figure.

No global state of matplotlib is touched: pyplot is not used and no setting outlives a call. Every function takes
``figure``, a figure or subfigure of yours to draw into.
"""

from bayesinn.plots.comparison import comparison
from bayesinn.plots.contraction import contraction
from bayesinn.plots.coverage import coverage
from bayesinn.plots.dependence import dependence
from bayesinn.plots.diagnosis import diagnosis
from bayesinn.plots.ecdf import ecdf
from bayesinn.plots.information import information
from bayesinn.plots.local import local_c2st, local_c2st_marginals
from bayesinn.plots.loss import loss
from bayesinn.plots.marginals import marginals
from bayesinn.plots.misspecification import misspecification, misspecification_power
from bayesinn.plots.pairs import pairs
from bayesinn.plots.posterior_predictive import posterior_predictive
from bayesinn.plots.predictive_checks import predictive_checks
from bayesinn.plots.prior_predictive import prior_predictive
from bayesinn.plots.recovery import recovery
from bayesinn.plots.save import png, save
from bayesinn.plots.sbc_histogram import sbc_histogram
from bayesinn.plots.spectrum import spectrum
from bayesinn.plots.style import Canvas

__all__ = [
    "Canvas",
    "comparison",
    "contraction",
    "coverage",
    "dependence",
    "diagnosis",
    "ecdf",
    "information",
    "local_c2st",
    "local_c2st_marginals",
    "loss",
    "marginals",
    "misspecification",
    "misspecification_power",
    "pairs",
    "png",
    "posterior_predictive",
    "predictive_checks",
    "prior_predictive",
    "recovery",
    "save",
    "sbc_histogram",
    "spectrum",
]
