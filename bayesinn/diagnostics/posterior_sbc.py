"""Posterior SBC: calibration around the data actually observed."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesinn.core import seeds
from bayesinn.core.errors import InputError
from bayesinn.diagnostics.arrays import Arrays, paired
from bayesinn.diagnostics.uniformity import UniformityResult, compare_with_uniform


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorSBCResult(UniformityResult):
    """Weighted ranks around one observation."""

    title = "Posterior SBC"
    #: (n,), effective number of proposals, 1 / sum of squared weights; near 1, there is no power;
    #: 0 where no weight is positive
    effective: np.ndarray
    #: (n,), whether the truth and all proposals of a data set have no density
    impossible: np.ndarray

    @property
    def summary(self) -> str:
        text = (
            f"{super().summary}; weights leave {np.median(self.effective):.2g} proposals of a "
            "data set"
        )
        count = np.sum(self.impossible)
        if count:
            text += f"; no density at the truth and all proposals of {count:,} data sets"
        return text


def posterior_sbc(
    truth: Arrays,
    proposals: Arrays,
    truth_log_weight: np.ndarray,
    log_weights: np.ndarray,
    *,
    seed: int,
    level: float = 0.99,
) -> PosteriorSBCResult:
    """Check calibration on data sets replicated from the posterior of an observation.

    Saeilynoja, Schmitt, Buerkner & Vehtari 2025, "Posterior SBC: simulation-based calibration
    checking conditional on data", arXiv:2502.03279. The posterior of the observation takes the
    place of the prior: parameters are drawn from it, and a new data set is simulated from each. The
    parameters should then be a draw from their posterior given both data sets. This is the
    posterior given the observation, weighted with the likelihood of the new data set, which is
    proportional to posterior over prior density. Truth and L proposals are drawn alike; the weights
    are the probabilities of each to have made the data set. The truth's position among them, by
    size, is exactly uniform for any L.

    The test is of the posterior given the *new* data sets; the posterior of the observation only
    decides where. If that is wrong, the test looks at a less relevant place.

    Truths (n, *event) and proposals (n, L, *event) are drawn from the posterior of the observation.
    Each truth made one new data set. Its log weights, (n,) and (n, L), are log posterior given this
    data set minus log prior. A data set without a finite one shows a wrong posterior: a correct one
    has a density at the truth. There the truth ranks lowest in all columns.
    """
    pairs = paired(truth, proposals)
    weights, impossible = _shares(truth_log_weight, log_weights, pairs.draws.shape[:2])
    own = weights[:, :1]
    others = weights[:, 1:, None]
    true = pairs.truth[:, None]
    below, ties = (
        np.sum(others * where, axis=1) for where in (pairs.draws < true, pairs.draws == true)
    )
    values = below + seeds.generator(seed, "posterior sbc").random(below.shape) * (own + ties)
    # Rounding may lift a sum of shares to one.
    values = np.minimum(values, np.nextafter(1.0, 0.0))
    squared = np.sum(weights**2, axis=1)
    effective = np.divide(1.0, squared, out=np.zeros_like(squared), where=~impossible)
    uniform = compare_with_uniform(pairs.columns, values, level)
    return PosteriorSBCResult(*uniform, effective=effective, impossible=impossible)


def _shares(
    truth: np.ndarray, others: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (n, 1 + L) that sum to one, and where there are none (n,): all are zero."""
    truth = np.asarray(truth, dtype=float)
    others = np.asarray(others, dtype=float)
    if truth.shape != shape[:1] or others.shape != shape:
        raise InputError(
            "log weights",
            expected=f"shapes {shape[:1]} and {shape}",
            got=f"shapes {truth.shape} and {others.shape}",
            do="evaluate log_prob minus the log prior at the same parameters",
        )
    log_weights = np.concatenate([truth[:, None], others], axis=1)
    if np.isnan(log_weights).any() or np.isposinf(log_weights).any():
        raise InputError(
            "log weights",
            expected="numbers below infinity",
            got="NaN or infinity",
            do="leave out the data sets concerned and count them",
        )
    impossible = np.isneginf(log_weights).all(axis=1)
    weights = np.zeros_like(log_weights)
    weights[~impossible] = special.softmax(log_weights[~impossible], axis=1)
    return weights, impossible
