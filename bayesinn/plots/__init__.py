"""Figures: each function draws a diagnostic's result, or posterior draws, as a matplotlib figure.

Arguments that most functions share:

- ``labels``: labels, units and coordinates of names, such as ``simulator.labels``; by default plain
  names.
- ``shown``: names of the columns to draw, such as ``["rate", "beta[0]"]``; by default all.
- ``figure``: a matplotlib Figure or SubFigure to draw into, which is returned; by default a new
  one.
- ``draws``, ``prior``, ``reference``: draws of the posterior of one observation, of the prior, and
  of an exact or classical posterior: dicts of name to array (draws, *event), or a DataTree of
  ``posterior.infer``.
- ``truth``: dict of name to array (*event), with NaN where it is unknown.

New figures are at most 7.4 inches wide, a printed page, and as high as their panels need. From 12
columns on, panels that share an axis become rows of one stacked figure, and others become small.

Wrong names and shapes raise :class:`bayesinn.core.errors.InputError`. No figure is opened in
pyplot, and no setting of matplotlib outlives a call.

>>> import numpy as np
>>> from bayesinn.diagnostics import sbc
>>> values = np.random.default_rng(1).normal(size=(2, 300, 99))
>>> figure = ecdf(sbc({"rate": values[0, :, 0]}, {"rate": values[1]}, seed=1))
>>> len(figure.axes)
1
"""

from bayesinn.core.labels import Labels as Labels
from bayesinn.plots.calibration import (
    coverage as coverage,
    dependence as dependence,
    ecdf as ecdf,
    ecdf_difference as ecdf_difference,
    local_c2st as local_c2st,
    local_c2st_marginals as local_c2st_marginals,
    sbc_histogram as sbc_histogram,
)
from bayesinn.plots.images import (
    heat_map as heat_map,
    image_grid as image_grid,
    latent_walk as latent_walk,
    spectrum as spectrum,
)
from bayesinn.plots.misspecification import (
    misspecification as misspecification,
    misspecification_power as misspecification_power,
)
from bayesinn.plots.model_calibration import model_calibration as model_calibration
from bayesinn.plots.panels import CURVES as CURVES, Canvas as Canvas, png as png, save as save
from bayesinn.plots.posteriors import (
    marginals as marginals,
    observations as observations,
    pairs as pairs,
)
from bayesinn.plots.predictive import (
    paths as paths,
    posterior_predictive as posterior_predictive,
    predictive_checks as predictive_checks,
    prior_predictive as prior_predictive,
)
from bayesinn.plots.recovery import (
    contraction as contraction,
    designs as designs,
    fit_to_data as fit_to_data,
    forest as forest,
    information as information,
    recovery as recovery,
)
from bayesinn.plots.training import (
    learning_curve as learning_curve,
    loss as loss,
    losses as losses,
    overlay as overlay,
)
from bayesinn.plots.verdict import Judged as Judged, verdict as verdict
