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
from scipy.special import factorial, logsumexp

import bayesinn as bi
from bayesinn.simulators.tissue import TissueOptions
from bayesinn.simulators.tissue_camera import noise_sd

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


class Likelihood:
    """Likelihood of "l1_log" values (k,), up to a constant, for tissues with mean band values (n, k).

    Before normalisation, band values are t q with q = exp(-bands) and an unknown sum t, which is
    integrated out. They are normal, so that the integrand is t^(k-1) times the exponential of a
    quadratic in t: a moment of a normal distribution, which is a polynomial of its width over its
    centre. Clipping at 1e-5 and 1 is left out: it takes 4.9 sd of the noise in the brightest band
    of the brightest tissues.
    """

    def __init__(self, means: np.ndarray, options: TissueOptions) -> None:
        self.sd = noise_sd(options.bands, options.snr, options.photon_budget)
        self.inverse = 1.0 / np.asarray(means, float)
        self.inverse_square = self.inverse**2
        self.log_volume = np.sum(np.log(means), axis=1, dtype=float)
        power = len(self.sd) - 1
        pairs = np.arange(power // 2 + 1)
        terms = factorial(power) / factorial(power - 2 * pairs) / factorial(pairs) / 2.0**pairs
        self.moment = np.polynomial.Polynomial(terms)

    def log(self, bands: np.ndarray) -> np.ndarray:
        """Return the log likelihood (m, n) of m observations (m, k); minus infinity where it is hopeless.

        That is where the exponent is 60 below the largest: the other terms can't make up for 10 of
        that.
        """
        values = np.exp(-np.asarray(bands, float))
        square = (values / self.sd) ** 2 @ self.inverse_square.T
        cross = values / self.sd**2 @ self.inverse.T
        # Width over centre of the normal distribution of t, squared.
        spread = square / cross**2
        exponent = 0.5 / spread - 0.5 * np.sum(self.sd**-2.0)
        row, column = np.nonzero(exponent > exponent.max(axis=1, keepdims=True) - 60.0)
        square = square[row, column]
        cross = cross[row, column]
        spread = spread[row, column]
        power = len(self.sd) - 1
        others = np.log(self.moment(spread)) - 0.5 * np.log(square) + power * np.log(cross / square)
        found = np.full_like(exponent, -np.inf)
        found[row, column] = exponent[row, column] + others - self.log_volume[column]
        return found


def band_means(found: np.ndarray, options: TissueOptions) -> np.ndarray:
    """Return band values (n, k) without noise, for spectra (n, w) at all wavelengths."""
    columns = np.searchsorted(WAVELENGTHS, options.bands.wavelengths)
    return found[:, columns] @ options.bands.weights.T


def from_prior(
    tissues: Arrays, found: np.ndarray, observations: np.ndarray, options: TissueOptions
) -> Iterator[Reference]:
    """Yield the posterior of each of several observations (m, k), for tissues of the prior and their spectra (n, w)."""
    likelihood = Likelihood(band_means(found, options), options)
    for start in range(0, len(observations), _BLOCK):
        for log_weights in likelihood.log(observations[start : start + _BLOCK]):
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
    [log_likelihood] = Likelihood(means, options).log(bands[None])
    log_weights = log_prior + log_likelihood - mixture
    return Reference(parameters, _normalised(log_weights))


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    return np.exp(log_weights - logsumexp(log_weights))
