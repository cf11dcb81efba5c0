"""Reference posteriors by importance sampling with the noise law, which no trained method sees.

Draws come from a mixture of a trained flow and the prior, and are weighed by prior x likelihood / mixture: exact in the
limit, whatever the flow has learned, and the effective size says how near that is.
"""

from __future__ import annotations

import numpy as np
from bank import Arrays, draw_parameters, reflectances
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import logsumexp

import bayesinn as bi
from bayesinn.simulators.tissue import TissueOptions
from bayesinn.simulators.tissue_camera import noise_sd


def log_likelihood(means: np.ndarray, bands: np.ndarray, options: TissueOptions) -> np.ndarray:
    """Return the log density (n,) of one observation of "l1_log" values (k,), for means (n, k).

    It is up to a constant.

    Before normalisation, band values are t q with q = exp(-bands) and an unknown sum t, which is integrated out. They
    are normal, so that the integrand is t^(k-1) times the exponential of a quadratic in t: a moment of a normal
    distribution, which Gauss-Hermite quadrature gives exactly. Clipping at 1e-5 and 1 is left out; it needs 7 sd.
    """
    sd = noise_sd(options.bands, options.snr, options.photon_budget)
    ratio = np.exp(-np.asarray(bands, float)) / (means * sd)
    target = 1.0 / sd
    square, cross = np.sum(ratio**2, axis=1), ratio @ target
    centre, width = cross / square, 1.0 / np.sqrt(square)
    nodes, weights = hermegauss(20)
    powers = (centre[:, None] + width[:, None] * nodes) ** (len(sd) - 1)
    exponent = 0.5 * (cross**2 / square - np.sum(target**2))
    return exponent + np.log(width) + np.log(powers @ weights) - np.sum(np.log(means), axis=1)


def importance(
    posterior: bi.AmortizedPosterior,
    bands: np.ndarray,
    options: TissueOptions,
    draws: int,
    seed: int,
    share: float = 0.1,
) -> tuple[Arrays, float]:
    """Return equally weighted posterior draws (draws,) of one observation, and effective size."""
    wide = round(share * draws)
    proposed = posterior.sample({"bands": bands}, draws=draws - wide, seed=seed)
    prior = draw_parameters(wide, seed)
    parameters = {name: np.concatenate([proposed[name], prior[name]]) for name in prior}
    log_flow = posterior.log_prob(parameters, {"bands": bands})
    log_prior = np.asarray(posterior.evaluator.prior_log_prob(parameters))
    means = (
        reflectances(parameters, wavelengths=options.bands.wavelengths) @ options.bands.weights.T
    )
    mixture = np.logaddexp(np.log1p(-share) + log_flow, np.log(share) + log_prior)
    log_weights = log_prior + log_likelihood(means, bands, options) - mixture
    weights = np.exp(log_weights - logsumexp(log_weights))
    chosen = np.random.default_rng(seed).choice(draws, draws, p=weights / weights.sum())
    return {name: value[chosen] for name, value in parameters.items()}, float(
        1.0 / np.sum(weights**2)
    )
