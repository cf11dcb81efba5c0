"""The local classifier two-sample test (L-C2ST): is the posterior correct at one observation?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, special, stats
from threadpoolctl import threadpool_limits

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_integer
from bayesinn.diagnostics.arrays import Arrays, check_points
from bayesinn.diagnostics.deviation import (
    CONFIDENCE,
    MOST_REPETITIONS,
    Deviation,
    Tested,
    check_repetitions,
    digits,
    p_values,
)

# The classifier of the local two-sample test: a series for the ratio of densities.
#
# The coefficients of the series are regressed on the condition. The classifier is trained hundreds
# of times on the same conditions: what depends on these alone is computed once.

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


_REFERENCE = 5_000


@dataclass(frozen=True, eq=False, repr=False)
class LocalC2STResult(Tested):
    """A classifier's result on latents of truths and latent draws, at each of o observations."""

    title = "L-C2ST"
    shown = ("statistic", "critical", "p_value", "inside")
    #: (o,), mean of (probability - 1/2)^2: between 0 (nothing to tell apart) and 1/4
    statistic: np.ndarray
    null: np.ndarray  #: (trials, o), the same for correct posteriors
    #: (m, d), latents at which the classifier was evaluated; the inverse flow makes draws of them
    evaluation: np.ndarray
    #: (o, m), probability of each to be the latent of a truth; above 1/2, the posterior is too thin
    #: there
    probability: np.ndarray
    simulations: int
    #: (m, *event), the points ``evaluation`` as parameters, where they are known
    draws: Arrays | None = None

    @property
    def critical(self) -> np.ndarray:
        """Array (o,): the statistic that correct posteriors exceed with probability 1 - level.

        The probability is approximate.
        """
        return np.asarray(np.quantile(self.null, self.level, axis=0))

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Distance of probabilities from one half (root mean square), beyond that of chance.

        The error has no upper bound: the classifier may have missed a fault.
        """
        chance = np.quantile(self.null, 1.0 - (1.0 - CONFIDENCE) / len(self.columns), axis=0)
        excess = 100.0 * np.sqrt(np.maximum(self.statistic - np.median(self.null, axis=0), 0.0))
        least = 100.0 * np.sqrt(np.maximum(self.statistic - chance, 0.0))
        return (
            Deviation(
                "classifier",
                unit="percentage points",
                tolerance="classifier",
                columns=self.columns,
                estimate=excess,
                lower=least,
                upper=np.full(len(least), np.inf),
                simulations=self.simulations,
                words=("", "a classifier tells truths from draws"),
                one_sided=True,
                beyond=self._beyond,
            ),
        )

    def _beyond(self, tolerance: float) -> np.ndarray:
        # Exact for correct posteriors, by repetition. For others, a distance is at least as
        # uncertain as a mean of numbers of variance one, of which it is a quarter; and as the
        # distance by chance, if the classifier looks at a part of the simulations.
        chance = np.sqrt(np.quantile(self.null, 0.99, axis=0)) / stats.norm.isf(0.01)
        error = 100.0 * np.maximum(0.25 / np.sqrt(self.simulations), chance)
        excess = 100.0 * np.sqrt(np.maximum(self.statistic - np.median(self.null, axis=0), 0.0))
        return np.maximum(stats.norm.sf((excess - tolerance) / error), self.p_value)

    @property
    def family_p_value(self) -> float:
        """One p-value for all observations: that of the largest statistic.

        Each statistic is taken in units of its own median.
        """
        return _family_p_value(self.statistic, self.null)

    @property
    def summary(self) -> str:
        least = digits(float(np.max(self.deviations[0].lower)))
        return f"error of at least {least} percentage points; {super().summary}"

    @property
    def _heading(self) -> str:
        return f"{super()._heading}, {len(self.null)} trials"


def local_c2st(
    latent: np.ndarray,
    condition: np.ndarray,
    observed_condition: np.ndarray,
    *,
    seed: int,
    draw_latent: Callable[[int, int], np.ndarray] | None = None,
    names: Sequence[str] | None = None,
    trials: int = 200,
    most_trials: int | None = None,
    evaluations: int = 1_000,
    level: float = 0.99,
) -> LocalC2STResult:
    """Test whether the posterior is correct at given observations, without knowing the correct one.

    Linhart, Gramfort & Rodrigues 2023, arXiv:2306.03580 (their L-C2ST-NF). If the posterior is
    correct, a flow maps true parameters to its latent distribution whatever the data. A classifier
    learns, from simulations, to tell such latents from latent draws, given the data. The further
    its probabilities at an observation are from 1/2, the larger the fault there. The classifier is
    trained again ``trials`` times on latent draws in place of truths: this gives the distance by
    chance. For posteriors that are correct everywhere, the p-value is exact for any classifier and
    any observation.

    The paper's neural network is replaced by a series of functions, whose fit is in closed form
    (:class:`~bayesinn.diagnostics.local.LocalClassifier`): many trials take little time.
    Its power for different faults is measured in ``paper_results/diagnostics_power``.

    Parameters
    ----------
    latent : array (n, d)
        Codes of the true parameters of n simulations that the flow was not trained on.
    condition : array (n, c)
        Summaries or a few statistics of each simulation's data; only their ranks are used.
    observed_condition : array (o, c) or (c,), the same for one or several observations
    draw_latent : function of (count, seed) that returns an array (count, d)
        Draws of the flow's latent distribution, independent for different seeds; by default
        standard normal.
    names : names of the observations
        By default ``observation``, or ``observation[0]``, ``observation[1]``, ...
    most_trials : int
        Number of trials if none of the first ones reaches the observed value; by default
        ``trials``. No p-value is below one over the number of trials: further trials tell how small
        it is.
    evaluations : number m of latents at which the classifier is evaluated

    The posterior is correct below 1, and too low above:

    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> data, latent = generator.normal(size=(2, 1000, 1))
    >>> latent[data > 1.0] += 1.0
    >>> result = local_c2st(latent, data, np.array([[-1.0], [2.0]]), seed=1, trials=99)
    >>> result.inside
    array([ True, False])
    """
    latent = check_points("latent", latent, least=20)
    condition = check_points("condition", condition)
    observed = check_points(
        "observed_condition", np.atleast_2d(observed_condition), least=1, width=condition.shape[1]
    )
    if len(latent) != len(condition):
        raise InputError(
            "latent and condition",
            expected="the same number of simulations",
            got=f"{len(latent)} and {len(condition)}",
            do="pass one row a simulation in both",
        )
    if names is None:
        names = (
            ["observation"]
            if len(observed) == 1
            else [f"observation[{index}]" for index in range(len(observed))]
        )
    check_integer(
        "number of names",
        len(names),
        len(observed),
        len(observed),
        do="pass one for each observation",
    )
    check_repetitions("trials", trials, level)
    most = check_integer(
        "Argument 'most_trials'",
        trials if most_trials is None else most_trials,
        trials,
        MOST_REPETITIONS,
    )
    check_integer("Argument 'evaluations'", evaluations, most=MOST_REPETITIONS)
    size, dimension = latent.shape
    states = np.random.SeedSequence(seeds.entropy(seed, "local c2st")).generate_state(most + 2)
    sources = (int(state) >> 1 for state in states)

    def draw(count: int) -> np.ndarray:
        source = next(sources)
        if draw_latent is None:
            return seeds.generator(source, "local c2st").normal(size=(count, dimension))
        return check_points(
            "draws of draw_latent", draw_latent(count, source), least=count, width=dimension
        )

    features = LatentFeatures(draw(_REFERENCE))
    evaluation = draw(evaluations)
    points = features(evaluation)
    classifier = LocalClassifier(condition, observed, seeds.generator(seed, "local c2st"))

    def classify(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probability = probabilities(classifier.means(features(latents)), points)
        return np.mean((probability - 0.5) ** 2, axis=1), probability

    # Many small products of matrices: on two busy cores, two threads took five times longer than
    # one.
    with threadpool_limits(1, user_api="blas"):
        statistic, probability = classify(latent)
        null = np.stack([classify(draw(size))[0] for _ in range(trials)])
        if _family_p_value(statistic, null) <= 1.0 / (1.0 + trials) and most > trials:
            null = np.concatenate([null, [classify(draw(size))[0] for _ in range(most - trials)]])
    p_value = p_values(statistic, null)
    return LocalC2STResult(
        tuple(names), p_value, level, statistic, null, evaluation, probability, size
    )


def _family_p_value(statistic: np.ndarray, null: np.ndarray) -> float:
    everything = np.concatenate([statistic[None], null])
    scale = np.maximum(np.median(everything, axis=0), np.finfo(float).tiny)
    largest = np.max(everything / scale, axis=1)
    return float(p_values(largest[0], largest[1:]))
