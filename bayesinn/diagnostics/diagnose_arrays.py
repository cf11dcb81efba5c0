"""Run every diagnostic that looks at the whole prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesinn.core.errors import InputError
from bayesinn.core.labels import Labels
from bayesinn.diagnostics.arrays import paired
from bayesinn.diagnostics.coverage import coverage, joint_coverage
from bayesinn.diagnostics.dependence import dependence
from bayesinn.diagnostics.diagnosis import Diagnosis
from bayesinn.diagnostics.information import information
from bayesinn.diagnostics.latent import latent_codes
from bayesinn.diagnostics.recovery import recovery
from bayesinn.diagnostics.sbc import sbc
from bayesinn.diagnostics.tarp import tarp


def diagnose_arrays(
    truth: Mapping[str, np.ndarray],
    draws: Mapping[str, np.ndarray],
    prior: Mapping[str, np.ndarray],
    labels: Labels,
    settings: Mapping[str, Any],
    seed: int,
    *,
    level: float = 0.99,
    log_prob: tuple[np.ndarray, np.ndarray] | None = None,
    prior_log_prob: np.ndarray | None = None,
    references: Mapping[str, np.ndarray] | None = None,
    quantities: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    latent: tuple[np.ndarray, np.ndarray] | None = None,
) -> Diagnosis:
    """Run the diagnostics on arrays, from whatever posterior they come.

    Parameters
    ----------
    truth : dict of name to array (n, *event)
    draws : dict of name to array (n, L, *event)
    prior : dict of name to array (m, *event)
    labels : Labels
    settings : mapping of name to value
        Written into the report.
    seed : int
    level : float
        Probability that a right posterior passes a test.
    log_prob : arrays (n,) and (n, L), optional
        Log posterior density of truth and draws; adds the joint coverage.
    prior_log_prob : array (n,), optional
        Log prior density of the truths; with ``log_prob``, adds the joint information gain.
    references : dict of name to array (n, *event), optional
        Reference points for TARP that depend on the data; see :func:`bayesinn.diagnostics.tarp`.
    quantities : dict of name to arrays (n,) and (n, L), optional
        Any function of parameters and data, for truths and draws: Modrak et al. 2023, arXiv:2211.02383. The log
        likelihood is the most telling one.
    latent : arrays (n, d) and (n, L, d), optional
        Latent codes of the truths, and draws from the latent distribution.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        Names, shapes or values do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=300)
    >>> data = truth + generator.normal(size=300)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(300, 99))
    >>> diagnose_arrays({"mean": truth}, {"mean": draws}, {"mean": truth}, Labels(), {}, seed=1).passed
    True
    """
    names = paired(truth, draws).columns
    log_ratio = None
    if log_prob is not None and prior_log_prob is not None:
        log_ratio = np.asarray(log_prob[0]) - np.asarray(prior_log_prob)
    for name in quantities or {}:
        if name in names:
            raise InputError(
                f"test quantity {name!r}",
                expected="a name that no parameter has",
                got=f"parameters {list(names)}",
                do="give it another name",
            )
    tested = {} if quantities is None else dict(quantities)
    return Diagnosis(
        sbc=sbc(truth, draws, seed=seed, level=level),
        coverage=coverage(truth, draws, seed=seed, level=level),
        tarp=tarp(truth, draws, references, seed=seed, level=level),
        recovery=recovery(truth, draws, prior),
        information=information(truth, draws, prior, log_ratio=log_ratio),
        seed=seed,
        dependence=dependence(truth, draws, seed=seed, level=level) if len(names) > 1 else None,
        joint_coverage=None if log_prob is None else joint_coverage(*log_prob, seed=seed, level=level),
        latent=None if latent is None else latent_codes(*latent, seed=seed, level=level),
        quantities=sbc(
            {name: value[0] for name, value in tested.items()},
            {name: value[1] for name, value in tested.items()},
            seed=seed,
            level=level,
        )
        if tested
        else None,
        labels=labels,
        settings=dict(settings),
    )
