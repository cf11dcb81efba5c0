"""Reference posteriors by importance sampling with the noise law, which no trained method sees.

:func:`from_prior` weighs tissues of the prior by the likelihood of an observation; no network is
involved. Draws of :func:`from_mixture` come from a trained flow and the prior and are weighed by
prior x likelihood / mixture, which is exact in the limit, too, whatever the flow has learned. The
effective size says how near the limit is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bank import WAVELENGTHS, Arrays, draw_parameters, reflectances
from scipy.special import logsumexp

import bayesinn as bi
from bayesinn.simulators.tissue import TissueOptions
from bayesinn.simulators.tissue_camera import log_density, noise_sd

# Mean distance of Kolmogorov and Smirnov between a distribution and n draws of it, times the square
# root of n.
_MEAN_DISTANCE = np.sqrt(np.pi / 2.0) * np.log(2.0)

# Observations that are weighed at a time.
_BLOCK = 10
# Tissues are left out whose weight is smaller than the largest by e to this power: a millionth of
# all, together.
_NEGLIGIBLE = 30.0


@dataclass(frozen=True)
class Reference:
    """Posterior of one observation: parameters (n,) of tissues with weights (n,), whose sum is 1."""

    tissues: Arrays
    weights: np.ndarray

    @property
    def effective_size(self) -> float:
        """Number of independent draws that are as good."""
        return float(1.0 / np.sum(self.weights**2))

    def mean(self, name: str) -> float:
        """Return the posterior mean of a parameter."""
        return float(self.weights @ self.tissues[name])

    def sd(self, name: str) -> float:
        """Return the posterior standard deviation of a parameter."""
        return float(np.sqrt(self.weights @ self._centred(name) ** 2))

    def error_of_mean(self, name: str) -> float:
        """Return the standard error of the mean: tissues are drawn at random."""
        return float(np.sqrt(np.sum((self.weights * self._centred(name)) ** 2)))

    def correlation(self, first: str, second: str) -> float:
        """Return the posterior correlation of two parameters."""
        covariance = self.weights @ (self._centred(first) * self._centred(second))
        return float(covariance / (self.sd(first) * self.sd(second)))

    def _centred(self, name: str) -> np.ndarray:
        return self.tissues[name].astype(float) - self.mean(name)

    def distance(self, name: str, draws: np.ndarray) -> float:
        """Return the Kolmogorov-Smirnov distance of draws (m,) of a parameter from this posterior."""
        return self.distances(name, draws[None])[0]

    def distances(self, name: str, samples: np.ndarray) -> list[float]:
        """Return the distance of each of several samples (k, m) of a parameter."""
        found = []
        for draws in np.sort(samples, axis=1):
            # The first draw that is not below each tissue.
            places = np.searchsorted(draws, self.tissues[name], side="left")
            exact = np.cumsum(np.bincount(places, self.weights, minlength=len(draws)))[: len(draws)]
            steps = np.arange(len(draws) + 1) / len(draws)
            found.append(float(max(np.max(steps[1:] - exact), np.max(exact - steps[:-1]))))
        return found

    def distance_by_chance(self, draws: int) -> float:
        """Return the mean distance of so many exact draws: what sampling alone makes."""
        return float(_MEAN_DISTANCE * np.sqrt(1.0 / draws + 1.0 / self.effective_size))

    def sample(self, draws: int, seed: int) -> Arrays:
        """Draw parameters (draws,) with equal weights."""
        chosen = np.random.default_rng(seed).choice(
            len(self.weights), draws, p=self.weights / self.weights.sum()
        )
        return {name: value[chosen] for name, value in self.tissues.items()}


def log_likelihood(bands: np.ndarray, means: np.ndarray, options: TissueOptions) -> np.ndarray:
    """Return the log likelihood (m, n) of observations (m, k), for mean band values (n, k)."""
    sd = noise_sd(options.bands, options.snr, options.photon_budget)
    return log_density(bands, means, sd).numpy()


def band_means(found: np.ndarray, options: TissueOptions) -> np.ndarray:
    """Return band values (n, k) without noise, for spectra (n, w) at all wavelengths."""
    columns = np.searchsorted(WAVELENGTHS, options.bands.wavelengths)
    return found[:, columns] @ options.bands.weights.T


def from_prior(
    tissues: Arrays, found: np.ndarray, observations: np.ndarray, options: TissueOptions
) -> Iterator[Reference]:
    """Yield the posterior of each of several observations (m, k), for tissues of the prior and their spectra (n, w)."""
    means = band_means(found, options)
    for start in range(0, len(observations), _BLOCK):
        for log_weights in log_likelihood(observations[start : start + _BLOCK], means, options):
            possible = np.nonzero(log_weights > log_weights.max() - _NEGLIGIBLE)[0]
            kept = {name: value[possible] for name, value in tissues.items()}
            yield Reference(kept, _normalised(log_weights[possible]))


def from_mixture(
    posterior: bi.AmortizedPosterior,
    bands: np.ndarray,
    options: TissueOptions,
    draws: int,
    seed: int,
    share: float = 0.1,
) -> Reference:
    """Return the posterior of one observation (k,), of draws from a trained flow and, a share of them, the prior."""
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
    log_weights = log_prior + log_likelihood(bands[None], means, options)[0] - mixture
    return Reference(parameters, _normalised(log_weights))


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    return np.exp(log_weights - logsumexp(log_weights))
