"""Figures. Each function draws what diagnostics computed, or draws, and returns a matplotlib figure.

No global state of matplotlib is touched: pyplot is not used and no setting outlives a call. Every function takes
``figure``, a figure or subfigure of yours to draw into.
"""

from bayesinn.plots.coverage import coverage
from bayesinn.plots.loss import loss
from bayesinn.plots.marginals import marginals
from bayesinn.plots.pairs import pairs
from bayesinn.plots.posterior_predictive import posterior_predictive
from bayesinn.plots.recovery import recovery
from bayesinn.plots.save import png, save
from bayesinn.plots.sbc_ecdf import sbc_ecdf
from bayesinn.plots.sbc_histogram import sbc_histogram
from bayesinn.plots.style import Canvas

__all__ = [
    "Canvas",
    "coverage",
    "loss",
    "marginals",
    "pairs",
    "png",
    "posterior_predictive",
    "recovery",
    "save",
    "sbc_ecdf",
    "sbc_histogram",
]
