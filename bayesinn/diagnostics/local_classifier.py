"""The classifier of the local two-sample test: a series for the ratio of densities.

The coefficients of the series are regressed on the condition. The classifier is trained hundreds of
times on the same conditions: what depends on these alone is computed once.
"""

import numpy as np
from scipy import linalg, special

# prior variances of the mean of a feature of variance 1: faults from slight to large
_VARIANCES = (0.01, 0.1, 1.0)
# Log odds against a fault in one feature at one observation. They keep hundreds of correct features
# from drowning the one that is wrong, and faults elsewhere from being felt here: at a level of 95
# %, a posterior that was correct at an observation failed because of them in 45 to 60 % of cases
# without odds, in 10 to 20 % with 2, in 3 to 15 % with 5.
_LOG_ODDS = 5.0
# where the slope of the additive regression may change, in normal scores of a column
_KNOTS = (-1.0, 0.0, 1.0)
_MOST_DIRECTIONS = 300
# Pairs of coordinates whose products are features: their number grows with the square of the
# dimension, and with it the memory.
_MOST_PAIRS = 1_000
_WAVES = 200


def _ranks(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share (n, k) of ordered (m, k) below each value (n, k), never 0 or 1.

    Ties count half.
    """
    both = list(zip(ordered.T, values.T, strict=True))
    below = sum(
        np.stack([np.searchsorted(*pair, side) for pair in both], axis=-1)
        for side in ("left", "right")
    )
    return np.clip(below / 2.0, 0.5, len(ordered) - 0.5) / len(ordered)


class LatentFeatures:
    """Functions of the latent whose means reveal a fault.

    They concern place, width, skewness and tails of each coordinate, and pairs of coordinates,
    1,000 of them if there are more. They are made of normal scores among reference draws (m, d) of
    the latent distribution, so that no tail dominates. Under this distribution they have mean 0 and
    variance 1, and those of one coordinate are uncorrelated.
    """

    def __init__(self, reference: np.ndarray) -> None:
        self._ordered = np.sort(reference, axis=0)
        self._first, self._second = _pairs(reference.shape[1])
        single, pairs = self._raw(reference)
        self._single_mean = single.mean(axis=1, keepdims=True)
        self._pairs_mean = pairs.mean(axis=0)
        centred = single - self._single_mean
        covariance = np.swapaxes(centred, 1, 2) @ centred / len(reference)
        self._whiten = np.swapaxes(np.linalg.inv(np.linalg.cholesky(covariance)), 1, 2)
        self._pairs_scale = pairs.std(axis=0)

    def __call__(self, latent: np.ndarray) -> np.ndarray:
        """Return the features (n, 4 d + pairs) of latents (n, d)."""
        single, pairs = self._raw(latent)
        white = (single - self._single_mean) @ self._whiten
        return np.concatenate([*white, (pairs - self._pairs_mean) / self._pairs_scale], axis=1)

    def _raw(self, latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return functions (d, n, 4) of each coordinate, and products (n, pairs) of two."""
        ranks = _ranks(self._ordered, latent)
        score = special.ndtri(ranks)
        # Cubes and fourth powers of normal scores would have tails too heavy for the regression:
        # Legendre polynomials.
        skewness, tails = (special.eval_legendre(degree, 2.0 * ranks - 1.0) for degree in (3, 4))
        single = np.stack([score, score**2, skewness, tails], axis=-1)
        return np.swapaxes(single, 0, 1), score[:, self._first] * score[:, self._second]


def _pairs(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (pairs,) of two coordinates, chosen at random if there are too many."""
    first, second = np.triu_indices(dimension, 1)
    if len(first) <= _MOST_PAIRS:
        return first, second
    # Whatever the data: so p-values stay exact.
    chosen = np.random.default_rng(0).choice(len(first), _MOST_PAIRS, replace=False)
    return first[chosen], second[chosen]


class LocalClassifier:
    """Classifiers of latents at given observations, for many latent sets at the same conditions.

    The density of latents of truths at an observation x, divided by that of the latent
    distribution, is expanded as 1 + sum_k m_k(x) f_k(z), where m_k(x) is the mean of the feature
    f_k over truths at x: an average, weighted by evidence, of Bayesian regressions on a constant,
    on straight lines, on piecewise linear functions of each column, and on random waves (a Gaussian
    kernel). So what is wrong everywhere is learnt from all simulations, what is wrong somewhere
    from those near by. It counts as far as it stands clear of its own uncertainty at x.

    Of the conditions, (n, c) of simulations and (o, c) of observations, only ranks within each
    column matter; an observation beyond all simulations counts as the outermost one.
    """

    def __init__(
        self, condition: np.ndarray, observed: np.ndarray, generator: np.random.Generator
    ) -> None:
        self._regressions = [_Regression(np.ones((len(condition), 1)), np.ones((len(observed), 1)))]
        varies = np.ptp(condition, axis=0) > 0.0
        if not np.any(varies):
            return
        ordered = np.sort(condition[:, varies], axis=0)
        here, there = (
            special.ndtri(_ranks(ordered, value[:, varies])) for value in (condition, observed)
        )
        self._regressions.append(_Regression(_with_constant(here), _with_constant(there)))
        pieces = _piecewise_linear(here)
        pieces_there = _piecewise_linear(there)
        centre = pieces.mean(axis=0)
        scale = pieces.std(axis=0)
        scale[scale == 0.0] = 1.0
        standard = (_with_constant((value - centre) / scale) for value in (pieces, pieces_there))
        self._regressions.append(_Regression(*standard))
        frequency = generator.normal(size=(here.shape[1], _WAVES)) / np.sqrt(here.shape[1])
        phase = generator.uniform(0.0, 2.0 * np.pi, size=_WAVES)
        self._regressions.append(
            _Regression(np.cos(here @ frequency + phase), np.cos(there @ frequency + phase))
        )

    def means(self, features: np.ndarray) -> np.ndarray:
        """Return the means (o, k) at the observations, of features (n, k) at the simulations."""
        evidence = []
        means = []
        variances = []
        for part in self._regressions:
            along = part.directions.T @ features
            for variance in _VARIANCES:
                strength = variance * part.eigenvalues
                gain = strength / (1.0 + strength)
                evidence.append(0.5 * (gain @ along**2 - np.sum(np.log1p(strength))))
                means.append((part.observed * gain) @ along)
                variances.append(part.observed**2 @ gain)
        weights = special.softmax(np.stack(evidence), axis=0)
        mean = np.einsum("sk,sok->ok", weights, np.stack(means))
        square = np.einsum(
            "sk,sok->ok", weights, np.stack(means) ** 2 + np.stack(variances)[:, :, None]
        )
        variance = np.maximum(square - mean**2, np.finfo(float).tiny)
        return np.asarray(mean * special.expit(0.5 * mean**2 / variance - _LOG_ODDS))


def probabilities(means: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the probability (o, m) of each point to be the latent of a truth; means (o, k).

    The features of the points are (m, k).
    """
    ratio = np.maximum(1.0 + means @ features.T, 0.0)
    return ratio / (1.0 + ratio)


def _with_constant(functions: np.ndarray) -> np.ndarray:
    """Add a constant to the functions (n, r) that weighs as much as all of them together."""
    return np.insert(functions, 0, np.sqrt(functions.shape[1]), axis=1)


def _piecewise_linear(score: np.ndarray) -> np.ndarray:
    pieces = [np.maximum(score - knot, 0.0) for knot in _KNOTS]
    return np.concatenate([score, *pieces, np.maximum(-_KNOTS[-1] - score, 0.0)], axis=1)


class _Regression:
    """Ridge regression on functions (n, r), (o, r) of the condition.

    Their values along the principal directions are ``directions`` (n, s) and ``observed`` (o, s).
    """

    def __init__(self, here: np.ndarray, there: np.ndarray) -> None:
        # Prior variance 1 of the regressed mean, averaged over simulations.
        scale = np.sqrt(np.mean(np.sum(here**2, axis=1)))
        here = here / scale
        there = there / scale
        number = here.shape[1]
        most = min(number, len(here), _MOST_DIRECTIONS)
        eigenvalues, vectors = linalg.eigh(
            here.T @ here, subset_by_index=(number - most, number - 1)
        )
        kept = eigenvalues > 1e-6 * eigenvalues[-1]
        self.eigenvalues = eigenvalues[kept]
        vectors = vectors[:, kept] / np.sqrt(self.eigenvalues)
        self.directions = here @ vectors
        self.observed = there @ vectors
