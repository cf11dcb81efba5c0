"""All figures of a diagnosis."""

from __future__ import annotations

from bayesinn.diagnostics import Diagnosis
from bayesinn.plots.contraction import contraction
from bayesinn.plots.coverage import coverage
from bayesinn.plots.dependence import dependence
from bayesinn.plots.ecdf import ecdf
from bayesinn.plots.information import information
from bayesinn.plots.local import local_c2st, local_c2st_marginals
from bayesinn.plots.predictive_checks import predictive_checks
from bayesinn.plots.recovery import recovery
from bayesinn.plots.sbc_histogram import sbc_histogram
from bayesinn.plots.style import Canvas


def diagnosis(result: Diagnosis) -> dict[str, Canvas]:
    """Draw every diagnostic there is; the names are those of the diagnosis' parts.

    Parameters
    ----------
    result : Diagnosis

    Returns
    -------
    dict of name to Figure

    Examples
    --------
    >>> import numpy as np
    >>> from bayesinn.diagnostics import diagnose_arrays
    >>> from bayesinn.core.labels import Labels
    >>> values = np.random.default_rng(1).normal(size=(2, 100, 20))
    >>> truth, draws = {"rate": values[0, :, 0]}, {"rate": values[1]}
    >>> list(diagnosis(diagnose_arrays(truth, draws, truth, Labels(), {}, seed=1)))
    ['sbc_ecdf', 'sbc_histogram', 'coverage', 'tarp', 'recovery', 'contraction', 'information']
    """
    labels = result.labels
    figures = {
        "sbc_ecdf": ecdf(result.sbc, labels=labels),
        "sbc_histogram": sbc_histogram(result.sbc, labels=labels),
        "coverage": coverage(result.coverage, labels=labels),
    }
    if result.joint_coverage is not None:
        figures["joint_coverage"] = coverage(result.joint_coverage)
    figures["tarp"] = ecdf(result.tarp, value="share of draws nearer than the truth")
    if result.dependence is not None:
        figures["dependence"] = dependence(result.dependence, labels=labels)
    if result.quantities is not None:
        figures["quantities"] = ecdf(result.quantities)
    if result.latent is not None:
        figures["latent"] = ecdf(result.latent)
    figures["recovery"] = recovery(result.recovery, labels=labels)
    figures["contraction"] = contraction(result.recovery, labels=labels)
    figures["information"] = information(result.information, labels=labels)
    if (at := result.observation) is not None:
        figures["local_c2st"] = local_c2st(at.local)
        figures["local_c2st_marginals"] = local_c2st_marginals(at.local, at.local_draws, labels=labels)
        if at.posterior_sbc is not None:
            figures["posterior_sbc"] = ecdf(at.posterior_sbc, labels=labels, value="weighted rank of truth")
        if at.predictive is not None:
            figures["predictive_checks"] = predictive_checks(at.predictive, labels=labels)
    return figures
