"""Diagnostics: tests of a posterior, and measures of its information.

Arrays in, a small frozen result out.

Arguments and results that all functions share:

- ``truth``, dict of name to array (n, *event): the true parameters of each of n data sets.
- ``draws``, dict of name to array (n, L, *event): L independent posterior draws given each data
  set.
- ``prior``, dict of name to array (m, *event): draws from the prior.
- ``level``: probability that one column of a correct posterior passes.
- ``seed``: one integer that determines all random numbers, also how ties break.

A result has one column for each scalar, such as ``beta[0]``; its arrays for n data sets and k
columns are (n, k). It has a ``summary`` and ``to_dataframe()``; :mod:`bayesinn.plots` draws it. A
test of calibration also has ``deviations``, errors with units and intervals.

An :class:`~bayesinn.core.errors.InputError` says which names, shapes or values do not fit. For
example, normal data with a normal mean, whose posterior is known:

>>> import numpy as np
>>> from bayesinn.diagnostics import coverage, information, recovery, sbc, tarp
>>> generator = np.random.default_rng(4)
>>> truth, prior = {"mean": generator.normal(size=500)}, {"mean": generator.normal(size=2000)}
>>> data = {"mean": truth["mean"] + generator.normal(size=500)}
>>> noise = np.sqrt(0.5) * generator.normal(size=(500, 99))
>>> draws = {"mean": data["mean"][:, None] / 2 + noise}
>>> again = {"mean": generator.normal(size=(500, 99))}
>>> # TARP alone sees the prior in place of the posterior.
>>> [
...     [sbc(truth, given, seed=1).passed, tarp(truth, given, data, seed=1).passed]
...     for given in (draws, again)
... ]
[[True, True], [True, False]]
>>> coverage(truth, {"mean": 0.5 * draws["mean"]}, seed=1).passed
False
>>> sbc(truth, {"mean": draws["mean"] + 0.5}, seed=1).deviations[0].text(0).partition(",")[0]
'mean: draws too high'
>>> contraction, gain = (
...     recovery(truth, draws, prior).contraction[0],
...     information(truth, draws, prior).mean[0],
... )
>>> bool(abs(contraction - 0.5) < 0.05), bool(abs(gain - 0.5 * np.log(2)) < 0.05)
(True, True)
"""

from bayesinn.diagnostics.bands import (
    Band as Band,
    band_p_values as band_p_values,
    simultaneous_band as simultaneous_band,
)
from bayesinn.diagnostics.calibration import (
    DependenceResult as DependenceResult,
    PosteriorSBCResult as PosteriorSBCResult,
    SBCResult as SBCResult,
    UniformityResult as UniformityResult,
    dependence as dependence,
    latent_codes as latent_codes,
    posterior_sbc as posterior_sbc,
    ranks as ranks,
    sbc as sbc,
    uniform_ranks as uniform_ranks,
    uniformity as uniformity,
)
from bayesinn.diagnostics.coverage import (
    NOMINAL as NOMINAL,
    CoverageResult as CoverageResult,
    coverage as coverage,
    joint_coverage as joint_coverage,
    reference_points as reference_points,
    tarp as tarp,
)
from bayesinn.diagnostics.deviation import Deviation as Deviation, Tested as Tested
from bayesinn.diagnostics.information import (
    Advice as Advice,
    Gain as Gain,
    InformationResult as InformationResult,
    information as information,
    learning_curve as learning_curve,
)
from bayesinn.diagnostics.local import LocalC2STResult as LocalC2STResult, local_c2st as local_c2st
from bayesinn.diagnostics.misspecification import (
    MisspecificationResult as MisspecificationResult,
    misspecification as misspecification,
    misspecification_power as misspecification_power,
)
from bayesinn.diagnostics.model_calibration import (
    ModelCalibration as ModelCalibration,
    model_calibration as model_calibration,
)
from bayesinn.diagnostics.predictive import (
    PredictiveResult as PredictiveResult,
    predictive_checks as predictive_checks,
)
from bayesinn.diagnostics.recovery import RecoveryResult as RecoveryResult, recovery as recovery
from bayesinn.diagnostics.two_samples import (
    Comparison as Comparison,
    MMDResult as MMDResult,
    c2st as c2st,
    compare_draws as compare_draws,
    mmd as mmd,
    sliced_wasserstein as sliced_wasserstein,
)
