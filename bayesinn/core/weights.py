"""Smoothed weights that turn draws of one density into draws of another; how far to trust them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import gammaln, logsumexp

from bayesinn.core.errors import InputError

#: Effective number of draws below which means over them are not close to exact.
FEWEST_DRAWS = 100.0
#: Of more than 2,000 draws; of fewer, the limit is smaller.
MOST_K_HAT = 0.7


class Weights(NamedTuple):
    """Normalised weights (n,) that turn draws of one density into draws of another.

    ``k_hat`` is the shape of the Pareto distribution of the largest ratios of densities.
    ``log_evidence`` is the log of the mean ratio, with its standard error.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25.
    """

    weights: np.ndarray
    k_hat: float
    log_evidence: float
    log_evidence_error: float

    @classmethod
    def smooth(cls, log_ratios: np.ndarray) -> Weights:
        """Return the weights of log ratios (n,) of unnormalised densities, some of them finite."""
        from arviz_stats.base.array import array_stats

        count = len(log_ratios)
        total = logsumexp(log_ratios)
        plain = np.exp(log_ratios - total)
        error = np.sqrt(max(float(np.sum(plain**2)) - 1.0 / count, 0.0))
        size = int(np.ceil(min(0.2 * count, 3.0 * np.sqrt(count))))
        tail = np.sort(log_ratios)[-size:]
        weights = plain
        # No distribution fits a tail of equal weights, which is the best case, or one with zeros.
        k_hat = -np.inf if tail[0] == tail[-1] else np.inf
        if np.isfinite(tail[0]) and tail[0] < tail[-1]:
            # ArviZ takes the logs of what divides weights.
            smoothed, found = array_stats.psislw(-log_ratios)
            k_hat = float(np.nan_to_num(found, nan=np.inf))
            weights = np.exp(smoothed)
        return cls(weights / weights.sum(), k_hat, float(total - np.log(count)), error)

    @property
    def effective_size(self) -> float:
        """Number of independent draws that are as precise."""
        return float(1.0 / np.sum(self.weights**2))

    @property
    def trustworthy(self) -> bool:
        """Whether k-hat is small enough for so many draws."""
        most = min(MOST_K_HAT, 1.0 - 1.0 / np.log10(len(self.weights)))
        return self.k_hat <= most

    @property
    def reliable(self) -> bool:
        """Whether means over weighted draws are close to exact.

        A single draw in a mode that all others miss has a large weight, which smoothing cuts and
        k-hat does not see. The error of the evidence does.
        """
        precise = FEWEST_DRAWS * self.log_evidence_error**2 <= 1.0
        return self.trustworthy and precise and self.effective_size >= FEWEST_DRAWS


# Points that kernels stand at, and degrees of freedom of the kernels.
_KERNELS = 200
_FREEDOM = 5.0
# Every other kernel is narrower by this factor: of several modes, or of curved ones, each is
# narrower than all together.
_NARROWER = 0.25
# Of Silverman's width: estimates of a density between few points are rough.
_WIDTH = 1.5
_ROUNDS = 5
# Relative variance of ratios below which they are nearly equal.
_NEARLY_EQUAL = 0.25
# Share of effective draws that is enough.
_ENOUGH = 0.25
_ROWS_AT_ONCE = 10_000


class Kernels:
    """A mixture of Student t distributions at points (k, d), which importance draws come from.

    Kernels of Silverman's width suit a single mode, narrower ones several.
    """

    def __init__(self, points: np.ndarray) -> None:
        self._points = points.astype(float)
        count, dimension = self._points.shape
        covariance = np.atleast_2d(np.cov(self._points, rowvar=False))
        covariance += np.diag(1e-6 * np.diag(covariance) + 1e-12)
        width = _WIDTH * (4.0 / ((dimension + 2.0) * count)) ** (1.0 / (dimension + 4.0))
        self._root = width * np.linalg.cholesky(covariance)
        places = np.arange(count)
        self._sizes = np.where(places % 2, _NARROWER, 1.0)
        # A quarter is one distribution of all points, so that no place has a huge weight.
        whole = places % 4 == 0
        self._sizes[whole] = 1.0 / width
        self._points[whole] = self._points.mean(axis=0)
        half = 0.5 * (_FREEDOM + dimension)
        log_norm = gammaln(half) - gammaln(0.5 * _FREEDOM)
        log_norm -= 0.5 * dimension * np.log(_FREEDOM * np.pi) + np.log(count)
        self._log_norm = log_norm - np.log(np.diag(self._root)).sum()

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw (n, d)."""
        chosen = generator.integers(len(self._points), size=n)
        noise = generator.normal(size=(n, self._points.shape[1])) @ self._root.T
        scale = np.sqrt(_FREEDOM / generator.chisquare(_FREEDOM, n)) * self._sizes[chosen]
        return self._points[chosen] + scale[:, None] * noise

    def log_prob(self, vectors: np.ndarray) -> np.ndarray:
        """Return log densities (n,) of vectors (n, d)."""
        dimension = float(self._points.shape[1])
        inverse = np.linalg.inv(self._root).T
        points = self._points @ inverse
        densities = []
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            rows = vectors[start : start + _ROWS_AT_ONCE] @ inverse
            squares = cdist(rows, points, "sqeuclidean") / self._sizes**2
            terms = (1.0 + squares / _FREEDOM) ** (-0.5 * (_FREEDOM + dimension))
            densities.append(terms @ self._sizes**-dimension)
        return np.log(np.concatenate(densities)) + self._log_norm


def population_draws(
    log_density: Callable[[np.ndarray], np.ndarray],
    starts: Sequence[np.ndarray],
    count: int,
    generators: Sequence[np.random.Generator],
) -> tuple[np.ndarray, list[Weights]]:
    """Draw vectors (n, count, d) with weights from n unnormalised densities.

    Draws of each density come from kernels at its starting points (k, d), then, until a quarter
    of them is effective, from kernels at the weighted draws themselves: adaptive importance
    sampling. The weights are those of the best round.

    Parameters
    ----------
    log_density : function of vectors (n, m, d), returns (n, m)
        They may be -inf or NaN, which is no density.
    starts : n arrays (k, d)
    count : int, number of draws of each density
    generators : n generators, one for each density

    References
    ----------
    Cappe, Douc, Guillin, Marin and Robert (2008), Adaptive importance sampling in general mixture
    classes, Statistics and Computing 18.

    Examples
    --------
    >>> generator = np.random.default_rng(1)
    >>> start = generator.normal(3.0, 1.0, (200, 1))
    >>> vectors, weights = population_draws(
    ...     lambda x: -0.5 * x[..., 0] ** 2, [start], 4_000, [generator]
    ... )
    >>> bool(abs(weights[0].weights @ vectors[0, :, 0]) < 0.1)
    True
    >>> bool(abs(weights[0].log_evidence - 0.5 * np.log(2.0 * np.pi)) < 0.1)
    True
    """
    best: list[tuple[np.ndarray, Weights] | None] = [None] * len(starts)
    points = list(starts)
    for _ in range(_ROUNDS):
        kernels = [Kernels(own) for own in points]
        vectors = np.stack(
            [
                own.sample(count, generator)
                for own, generator in zip(kernels, generators, strict=True)
            ]
        )
        density = log_density(vectors)
        proposed = np.stack(
            [own.log_prob(rows) for own, rows in zip(kernels, vectors, strict=True)]
        )
        ratios = np.where(np.isfinite(density), density - proposed, -np.inf)
        for number, (row, generator) in enumerate(zip(ratios, generators, strict=True)):
            old = best[number]
            if old is not None and old[1].effective_size >= _ENOUGH * count:
                continue
            if not np.isfinite(row).any():
                continue
            new = Weights.smooth(row)
            if count * new.log_evidence_error**2 < _NEARLY_EQUAL:
                # The tail has a shape whatever its scale, which is that of roughness between
                # kernels. One wide kernel bounds the ratios.
                new = new._replace(k_hat=-np.inf)
            if old is None or new.effective_size > old[1].effective_size:
                best[number] = vectors[number], new
            chosen = generator.choice(count, _KERNELS, p=_flattened(row))
            points[number] = vectors[number][chosen]
        if all(one and one[1].effective_size >= _ENOUGH * count for one in best):
            break
    found = [one for one in best if one is not None]
    if len(found) < len(best):
        raise InputError(
            "Parameters and data",
            expected="parameters that have a density given the data",
            got=f"none among {_ROUNDS * count:,} draws at {len(best) - len(found):,} observations",
            do="check names and units of what is fixed, and of the data",
        )
    return np.stack([vectors for vectors, _ in found]), [weights for _, weights in found]


def _flattened(log_ratios: np.ndarray) -> np.ndarray:
    """Return weights of the ratios to a power at which enough of them count to make kernels."""
    power = 1.0
    while True:
        weights = np.exp(power * log_ratios - logsumexp(power * log_ratios))
        enough = min(0.25 * _KERNELS, 0.5 * np.isfinite(log_ratios).sum())
        if np.sum(weights**2) * enough <= 1.0:
            return weights
        power *= 0.5
